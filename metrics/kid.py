"""KID as a torchmetrics class; the formula and its variants are in `metrics.functional.kid`."""

from __future__ import annotations

from metrics.frechet import RowSetMetric
from metrics.functional.kid import METRICS


class KID(RowSetMetric):
    """KID between generated and target frames; rows are Inception features (k, 2048), `network` may compute them."""

    unit = ""
    paper = "Binkowski et al., arXiv 1801.01401"
    variants = METRICS
