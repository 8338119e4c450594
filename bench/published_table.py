"""A published table again: what the paper reports, what the stored runs here have, the difference, and what is missing.

Rows, methods, protocols and metric variants are the plan's (protocols/plans), reported values those of results/paper. A
block of columns belongs to one protocol; its rows are ranked among those that take their AUs from the same place, over the
same cases, and only as far as paired intervals go (bench.table). Reported values have no interval and are never ranked.

The synthetic counterpart of a table has the same rows on rendered faces, and no reported side: the two never share a
table. What this repository's own synthetic runs gave lies in results/tables/synth as JSON, with every paired difference
that a mark or a claim needed, so that a machine without these runs can print it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

from bench import registry
from bench.leaderboard import Comparison, StoredRun, finished_runs
from bench.media.errors import BenchError, UserError
from bench.plan_runs import filling_command, is_run_of, run_of_row
from bench.reported import (
    cells_of,
    group_of,
    plan_of,
    print_notes,
    printed_columns,
    read_reported,
    reported_tables,
)
from bench.study_table import study_table
from bench.table import Block, Cell, Column, Reported, Row, Table, leaderboard
from bench.table_formats import WRITERS, as_json, from_json
from bench.weights import Weights
from metrics.metric import Metric
from protocols.plan_spec import PlanSpec, counterpart_metric
from protocols.published import read_spec

SHIPPED = Path(__file__).parents[1] / "results" / "tables" / "synth"
"""Synthetic counterparts that come with the suite."""

Runs = Callable[[str], Sequence[StoredRun]]
"""protocol -> its finished runs."""


@dataclass
class PublishedTable:
    """A published table with the runs of this machine, or its synthetic counterpart."""

    name: str
    table: Table
    synthetic: bool = False
    runs: Mapping[tuple[str, str], StoredRun] = field(default_factory=dict)
    """(row, group of columns) -> its run."""
    differences: dict[tuple[str, str, str], Block] = field(default_factory=dict)
    """(row, other row, column) -> paired difference: those that `difference` was asked for, or those that came with the table."""
    comparisons: Mapping[str, Comparison] = field(default_factory=dict)
    """Group of columns -> its runs."""

    @property
    def place(self) -> str:
        """Where in the paper: `Table 3`."""
        return self.table.title.partition(":")[0].partition(", ")[2]

    @property
    def cases(self) -> int:
        """Cases behind all values together: of two tables of one name, the one with more says more."""
        return sum(cell.n for row in self.table.rows for cell in row.cells.values())

    def difference(self, label: str, other: str, column: str) -> Block | None:
        """The paired difference of two rows in a column (`bench.aggregate.compare`), None where either has no value."""
        key = (label, other, column)
        if key not in self.differences:
            about = next(c for c in self.table.columns if c.key == column)
            comparison = self.comparisons.get(about.group)
            values = [row.cells[column].value for row in self.table.rows if row.label in (label, other)]
            if comparison is None or None in values or not about.variant:
                return None
            if block := comparison.difference(label, other, _result_key(about)):
                self.differences[key] = block
        return self.differences.get(key)

    def document(self) -> dict[str, Any]:
        """As JSON: `bench.table_formats.as_json`, and the differences behind it."""
        differences = [
            {"method": label, "other": other, "column": column, **block}
            for (label, other, column), block in sorted(self.differences.items())
        ]
        return as_json(self.table) | {"synthetic": self.synthetic, "differences": differences}


def read_document(name: str, document: Mapping[str, Any]) -> PublishedTable:
    """A table from what `PublishedTable.document` gave."""
    differences = {
        (block["method"], block["other"], block["column"]): {
            key: value for key, value in block.items() if key not in ("method", "other", "column")
        }
        for block in document["differences"]
    }
    return PublishedTable(name, from_json(document), document["synthetic"], differences=differences)


def synthetic_counterpart(name: str, runs: Runs = finished_runs) -> PublishedTable:
    """The synthetic counterpart from the runs here or, where that has more cases behind it, as it came with the suite."""
    here = regenerate(name, runs, synthetic=True)
    shipped = SHIPPED / f"{name}.json"
    if shipped.exists():
        there = read_document(name, json.loads(shipped.read_text("utf-8")))
        return there if there.cases > here.cases else here
    return here


def all_tables(runs: Runs = finished_runs) -> tuple[dict[str, PublishedTable], dict[str, PublishedTable]]:
    """Every published table, and every synthetic counterpart, by name; a user study has none."""
    names = reported_tables()
    real = {name: regenerate(name, runs) for name in names}
    return real, {name: synthetic_counterpart(name, runs) for name in names if plan_of(name)}


def written(table: PublishedTable, form: str) -> str:
    """A table as md, text, tex, csv or json."""
    if form == "json":
        return json.dumps(table.document(), indent=2, ensure_ascii=False) + "\n"
    return WRITERS[form](table.table)


def regenerate(name: str, runs: Runs = finished_runs, synthetic: bool = False) -> PublishedTable:
    """A published table from stored runs.

    Args:
        name: auhead_table1, ..., iuface_table8, auhead_fig3, iuface_e5.
        runs: where runs come from.
        synthetic: its counterpart on rendered faces.

    Raises:
        UserError: there is no such table, or it has no synthetic counterpart.
    """
    paper, reported = read_reported(name)
    plan = plan_of(name)
    if plan is None:
        if synthetic:
            raise UserError(f"{name} is a user study, which has no synthetic counterpart")
        table, differences = study_table(name)
        return PublishedTable(name, table, differences=differences)
    blocks = [_Block(name, plan, group, protocols, runs, synthetic) for group, protocols in _groups(plan, synthetic)]
    labels = list(dict.fromkeys(label for block in blocks for label in block.labels))
    methods = {row.label: row.method for row in plan.rows}
    rows = []
    for label in labels:
        cells = {key: cell for block in blocks for key, cell in block.cells(label).items()}
        sections = dict.fromkeys(filter(None, (block.sections.get(label) for block in blocks)))
        rows.append(Row(label, cells, "; ".join(sections), methods.get(label, "")))
    notes = [note for block in blocks for note in block.notes]
    notes += [] if synthetic else print_notes(name)
    notes += [f"our reading: {plan.reading}"] if plan.reading else []
    title = f"{plan.paper}: {plan.title}{' (synthetic faces)' if synthetic else ''}"
    columns = tuple(column for block in blocks for column in block.columns)
    return PublishedTable(
        name, Table(title, "published", columns, tuple(rows), tuple(dict.fromkeys(notes))), synthetic,
        runs={(label, block.group): run for block in blocks for label, run in block.chosen.items()},
        comparisons={block.group: block.comparison for block in blocks if block.comparison},
    )  # fmt: skip


def _groups(plan: PlanSpec, synthetic: bool) -> list[tuple[str, dict[str, str]]]:
    """(group of columns, row -> protocol); rows that name their protocol share one group."""
    if any(row.protocol for row in plan.rows):
        named = {row.label: row.protocol or plan.protocols[0] for row in plan.rows}
        if synthetic:
            named = {label: read_spec(protocol).counterpart or "" for label, protocol in named.items()}
        return [("", named)]
    groups = {protocol: group_of(protocol) for protocol in plan.protocols}
    if synthetic:
        groups = {counterpart: counterpart for p in plan.protocols if (counterpart := read_spec(p).counterpart)}
    return [
        (group if len(groups) > 1 else "", {row.label: protocol for row in plan.rows})
        for protocol, group in groups.items()
    ]


class _Block:
    """The columns of one protocol: its runs as rows, ranked, beside what was printed."""

    def __init__(
        self, name: str, plan: PlanSpec, group: str, protocols: Mapping[str, str], runs: Runs, synthetic: bool
    ):
        self.group, self.synthetic, self._plan, self._protocols = group, synthetic, plan, protocols
        self._paper, _ = read_reported(name)
        self._reported = {} if synthetic else cells_of(name)
        found = {protocol: runs(protocol) for protocol in dict.fromkeys(protocols.values())}
        self.chosen = {
            row.label: run
            for row in plan.rows
            if (run := run_of_row(row, protocols[row.label], found[protocols[row.label]]))
        }
        if plan.open:
            self.chosen |= self._others(found)
        self.labels = [*protocols, *(label for label in self.chosen if label not in protocols)]
        self.columns = tuple(self._column(printed, metric) for printed, metric in printed_columns(plan))
        self.comparison = Comparison(list(self.chosen.values()), list(self.chosen)) if self.chosen else None
        self.notes: list[str] = []
        self.sections: dict[str, str] = {}
        self._ranked = self._rank()

    def _others(self, found: Mapping[str, Sequence[StoredRun]]) -> dict[str, StoredRun]:
        """Runs that make no row of the plan, as rows of their own; controls last."""
        others = [
            run
            for protocol, runs in found.items()
            for run in runs
            if not any(is_run_of(run, row, protocol) for row in self._plan.rows)
        ]
        labelled = Comparison(sorted(others, key=lambda run: run.summary["control"])).labelled
        # Who scores videos chooses their label, which must not pass for a row of the paper.
        return {f"{label} (here)" if label in self._protocols else label: run for label, run in labelled.items()}

    def _metric(self, name: str) -> Metric:
        protocol = next(iter(self._protocols.values()))
        if self.synthetic:
            name = counterpart_metric(name, registry.protocol(protocol)().metrics)
        return registry.metric(name)

    def _column(self, printed: str, metric: str | None) -> Column:
        about = self._paper.columns[printed]
        protocol = next(iter(self._protocols.values())) if len({*self._protocols.values()}) == 1 else ""
        place = {"printed": printed, "group": self.group, "protocol": protocol}
        if metric is None:
            return Column(printed, "", about.unit, about.better == "higher", why=about.why, **place)
        found = self._metric(metric)
        why = "" if self.synthetic else about.why
        return Column(found.name, found.variant, found.unit, found.higher_is_better, why=why, **place)

    def _rank(self) -> Table | None:
        """The block's runs ranked by the columns that are metrics."""
        if (comparison := self.comparison) is None:
            return None
        results = comparison.results([_result_key(column) for column in self.columns if column.variant])
        if len({*self._protocols.values()}) == 1:
            # Equal ids are equal cases only where they come from the same files.
            digests = {label: run.summary["data"] for label, run in self.chosen.items()}
            results = [
                replace(one, cases={key: frozenset(f"{digests[one.label]}/{id}" for id in ids)
                                    for key, ids in one.cases.items()})
                for one in results
            ]  # fmt: skip
        ranked = leaderboard(results, comparison.difference)
        self.sections = {one.label: one.section for one in results}
        self.notes += [f"{self.group} {note}".strip() for note in ranked.notes]
        for label, run in self.chosen.items():
            if run.summary["incomplete"]:
                self.notes.append(f"{label}: incomplete data: {run.summary['incomplete']}")
            if "submitted" in run.manifest:
                self.notes.append(f"{label}: others made this run and handed it in")
        return ranked

    def cells(self, label: str) -> dict[str, Cell]:
        """Column key -> cell of one row."""
        ranked = {row.label: row.cells for row in self._ranked.rows} if self._ranked else {}
        found = {}
        for column in self.columns:
            cell = ranked.get(label, {}).get(column.metric) if column.variant else self._measured(label, column)
            if cell is None or (cell.value is None and cell.missing and cell.missing.startswith("not computed")):
                cell = Cell(missing=self._fill(label, column))
            found[column.key] = replace(cell, reported=self._printed(label, column))
        return found

    def _printed(self, label: str, column: Column) -> Reported | None:
        return self._reported.get((self._protocols.get(label, ""), label, column.printed))

    def _measured(self, label: str, column: Column) -> Cell | None:
        run = self.chosen.get(label)
        return run and MEASURED[column.printed](run)

    def _fill(self, label: str, column: Column) -> str:
        """What fills a cell: the row's command, for a run that lacks the metric with the metric's name."""
        extra = ["--metrics", _result_key(column)] if label in self.chosen and column.variant else []
        row = next((row for row in self._plan.rows if row.label == label), None)
        if row:
            return filling_command(row, self._protocols[label], self.synthetic, extra)
        return f"run {label} again with {' '.join(extra)}" if extra else f"{label} has no run on {column.protocol}"


