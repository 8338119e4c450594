"""Case lists: text files under lists/ with one case a line, its clip ids in columns; lines from # on are remarks."""

from __future__ import annotations

from functools import cache
from pathlib import Path

LISTS = Path(__file__).parent / "lists"
OF_OTHERS = {"mead": ("mead_eat100",), "hdtf": ("hdtf_edtalk77",)}
"""Data set -> lists that others made from its files, so that every clip exists; mead_iuface182 follows a rule instead."""


@cache
def read_list(name: str) -> tuple[tuple[str, ...], ...]:
    """The columns of every line of lists/NAME.txt, in the file's order."""
    lines = (line.split("#")[0].split() for line in (LISTS / f"{name}.txt").read_text("utf-8").splitlines())
    return tuple(tuple(columns) for columns in lines if columns)


def listed_clips(dataset: str) -> frozenset[str]:
    """Every clip id that a list of others names."""
    return frozenset(id for name in OF_OTHERS.get(dataset, ()) for columns in read_list(name) for id in columns)
