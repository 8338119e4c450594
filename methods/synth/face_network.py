"""The convnet of the small face reader; imports torch."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

SIZE = 128
EMBEDDING = 64
WIDTHS = (32, 64, 96, 128)
COUNTS = ("none", "one", "several")
"""Classes of how many faces there are."""


class FaceNetwork(nn.Module):
    """One look at a picture 128 x 128 px: how many faces, where the face and its lips are, and whose it is."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(3, WIDTHS[0], 4, stride=4)]
        for inputs, outputs in zip(WIDTHS, WIDTHS[1:], strict=False):
            layers += [Residual(inputs), nn.Conv2d(inputs, outputs, 2, stride=2)]
        layers += [Residual(WIDTHS[-1]), nn.GroupNorm(8, WIDTHS[-1]), nn.SiLU(), nn.Flatten()]
        self.body = nn.Sequential(*layers)
        cells = (SIZE // 4 // 2 ** (len(WIDTHS) - 1)) ** 2
        self.embedding = nn.Linear(cells * WIDTHS[-1], EMBEDDING)
        self.boxes = nn.Sequential(nn.Linear(cells * WIDTHS[-1], 64), nn.SiLU(), nn.Linear(64, 8))
        self.count = nn.Linear(cells * WIDTHS[-1], len(COUNTS))

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Embeddings (n, 64), boxes (n, 2, 4) of face and lips in shares of the sides, logits of COUNTS (n, 3), of pictures
        float (n, 3, 128, 128) in [-1, 1]."""
        features = self.body(pixels)
        return self.embedding(features), 0.5 + self.boxes(features).unflatten(1, (2, 4)), self.count(features)

    def cells(self, pixels: torch.Tensor) -> torch.Tensor:
        """(n, 16, 128): what the heads see of each of the 4 x 4 cells, row by row."""
        return self.body[:-1](pixels).flatten(2).transpose(1, 2)


class Residual(nn.Module):
    """x + f(x), f two 3 x 3 convolutions, each after a norm."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList([nn.GroupNorm(8, channels) for _ in range(2)])
        self.convolutions = nn.ModuleList([nn.Conv2d(channels, channels, 3, padding=1) for _ in range(2)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = x
        for norm, convolution in zip(self.norms, self.convolutions, strict=True):
            hidden = convolution(F.silu(norm(hidden)))
        return x + hidden
