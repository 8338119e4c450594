"""`synth_emotion`: which of MEAD's eight emotions a synthetic clip shows.

A residual convnet on the face in every frame, at 64x64; a frame's say in the clip is its attention, a softmax over time
of a score that the network gives it, so that neutral moments and pauses do not drown the emotion. One decision per clip,
from the mean of the frames' features under the attention and their plain mean (`metrics.synth.train_emotion`).
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


def emotion_network():
    """`frames`: float (t, 3, 64, 64) in [-1, 1] to float (t, 64); `clip`: float (n, t, 64) to logits (n, 8)."""
    from metrics.synth.emotion_network import EmotionNetwork

    return EmotionNetwork(SIZE)


def faces(frames: np.ndarray) -> np.ndarray:
    """What the network sees of frames uint8 (t, H, W, 3): uint8 (t, 64, 64, 3), same colour order."""
    return cropped(frames, FACE, SIZE)


class SynthEmotion(FrameExpert):
    """Features:

    probabilities: float32 (8,) of the clip, order `metrics.functional.acc_emo.SYNTH_CLASSES`.
    """

    name = "synth_emotion"
    weights = ("synth_emotion",)
    size = SIZE

    def __init__(self, files: Mapping[str, Path], device: str = "cpu"):
        super().__init__(files, device)
        from metrics.synth.training import load_weights

        self._network = for_inference(load_weights(emotion_network(), self.files["synth_emotion"]), device)

    def finish(self) -> Features:
        import torch

        with torch.inference_mode():
            rows = torch.from_numpy(super().finish()["features"]).to(self.device)
            return {"probabilities": self._network.clip(rows[None])[0].softmax(0).cpu().numpy()}

    def _describe(self, frames: np.ndarray) -> Features:
        from metrics.synth.convnet import applied

        return {"features": applied(self._network.frames, faces(frames))}
