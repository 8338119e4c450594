"""Inflated Inception v1 (I3D) for RGB video (Carreira and Zisserman, arXiv 1705.07750), from frames to Kinetics logits.

Module names are those of piergiaj/pytorch-i3d, so the state dict `i3d_pretrained_400.pt` (songweige/TATS tats/fvd)
loads strictly. Convolutions and poolings pad like TensorFlow's SAME: the output has ceil(input / stride) elements and
an odd padding puts its extra element at the end. Pools pad with zeros where TensorFlow pads with minus infinity; the
result is equal because their input is never negative (it follows a ReLU).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# Channels of the six convolutions of each Mixed block: 1x1 | 1x1 reduce, 3x3 | 1x1 reduce, 3x3 | 1x1 after the pool.
MIXED = {
    "Mixed_3b": (192, (64, 96, 128, 16, 32, 32)),
    "Mixed_3c": (256, (128, 128, 192, 32, 96, 64)),
    "Mixed_4b": (480, (192, 96, 208, 16, 48, 64)),
    "Mixed_4c": (512, (160, 112, 224, 24, 64, 64)),
    "Mixed_4d": (512, (128, 128, 256, 24, 64, 64)),
    "Mixed_4e": (512, (112, 144, 288, 32, 64, 64)),
    "Mixed_4f": (528, (256, 160, 320, 32, 128, 128)),
    "Mixed_5b": (832, (256, 160, 320, 32, 128, 128)),
    "Mixed_5c": (832, (384, 192, 384, 48, 128, 128)),
}


def pad_same(x: Tensor, kernel: Sequence[int], stride: Sequence[int]) -> Tensor:
    """Zero padding of (n, c, t, h, w) after which an unpadded operation gives ceil(size / stride) outputs."""
    pads: list[int] = []
    for size, k, s in zip(x.shape[2:], kernel, stride, strict=True):
        total = max((-(-size // s) - 1) * s + k - size, 0)
        pads = [total // 2, total - total // 2, *pads]
    return F.pad(x, pads)


class Unit(nn.Module):
    """Convolution, batch norm, ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, *, eps: float):
        super().__init__()
        self.conv3d = nn.Conv3d(inputs, outputs, kernel, stride, bias=False)
        self.bn = nn.BatchNorm3d(outputs, eps=eps)

    def forward(self, x: Tensor) -> Tensor:
        x = pad_same(x, self.conv3d.kernel_size, self.conv3d.stride)
        return F.relu(self.bn(self.conv3d(x)))


class Pool(nn.Module):
    """Max pooling with SAME padding."""

    def __init__(self, kernel: tuple[int, int, int], stride: tuple[int, int, int]):
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, x: Tensor) -> Tensor:
        return F.max_pool3d(pad_same(x, self.kernel, self.stride), self.kernel, self.stride)


class Mixed(nn.Module):
    """Inception block: four branches, concatenated over channels."""

    def __init__(self, inputs: int, channels: tuple[int, ...], *, eps: float):
        super().__init__()
        one, reduce3, three, reduce_small, three_small, pooled = channels
        self.b0 = Unit(inputs, one, eps=eps)
        self.b1a = Unit(inputs, reduce3, eps=eps)
        self.b1b = Unit(reduce3, three, 3, eps=eps)
        self.b2a = Unit(inputs, reduce_small, eps=eps)
        self.b2b = Unit(reduce_small, three_small, 3, eps=eps)
        self.b3a = Pool((3, 3, 3), (1, 1, 1))
        self.b3b = Unit(inputs, pooled, eps=eps)

    def forward(self, x: Tensor) -> Tensor:
        branches = (self.b0(x), self.b1b(self.b1a(x)), self.b2b(self.b2a(x)), self.b3b(self.b3a(x)))
        return torch.cat(branches, dim=1)


class Logits(nn.Module):
    """1x1x1 convolution with bias; its own module only because the state dict calls it `logits.conv3d`."""

    def __init__(self, inputs: int, classes: int):
        super().__init__()
        self.conv3d = nn.Conv3d(inputs, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv3d(x)


class InceptionI3d(nn.Module):
    """Video (n, 3, t, 224, 224) RGB in [-1, 1], t >= 9, to logits (n, classes) averaged over time.

    Args:
        classes: 400 for Kinetics.
        eps: of the batch norms; see `metrics.extractors.i3d`.
        pool_frames: temporal extent of the final average pooling, which is followed by a mean over what remains.
    """

    def __init__(self, classes: int = 400, eps: float = 1e-5, pool_frames: int = 2):
        super().__init__()
        self.Conv3d_1a_7x7 = Unit(3, 64, 7, 2, eps=eps)
        self.MaxPool3d_2a_3x3 = Pool((1, 3, 3), (1, 2, 2))
        self.Conv3d_2b_1x1 = Unit(64, 64, eps=eps)
        self.Conv3d_2c_3x3 = Unit(64, 192, 3, eps=eps)
        self.MaxPool3d_3a_3x3 = Pool((1, 3, 3), (1, 2, 2))
        for name in ("Mixed_3b", "Mixed_3c"):
            setattr(self, name, Mixed(*MIXED[name], eps=eps))
        self.MaxPool3d_4a_3x3 = Pool((3, 3, 3), (2, 2, 2))
        for name in ("Mixed_4b", "Mixed_4c", "Mixed_4d", "Mixed_4e", "Mixed_4f"):
            setattr(self, name, Mixed(*MIXED[name], eps=eps))
        self.MaxPool3d_5a_2x2 = Pool((2, 2, 2), (2, 2, 2))
        for name in ("Mixed_5b", "Mixed_5c"):
            setattr(self, name, Mixed(*MIXED[name], eps=eps))
        self.avg_pool = nn.AvgPool3d((pool_frames, 7, 7), stride=1)
        self.logits = Logits(1024, classes)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.children():  # in the order of construction
            x = layer(x)
        return x.mean(dim=(2, 3, 4))
