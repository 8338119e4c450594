"""au_following as a torchmetrics class, on the formula of `metrics.functional.au_following`."""

from __future__ import annotations

import torch
from torchmetrics import Metric

from metrics.functional.au_following import PAPER, au_following


class AUFollowing(Metric):
    """Mean over clips of the correlation over time of generated with driving AUs."""

    higher_is_better = True
    is_differentiable = False
    full_state_update = False
    unit: str = ""
    paper: str = PAPER

    total: torch.Tensor
    clips: torch.Tensor

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("clips", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, generated: torch.Tensor, driving: torch.Tensor) -> None:
        """Add one clip.

        Args:
            generated, driving: float (T, A) in [0, 1], frames in which both show a face.

        Raises:
            Undefined: the clip has no value.
        """
        self.total += au_following(generated.cpu().numpy(), driving.cpu().numpy())
        self.clips += 1

    def compute(self) -> torch.Tensor:
        return self.total / self.clips
