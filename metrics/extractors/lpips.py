"""`lpips_alex`, `lpips_vgg`: LPIPS of every pair of frames with the network and linear heads of the `lpips` package.

The package (richzhang/PerceptualSimilarity 0.1.4) ships the heads of version 0.1 and takes the backbone from
torchvision's download; here the backbone comes from a file of the weights lock, so nothing is downloaded.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from bench.media.clip import Clip
from bench.media.errors import Undefined
from metrics.extractor import Features, PairExtractor

if TYPE_CHECKING:
    import torch

PIXELS_PER_BATCH = 1 << 19
"""Two frames of 512x512: VGG's first feature maps of both clips then take about 1 GB with their temporaries."""


def load_network(net: str, backbone: Path, device: str = "cpu") -> torch.nn.Module:
    """LPIPS v0.1 in eval mode.

    Args:
        net: `alex` or `vgg`.
        backbone: torchvision state dict of AlexNet or VGG-16 (`features.0.weight`, ...).
        device: torch device string.
    """
    import lpips
    import torch

    with torch.device("meta"), warnings.catch_warnings():
        # The package calls torchvision with `pretrained=`, which torchvision has renamed. On the meta device no time or
        # memory goes into random values, least of all for the classifiers (123 M parameters in VGG), which are unused.
        warnings.filterwarnings("ignore", category=UserWarning, module="torchvision")
        network = lpips.LPIPS(net=net, pretrained=False, pnet_rand=True, verbose=False)
    network.scaling_layer = lpips.ScalingLayer()
    heads = Path(lpips.__file__).parent / "weights" / "v0.1" / f"{net}.pth"
    network.load_state_dict(torch.load(heads, map_location="cpu", weights_only=True), strict=False, assign=True)
    weights = torch.load(backbone, map_location="cpu", weights_only=True)
    # `slice2.3.weight` of the package is layer 3 of torchvision's `features`.
    names = {name: f"features.{name.split('.', 1)[1]}" for name in network.net.state_dict()}
    network.net.load_state_dict({name: weights[theirs] for name, theirs in names.items()}, assign=True)
    return network.eval().requires_grad_(False).to(device)


def distances(network: torch.nn.Module, frames: np.ndarray, target: np.ndarray) -> np.ndarray:
    """LPIPS of every frame.

    Args:
        network: of `load_network`.
        frames, target: uint8 (T, H, W, 3) RGB.

    Returns:
        float64 (T,), not negative.
    """
    import torch

    device = next(network.parameters()).device
    step = max(1, PIXELS_PER_BATCH // (frames.shape[1] * frames.shape[2]))

    def batch(images: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(images).to(device).permute(0, 3, 1, 2).float() / 127.5 - 1.0

    values = []
    with torch.inference_mode():
        for start in range(0, len(frames), step):
            part = slice(start, start + step)
            values.append(network(batch(frames[part]), batch(target[part])).flatten().double().cpu().numpy())
    return np.concatenate(values)


class _Lpips(PairExtractor):
    """Features: d: float64 (T,), LPIPS of every frame."""

    net: ClassVar[str]
    smallest: ClassVar[int]
    """Shortest side, in pixels, that leaves a feature in the last layer."""
    packages = ("lpips", "torchvision")
    version = 1

    def __init__(self, files: Mapping[str, Path], device: str = "cpu"):
        super().__init__(files, device)
        self._network = load_network(self.net, self.files[self.weights[0]], device)

    def begin(
        self,
        clip: Clip,
        target: Clip,
        features: Mapping[str, Features],
        target_features: Mapping[str, Features],
    ) -> None:
        if min(clip.height, clip.width) < self.smallest:
            size = f"{clip.height}x{clip.width}"
            raise Undefined(f"frames of {size} pixels are too small for LPIPS ({self.net} needs {self.smallest})")
        self._values: list[np.ndarray] = []

    def update(self, frames: np.ndarray, target: np.ndarray) -> None:
        self._values.append(distances(self._network, frames, target))

    def finish(self) -> Features:
        return {"d": np.concatenate(self._values)}


class LpipsAlex(_Lpips):
    """LPIPS with AlexNet. Features: d: float64 (T,)."""

    name = "lpips_alex"
    net = "alex"
    smallest = 31
    weights = ("alexnet",)


class LpipsVgg(_Lpips):
    """LPIPS with VGG-16. Features: d: float64 (T,)."""

    name = "lpips_vgg"
    net = "vgg"
    smallest = 16
    weights = ("vgg16",)
