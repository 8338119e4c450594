"""Which metric must answer which degradation, in which direction: the claims that the calibration checks.

A claim holds if no larger amount brings the metric back, and the largest has moved it. Metrics that follow a degradation
without a claim are listed too: what they do is shown, and nothing is promised.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from bench.calibration.degradations import DEGRADATIONS
from bench.calibration.measure import Answer, Spoilt, score
from metrics.metric import Metric

Direction = Literal["up", "down", "flat", "shown"]
"""Of the metric as the amount grows. `flat`: it cannot see this, by its definition. `shown`: no claim."""
EQUAL = 1e-6
"""What counts as no change: relative to the largest value of a curve; of a flat one, whose values may all be rounding
errors, to 1 if that is more."""

_PICTURE = {"psnr": "down", "ssim": "down", "lpips@synth": "up", "fid@synth": "up", "kid@synth": "up"}
_TIMING = {"au_following@synth": "down", "au_pcc@synth": "down"}

CURVES: dict[str, dict[str, Direction]] = {
    "blur": _PICTURE | {"fvd@synth": "up", "f_lmd@synth": "shown", "au_mae@synth": "shown", "csim@synth": "shown"},
    "noise": _PICTURE | {"fvd@synth": "up", "f_lmd@synth": "shown", "au_mae@synth": "shown", "csim@synth": "shown"},
    "compression": _PICTURE | {"fvd@synth": "shown", "f_lmd@synth": "shown", "au_mae@synth": "shown"},
    "weaker_aus": _PICTURE
    | {
        "fvd@synth": "up", "efid@synth": "up", "m_lmd@synth": "up", "f_lmd@synth": "up", "acc_emo@synth": "down",
        "au_mae@synth": "up", "au_mae@synth_b": "up", "au_f1@synth": "down", "au_f1@synth_b": "down",
        "au_recall@synth": "down", "au_accuracy@synth": "down", "reference_leak@synth": "up",
        "au_precision@synth": "shown", "au_following@synth": "shown", "au_pcc@synth": "shown", "csim@synth": "shown",
    },
    "other_person": _PICTURE
    | {
        "csim@synth": "down", "fvd@synth": "shown", "m_lmd@synth": "up", "f_lmd@synth": "up", "au_mae@synth": "shown",
        "au_following@synth": "shown",
    },
    "late_speech": {"av_offset@synth": "down", "lse_c@synth": "shown", "lse_d@synth": "shown", "psnr": "flat"},
    "other_speech": {"lse_c@synth": "down", "lse_d@synth": "up", "psnr": "flat"},
    "held_frames": {"psnr": "down", "ssim": "down", "lpips@synth": "up", "fvd@synth": "up"}
    | _TIMING
    | {
        "m_lmd@synth": "up", "f_lmd@synth": "up", "au_mae@synth": "up", "au_precision@synth": "down",
        "au_accuracy@synth": "down", "lse_c@synth": "down", "lse_d@synth": "up", "fid@synth": "shown",
    },
    "shuffled_frames": {"psnr": "down", "ssim": "down", "fvd@synth": "up"}
    | _TIMING
    | {"fid@synth": "flat", "kid@synth": "flat", "efid@synth": "flat"},
}  # fmt: skip
"""Degradation -> result key of a metric -> direction."""
CLEAN = Spoilt(next(iter(CURVES)), 0)
"""The clean clip, whose values begin every curve: an amount of 0 is the same of any degradation."""


@dataclass(frozen=True)
class Curve:
    """A metric against a degradation."""

    metric: str
    degradation: str
    direction: Direction
    amounts: tuple[float, ...]
    values: tuple[float | None, ...]
    """One per amount."""
    missing: str | None
    """Why a value is missing, or does not cover all clips."""

    @property
    def holds(self) -> bool | None:
        """Whether the claim holds; None where there is no claim, or nothing to check it on."""
        if self.direction == "shown" or any(value is None for value in self.values):
            return None
        return follows(self.values, self.direction)

    def document(self) -> dict[str, Any]:
        return vars(self) | {"holds": self.holds}


def follows(values: Sequence[float], direction: Direction) -> bool:
    """Whether values in the order of growing amounts go one way (or nowhere, for `flat`)."""
    slack = EQUAL * max(map(abs, values))
    if direction == "flat":
        return all(abs(value - values[0]) <= max(slack, EQUAL) for value in values)
    sign = {"up": 1, "down": -1}[direction]
    steps = [sign * (later - earlier) for earlier, later in zip(values, values[1:], strict=False)]
    return all(step >= -slack for step in steps) and sign * (values[-1] - values[0]) > slack


def wanted(keys: Sequence[str]) -> dict[Spoilt, tuple[str, ...]]:
    """What has to be measured for the curves of these metrics."""
    clean: dict[str, None] = {}
    found: dict[Spoilt, tuple[str, ...]] = {}
    for name, directions in CURVES.items():
        chosen = tuple(key for key in directions if key in keys)
        clean |= dict.fromkeys(chosen)
        if chosen:
            found |= {Spoilt(name, amount): chosen for amount in DEGRADATIONS[name].amounts[1:]}
    return {CLEAN: tuple(clean)} | found if clean else {}


def curves(answers: Sequence[Answer], metrics: Mapping[str, Metric]) -> list[Curve]:
    """All curves of these metrics (result key -> metric) from what was measured."""
    found = []
    for name, directions in CURVES.items():
        amounts = DEGRADATIONS[name].amounts
        for key, direction in directions.items():
            if key not in metrics:
                continue
            spoilts = [CLEAN, *(Spoilt(name, amount) for amount in amounts[1:])]
            scores = [score(metrics[key], [a.parts[spoilt, key] for a in answers]) for spoilt in spoilts]
            missing = next((one.missing for one in scores if one.missing), None)
            found.append(Curve(key, name, direction, amounts, tuple(one.value for one in scores), missing))
    return found
