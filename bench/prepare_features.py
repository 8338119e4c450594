"""Features of clips to train a video method on, computed once: one file per clip, next to the data.

    DATA/features/full-1-3f2a90c1/M003/angry/level_1/001.safetensors

The folder is named after the encoders, their version and a digest of their weights: other encoders write elsewhere.
What is there already is kept, so interrupted work continues; features of a clip that has been prepared again, with another
crop or size, are made again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from bench.driving import driving_aus
from bench.features import FeatureExtraction
from bench.media.clip import Clip
from bench.media.errors import BenchError, UserError
from bench.progress import Progress, counted
from bench.weights import Weights
from methods.conditioning.encoders import Encoders, encoders_class, load_encoders
from methods.conditioning.features import clip_features, encoder_tag, read_metadata, save_features
from protocols.protocol import Case

Base = Literal["memo", "hallo"]
MOST_NAMED = 5
"""Failed clips that a message names before it counts the others."""


@dataclass(frozen=True)
class FeatureSource:
    """Which encoders, for which base, read what of a clip."""

    base: Base
    model: Literal["full", "synth"]
    separate_vocals: bool = False
    """Whether speech is separated from other sound first, as both published recipes do."""

    @property
    def encoders(self) -> type[Encoders]:
        return encoders_class(self.model)

    @property
    def hears_emotion(self) -> bool:
        """Only MEMO reads the emotion, and the published classifier is large; a small one costs nothing."""
        return self.base == "memo" or not self.encoders.emotion_weights

    @property
    def weights(self) -> tuple[str, ...]:
        """Names in the weights lock."""
        emotion = self.encoders.emotion_weights if self.hears_emotion else ()
        return self.encoders.weights + emotion + (("kim_vocal_2",) if self.separate_vocals else ())

    def folder(self, data: Path, weights: Weights) -> Path:
        """Where the features lie below a data folder."""
        digests = " ".join(weights.hashes.sha256(path) for path in weights.require(self.weights).values())
        return data / "features" / f"{encoder_tag(self.encoders)}-{hashlib.sha256(digests.encode()).hexdigest()[:8]}"


@dataclass(frozen=True)
class Prepared:
    """What came of it."""

    folder: Path
    files: tuple[Path, ...]
    """Features that are there now."""
    failed: dict[str, str]
    """Case id -> why it has none."""


def prepare_features(
    cases: Sequence[Case],
    data: Path,
    source: FeatureSource,
    *,
    weights: Weights,
    progress: Progress,
    device: str = "cpu",
    fps: float = 25.0,
) -> Prepared:
    """Compute the features of the driving clips of these cases that are not there yet, or are of another clip.

    Args:
        cases: each with its AU table or, where it has none, a driving video to read the AUs off.
        data: folder below which `features/` lies.
        source: with which encoders.
        weights: gives them.
        progress: where to report to.
        device: torch device.
        fps: rate of the views.

    Raises:
        UserError: weights are missing, or not one clip has features.
    """
    if message := weights.missing(source.weights):
        raise UserError(f"features for {source.base} {message}")
    folder = source.folder(data, weights)
    paths = {case: folder / f"{case.id}.safetensors" for case in cases}
    todo = [case for case, path in paths.items() if not are_of_clip(path, case, weights)]
    failed: dict[str, str] = {}
    if todo:
        encoders = load_encoders(source.model, weights.require(source.weights), device)
        extraction = FeatureExtraction(weights, device)
        failed = compute(
            todo, lambda case: _write(case, paths[case], source, encoders, extraction, fps), progress, "features"
        )
    files = tuple(path for case, path in paths.items() if case.id not in failed)
    say_failures(failed, progress)
    if not files:
        raise UserError(f"none of the {len(cases)} clips has features; the reasons are above")
    return Prepared(folder, files, failed)


def are_of_clip(path: Path, case: Case, weights: Weights) -> bool:
    """Whether features are there, and of the case's driving clip as it is; where the clip is gone, they are."""
    if not path.exists():
        return False
    return not case.driving.exists() or read_metadata(path)["clip_sha256"] == weights.hashes.sha256(case.driving)


def compute(cases: Sequence[Case], write: Callable[[Case], None], progress: Progress, what: str) -> dict[str, str]:
    """Call `write` for every case; returns why it could not be done: case id -> reason.

    Raises:
        UserError: something a person must fix, which would fail every case.
    """
    failed: dict[str, str] = {}
    with counted(progress, what) as step:
        for case in cases:
            try:
                write(case)
            except UserError:
                raise
            except BenchError as error:
                failed[case.id] = str(error)
            step(len(cases))
    return failed


def say_failures(failed: dict[str, str], progress: Progress) -> None:
    """Name the first MOST_NAMED with their reasons."""
    for id, reason in list(failed.items())[:MOST_NAMED]:
        progress.say(f"no features for {id}: {reason}")
    if len(failed) > MOST_NAMED:
        progress.say(f"no features for {len(failed) - MOST_NAMED} clips more")


def _write(
    case: Case, path: Path, source: FeatureSource, encoders: Encoders, extraction: FeatureExtraction, fps: float
) -> None:
    clip = Clip(case.driving, fps=fps, size=(encoders.size, encoders.size))
    aus = driving_aus(case, "feafa24", clip, extraction)
    features = clip_features(
        clip, aus, encoders, emotion=None if source.hears_emotion else "neutral",
        vocals=_vocals(encoders) if source.separate_vocals else None,
    )  # fmt: skip
    save_features(path, features, encoders, clip.sha256)


def _vocals(encoders: Encoders) -> Callable[[np.ndarray], np.ndarray]:
    from methods.conditioning.vocals import separate_vocals

    return lambda audio: separate_vocals(audio, encoders.files["kim_vocal_2"])
