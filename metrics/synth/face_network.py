"""The network of expert A: a residual network on the whole colour image, with heads for 68 landmarks and 24 AUs.

128x128 RGB -> 4x4 patches -> residual blocks at 32x32, 16x16 and 8x8 -> the 8x8 map, laid out flat, so that a head knows
where it looks -> landmarks by one layer, AUs by two.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from metrics.synth.au_regression import NUM_AUS


class FaceOutput(NamedTuple):
    """What the network says about n frames."""

    xy: torch.Tensor
    """float32 (n, 68, 2), x and y in units of the frame's width and height."""
    aus: torch.Tensor
    """float32 (n, 24), raw: without bounds."""
    hidden: torch.Tensor
    """float32 (n, HIDDEN), what the AUs are read from."""


class FaceNetwork(nn.Module):
    """Colour frames to landmarks and AUs."""

    SIZE = 128
    """Side of the input in px."""
    HIDDEN = 128
    WIDTHS = (32, 64, 128)
    DEPTHS = (1, 2, 2)
    SQUEEZED = 48

    def __init__(self):
        super().__init__()
        stages: list[nn.Module] = [nn.Conv2d(3, self.WIDTHS[0], 4, stride=4, bias=False)]
        stages += [nn.BatchNorm2d(self.WIDTHS[0]), nn.ReLU()]
        for before, width, depth in zip((None, *self.WIDTHS), self.WIDTHS, self.DEPTHS, strict=False):
            if before is not None:
                stages.append(_unit(before, width, stride=2))
            stages += [Residual(width) for _ in range(depth)]
        self.trunk = nn.Sequential(*stages, _unit(self.WIDTHS[-1], self.SQUEEZED, kernel=1), nn.Flatten())
        flat = self.SQUEEZED * (self.SIZE // 16) ** 2
        self.landmarks = nn.Linear(flat, 68 * 2)
        self.hidden = nn.Sequential(nn.Linear(flat, self.HIDDEN), nn.ReLU())
        self.aus = nn.Linear(self.HIDDEN, NUM_AUS)
        self.register_buffer("floor", torch.zeros(NUM_AUS))

    def forward(self, frames: torch.Tensor) -> FaceOutput:
        """Frames uint8 (n, 128, 128, 3) RGB."""
        features = self.trunk(frames.permute(0, 3, 1, 2).float() / 64 - 2)
        with torch.autocast(features.device.type, enabled=False):
            features = features.float()
            xy = 0.5 + 0.25 * self.landmarks(features).unflatten(1, (68, 2))
            hidden = self.hidden(features)
            return FaceOutput(xy, self.aus(hidden), hidden)


class Residual(nn.Module):
    """Two 3x3 convolutions beside the identity."""

    def __init__(self, width: int):
        super().__init__()
        self.first = _unit(width, width)
        self.second = nn.Sequential(nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(x + self.second(self.first(x)))


def _unit(before: int, width: int, stride: int = 1, kernel: int = 3) -> nn.Sequential:
    convolution = nn.Conv2d(before, width, kernel, stride, padding=kernel // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(width), nn.ReLU())
