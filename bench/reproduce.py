"""Reproduce: every row of a plan that this suite can make, run one after the other and put side by side.

A row that is finished is not made again, so an interrupted table goes on where it stopped. Rows of methods that are not
here are named with the command that scores videos made elsewhere. The tables are those of `bench.leaderboard`: paired
differences to the plan's first row, marks only where an interval supports them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench import registry
from bench.device import expand_devices
from bench.leaderboard import StoredRun, find_runs, leaderboard_text
from bench.media.errors import UserError
from bench.plan import make_plan
from bench.progress import Progress
from bench.run import run
from bench.store import write_atomically
from bench.weights import Weights
from protocols.plan_spec import PlanRow, read_plan, score_arguments
from protocols.published import read_spec

TABLES = Path("results") / "tables"


@dataclass
class Reproduction:
    """What a plan came to on this machine."""

    runs: dict[str, list[tuple[PlanRow, StoredRun]]] = field(default_factory=dict)
    """Protocol -> its finished rows in the plan's order."""
    skipped: list[str] = field(default_factory=list)
    """Rows that could not be made, each with the reason and what would make it."""
    failed: int = 0
    """Failed cases over all runs."""


def reproduce(
    name: str,
    *,
    synthetic: bool,
    data: Mapping[str, Path],
    weights: Weights,
    progress: Progress,
    devices: str,
    limit: int | None = None,
    seed: int = 0,
) -> Reproduction:
    """Run the rows of a plan.

    Args:
        name: of the plan.
        synthetic: on the synthetic counterparts of its protocols.
        data: data set (mead, crema, hdtf) -> prepared folder, for real protocols.
        weights: where weights and the cache are.
        progress: where to report to.
        devices: as `bench run --devices` takes them: `auto`, or torch devices with commas.
        limit: cases per run; None takes each protocol's own number.
        seed: of every run.
    """
    plan = read_plan(name)
    done = Reproduction()
    for row, protocol in plan.runs(synthetic):
        if row.method not in registry.methods():
            done.skipped.append(
                f"{row.label}: no method {row.method} here: bench {' '.join(score_arguments(row, protocol, 'DIR'))}"
            )
            continue
        try:
            made = make_plan(
                method=row.method, protocol=protocol, data=None if synthetic else _folder(protocol, data),
                weights=weights, limit=limit, seed=seed, settings={key: str(value) for key, value in row.settings.items()},
            )  # fmt: skip
        except UserError as error:
            done.skipped.append(f"{row.label} on {protocol}: {error}")
            continue
        workers = expand_devices(devices, made.cores_per_worker)
        outcome = run(made, made.default_out(), weights=weights, progress=progress, devices=workers)
        if not outcome.summary:
            waiting = f"{outcome.waiting} cases are still to come from other shards"
            done.skipped.append(f"{row.label} on {protocol}: {waiting}, {outcome.folder}")
            continue
        done.failed += outcome.summary["n_failed"]
        done.runs.setdefault(protocol, []).extend((row, one) for one in find_runs(protocol, [outcome.folder]))
    return done


def _folder(protocol: str, data: Mapping[str, Path]) -> Path:
    dataset = read_spec(protocol).dataset
    if dataset not in data:
        raise UserError(f"needs --data {dataset}=DIR, made with python -m bench prepare {dataset}")
    return data[dataset]


def write_tables(name: str, done: Reproduction, form: str = "md", out: Path = TABLES) -> list[Path]:
    """One table per protocol, and the plan's figure where it has one."""
    plan, files = read_plan(name), []
    for protocol, rows in done.runs.items():
        labels = [f"{row.label} ({run.label})" for row, run in rows]
        text = leaderboard_text([run for _, run in rows], None, labels[0] if len(rows) > 1 else None, form, labels)
        heading = f"# {plan.paper}: {plan.title}\n\n" if form == "md" else ""
        files.append(out / f"{name}_{protocol}.{form}")
        write_atomically(files[-1], f"{heading}{text}\n")
        if plan.axis:
            from bench.sweep_plot import draw_sweep

            files.append(draw_sweep(plan, [(row, run.summary) for row, run in rows], out / f"{name}_{protocol}.png"))
        if plan.trajectories:
            from bench.trajectory_plot import draw_trajectories

            files += draw_trajectories(plan, rows, out / f"{name}_{protocol}.png", Weights())
    return files
