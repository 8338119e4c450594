"""Rendered faces to train on, read from a folder of training arrays without loading it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from bench.media.errors import UserError

CLIP_SHARE = 0.5
"""Share of a batch that comes from clips: stills show more faces, clips how they move in speech."""


class Faces(NamedTuple):
    """n pictures."""

    frames: np.ndarray
    """uint8 (n, 128, 128, 3) RGB."""
    landmarks: np.ndarray
    """float32 (n, 478, 2) px of the frame."""


class FacePictures:
    """Stills and frames of clips under `data`.

    Raises:
        UserError: the arrays are not there.
    """

    def __init__(self, data: Path):
        self._sources = []
        for kind in ("stills", "clips"):
            files = [Path(data) / kind / f"{name}.npy" for name in ("frames", "landmarks")]
            for file in files:
                if not file.is_file():
                    raise UserError(
                        f"{file} is not there; render the arrays first: python -m bench train synth_encoders"
                    )
            self._sources.append([np.load(file, mmap_mode="r") for file in files])

    def draw(self, rng: np.random.Generator, count: int) -> Faces:
        """Pictures at random, half of them mirrored (the landmarks then keep their numbers of the other side)."""
        (stills, still_points), (clips, clip_points) = self._sources
        from_clips = rng.binomial(count, CLIP_SHARE)
        rows = rng.integers(len(stills), size=count - from_clips)
        cells = zip(
            rng.integers(len(clips), size=from_clips), rng.integers(clips.shape[1], size=from_clips), strict=True
        )
        drawn = [(stills[i], still_points[i]) for i in rows]
        drawn += [(clips[i, t], clip_points[i, t]) for i, t in cells]
        mirrored = rng.random(count) < 0.5
        pairs = [mirror(*pair) if flip else pair for pair, flip in zip(drawn, mirrored, strict=True)]
        return Faces(*(np.stack(column) for column in zip(*pairs, strict=True)))


def mirror(frame: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A frame (H, W, 3) and its points (N, 2) as in a mirror."""
    return frame[:, ::-1], np.stack([frame.shape[1] - 1 - points[:, 0], points[:, 1]], axis=1)
