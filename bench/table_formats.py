"""How tables look: plain text, Markdown, LaTeX, CSV and JSON from one bench.table.Table.

A cell without a value is a dash with a footnote that says what would fill it; equal texts share a footnote. A metric
without any value leaves the grid and is listed below it, but stays in CSV and JSON, which carry full precision.
"""

from __future__ import annotations

import csv
import io
import math
import re
import textwrap
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from bench.table import Cell, Column, Reported, Row, Table

MAX_DECIMALS = 6
LABEL_WIDTH = 28
"""Longest line of a method's label in plain text; longer ones are wrapped."""


@dataclass(frozen=True)
class _Style:
    """How one format shows texts, marks and footnotes."""

    escape: Callable[[str], str]
    """Makes any text safe in this format; what the other fields add is not escaped."""
    marks: Mapping[str, str]
    """Mark -> format string of the value."""
    legend: Mapping[str, str]
    """Mark -> how the legend calls its look."""
    footnote: str
    dash: str = "–"


def _as_is(text: str) -> str:
    return text


def escape_markdown(text: str) -> str:
    """Text that Markdown shows as it is, also inside a table."""
    return re.sub(r"[|*<]", lambda match: {"|": r"\|", "*": r"\*", "<": "&lt;"}[match[0]], text)


def escape_latex(text: str) -> str:
    text = re.sub(r"[\\{}$&%#_^~|<>↑↓→≈]", lambda match: _LATEX_SPECIAL.get(match[0], "\\" + match[0]), text)
    return text.replace("--", "-{}-")  # Two hyphens of an option would become a dash.


_LATEX_SPECIAL = {
    "|": r"\textbar{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "→": r"$\rightarrow$",
    "≈": r"$\approx$",
    "\\": r"\textbackslash{}",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
}
_PLAIN = _Style(
    _as_is,
    {"best": "{}*", "second": "{}+", "tie": "{}="},
    {"best": "*", "second": "+", "tie": "="},
    footnote="[{}]",
)
_MARKDOWN = _Style(
    escape_markdown,
    {"best": "**{}**", "second": "<u>{}</u>", "tie": "{} ≈"},
    {"best": "**bold**", "second": "<u>underlined</u>", "tie": "≈"},
    footnote="<sup>{}</sup>",
)
_LATEX = _Style(
    escape_latex,
    {"best": r"\textbf{{{}}}", "second": r"\underline{{{}}}", "tie": r"{}$^{{\approx}}$"},
    {"best": r"\textbf{bold}", "second": r"\underline{underlined}", "tie": r"$\approx$"},
    footnote=r"$^{{{}}}$",
    dash="--",
)
_MEANING = {
    "best": "best",
    "second": "second",
    "tie": "shares the best place: the paired 95 % interval of the difference holds 0",
}


@dataclass(frozen=True)
class _Grid:
    """Strings in rows; every cell is a list of lines, the first `fixed` columns are repeated when a grid is cut."""

    title: str
    header: list[list[str]]
    body: list[list[list[str]]]
    fixed: int


class _Footnotes:
    """Numbers texts in order of appearance; equal texts share a number."""

    def __init__(self, style: _Style):
        self._style = style
        self.numbers: dict[str, int] = {}

    def mark(self, *texts: str | None) -> str:
        wanted = dict.fromkeys(text for text in texts if text)
        return "".join(self._style.footnote.format(self.numbers.setdefault(t, len(self.numbers) + 1)) for t in wanted)


