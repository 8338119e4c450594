"""OverClips: base of the torchmetrics classes whose score is a sum divided by a count, and their input format."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torchmetrics import Metric

from bench.media.errors import Undefined


class OverClips(Metric):
    """sum / count in float64, both summed over processes. Subclasses give `update`, which calls `_add`."""

    is_differentiable = False
    full_state_update = False
    unit: str
    paper: str
    total: torch.Tensor
    count: torch.Tensor

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def compute(self) -> torch.Tensor:
        """float64 scalar.

        Raises:
            Undefined: nothing was seen.
        """
        if self.count == 0:
            raise Undefined(f"{type(self).__name__} has seen no frame")
        return self.total / self.count

    def _add(self, total: float, count: int) -> None:
        self.total += total
        self.count += count


def rgb_frames(clip: torch.Tensor) -> np.ndarray:
    """uint8 (T, 3, H, W) RGB tensor on any device -> uint8 (T, H, W, 3) array.

    Raises:
        ValueError: other types or shapes. Floats are refused because their range would have to be guessed.
    """
    if clip.dtype != torch.uint8 or clip.ndim != 4 or clip.shape[1] != 3:
        raise ValueError(
            f"a clip must be uint8 (T, 3, H, W) RGB, got {clip.dtype} {tuple(clip.shape)}; "
            "convert [0, 1] floats with (x * 255).round().clamp(0, 255).to(torch.uint8)"
        )
    return np.ascontiguousarray(clip.permute(0, 2, 3, 1).cpu().numpy())
