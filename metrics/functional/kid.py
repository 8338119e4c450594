"""KID: squared maximum mean discrepancy with a cubic kernel (Binkowski et al., arXiv 1801.01401).

The kernel is (x.y / D + 1)^3. The estimate is the unbiased one over *all* pairs of rows, so it has no seed.
torch-fidelity and torchmetrics instead average the same estimate over 100 random subsets of 1000 rows; the expectation
is equal, the value differs by their sampling noise. Unlike FID it is unbiased at any sample size and may be slightly
negative.
Papers often print 1000 times the value; this is the plain one.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from bench.media.errors import Undefined
from metrics.functional.frechet import paired_rows
from metrics.metric import Metric

BLOCK = 2048
"""Rows and columns of the kernel matrix held at a time; 32 MiB in float64."""


def kid(prediction: np.ndarray, target: np.ndarray) -> float:
    """Unbiased squared MMD between feature rows (n, D) and (m, D), cubic kernel with gamma 1/D and coefficient 1.

    Raises:
        Undefined: fewer than 2 rows in one of the sets.
    """
    prediction, target = np.asarray(prediction), np.asarray(target)
    n, m = len(prediction), len(target)
    if n < 2 or m < 2:
        raise Undefined(f"the unbiased estimate needs at least 2 rows; the prediction has {n}, the target has {m}")
    within_prediction = (_kernel_sum(prediction, prediction) - _diagonal_sum(prediction)) / (n * (n - 1))
    within_target = (_kernel_sum(target, target) - _diagonal_sum(target)) / (m * (m - 1))
    return within_prediction + within_target - 2 * _kernel_sum(prediction, target) / (n * m)


def _kernel_sum(x: np.ndarray, y: np.ndarray) -> float:
    total = 0.0
    for i in range(0, len(x), BLOCK):
        rows = np.asarray(x[i : i + BLOCK], np.float64)
        for j in range(0, len(y), BLOCK):
            total += _cubic(rows @ np.asarray(y[j : j + BLOCK], np.float64).T, x.shape[1]).sum()
    return float(total)


def _diagonal_sum(x: np.ndarray) -> float:
    squares = np.einsum("nd,nd->n", x, x, dtype=np.float64)
    return float(_cubic(squares, x.shape[1]).sum())


def _cubic(products: np.ndarray, dimensions: int) -> np.ndarray:
    base = products / dimensions + 1.0
    return base * base * base


def _kid(variant: str, extractor: str, note: str) -> Metric:
    return Metric(
        name="kid",
        variant=variant,
        kind="set",
        needs=(f"prediction:{extractor}", f"target:{extractor}"),
        case=partial(paired_rows, extractor=extractor, feature="pool"),
        distance=kid,
        unit="",
        higher_is_better=False,
        paper="Binkowski et al., arXiv 1801.01401",
        note=note + "; unbiased over all pairs, no random subsets (torch-fidelity averages 100 subsets of 1000)",
    )


METRICS: tuple[Metric, ...] = (
    _kid("@inception", "inception", "features of fid@inception"),
    _kid("@clean", "inception_clean", "features of fid@clean"),
    _kid("@eat", "inception_eat", "features of fid@eat"),
)
