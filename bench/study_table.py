"""AUHead's Table 4 again: the printed answers of 25 people, and those of people who were asked with `bench study`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.reported import STUDY, cells_of, print_notes, read_reported
from bench.study.spec import QUESTIONS
from bench.table import Block, Cell, Column, Row, Table

STUDIES = Path("results") / "studies"
PROTOCOL = "mead_std"
METHODS = {"HalloV2": ("hallo2",), "AUHead": ("auhead_memo", "auhead_hallo")}
"""Row -> methods that are it; the paper does not say on which base its AUHead was."""
COMMANDS = (
    f"python -m bench study make results/runs/{PROTOCOL}/hallo2-FINGERPRINT "
    f"results/runs/{PROTOCOL}/auhead_memo-FINGERPRINT, then python -m bench study tally FILES"
)


def study_table(name: str) -> tuple[Table, dict[tuple[str, str, str], Block]]:
    """The table, and AUHead minus HalloV2 in every column where people were asked.

    A share's interval is the one over raters; a row is best where the interval of the difference excludes 0.
    """
    paper, reported = read_reported(name)
    printed, rows = cells_of(name), list(reported.cells[STUDY])
    asked = _answers()
    sides, questions = asked or ({}, {})
    columns, differences = [], {}
    cells: dict[str, dict[str, Cell]] = {row: {} for row in rows}
    for column in next(iter(reported.cells[STUDY].values())):
        about = paper.columns[column]
        columns.append(Column(column, "", about.unit, about.better == "higher", printed=column, why=about.why))
        answers = questions.get(column.lower())
        for row in rows:
            cell = _cell(answers, sides.get(row, "same")) if answers else Cell(missing=COMMANDS)
            cells[row][column] = replace(cell, reported=printed[STUDY, row, column])
        if answers:
            sign = 1 if sides["AUHead"] == "first" else -1
            ends = answers["difference"]["raters"]
            differences["AUHead", "HalloV2", column] = {
                "value": sign * 100 * answers["difference"]["value"], "n": answers["ratings"],
                "ci95": ends and sorted(sign * 100 * end for end in ends),
            }  # fmt: skip
    made = tuple(Row(row, cells[row], method=row) for row in rows)
    title = f"{reported.paper}: {reported.title}"
    return Table(title, "published", tuple(columns), made, tuple(print_notes(name))), differences


def _answers() -> tuple[dict[str, str], dict[str, Mapping[str, Any]]] | None:
    """Of the tallies that compare the two methods the one with most ratings: row -> side, question -> its answers."""
    found = []
    for path in sorted(STUDIES.glob("*/tally.json")):
        tally = json.loads(path.read_text("utf-8"))
        for pair in tally["pairs"] if tally["protocol"] == PROTOCOL else []:
            sides = {row: side for side in ("first", "second") for row, methods in METHODS.items()
                     if pair[side].split(" ")[0] in methods}  # fmt: skip
            if sides.keys() == METHODS.keys():
                questions = {}
                for key, answers in pair["questions"].items():
                    winner = [side for side in ("first", "second") if pair[side] == answers["verdict"]]
                    questions[QUESTIONS[key][0].lower()] = answers | {"winner": winner}
                found.append((sides, questions))
    return max(found, key=lambda one: max(answers["ratings"] for answers in one[1].values()), default=None)


def _cell(answers: Mapping[str, Any], side: str) -> Cell:
    """A share in percent."""
    share = answers[side]
    ends = share["raters"] and (100 * share["raters"][0], 100 * share["raters"][1])
    return Cell(100 * share["value"], ends, answers["ratings"], mark="best" if side in answers["winner"] else "")
