"""Breakdown: every score per emotion, per level and per person.

Each group's scores are those of `bench.aggregate` over its cases alone, interval included: one person is one cluster,
so a score per person has none. Set metrics (FID, FVD) are left out: over a few clips they measure their own bias.
Nothing is marked as best here, since that takes the paired difference of a group, of which there are too many to test.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bench.aggregate import aggregate
from bench.leaderboard import Comparison, StoredRun
from bench.report.numbers import Head, Score, head, minus
from bench.table import Block, Cell, Column
from bench.table_formats import ci_text, count_text, decimals, number

GROUPINGS = {"emotion": "Per emotion", "level": "Per level", "identity": "Per person"}
"""Field of a record -> title."""


@dataclass(frozen=True)
class Group:
    """One row: the cases of one emotion, level or person."""

    name: str
    scores: tuple[Score, ...]
    """One per method."""


@dataclass(frozen=True)
class Grouping:
    """One metric's scores by one field."""

    title: str
    field: str
    groups: tuple[Group, ...]


@dataclass(frozen=True)
class Part:
    """One metric."""

    head: Head
    groupings: tuple[Grouping, ...]


def breakdown(comparison: Comparison) -> list[Part]:
    """A part per metric that has a value for single cases; groupings that would have one group only are left out."""
    scores = {label: _by_field(run) for label, run in comparison.labelled.items()}
    columns: dict[str, Column] = {}
    for run in comparison.labelled.values():
        for key, block in run.summary["metrics"].items():
            if run.metrics[key].kind != "set":
                about = Column(key.partition("@")[0], block["variant"], block["unit"], block["higher_is_better"])
                columns.setdefault(key, about)
    parts = [Part(head(column), _groupings(scores, key)) for key, column in columns.items()]
    return [part for part in parts if part.groupings]


def _by_field(run: StoredRun) -> dict[str, dict[Any, dict[str, Block]]]:
    """field -> group -> result key -> block."""
    metrics = {key: metric for key, metric in run.metrics.items() if metric.kind != "set"}
    found: dict[str, dict[Any, dict[str, Block]]] = {}
    for field in GROUPINGS:
        names = {record[field] for record in run.records.values()} - {None}
        found[field] = {
            name: aggregate([r for r in run.records.values() if r[field] == name], metrics) for name in names
        }
    return found


def _groupings(scores: Mapping[str, Mapping[str, Mapping[Any, Mapping[str, Block]]]], key: str) -> tuple[Grouping, ...]:
    groupings = []
    for field, title in GROUPINGS.items():
        names = sorted({name for by_field in scores.values() for name in by_field[field]})
        blocks = {name: [by_field[field].get(name, {}).get(key) for by_field in scores.values()] for name in names}
        valued = [b for row in blocks.values() for b in row if b is not None and b["value"] is not None]
        if len(names) < 2 or not valued:
            continue
        places = decimals((block["value"], block["ci95"]) for block in valued)
        groups = tuple(Group(str(name), tuple(_score(block, places) for block in row)) for name, row in blocks.items())
        groupings.append(Grouping(title, field, groups))
    return tuple(groupings)


def _score(block: Block | None, places: int) -> Score:
    if block is None or block["value"] is None:
        return Score()
    cell = Cell(block["value"], block["ci95"] and tuple(block["ci95"]))
    key = repr(abs(cell.value) if block["higher_is_better"] is None else cell.value)
    text, interval = minus(number(cell.value, places)), minus(ci_text(cell, places))
    return Score(text, interval, count_text(block["n"], block["n_failed"]), key=key)
