"""Rendered faces to train on, read from a folder that `protocols.synth.arrays` describes, without loading it."""

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
        def array(name: str) -> np.ndarray:
            path = Path(data) / f"{name}.npy"
            if not path.is_file():
                raise UserError(f"{path} is not there; `python -m bench train synth_encoders` renders it")
            return np.load(path, mmap_mode="r")

        self._stills = Faces(array("stills/frames"), array("stills/landmarks"))
        self._clips = Faces(array("clips/frames"), array("clips/landmarks"))
        self._who = np.array(array("stills/identity"))
        self._people = np.unique(self._who)

    def draw(self, rng: np.random.Generator, count: int) -> Faces:
        """Pictures at random, half of them mirrored (landmarks keep the numbers of the side they were on)."""
        from_clips = rng.random(count) < CLIP_SHARE
        drawn = [_one(self._clips if clip else self._stills, rng) for clip in from_clips]
        mirrored = rng.random(count) < 0.5
        return _stacked([mirror(*pair) if flip else pair for pair, flip in zip(drawn, mirrored, strict=True)])

    def draw_stills(self, rng: np.random.Generator, count: int) -> Faces:
        """Stills at random, half of them mirrored."""
        return _stacked([_maybe_mirrored(*_one(self._stills, rng), rng) for _ in range(count)])

    def draw_videos(self, rng: np.random.Generator, count: int, length: int) -> Faces:
        """Stretches of `length` frames of clips at random, half of them mirrored: frames uint8 (count, length, 128, 128, 3)
        and landmarks float32 (count, length, 478, 2)."""
        clips, frames = self._clips.frames.shape[:2]
        drawn = []
        for clip, start in zip(
            rng.integers(clips, size=count), rng.integers(frames - length + 1, size=count), strict=True
        ):
            part = np.s_[clip, start : start + length]
            drawn.append(_maybe_mirrored(self._clips.frames[part], self._clips.landmarks[part], rng))
        return _stacked(drawn)

    def first_clips(self, count: int, length: int) -> Faces:
        """The first `length` frames of the first `count` clips, as `draw_videos` gives them."""
        return Faces(*(np.array(values[:count, :length]) for values in self._clips))

    def draw_people(self, rng: np.random.Generator, people: int, each: int) -> tuple[Faces, np.ndarray]:
        """`each` stills of each of `people`, and the number of the person (people * each,)."""
        rows = [
            rng.choice(np.flatnonzero(self._who == one), each, replace=False)
            for one in rng.choice(self._people, people, replace=False)
        ]
        rows = np.concatenate(rows)
        return Faces(self._stills.frames[rows], self._stills.landmarks[rows]), self._who[rows]

    def all_stills(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Frames, landmarks and numbers of the people of every still."""
        return np.array(self._stills.frames), np.array(self._stills.landmarks), self._who

    def every_clip_frame(self, step: int) -> Faces:
        """Every `step`-th frame of every clip."""
        frames, landmarks = (values[:, ::step] for values in self._clips)
        return Faces(frames.reshape(-1, *frames.shape[2:]), landmarks.reshape(-1, *landmarks.shape[2:]))


def _one(source: Faces, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A frame and its landmarks from arrays with any number of leading axes."""
    at = tuple(rng.integers(source.frames.shape[:-3]))
    return source.frames[at], source.landmarks[at]


def _maybe_mirrored(frames: np.ndarray, points: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return mirror(frames, points) if rng.random() < 0.5 else (frames, points)


def _stacked(pairs: list[tuple[np.ndarray, np.ndarray]]) -> Faces:
    return Faces(*(np.stack(column) for column in zip(*pairs, strict=True)))


def mirror(frames: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Frames (..., H, W, 3) and their points (..., N, 2), px from the left and upper edge, as in a mirror."""
    x, y = np.moveaxis(points, -1, 0)
    return frames[..., ::-1, :], np.stack([frames.shape[-2] - x, y], axis=-1)
