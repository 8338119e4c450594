"""`bench train synth_experts`: renders what the synthetic experts learn from, trains them, measures them on unseen people.

The experts are networks of `metrics.synth`; the world is `protocols.synth`. Neither knows the other: arrays on disk are
all that passes between them.
"""

from __future__ import annotations

import importlib
import time
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from bench.media.errors import UserError
from bench.progress import Progress, duration
from bench.training import Trained, Training
from bench.weights import SHIPPED_ROOT, Weights

SHIPPED = SHIPPED_ROOT / "metrics" / "synth" / "weights"
TRAINERS = {
    "face": ("metrics.synth.train_face:train_face", 20.0),
    "au": ("metrics.synth.train_au:train_au", 14.0),
    "expression": ("metrics.synth.train_expression:train_expression", 6.0),
    "identity": ("metrics.synth.train_identity:train_identity", 12.0),
    "sync": ("metrics.synth.train_sync:train_sync", 15.0),
    "image": ("metrics.synth.train_image:train_image", 8.0),
    "video": ("metrics.synth.train_video:train_video", 8.0),
    "emotion": ("metrics.synth.train_emotion:train_emotion", 8.0),
}
"""Expert -> (its training, minutes on one core that the shipped weights took)."""
MEASURES = {
    "face": "metrics.synth.accuracy:face_accuracy",
}
"""Expert -> its accuracy on a folder of arrays."""


class ExpertSettings(BaseModel):
    """Settings of the training."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    only: tuple[str, ...] = tuple(TRAINERS)
    """Which experts, in this order: `expression` builds on nothing else."""
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

    begun = False

    def step(total: int) -> None:
        nonlocal begun
        if not begun:
            progress.start(total, "render arrays")
            begun = True
        progress.step()

    try:
        write_arrays(folder, amount, step, workers)
    finally:
        if begun:
            progress.stop()
    return folder


def _load(target: str):
    module, name = target.split(":")
    return getattr(importlib.import_module(module), name)
