"""Faces to train on: stills and frames of clips, augmented, in seeded batches."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bench.media.landmarks import ibug68, transform
from metrics.synth.alignment import FRAME, EyeLocator, crop_matrices, crops, eye_centres
from metrics.synth.arrays import clips, split, stills
from metrics.synth.augment import damage, mirror, mirror_order
from metrics.synth.frame_expert import resized

CLIP_SHARE = 0.25
"""Share of a batch that comes from clips: stills show more people, clips how AUs go together in speech."""


Face = tuple[np.ndarray, np.ndarray, np.ndarray]
"""A frame uint8 (H, W, 3) RGB, its points float32 (478, 2) px, its AUs float32 (24,)."""

MEAN_OF = 2000
"""Faces whose mean says which points are each other's mirror image."""


class Batch(NamedTuple):
    """n faces, augmented."""

    frames: np.ndarray
    """uint8 (n, 64, 64, 3) RGB, the whole frame."""
    eyes: np.ndarray
    """float32 (n, 2, 2), eye centres in units of its sides."""
    crops: np.ndarray
    """uint8 (n, size, size, 3) RGB, cut out as an imperfect locator would."""
    xy: np.ndarray
    """float32 (n, 478, 2), points in units of the crop's side."""
    aus: np.ndarray
    """float32 (n, 24) in [0, 1]."""


class FaceSamples:
    """Training faces of every second identity, and faces of the identities that are left for validation.

    Args:
        data: folder of training arrays.
        parity: 0 takes the identities with an even id, 1 the others: two experts with different parity have no
            training identity in common.
    """

    def __init__(self, data: Path, parity: int):
        self._sources = (stills(data), clips(data))
        self._order = _mirror_order(self._sources[0].landmarks)
        held = np.concatenate([np.asarray(source.identity)[split(source.identity)[1]] for source in self._sources])
        self._rows, self._held = [], []
        for source in self._sources:
            is_held = np.isin(source.identity, held)
            self._rows.append(np.flatnonzero(~is_held & (np.asarray(source.identity) % 2 == parity)))
            self._held.append(np.flatnonzero(is_held))

    def draw(self, rng: np.random.Generator, count: int, size: int) -> Batch:
        """Augmented training faces with crops at size x size px."""
        faces = [_changed(*face, self._order, rng) for face in self._pick(rng, count, self._rows)]
        frames, xy, aus = (np.stack(column) for column in zip(*faces, strict=True))
        wide, wide_xy = _moved(frames, xy, rng)
        matrices = _jittered(crop_matrices(eye_centres(ibug68(xy)), size), size, rng)
        return Batch(
            frames=wide,
            eyes=(eye_centres(ibug68(wide_xy)) / EyeLocator.SIZE).astype(np.float32),
            crops=crops(frames, matrices, size),
            xy=(transform(matrices, xy) / size).astype(np.float32),
            aus=aus,
        )

    def plain(self, count: int, seed: int = 0) -> Iterator[Face]:
        """Training faces as they are."""
        return self._pick(np.random.default_rng(seed), count, self._rows)

    def held_out(self, count: int, seed: int = 0) -> Iterator[Face]:
        """Faces of the identities left for validation, as they are."""
        return self._pick(np.random.default_rng(seed), count, self._held)

    def _pick(self, rng: np.random.Generator, count: int, rows: list[np.ndarray]) -> Iterator[Face]:
        from_stills = round((1 - CLIP_SHARE) * count)
        still, clip = self._sources
        for row in rows[0][rng.integers(len(rows[0]), size=from_stills)]:
            yield still.frames[row], still.landmarks[row], still.aus[row]
        times = rng.integers(clip.frames.shape[1], size=count - from_stills)
        for row, t in zip(rows[1][rng.integers(len(rows[1]), size=count - from_stills)], times, strict=True):
            yield clip.frames[row, t], clip.landmarks[row, t], clip.aus[row, t]


def _mirror_order(landmarks: np.ndarray) -> np.ndarray:
    points = np.array(landmarks[:: max(1, len(landmarks) // MEAN_OF)])
    return mirror_order(transform(crop_matrices(eye_centres(ibug68(points)), 1), points).mean(0))


def _changed(frame: np.ndarray, xy: np.ndarray, aus: np.ndarray, order: np.ndarray, rng: np.random.Generator) -> Face:
    xy = xy * np.array((FRAME / frame.shape[1], FRAME / frame.shape[0]), xy.dtype)
    frame = resized(frame[None], FRAME)[0]
    if rng.random() < 0.5:
        frame, xy, aus = mirror(frame, xy, aus, order)
    return damage(frame, rng), xy, aus


def _moved(frames: np.ndarray, xy: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Frames at the locator's size, shifted, turned and scaled further than the world does, and their points."""
    size = EyeLocator.SIZE
    matrices = np.zeros((len(frames), 2, 3))
    matrices[:, 0, 0] = matrices[:, 1, 1] = size / FRAME
    matrices = _disturbed(matrices, size, rng, shift=0.05, scale=0.1, turn=0.1)
    return crops(frames, matrices, size), transform(matrices, xy)


def _jittered(matrices: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """Crops as a locator that errs by some percent of the face would make them."""
    return _disturbed(matrices, size, rng, shift=0.015, scale=0.04, turn=0.03)


def _disturbed(
    matrices: np.ndarray, size: int, rng: np.random.Generator, shift: float, scale: float, turn: float
) -> np.ndarray:
    """Similarities (n, 2, 3) into squares of `size`, followed by random ones about the square's middle.

    Args:
        shift, scale, turn: standard deviation of the shift in shares of the side, of the scale, of the angle in radians.
    """
    draws = rng.standard_normal((4, len(matrices)))
    z = (1 + scale * draws[0]) * np.exp(1j * turn * draws[1])
    linear = np.stack([np.stack([z.real, -z.imag], -1), np.stack([z.imag, z.real], -1)], -2)
    result = linear @ matrices
    result[:, :, 2] += size / 2 - (linear @ (size / 2, size / 2)) + shift * size * draws[2:].T
    return result
