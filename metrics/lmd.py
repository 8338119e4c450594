"""M-LMD and F-LMD as torchmetrics classes, on the formulas of `metrics.functional.lmd`."""

from __future__ import annotations

from typing import Literal

import torch
from torchmetrics import Metric

from bench.media.errors import Undefined
from bench.media.landmarks import FACE68, MOUTH68
from metrics.functional.lmd import FORMULAS, PAPERS, UNITS

Variant = Literal["@iod", "@eat128", "@px256", "@procrustes", "@synth"]


class FaceLandmarkDistance(Metric):
    """F-LMD: mean over clips of the distance of the 68 face points.

    Args:
        variant: see `metrics.functional.lmd`; `unit` and `paper` of the instance follow it. `@eat128` expects dlib
            points on the 128x128 crop, the others points of `bench.media.landmarks.ibug68` in pixels of the frame.
    """

    higher_is_better = False
    is_differentiable = False
    full_state_update = False
    unit: str = UNITS["@iod"]
    paper: str = PAPERS["@iod"]
    points = FACE68

    total: torch.Tensor
    clips: torch.Tensor

    def __init__(self, variant: Variant = "@iod", **kwargs):
        super().__init__(**kwargs)
        self.formula = FORMULAS[variant]
        self.unit = UNITS[variant]
        self.paper = PAPERS[variant]
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("clips", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, prediction: torch.Tensor, target: torch.Tensor) -> None:
        """Add one clip.

        Args:
            prediction, target: float (T, 68, 2) pixels; NaN where there is no face.

        Raises:
            Undefined: the clip has no value.
        """
        self.total += self.formula(prediction.cpu().numpy(), target.cpu().numpy(), self.points)
        self.clips += 1

    def compute(self) -> torch.Tensor:
        if not self.clips:
            raise Undefined("no clip was added")
        return self.total / self.clips


class MouthLandmarkDistance(FaceLandmarkDistance):
    """M-LMD: as FaceLandmarkDistance on the 20 mouth points."""

    points = MOUTH68
