"""reference_leak as a torchmetrics class, on the formula of `metrics.functional.reference_leak`."""

from __future__ import annotations

import torch
from torchmetrics import Metric

from metrics.functional.reference_leak import PAPER, reference_leak


class ReferenceLeak(Metric):
    """Mean over clips of the share of the reference's AUs in the generated ones."""

    higher_is_better = False
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

    def update(self, generated: torch.Tensor, driving: torch.Tensor, reference: torch.Tensor) -> None:
        """Add one clip.

        Args:
            generated, driving: float (T, A) in [0, 1], frames in which both show a face.
            reference: float (A,) in [0, 1].

        Raises:
            Undefined: the clip has no value.
        """
        self.total += reference_leak(*(values.cpu().numpy() for values in (generated, driving, reference)))
        self.clips += 1

    def compute(self) -> torch.Tensor:
        return self.total / self.clips
