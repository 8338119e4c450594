"""The papers' sentences against their own tables and against runs: results/paper/claims.toml, judged here.

Against the print a comparison is one of two numbers, since no interval was published. Against runs it is the paired
difference of two rows: shown where its 95 % interval excludes 0 on the claimed side, contradicted on the other, open where
it holds 0. Words such as "significantly" can only be judged against runs. "Most" is read as more than half of the columns,
"nearly all" as all but one, "competitive" as the better half of the rows.
"""

from __future__ import annotations

import math
import textwrap
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from functools import cache
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from bench.published_table import PublishedTable
from bench.reported import PAPERS, cells_of, reported_tables, wrong_marks
from bench.table import Cell, Column, Row
from bench.table_formats import escape_markdown
from protocols.plan_spec import read_plan

State = Literal["shown", "contradicted", "open", "unmeasured"]


class Check(BaseModel):
    """What of a claim a table can hold."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    table: str
    kind: Literal["better", "competitive", "says", "covers", "answers"] = "better"
    """`better`: the row is better than others in every column. `competitive`: in the better half. `says`: a cell is the
    number of the sentence. `covers`: the table has every method of `other`. `answers`: a share that so many answers give."""
    row: str = ""
    """Row the claim is about."""
    than: tuple[str, ...] = ()
    """Rows it is compared with; empty compares with all others."""
    but: tuple[str, ...] = ()
    """Rows left out."""
    columns: tuple[str, ...] = ()
    """Columns as printed; empty takes all."""
    number: str = ""
    """The number of the sentence, with its digits."""
    percent: bool = False
    """Whether the sentence gives a fraction of the table in percent."""
    minus: str = ""
    """`says`: row that is subtracted."""
    other: str = ""
    """`covers`: the table with the methods."""


class Claim(BaseModel):
    """A sentence of a paper."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    paper: str
    where: str
    quote: str
    """The paper's own words."""
    reading: str
    """What of it we check, in our words."""
    quantifier: Literal["all", "nearly all", "most"] = "all"
    """In how many columns the sentence claims it."""
    checks: tuple[Check, ...] = ()


class Repeat(BaseModel):
    """Two rows that the paper's tables share."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: tuple[tuple[str, str], tuple[str, str]]


class ClaimFile(BaseModel):
    """results/paper/claims.toml."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    claims: tuple[Claim, ...]
    repeats: tuple[Repeat, ...]


@dataclass(frozen=True)
class Verdict:
    """What became of a claim."""

    word: str
    """holds, holds in k of m, fails, no cell; for runs: shown, shown in k of m, contradicted in k of m, no runs."""
    details: tuple[str, ...] = ()
    """Column by column what speaks against it, and what it rests on."""


@dataclass(frozen=True)
class Judged:
    """A claim with its verdicts."""

    claim: Claim
    print: Verdict
    """Against the paper's own cells."""
    runs: Verdict
    """Against runs on the published protocols."""
    synthetic: Verdict
    """Against runs on rendered faces."""

    @property
    def sides(self) -> dict[str, Verdict]:
        return {"print": self.print, "runs": self.runs, "synthetic": self.synthetic}


@dataclass(frozen=True)
class _Item:
    """One column of one check."""

    state: State
    detail: str


@cache
def read_claims() -> ClaimFile:
    """results/paper/claims.toml."""
    return ClaimFile(**tomllib.loads((PAPERS / "claims.toml").read_text("utf-8")))


def judge(tables: Mapping[str, PublishedTable], synthetic: Mapping[str, PublishedTable]) -> list[Judged]:
    """Every claim against the print, the runs and the synthetic runs.

    Args:
        tables: name -> table with its reported side and runs.
        synthetic: name -> synthetic counterpart, where there is one.
    """
    return [
        Judged(claim, _against_print(claim, tables), _against_runs(claim, tables), _against_runs(claim, synthetic))
        for claim in read_claims().claims
    ]


# -- against the print ------------------------------------------------------------------------------------------------


