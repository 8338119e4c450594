"""Leaderboard: the stored runs of one protocol side by side, with marks only where a paired difference is real."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from bench import registry, table_formats
from bench.aggregate import Rows, compare, scored_cases
from bench.media.errors import BenchError, Undefined, UserError
from bench.plan import DEFAULT_OUT, Plan, resolve_metrics
from bench.run import rows_of
from bench.store import Record, read_records
from bench.table import Block, Result, Table, leaderboard, pairwise, single_run
from metrics.metric import Metric
from protocols.protocol import Case

SECTIONS = {"driving": "AUs of the driving video", "file": "AUs from a file"}
"""AU source -> section of the table. Methods that get audio and an image only are ranked among themselves: the driving
video is, in a standard protocol, the target."""


@dataclass(frozen=True)
class StoredRun:
    """A finished run folder."""

    folder: Path
    summary: dict

    @property
    def label(self) -> str:
        """Name of the row; one that others made and handed in (bench.archive) says so."""
        return self.summary["label"] + " (submitted)" * ("submitted" in self.manifest)

    @cached_property
    def manifest(self) -> dict:
        return json.loads((self.folder / "run.json").read_text("utf-8"))

    @cached_property
    def records(self) -> dict[str, Record]:
        wanted = {case["id"] for case in self.manifest["cases"]}
        return {id: record for id, record in read_records(self.folder).items() if id in wanted}

    @cached_property
    def metrics(self) -> dict[str, Metric]:
        return resolve_metrics(list(self.summary["metrics"]))

    @cached_property
    def plan(self) -> Plan:
        """The plan the folder was made with, for reaching its features again."""
        manifest = self.manifest
        settings = manifest["protocol_settings"]
        cases = tuple(Case(**case) for case in manifest["cases"])
        return Plan(
            method=manifest["method"], config=manifest["config"], protocol_name=manifest["protocol"],
            protocol=registry.protocol(manifest["protocol"])(**settings), all_cases=cases, cases=cases,
            metrics=self.metrics, seed=manifest["seed"], videos=manifest["videos"] and Path(manifest["videos"]),
            fingerprint=manifest["fingerprint"], data_digest=manifest["data"], incomplete=manifest["incomplete"],
        )  # fmt: skip

    @cached_property
    def rows(self) -> Rows:
        """Where differences of set metrics get their rows; a case whose features are gone and cannot be made again here
        leaves the difference undefined."""
        rows = rows_of(self.plan, self.folder, self.records)

        def readable(case: str, metric: Metric):
            try:
                return rows(case, metric)
            except BenchError as reason:
                raise Undefined(str(reason)) from reason

        return readable

    def result(self, keys: Sequence[str] | None, label: str) -> Result:
        """The run as a row, with the given metrics or all."""
        shown = {key: block for key, block in self.summary["metrics"].items() if keys is None or key in keys}
        section = SECTIONS.get(self.manifest["config"].get("au_source"), "")
        section = "controls" if self.summary["control"] else section
        return Result(label, shown, scored_cases(self.records.values(), shown), section)


def finished_runs(protocol: str, root: Path = DEFAULT_OUT) -> list[StoredRun]:
    """The finished runs of a protocol below results/runs, in order of folder; there may be none."""
    return [open_run(path.parent) for path in sorted((root / protocol).glob("*/summary.json"))]


def open_run(folder: Path) -> StoredRun:
    """A finished run folder.

    Raises:
        UserError: there is no finished run in it.
    """
    if not (folder / "summary.json").exists():
        raise UserError(f"{folder}: no summary.json; run it to its end first")
    return StoredRun(folder, json.loads((folder / "summary.json").read_text("utf-8")))


def find_runs(protocol: str, folders: Sequence[Path] | None) -> list[StoredRun]:
    """The finished runs in the given folders, or all of a protocol below results/runs.

    Raises:
        UserError: there is none, a folder holds no finished run, or the runs saw different cases.
    """
    runs = [open_run(folder) for folder in folders] if folders else finished_runs(protocol)
    if not runs:
        raise UserError(
            f"no finished run below {DEFAULT_OUT / protocol}; make one with "
            f"python -m bench run --protocol {protocol} --method ..."
        )
    if len({(run.summary["protocol"], run.summary["data"]) for run in runs}) > 1:
        named = ", ".join(f"{run.folder} ({run.summary['protocol']}, data {run.summary['data'][:8]})" for run in runs)
        raise UserError(f"these runs saw different cases and do not share a table: {named}; choose with --runs")
    return runs


def run_table(summary: dict) -> str:
    """Markdown table of one run: a line per metric."""
    title = f"{summary['label']} on {_title(summary)}, failed = {summary['n_failed']}"
    text = table_formats.markdown(single_run(Result(summary["label"], summary["metrics"]), title)).rstrip()
    if summary["incomplete"]:
        text += f"\n\nIncomplete data: {summary['incomplete']}"
    if summary["failures"]:
        lines = "\n".join(f"- {failure['case']}: {failure['reason']}" for failure in summary["failures"])
        text += f"\n\nFailed cases:\n\n{lines}"
    if summary["notes"]:
        lines = "\n".join(f"- {note['case']}: {note['note']}" for note in summary["notes"])
        text += f"\n\nNotes:\n\n{lines}"
    return text


def _title(summary: dict) -> str:
    """Protocol and n, with what keeps the numbers from being compared with others."""
    remarks = ["synthetic faces"] * summary["synthetic"] + ["incomplete data"] * bool(summary["incomplete"])
    marks = f" ({', '.join(remarks)})" if remarks else ""
    return f"{summary['protocol']}{marks}, n = {summary['n']}"


class Comparison:
    """Runs of the same cases as rows, and the paired difference of any two, each computed once.

    Args:
        runs: finished runs of the same cases.
        labels: names of the rows, all different; None takes the runs' own.
    """

    def __init__(self, runs: Sequence[StoredRun], labels: Sequence[str] | None = None):
        self.labelled = dict(zip(labels or _unique_labels(runs), runs, strict=True))
        self._blocks: dict[tuple[str, str, str], Block] = {}

    @property
    def title(self) -> str:
        """Protocol and n, with what keeps the numbers from being compared with others."""
        return _title(next(iter(self.labelled.values())).summary)

    def results(self, keys: Sequence[str] | None = None) -> list[Result]:
        """Every run as a row, with the given metrics or all."""
        wanted = None if keys is None else list(resolve_metrics(list(keys)))
        return [run.result(wanted, label) for label, run in self.labelled.items()]

    def difference(self, label: str, other: str, key: str) -> Block:
        """The paired difference of two rows (`bench.aggregate.compare`)."""
        if (label, other, key) not in self._blocks:
            one, two = self.labelled[label], self.labelled[other]
            self._blocks[label, other, key] = compare(
                one.records.values(), two.records.values(), key, one.metrics[key], (one.rows, two.rows)
            )
        return self._blocks[label, other, key]

    def ranked(self, keys: Sequence[str] | None = None) -> Table:
        """All rows, marked where a difference is real."""
        return leaderboard(self.results(keys), self.difference, self.title)

    def against(self, baseline: str, keys: Sequence[str] | None = None) -> Table:
        """Every other row minus the baseline.

        Raises:
            UserError: there is no row of this name.
        """
        if baseline not in self.labelled:
            raise UserError(f"--baseline {baseline}: not among the rows {', '.join(self.labelled)}")
        return pairwise(self.results(keys), baseline, self.difference, f"Differences to {baseline}")


def leaderboard_text(
    runs: Sequence[StoredRun],
    keys: Sequence[str] | None,
    baseline: str | None,
    form: str,
    labels: Sequence[str] | None = None,
) -> str:
    """Several runs in one table, and their differences to a baseline where one is named.

    Args:
        runs: finished runs of the same cases.
        keys: metrics to show; None shows all.
        baseline: label of the row the others are compared with, or None.
        form: md, text, tex, csv or json.
        labels: names of the rows, all different; None takes the runs' own.
    """
    comparison = Comparison(runs, labels)
    tables = [comparison.ranked(keys)]
    if baseline is not None:
        tables.append(comparison.against(baseline, keys))
    return _written(tables, form)


def _written(tables: Sequence[Table], form: str) -> str:
    if form == "json":
        return json.dumps([table_formats.as_json(table) for table in tables], indent=2, ensure_ascii=False)
    return "\n".join(table_formats.WRITERS[form](table) for table in tables).rstrip()


def _unique_labels(runs: Sequence[StoredRun]) -> list[str]:
    """Labels as they are; runs that share one also show the start of their fingerprint."""
    labels = [run.label for run in runs]
    return [
        f"{run.label} {run.summary['fingerprint'][:6]}" if labels.count(run.label) > 1 else run.label for run in runs
    ]
