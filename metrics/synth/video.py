"""`synth_video`: features of 16-frame windows of a synthetic clip, for FVD.

A small (2+1)-D convnet on frames at 64x64. It is trained to tell, from 64 decorrelated features and with linear heads, how
much every AU shows and moves and how far the head moves, and whether a window was shuffled, frozen, sped up, jittered, made
to flicker, blurred or covered with noise, and how much: so all of these move them (`metrics.synth.train_video`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from bench.media.clip import Clip
from bench.media.errors import Undefined
from metrics.extractor import Extractor, Features
from metrics.extractors.cores import for_inference
from metrics.synth.frame_expert import resized

WINDOW = 16
SIZE = 64
FEATURES = 64


def video_network():
    """float (n, 16, 3, 64, 64) RGB in [-1, 1] -> float (n, 64)."""
    from metrics.synth.video_network import VideoNetwork

    return VideoNetwork(SIZE, FEATURES)


class SynthVideo(Extractor):
    """Features:

    window16: float32 (w, 64), one row per non-overlapping window of 16 frames, in order; w = T // 16.
    """

    name = "synth_video"
    weights = ("synth_video",)
    packages = ("torch",)

    def __init__(self, files: Mapping[str, Path], device: str = "cpu"):
        super().__init__(files, device)
        from metrics.synth.training import load_weights

        self._network = for_inference(load_weights(video_network(), self.files["synth_video"]), device)

    def begin(self, clip: Clip, features: Mapping[str, Features]) -> None:
        self._frames = 0
        self._pending: list[np.ndarray] = []
        self._rows: list[np.ndarray] = []

    def update(self, frames: np.ndarray) -> None:
        from metrics.synth.convnet import applied

        self._frames += len(frames)
        self._pending.extend(resized(frames, SIZE))
        while len(self._pending) >= WINDOW:
            self._rows.append(applied(self._network, np.stack(self._pending[:WINDOW])[None]))
            del self._pending[:WINDOW]

    def finish(self) -> Features:
        """Raises Undefined for a clip shorter than one window."""
        if not self._rows:
            raise Undefined(f"{self._frames} frames; a window of synth_video needs {WINDOW}")
        return {"window16": np.concatenate(self._rows)}