def _result_key(column: Column) -> str:
    """The name under which a run's summary carries a column's metric."""
    return registry.metric_key(registry.metric(column.metric))


# -- columns that are no metric ---------------------------------------------------------------------------------------


def _on_processor(run: StoredRun) -> bool:
    return all(device.startswith("cpu") for work in run.manifest["invocations"] for device in work["devices"])


def _largest(run: StoredRun, fact: str, unit: float, needs_gpu: bool) -> Cell:
    """The largest of a fact over the run's invocations; an invocation that only scored has none."""
    if needs_gpu and _on_processor(run):
        return Cell(missing="measured on a processor only: run it on a GPU")
    values = [work[fact] for work in run.manifest["invocations"] if work.get(fact)]
    if not values:
        return Cell(missing="videos made elsewhere: nothing was generated here")
    return Cell(max(values) / unit, n=run.summary["n"], note="no interval: measured once")


def _seconds(run: StoredRun) -> Cell:
    """Mean seconds that generating a case took."""
    values = [record["seconds"] for record in run.records.values() if record.get("seconds")]
    if not values:
        return Cell(missing="videos made elsewhere: nothing was generated here")
    note = "on a processor" if _on_processor(run) else "no interval: depends on the machine"
    return Cell(fmean(values), n=len(values), note=note)


def _temporal_l1(run: StoredRun) -> Cell:
    """Of aggregate AU intensity (`bench.trajectory_plot`), over the run's clips; the figure takes those that all rows have."""
    from bench.trajectory_plot import temporal_error

    try:
        error, clips = temporal_error(run, Weights())
    except BenchError as reason:
        return Cell(missing=str(reason))
    ends = None if error.low is None or error.high is None else (error.low, error.high)
    return Cell(error.value, ends, n=clips, n_failed=run.summary["n"] - clips)


MEASURED: dict[str, Callable[[StoredRun], Cell]] = {
    "Params (B)": partial(_largest, fact="parameters", unit=1e9, needs_gpu=False),
    "GPU Mem (GB)": partial(_largest, fact="peak_memory_bytes", unit=1e9, needs_gpu=True),
    "Speed (s)": _seconds,
    "Temporal L1": _temporal_l1,
}
"""Printed column -> its value from run.json, the cases, or their features."""
