"""What the trainings of the two face experts share.

Both see augmented faces, the locator the whole frame and the network a crop cut out as an imperfect locator would. When
the weights are final, rounded as they are stored, the floor of each AU (`au_regression.best_floors`) is chosen on the
people that are left for validation, and the errors on them are noted in the file.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

from metrics.synth.alignment import SPAN
from metrics.synth.arrays import world_version
from metrics.synth.au_regression import best_floors
from metrics.synth.face_accuracy import held_out_accuracy
from metrics.synth.face_expert import FaceExpert
from metrics.synth.face_samples import Batch, FaceSamples
from metrics.synth.training import (
    Budget,
    Recipe,
    load_weights,
    read_metadata,
    round_weights,
    save_weights,
    seed_everything,
    train,
)

BATCH = 64
LEARNING_RATE = 1e-3
"""At 2e-3 and 4e-3 the AUs were learned half as well and worse in the same time."""
FLOOR_FACES = 1500
"""Faces the floors are chosen on."""
AU_WEIGHT = 20.0
"""Of the AU loss beside the distances of points: at the end of a training they are about equal."""

Log = Callable[[str], None]


def train_expert(
    expert: type[FaceExpert],
    loss: Callable[[nn.Module, Batch], torch.Tensor],
    samples: FaceSamples,
    *,
    data: Path,
    out: Path,
    budget: Budget,
    recipe: Recipe,
    start: Path | None,
    log: Log,
) -> dict[str, dict]:
    """Train an expert's network and write its weights; a training that was interrupted is continued.

    Args:
        loss: of the network on a batch, without that of its locator.
        start: weights to begin from; None takes random ones.

    Returns:
        figures of `held_out_accuracy`.
    """
    seed_everything(recipe.seed)
    network = expert.make_network().to(memory_format=torch.channels_last)
    before = 0
    if start is not None:
        load_weights(network, start)
        before = int(read_metadata(start)["steps"])

    def batch_loss(rng: np.random.Generator) -> torch.Tensor:
        batch = samples.draw(rng, BATCH, network.SIZE)
        # bfloat16 in the trunk: 1.6 times as fast where the processor has it; heads and losses stay float32.
        with torch.autocast("cpu", torch.bfloat16):
            return loss(network, batch) + locator_loss(network, batch)

    checkpoint = out.with_suffix(".checkpoint")
    outcome = train(network, batch_loss, recipe=recipe, budget=budget, checkpoint=checkpoint, log=log)
    about = {"expert": expert.name, "steps": before + outcome.steps, "seed": recipe.seed, "world": world_version(data)}
    figures = finish(expert, network, samples, data, out, about)
    checkpoint.unlink(missing_ok=True)
    return figures


def finish(
    expert: type[FaceExpert], network: nn.Module, samples: FaceSamples, data: Path, out: Path, about: dict[str, object]
) -> dict[str, dict]:
    """Choose the floors of a trained network, measure it, and write its weights with `about` and the figures.

    Returns:
        figures of `held_out_accuracy`.
    """
    save_weights(out, round_weights(network), about)
    rounded = expert({expert.name: out})
    faces = list(samples.held_out(FLOOR_FACES))
    with torch.inference_mode():
        chunks = [np.stack([face[0] for face in faces[i : i + BATCH]]) for i in range(0, len(faces), BATCH)]
        raw = torch.cat([rounded.raw_aus(rounded.crops(chunk)[0]) for chunk in chunks])
    network.floor.copy_(torch.from_numpy(best_floors(raw.numpy(), np.stack([face[2] for face in faces]))))
    save_weights(out, network, about)
    figures = held_out_accuracy(expert({expert.name: out}), data)
    save_weights(out, network, about | {"held_out": json.dumps(figures)})
    return figures


def locator_loss(network: nn.Module, batch: Batch) -> torch.Tensor:
    """Mean distance of the eye centres over the distance between them."""
    eyes = torch.from_numpy(batch.eyes)
    apart = (eyes[:, 0] - eyes[:, 1]).norm(dim=-1).mean()
    return (network.locate(torch.from_numpy(batch.frames)) - eyes).norm(dim=-1).mean() / apart


def point_loss(xy: torch.Tensor, batch: Batch) -> torch.Tensor:
    """Mean distance of points (n, 478, 2), in units of the crop's side, over the distance between the eyes."""
    return SPAN * (xy - torch.from_numpy(batch.xy)).norm(dim=-1).mean()
