"""The network of `synth_emotion`; imports torch."""

from __future__ import annotations

import torch
from torch import nn

from metrics.functional.acc_emo import SYNTH_CLASSES
from metrics.synth.convnet import stages

WIDTHS = (16, 32, 64, 96)
FEATURES = 64


class EmotionNetwork(nn.Module):
    """`frames` looks at single frames, `clip` at the frames of a clip together."""

    def __init__(self, size: int) -> None:
        super().__init__()
        cells = (size // 2 ** len(WIDTHS)) ** 2
        self.frames = nn.Sequential(
            stages(3, WIDTHS),
            nn.Flatten(),
            nn.Linear(cells * WIDTHS[-1], FEATURES),
            nn.BatchNorm1d(FEATURES),
            nn.ReLU(),
        )
        self.attention = nn.Linear(FEATURES, 1)
        self.classes = nn.Linear(2 * FEATURES, len(SYNTH_CLASSES))

    def clip(self, features: torch.Tensor) -> torch.Tensor:
        """Features of frames float (n, t, 64) -> logits (n, 8)."""
        attended = (self.attention(features).softmax(1) * features).sum(1)
        return self.classes(torch.cat([attended, features.mean(1)], 1))
