"""`bench train synth_experts`: renders what the synthetic experts learn from, trains them, measures them on unseen people.

The experts are networks of `metrics.synth`; the world is `protocols.synth`. Neither knows the other: arrays on disk are
all that passes between them.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from bench import registry
from bench.media.errors import UserError
from bench.progress import Progress, counted, duration
from bench.training import Trained, Training
from bench.weights import SHIPPED_ROOT, Weights

SHIPPED = SHIPPED_ROOT / "metrics" / "synth" / "weights"
TRAINERS = {
    "face": ("metrics.synth.train_face:train_face", 20.0),
    "au": ("metrics.synth.train_au:train_au", 34.0),
    "expression": ("metrics.synth.train_expression:train_expression", 2.0),
    "identity": ("metrics.synth.train_identity:train_identity", 7.0),
    "sync": ("metrics.synth.train_sync:train_sync", 10.0),
    "image": ("metrics.synth.train_image:train_image", 7.0),
    "video": ("metrics.synth.train_video:train_video", 7.0),
    "emotion": ("metrics.synth.train_emotion:train_emotion", 7.0),
}
"""Expert -> (its training, minutes on one core that the shipped weights took)."""
MEASURES = {
    "identity": "metrics.synth.train_identity:identity_accuracy",
    "sync": "metrics.synth.train_sync:sync_accuracy",
    "emotion": "metrics.synth.train_emotion:emotion_accuracy",
}
"""Expert -> its accuracy, from the file of its weights and a folder of arrays."""


@dataclass(frozen=True)
class Goal:
    """A figure that an expert must reach on people it has not seen."""

    expert: str
    figure: str
    """Keys into what `measure` says of the expert, joined by dots."""
    what: str
    limit: float
    at_most: bool
    """Whether the limit is the largest value allowed, else the smallest."""
    percent: bool = False
    """Whether figure and limit are shares that people read in percent."""

    def value(self, measured: dict) -> float:
        """The figure."""
        found: Any = measured[self.expert]
        for key in self.figure.split("."):
            found = found[key]
        return float(found)

    def reached(self, measured: dict) -> bool:
        """Whether the figure is within the limit."""
        value = self.value(measured)
        return value <= self.limit if self.at_most else value >= self.limit


GOALS = (
    Goal("face", "clips.au_mae", "AU-MAE, sentences", 0.05, True),
    Goal("face", "stills.au_mae", "AU-MAE, random faces", 0.05, True),
    Goal("face", "clips.union_mae", "MAE over AUs active on either side, sentences", 0.08, True),
    Goal("face", "stills.union_mae", "MAE over AUs active on either side, random faces", 0.085, True),
    Goal("face", "stills.pcc_lowest", "correlation of the worst AU, random faces", 0.9, False),
    Goal("face", "stills.landmark_error", "landmark error in % of eye distance", 2.0, True),
    Goal("au", "clips.au_mae", "AU-MAE, sentences", 0.05, True),
    Goal("au", "stills.au_mae", "AU-MAE, random faces", 0.05, True),
    Goal("au", "clips.union_mae", "MAE over AUs active on either side, sentences", 0.08, True),
    Goal("au", "stills.union_mae", "MAE over AUs active on either side, random faces", 0.085, True),
    Goal("au", "stills.pcc_lowest", "correlation of the worst AU, random faces", 0.9, False),
    Goal("identity", "eer", "equal error rate of verification", 0.05, True, percent=True),
    Goal("sync", "within_1", "offset right within a frame", 0.95, False, percent=True),
    Goal("emotion", "accuracy", "emotion recognised, levels 1 to 3", 0.9, False, percent=True),
)
"""What the shipped weights are held to, by a test."""


class ExpertSettings(BaseModel):
    """Settings of the training."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    only: tuple[str, ...] = tuple(TRAINERS)
    """Which experts, in this order; `expression` reads the weights of `face` in the same folder."""
    minutes: float | None = Field(default=None, gt=0)
    """Minutes per expert; None takes what the shipped weights took."""
    measure: bool = True
    """Whether to measure them on unseen people afterwards."""
    workers: int | None = Field(default=None, ge=1)
    """Processes that render; None takes one per core."""


