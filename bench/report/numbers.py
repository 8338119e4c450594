"""Tables of `bench.table` as rows of texts for a template. What is ranked and marked was decided there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.report.page import slug
from bench.table import Cell, Column, Table
from bench.table_formats import ci_text, count_text, decimals, number, values_of

FAMILIES = {
    "Picture and identity": ("psnr", "ssim", "lpips", "fid", "kid", "fvd", "csim"),
    "Lips and speech": ("lse_c", "lse_d", "av_offset", "m_lmd", "f_lmd"),
    "Expression": ("efid", "acc_emo", "au_", "reference_leak"),
}
"""Title -> beginnings of metric names; a table of 24 columns fits neither a screen nor a page."""
OTHERS = "Other metrics"


@dataclass(frozen=True)
class Head:
    """A metric above its column."""

    key: str
    name: str
    variant: str
    unit: str
    arrow: str
    best: str
    """The order that puts the best first: ascending or descending. Where 0 is best, sizes are sorted."""


@dataclass(frozen=True)
class Score:
    """One cell."""

    text: str | None = None
    """None where there is no value."""
    interval: str = ""
    count: str = ""
    """Cases, where they are others than the row's."""
    mark: str = ""
    key: str = ""
    """What it is sorted by, empty where there is no value."""
    notes: tuple[int, ...] = ()
    prefix: str = ""
    """Of the notes' anchors."""


@dataclass(frozen=True)
class Line:
    """One method."""

    label: str
    count: str
    scores: tuple[Score, ...]


@dataclass(frozen=True)
class Grid:
    """One table on a page."""

    id: str
    title: str
    heads: tuple[Head, ...]
    sections: tuple[tuple[str, tuple[Line, ...]], ...]
    """(title, its rows)."""
    notes: tuple[str, ...]
    """Numbered from 1."""
    marks: frozenset[str]
    """Those that occur, for the legend."""


def head(column: Column) -> Head:
    best = "descending" if column.higher_is_better else "ascending"
    return Head(column.metric, column.name, column.variant, column.unit, column.arrow, best)


def shown(table: Table) -> list[Column]:
    """Columns in which a row has a value."""
    return [column for column in table.columns if values_of(table, column)]


def grids(table: Table) -> list[Grid]:
    """A leaderboard, one grid per family of metrics."""
    families: dict[str, list[Column]] = {title: [] for title in (*FAMILIES, OTHERS)}
    for column in shown(table):
        families[_family(column.name)].append(column)
    return [_grid(table, title, columns) for title, columns in families.items() if columns]


def sections_of(table: Table) -> list[str]:
    """Titles of a table's sections: methods first, controls last."""
    return sorted(
        dict.fromkeys(row.section for row in table.rows), key=lambda title: (title == "controls", title != "")
    )


def _family(name: str) -> str:
    return next((title for title, starts in FAMILIES.items() if name.startswith(starts)), OTHERS)


def _grid(table: Table, title: str, columns: Sequence[Column]) -> Grid:
    digits = {column.key: decimals(values_of(table, column)) for column in columns}
    notes: dict[str, int] = {}
    name = slug(title)
    sections = []
    for section in sections_of(table):
        lines = []
        for row in table.rows:
            if row.section != section:
                continue
            counts = [(c.n, c.n_failed) for column in columns if (c := row.cells[column.key]).value is not None]
            usual = max(counts, key=counts.count, default=(0, 0))
            scores = [_score(row.cells[c.key], c, digits[c.key], usual, notes, f"{name}-") for c in columns]
            lines.append(Line(row.label, count_text(*usual), tuple(scores)))
        sections.append((section, tuple(lines)))
    marks = frozenset(score.mark for _, lines in sections for line in lines for score in line.scores)
    return Grid(name, title, tuple(map(head, columns)), tuple(sections), tuple(notes), marks)


def _score(
    cell: Cell, column: Column, places: int, usual: tuple[int, int], notes: dict[str, int], prefix: str
) -> Score:
    numbers = [notes.setdefault(text, len(notes) + 1) for text in (cell.missing, cell.note) if text]
    if cell.value is None:
        return Score(notes=tuple(numbers), prefix=prefix)
    other = (cell.n, cell.n_failed) != usual
    return Score(
        minus(number(cell.value, places)), minus(ci_text(cell, places)),
        count_text(cell.n, cell.n_failed) if other else "", cell.mark,
        repr(abs(cell.value) if column.higher_is_better is None else cell.value), tuple(numbers), prefix,
    )  # fmt: skip


# -- differences --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Whisker:
    """One method's difference to the baseline."""

    label: str
    text: str | None
    interval: str
    verdict: str
    """better, worse, differs, not shown, or empty where there is no interval."""
    about: str
    """Why there is no value or no interval."""
    low: float
    value: float
    high: float
    """Places on the panel's axis, 0 to 100."""


@dataclass(frozen=True)
class Panel:
    """One metric's differences on one axis."""

    head: Head
    zero: float
    """Place of no difference, 0 to 100."""
    whiskers: tuple[Whisker, ...]


def panels(table: Table, baseline: str) -> list[Panel]:
    """Differences to a baseline, a panel per metric.

    Args:
        table: of kind pairwise.
        baseline: whose name its rows end on.
    """
    return [_panel(table, column, f" minus {baseline}") for column in shown(table)]


def _panel(table: Table, column: Column, ending: str) -> Panel:
    places = decimals(values_of(table, column))
    cells = [row.cells[column.key] for row in table.rows]
    ends = [0.0, *(end for cell in cells if cell.value is not None for end in (cell.value, *(cell.ci95 or ())))]
    low, high = min(ends), max(ends)
    room = 0.06 * (high - low) or 1.0

    def place(value: float) -> float:
        return round(100 * (value - low + room) / (high - low + 2 * room), 2)

    whiskers = []
    for row, cell in zip(table.rows, cells, strict=True):
        label = row.label.removesuffix(ending)
        about = "; ".join(filter(None, (cell.missing, cell.note)))
        if cell.value is None:
            whiskers.append(Whisker(label, None, "", "", about, 0, 0, 0))
            continue
        start, end = cell.ci95 or (cell.value, cell.value)
        text, interval = minus(number(cell.value, places, signed=True)), minus(ci_text(cell, places, signed=True))
        whiskers.append(Whisker(label, text, interval, cell.mark, about, place(start), place(cell.value), place(end)))
    return Panel(head(column), place(0.0), tuple(whiskers))


def plural(count: int, noun: str) -> str:
    """'1 case', '2 cases'."""
    return f"{count} {noun}" + ("" if count == 1 else "s")


def size_text(count: int) -> str:
    """Bytes as kB or MB."""
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.0f} kB"


def minus(text: str) -> str:
    """Numbers with the sign that is as wide as a plus."""
    return text.replace("-", "\u2212")
