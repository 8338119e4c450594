"""`bench train synth_encoders`: renders what the small encoders learn from, trains them, measures them on unseen people.

The encoders are networks of `methods.synth`; the world is `protocols.synth`. Arrays on disk are all that passes between
them: pictures as for the synthetic experts, and utterances without pictures, which `auhead_stage1` learns from as well.
"""

from __future__ import annotations

import importlib
import time
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from bench import registry
from bench.media.clip import ArrayClip
from bench.media.errors import UserError
from bench.progress import Progress, counted, duration
from bench.synth_experts import test_arrays, training_arrays
from bench.training import Trained, Training
from bench.weights import SHIPPED_ROOT, Weights

SHIPPED = SHIPPED_ROOT / "methods" / "synth" / "weights"
TRAINERS = {
    "vae": ("methods.synth.vae:train_vae", 6_278, 2e-3),
    "speech": ("methods.synth.speech:train_speech", 1_859, 1.5e-3),
    "face_reader": ("methods.synth.face:train_face_reader", 424, 1e-3),
    "wan_vae": ("methods.synth.wan_vae:train_wan_vae", 10_000, 2e-3),
}
"""Encoder -> (its training, steps and learning rate of the shipped weights)."""
MEASURES = {
    "speech": "methods.synth.speech:measure_speech",
    "face_reader": "methods.synth.face:measure_face_reader",
    "vae": "methods.synth.vae:measure_vae",
    "wan_vae": "bench.synth_encoders:measure_wan_vae",
}
"""Encoder -> its figures, from the file of its weights and a folder of arrays."""


class EncoderSettings(BaseModel):
    """Settings of the training."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    only: tuple[str, ...] = tuple(TRAINERS)
    """Which encoders, in this order."""
    minutes: float | None = Field(default=None, gt=0)
    """Minutes per encoder, at most; None trains for the steps of the shipped weights: half an hour on one core,
    and an hour more for `wan_vae`."""
    measure: bool = True
    """Whether to measure them on unseen people afterwards."""
    workers: int | None = Field(default=None, ge=1)
    """Processes that render; None takes one per core."""


class SynthEncoders(Training):
    """The encoders, one after the other, then their figures."""

    Settings = EncoderSettings
    title = "small encoders of rendered faces and speech: what `model=synth` works with"

    def run(
        self,
        settings: EncoderSettings,
        *,
        weights: Weights,
        progress: Progress,
        data: Path | None,
        out: Path | None,
        seed: int,
    ) -> Trained:
        """Train encoders and measure them.

        Args:
            settings: which, and for how long.
            weights: gives the cache.
            progress: where to report to.
            data: folder of the training pictures, rendered if they are not there; None takes one in the cache. Utterances
                lie in its folder `speech`.
            out: where the safetensors files go; None replaces those that ship with the suite.
            seed: decides initial weights and batches.
        """
        if unknown := set(settings.only) - set(TRAINERS):
            raise UserError(f"no encoder {', '.join(sorted(unknown))}; there are {', '.join(TRAINERS)}")
        folder = out or SHIPPED
        files = [_train(name, data, folder, settings, weights, progress, seed) for name in settings.only]
        if not settings.measure:
            return Trained(files)
        measured = measure(weights, progress, folder, settings)
        return Trained(files, measured, figures_table(measured))


def _train(
    name: str,
    data: Path | None,
    folder: Path,
    settings: EncoderSettings,
    weights: Weights,
    progress: Progress,
    seed: int,
) -> Path:
    from methods.synth.training import Recipe

    target, steps, learning_rate = TRAINERS[name]
    recipe = Recipe(minutes=settings.minutes, steps=steps, learning_rate=learning_rate, seed=seed)
    if name == "speech":
        arrays = training_utterances(weights, progress, data and data / "speech", settings.workers)
    else:
        arrays = training_arrays(weights, progress, data, settings.workers)
    path = folder / f"synth_{name}.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    progress.say(f"{name}: {steps} steps on {arrays}")
    _load(target)(arrays, path, recipe, log=progress.say)
    progress.say(f"{name}: {path}, {path.stat().st_size / 1e6:.2f} MB, {duration(time.monotonic() - began)}")
    return path


def training_utterances(
    weights: Weights, progress: Progress, folder: Path | None = None, workers: int | None = None
) -> Path:
    """Utterances of people to learn from, performed if they are not there; see `protocols.synth.utterances`."""
    from protocols.synth.utterances import TRAINING

    return _performed(folder or weights.cache / "synth" / "speech", TRAINING, progress, workers)


def test_utterances(
    weights: Weights, progress: Progress, folder: Path | None = None, workers: int | None = None
) -> Path:
    """Utterances of test people, who say other sentences, performed if they are not there."""
    from protocols.synth.utterances import TESTING

    return _performed(folder or weights.cache / "synth" / "speech_testing", TESTING, progress, workers)


def _performed(folder: Path, which, progress: Progress, workers: int | None) -> Path:
    from protocols.synth.utterances import write_utterances

    with counted(progress, "perform utterances") as step:
        write_utterances(folder, which, step, workers)
    return folder


def measure(
    weights: Weights, progress: Progress, folder: Path, settings: EncoderSettings
) -> dict[str, dict[str, float]]:
    """Encoder -> its figures on people it has not learned from."""
    found = {}
    for name in settings.only:
        arrays = test_utterances if name == "speech" else test_arrays
        data = arrays(weights, progress, workers=settings.workers)
        found[name] = _load(MEASURES[name])(folder / f"synth_{name}.safetensors", data)
    return found


def measure_wan_vae(path: Path, data: Path) -> dict[str, float]:
    """`methods.synth.wan_vae.measure_wan_vae`, and au_mae: the mean difference between the AUs that the expert synth_face
    reads off decoded frames and the true ones; au_mae_frames: off the frames themselves."""
    from methods.conditioning.wan_vae import decode, encode
    from methods.synth.faces import FacePictures
    from methods.synth.wan_vae import MEASURED_CLIPS, MEASURED_FRAMES, load_wan_vae, measure_wan_vae

    vae = load_wan_vae(path)
    frames = FacePictures(data).first_clips(MEASURED_CLIPS, MEASURED_FRAMES).frames
    truth = np.load(data / "clips" / "aus.npy", mmap_mode="r")[:MEASURED_CLIPS, :MEASURED_FRAMES]
    decoded = [np.concatenate(list(decode(vae, latents))) for latents in encode(vae, frames)[0]]
    return {
        **measure_wan_vae(path, data),
        "au_mae": float(np.abs(_read_aus(np.stack(decoded)) - truth).mean()),
        "au_mae_frames": float(np.abs(_read_aus(frames) - truth).mean()),
    }


def _read_aus(videos: np.ndarray) -> np.ndarray:
    """float32 (n, T, 24) of uint8 (n, T, H, W, 3), by the expert synth_face."""
    lock = Weights()
    expert = registry.extractor("synth_face")(lock.require(("synth_face",)))
    read = []
    for frames in videos:
        expert.begin(ArrayClip(frames), {})
        expert.update(frames)
        read.append(expert.finish()["aus"])
    return np.stack(read)


def figures_table(measured: dict[str, dict[str, float]]) -> str:
    """Markdown: every figure of the measured encoders."""
    lines = ["| encoder | figure | value |", "| :-- | :-- | --: |"]
    for name, figures in measured.items():
        lines += [f"| synth_{name} | {figure.replace('_', ' ')} | {value:.3g} |" for figure, value in figures.items()]
    return "\n".join(lines)


def _load(target: str):
    module, name = target.split(":")
    return getattr(importlib.import_module(module), name)
