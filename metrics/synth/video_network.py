"""The network of `synth_video`; imports torch."""

from __future__ import annotations

import torch
from torch import nn

from metrics.synth.convnet import convolution

SPATIAL = ((3, 12, 5), (12, 24, 3), (24, 48, 3), (48, 64, 3))
"""Channels in and out and kernel of the convolutions within a frame, each of stride 2."""
TEMPORAL = (None, 2, 2, 1)
"""Stride in time of the convolution over 3 frames after each of them; None for no such convolution."""


class VideoNetwork(nn.Module):
    """Convolutions in space and in time by turns ((2+1)-D: Tran et al., 2018), then a linear map of all positions, the
    mean and the spread of its values over time, and a linear map of these to the features, standardised."""

    def __init__(self, size: int, features: int) -> None:
        super().__init__()
        self.spatial = nn.ModuleList(convolution(*shape, stride=2) for shape in SPATIAL)
        self.temporal = nn.ModuleList(
            nn.Identity() if stride is None else _along_time(shape[1], stride)
            for shape, stride in zip(SPATIAL, TEMPORAL, strict=True)
        )
        cells = (size // 2 ** len(SPATIAL)) ** 2
        self.moment = nn.Sequential(nn.Linear(cells * SPATIAL[-1][1], 128), nn.ReLU())
        self.head = nn.Sequential(nn.Linear(256, features), nn.BatchNorm1d(features, affine=False))

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        """float (n, 16, 3, 64, 64) in [-1, 1] -> float (n, 64)."""
        count = len(windows)
        x = windows.flatten(0, 1)
        for spatial, temporal in zip(self.spatial, self.temporal, strict=True):
            x = spatial(x)
            x = _by_frame(temporal(_by_window(x, count)), x.shape[-1])
        moments = self.moment(x.flatten(1)).unflatten(0, (count, -1))
        spread = (moments.float().var(1) + 1e-4).sqrt()
        return self.head(torch.cat([moments.mean(1), spread.to(moments.dtype)], 1))


def _along_time(channels: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, channels, (3, 1), (stride, 1), (1, 0), bias=False), nn.BatchNorm2d(channels), nn.ReLU()
    )


def _by_window(x: torch.Tensor, count: int) -> torch.Tensor:
    """Frames (n t, C, h, w) as (n, C, t, h w): a view where channels are last in memory."""
    return x.permute(0, 2, 3, 1).reshape(count, -1, x.shape[2] * x.shape[3], x.shape[1]).permute(0, 3, 1, 2)


def _by_frame(x: torch.Tensor, width: int) -> torch.Tensor:
    """The inverse of `_by_window`."""
    return x.permute(0, 2, 3, 1).reshape(x.shape[0] * x.shape[2], -1, width, x.shape[1]).permute(0, 3, 1, 2)
