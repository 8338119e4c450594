"""Action Units given to a method: named expressions, tracks from files, tracks of another length; and what is refused.

An expression is written `name[:intensity]`, several joined by "+": "smile:0.7", "anger+wink_left". It comes, stays and goes
as faces do (a brow takes about 0.4 s, a lid 0.1 s). Which AUs a name moves, and how far, is a table of the method's, in its
own vocabulary.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from bench.media import au, au_maps
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


def authored(
    text: str, num_frames: int, fps: float, expressions: Mapping[str, Expression], vocabulary: str
) -> np.ndarray:
    """The track of named expressions, the larger value of each AU counting.

    Args:
        text: `name[:intensity]`, joined by "+"; intensity in [0, 1], 1 if not given.
        num_frames: T.
        fps: rows per second.
        expressions: by name.
        vocabulary: of their AUs.

    Returns:
        float32 (T, A).

    Raises:
        UserError: no such expression, or no such intensity.
    """
    columns = au.vocabulary(vocabulary)
    aus = np.zeros((num_frames, len(columns)), np.float32)
    for name, intensity in _parsed(text, expressions):
        curve = intensity * expressions[name].curve(num_frames, fps)
        for unit, apex in expressions[name].aus.items():
            column = columns.index(unit)
            aus[:, column] = np.maximum(aus[:, column], apex * curve)
    return aus


def _parsed(text: str, known: Mapping[str, Expression]) -> list[tuple[str, float]]:
    parts = []
    for part in text.split("+"):
        name, _, number = part.strip().partition(":")
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}? There are" if near else "there are"
            raise UserError(f"no expression {name!r}; {hint} {', '.join(known)}")
        try:
            intensity = float(number or 1)
        except ValueError:
            intensity = -1.0
        if not 0 <= intensity <= 1:
            raise UserError(f"expression {part.strip()!r}: the intensity after the colon must be from 0 to 1")
        parts.append((name, intensity))
    return parts


def file_aus(
    path: Path, num_frames: int, fps: float, vocabulary: str, length: Literal["same", "stretch"] = "same"
) -> np.ndarray:
    """The track of a CSV or JSON file for a video.

    Args:
        path: of a track at any rate, in the vocabulary or in one that a map leads from (`bench.media.au_maps`).
        num_frames: T.
        fps: of the video.
        vocabulary: of the result.
        length: "same" takes a track that lasts as long as the video, within a row of either; "stretch" takes any.

    Returns:
        float32 (T, A), not yet checked for missing values.

    Raises:
        MediaError: no such file, or a vocabulary without a map.
        GenerationError: the track lasts longer or shorter than the video.
    """
    track = au_maps.read(path, vocabulary)
    if length == "stretch":
        return stretched(track.values, num_frames, vocabulary)
    if abs(track.seconds - num_frames / fps) > max(1 / track.rate, 1 / fps) + 1e-6:
        raise GenerationError(
            f"{path}: the AU track lasts {track.seconds:.2f} s and the video {num_frames / fps:.2f} s; "
            "cut it to length, or stretch it with aus_length=stretch"
        )
    return track.resample(fps, num_frames).values


def stretched(aus: np.ndarray, num_frames: int, vocabulary: str) -> np.ndarray:
    """Rows (T', A) brought to T by linear interpolation, the first and the last row staying what they are: float32 (T, A).

    Presences, which are 0 or 1, take the nearer row.
    """
    at = np.linspace(0, len(aus) - 1, num_frames)
    rows = np.arange(len(aus))
    mixed = np.stack([np.interp(at, rows, column) for column in np.asarray(aus, np.float64).T], axis=1)
    binary = np.array(au.vocabulary(vocabulary).binary)
    mixed[:, binary] = aus[np.ceil(at - 0.5).astype(int)][:, binary]
    return mixed.astype(np.float32)


def require_every_frame(aus: np.ndarray, path: Path) -> None:
    """Refuse a clip to train on, AUs float (T, A), that has frames in which they could not be read.

    Raises:
        GenerationError: some are missing.
    """
    if lost := int(np.isnan(aus).any(axis=1).sum()):
        raise GenerationError(f"{path}: no Action Units in {lost} of {len(aus)} frames")


def checked_aus(aus: np.ndarray | None, num_frames: int, vocabulary: str, advice: str) -> np.ndarray:
    """The AUs of a request, if a generator can use them: float32 (T, A).

    Args:
        aus: of the request.
        num_frames: T.
        vocabulary: that the generator takes.
        advice: where AUs come from, for a request without.

    Raises:
        GenerationError: none, another vocabulary, another length, missing values, or values out of range.
    """
    columns = au.vocabulary(vocabulary)
    if aus is None:
        raise GenerationError(f"the request has no AUs; {advice}")
    if aus.ndim != 2 or aus.shape[1] != len(columns):
        raise GenerationError(
            f"AUs are {aus.shape}, and the {len(columns)} of {vocabulary} are needed, one row a frame; "
            "`bench.media.au_maps` converts other vocabularies"
        )
    if len(aus) != num_frames:
        raise GenerationError(
            f"the AU track has {len(aus)} rows for {num_frames} frames; give one row for each, or resample it"
        )
    if not np.isfinite(aus).all():
        raise GenerationError(
            f"the AU track has no values in {int((~np.isfinite(aus)).any(1).sum())} of {len(aus)} frames; fill them"
        )
    if (aus < 0).any() or (aus > columns.high).any():
        column = int(np.argmax((aus < 0).any(0) | (aus > columns.high).any(0)))
        raise GenerationError(
            f"{columns.names[column]} lies in [{aus[:, column].min():g}, {aus[:, column].max():g}], and in "
            f"[0, {columns.high[column]:g}] in {vocabulary}; is it another scale?"
        )
    return aus.astype(np.float32)
