"""What the first stage learns from: recordings with what is to be seen, or heard, in them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Example(NamedTuple):
    """A recording with its AUs."""

    audio: np.ndarray
    """float32 (S,) mono 16 kHz."""
    aus: np.ndarray
    """float32 (T, 24) in [0, 1]; row 0 is seen when sample 0 is heard."""
    fps: float
    """Rows of `aus` per second."""
    emotion: str
    """The word that is learnt."""


class Sounding(NamedTuple):
    """A recording and what is heard in it, P sounds."""

    audio: np.ndarray
    """float32 (S,) mono 16 kHz."""
    phonemes: np.ndarray
    """int (P,)."""
    starts: np.ndarray
    """float (P,): seconds, ascending."""
    emotion: int
