"""Faces to train on: stills and frames of clips, augmented, in seeded batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bench.media.landmarks import ibug68
from metrics.synth.arrays import clips, split, stills
from metrics.synth.augment import damage, mirror, move
from metrics.synth.frame_expert import resized

CLIP_SHARE = 0.25
"""Share of a batch that comes from clips: stills show more people, clips how AUs go together in speech."""


Face = tuple[np.ndarray, np.ndarray, np.ndarray]
"""A frame uint8 (H, W, 3) RGB, its 68 points float32 (68, 2) px, its AUs float32 (24,)."""


class Batch(NamedTuple):
    """n faces."""

    frames: np.ndarray
    """uint8 (n, size, size, 3) RGB."""
    xy: np.ndarray
    """float32 (n, 68, 2), x and y in units of the frame's width and height."""
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
        held = [np.asarray(source.identity)[split(source.identity)[1]] for source in self._sources]
        self._rows, self._held = [], []
        for source in self._sources:
            is_held = np.isin(source.identity, np.concatenate(held))
            self._rows.append(np.flatnonzero(~is_held & (np.asarray(source.identity) % 2 == parity)))
            self._held.append(np.flatnonzero(is_held))

    def draw(self, rng: np.random.Generator, count: int, size: int) -> Batch:
        """Augmented training faces at size x size px."""
        batch = stacked([_augmented(*face, rng) for face in self._pick(rng, count, self._rows)])
        return batch._replace(frames=resized(batch.frames, size))

    def plain(self, count: int, seed: int = 0) -> Iterator[Face]:
        """Training faces as they are."""
        return self._pick(np.random.default_rng(seed), count, self._rows)

    def held_out(self, count: int, seed: int = 0) -> Iterator[Face]:
        """Faces of the identities left for validation, as they are."""
        return self._pick(np.random.default_rng(seed), count, self._held)

    def _pick(self, rng: np.random.Generator, count: int, rows: list[np.ndarray]) -> Iterator[Face]:
        still, clip = self._sources
        for number in range(count):
            if number < round((1 - CLIP_SHARE) * count):
                at = rng.choice(rows[0])
                source = still
            else:
                at = rng.choice(rows[1]), rng.integers(clip.frames.shape[1])
                source = clip
            yield np.array(source.frames[at]), ibug68(np.array(source.landmarks[at])), np.array(source.aus[at])


def stacked(faces: Iterable[Face]) -> Batch:
    """Faces of equal size as one batch."""
    frames, xy, aus = (np.stack(column) for column in zip(*faces, strict=True))
    return Batch(frames, xy / np.array(frames.shape[2:0:-1], np.float32), aus)


def _augmented(frame: np.ndarray, xy: np.ndarray, aus: np.ndarray, rng: np.random.Generator) -> Face:
    if rng.random() < 0.5:
        frame, xy, aus = mirror(frame, xy, aus)
    if rng.random() < 0.8:
        frame, xy = move(frame, xy, rng)
    return damage(frame, rng), xy, aus
