"""Training of expert B, `synth_au`: AUs by a censored regression, on people that expert A does not learn from."""

from __future__ import annotations

from pathlib import Path

import torch

from bench.media.landmarks import NUM_POINTS
from metrics.synth.au import SynthAU
from metrics.synth.au_network import AUNetwork
from metrics.synth.au_regression import au_loss
from metrics.synth.face_samples import Batch, FaceSamples
from metrics.synth.face_training import AU_WEIGHT, LEARNING_RATE, Log, point_loss, train_expert
from metrics.synth.training import Budget, Recipe

SEED = 1000
"""Added to the seed, so that A and B never draw the same numbers."""


def train_au(
    data: Path,
    out: Path,
    *,
    minutes: float | None = None,
    steps: int | None = None,
    seed: int = 0,
    start: Path | None = None,
    log: Log = print,
) -> dict[str, dict]:
    """Train expert B on the identities with an odd id and write its weights. Arguments and result: `train_face`."""
    return train_expert(
        SynthAU,
        face_loss,
        FaceSamples(data, parity=1),
        data=data,
        out=out,
        budget=Budget(minutes=minutes, steps=steps),
        recipe=Recipe(seed=seed + SEED, learning_rate=LEARNING_RATE),
        start=start,
        log=log,
    )


def face_loss(network: AUNetwork, batch: Batch) -> torch.Tensor:
    """Of AUs, and of the points that the code is to know."""
    code = network.code(torch.from_numpy(batch.crops))
    with torch.autocast("cpu", enabled=False):
        xy = 0.5 + 0.25 * network.points(code).unflatten(1, (NUM_POINTS, 2))
        return point_loss(xy, batch) + AU_WEIGHT * au_loss(network.aus(code), torch.from_numpy(batch.aus))
