"""`synth_image`, `synth_lpips`: features of synthetic frames, for FID and KID, and a distance of frames, as LPIPS.

One small convnet on 128x128 frames. Its 64 pooled features, decorrelated over the training frames, are trained to tell
(with linear heads) the AUs, where the eyes and the mouth are, who it is, and how much blur, noise, compression and change
of colour a frame has undergone: so all of these move them (`metrics.synth.train_image`). 64, so that a few hundred frames
give a covariance of full rank.

`synth_lpips` is LPIPS (Zhang et al., 2018) on the maps of its stages, without learned weights per channel: mean over the
stages of the mean over positions of the squared difference of the maps, unit-normalised over channels. Frames go in at
their own size.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench.media.clip import Clip
from bench.media.errors import Undefined
from metrics.extractor import Features, PairExtractor
from metrics.extractors.cores import for_inference
from metrics.synth.frame_expert import FrameExpert, resized

if TYPE_CHECKING:
    import torch
    from torch import nn

SIZE = 128
FEATURES = 64
SMALLEST = 16
"""Shortest side, in pixels, that leaves a position in the last stage."""
PAIRS = 16
"""Frames compared at once."""


def image_network():
    """`stages`: frames float (n, 3, H, W) in [-1, 1] to maps; calling it gives float (n, 64) of (n, 3, 128, 128)."""
    from metrics.synth.image_network import ImageNetwork

    return ImageNetwork(SIZE, FEATURES)


class SynthImage(FrameExpert):
    """Features:

    pool: float32 (T, 64).
    """

    name = "synth_image"
    weights = ("synth_image",)
    size = SIZE

    def __init__(self, files: Mapping[str, Path], device: str = "cpu"):
        super().__init__(files, device)
        self._network = _load(self.files["synth_image"], device)

    def _describe(self, frames: np.ndarray) -> Features:
        from metrics.synth.convnet import applied

        return {"pool": applied(self._network, resized(frames, self.size))}


class SynthLpips(PairExtractor):
    """Features: d: float64 (T,), distance of the two frames of the same time, in [0, 4]."""

    name = "synth_lpips"
    weights = ("synth_image",)
    packages = ("torch",)

    def __init__(self, files: Mapping[str, Path], device: str = "cpu"):
        super().__init__(files, device)
        self._network = _load(self.files["synth_image"], device)

    def begin(
        self, clip: Clip, target: Clip, features: Mapping[str, Features], target_features: Mapping[str, Features]
    ) -> None:
        """Raises Undefined for frames below 16 pixels."""
        if min(clip.height, clip.width) < SMALLEST:
            raise Undefined(f"frames of {clip.height}x{clip.width} pixels are too small (synth_lpips needs {SMALLEST})")
        self._values: list[np.ndarray] = []

    def update(self, frames: np.ndarray, target: np.ndarray) -> None:
        for start in range(0, len(frames), PAIRS):
            part = slice(start, start + PAIRS)
            self._values.append(map_distances(self._network, frames[part], target[part]))

    def finish(self) -> Features:
        return {"d": np.concatenate(self._values)}


def map_distances(network: nn.Module, frames: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Distance of every frame to its target, float64 (t,), frames uint8 (t, H, W, 3) RGB."""
    import torch

    from metrics.synth.convnet import pixels

    device = next(network.parameters()).device
    with torch.inference_mode():
        x, y = pixels(frames, device), pixels(target, device)
        distances = []
        for stage in network.stages:
            x, y = stage(x), stage(y)
            distances.append((_unit(x) - _unit(y)).square().sum(1).mean((1, 2)))
        return torch.stack(distances).mean(0).double().cpu().numpy()


def _unit(maps: torch.Tensor) -> torch.Tensor:
    """Maps (n, C, h, w) with length 1 over the channels; zero stays zero."""
    return maps / (maps.square().sum(1, keepdim=True) + 1e-10).sqrt()


def _load(path: Path, device: str):
    from metrics.synth.training import load_weights

    return for_inference(load_weights(image_network(), path), device)
