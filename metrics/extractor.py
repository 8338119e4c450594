"""Extractor: a network or detector that turns one clip into features, once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np

from bench.media.clip import Clip

Features = dict[str, np.ndarray]
"""What an extractor returns for one clip: named arrays, stored as safetensors (no object dtype)."""


class Extractor(ABC):
    """Turns the frames (and audio) of one clip into features in one pass over its frames.

    The driver decodes a clip once and calls, per clip, `begin`, then `update` with every chunk in order, then `finish`.
    An instance is used for one clip at a time and for many clips one after the other: state is reset in `begin`.
    Class attributes are read without constructing (planning, cache keys, listings), so a module that defines an
    Extractor imports nothing heavier than numpy at module level.
    """

    name: ClassVar[str]
    """Name under which metrics ask for it."""
    version: ClassVar[int] = 1
    """Raised whenever the features would change for the same input; part of the cache key."""
    weights: ClassVar[tuple[str, ...]] = ()
    """Names of the files in the weights lock it needs; their sha256 are part of the cache key."""
    packages: ClassVar[tuple[str, ...]] = ()
    """Import names it needs beyond the core dependencies."""
    after: ClassVar[tuple[str, ...]] = ()
    """Extractors whose features of the same clip it reads in `begin` (a crop needs its landmarks)."""

    def __init__(self, files: Mapping[str, Path], device: str = "cpu"):
        """Load the networks.

        Args:
            files: path of every name in `weights`.
            device: torch device string; detectors without a GPU build ignore it.
        """
        self.files = dict(files)
        self.device = device

    @classmethod
    def missing(cls) -> str | None:
        """What else this machine lacks (an external program, an environment) and how to get it; None if nothing."""
        return None

    @classmethod
    def lacks(cls, clip: Clip) -> str | None:
        """What this clip lacks for it (a file beside it, where no program makes one) and how to get it; None if nothing.
        Asked often and of every clip: looks at paths only."""
        return None

    @classmethod
    def beside(cls, clip: Clip) -> str:
        """Digest of what it reads beside the clip (a sidecar file), which then is part of the cache key; "" if nothing."""
        return ""

    @abstractmethod
    def begin(self, clip: Clip, features: Mapping[str, Features]) -> None:
        """Start a clip. `features` holds what the extractors named in `after` returned for it."""

    @abstractmethod
    def update(self, frames: np.ndarray) -> None:
        """Take the next frames, uint8 (t, H, W, 3) RGB."""

    @abstractmethod
    def finish(self) -> Features:
        """Return the clip's features.

        Raises:
            Undefined: the clip has none (no face in any frame); the reason is stored in place of features.
        """


class PairExtractor(Extractor):
    """An Extractor that sees two clips frame by frame: prediction and target of equal size and length (PSNR, SSIM, LPIPS).

    `after` is resolved for both clips: `begin(prediction, target, features, target_features)`.
    """

    @abstractmethod
    def begin(
        self, clip: Clip, target: Clip, features: Mapping[str, Features], target_features: Mapping[str, Features]
    ) -> None:  # type: ignore[override]
        """Start a pair of clips of equal height, width and num_frames."""

    @abstractmethod
    def update(self, frames: np.ndarray, target: np.ndarray) -> None:  # type: ignore[override]
        """Take the next frames of both, uint8 (t, H, W, 3) RGB each."""
