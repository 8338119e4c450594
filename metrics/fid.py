"""FID as a torchmetrics class; the formula and its variants are in `metrics.functional.fid`."""

from __future__ import annotations

from metrics.frechet import RowSetMetric
from metrics.functional.fid import METRICS


class FID(RowSetMetric):
    """FID between generated and target frames; rows are Inception features (k, 2048), `network` may compute them."""

    unit = ""
    paper = "Heusel et al., arXiv 1706.08500"
    variants = METRICS
