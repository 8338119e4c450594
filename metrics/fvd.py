"""FVD as a torchmetrics class; the formula and its variants are in `metrics.functional.fvd`."""

from __future__ import annotations

from metrics.frechet import RowSetMetric
from metrics.functional.fvd import METRICS


class FVD(RowSetMetric):
    """FVD between generated and target videos; rows are I3D logits (k, 400), one per window or video."""

    unit = ""
    paper = "Unterthiner et al., arXiv 1812.01717"
    variants = METRICS
