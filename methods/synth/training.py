"""Training loop of the small encoders: AdamW, cosine schedule by the clock, moving average of the weights, checkpoints.

Step k draws everything random from a generator seeded with (seed, k), so a checkpoint needs no random state.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench.media.errors import UserError

if TYPE_CHECKING:
    import torch
    from torch import nn

CHECKPOINT_SECONDS = 120.0
WARMUP = 0.03
"""Share of the training in which the learning rate rises from 0."""

Loss = Callable[[np.random.Generator], "torch.Tensor"]
"""Draws a batch with the generator and returns the loss of the network on it, a scalar with its graph."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How to train. The first of the two limits that is reached ends it; at least one is needed."""

    minutes: float | None = None
    """Of wall clock, over all sessions of a resumed training."""
    steps: int | None = None
    learning_rate: float = 2e-3
    """At the end of the warm-up; falls to 0 along half a cosine."""
    weight_decay: float = 0.01
    average: float = 0.998
    """Decay of the moving average of the weights, which is what the training returns."""
    clip_norm: float = 1.0
    seed: int = 0

    def progress(self, step: int, seconds: float) -> float:
        """Share of the training that is done, 1 at its end."""
        by_steps = step / self.steps if self.steps else 0.0
        by_clock = seconds / (60 * self.minutes) if self.minutes else 0.0
        return min(1.0, max(by_steps, by_clock))


def train(
    network: nn.Module,
    loss: Loss,
    recipe: Recipe,
    *,
    checkpoint: Path | None = None,
    log: Callable[[str], None] = print,
    every: int = 100,
) -> int:
    """Train a network in place; it ends in eval mode with the moving average of its weights.

    Args:
        network: in its initial state, made after `seed_step(recipe.seed, 0)`.
        loss: see Loss.
        checkpoint: file written every `CHECKPOINT_SECONDS` and read at the start if it exists; deleted at the end.
        log: takes one line every `every` steps.

    Returns:
        steps done.

    Raises:
        ValueError: the recipe has no limit.
    """
    import torch

    if recipe.minutes is None and recipe.steps is None:
        raise ValueError("a recipe needs minutes or steps")
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.0, weight_decay=recipe.weight_decay)
    average = {name: value.detach().clone() for name, value in network.state_dict().items()}
    step, seconds = _resume(checkpoint, network, optimizer, average)
    began, saved, losses = time.monotonic() - seconds, time.monotonic(), []
    network.train()
    while (progress := recipe.progress(step, seconds)) < 1:
        optimizer.param_groups[0]["lr"] = recipe.learning_rate * schedule(progress)
        value = loss(seed_step(recipe.seed, step + 1))
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), recipe.clip_norm)
        optimizer.step()
        step, seconds = step + 1, time.monotonic() - began
        # At first the average follows closely: the initial weights are worth nothing.
        _follow(average, network, min(recipe.average, step / (step + 10)))
        losses.append(value.item())
        if step % every == 0:
            log(f"step {step}, {seconds:.0f} s, {recipe.progress(step, seconds):.1%}: loss {np.mean(losses):.5f}")
            losses = []
        if checkpoint and time.monotonic() - saved >= CHECKPOINT_SECONDS:
            _save(checkpoint, network, optimizer, average, step, seconds)
            saved = time.monotonic()
    network.load_state_dict(average)
    network.eval()
    if checkpoint:
        checkpoint.unlink(missing_ok=True)
    return step


def seed_step(seed: int, step: int) -> np.random.Generator:
    """Seed torch and return numpy's generator of a step; step 0 comes before the network is made."""
    import torch

    rng = np.random.default_rng((seed, step))
    torch.manual_seed(int(rng.integers(2**62)))
    return rng


def schedule(progress: float) -> float:
    """Share of the learning rate at this share of the training: up a line, then down half a cosine to 0."""
    if progress < WARMUP:
        return progress / WARMUP
    return 0.5 + 0.5 * math.cos(math.pi * (progress - WARMUP) / (1 - WARMUP))


def _follow(average: dict[str, torch.Tensor], network: nn.Module, decay: float) -> None:
    """Move the average towards the network; counters are copied."""
    for name, value in network.state_dict().items():
        if value.is_floating_point():
            average[name].lerp_(value.detach(), 1 - decay)
        else:
            average[name].copy_(value)


def _save(checkpoint: Path, network, optimizer, average, step: int, seconds: float) -> None:
    import torch

    content = {
        "step": step,
        "seconds": seconds,
        "network": network.state_dict(),
        "optimizer": optimizer.state_dict(),
        "average": average,
    }
    part = checkpoint.with_name(checkpoint.name + ".part")
    part.parent.mkdir(parents=True, exist_ok=True)
    torch.save(content, part)
    os.replace(part, checkpoint)


def _resume(checkpoint: Path | None, network, optimizer, average) -> tuple[int, float]:
    """Steps and seconds done so far; weights and optimizer are set as they were."""
    import torch

    if checkpoint is None or not checkpoint.is_file():
        return 0, 0.0
    content = torch.load(checkpoint, weights_only=True)
    network.load_state_dict(content["network"])
    optimizer.load_state_dict(content["optimizer"])
    average.update(content["average"])
    return content["step"], content["seconds"]


def save_weights(path: Path, network: nn.Module, metadata: Mapping[str, object]) -> None:
    """Write safetensors: matrices and convolutions in float16, vectors (biases, scales) in float32.

    Args:
        metadata: stored as text beside the tensors.
    """
    from safetensors.torch import save

    tensors = {
        name: (value.half() if value.ndim > 1 and value.is_floating_point() else value).contiguous()
        for name, value in network.state_dict().items()
    }
    part = Path(path).with_name(Path(path).name + ".part")
    part.parent.mkdir(parents=True, exist_ok=True)
    part.write_bytes(save(tensors, {name: str(value) for name, value in metadata.items()}))
    os.replace(part, path)


def load_weights(network: nn.Module, path: Path) -> nn.Module:
    """Fill a network with stored weights as float32; it is returned in eval mode.

    Raises:
        UserError: the file holds other tensors than the network.
    """
    from safetensors.torch import load_file

    tensors = {name: value.float() if value.is_floating_point() else value for name, value in load_file(path).items()}
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise UserError(
            f"{path}: not the weights of {type(network).__name__}; "
            f"get the file again or run `python -m bench train synth_encoders` ({error})"
        ) from error
    return network.eval()
