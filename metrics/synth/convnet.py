"""Convolutional blocks of the synthetic experts; imports torch, so it is imported where a network is made."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn


def pixels(frames: np.ndarray, device: str | torch.device = "cpu") -> torch.Tensor:
    """uint8 (..., H, W, 3) to float32 (..., 3, H, W) in [-1, 1], same colour order, channels last in memory."""
    return torch.from_numpy(np.require(frames, requirements=("C", "W"))).to(device).movedim(-1, -3).float() / 127.5 - 1


def convolution(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Convolution, batch normalisation, ReLU; the output has 1 / stride of the size."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
    )


class Residual(nn.Module):
    """relu(x + f(x)) with f two 3x3 convolutions (He et al., 2016)."""

    def __init__(self, channels: int):
        super().__init__()
        self.first = convolution(channels, channels)
        self.second = nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x + self.second(self.first(x)))


def stages(inputs: int, widths: Sequence[int], residual_from: int = 1) -> nn.Sequential:
    """One stage per width: a convolution of stride 2 (5x5 in the first stage, 3x3 after), then, from stage
    `residual_from` on, a residual block."""
    layers, previous = [], inputs
    for index, width in enumerate(widths):
        stage = [convolution(previous, width, 3 if index else 5, stride=2)]
        if index >= residual_from:
            stage.append(Residual(width))
        layers.append(nn.Sequential(*stage))
        previous = width
    return nn.Sequential(*layers)


def applied(network: nn.Module, frames: np.ndarray, batch: int = 128) -> np.ndarray:
    """What a network says about frames uint8 (n, H, W, 3), as float32 rows."""
    device = next(network.parameters()).device
    with torch.inference_mode():
        parts = [network(pixels(frames[start : start + batch], device)) for start in range(0, len(frames), batch)]
    return torch.cat(parts).float().cpu().numpy()
