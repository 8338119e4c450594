"""Training loop of the synthetic experts: AdamW, cosine schedule, moving average of the weights, checkpoints.

Everything random in step k is drawn from a generator seeded with (seed, k). A checkpoint therefore holds only the step,
the weights and the optimizer, and a training that was interrupted ends, on one thread, with the same bits as one that
was not, provided its budget is in steps. A budget in minutes follows the clock: the schedule ends when time does.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench.media.errors import UserError

if TYPE_CHECKING:
    import torch
    from torch import nn

CHECKPOINT_SECONDS = 120.0


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Settings of a training."""

    learning_rate: float = 2e-3
    """At the end of the warm-up; falls to 0 along half a cosine."""
    weight_decay: float = 0.02
    """Of matrices and convolutions; biases and scales have none."""
    warmup: float = 0.03
    """Share of the training in which the learning rate rises from 0."""
    average: float = 0.998
    """Decay of the moving average of the weights, which is what the training returns."""
    clip_norm: float = 5.0
    """Largest norm of the gradient."""
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Budget:
    """How long to train: the first limit that is reached ends it."""

    minutes: float | None = None
    """Of wall clock, over all sessions of a resumed training."""
    steps: int | None = None

    def __post_init__(self) -> None:
        if self.minutes is None and self.steps is None:
            raise ValueError("a budget needs minutes or steps")

    def progress(self, step: int, seconds: float) -> float:
        """Share of the training that is done, 1 at its end."""
        by_steps = 0.0 if self.steps is None else step / self.steps
        by_clock = 0.0 if self.minutes is None else seconds / (60 * self.minutes)
        return min(1.0, max(by_steps, by_clock))


@dataclass(frozen=True)
class Outcome:
    """What a training came to."""

    steps: int
    seconds: float
    loss: float
    """Mean over the last steps that were logged."""


Loss = Callable[[np.random.Generator], "torch.Tensor"]
"""Draws a batch with the generator and returns the loss of the network on it, a scalar tensor with its graph."""


def train(
    network: nn.Module,
    loss: Loss,
    *,
    recipe: Recipe,
    budget: Budget,
    checkpoint: Path | None = None,
    log: Callable[[str], None] = print,
    every: int = 100,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
) -> Outcome:
    """Train a network in place; it ends in eval mode with the moving average of its weights.

    Args:
        network: in its initial state, made after `seed_everything(recipe.seed)`. Float32 parameters and buffers.
        loss: see Loss.
        checkpoint: file that is written every `checkpoint_seconds`, read at the start if it exists, and left at the end;
            the caller deletes it when the weights are saved.
        log: takes one line every `every` steps.

    Raises:
        UserError: the checkpoint is of a training with another recipe.
    """
    import torch

    optimizer = torch.optim.AdamW(_groups(network, recipe.weight_decay), lr=0.0)
    average = {name: value.detach().clone() for name, value in network.state_dict().items()}
    step, seconds = _resume(checkpoint, network, optimizer, average, recipe)
    losses: list[float] = []
    mean = math.nan
    started, saved = time.monotonic() - seconds, time.monotonic()
    network.train()
    while (progress := budget.progress(step, seconds)) < 1:
        for group in optimizer.param_groups:
            group["lr"] = recipe.learning_rate * schedule(progress, recipe.warmup)
        losses.append(_step(network, optimizer, loss, recipe, step))
        step += 1
        _follow(average, network, min(recipe.average, step / (step + 10)))
        seconds = time.monotonic() - started
        if step % every == 0:
            mean, losses = float(np.mean(losses)), []
            log(f"step {step}, {seconds:.0f} s, {budget.progress(step, seconds):.1%}: loss {mean:.5f}")
        if checkpoint and time.monotonic() - saved >= checkpoint_seconds:
            _save(checkpoint, network, optimizer, average, step, seconds, recipe)
            saved = time.monotonic()
    network.load_state_dict(average)
    network.eval()
    return Outcome(step, seconds, float(np.mean(losses)) if losses else mean)


def seed_everything(seed: int, step: int = 0) -> np.random.Generator:
    """Seed torch and return numpy's generator of a step; step 0 comes before the network is made."""
    import torch

    rng = np.random.default_rng((seed, step))
    torch.manual_seed(int(rng.integers(2**62)))
    return rng


