"""Metric: the description of one number, with the pure functions that compute it from features."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from metrics.extractor import Features

Role = Literal["prediction", "target", "reference", "driving", "pair"]
"""Whose features: the generated clip, the case's target clip, its reference image (a clip of one frame), the clip that
drove the generator, or prediction and target together (PairExtractor)."""

Needs = Mapping[str, Features]
"""Features by "role:extractor", for example needs["prediction:landmarks"]["xy"]."""


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One number: what it is called, how it is computed, which way is better, whose definition it follows."""

    name: str
    """Bare name, for example `psnr`."""
    variant: str
    """What was computed exactly, for example `@frame`; never mixed with another variant in a table column."""
    version: int = 1
    """Raised when the value would change for the same features."""
    kind: Literal["mean", "pooled", "set"]
    """`mean`: case() gives a float, the score is the mean over cases. `pooled`: case() gives additive statistics
    float64 (k,), the score is finish(sum over cases). `set`: case() gives (prediction rows, target rows), the score is
    distance(all prediction rows, all target rows)."""
    needs: tuple[str, ...]
    """Features as "role:extractor"."""
    case: Callable[..., object]
    """case(needs) -> float | float64 (k,) | (float32 (n, d), float32 (m, d)). Raises Undefined with the reason."""
    finish: Callable[[np.ndarray], float] | None = None
    """For `pooled`: sum of statistics -> score. Raises Undefined if it has no value."""
    distance: Callable[[np.ndarray, np.ndarray], float] | None = None
    """For `set`: (prediction rows, target rows) -> score. Raises Undefined if it has no value."""
    leave_out: Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]] | None = None
    """For `set`, optional: (prediction rows, target rows, group of every prediction row, group of every target row) ->
    (labels (g,), distance without each group (g,)), cheaper than `distance` once per group."""
    per_case: Callable[[np.ndarray], float] | None = None
    """For `pooled`, optional: one case's statistics -> the value shown for that case alone."""
    unit: str
    """dB, %, px, frames, or "" for a pure number."""
    higher_is_better: bool | None
    """None where the best value is neither end (an offset is best at 0)."""
    paper: str
    """Whose definition: paper or repository."""
    note: str = ""
    """One line on what distinguishes the variant or on a known difference from the reference."""
    bounds: tuple[float, float] = field(default=(-np.inf, np.inf))
    """Smallest and largest possible value; intervals are clipped to it."""

    @property
    def key(self) -> str:
        """name@variant, unique."""
        return self.name + self.variant


def needed_extractors(metrics: Sequence[Metric]) -> dict[str, set[str]]:
    """Role -> extractor names that these metrics need together."""
    wanted: dict[str, set[str]] = {}
    for metric in metrics:
        for need in metric.needs:
            role, extractor = need.split(":", 1)
            wanted.setdefault(role, set()).add(extractor)
    return wanted
