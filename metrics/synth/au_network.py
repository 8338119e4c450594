"""The networks of expert B: the eyes in the whole frame, then separable convolutions on brightness and its gradient.

96x96 crop: brightness, with its own mean and contrast taken out, and its horizontal and vertical differences -> 4x4
patches -> inverted residual blocks (a 3x3 filter per channel, then two layers per pixel) at 24x24, 12x12 and 6x6 -> the
6x6 map laid out flat -> a code -> 24 AUs. It sees no colour and shares neither weights nor training people with expert A.
As in A, the code also learns to give 478 points (`AUNetwork.points`), but for the training alone: without them AUs are
learned several times more slowly.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from bench.media.landmarks import NUM_POINTS
from metrics.synth.alignment import EyeLocator
from metrics.synth.au_regression import NUM_AUS

LUMA = (0.299, 0.587, 0.114)


class AUNetwork(nn.Module):
    """Crops to AUs by brightness and gradient; `locator` is the network that finds where to crop."""

    SIZE = 96
    """Side of the crop in px."""
    WIDTHS = (32, 96, 192)
    DEPTHS = (1, 4, 2)
    SQUEEZED = 48
    CODE = 128
    HIDDEN = 192

    def __init__(self):
        super().__init__()
        self.locator = EyeLocator()
        self.patches = nn.Conv2d(3, self.WIDTHS[0], 4, stride=4)
        blocks: list[nn.Module] = []
        for before, width, depth in zip((None, *self.WIDTHS), self.WIDTHS, self.DEPTHS, strict=False):
            blocks += [] if before is None else [nn.Conv2d(before, width, 2, stride=2)]
            blocks += [Separable(width) for _ in range(depth)]
        self.blocks = nn.Sequential(*blocks)
        self.squeeze = nn.Sequential(nn.Conv2d(self.WIDTHS[-1], self.SQUEEZED, 1), nn.BatchNorm2d(self.SQUEEZED))
        self.encode = nn.Linear(self.SQUEEZED * (self.SIZE // 16) ** 2, self.CODE)
        self.points = nn.Linear(self.CODE, 2 * NUM_POINTS)
        self.aus = nn.Sequential(nn.Linear(self.CODE, self.HIDDEN), nn.SiLU(), nn.Linear(self.HIDDEN, NUM_AUS))
        self.register_buffer("floor", torch.zeros(NUM_AUS))

    def code(self, crops: torch.Tensor) -> torch.Tensor:
        """float32 (n, CODE) of crops uint8 (n, SIZE, SIZE, 3) RGB."""
        features = F.silu(self.squeeze(self.blocks(self.patches(brightness_and_gradient(crops)))))
        with torch.autocast(features.device.type, enabled=False):
            return self.encode(features.float().flatten(1))

    def forward(self, crops: torch.Tensor) -> torch.Tensor:
        """Raw AUs float32 (n, 24), without bounds, of crops uint8 (n, SIZE, SIZE, 3) RGB."""
        return self.aus(self.code(crops))

    def locate(self, frames: torch.Tensor) -> torch.Tensor:
        """Eye centres float32 (n, 2, 2) in units of the frame's sides, of frames uint8 (n, 64, 64, 3) RGB."""
        return self.locator(brightness_and_gradient(frames))


class Separable(nn.Module):
    """Inverted residual: 3x3 per channel, then twice the channels and back, per pixel."""

    def __init__(self, width: int):
        super().__init__()
        self.spatial = nn.Conv2d(width, width, 3, padding=1, groups=width, bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.widen = nn.Conv2d(width, 2 * width, 1)
        self.narrow = nn.Conv2d(2 * width, width, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.narrow(F.silu(self.widen(self.norm(self.spatial(x)))))


def brightness_and_gradient(frames: torch.Tensor) -> torch.Tensor:
    """float32 (n, 3, H, W) of frames uint8 (n, H, W, 3): brightness with mean 0 and variance 1 in each frame, and twice
    its central differences along x and y, 0 at the edges."""
    gray = frames.float() @ torch.tensor(LUMA, device=frames.device)
    gray = gray - gray.mean((1, 2), keepdim=True)
    gray = gray / (gray.square().mean((1, 2), keepdim=True).sqrt() + 1)
    x = F.pad(gray[:, :, 2:] - gray[:, :, :-2], (1, 1))
    y = F.pad(gray[:, 2:] - gray[:, :-2], (0, 0, 1, 1))
    return torch.stack([gray, 2 * x, 2 * y], dim=1)