def schedule(progress: float, warmup: float) -> float:
    """Share of the learning rate at this share of the training: up a line, then down half a cosine to 0."""
    if progress < warmup:
        return progress / warmup
    return 0.5 + 0.5 * math.cos(math.pi * (progress - warmup) / (1 - warmup))


def _groups(network: nn.Module, weight_decay: float) -> list[dict]:
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]


def _step(network: nn.Module, optimizer: torch.optim.Optimizer, loss: Loss, recipe: Recipe, step: int) -> float:
    import torch

    value = loss(seed_everything(recipe.seed, step + 1))
    optimizer.zero_grad(set_to_none=True)
    value.backward()
    torch.nn.utils.clip_grad_norm_(network.parameters(), recipe.clip_norm)
    optimizer.step()
    if not math.isfinite(result := value.item()):
        raise FloatingPointError(f"the loss is {result} in step {step}; lower the learning rate")
    return result


def _follow(average: dict[str, torch.Tensor], network: nn.Module, decay: float) -> None:
    """Move the average towards the network; counters (of batch normalisation) are copied."""
    import torch

    with torch.no_grad():
        for name, value in network.state_dict().items():
            if value.is_floating_point():
                average[name].lerp_(value, 1 - decay)
            else:
                average[name].copy_(value)


# -- checkpoints ----------------------------------------------------------------------------------------------------


def _save(checkpoint: Path, network, optimizer, average, step: int, seconds: float, recipe: Recipe) -> None:
    import torch

    content = {
        "recipe": asdict(recipe),
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


def _resume(checkpoint: Path | None, network, optimizer, average, recipe: Recipe) -> tuple[int, float]:
    """Steps and seconds done so far; weights and optimizer are set as they were."""
    import torch

    if checkpoint is None or not checkpoint.is_file():
        return 0, 0.0
    content = torch.load(checkpoint, weights_only=True)
    if content["recipe"] != asdict(recipe):
        raise UserError(f"{checkpoint}: begun as {content['recipe']}; delete it to train as {asdict(recipe)}")
    network.load_state_dict(content["network"])
    optimizer.load_state_dict(content["optimizer"])
    average.update(content["average"])
    return content["step"], content["seconds"]


# -- weights --------------------------------------------------------------------------------------------------------


def round_weights(network: nn.Module) -> nn.Module:
    """Round matrices and convolutions to float16 in place, as `save_weights` stores them, so that what is validated is
    what is shipped.

    Raises:
        OverflowError: a weight is beyond float16.
    """
    import torch

    with torch.no_grad():
        for name, value in network.state_dict().items():
            if _is_half(value):
                value.copy_(value.half())
                if not torch.isfinite(value).all():
                    raise OverflowError(f"{name} has a weight beyond the range of float16")
    return network


def save_weights(path: Path, network: nn.Module, metadata: Mapping[str, object]) -> None:
    """Write safetensors: matrices and convolutions in float16, vectors (biases, scales, statistics) in float32.

    Args:
        metadata: stored as text: the command, steps, version of the world, validation figures.
    """
    from safetensors.torch import save

    round_weights(network)
    tensors = {
        name: (value.half() if _is_half(value) else value).contiguous()
        for name, value in network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    part = Path(path).with_name(Path(path).name + ".part")
    part.parent.mkdir(parents=True, exist_ok=True)
    part.write_bytes(save(tensors, {name: str(value) for name, value in metadata.items()}))
    os.replace(part, path)


def load_weights(network: nn.Module, path: Path) -> nn.Module:
    """Fill a network with stored weights, as float32; it is returned in eval mode.

    Raises:
        UserError: the file holds other tensors than the network.
    """
    from safetensors.torch import load_file

    counters = {name: value for name, value in network.state_dict().items() if name.endswith("num_batches_tracked")}
    try:
        network.load_state_dict({name: value.float() for name, value in load_file(path).items()} | counters)
    except RuntimeError as error:
        raise UserError(f"{path}: not the weights of {type(network).__name__}; train it again ({error})") from error
    return network.eval()


def read_metadata(path: Path) -> dict[str, str]:
    """What `save_weights` noted in the file."""
    from safetensors import safe_open

    with safe_open(path, framework="np") as file:
        return file.metadata() or {}


def _is_half(value: torch.Tensor) -> bool:
    return value.is_floating_point() and value.ndim > 1
