"""`synth_identity`: who a synthetic head is, as a vector of 64 per frame.

A residual convnet on the face at 64x64. It is trained so that frames of one person, which differ in expression,
pose, light, background and clothes, point the same way (`metrics.synth.train_identity`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from metrics.extractor import Features
from metrics.extractors.cores import for_inference
from metrics.synth.crops import FACE, cropped
from metrics.synth.frame_expert import FrameExpert

SIZE = 64
EMBEDDING = 64
WIDTHS = (16, 32, 64, 128)


def identity_network():
    """float (n, 3, 64, 64) in [-1, 1] -> float (n, 64), not normalised."""
    from torch import nn

    from metrics.synth.convnet import stages

    cells = (SIZE // 2 ** len(WIDTHS)) ** 2
    return nn.Sequential(stages(3, WIDTHS), nn.Flatten(), nn.Linear(cells * WIDTHS[-1], EMBEDDING))


def faces(frames: np.ndarray) -> np.ndarray:
    """What the network sees of frames uint8 (t, H, W, 3): uint8 (t, 64, 64, 3), same colour order."""
    return cropped(frames, FACE, SIZE)


class SynthIdentity(FrameExpert):
    """Features:

    embedding: float32 (T, 64), not normalised.
    """

    name = "synth_identity"
    weights = ("synth_identity",)
    size = SIZE

    def __init__(self, files: Mapping[str, Path], device: str = "cpu"):
        super().__init__(files, device)
        from metrics.synth.training import load_weights

        self._network = for_inference(load_weights(identity_network(), self.files["synth_identity"]), device)

    def _describe(self, frames: np.ndarray) -> Features:
        from metrics.synth.convnet import applied

        return {"embedding": applied(self._network, faces(frames))}
