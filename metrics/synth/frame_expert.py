"""What the experts that see one frame at a time share: frames of any size to the network's, batches, rows."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping

import numpy as np

from bench.media.clip import Clip
from metrics.extractor import Extractor, Features
from metrics.extractors.cores import map_batches

BATCH = 16


class FrameExpert(Extractor):
    """Feeds resized frames to a network in batches and collects one row per frame of each feature."""

    packages = ("torch", "cv2")

    def begin(self, clip: Clip, features: Mapping[str, Features]) -> None:
        self._rows: list[Features] = []

    def update(self, frames: np.ndarray) -> None:
        batches = (frames[start : start + BATCH] for start in range(0, len(frames), BATCH))
        self._rows += map_batches(self.device, self._describe, batches)

    def finish(self) -> Features:
        return {name: np.concatenate([row[name] for row in self._rows]) for name in self._rows[0]}

    @abstractmethod
    def _describe(self, frames: np.ndarray) -> Features:
        """Features of uint8 (t, H, W, 3) RGB, one row per frame."""


def resized(frames: np.ndarray, size: int) -> np.ndarray:
    """Frames uint8 (t, H, W, 3) at size x size px: the mean over areas where they shrink, bilinear where they grow.

    The whole frame is used whatever its proportions; frames of the synthetic world are square.
    """
    import cv2

    height, width = frames.shape[1:3]
    if (height, width) == (size, size):
        return np.ascontiguousarray(frames)
    method = cv2.INTER_AREA if height * width > size * size else cv2.INTER_LINEAR
    return np.stack([cv2.resize(frame, (size, size), interpolation=method) for frame in frames])
