"""LPIPS as a torchmetrics class; definition in metrics.functional.lpips. One `update` is one clip."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import torch

from metrics.extractors.lpips import distances, load_network
from metrics.functional.lpips import ALEX
from metrics.over_clips import OverClips, rgb_frames


class LPIPS(OverClips):
    """lpips@alex or lpips@vgg: mean over clips of the mean over frames.

    Args:
        net: `alex` or `vgg`.
        backbone: torchvision state dict of that network.
    """

    higher_is_better = False
    unit = ALEX.unit
    paper = ALEX.paper

    def __init__(self, net: Literal["alex", "vgg"], backbone: Path, **kwargs: Any):
        super().__init__(**kwargs)
        self.network = load_network(net, backbone)

    def update(self, preds: torch.Tensor, target: torch.Tensor) -> None:
        """Add one clip; both uint8 (T, 3, H, W) RGB. The network runs where the metric was moved to."""
        self._add(distances(self.network, rgb_frames(preds), rgb_frames(target)).mean(), 1)
