"""Tables: one run, a leaderboard, differences to a baseline, before they take a form (bench.table_formats).

A Table is neutral: methods are rows, metrics are columns, a cell is a score with its interval and its case counts. What
a mark means is decided here, how it looks when the table is written:

* best: better than every other method of its section *on the same cases*, each paired 95 % interval excluding 0;
* tie: has the best value or cannot be told from it (the paired interval holds 0);
* second: likewise better than all but the best, where there are three methods or more.

Nothing is corrected for the number of comparisons. Values of another variant stand in another column; values over other
cases are shown with a footnote and never ranked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

Block = Mapping[str, Any]
"""One metric's object from summary.json (bench.aggregate.aggregate), or one difference (bench.aggregate.compare)."""
Compare = Callable[[str, str, str], Block | None]
"""compare(label, other label, result key) -> difference of the two runs (bench.aggregate.compare), None if unknown."""


@dataclass(frozen=True)
class Result:
    """One run as a row."""

    label: str
    metrics: Mapping[str, Block]
    """The `metrics` block of summary.json."""
    cases: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Case ids behind every value (bench.aggregate.scored_cases); a value without them is never ranked."""
    section: str = ""
    """Rows are ranked inside a section only, for example one per AU source."""


@dataclass(frozen=True)
class Column:
    """One metric variant."""

    name: str
    variant: str
    unit: str
    higher_is_better: bool | None
    printed: str = ""
    """Name in a published table."""
    group: str = ""
    """Name above a block of a published table's columns, one block per protocol."""
    protocol: str = ""
    """Protocol of a published table's column."""
    why: str = ""
    """Why a published column is taken for this variant."""

    @property
    def key(self) -> str:
        return f"{self.group} {self.printed}".strip() or self.metric

    @property
    def metric(self) -> str:
        return self.name + self.variant

    @property
    def arrow(self) -> str:
        return {True: "↑", False: "↓", None: ""}[self.higher_is_better]


@dataclass(frozen=True)
class Reported:
    """What a paper printed in a cell."""

    printed: str
    """The digits."""
    value: float
    mark: Literal["", "best", "second"] = ""
    """Bold or underlined, where the paper's text has it."""
    earned: Literal["", "best", "second"] = ""
    """Its place by the printed values alone, without any interval."""


@dataclass(frozen=True)
class Cell:
    """One score of one method, or one difference."""

    value: float | None = None
    ci95: tuple[float, float] | None = None
    n: int = 0
    n_failed: int = 0
    missing: str | None = None
    """Why there is no value, or not one over all cases, and what to do."""
    detectable: float | None = None
    """Smallest difference these cases show at 80 % power."""
    mark: Literal["", "best", "second", "tie", "better", "worse", "differs", "not shown"] = ""
    note: str | None = None
    """What a reader must know about this value; a footnote."""
    reported: Reported | None = None
    """What the paper has here."""

    @property
    def delta(self) -> float | None:
        """Ours minus reported."""
        return None if self.value is None or self.reported is None else self.value - self.reported.value


@dataclass(frozen=True)
class Row:
    """One method."""

    label: str
    cells: Mapping[str, Cell]
    section: str = ""
    method: str = ""
    """A published table's method by its name in the registry; its label is as printed."""


@dataclass(frozen=True)
class Table:
    """What was measured, before it takes a form."""

    title: str
    kind: Literal["run", "leaderboard", "pairwise", "published"]
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()
    with_detectable: bool = False
    """Whether a run's table shows the smallest detectable difference beside each value."""


# -- building ---------------------------------------------------------------------------------------------------------


def single_run(result: Result, title: str = "") -> Table:
    """One line per metric of one run."""
    columns, rows, _ = _collect([result])
    return Table(title, "run", columns, rows)


def leaderboard(results: Sequence[Result], compare: Compare, title: str = "") -> Table:
    """Methods against metrics, with marks where a difference is real.

    Args:
        results: one per method; labels are unique.
        compare: the paired difference of two of them; asked only for the pairs a mark depends on.
        title: shown above.
    """
    columns, rows, keys = _collect(results)
    notes = []
    by_label = {result.label: result for result in results}
    marked = {row.label: dict(row.cells) for row in rows}
    for section in dict.fromkeys(row.section for row in rows):
        members = [row.label for row in rows if row.section == section]
        for column in columns:
            cells = {label: marked[label][column.key] for label in members}
            sets = {label: by_label[label].cases.get(keys.get((label, column.key), "")) for label in members}
            ranked, reasons = _comparable(cells, sets)
            for label, reason in reasons.items():
                cells[label] = replace(cells[label], note="; ".join(filter(None, (cells[label].note, reason))))
            marks, problem = _marks(column, {label: cells[label].value for label in ranked}, keys, compare)
            for label, mark in marks.items():
                cells[label] = replace(cells[label], mark=mark)
            for label, cell in cells.items():
                marked[label][column.key] = cell
            if problem:
                notes.append(f"{column.key} is not ranked{f' in {section}' if section else ''}: {problem}")
    rows = tuple(replace(row, cells=marked[row.label]) for row in rows)
    return Table(title, "leaderboard", columns, rows, tuple(notes))


