"""What the trainings of the two face experts share.

Both see augmented frames. When the weights are final, rounded as they are stored, the floor of each AU
(`au_regression.best_floors`) is chosen on the people that are left for validation, and the errors on them are noted in
the file.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

from metrics.synth.arrays import world_version
from metrics.synth.au_regression import best_floors
from metrics.synth.face_accuracy import held_out_accuracy
from metrics.synth.face_samples import Batch, FaceSamples, stacked
from metrics.synth.frame_expert import FrameExpert, resized
from metrics.synth.training import Budget, Recipe, round_weights, save_weights, seed_everything, train

BATCH = 64
FLOOR_FACES = 1500
"""Faces the floors are chosen on."""

Log = Callable[[str], None]


def train_expert(
    network: Callable[[], nn.Module],
    loss: Callable[[nn.Module, Batch], torch.Tensor],
    raw_aus: Callable[[nn.Module, torch.Tensor], torch.Tensor],
    expert: type[FrameExpert],
    samples: FaceSamples,
    *,
    data: Path,
    out: Path,
    budget: Budget,
    recipe: Recipe,
    log: Log,
) -> dict[str, dict]:
    """Train a network on batches of faces and write its weights; a training that was interrupted is continued.

    Args:
        network: makes it; it has a SIZE and a buffer `floor`.
        loss: of a network on a batch.
        raw_aus: (network, frames uint8 (n, SIZE, SIZE, 3)) -> raw AUs (n, 24).
        expert: the extractor that uses the weights.

    Returns:
        figures of `held_out_accuracy`.
    """
    seed_everything(recipe.seed)
    module = network().to(memory_format=torch.channels_last)

    def batch_loss(rng: np.random.Generator) -> torch.Tensor:
        batch = samples.draw(rng, BATCH, module.SIZE)
        # bfloat16 in the trunk: 1.6 times as fast where the processor has it; heads and losses stay float32.
        with torch.autocast("cpu", torch.bfloat16):
            return loss(module, batch)

    checkpoint = out.with_suffix(".checkpoint")
    outcome = train(module, batch_loss, recipe=recipe, budget=budget, checkpoint=checkpoint, log=log)
    round_weights(module)
    faces = stacked(samples.held_out(FLOOR_FACES))
    frames = torch.from_numpy(resized(faces.frames, module.SIZE))
    with torch.inference_mode():
        raw = torch.cat([raw_aus(module, part) for part in frames.split(BATCH)])
    module.floor.copy_(torch.from_numpy(best_floors(raw.numpy(), faces.aus)))
    about = {"expert": expert.name, "steps": outcome.steps, "seed": recipe.seed, "world": world_version(data)}
    save_weights(out, module, about)
    figures = held_out_accuracy(expert({expert.name: out}), data)
    save_weights(out, module, about | {"held_out": json.dumps(figures)})
    checkpoint.unlink(missing_ok=True)
    return figures
