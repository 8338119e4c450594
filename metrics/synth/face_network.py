"""The networks of expert A: the eyes in the whole frame, then a residual network on the colour crop of the face.

80x80 RGB crop -> 4x4 patches -> residual blocks at 20x20, 10x10 and 5x5 -> the 5x5 map, laid out flat, so that a head
knows where it looks -> a code of the face -> 478 points by one layer, 24 AUs by two. The points (of which 68 are given
out) teach the code the geometry that AUs are read from: from the true points a small network reads every AU with a
correlation of 0.98 or more.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn

from bench.media.landmarks import NUM_POINTS
from metrics.synth.alignment import EyeLocator
from metrics.synth.au_regression import NUM_AUS
from metrics.synth.convnet import Residual, convolution


class FaceOutput(NamedTuple):
    """What the network says about n crops."""

    xy: torch.Tensor
    """float32 (n, 478, 2), x and y in units of the crop's side."""
    aus: torch.Tensor
    """float32 (n, 24), raw: without bounds."""
    hidden: torch.Tensor
    """float32 (n, HIDDEN), what the AUs are read from."""


class FaceNetwork(nn.Module):
    """Colour crops to landmarks and AUs; `locator` is the network that finds where to crop."""

    SIZE = 80
    """Side of the crop in px."""
    CODE = 160
    HIDDEN = 192
    WIDTHS = (32, 64, 128)
    DEPTHS = (1, 2, 2)
    SQUEEZED = 64

    def __init__(self):
        super().__init__()
        self.locator = EyeLocator()
        first = self.WIDTHS[0]
        layers: list[nn.Module] = [nn.Conv2d(3, first, 4, stride=4, bias=False), nn.BatchNorm2d(first), nn.ReLU()]
        for before, width, depth in zip((None, *self.WIDTHS), self.WIDTHS, self.DEPTHS, strict=False):
            layers += [] if before is None else [convolution(before, width, stride=2)]
            layers += [Residual(width) for _ in range(depth)]
        self.trunk = nn.Sequential(*layers, convolution(self.WIDTHS[-1], self.SQUEEZED, kernel=1), nn.Flatten())
        flat = self.SQUEEZED * (self.SIZE // 16) ** 2
        self.code = nn.Linear(flat, self.CODE)
        self.points = nn.Linear(self.CODE, 2 * NUM_POINTS)
        self.hidden = nn.Sequential(nn.Linear(self.CODE, self.HIDDEN), nn.ReLU())
        self.aus = nn.Linear(self.HIDDEN, NUM_AUS)
        self.register_buffer("floor", torch.zeros(NUM_AUS))

    def forward(self, crops: torch.Tensor) -> FaceOutput:
        """Crops uint8 (n, SIZE, SIZE, 3) RGB."""
        features = self.trunk(crops.permute(0, 3, 1, 2).float() / 64 - 2)
        with torch.autocast(features.device.type, enabled=False):
            code = self.code(features.float())
            xy = 0.5 + 0.25 * self.points(code).unflatten(1, (NUM_POINTS, 2))
            hidden = self.hidden(code)
            return FaceOutput(xy, self.aus(hidden), hidden)

    def locate(self, frames: torch.Tensor) -> torch.Tensor:
        """Eye centres float32 (n, 2, 2) in units of the frame's sides, of frames uint8 (n, 64, 64, 3) RGB."""
        return self.locator(frames.permute(0, 3, 1, 2).float() / 64 - 2)
