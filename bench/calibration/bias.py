"""What FID, FVD and KID say about two samples of one distribution, against the size of the samples.

The rows of all clean clips are put in random order and cut into two halves of n rows. Both halves come from the same
distribution, so the true distance is 0: what a metric says instead is its bias at n. FID and FVD are biased up, by about
the total variance over n; KID is an unbiased estimate, so its mean over many cuts is 0 at any n. Frames of one clip
resemble each other, and in a run whole clips are missing or added, never single rows: halves of whole clips (the same
number from either) are further apart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from metrics.metric import Metric

REPEATS = 32
FRACTIONS = (8, 4, 2, 1)
"""Halves are cut to 1/8, 1/4, 1/2 and all of half of the rows."""


def bias(metric: Metric, rows: Sequence[np.ndarray], repeats: int = REPEATS) -> dict[str, Any]:
    """The bias of a set metric.

    Args:
        metric: fid, kid or fvd.
        rows: float32 (n, D) of every clip.
        repeats: random cuts per size.

    Returns:
        {"rows": [point, ...], "clips": [point, ...]}, each point {"n": rows or clips in a half, "mean", "error": the
        standard error of the mean}.
    """
    single = [row[None] for clip in rows for row in clip]
    return {"rows": _points(metric, single, repeats), "clips": _points(metric, list(rows), repeats)}


def _points(metric: Metric, units: list[np.ndarray], repeats: int) -> list[dict[str, float]]:
    sizes = sorted({len(units) // 2 // fraction for fraction in FRACTIONS})
    sizes = [n for n in sizes if sum(map(len, units[:n])) >= 2 and n >= 1]
    return [_point(lambda rng, n=n: _cut(metric, units, n, rng), n, repeats) for n in sizes]


def _point(distance: Callable[[np.random.Generator], float], n: int, repeats: int) -> dict[str, float]:
    values = [distance(np.random.default_rng([n, repeat])) for repeat in range(repeats)]
    return {"n": n, "mean": float(np.mean(values)), "error": float(np.std(values, ddof=1) / np.sqrt(repeats))}


def _cut(metric: Metric, units: list[np.ndarray], n: int, rng: np.random.Generator) -> float:
    order = rng.permutation(len(units))
    halves = (np.concatenate([units[i] for i in order[start : start + n]]) for start in (0, n))
    return float(metric.distance(*halves))


def expectations(points: Mapping[str, Mapping[str, Any]]) -> dict[str, bool]:
    """Whether the biases of metrics (bare name -> `bias`) are as theory has them: FID and FVD fall with n, KID is within
    four standard errors of 0 at every n."""
    found = {}
    for name, both in points.items():
        means = [point["mean"] for point in both["rows"]]
        if name == "kid":
            found[name] = all(abs(point["mean"]) <= 4 * point["error"] for point in both["rows"])
        else:
            found[name] = all(later < earlier for earlier, later in zip(means, means[1:], strict=False))
    return found
