"""Plans: the rows behind a published table or figure, each a method with its settings on a protocol. plans/NAME.toml.

A plan runs nothing; `bench list plans NAME` prints the command of every row. It names methods and metrics as text, so it
may name a method that this suite does not have: its videos are made elsewhere and scored with `bench score`.
"""

from __future__ import annotations

import json
import shlex
import tomllib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict

from bench.media.errors import UserError
from protocols.published import read_spec

PLANS = Path(__file__).parent / "plans"

MetricNames = Annotated[tuple[str, ...], BeforeValidator(lambda value: [value] if isinstance(value, str) else value)]


class PlanRow(BaseModel):
    """One row of a table, or one point of a figure."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    label: str
    """As printed; `|` where the print has several cells."""
    method: str
    """Name in the registry, or the name under which a method made elsewhere would be there."""
    settings: dict[str, str | float] = {}
    """What differs from the method's defaults."""
    protocol: str | None = None
    """The one protocol of this row; None takes all of the plan's."""


class PlanSpec(BaseModel):
    """A table or figure of a paper as a list of runs."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    title: str
    """What it asks, in one line."""
    paper: str
    """Where it is printed."""
    protocols: tuple[str, ...]
    """Every row runs on each of these, unless it names one."""
    columns: dict[str, MetricNames]
    """Column as printed -> metrics of the suite."""
    unmeasured: dict[str, str] = {}
    """Printed columns that are no metric -> where the figure comes from."""
    reading: str | None = None
    """What in it is our reading, not the paper's word."""
    axis: str | None = None
    """Setting on the x axis of a figure; every row sets it."""
    trajectories: bool = False
    """Whether its figure shows AU intensity over time."""
    open: bool = False
    """Whether every other method with a run on its protocols joins it as a row: a comparison, not an ablation."""
    rows: tuple[PlanRow, ...]
    """In the printed order."""

    def runs(self, synthetic: bool = False) -> list[tuple[PlanRow, str]]:
        """(row, protocol) of every run, in the printed order.

        Args:
            synthetic: put the synthetic counterpart in each protocol's place.

        Raises:
            UserError: a protocol has no synthetic counterpart.
        """
        chosen = [(row, name) for row in self.rows for name in ([row.protocol] if row.protocol else self.protocols)]
        if not synthetic:
            return chosen
        lacking = sorted({name for _, name in chosen if read_spec(name).counterpart is None})
        if lacking:
            raise UserError(f"{', '.join(lacking)}: no synthetic protocol mirrors it")
        # Two real protocols may share a counterpart: the same run once.
        swapped = [(row, read_spec(name).counterpart or "") for row, name in chosen]
        return [run for n, run in enumerate(swapped) if run not in swapped[:n]]


def plans() -> list[str]:
    """Names of all plans."""
    return sorted(path.stem for path in PLANS.glob("*.toml"))


@cache
def read_plan(name: str) -> PlanSpec:
    """plans/NAME.toml.

    Raises:
        UserError: there is none.
    """
    if name not in plans():
        raise UserError(f"unknown plan {name!r}; there are {', '.join(plans())}")
    return PlanSpec(**tomllib.loads((PLANS / f"{name}.toml").read_text("utf-8")))


def counterpart_metric(metric: str, available: Sequence[str]) -> str:
    """What stands in for a published table's metric on a synthetic protocol.

    Args:
        metric: of the real protocol.
        available: metrics of the synthetic one: the same, the bare name, or the name's `@synth`; for LibreFace, an
            estimator of another family than OpenFace, the second AU expert.
    """
    bare = metric.partition("@")[0]
    candidates = (metric, bare, f"{bare}@synth_b" if "libreface" in metric else f"{bare}@synth")
    return next(name for name in candidates if name in available)


def run_arguments(row: PlanRow, protocol: str, data: str | None) -> list[str]:
    """Arguments of `python -m bench` that make this row.

    Args:
        row: of the plan.
        protocol: one of the row's.
        data: the prepared data set's folder; None for synthetic protocols, which render their own.
    """
    settings = [
        f"{name}={value if isinstance(value, str) else json.dumps(value)}" for name, value in row.settings.items()
    ]
    return [
        "run", "--method", row.method, "--protocol", protocol, *(["--data", data] if data else []),
        *(argument for setting in settings for argument in ("--set", setting)),
    ]  # fmt: skip


def score_arguments(row: PlanRow, protocol: str, data: str | None) -> list[str]:
    """Arguments of `python -m bench` that score this row's videos where they were made elsewhere."""
    data_option = ["--data", data] if data else []
    return ["score", "--videos", f"VIDEOS/{row.method}", "--name", row.method, "--protocol", protocol, *data_option]


def command(arguments: Sequence[str]) -> str:
    """Arguments of `python -m bench` as one line for a shell."""
    return shlex.join(["python", "-m", "bench", *arguments])
