"""Utterances of the synthetic world, read from a folder that `protocols.synth.utterances` describes."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from bench.media.errors import UserError


class Utterance(NamedTuple):
    """S samples at 16 kHz, T frames at 25 fps, P phonemes."""

    audio: np.ndarray
    """float32 (S,) mono."""
    aus: np.ndarray
    """float32 (T, 24)."""
    phonemes: np.ndarray
    """int16 (P,); 0 is silence."""
    times: np.ndarray
    """float32 (P, 2): start and end in seconds."""
    emotion: int
    """Position in MEAD's eight words: neutral, angry, contempt, disgusted, fear, happy, sad, surprised."""
    level: int
    person: int


class Utterances:
    """A sequence of Utterance.

    Raises:
        UserError: the arrays are not there.
    """

    def __init__(self, folder: Path):
        def array(name: str) -> np.ndarray:
            path = Path(folder) / f"{name}.npy"
            if not path.is_file():
                raise UserError(f"{path} is not there; `python -m bench train synth_encoders` renders it")
            return np.load(path, mmap_mode="r")

        self._ragged = [array(name) for name in ("audio", "aus", "phonemes", "times")]
        self._starts = np.array(array("starts"))[:, [0, 1, 2, 2]]
        self.emotion, self.level, self.person = (np.array(array(name)) for name in ("emotion", "level", "person"))

    def __len__(self) -> int:
        return len(self.emotion)

    def __getitem__(self, n: int) -> Utterance:
        spans = zip(self._ragged, self._starts[n], self._starts[n + 1], strict=True)
        rows = [np.array(values[start:end]) for values, start, end in spans]
        return Utterance(*rows, int(self.emotion[n]), int(self.level[n]), int(self.person[n]))
