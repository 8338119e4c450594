"""EFID as a torchmetrics class; the formula and its variants are in `metrics.functional.efid`."""

from __future__ import annotations

from metrics.frechet import RowSetMetric
from metrics.functional.efid import METRICS


class EFID(RowSetMetric):
    """E-FID between generated and target frames; rows are expression coefficients (k, D), one per frame with a face."""

    unit = ""
    paper = "Tian et al. (EMO), arXiv 2402.17485"
    variants = METRICS
