"""The training arrays of the synthetic world, read from disk without loading them.

A folder holds `stills/` (single frames of many people) and `clips/` (performances); every array is a `.npy` file opened
with `mmap_mode="r"`. Whoever writes them puts the version of the world into `version.txt`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.media.errors import UserError

VALIDATION_SHARE = 0.05
"""Share of the identities, the last ones, that is never trained on."""


@dataclass(frozen=True)
class Stills:
    """Single frames; row n of every array belongs together."""

    frames: np.ndarray
    """uint8 (N, H, W, 3) RGB."""
    aus: np.ndarray
    """float32 (N, 24) in [0, 1], order FEAFA_UNITS."""
    landmarks: np.ndarray
    """float32 (N, 478, 2) px of the frame."""
    identity: np.ndarray
    """int32 (N,)."""


@dataclass(frozen=True)
class Clips:
    """Performances of T frames at 25 fps; row c of every array belongs together."""

    frames: np.ndarray
    """uint8 (C, T, H, W, 3) RGB."""
    aus: np.ndarray
    """float32 (C, T, 24) in [0, 1]."""
    landmarks: np.ndarray
    """float32 (C, T, 478, 2) px of the frame."""
    audio: np.ndarray
    """float32 (C, S) mono 16 kHz, S = 640 T."""
    emotion: np.ndarray
    """int32 (C,), position in MEAD's eight words."""
    level: np.ndarray
    """int32 (C,), 1 to 3."""
    identity: np.ndarray
    """int32 (C,)."""


def stills(data: Path) -> Stills:
    """The stills of a folder of training arrays."""
    return Stills(*_open(Path(data) / "stills", ("frames", "aus", "landmarks", "identity")))


def clips(data: Path) -> Clips:
    """The clips of a folder of training arrays."""
    names = ("frames", "aus", "landmarks", "audio", "emotion", "level", "identity")
    return Clips(*_open(Path(data) / "clips", names))


def world_version(data: Path) -> str:
    """Version of the world that made the arrays; "unknown" where the folder does not say."""
    path = Path(data) / "version.txt"
    return path.read_text("utf-8").strip() if path.is_file() else "unknown"


def split(identity: np.ndarray, share: float = VALIDATION_SHARE) -> tuple[np.ndarray, np.ndarray]:
    """Rows to train on and rows to validate on, int64 each: no identity is in both.

    Args:
        identity: int (N,).
        share: share of the identities, the largest ids, that is left for validation; at least one where there are two.
    """
    ids = np.unique(identity)
    held = min(len(ids) - 1, max(1, round(share * len(ids))))
    last = np.isin(identity, ids[len(ids) - held :])
    return np.flatnonzero(~last), np.flatnonzero(last)


def _open(folder: Path, names: tuple[str, ...]) -> list[np.ndarray]:
    absent = [name for name in names if not (folder / f"{name}.npy").is_file()]
    if absent:
        raise UserError(f"{folder}: no {', '.join(f'{name}.npy' for name in absent)}; render the training arrays first")
    return [np.load(folder / f"{name}.npy", mmap_mode="r") for name in names]
