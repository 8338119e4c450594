"""PSNR as torchmetrics classes; definitions in metrics.functional.psnr. One `update` is one clip."""

from __future__ import annotations

import torch

from metrics.functional.psnr import (
    EAT128,
    FACE,
    FRAME,
    GLOBAL,
    decibels,
    face_psnr,
    psnr,
    squared_errors,
    squared_errors_in_boxes,
)
from metrics.over_clips import OverClips, rgb_frames


class PSNR(OverClips):
    """psnr@frame: mean over clips of the mean over frames of per-frame dB."""

    higher_is_better = True
    unit = FRAME.unit
    paper = FRAME.paper

    def update(self, preds: torch.Tensor, target: torch.Tensor) -> None:
        """Add one clip; both uint8 (T, 3, H, W) RGB."""
        self._add(psnr(rgb_frames(preds), rgb_frames(target)).mean(), 1)


class GlobalPSNR(OverClips):
    """psnr@global: PSNR of the mean squared error over everything seen."""

    higher_is_better = True
    unit = GLOBAL.unit
    paper = GLOBAL.paper

    def update(self, preds: torch.Tensor, target: torch.Tensor) -> None:
        """Add one clip; both uint8 (T, 3, H, W) RGB."""
        self._add(squared_errors(rgb_frames(preds), rgb_frames(target)).sum(), preds.numel())

    def compute(self) -> torch.Tensor:
        """float64 scalar, dB."""
        mse = super().compute()
        return torch.as_tensor(decibels(mse.cpu().numpy()), device=mse.device)


class EatPSNR(OverClips):
    """psnr@eat128: mean over the frames of all clips; made for the crops of metrics.extractors.eat_crop."""

    higher_is_better = True
    unit = EAT128.unit
    paper = EAT128.paper

    def update(self, preds: torch.Tensor, target: torch.Tensor) -> None:
        """Add the crops of one clip; both uint8 (T, 3, 128, 128) RGB, only frames with a face in both."""
        values = psnr(rgb_frames(preds), rgb_frames(target))
        self._add(values.sum(), len(values))


class FacePSNR(OverClips):
    """psnr@face: as PSNR, inside one box per frame."""

    higher_is_better = True
    unit = FACE.unit
    paper = FACE.paper

    def update(self, preds: torch.Tensor, target: torch.Tensor, boxes: torch.Tensor) -> None:
        """Add one clip.

        Args:
            preds, target: uint8 (T, 3, H, W) RGB.
            boxes: int64 (T, 4): left, top, right, bottom of the target's face, right and bottom exclusive; zeros: none.
        """
        self._add(face_psnr(*squared_errors_in_boxes(rgb_frames(preds), rgb_frames(target), boxes.cpu().numpy())), 1)