def _against_print(claim: Claim, tables: Mapping[str, PublishedTable]) -> Verdict:
    items = [item for check in claim.checks for item in _PRINT[check.kind](check, tables[check.table])]
    items = [item for item in items if item.state != "unmeasured"]
    if not items:
        return Verdict("no cell")
    held = sum(item.state == "shown" for item in items)
    enough = {"all": len(items), "nearly all": len(items) - 1, "most": len(items) // 2 + 1}[claim.quantifier]
    details = tuple(item.detail for item in items if item.state != "shown")
    count = f"{held} of {len(items)}"
    if held == len(items):
        return Verdict("holds")
    if held >= enough:
        return Verdict(f"holds, in {count}", details)
    return Verdict(f"fails, {count} hold" if held else "fails", details)


def _better_in_print(check: Check, table: PublishedTable) -> Iterable[_Item]:
    row, others = _rows(check, table)
    for column in _columns(check, table):
        mine = row.cells[column.key].reported
        there = {o.label: cell for o in others if (cell := o.cells[column.key].reported)}
        if mine is None or not there:
            continue
        ahead = {label: cell for label, cell in there.items() if not _is_better(column, mine.value, cell.value)}
        detail = f"{_name(table, column)}: {row.label} {mine.printed}"
        if ahead:
            first = (max if column.higher_is_better else min)(ahead, key=lambda label: ahead[label].value)
            more = f" and {len(ahead) - 1} more" if len(ahead) > 1 else ""
            detail += f", {first} {ahead[first].printed}{more}"
        yield _Item("contradicted" if ahead else "shown", detail)


def _competitive_in_print(check: Check, table: PublishedTable) -> Iterable[_Item]:
    row, others = _rows(check, table)
    for column in _columns(check, table):
        mine = row.cells[column.key].reported
        there = [cell for o in others if (cell := o.cells[column.key].reported)]
        if mine is None or not there:
            continue
        rank = 1 + sum(_is_better(column, cell.value, mine.value) for cell in there)
        detail = f"{_name(table, column)}: {mine.printed} is place {rank} of {len(there) + 1}"
        yield _Item("shown" if rank <= _half(len(there) + 1) else "contradicted", detail)


def _says_in_print(check: Check, table: PublishedTable) -> Iterable[_Item]:
    row, subtracted = _row(table, check.row), check.minus and _row(table, check.minus)
    for column in _columns(check, table):
        mine = row.cells[column.key].reported
        minus = subtracted.cells[column.key].reported if subtracted else None
        if mine is None:
            continue
        value = (Decimal(mine.printed) - Decimal(minus.printed if minus else 0)) * (100 if check.percent else 1)
        # Half up, as people round: 0.2085 is 20.9 %.
        same = value.quantize(Decimal(check.number), ROUND_HALF_UP) == Decimal(check.number)
        shown = f"{mine.printed} minus {minus.printed}" if minus else mine.printed
        yield _Item("shown" if same else "contradicted", f"{_name(table, column)}: the table has {shown}")


def _covers_in_print(check: Check, table: PublishedTable) -> Iterable[_Item]:
    here = {row.method for row in table.table.rows}
    for row in read_plan(check.other).rows:
        yield _Item("shown" if row.method in here else "contradicted", f"{table.place} has no {row.label}")


def _answers_in_print(check: Check, table: PublishedTable) -> Iterable[_Item]:
    row, total = _row(table, check.row), int(check.number)
    for column in _columns(check, table):
        mine = row.cells[column.key].reported
        if mine is None:
            continue
        # Half a unit of the last printed digit, and no more than that of binary rounding.
        count = round(mine.value / 100 * total)
        fits = abs(100 * count / total - mine.value) <= 0.005 + 1e-9
        detail = f"{column.printed}: {row.label} {mine.printed} % is {mine.value / 100 * total:.2f} of {total} answers"
        yield _Item("shown" if fits else "contradicted", detail)


_PRINT: dict[str, Callable[[Check, PublishedTable], Iterable[_Item]]] = {
    "better": _better_in_print, "competitive": _competitive_in_print, "says": _says_in_print,
    "covers": _covers_in_print, "answers": _answers_in_print,
}  # fmt: skip


# -- against runs -----------------------------------------------------------------------------------------------------


def _against_runs(claim: Claim, tables: Mapping[str, PublishedTable]) -> Verdict:
    checks = [check for check in claim.checks if check.kind in _RUNS and check.table in tables]
    items = [item for check in checks for item in _RUNS[check.kind](check, tables[check.table])]
    measured = [item for item in items if item.state != "unmeasured"]
    if not checks:
        return Verdict("–")
    if not measured:
        return Verdict("no runs")
    count = {state: sum(item.state == state for item in measured) for state in ("shown", "contradicted")}
    details = [item.detail for item in measured if item.state != "shown" or len(measured) == 1]
    details += dict.fromkeys(remark for check in checks for remark in _remarks(check, tables[check.table]))
    if len(measured) < len(items):
        details.append(f"{len(items) - len(measured)} of {len(items)} columns have no runs")
    of = f"in {{}} of {len(measured)}"
    if count["contradicted"]:
        return Verdict(f"contradicted {of.format(count['contradicted'])}", tuple(details))
    if count["shown"] == len(items):
        return Verdict("shown", tuple(details))
    return Verdict(f"shown {of.format(count['shown'])}" if count["shown"] else "not shown", tuple(details))


def _better_in_runs(check: Check, table: PublishedTable) -> Iterable[_Item]:
    row, others = _rows(check, table)
    for column in _columns(check, table):
        sides = _sides(table, row, others, column)
        if not sides:
            yield _Item("unmeasured", "")
            continue
        states = {state for state, _ in sides.values()}
        state = "contradicted" if "contradicted" in states else "open" if "open" in states else "shown"
        telling = [text for one, text in sides.values() if one == state] if state != "shown" else [
            text for _, text in sides.values()
        ]  # fmt: skip
        yield _Item(state, f"{_name(table, column)}: {', '.join(telling)}")


def _competitive_in_runs(check: Check, table: PublishedTable) -> Iterable[_Item]:
    row, others = _rows(check, table)
    for column in _columns(check, table):
        sides = _sides(table, row, others, column)
        if not sides:
            yield _Item("unmeasured", "")
            continue
        states = [state for state, _ in sides.values()]
        best, worst = 1 + states.count("contradicted"), 1 + len(states) - states.count("shown")
        half = _half(len(states) + 1)
        place = f"{best}" if best == worst else f"{best} to {worst}"
        state = "shown" if worst <= half else "contradicted" if best > half else "open"
        yield _Item(state, f"{_name(table, column)}: place {place} of {len(states) + 1}")


def _says_in_runs(check: Check, table: PublishedTable) -> Iterable[_Item]:
    row = _row(table, check.row)
    for column in _columns(check, table):
        block = (
            table.difference(check.row, check.minus, column.key) if check.minus else _as_block(row.cells[column.key])
        )
        if table.synthetic or block is None or not block["ci95"]:
            yield _Item("unmeasured", "")
            continue
        low, high = (end * (100 if check.percent else 1) for end in block["ci95"])
        inside = low <= float(check.number) <= high
        detail = f"{_name(table, column)}: [{low:.3g}, {high:.3g}] here"
        yield _Item("shown" if inside else "contradicted", detail)


_RUNS: dict[str, Callable[[Check, PublishedTable], Iterable[_Item]]] = {
    "better": _better_in_runs, "competitive": _competitive_in_runs, "says": _says_in_runs,
}  # fmt: skip


def _sides(
    table: PublishedTable, row: Row, others: Sequence[Row], column: Column
) -> dict[str, tuple[Literal["shown", "contradicted", "open"], str]]:
    """Other row -> whether ours is better than it, with the difference in words; rows without a run are left out."""
    found = {}
    for other in others:
        block = table.difference(row.label, other.label, column.key)
        if block is None or block["value"] is None or not block["ci95"]:
            continue
        low, high = block["ci95"]
        gain = (low > 0, high < 0) if column.higher_is_better else (high < 0, low > 0)
        state = "shown" if gain[0] else "contradicted" if gain[1] else "open"
        found[other.label] = (state, f"{block['value']:+.3g} [{low:.3g}, {high:.3g}] to {other.label}")
    return found


def _remarks(check: Check, table: PublishedTable) -> Iterable[str]:
    """What a verdict on runs rests on: how many of the rows there are, and where AUs come from."""
    if check.kind == "says":
        return
    row, others = _rows(check, table)
    here = [o for o in others if any(cell.value is not None for cell in o.cells.values())]
    if here and len(here) < len(others):
        yield f"{row.label} is compared with {', '.join(o.label for o in here)} only"
    sections = {o.section for o in here} - {row.section}
    if row.section and sections:
        yield f"{row.label} has {row.section}, others have not"


def _as_block(cell: Cell) -> Mapping[str, Any]:
    return {"value": cell.value, "ci95": cell.ci95}


# -- rows and columns -------------------------------------------------------------------------------------------------


def _row(table: PublishedTable, label: str) -> Row:
    return next(row for row in table.table.rows if row.label == label)


def _rows(check: Check, table: PublishedTable) -> tuple[Row, list[Row]]:
    """The row and those it is compared with; rows that only runs have are no part of a claim."""
    others = [row for row in table.table.rows if row.method and row.label not in (check.row, *check.but)]
    return _row(table, check.row), [row for row in others if not check.than or row.label in check.than]


def _columns(check: Check, table: PublishedTable) -> list[Column]:
    return [column for column in table.table.columns if not check.columns or column.printed in check.columns]


def _name(table: PublishedTable, column: Column) -> str:
    return f"{table.place}, {column.key}"


def _is_better(column: Column, value: float, than: float) -> bool:
    return value > than if column.higher_is_better else value < than


def _half(count: int) -> int:
    return math.ceil(count / 2)


# -- pages ------------------------------------------------------------------------------------------------------------


def repeats() -> list[tuple[str, str, int, int]]:
    """Rows that two tables share: (table and row, table and row, equal cells, shared columns)."""
    found = []
    for repeat in read_claims().repeats:
        sides = []
        for name, row in repeat.rows:
            cells = cells_of(name)
            sides.append({(p, column): cell for (p, label, column), cell in cells.items() if label == row})
        shared = sides[0].keys() & sides[1].keys()
        equal = sum(math.isclose(sides[0][key].value, sides[1][key].value) for key in shared)
        names = [f"{name}, {row}" for name, row in repeat.rows]
        found.append((names[0], names[1], equal, len(shared)))
    return found


def as_document(judged: Sequence[Judged]) -> dict[str, Any]:
    """JSON: every claim with its verdicts, the marks of the print that its values do not bear out, repeated rows."""
    claims = [
        one.claim.model_dump(mode="json", exclude={"checks"})
        | {side: {"word": verdict.word, "details": list(verdict.details)} for side, verdict in one.sides.items()}
        for one in judged
    ]
    marks = {name: lines for name in reported_tables() if (lines := wrong_marks(name))}
    shared = [dict(zip(("row", "other", "equal", "columns"), one, strict=True)) for one in repeats()]
    return {"claims": claims, "marks": marks, "repeats": shared}


def as_markdown(document: Mapping[str, Any]) -> str:
    """The claims page."""
    lines = ["# What the papers say", "", *textwrap.wrap(" ".join(PREFACE.split()), 120), ""]
    for paper in dict.fromkeys(claim["paper"] for claim in document["claims"]):
        lines += [
            f"## {paper}",
            "",
            "| sentence | its own tables | runs | synthetic runs |",
            "| :-- | :-- | :-- | :-- |",
        ]
        for claim in document["claims"]:
            if claim["paper"] == paper:
                sentence = f"“{claim['quote']}” ({claim['where']}). Read as: {claim['reading']}."
                verdicts = [_verdict(claim[side]) for side in ("print", "runs", "synthetic")]
                lines.append("| " + " | ".join([escape_markdown(sentence), *verdicts]) + " |")
        lines.append("")
    lines += ["## Bold and underline against the values", ""]
    for name, marks in document["marks"].items():
        lines += [f"- {name}: {escape_markdown(line)}" for line in marks]
    lines += ["", "IUFace marks its tables with colours, which its text does not have.", ""]
    lines += ["## Rows that tables share", ""]
    for one in document["repeats"]:
        lines.append(f"- {escape_markdown(one['row'])} and {escape_markdown(one['other'])}: equal in {one['equal']} of "
                     f"{one['columns']} columns")  # fmt: skip
    return "\n".join(lines) + "\n"


def _verdict(verdict: Mapping[str, Any]) -> str:
    details = "; ".join(escape_markdown(text) for text in verdict["details"])
    return f"**{verdict['word']}**" + (f": {details}" if details else "")


PREFACE = """
Sentences of the two papers against the cells of their own tables, and against runs of this suite. Every verdict is
computed from results/paper by `python -m bench tables claims`. A print is compared number with number, since neither paper
gives an interval; a run's row is better than another where the paired 95 % interval of the difference excludes 0, which is
also the only sense in which "significantly" can be judged. "Most" is read as more than half of the columns, "nearly all"
as all but one, "competitive" as the better half of the rows. Synthetic runs are on rendered faces: they say whether a claim
carries over to the small world, not whether the paper is right.
"""
