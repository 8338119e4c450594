"""The fixed set of a calibration: the first cases of `synth_std`, 48 frames each, with everything about them exact."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from bench.media import au
from bench.media.clip import ArrayClip, Clip
from protocols.protocol import Case
from protocols.synth.protocols import SynthStd
from protocols.synth.world import Family, draw

CASES = 24
"""Cases of the set: two expressions of each of the 12 test people."""
PEOPLE = 12
"""The first so many cases show one person each; curves are taken over them."""


@dataclass(frozen=True)
class Shown:
    """A clip of the set and its truth, T frames at 25 per second."""

    case: Case
    frames: np.ndarray
    """uint8 (T, H, W, 3) RGB."""
    audio: np.ndarray
    """float32 (640 T,) mono 16 kHz."""
    aus: np.ndarray
    """float32 (T, 24) in [0, 1], order FEAFA_UNITS."""
    landmarks: np.ndarray
    """float32 (T, 478, 2) px."""
    pose: np.ndarray
    """float32 (T, 5) as protocols.synth.figure takes it."""
    gaze: np.ndarray
    """float32 (T, 2) radians."""

    def clip(self, frames: np.ndarray | None = None, audio: np.ndarray | None = None) -> ArrayClip:
        """The clip, with other frames or other speech where given."""
        return ArrayClip(
            self.frames if frames is None else frames, self.audio if audio is None else audio, name=self.case.id
        )


@dataclass(frozen=True)
class _Acted:
    """What `protocols.synth.world.draw` reads of a performance."""

    aus: np.ndarray
    pose: np.ndarray
    gaze: np.ndarray


@dataclass(frozen=True)
class Material:
    """The set, before anything is read: small enough to send to another process."""

    cases: tuple[Case, ...]
    frames: int
    """T, of every clip."""

    def __len__(self) -> int:
        return len(self.cases)

    def shown(self, place: int) -> Shown:
        """The clip at this place of the set."""
        return _read(self.cases[place], self.frames)

    def redrawn(
        self, place: int, *, strength: float = 1.0, identity: str | None = None, family: Family = "studio"
    ) -> np.ndarray:
        """Frames of the clip rendered again, uint8 (T, H, W, 3): with every AU times `strength`, by another person, or
        somewhere else."""
        shown = self.shown(place)
        acted = _Acted((shown.aus * np.float32(strength)).astype(np.float32), shown.pose, shown.gaze)
        return draw(identity or shown.case.identity, family, acted, shown.frames.shape[1:3])[0]


def make_material(
    data: Path,
    count: int = CASES,
    step: Callable[[int], None] = lambda total: None,
) -> Material:
    """The first `count` cases of `synth_std`, rendered below `data` where they are not there yet.

    Args:
        data: as --data of `bench run`.
        count: how many cases.
        step: called for every clip rendered, with the number to render.
    """
    protocol = SynthStd()
    cases: Sequence[Case] = protocol.cases(data)[:count]
    protocol.make_ready(cases, step)
    return Material(tuple(cases), protocol.frames)


@lru_cache(maxsize=4)
def _read(case: Case, frames: int) -> Shown:
    clip = Clip(case.target, num_frames=frames)
    with np.load(case.target.with_suffix(".npz")) as truth:
        landmarks, pose, gaze = (truth[name][:frames] for name in ("landmarks", "pose", "gaze"))
    aus = au.read(case.aus, "feafa24").values[:frames]
    return Shown(case, clip.frames, clip.audio, aus, landmarks, pose, gaze)
