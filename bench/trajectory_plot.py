"""AU intensity over time of a plan's rows, and how far it is from the target's (IUFace, Fig. 1b).

The paper draws aggregate AU intensity and speaks of a temporal L1 error; it defines neither. Here the intensity of a frame is
the mean over AUs, each as a share of its scale, read off the video by the estimator of `au_mae`; the error of a clip is the
mean over frames of |generated - target|. The drawn clip is the one whose target's intensity varies most.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.leaderboard import StoredRun
from bench.media.au import vocabulary
from bench.media.errors import BenchError, UserError
from bench.plan import resolve_metrics
from bench.statistics import Interval, mean_interval
from bench.weights import Weights
from bench.worker import Worker
from metrics.functional.au import SOURCES, au_values
from protocols.plan_spec import PlanRow, PlanSpec

Trajectories = Mapping[str, tuple[np.ndarray, np.ndarray]]
"""Case -> aggregate intensity of the generated and of the target clip, float64 (T,) in [0, 1], NaN without a face."""


@dataclass(frozen=True)
class TemporalError:
    """Of one row."""

    label: str
    clips: Trajectories
    error: Interval
    """Mean over clips, clustered on identity."""


def read_trajectories(run: StoredRun, weights: Weights) -> Trajectories:
    """Of the cases of a run whose AUs can be read on both sides."""
    suffix = ".synth" if run.summary["synthetic"] else ""
    extractor, _, name = SOURCES[suffix]
    (metric,) = resolve_metrics(["au_mae@synth" if suffix else "au_mae"]).values()
    worker = Worker(run.plan, run.folder, weights)
    found = {}
    for case in run.plan.cases:
        record = run.records.get(case.id)
        if record is None or record["status"] == "failed":
            continue
        needs = worker.case_features(case, record, [metric])
        sides = [needs[f"{side}:{extractor}"] for side in ("prediction", "target")]
        if not any(isinstance(side, BenchError) for side in sides):
            made, target = (intensity(au_values(side, extractor, name), name) for side in sides)
            if (np.isfinite(made) & np.isfinite(target)).any():
                found[case.id] = made, target
    return found


def intensity(aus: np.ndarray, name: str) -> np.ndarray:
    """float64 (T,) in [0, 1]: mean over the AUs (T, A) of a vocabulary, each as a share of its largest value."""
    return (np.asarray(aus, np.float64) / np.array(vocabulary(name).high)).mean(axis=1)


def temporal_l1(generated: np.ndarray, target: np.ndarray) -> float:
    """Mean of |generated - target|, (T,) each, over the frames in which both have a face."""
    return float(np.nanmean(np.abs(generated - target)))


def temporal_errors(rows: Sequence[tuple[PlanRow, StoredRun]], weights: Weights) -> list[TemporalError]:
    """Of every row, over the clips that all rows have, so that they compare.

    Raises:
        UserError: there is no such clip.
    """
    read = [(row.label, run, read_trajectories(run, weights)) for row, run in rows]
    identity = {case.id: case.identity for case in rows[0][1].plan.cases}
    shared = [id for id in identity if all(id in clips for _, _, clips in read)]
    if not shared:
        raise UserError(f"{', '.join(label for label, _, _ in read)}: no clip in common whose AUs can be read")
    return [
        TemporalError(label, {id: clips[id] for id in shared}, _mean_error(clips, shared, identity))
        for label, _, clips in read
    ]


def temporal_error(run: StoredRun, weights: Weights) -> tuple[Interval, int]:
    """Of one run: the mean over all its clips whose AUs can be read, in [0, 1], clustered on identity; and how many they are.

    Raises:
        UserError: there is no such clip.
        BenchError: videos or data of the run are not here any more.
    """
    clips = read_trajectories(run, weights)
    if not clips:
        raise UserError(f"{run.label}: no clip whose AUs can be read")
    identity = {case.id: case.identity for case in run.plan.cases}
    return _mean_error(clips, list(clips), identity), len(clips)


def _mean_error(clips: Trajectories, shown: Sequence[str], identity: Mapping[str, str]) -> Interval:
    return mean_interval([temporal_l1(*clips[id]) for id in shown], [identity[id] for id in shown], bounds=(0, 1))


def draw_trajectories(
    plan: PlanSpec, rows: Sequence[tuple[PlanRow, StoredRun]], path: Path, weights: Weights
) -> list[Path]:
    """Draw the figure and write its numbers.

    Args:
        plan: the rows are of.
        rows: (row, its run), all on one protocol.
        path: PNG file to write; the numbers go beside it, as CSV.
        weights: gives the estimator of AUs.

    Returns:
        the two files.
    """
    import matplotlib
    from matplotlib.figure import Figure

    errors = temporal_errors(rows, weights)
    clips = errors[0].clips
    shown = max(clips, key=lambda id: np.nanstd(clips[id][1]))
    with matplotlib.rc_context({"font.size": 8, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(8, 3), layout="constrained")
        lines, bars = figure.subplots(1, 2, width_ratios=(2, 1))
        _draw_clip(lines, errors, shown, rows[0][1].plan.protocol.fps)
        _draw_errors(bars, errors)
        marks = " (synthetic faces)" if rows[0][1].summary["synthetic"] else ""
        figure.suptitle(f"{plan.title}{marks}, n = {len(clips)}", fontsize=9)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=150, metadata={"Software": None})
    return [path, _write_numbers(errors, path.with_suffix(".csv"))]


def _draw_clip(panel, errors: Sequence[TemporalError], case: str, fps: float) -> None:
    series = [("target", errors[0].clips[case][1], "black"), *((e.label, e.clips[case][0], None) for e in errors)]
    for label, values, colour in series:
        panel.plot(np.arange(len(values)) / fps, values, color=colour, linewidth=1.0, label=label)
    panel.set(xlabel=f"seconds of {case}", ylabel="mean AU intensity")
    panel.legend(frameon=False, fontsize=7)


def _draw_errors(panel, errors: Sequence[TemporalError]) -> None:
    for row in errors:
        panel.barh(row.label, row.error.value)
        if row.error.low is not None:
            panel.plot([row.error.low, row.error.high], [row.label] * 2, color="black", linewidth=0.8)
    panel.invert_yaxis()
    panel.set_title("temporal L1 error: lower is better", fontsize=8)


def _write_numbers(errors: Sequence[TemporalError], path: Path) -> Path:
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["row", "n", "temporal_l1", "low", "high"])
        for row in errors:
            ends = ["" if end is None else f"{end:.5f}" for end in (row.error.low, row.error.high)]
            writer.writerow([row.label, len(row.clips), f"{row.error.value:.5f}", *ends])
    return path