def decimals(values: Iterable[tuple[float, tuple[float, float] | None]]) -> int:
    """Decimals for the values of one metric: two significant digits of the typical half interval.

    The typical one is the upper median, so that one row with a tiny interval (a control) does not blow up the column.
    Values without an interval count with four significant digits of the value, if no row has an interval.
    """
    values = list(values)
    halves = [(ci95[1] - ci95[0]) / 2 for value, ci95 in values if ci95 and ci95[1] - ci95[0] > 1e-9 * abs(value)]
    if halves:
        needed = sorted(1 - math.floor(math.log10(half)) for half in halves)
    else:
        needed = sorted(3 - math.floor(math.log10(abs(value))) if value else 1 for value, _ in values) or [1]
    return min(max(needed[len(needed) // 2], 0), MAX_DECIMALS)


def number(value: float, digits: int, signed: bool = False) -> str:
    """A value with so many decimals; -0 has no sign."""
    text = f"{value:{'+' if signed else ''}.{digits}f}"
    return text if float(text) or signed else text.lstrip("-")


def ci_text(cell: Cell, digits: int, signed: bool = False) -> str:
    """A cell's interval as [low, high], empty where there is none."""
    return "" if cell.ci95 is None else f"[{', '.join(number(end, digits, signed) for end in cell.ci95)}]"


def _grids(table: Table, style: _Style) -> tuple[list[_Grid], list[str]]:
    """The grids of a table and the lines below them."""
    notes = _Footnotes(style)
    printed = table.kind == "published"
    shown = [column for column in table.columns if printed or values_of(table, column)]
    digits = {column.key: decimals(values_of(table, column)) for column in shown}
    grids = []
    if printed:
        for group in dict.fromkeys(column.group for column in shown):
            grids.append(_beside_print(table, [c for c in shown if c.group == group], digits, style, notes))
    elif shown and table.kind == "leaderboard":
        for section in dict.fromkeys(row.section for row in table.rows):
            grids.append(_across(table, section, shown, digits, style, notes))
    elif shown:
        grids = [_down(table, row, shown, digits, style, notes) for row in table.rows]
    lines = [_legend(table, shown, style)]
    lines += [f"{style.footnote.format(number)} {style.escape(text)}" for text, number in notes.numbers.items()]
    reasons = dict.fromkeys(
        f"{c.printed} is taken for {c.metric}: {c.why}" for c in table.columns if c.why and c.variant
    )
    lines += [style.escape(text) for text in (*table.notes, *reasons, *not_computed(table, shown))]
    return grids, [line for line in lines if line]


def values_of(table: Table, column: Column) -> list[tuple[float, tuple[float, float] | None]]:
    cells = [row.cells[column.key] for row in table.rows]
    return [(cell.value, cell.ci95) for cell in cells if cell.value is not None]


def _across(
    table: Table, section: str, shown: list[Column], digits: Mapping[str, int], style: _Style, notes: _Footnotes
) -> _Grid:
    """Methods down, metrics across; n stands once per row, and in a cell only where it differs."""
    names = [[f"{column.name} {column.arrow}".strip(), column.variant, column.unit] for column in shown]
    header = [["method"], ["n"], *([style.escape(text) for text in lines] for lines in names)]
    body = []
    for row in table.rows:
        if row.section != section:
            continue
        cells = [row.cells[column.key] for column in shown]
        usual = _usual_count(cells)
        line = [[style.escape(text) for text in textwrap.wrap(row.label, LABEL_WIDTH)], [count_text(*usual)]]
        line += [
            _score(cell, digits[column.key], usual, style, notes) for column, cell in zip(shown, cells, strict=True)
        ]
        body.append(line)
    return _Grid(style.escape(section), header, body, fixed=2)


def _beside_print(
    table: Table, shown: list[Column], digits: Mapping[str, int], style: _Style, notes: _Footnotes
) -> _Grid:
    """Up to three lines per method: reported, ours, the difference. A method without a run is one line with a footnote."""
    with_print = any(row.cells[column.key].reported for row in table.rows for column in table.columns)
    sides = ["", ""] if with_print else [""]
    names = [[f"{column.printed} {column.arrow}".strip(), column.metric if column.variant else "", column.unit]
             for column in shown]  # fmt: skip
    header = [["method"], *([side] for side in sides[1:]), ["n"]]
    header += [[style.escape(text) for text in lines] for lines in names]
    body = []
    for row in table.rows:
        cells = [row.cells[column.key] for column in shown]
        here = any(cell.value is not None for cell in cells)
        lines = [("reported", "", [[_printed(cell, style)] for cell in cells])] if with_print else []
        if here or not with_print:
            usual = _usual_count(cells)
            ours = [
                _score(cell, digits[column.key], usual, style, notes) for column, cell in zip(shown, cells, strict=True)
            ]
            lines.append(("ours", count_text(*usual) if here else "", ours))
        if any(cell.delta is not None for cell in cells):
            deltas = [_delta(cell, digits[column.key]) for column, cell in zip(shown, cells, strict=True)]
            lines.append(("difference", "", deltas))
        label = [style.escape(text) for text in textwrap.wrap(row.label, LABEL_WIDTH)]
        section = f"{row.section}: ranked among such rows only" if row.section else None
        label[-1] += notes.mark(section, *([] if here or not with_print else [cell.missing for cell in cells]))
        for place, (side, n, values) in enumerate(lines):
            first = label if place == 0 else [""]
            body.append([first, *([[side]] if with_print else []), [n], *values])
    return _Grid(style.escape(shown[0].group), header, body, fixed=len(header) - len(shown))


def _printed(cell: Cell, style: _Style) -> str:
    return cell.reported.printed if cell.reported else style.dash


def _score(cell: Cell, digits: int, usual: tuple[int, int], style: _Style, notes: _Footnotes) -> list[str]:
    """Value with its mark and footnotes, interval, and n where it is not the row's usual one."""
    if cell.value is None:
        return [style.dash + notes.mark(cell.missing)]
    value = style.marks.get(cell.mark, "{}").format(number(cell.value, digits)) + notes.mark(cell.missing, cell.note)
    count = "" if (cell.n, cell.n_failed) == usual else f"n={count_text(cell.n, cell.n_failed)}"
    return [text for text in (value, ci_text(cell, digits), count) if text]


def _usual_count(cells: Iterable[Cell]) -> tuple[int, int]:
    """(n, n_failed) of most of a row's values."""
    counts = [(cell.n, cell.n_failed) for cell in cells if cell.value is not None]
    return max(counts, key=counts.count, default=(0, 0))


def _delta(cell: Cell, digits: int) -> list[str]:
    return ["" if cell.delta is None else number(cell.delta, digits, signed=True)]


def count_text(n: int, n_failed: int) -> str:
    """n, or n/all where some cases have no value."""
    return f"{n}/{n + n_failed}" if n_failed else str(n)


def _down(
    table: Table, row: Row, shown: list[Column], digits: Mapping[str, int], style: _Style, notes: _Footnotes
) -> _Grid:
    """One line per metric of one method (or of one difference)."""
    paired = table.kind == "pairwise"
    detectable = paired or table.with_detectable
    header = ["metric", "difference" if paired else "value", "95 % interval", "unit", "n"]
    header += [] if paired else ["failed"]
    header += ["detectable"] if detectable else []
    header += ["verdict"] if paired else []
    body = []
    for column in shown:
        cell, places = row.cells[column.key], digits[column.key]
        value = style.dash if cell.value is None else number(cell.value, places, paired)
        line = [style.escape(f"{column.key} {column.arrow}".strip()), value + notes.mark(cell.missing, cell.note)]
        line += [ci_text(cell, places, paired), style.escape(column.unit), str(cell.n)]
        line += [] if paired else [str(cell.n_failed)]
        line += [style.dash if cell.detectable is None else number(cell.detectable, places)] if detectable else []
        line += [cell.mark] if paired else []
        body.append([[text] for text in line])
    title = row.label if len(table.rows) > 1 else ""  # The table's own title names a single row.
    return _Grid(style.escape(title), [[style.escape(text)] for text in header], body, fixed=1)


def _legend(table: Table, shown: list[Column], style: _Style) -> str:
    """What arrows, brackets and marks mean, as far as they occur."""
    cells = [row.cells[column.key] for row in table.rows for column in shown]
    used = {cell.mark for cell in cells}
    detectable = table.with_detectable or table.kind == "pairwise"
    several = table.kind in ("leaderboard", "published")
    texts = [
        ("↑ higher is better, ↓ lower is better", any(column.arrow for column in shown)),
        ("reported: as printed, without intervals and so without ranks", any(cell.reported for cell in cells)),
        ("difference: ours minus reported", any(cell.delta is not None for cell in cells)),
        ("[low, high] 95 % interval", any(cell.ci95 for cell in cells)),
        ("n = a/b: a of b cases have a value", several and any(cell.n_failed for cell in cells)),
        ("detectable: smallest difference these cases show at 80 % power", bool(shown) and detectable),
        ("not shown: the interval holds 0", "not shown" in used),
    ]
    parts = [style.escape(text) for text, occurs in texts if occurs]
    parts += [f"{style.legend[mark]} {style.escape(_MEANING[mark])}" for mark in style.legend if mark in used]
    return "; ".join(parts)


def not_computed(table: Table, shown: list[Column]) -> list[str]:
    """Metrics that no row has, grouped by what would fill them."""
    groups: dict[str, list[str]] = {}
    for column in table.columns:
        if column not in shown:
            texts = dict.fromkeys(row.cells[column.key].missing or "no value" for row in table.rows)
            groups.setdefault("; ".join(texts), []).append(column.key)
    return [f"not computed: {', '.join(keys)}: {text}" for text, keys in groups.items()]


# -- writing ----------------------------------------------------------------------------------------------------------


def plain(table: Table, width: int = 120) -> str:
    """Plain text for a terminal of `width` characters; wide grids continue below with the first columns repeated."""
    grids, notes = _grids(table, _PLAIN)
    parts = [table.title] if table.title else []
    for grid in grids:
        pieces = [_plain_piece(grid, columns) for columns in _fit(grid, width)]
        parts.append("\n\n".join([*([grid.title] if grid.title else []), *pieces]))
    wrapped = [textwrap.fill(note, width, subsequent_indent="  ", break_on_hyphens=False) for note in notes]
    return "\n\n".join([*parts, *(["\n".join(wrapped)] if wrapped else [])]) + "\n"


def _widths(grid: _Grid) -> list[int]:
    return [
        max(len(text) for cell in column for text in (cell or [""]))
        for column in zip(grid.header, *grid.body, strict=True)
    ]


def _fit(grid: _Grid, width: int) -> list[list[int]]:
    """Column positions of every piece: the fixed columns and as many others as fit, at least one."""
    widths = _widths(grid)
    fixed = list(range(grid.fixed))
    room = width - sum(widths[column] + 2 for column in fixed)
    pieces: list[list[int]] = [[]]
    used = 0
    for column in range(grid.fixed, len(widths)):
        if pieces[-1] and used + widths[column] > room:
            pieces.append([])
            used = 0
        pieces[-1].append(column)
        used += widths[column] + 2
    return [fixed + piece for piece in pieces]


def _plain_piece(grid: _Grid, columns: list[int]) -> str:
    widths = _widths(grid)

    def lines(row: list[list[str]]) -> list[str]:
        height = max(len(row[column]) for column in columns)
        out = []
        for level in range(height):
            texts = [row[column][level] if level < len(row[column]) else "" for column in columns]
            padded = [
                text.ljust(widths[column]) if column == 0 else text.rjust(widths[column])
                for column, text in zip(columns, texts, strict=True)
            ]
            out.append("  ".join(padded).rstrip())
        return out

    rule = "  ".join("-" * widths[column] for column in columns)
    header = [line for line in lines(grid.header) if line]
    return "\n".join([*header, rule, *(line for row in grid.body for line in lines(row))])


def markdown(table: Table) -> str:
    """GitHub-flavoured Markdown."""
    grids, notes = _grids(table, _MARKDOWN)
    parts = [f"### {escape_markdown(table.title)}"] if table.title else []
    for grid in grids:
        if grid.title:
            parts.append(f"**{grid.title}**")
        rows = [[" ".join(filter(None, cell)) for cell in row] for row in (grid.header, *grid.body)]
        align = [":--" if column == 0 else "--:" for column in range(len(rows[0]))]
        parts.append("\n".join("| " + " | ".join(row) + " |" for row in (rows[0], align, *rows[1:])))
    parts.extend(["\n".join(f"- {note}" for note in notes)] if notes else [])
    return "\n\n".join(parts) + "\n"


def latex(table: Table) -> str:
    """LaTeX with booktabs; notes follow the tabular."""
    grids, notes = _grids(table, _LATEX)
    parts = [r"% needs \usepackage{booktabs}"]
    parts += [r"\paragraph{" + escape_latex(table.title) + r"}\mbox{}"] if table.title else []
    for grid in grids:
        rows = [[_stacked([*filter(None, cell)]) for cell in row] for row in (grid.header, *grid.body)]
        lines = [" & ".join(row) + r" \\" + r" \addlinespace" * ("shortstack" in row[-1]) for row in rows]
        head = [r"\begin{tabular}{l" + "r" * (len(grid.header) - 1) + "}", r"\toprule", lines[0], r"\midrule"]
        title = [r"\textbf{" + grid.title + r"}\\*[2pt]"] if grid.title else []
        parts.append("\n".join([r"\noindent", *title, *head, *lines[1:], r"\bottomrule", r"\end{tabular}"]))
    parts.extend([r"\par\footnotesize " + (r" \\" + "\n").join(notes)] if notes else [])
    return "\n\n".join(parts) + "\n"


def _stacked(lines: list[str]) -> str:
    """Lines of a cell, the first in full size: a value over its interval, a column's name over its variant and unit."""
    if len(lines) < 2:
        return "".join(lines)
    return r"\shortstack[r]{" + r"\\".join([lines[0], *(rf"{{\scriptsize {line}}}" for line in lines[1:])]) + "}"


def csv_text(table: Table) -> str:
    """One line per method and metric, full precision, empty where there is nothing."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    if table.kind == "published":
        _write_published(table, writer)
        return out.getvalue()
    names = ("value", "n", "n_failed", "detectable", "mark", "missing", "note")
    writer.writerow(["section", "method", "metric", "unit", "higher_is_better", "ci95_low", "ci95_high", *names])
    for row in table.rows:
        for column in table.columns:
            cell = row.cells[column.key]
            head = [row.section, row.label, column.key, column.unit, column.higher_is_better]
            writer.writerow([*head, *(cell.ci95 or (None, None)), *(getattr(cell, name) for name in names)])
    return out.getvalue()


def _write_published(table: Table, writer: Any) -> None:
    about = ("group", "printed", "metric", "protocol", "unit", "higher_is_better")
    sides = ("reported", "printed_mark", "earned_mark", "ours", "ci95_low", "ci95_high", "difference")
    rest = ("n", "n_failed", "mark", "missing", "note")
    writer.writerow(["row", "method", "section", *about, *sides, *rest])
    for row in table.rows:
        for column in table.columns:
            cell = row.cells[column.key]
            print_side = cell.reported and (cell.reported.printed, cell.reported.mark, cell.reported.earned)
            ours = [cell.value, *(cell.ci95 or (None, None)), cell.delta]
            line = [row.label, row.method, row.section, *(getattr(column, name) for name in about)]
            writer.writerow([*line, *(print_side or ("", "", "")), *ours, *(getattr(cell, name) for name in rest)])


WRITERS: dict[str, Callable[[Table], str]] = {"md": markdown, "text": plain, "csv": csv_text, "tex": latex}
"""Format -> how a table becomes text."""


def as_json(table: Table) -> dict[str, Any]:
    """A JSON document, full precision. A published table's is that of `_published_json`.

    Returns:
        {"title", "kind", "columns": [key], "metrics": {key: {"variant", "unit", "higher_is_better"}}, "rows":
        [{"method", "section", "cells": {key: {"value", "ci95", "n", "n_failed", "missing", "detectable", "mark",
        "note"}}}], "notes"}.
    """
    if table.kind == "published":
        return _published_json(table)
    metrics = {}
    for column in table.columns:
        about = {"variant": column.variant, "unit": column.unit, "higher_is_better": column.higher_is_better}
        metrics[column.key] = about
    rows = []
    for row in table.rows:
        cells = {column.key: asdict(row.cells[column.key]) for column in table.columns}
        for cell in cells.values():
            cell["ci95"] = cell["ci95"] and list(cell["ci95"])
        rows.append({"method": row.label, "section": row.section, "cells": cells})
    head = {"title": table.title, "kind": table.kind, "columns": list(metrics), "metrics": metrics}
    return head | {"rows": rows, "notes": list(table.notes)}


def _published_json(table: Table) -> dict[str, Any]:
    """A published table.

    Returns:
        {"title", "kind": "published", "columns": [key], "metrics": {key: {"name", "variant", "unit", "higher_is_better",
        "printed", "group", "protocol", "why", "metric"}}, "rows": [{"method": as printed, "name": in the registry,
        "section", "cells": {key: {"reported", "printed", "printed_mark", "earned_mark", "ours", "ci95", "delta", "n",
        "n_failed", "mark", "missing", "note", "detectable"}}}], "notes"}.
    """
    rows = []
    for row in table.rows:
        cells = {column.key: _published_cell(row.cells[column.key]) for column in table.columns}
        rows.append({"method": row.label, "name": row.method, "section": row.section, "cells": cells})
    metrics = {column.key: asdict(column) | {"metric": column.metric} for column in table.columns}
    head = {"title": table.title, "kind": table.kind, "columns": list(metrics), "metrics": metrics}
    return head | {"rows": rows, "notes": list(table.notes)}


def _published_cell(cell: Cell) -> dict[str, Any]:
    there = cell.reported
    return {
        "reported": there and there.value, "printed": there and there.printed, "printed_mark": there and there.mark,
        "earned_mark": there and there.earned, "ours": cell.value, "ci95": cell.ci95 and list(cell.ci95),
        "delta": cell.delta, "n": cell.n, "n_failed": cell.n_failed, "mark": cell.mark, "missing": cell.missing,
        "note": cell.note, "detectable": cell.detectable,
    }  # fmt: skip


def from_json(document: Mapping[str, Any]) -> Table:
    """A published table from its JSON document."""
    columns = [
        Column(**{key: value for key, value in about.items() if key != "metric"})
        for about in document["metrics"].values()
    ]
    rows = []
    for row in document["rows"]:
        cells = {key: _cell_from_json(cell) for key, cell in row["cells"].items()}
        rows.append(Row(row["method"], cells, row["section"], row["name"]))
    return Table(document["title"], document["kind"], tuple(columns), tuple(rows), tuple(document["notes"]))


def _cell_from_json(cell: Mapping[str, Any]) -> Cell:
    there = None
    if cell["reported"] is not None:
        there = Reported(cell["printed"], cell["reported"], cell["printed_mark"], cell["earned_mark"])
    return Cell(
        cell["ours"], cell["ci95"] and (cell["ci95"][0], cell["ci95"][1]), cell["n"], cell["n_failed"],
        cell["missing"], cell["detectable"], cell["mark"], cell["note"], there,
    )  # fmt: skip
