"""SSIM as torchmetrics classes; definitions in metrics.functional.ssim. One `update` is one clip."""

from __future__ import annotations

import torch

from metrics.functional.ssim import EAT128, GRAY, SKIMAGE7, WANG, ssim, ssim_gray, ssim_skimage7
from metrics.over_clips import OverClips, rgb_frames


class SSIM(OverClips):
    """ssim@wang: mean over clips of the mean over frames."""

    higher_is_better = True
    unit = WANG.unit
    paper = WANG.paper

    def update(self, preds: torch.Tensor, target: torch.Tensor) -> None:
        """Add one clip; both uint8 (T, 3, H, W) RGB."""
        self._add(ssim(rgb_frames(preds), rgb_frames(target)).mean(), 1)


class SkimageSSIM(OverClips):
    """ssim@skimage7: mean over clips of the mean over frames."""

    higher_is_better = True
    unit = SKIMAGE7.unit
    paper = SKIMAGE7.paper

    def update(self, preds: torch.Tensor, target: torch.Tensor) -> None:
        """Add one clip; both uint8 (T, 3, H, W) RGB."""
        self._add(ssim_skimage7(rgb_frames(preds), rgb_frames(target)).mean(), 1)


class EatSSIM(OverClips):
    """ssim@eat128: mean over the frames of all clips; made for the crops of metrics.extractors.eat_crop."""

    higher_is_better = True
    unit = EAT128.unit
    paper = EAT128.paper

    def update(self, preds: torch.Tensor, target: torch.Tensor) -> None:
        """Add the crops of one clip; both uint8 (T, 3, 128, 128) RGB, only frames with a face in both."""
        values = ssim_skimage7(rgb_frames(preds), rgb_frames(target))
        self._add(values.sum(), len(values))


class GraySSIM(OverClips):
    """ssim@gray: mean over clips of the mean over frames."""

    higher_is_better = True
    unit = GRAY.unit
    paper = GRAY.paper

    def update(self, preds: torch.Tensor, target: torch.Tensor) -> None:
        """Add one clip; both uint8 (T, 3, H, W) RGB."""
        self._add(ssim_gray(rgb_frames(preds), rgb_frames(target)).mean(), 1)
