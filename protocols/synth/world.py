"""The synthetic world: which people there are, what they say, and how one of their clips is made, with its exact truth.

Everything follows from names: a person from an id, a clip from its ClipSpec, so a clip made on another machine, in
another order or process is the same clip. Ids read as MEAD's: `T03/happy/level_2/017` is the test person T03 saying
sentence 17, happy, at level 2.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np

from bench.media.au import AUTrack

VERSION = 1
"""Raised when any clip would change by more than rounding; part of every cache folder and every case's digest."""

FPS = 25.0
SIZE = (128, 128)
"""(height, width) by default; the world renders any size."""
MIN_FRAMES = 50
"""A clip whose sentence is shorter goes on in silence: protocols ask for up to 49 frames."""

Family = Literal["studio", "outdoor"]
Split = Literal["train", "test", "general"]

_COUNTS = {"train": 48, "test": 12, "general": 12}
_PREFIX = {"train": "L", "test": "T", "general": "G"}


def identities(split: Split, count: int | None = None) -> tuple[str, ...]:
    """Person ids of a split: `L..` to learn from, `T..` to test on, `G..` unseen people before unseen backgrounds.

    The three never overlap, nor do the people the experts learn from (`X..`, see `protocols.synth.arrays`).

    Args:
        split: which.
        count: how many; None takes 48 to learn from, 12 of either other.
    """
    return tuple(f"{_PREFIX[split]}{n:02d}" for n in range(1, (count or _COUNTS[split]) + 1))


@dataclass(frozen=True)
class ClipSpec:
    """Which clip: everything in it follows from these names."""

    identity: str
    emotion: str
    level: int
    sentence: int
    """Index into `sentences(split)`, counted from 1 in the id."""
    family: Family = "studio"

    @property
    def id(self) -> str:
        """identity/emotion/level_N/NNN, as MEAD names its files."""
        return f"{self.identity}/{self.emotion}/level_{self.level}/{self.sentence + 1:03d}"

    @property
    def seed(self) -> int:
        """For the performance; 32 bits of the id's sha256."""
        return int.from_bytes(hashlib.sha256(f"clip;{self.id};{self.family}".encode()).digest()[:4], "big")

    @property
    def digest(self) -> str:
        """Stands for the clip's content in fingerprints: world version and names, so that rounding of one processor
        does not make another data set of it."""
        return hashlib.sha256(f"synth-v{VERSION};{self.id};{self.family}".encode()).hexdigest()


@dataclass(frozen=True)
class SynthClip:
    """A clip and its truth. T frames at 25 per second."""

    spec: ClipSpec
    frames: np.ndarray
    """uint8 (T, H, W, 3) RGB."""
    audio: np.ndarray
    """float32 (S,) mono 16 kHz."""
    aus: AUTrack
    """feafa24, exact."""
    landmarks: np.ndarray
    """float32 (T, 478, 2), pixels of the frame, mediapipe's numbering, exact."""
    pose: np.ndarray
    """float32 (T, 5): yaw, pitch, roll in radians, shift x and y in face heights."""
    gaze: np.ndarray
    """float32 (T, 2): yaw, pitch in radians."""
    text: str


def sentences(identity: str) -> tuple[str, ...]:
    """What a person may say: people to learn from and test people say different sentences."""
    from protocols.synth.text import TEST_SENTENCES, TRAIN_SENTENCES

    return TRAIN_SENTENCES if identity.startswith(_PREFIX["train"]) else TEST_SENTENCES


def make_clip(spec: ClipSpec, size: tuple[int, int] = SIZE, num_frames: int | None = None) -> SynthClip:
    """Perform and draw one clip.

    Args:
        spec: which clip.
        size: (height, width) of the frames; everything but the pixels is the same at every size.
        num_frames: T; None lets the sentence end, at least MIN_FRAMES.
    """
    from protocols.synth.performance import perform

    def act(count: int | None):
        text = sentences(spec.identity)[spec.sentence]
        return perform(text, spec.emotion, spec.level, _person(spec.identity).voice, spec.seed, FPS, count)

    performance = act(num_frames)
    if num_frames is None and len(performance.aus) < MIN_FRAMES:
        performance = act(MIN_FRAMES)
    frames, landmarks = draw(spec.identity, spec.family, performance, size)
    track = AUTrack(performance.aus, FPS, "feafa24")
    return SynthClip(
        spec, frames, performance.audio, track, landmarks, performance.pose, performance.gaze, performance.text
    )


def draw(identity: str, family: Family, performance, size: tuple[int, int] = SIZE) -> tuple[np.ndarray, np.ndarray]:
    """Frames uint8 (T, H, W, 3) RGB and landmarks float32 (T, 478, 2) of a person who performs."""
    figure = _figure(identity, family, size)
    drawn = [
        figure.draw(aus, pose, gaze)
        for aus, pose, gaze in zip(performance.aus, performance.pose, performance.gaze, strict=True)
    ]
    return np.stack([frame for frame, _ in drawn]), np.stack([points for _, points in drawn])


@lru_cache(maxsize=64)
def _person(identity: str):
    from protocols.synth.person import person

    return person(identity)


@lru_cache(maxsize=8)
def _figure(identity: str, family: Family, size: tuple[int, int]):
    from protocols.synth.figure import Figure
    from protocols.synth.person import setting

    return Figure(_person(identity), setting(identity, family), size)
