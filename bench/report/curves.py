"""Action Units over time as lines to draw: one small plot per AU, one line per video in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bench.media.au import FEAFA_UNITS, vocabulary

POINTS = 300
"""Most points of a line: about what a plot has in pixels."""


@dataclass(frozen=True)
class Line:
    """One video's values of one AU."""

    series: int
    """Place of the video among those shown; it decides colour and dashes."""
    path: str
    """SVG path: x in frames, y from 100 (value 0) to 0 (the largest value there can be); broken where there is no face."""


@dataclass(frozen=True)
class Curve:
    """One AU's plot."""

    name: str
    about: str
    """What moves, in words."""
    width: float
    """Right end of x: the last frame."""
    lines: tuple[Line, ...]
    spoken: str
    """The plot in words, for those who do not see it."""


def curves(tracks: Mapping[int, np.ndarray], vocabulary_name: str, labels: Mapping[int, str]) -> list[Curve]:
    """A plot per AU, those that move most first.

    Args:
        tracks: series -> float (T, A) in the vocabulary, NaN where there is no face; all of one length.
        vocabulary_name: of all tracks.
        labels: series -> name, for the words.
    """
    units = vocabulary(vocabulary_name)
    about = {unit.name: f"AU{unit.index} {unit.feafa}" for unit in FEAFA_UNITS} if vocabulary_name == "feafa24" else {}
    length = max(map(len, tracks.values()))
    return [
        Curve(
            name=units.names[column],
            about=about.get(units.names[column], ""),
            width=max(1, length - 1),
            lines=tuple(Line(s, _path(values[:, column] / units.high[column])) for s, values in tracks.items()),
            spoken=_spoken(units.names[column], {labels[s]: values[:, column] for s, values in tracks.items()}),
        )
        for column in _order(list(tracks.values()), units.high)
    ]


def _order(tracks: Sequence[np.ndarray], high: Sequence[float]) -> list[int]:
    """Columns by their standard deviation over time, as a share of the scale, added up over the tracks."""
    spreads = np.zeros(len(high))
    for values in tracks:
        seen = values[~np.isnan(values).any(axis=1)]
        if len(seen):
            spreads += seen.std(axis=0) / np.asarray(high)
    return np.argsort(-spreads, kind="stable").tolist()


def _path(values: np.ndarray) -> str:
    """Values (T,) in [0, 1] as a path; of more than POINTS every so manieth."""
    step = -(-len(values) // POINTS)
    parts, drawing = [], False
    for frame in range(0, len(values), step):
        value = values[frame]
        if np.isnan(value):
            drawing = False
            continue
        parts.append(f"{'L' if drawing else 'M'}{frame} {100 * (1 - min(max(value, 0.0), 1.0)):.1f}")
        drawing = True
    return "".join(parts)


def _spoken(name: str, columns: Mapping[str, np.ndarray]) -> str:
    parts = []
    for label, values in columns.items():
        seen = values[~np.isnan(values)]
        parts.append(f"{label} {seen.min():.2f} to {seen.max():.2f}" if len(seen) else f"{label} without a face")
    return f"{name} over time: {'; '.join(parts)}"
