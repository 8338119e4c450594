"""Action Units as text and back (AUHead, section 3.2, Eq. 3, and appendix C).

A vector of 24 intensities becomes the pairs of index and value above lambda, in the order of their indices; of a track at
the frame rate, every 1/gamma-th vector is kept. Values are written with two decimals as Python prints them, as the
appendix's answer is: `[[2, 1.0], [8, 0.52]], [[2, 1.0]]`. A value that rounds to 0.00 is not written.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

NUM_AUS = 24
RATE = 5.0
"""AU vectors per second: gamma = 0.2 of 25 fps (section 4.1)."""

Vector = Mapping[int, float]
"""One sparse AU vector: index in [0, 24) -> value in (0, 1], written in ascending order of the index."""


def sparse(aus: np.ndarray, threshold: float = 0.0) -> list[dict[int, float]]:
    """Eq. 3: what is above `threshold` (lambda) of each row, then rounded to two decimals.

    Args:
        aus: float (n, 24) in [0, 1].
    """
    aus = np.asarray(aus)
    rounded = np.round(aus.astype(np.float64), 2)
    kept = (aus > threshold) & (rounded > 0)
    return [{int(i): float(row[i]) for i in np.flatnonzero(those)} for row, those in zip(rounded, kept, strict=True)]


def dense(vectors: Sequence[Vector]) -> np.ndarray:
    """float32 (n, 24): the values written, 0 elsewhere."""
    aus = np.zeros((len(vectors), NUM_AUS), np.float32)
    for row, vector in zip(aus, vectors, strict=True):
        for index, value in vector.items():
            row[index] = value
    return aus


def written(vectors: Iterable[Vector]) -> str:
    """`[[2, 1.0], [8, 0.52]], [], [[2, 1.0]]`."""
    return ", ".join(str([[index, round(vector[index], 2)] for index in sorted(vector)]) for vector in vectors)


def num_vectors(num_frames: int, fps: float, rate: float = RATE) -> int:
    """Vectors at times k / rate that lie within `num_frames` frames."""
    return math.ceil(num_frames / fps * rate - 1e-6)


def downsampled(aus: np.ndarray, fps: float, rate: float = RATE) -> np.ndarray:
    """Rows at times k / rate of a track at `fps`: every fifth from 25 to 5 per second, else the nearest.

    Args:
        aus: (T, 24).

    Returns:
        (num_vectors(T, fps, rate), 24).
    """
    at = np.floor(np.arange(num_vectors(len(aus), fps, rate)) * fps / rate + 0.5).astype(int)
    return aus[at.clip(max=len(aus) - 1)]


def upsampled(aus: np.ndarray, num_frames: int, fps: float, rate: float = RATE) -> np.ndarray:
    """Linear interpolation (section 3.3) to exactly `num_frames` rows at `fps`; the last vector is held.

    Args:
        aus: (n, 24), row k at k / rate seconds.

    Returns:
        float32 (num_frames, 24).
    """
    at = np.arange(num_frames) * rate / fps
    rows = np.arange(len(aus))
    return np.stack([np.interp(at, rows, column) for column in aus.T], axis=1).astype(np.float32)
