"""Reading sparse AUs off a network: a censored regression, and where a small value counts as inactive.

FEAFA's AUs are mostly exactly 0, and an AU above 0 is active. A network's raw value therefore stands for the AU between
0 and 1 only: it may be anything below where the AU is 0, and anything above where it is 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bench.media.au import FEAFA_UNITS

if TYPE_CHECKING:
    import torch

NUM_AUS = len(FEAFA_UNITS)
MARGIN = 0.04
"""Raw values of inactive AUs are pushed down to -MARGIN."""
FLOORS = np.linspace(0, 0.12, 25)
"""Floors that `best_floors` chooses among."""


def au_loss(raw: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Mean over entries of the squared distance of the raw value to what the AU allows.

    Squared, because most AUs of a face are 0: an absolute error is content with predicting 0 for long.

    Args:
        raw, target: float (n, 24); the target in [0, 1].
    """
    import torch

    free = raw.detach()
    aim = torch.where(target > 0, target, free.clamp(max=-MARGIN))
    aim = torch.where(target < 1, aim, free.clamp(min=1))
    return (raw - aim).square().mean()


def readings(raw: torch.Tensor, floor: torch.Tensor) -> torch.Tensor:
    """AUs in [0, 1] of raw values float (n, 24): 0 below the floor (24,) of each."""
    import torch

    return torch.where(raw < floor, 0.0, raw.clamp(0, 1))


def best_floors(raw: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The floor of each AU, float32 (24,), at which "active" agrees best (F1) with the target.

    Args:
        raw, target: float (n, 24).
    """
    active = target > 0
    scores = []
    for floor in FLOORS:
        found = (raw > 0) & (raw >= floor)
        scores.append(2 * (found & active).sum(0) / np.maximum(found.sum(0) + active.sum(0), 1))
    return FLOORS[np.argmax(scores, axis=0)].astype(np.float32)