def pairwise(results: Sequence[Result], baseline: str, compare: Compare, title: str = "") -> Table:
    """Every method minus the baseline, on the cases both have, with interval and smallest detectable difference."""
    columns, rows, keys = _collect(results)
    scores = {row.label: row.cells for row in rows}
    if baseline not in scores:
        raise ValueError(f"baseline {baseline} is not among the runs: {', '.join(scores)}")
    differences = []
    for row in rows:
        if row.label == baseline:
            continue
        cells = {}
        for column in columns:
            sides = [row.cells[column.key], scores[baseline][column.key]]
            if lacking := [side.missing for side in sides if side.value is None]:
                cells[column.key] = Cell(missing="; ".join(dict.fromkeys(filter(None, lacking))))
            else:
                block = compare(row.label, baseline, keys[row.label, column.key])
                cells[column.key] = _difference_cell(block, column)
        differences.append(Row(f"{row.label} minus {baseline}", cells, row.section))
    return Table(title, "pairwise", columns, tuple(differences))


def _collect(results: Sequence[Result]) -> tuple[tuple[Column, ...], tuple[Row, ...], dict[tuple[str, str], str]]:
    """Columns in order of first appearance, rows with unmarked cells, and (label, column key) -> the run's own key."""
    if len({result.label for result in results}) != len(results):
        raise ValueError("two runs have the same label; labels name the rows and must be unique")
    columns: dict[str, Column] = {}
    cells: dict[str, dict[str, Cell]] = {result.label: {} for result in results}
    keys = {}
    for result in results:
        for key, block in result.metrics.items():
            column = Column(key.partition("@")[0], block["variant"], block["unit"], block["higher_is_better"])
            columns.setdefault(column.key, column)
            cells[result.label][column.key] = _cell(block)
            keys[result.label, column.key] = key
    for result in results:
        for key in columns.keys() - cells[result.label].keys():
            cells[result.label][key] = Cell(missing=f"not computed: score the run again with --metrics {key}")
    rows = tuple(Row(result.label, cells[result.label], result.section) for result in results)
    return tuple(columns.values()), rows, keys


def _cell(block: Block) -> Cell:
    interval = block["ci95"] and (block["ci95"][0], block["ci95"][1])
    return Cell(
        block["value"], interval, block["n"], block["n_failed"], block["missing"], block.get("detectable"),
        note=None if interval or block["value"] is None else _reason(block),
    )  # fmt: skip


def _reason(block: Block) -> str:
    """Why a value has no interval."""
    return "no interval: " + block.get("interval", "not reported").removeprefix("none: ")


def _difference_cell(block: Block | None, column: Column) -> Cell:
    if block is None:
        return Cell(missing="the runs' cases are not at hand")
    if block["value"] is None:
        return Cell(n=block["n"], missing=block["missing"])
    left_out = block["only_first"] + block["only_second"]
    notes = [f"without {left_out} case{'s' * (left_out > 1)} that only one of the two has"] if left_out else []
    if block["ci95"] is None:
        return Cell(block["value"], n=block["n"], note="; ".join([*notes, _reason(block)]))
    low, high = block["ci95"]
    return Cell(
        block["value"], (low, high), block["n"], detectable=block["detectable"], mark=_verdict(low, high, column),
        note="; ".join(notes) or None,
    )  # fmt: skip


def _verdict(low: float, high: float, column: Column) -> Literal["better", "worse", "differs", "not shown"]:
    """What the interval of a difference says about the first method."""
    if low <= 0 <= high:
        return "not shown"
    if column.higher_is_better is None:
        return "differs"
    return "better" if (low > 0) == column.higher_is_better else "worse"


def _comparable(
    cells: Mapping[str, Cell], cases: Mapping[str, frozenset[str] | None]
) -> tuple[list[str], dict[str, str]]:
    """Labels that may be ranked, all over the same cases, and for those with another value why they may not.

    The largest set of rows over equal cases is ranked, the first of equally large ones.
    """
    groups: dict[frozenset[str], list[str]] = {}
    valued = [label for label, cell in cells.items() if cell.value is not None]
    if len(valued) < 2:
        return [], {}
    for label in valued:
        if cases[label] is not None and cells[label].missing is None:
            groups.setdefault(cases[label], []).append(label)
    ranked = max(groups.values(), key=len, default=[])
    ranked = ranked if len(ranked) > 1 else []
    reasons = {}
    for label in valued:
        if label not in ranked and cells[label].missing is None:
            other = "over other cases than the ranked values" if ranked else "no other method has the same cases"
            reasons[label] = f"not ranked: {'its cases are not at hand' if cases[label] is None else other}"
    return ranked, reasons


def _marks(
    column: Column, values: Mapping[str, float], keys: Mapping[tuple[str, str], str], compare: Compare
) -> tuple[dict[str, str], str | None]:
    """Label -> mark among values over equal cases, and why nothing is marked where that needs saying."""
    if column.higher_is_better is None or len(values) < 2:
        return {}, None
    order = sorted(values, key=values.__getitem__, reverse=column.higher_is_better)

    def tied(leader: str, others: Iterable[str]) -> list[str]:
        return [other for other in others if not _separated(compare(leader, other, keys[leader, column.key]))]

    try:
        equals = tied(order[0], order[1:])
        if equals:
            return dict.fromkeys([order[0], *equals], "tie"), None
        if len(order) == 2 or tied(order[1], order[2:]):
            return {order[0]: "best"}, None
    except _NoInterval as reason:
        return {}, str(reason)
    return {order[0]: "best", order[1]: "second"}, None


class _NoInterval(Exception):
    """Two methods have no paired interval, so no mark can be given."""


def _separated(block: Block | None) -> bool:
    """Whether the paired interval excludes 0."""
    if block is None:
        raise _NoInterval("the runs' cases are not at hand")
    if block["ci95"] is None:
        raise _NoInterval(block["missing"] or _reason(block))
    return block["ci95"][0] > 0 or block["ci95"][1] < 0