class SynthExperts(Training):
    """The experts, one after the other, then their accuracy."""

    Settings = ExpertSettings
    title = "networks that measure rendered faces: the @synth variants"

    def run(
        self,
        settings: ExpertSettings,
        *,
        weights: Weights,
        progress: Progress,
        data: Path | None,
        out: Path | None,
        seed: int,
    ) -> Trained:
        """Train experts and measure them.

        Args:
            settings: which, and for how long.
            weights: gives the cache.
            progress: where to report to.
            data: folder of the training arrays, rendered if they are not there; None takes one in the cache.
            out: where the safetensors files go; None replaces those that ship with the suite.
            seed: decides initial weights and batches.
        """
        if unknown := set(settings.only) - set(TRAINERS):
            raise UserError(f"no expert {', '.join(sorted(unknown))}; there are {', '.join(TRAINERS)}")
        folder = out or SHIPPED
        arrays = training_arrays(weights, progress, data, settings.workers)
        files = [_train(name, arrays, folder, settings, progress, seed) for name in settings.only]
        if not settings.measure:
            return Trained(files)
        unseen = test_arrays(weights, progress, workers=settings.workers)
        measured = measure(unseen, folder, settings.only)
        return Trained(files, measured, accuracy_table(measured))


def _train(name: str, arrays: Path, folder: Path, settings: ExpertSettings, progress: Progress, seed: int) -> Path:
    target, minutes = TRAINERS[name]
    minutes = settings.minutes or minutes
    path = folder / f"synth_{name}.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    progress.say(f"{name}: {minutes:g} minutes on {arrays}")
    _load(target)(arrays, path, minutes=minutes, seed=seed)
    progress.say(f"{name}: {path}, {path.stat().st_size / 1e6:.2f} MB, {duration(time.monotonic() - began)}")
    return path


def training_arrays(
    weights: Weights, progress: Progress, folder: Path | None = None, workers: int | None = None
) -> Path:
    """The arrays the experts learn from, rendered if they are not there."""
    from protocols.synth.arrays import TRAINING

    return _rendered(folder or weights.cache / "synth" / "training", TRAINING, progress, workers)


def test_arrays(weights: Weights, progress: Progress, folder: Path | None = None, workers: int | None = None) -> Path:
    """The arrays of unseen people the experts are measured on, rendered if they are not there."""
    from protocols.synth.arrays import TESTING

    return _rendered(folder or weights.cache / "synth" / "testing", TESTING, progress, workers)


def _rendered(folder: Path, amount, progress: Progress, workers: int | None) -> Path:
    from protocols.synth.arrays import write_arrays

    with counted(progress, "render arrays") as step:
        write_arrays(folder, amount, step, workers)
    return folder


def _load(target: str):
    module, name = target.split(":")
    return getattr(importlib.import_module(module), name)


def measure(data: Path, folder: Path, names: Iterable[str] = TRAINERS) -> dict[str, dict]:
    """Accuracy of experts on arrays of people they have not seen.

    Args:
        data: folder of arrays, see `protocols.synth.arrays`.
        folder: where the weights are.
        names: which experts; image, video and expression have no truth to be measured against.

    Returns:
        expert -> figures by name, nested where an expert is measured on stills and on clips.
    """
    found: dict[str, dict] = {}
    for name in names:
        path = folder / f"synth_{name}.safetensors"
        if name in ("face", "au"):
            extractor = registry.extractor(f"synth_{name}")({f"synth_{name}": path})
            found[name] = _load("metrics.synth.face_accuracy:face_accuracy")(extractor, data)
        elif name in MEASURES:
            found[name] = _load(MEASURES[name])(path, data)
    return found


def accuracy_table(measured: dict[str, dict]) -> str:
    """Markdown: every goal of the measured experts, its figure and whether it is reached; MAE beside predicting 0."""
    lines = ["| expert | figure | value | goal | |", "| :-- | :-- | --: | --: | :-- |"]
    for goal in GOALS:
        if goal.expert not in measured:
            continue
        shown = [f"{100 * v:.1f} %" if goal.percent else f"{v:.3g}" for v in (goal.value(measured), goal.limit)]
        beside = ""
        if goal.figure.endswith("_mae"):
            zero = Goal(goal.expert, f"{goal.figure}_of_zero", "", 0.0, True).value(measured)
            beside = f" (always 0: {zero:.3g})"
        sign = "≤" if goal.at_most else "≥"
        verdict = "reached" if goal.reached(measured) else "**missed**"
        lines.append(f"| synth_{goal.expert} | {goal.what} | {shown[0]}{beside} | {sign} {shown[1]} | {verdict} |")
    return "\n".join(lines)
