"""AU tracks made by hand: named expressions, tracks from files, tracks of another reading of the sentence.

An expression is written `name[:intensity]`, several joined by "+": "smile:0.7", "anger+wink_left". It comes, stays and goes
as faces do (a brow takes about 0.4 s, a lid 0.1 s) and lies over the AUs of the speech, the larger value of each AU
counting, so that a smiling face still talks. The emotions follow FACS's prototypes (Ekman and Friesen, 1978) as far as
FEAFA has them: it has no inner brow raiser, cheek raiser or lip corner depressor.

Appendix B drives neutral speech with the AUs of an emotional reading of the same sentence, aligned by linear
interpolation: `stretched`.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from bench.media import au
from bench.media.au import FEAFA_UNITS
from bench.media.errors import UserError
from methods.generator import GenerationError


@dataclass(frozen=True)
class Expression:
    """AUs that rise together, stay and fall together. Times are in seconds."""

    aus: Mapping[str, float]
    """AU name -> its value at the apex, at intensity 1."""
    start: float = 0.0
    onset: float = 0.4
    apex: float | None = None
    """How long it stays; None: until it must go for the video to end at rest."""
    offset: float = 0.5
    every: float | None = None
    """From one start to the next; None: it happens once."""

    def curve(self, num_frames: int, fps: float) -> np.ndarray:
        """Course of the intensity, float64 (T,) in [0, 1]: ramps are half cosines. A video too short for both ramps
        shows the lower of them."""
        times = np.arange(num_frames) / fps
        apex = self.apex
        if apex is None:
            apex = max(0.0, (num_frames - 1) / fps - self.start - self.onset - self.offset)
        since = times - self.start
        if self.every is not None:
            since = np.where(since < 0, since, since % self.every)
        rising, falling = since / self.onset, (self.onset + apex + self.offset - since) / self.offset
        return (1 - np.cos(np.pi * np.clip(np.minimum(rising, falling), 0, 1))) / 2


def _both(**aus: float) -> dict[str, float]:
    """The same value left and right."""
    return {f"{name}_{side}": value for name, value in aus.items() for side in ("left", "right")}


def _wink(side: str) -> Expression:
    aus = {f"eye_close_{side}": 1.0, f"lip_corner_{side}": 0.3}
    return Expression(aus, start=0.5, onset=0.12, apex=0.12, offset=0.2)


EXPRESSIONS: dict[str, Expression] = {
    "smile": Expression(_both(lip_corner=0.8)),
    "happiness": Expression(_both(lip_corner=0.9, eye_close=0.2) | {"upper_lip_raise": 0.25}),
    "sadness": Expression(_both(brow_lower=0.45, eye_close=0.3) | {"chin_raise": 0.6, "lower_lip_depress": 0.15}),
    "anger": Expression(_both(brow_lower=0.9, lid_raise=0.4) | {"nose_wrinkle": 0.4, "chin_raise": 0.3}),
    "fear": Expression(_both(brow_raise=0.5, brow_lower=0.3, lid_raise=0.9, lip_stretch=0.6) | {"jaw_drop": 0.15}),
    "surprise": Expression(_both(brow_raise=1.0, lid_raise=0.7) | {"jaw_drop": 0.3}, onset=0.25),
    "disgust": Expression(_both(brow_lower=0.4, eye_close=0.2) | {"nose_wrinkle": 0.9, "upper_lip_raise": 0.7}),
    "contempt": Expression({"lip_corner_left": 0.6, "lip_stretch_left": 0.2}),
    "wink_left": _wink("left"),
    "wink_right": _wink("right"),
    "blink": Expression(_both(eye_close=1.0), start=0.5, onset=0.1, apex=0.04, offset=0.16, every=3.0),
    "raised_brows": Expression(_both(brow_raise=0.9)),
    "frown": Expression(_both(brow_lower=0.9)),
    "wide_eyes": Expression(_both(lid_raise=0.9)),
    **{unit.name: Expression({unit.name: 1.0}) for unit in FEAFA_UNITS},
}
"""Expressions by name, and every AU by its own."""


def expression_aus(text: str, num_frames: int, fps: float) -> np.ndarray:
    """The track of named expressions.

    Args:
        text: `name[:intensity]`, joined by "+"; intensity in [0, 1], 1 if not given.
        num_frames: T.
        fps: rows per second.

    Returns:
        float32 (T, 24) in [0, 1].

    Raises:
        UserError: no such expression, or no such intensity.
    """
    aus = np.zeros((num_frames, len(FEAFA_UNITS)), np.float32)
    columns = au.vocabulary("feafa24")
    for name, intensity in _parsed(text):
        expression = EXPRESSIONS[name]
        curve = intensity * expression.curve(num_frames, fps)
        for unit, apex in expression.aus.items():
            column = columns.index(unit)
            aus[:, column] = np.maximum(aus[:, column], apex * curve)
    return aus


def _parsed(text: str) -> list[tuple[str, float]]:
    parts = []
    for part in text.split("+"):
        name, _, number = part.strip().partition(":")
        if name not in EXPRESSIONS:
            near = difflib.get_close_matches(name, EXPRESSIONS, n=1)
            hint = f"did you mean {near[0]}? There are" if near else "there are"
            raise UserError(f"no expression {name!r}; {hint} {', '.join(EXPRESSIONS)}")
        try:
            intensity = float(number or 1)
        except ValueError:
            intensity = -1.0
        if not 0 <= intensity <= 1:
            raise UserError(f"expression {part.strip()!r}: the intensity after the colon must be from 0 to 1")
        parts.append((name, intensity))
    return parts


def file_aus(path: Path, num_frames: int, fps: float, length: Literal["same", "stretch"] = "same") -> np.ndarray:
    """The track of a CSV or JSON file (`bench.media.au.read`) for a video.

    Args:
        path: of a track in feafa24, at any rate.
        num_frames: T.
        fps: of the video.
        length: "same" takes a track that lasts as long as the video, within a row of either; "stretch" takes any.

    Returns:
        float32 (T, 24), not yet checked for missing values.

    Raises:
        MediaError: no such file, or another vocabulary.
        GenerationError: the track lasts longer or shorter than the video.
    """
    track = au.read(path, "feafa24")
    if length == "stretch":
        return stretched(track.values, num_frames)
    if abs(track.seconds - num_frames / fps) > max(1 / track.rate, 1 / fps) + 1e-6:
        raise GenerationError(
            f"{path}: the AU track lasts {track.seconds:.2f} s and the video {num_frames / fps:.2f} s; "
            "cut it to length, or stretch it with aus_length=stretch"
        )
    return track.resample(fps, num_frames).values


def stretched(aus: np.ndarray, num_frames: int) -> np.ndarray:
    """Rows (T', 24) brought to T by linear interpolation, the first and the last row staying what they are: float32."""
    at = np.linspace(0, len(aus) - 1, num_frames)
    rows = np.arange(len(aus))
    return np.stack([np.interp(at, rows, column) for column in np.asarray(aus, np.float64).T], axis=1).astype(
        np.float32
    )
