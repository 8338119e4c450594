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
    one = np.zeros(len(prediction), int), np.zeros(len(target), int)
    return _estimate(*(sums.sum() for sums in _block_sums(prediction, target, *one, 1)), len(prediction), len(target))


def kid_leave_out(
    prediction: np.ndarray, target: np.ndarray, prediction_groups: np.ndarray, target_groups: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Delete-a-group values: KID without each group in turn, from sums over blocks of one kernel matrix.

    Args:
        prediction: (n, D). target: (m, D).
        prediction_groups: (n,) group label of every row. target_groups: (m,).

    Returns:
        labels (g,) sorted, and float64 (g,) the estimate without the group of that label.
    """
    labels = np.union1d(prediction_groups, target_groups)
    owners = [np.searchsorted(labels, groups) for groups in (prediction_groups, target_groups)]
    within_p, within_t, between = _block_sums(prediction, target, *owners, len(labels))
    counts = [np.bincount(own, minlength=len(labels)) for own in owners]
    values = []
    for g in range(len(labels)):
        keep = np.arange(len(labels)) != g
        kept = [sums[np.ix_(keep, keep)].sum() for sums in (within_p, within_t, between)]
        values.append(_estimate(*kept, *(int(count[keep].sum()) for count in counts)))
    return labels, np.array(values)


def _estimate(within_prediction: float, within_target: float, between: float, n: int, m: int) -> float:
    """Unbiased squared MMD from sums of the kernel over pairs of different rows."""
    if n < 2 or m < 2:
        raise Undefined(f"the unbiased estimate needs at least 2 rows; the prediction has {n}, the target has {m}")
    return float(within_prediction / (n * (n - 1)) + within_target / (m * (m - 1)) - 2 * between / (n * m))


def _block_sums(
    prediction: np.ndarray, target: np.ndarray, prediction_groups: np.ndarray, target_groups: np.ndarray, groups: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Kernel sums float64 (groups, groups) within the prediction, within the target (pairs of a row with itself left
    out), and between them, by the groups of the two rows."""
    prediction, target = np.asarray(prediction), np.asarray(target)
    sides = (prediction, prediction_groups), (target, target_groups)
    within = []
    for rows, owners in sides:
        sums = _kernel_sums(rows, rows, owners, owners, groups)
        squares = np.einsum("nd,nd->n", rows, rows, dtype=np.float64)
        own = np.bincount(owners, weights=_cubic(squares, rows.shape[1]), minlength=groups)
        within.append(sums - np.diag(own))
    return *within, _kernel_sums(prediction, target, prediction_groups, target_groups, groups)


def _kernel_sums(x: np.ndarray, y: np.ndarray, x_groups: np.ndarray, y_groups: np.ndarray, groups: int) -> np.ndarray:
    total = np.zeros((groups, groups))
    for i in range(0, len(x), BLOCK):
        rows = np.asarray(x[i : i + BLOCK], np.float64)
        members = np.eye(groups)[x_groups[i : i + BLOCK]]
        for j in range(0, len(y), BLOCK):
            kernel = _cubic(rows @ np.asarray(y[j : j + BLOCK], np.float64).T, x.shape[1])
            total += members.T @ kernel @ np.eye(groups)[y_groups[j : j + BLOCK]]
    return total


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
        leave_out=kid_leave_out,
        unit="",
        higher_is_better=False,
        paper="Binkowski et al., arXiv 1801.01401",
        note=note + "; unbiased over all pairs, no random subsets (torch-fidelity averages 100 subsets of 1000)",
    )


METRICS: tuple[Metric, ...] = (
    _kid("@inception", "inception", "features of fid@inception"),
    _kid("@clean", "inception_clean", "features of fid@clean"),
    _kid("@eat", "inception_eat", "features of fid@eat"),
    _kid("@synth", "synth_image", "features of fid@synth (synthetic experts: valid on synth_* only)"),
)
