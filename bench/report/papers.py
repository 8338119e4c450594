"""The papers' tables on a page: what is printed, what the runs here have, and their synthetic counterparts; and the claims.

All of it is `bench.published_table` and `bench.claims`; here it becomes texts for a template.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.claims import Judged, judge
from bench.leaderboard import StoredRun
from bench.published_table import PublishedTable, all_tables
from bench.report.numbers import minus
from bench.table import Cell, Column
from bench.table_formats import ci_text, count_text, decimals, number, values_of


@dataclass(frozen=True)
class PrintedCell:
    """One cell of a published table."""

    printed: str
    """The paper's digits, empty where there are none."""
    printed_mark: str
    """best or second among the printed values."""
    text: str
    """Our value, empty where there is none."""
    interval: str
    count: str
    mark: str
    key: str
    """What it is sorted by: ours, or the printed value where nothing is ours."""


@dataclass(frozen=True)
class PrintedTable:
    """One table of a paper, or its synthetic counterpart."""

    name: str
    title: str
    columns: tuple[Column, ...]
    groups: tuple[tuple[str, int], ...]
    """(title above columns, how many); empty where there is one group without a title."""
    sections: tuple[tuple[str, tuple[tuple[str, tuple[PrintedCell, ...]], ...]], ...]
    """(title, its rows: (label, cells))."""
    missing: tuple[str, ...]
    """What would fill the empty cells."""
    notes: tuple[str, ...]
    ours: int
    """Cells with a value of ours."""


@dataclass(frozen=True)
class Papers:
    """Everything about the two papers."""

    tables: tuple[tuple[PrintedTable, PrintedTable | None], ...]
    """(as printed with ours, on rendered faces)."""
    claims: tuple[Judged, ...]


def papers(runs: Mapping[str, Sequence[StoredRun]]) -> Papers:
    """All tables and claims.

    Args:
        runs: protocol -> its finished runs.
    """
    real, synthetic = all_tables(lambda protocol: list(runs.get(protocol, ())))
    tables = [
        (_printed(table), _printed(synthetic[name]) if name in synthetic else None) for name, table in real.items()
    ]
    return Papers(tuple(tables), tuple(judge(real, synthetic)))


def _printed(published: PublishedTable) -> PrintedTable:
    table = published.table
    digits = {column.key: decimals(values_of(table, column)) for column in table.columns}
    sections, missing, ours = [], {}, 0
    for section in dict.fromkeys(row.section for row in table.rows):
        lines = []
        for row in table.rows:
            if row.section == section:
                cells = [row.cells[column.key] for column in table.columns]
                lines.append(
                    (row.label, tuple(_cell(c, digits[k.key]) for c, k in zip(cells, table.columns, strict=True)))
                )
                missing |= {
                    f"{row.label}: {cell.missing}": None for cell in cells if cell.value is None and cell.missing
                }
                ours += sum(cell.value is not None for cell in cells)
        sections.append((section, tuple(lines)))
    names = [column.group for column in table.columns]
    groups = [(name, names.count(name)) for name in dict.fromkeys(names)]
    return PrintedTable(
        published.name, table.title, table.columns, tuple(groups) if any(names) else (), tuple(sections), tuple(missing),
        table.notes, ours,
    )  # fmt: skip


def _cell(cell: Cell, places: int) -> PrintedCell:
    printed, earned = (cell.reported.printed, cell.reported.earned) if cell.reported else ("", "")
    shown = cell.value if cell.value is not None else cell.reported and cell.reported.value
    key = "" if shown is None else repr(shown)
    if cell.value is None:
        return PrintedCell(printed, earned, "", "", "", "", key)
    text, interval = minus(number(cell.value, places)), minus(ci_text(cell, places))
    return PrintedCell(printed, earned, text, interval, count_text(cell.n, cell.n_failed), cell.mark, key)
