"""Training of expert A, `synth_face`: landmarks by their mean distance, AUs by a censored regression."""

from __future__ import annotations

from pathlib import Path

import torch

from bench.media.landmarks import EYE_OUTER_CORNERS68
from metrics.synth.au_regression import au_loss
from metrics.synth.face import SynthFace
from metrics.synth.face_network import FaceNetwork
from metrics.synth.face_samples import Batch, FaceSamples
from metrics.synth.face_training import Log, train_expert
from metrics.synth.training import Budget, Recipe

AU_WEIGHT = 10.0
"""Of the AU loss beside the landmark loss: at the end of a training both are about equal."""


def train_face(
    data: Path, out: Path, *, minutes: float | None = None, steps: int | None = None, seed: int = 0, log: Log = print
) -> dict[str, dict]:
    """Train expert A on the identities with an even id and write its weights.

    Args:
        data: folder of training arrays.
        out: file of the weights; the checkpoint lies beside it until they are written.
        minutes, steps: budget; the first that is reached ends the training.

    Returns:
        figures of `held_out_accuracy`, which are also in the metadata of the file.
    """
    return train_expert(
        FaceNetwork,
        face_loss,
        lambda network, frames: network(frames).aus,
        SynthFace,
        FaceSamples(data, parity=0),
        data=data,
        out=out,
        budget=Budget(minutes=minutes, steps=steps),
        recipe=Recipe(seed=seed),
        log=log,
    )


def face_loss(network: FaceNetwork, batch: Batch) -> torch.Tensor:
    """Of landmarks and AUs, a scalar."""
    output = network(torch.from_numpy(batch.frames))
    landmarks = landmark_loss(output.xy, torch.from_numpy(batch.xy))
    return landmarks + AU_WEIGHT * au_loss(output.aus, torch.from_numpy(batch.aus))


def landmark_loss(xy: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Mean distance of the points float (n, 68, 2) over the mean distance between the outer eye corners."""
    left, right = (target[:, corner] for corner in EYE_OUTER_CORNERS68)
    return (xy - target).norm(dim=-1).mean() / (left - right).norm(dim=-1).mean()
