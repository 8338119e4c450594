"""What the two papers report: every cell of their tables as printed, from results/paper/*.toml.

The plans (protocols/plans) say how a table's cells are made: rows, methods, protocols, metric variants. Here is what was
printed in them, which end is better, and why we take each column for the variant that the plan names. Bold and underline
are kept where the paper's text has them and are computed again from the values: a place is one more than the number of
better values, so two bests leave no second.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, field_validator

from bench.media.errors import UserError
from bench.table import Reported
from protocols.plan_spec import PlanSpec, plans, read_plan
from protocols.published import read_spec

PAPERS = Path(__file__).parents[1] / "results" / "paper"
FILES = ("auhead", "iuface")
STUDY = "study"
"""Stands in a protocol's place where people were asked."""
Mark = Literal["bold", "underlined"]
MARKS: dict[Mark, Literal["best", "second"]] = {"bold": "best", "underlined": "second"}


class ReportedColumn(BaseModel):
    """A column name of a paper's tables."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    better: Literal["higher", "lower"]
    """Which end is better; the printed arrow where there is one."""
    unit: str = ""
    """Unit of the printed values."""
    why: str
    """Why we take it for the metric variant that the plans name."""


class Printed(BaseModel):
    """A cell as printed: `6.9885`, `6.9885 bold`, `6.6311 underlined`."""

    model_config = ConfigDict(frozen=True)

    text: str
    """The digits as printed."""
    mark: Mark | None = None

    @property
    def value(self) -> float:
        return float(self.text)


class ReportedTable(BaseModel):
    """The printed cells of one table."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    title: str | None = None
    """Only where no plan of this name says it."""
    paper: str | None = None
    """Only where no plan of this name says it."""
    marks: tuple[Mark, ...] = ()
    """Marks of the print that the paper's text has; colours, for example, it has not."""
    unranked: tuple[str, ...] = ()
    """Rows that are no method."""
    note: str | None = None
    """What a reader of the table must know."""
    cells: dict[str, dict[str, dict[str, Printed]]]
    """Protocol -> row -> column -> cell."""

    @field_validator("cells", mode="before")
    @classmethod
    def _read_cells(cls, value: dict) -> dict:
        return {
            protocol: {row: {name: _printed(text) for name, text in cells.items()} for row, cells in rows.items()}
            for protocol, rows in value.items()
        }


class ReportedPaper(BaseModel):
    """One file of results/paper."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    name: str
    """The method."""
    text: str
    """File with the paper's text."""
    columns: dict[str, ReportedColumn]
    """Column as printed -> what it is."""
    tables: dict[str, ReportedTable]
    """Table name -> its cells."""


def _printed(text: str) -> Printed:
    digits, _, mark = text.partition(" ")
    float(digits)
    return Printed(text=digits, mark=mark or None)  # type: ignore[arg-type]


@cache
def read_papers() -> dict[str, ReportedPaper]:
    """File name without suffix -> its content."""
    return {name: ReportedPaper(**tomllib.loads((PAPERS / f"{name}.toml").read_text("utf-8"))) for name in FILES}


def reported_tables() -> list[str]:
    """Names of all tables, in the papers' order; AUHead's figure and IUFace's two numbers in the text among them."""
    return [name for paper in read_papers().values() for name in paper.tables]


def read_reported(name: str) -> tuple[ReportedPaper, ReportedTable]:
    """A table and the paper it stands in.

    Raises:
        UserError: there is none of this name.
    """
    for paper in read_papers().values():
        if name in paper.tables:
            return paper, paper.tables[name]
    raise UserError(f"unknown table {name!r}; there are {', '.join(reported_tables())}")


def plan_of(name: str) -> PlanSpec | None:
    """The plan that makes a table's cells; None for the user study, which people make."""
    return read_plan(name) if name in plans() else None


def printed_columns(plan: PlanSpec) -> list[tuple[str, str | None]]:
    """(column, metric) of a plan in the printed order; `M/F-LMD` is two; the metric of an `unmeasured` one is None."""
    found: list[tuple[str, str | None]] = [(name, None) for name in plan.unmeasured]
    for name, metrics in plan.columns.items():
        first, dash, rest = name.partition("-")
        names = [part + dash + rest for part in first.split("/")] if len(metrics) > 1 else [name]
        found += zip(names, metrics, strict=True)
    return found


def group_of(protocol: str) -> str:
    """The data set's name above a block of columns: `MEAD`."""
    return read_spec(protocol).dataset.upper()


def cells_of(name: str) -> dict[tuple[str, str, str], Reported]:
    """(protocol, row, column) -> what was printed there, with its place computed again."""
    paper, table = read_reported(name)
    found = {}
    for protocol, rows in table.cells.items():
        for column in dict.fromkeys(column for cells in rows.values() for column in cells):
            values = {row: cells[column].value for row, cells in rows.items() if column in cells}
            places = _places({row: v for row, v in values.items() if row not in table.unranked}, paper.columns[column])
            for row in values:
                cell = rows[row][column]
                mark = MARKS[cell.mark] if cell.mark else ""
                found[protocol, row, column] = Reported(cell.text, cell.value, mark, places.get(row, ""))
    return found


def _places(values: Mapping[str, float], column: ReportedColumn) -> dict[str, Literal["", "best", "second"]]:
    """Row -> its place by the values alone; a single value has none."""
    sign = 1 if column.better == "higher" else -1
    better = {row: sum(sign * (other - value) > 0 for other in values.values()) for row, value in values.items()}
    if len(values) < 2:
        return {}
    return {row: ("best", "second", "")[min(count, 2)] for row, count in better.items()}


def wrong_marks(name: str) -> list[str]:
    """Bold or underlined cells that are not the best or second by value, and such cells without the mark."""
    paper, table = read_reported(name)
    found = cells_of(name)
    lines = []
    for mark in table.marks:
        place = MARKS[mark]
        for protocol, column in dict.fromkeys((protocol, column) for protocol, _, column in found):
            cells = {row: cell for (p, row, c), cell in found.items() if (p, c) == (protocol, column)}
            printed = [row for row, cell in cells.items() if cell.mark == place]
            earned = [row for row, cell in cells.items() if cell.earned == place]
            if printed != earned:
                where = column if protocol == STUDY or len(table.cells) == 1 else f"{group_of(protocol)} {column}"
                lines.append(f"{where}: {mark} is {_rows(printed, cells)}, {place} by value is {_rows(earned, cells)}")
    return lines


def _rows(rows: list[str], cells: Mapping[str, Reported]) -> str:
    return " and ".join(f"{row} ({cells[row].printed})" for row in rows) or "nothing"


def print_notes(name: str) -> list[str]:
    """What a reader must know about a print: its own note, and its marks against its values."""
    _, reported = read_reported(name)
    return [*([reported.note] if reported.note else []), *(f"as printed, {line}" for line in wrong_marks(name))]
