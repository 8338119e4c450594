"""The network of `synth_image`; imports torch."""

from __future__ import annotations

import torch
from torch import nn

from metrics.synth.convnet import stages

WIDTHS = (16, 32, 48, 96)


class ImageNetwork(nn.Module):
    """Four stages, 128 to 8 pixels; the last maps at 4x4, and a linear map of them to the features, standardised."""

    def __init__(self, size: int, features: int) -> None:
        super().__init__()
        self.stages = stages(3, WIDTHS, residual_from=2)
        cells = (size // 2 ** (len(WIDTHS) + 1)) ** 2
        self.head = nn.Sequential(
            nn.AvgPool2d(2),
            nn.Flatten(),
            nn.Linear(cells * WIDTHS[-1], features),
            nn.BatchNorm1d(features, affine=False),
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """float (n, 3, 128, 128) in [-1, 1] -> float (n, 64)."""
        return self.head(self.stages(images))
