"""Figures: sweeps of a setting over the runs of a board, and the calibration of this installation."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.plan_runs import run_of_row
from bench.report.gather import Board
from bench.sweep_plot import draw_sweep
from protocols.plan_spec import PlanSpec, plans, read_plan

CALIBRATION = Path("results") / "calibration"


@dataclass(frozen=True)
class Figure:
    """A picture with its words."""

    title: str
    text: str
    address: str
    """From the page."""


def sweeps(board: Board, folder: Path, wrote: Callable[[Path], None]) -> list[Figure]:
    """Figures of all plans with an axis of which the board has two points or more.

    Args:
        board: whose runs are the points.
        folder: the board's folder in the site; figures go to media/.
        wrote: called with every file written.
    """
    figures = []
    for name in plans():
        plan = read_plan(name)
        rows = _points(plan, board)
        if len(rows) > 1:
            path = draw_sweep(plan, [(row, run.summary) for row, run in rows], folder / "media" / f"{name}.png")
            wrote(path)
            text = f"{plan.paper}: {', '.join(run.label for _, run in rows)}."
            figures.append(Figure(plan.title, text, f"media/{path.name}"))
    return figures


def _points(plan: PlanSpec, board: Board) -> list:
    """(row, its run) of the plan's rows that the board has."""
    if plan.axis is None:
        return []
    found = ((row, run_of_row(row, board.protocol, board.runs)) for row in plan.rows)
    return [(row, run) for row, run in found if run is not None]


@dataclass(frozen=True)
class Calibration:
    """A stored calibration."""

    document: dict[str, Any]
    """calibration.json."""
    summary: str
    figures: tuple[Figure, ...]


def calibration(source: Path, folder: Path, wrote: Callable[[Path], None]) -> Calibration | None:
    """The stored calibration with its figures copied into the site; None where `bench calibrate` has not run.

    Args:
        source: folder with calibration.json.
        folder: where the figures go.
        wrote: called with every file written.
    """
    from bench.calibration.report import summary

    if not (source / "calibration.json").exists():
        return None
    document = json.loads((source / "calibration.json").read_text("utf-8"))
    names = {name: f"{about['what']} ({about['unit']})" for name, about in document["degradations"].items()}
    figures = []
    for name, title in (names | {"bias": "Bias of set metrics against the size of the samples"}).items():
        if (source / f"{name}.png").exists():
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / f"{name}.png", folder / f"{name}.png")
            wrote(folder / f"{name}.png")
            figures.append(Figure(title, "", f"{folder.name}/{name}.png"))
    return Calibration(document, summary(document), tuple(figures))
