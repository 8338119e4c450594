"""RowSetMetric: the torchmetrics base of the metrics that compare two sets of feature rows (FID, KID, FVD, E-FID)."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import torch
import torchmetrics
from torchmetrics.utilities import dim_zero_cat

from metrics.functional.frechet import frechet_distance
from metrics.metric import Metric


class RowSetMetric(torchmetrics.Metric):
    """Collects rows of both sets and applies a pure function of `metrics.functional` to all of them at the end.

    States are the rows themselves, concatenated over updates and processes, so a value does not depend on batching and
    equals that of the functional form. The two sets may have different numbers of rows.

    Args:
        network: maps what `update` receives (images, videos) to rows (k, D); None if `update` receives rows.
        variant: which definition, see `variants`.
    """

    higher_is_better = False
    is_differentiable = False
    full_state_update = False
    unit: str = ""
    paper: str = ""
    variants: ClassVar[tuple[Metric, ...]] = ()
    """The descriptions this class can compute, default first."""

    prediction: list[torch.Tensor]
    target: list[torch.Tensor]

    def __init__(
        self, network: Callable[[torch.Tensor], torch.Tensor] | None = None, variant: str | None = None, **kwargs
    ):
        super().__init__(**kwargs)
        known = {metric.variant: metric for metric in self.variants}
        variant = self.variants[0].variant if variant is None else variant
        if variant not in known:
            raise ValueError(f"{type(self).__name__} has no variant {variant!r}; it has {', '.join(known)}")
        self.description = known[variant]
        self.paper = self.description.paper
        self.network = network
        self.add_state("prediction", default=[], dist_reduce_fx="cat")
        self.add_state("target", default=[], dist_reduce_fx="cat")

    def update(self, prediction: torch.Tensor, target: torch.Tensor) -> None:
        """Add samples: rows (k, D), or what `network` turns into rows."""
        self.prediction.append(self._rows(prediction))
        self.target.append(self._rows(target))

    def compute(self) -> torch.Tensor:
        """The value over all rows, float64 ().

        Raises:
            Undefined: fewer than 2 rows in one of the sets.
        """
        rows = (dim_zero_cat(state).cpu().numpy() for state in (self.prediction, self.target))
        return torch.tensor(self.description.distance(*rows), dtype=torch.float64)

    def _rows(self, samples: torch.Tensor) -> torch.Tensor:
        rows = samples if self.network is None else self.network(samples)
        if rows.ndim != 2:
            raise ValueError(f"expected rows (k, D), got {tuple(rows.shape)}")
        return rows.detach()


class FrechetDistance(RowSetMetric):
    """Fréchet distance between rows of any features, ddof 1."""

    unit = ""
    paper = "Dowson and Landau, 1982"
    variants = (
        Metric(
            name="frechet",
            variant="@rows",
            kind="set",
            needs=(),
            case=tuple,
            distance=frechet_distance,
            unit="",
            higher_is_better=False,
            paper="Dowson and Landau, 1982",
        ),
    )
