"""CSIM as a torchmetrics class, on the formulas of `metrics.functional.csim`."""

from __future__ import annotations

import torch
from torchmetrics import Metric

from bench.media.errors import Undefined
from metrics.functional.csim import METRICS, csim_reference, csim_target


class CSIM(Metric):
    """Mean over clips of the cosine of each frame's embedding with that of the reference image.

    Works on the embeddings of any one face recognition network (`metrics.extractors.arcface`).
    """

    higher_is_better = True
    is_differentiable = False
    full_state_update = False
    unit: str = ""
    paper: str = METRICS[0].paper

    total: torch.Tensor
    clips: torch.Tensor

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("clips", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, prediction: torch.Tensor, reference: torch.Tensor) -> None:
        """Add one clip.

        Args:
            prediction: float (T, D) embeddings; NaN where there is no face.
            reference: float (D,) or (1, D), embedding of the reference image.

        Raises:
            Undefined: the clip has no value.
        """
        self.total += csim_reference(prediction.cpu().numpy(), reference.cpu().numpy())
        self.clips += 1

    def compute(self) -> torch.Tensor:
        if not self.clips:
            raise Undefined("no clip was added")
        return self.total / self.clips


class TargetCSIM(CSIM):
    """As CSIM, with the target's frame of the same time in place of the reference image."""

    paper = METRICS[1].paper

    def update(self, prediction: torch.Tensor, target: torch.Tensor) -> None:
        """Add one clip.

        Args:
            prediction, target: float (T, D) embeddings; NaN where there is no face.

        Raises:
            Undefined: the clip has no value.
        """
        self.total += csim_target(prediction.cpu().numpy(), target.cpu().numpy())
        self.clips += 1
