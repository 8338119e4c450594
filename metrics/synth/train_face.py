"""Training of expert A, `synth_face`: points by their mean distance, AUs by a censored regression."""

from __future__ import annotations

from pathlib import Path

import torch

from metrics.synth.au_regression import au_loss
from metrics.synth.face import SynthFace
from metrics.synth.face_network import FaceNetwork
from metrics.synth.face_samples import Batch, FaceSamples
from metrics.synth.face_training import AU_WEIGHT, LEARNING_RATE, Log, point_loss, train_expert
from metrics.synth.training import Budget, Recipe


def train_face(
    data: Path,
    out: Path,
    *,
    minutes: float | None = None,
    steps: int | None = None,
    seed: int = 0,
    start: Path | None = None,
    log: Log = print,
) -> dict[str, dict]:
    """Train expert A on the identities with an even id and write its weights.

    Args:
        data: folder of training arrays.
        out: file of the weights; the checkpoint lies beside it until they are written.
        minutes, steps: budget; the first that is reached ends the training.
        start: weights to begin from, to train longer; None begins anew.

    Returns:
        figures of `held_out_accuracy`, which are also in the metadata of the file.
    """
    return train_expert(
        SynthFace,
        face_loss,
        FaceSamples(data, parity=0),
        data=data,
        out=out,
        budget=Budget(minutes=minutes, steps=steps),
        recipe=Recipe(seed=seed, learning_rate=LEARNING_RATE),
        start=start,
        log=log,
    )


def face_loss(network: FaceNetwork, batch: Batch) -> torch.Tensor:
    """Of AUs and points."""
    output = network(torch.from_numpy(batch.crops))
    return point_loss(output.xy, batch) + AU_WEIGHT * au_loss(output.aus, torch.from_numpy(batch.aus))
