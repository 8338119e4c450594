"""The training loop of the video methods: AdamW under accelerate, with checkpoints that continue a training exactly.

Everything random in step k is drawn from (seed, k, process), so a checkpoint holds step, trained weights, optimizer and
average only, and a training that was interrupted ends, on one thread, with the same bits as one that was not, if its
budget is in steps. A budget in minutes follows the clock.

Several GPUs: `accelerate launch --config_file methods/training/launch/ddp.yaml -m bench train ...`; every process draws
windows of its own. `fsdp.yaml` shards weights, gradients, optimizer and average over the processes (FSDP 2), for the video
transformers. A checkpoint holds whole tensors either way, so a training may go on with another number of processes, sharded
or not. Numbers are those of DDP: weights are communicated in float32, and autocast alone decides what is computed in bf16.
DeepSpeed and FSDP 1 are refused. For small networks two processes on a CPU are faster than two threads:
`ACCELERATE_USE_CPU=true torchrun --nproc_per_node 2 -m bench train ...`.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType, broadcast
from diffusers.training_utils import EMAModel
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor

from bench.media.errors import UserError
from methods.training.recipes import Recipe

CHECKPOINT, LOG = "checkpoint.pt", "log.jsonl"
FREE = {"steps", "minutes", "log_every", "checkpoint_minutes", "validate_every"}
"""Settings that may change when a training goes on."""

Batch = dict[str, Tensor]
Draw = Callable[[np.random.Generator, int], Batch]
"""Draws so many windows with the generator: name -> tensor (B, ...)."""


@dataclass(frozen=True)
class Outcome:
    """What a training came to."""

    steps: int
    seconds: float
    loss: float
    """Mean over the last steps: those after the last line of the log, or those which that line is about."""


def train(
    learner: nn.Module,
    draw: Draw,
    recipe: Recipe,
    folder: Path,
    *,
    seed: int,
    log: Callable[[str], None] = print,
    validate: Callable[[int], None] | None = None,
) -> Outcome:
    """Train the parameters of a module that require gradients, in place; it ends in eval mode, with their average.

    Sharded weights are gathered at the end: the module can be saved then, but not run.

    Args:
        learner: its forward takes a batch and returns the loss, a scalar; its noise comes from torch's global generator.
        draw: see Draw.
        folder: for `checkpoint.pt`, read if it is there, and `log.jsonl`.
        log: takes a line every `recipe.log_every` steps.
        validate: called every `recipe.validate_every` steps with the step, while the learner holds the average; in the main
            process only, unless weights are sharded.

    Raises:
        UserError: the checkpoint is of a training with another recipe, a package is not here, or processes share the work
            in a way that is not supported.
    """
    accelerator = _accelerator(recipe)
    main = accelerator.is_main_process
    learner.to(accelerator.device).train()
    optimizer = make_optimizer((parameter for parameter in learner.parameters() if parameter.requires_grad), recipe)
    model, optimizer = accelerator.prepare(torch.compile(learner) if recipe.compile else learner, optimizer)
    # Sharding puts other parameters in the place of those before.
    trained = {name: parameter for name, parameter in learner.named_parameters() if parameter.requires_grad}
    average = EMAModel(trained.values(), decay=recipe.average) if recipe.average else None
    state = _State(folder, recipe, seed, trained, optimizer, average, main)
    step, seconds, mean = state.resume()
    began, saved, losses = time.monotonic() - seconds, seconds, []
    while (progress := recipe.progress(step, seconds)) < 1:
        optimizer.param_groups[0]["lr"] = rate = recipe.learning_rate * schedule(progress, recipe)
        losses.append(_step(accelerator, model, draw, optimizer, recipe, (seed, step)))
        step, seconds = step + 1, _of_main(accelerator, time.monotonic() - began)
        if average:
            average.step(trained.values())
        if step % recipe.log_every == 0:
            mean, losses = accelerator.reduce(torch.stack(losses).mean(), "mean").item(), []
            if not math.isfinite(mean):
                raise FloatingPointError(f"the loss is {mean} in the steps before {step}; lower the learning rate")
            state.log(log, step, seconds, {"loss": mean, "learning_rate": rate})
        if seconds - saved >= 60 * recipe.checkpoint_minutes:
            state.save(step, seconds, mean)
            saved = seconds
        if validate and recipe.validate_every and step % recipe.validate_every == 0 and (main or state.sharded):
            with averaged(average, trained), torch.no_grad():
                learner.eval()
                validate(step)
            learner.train()
    mean = torch.stack(losses).mean().item() if losses else mean
    state.save(step, seconds, mean)
    if average:
        average.copy_to(trained.values())
    if state.sharded:
        _gather(learner)
    learner.eval()
    return Outcome(step, seconds, mean)


def _accelerator(recipe: Recipe) -> Accelerator:
    accelerator = Accelerator(mixed_precision=recipe.precision)
    kind = accelerator.distributed_type
    if kind == DistributedType.DEEPSPEED or (kind == DistributedType.FSDP and not accelerator.is_fsdp2):
        raise UserError(f"training over processes with {kind.value} is not supported, take FSDP 2 (launch/fsdp.yaml)")
    if kind == DistributedType.FSDP:
        # Left to accelerate, latents and noise would be rounded to bf16 before the loss is taken.
        accelerator.state.fsdp_plugin.mixed_precision_policy = None
    return accelerator


def _of_main(accelerator: Accelerator, seconds: float) -> float:
    """The clock of the main process, in all: it decides when a training with a budget in minutes ends."""
    if accelerator.num_processes == 1:
        return seconds
    return broadcast(torch.tensor(seconds, device=accelerator.device, dtype=torch.float64)).item()


def schedule(progress: float, recipe: Recipe) -> float:
    """Share of the learning rate at this share of the training: up a line, then level or down half a cosine to 0."""
    if progress < recipe.warmup:
        return progress / recipe.warmup
    if recipe.schedule == "constant":
        return 1.0
    return 0.5 + 0.5 * math.cos(math.pi * (progress - recipe.warmup) / (1 - recipe.warmup))


def make_optimizer(parameters: Iterable[nn.Parameter], recipe: Recipe) -> torch.optim.Optimizer:
    """AdamW as the recipe says.

    Raises:
        UserError: 8-bit states are asked for and bitsandbytes is not installed.
    """
    kind = torch.optim.AdamW
    if recipe.eight_bit_adam:
        try:
            from bitsandbytes.optim import AdamW8bit as kind
        except ImportError as error:
            raise UserError(
                "eight_bit_adam=true needs the package bitsandbytes (pip install bitsandbytes), or set it to false: "
                "the states of AdamW then take 8 bytes per trained weight instead of 2"
            ) from error
    return kind(list(parameters), lr=recipe.learning_rate, weight_decay=recipe.weight_decay, eps=recipe.epsilon)


def seed_everything(key: Iterable[int]) -> np.random.Generator:
    """Seed torch and return numpy's generator of this key, for example (seed, step)."""
    rng = np.random.default_rng(list(key))
    torch.manual_seed(int(rng.integers(2**62)))
    return rng


def _step(accelerator: Accelerator, model: nn.Module, draw: Draw, optimizer, recipe: Recipe, key: tuple) -> Tensor:
    """One step of the optimizer; the mean loss of its passes, detached."""
    rng = seed_everything((*key, accelerator.process_index))
    losses = []
    for last in [False] * (recipe.accumulate - 1) + [True]:
        batch = {name: value.to(accelerator.device) for name, value in draw(rng, recipe.batch).items()}
        with nullcontext() if last else accelerator.no_sync(model):
            with accelerator.autocast():
                loss = model(batch)
            accelerator.backward(loss / recipe.accumulate)
        losses.append(loss.detach().float())
    accelerator.clip_grad_norm_(model.parameters(), recipe.clip_norm)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return torch.stack(losses).mean()


class averaged:
    """While open, the parameters hold their moving average, if there is one."""

    def __init__(self, average: EMAModel | None, trained: dict[str, nn.Parameter]):
        self.average, self.trained = average, trained

    def __enter__(self) -> None:
        if self.average:
            self.average.store(self.trained.values())
            self.average.copy_to(self.trained.values())

    def __exit__(self, *_) -> None:
        if self.average:
            self.average.restore(self.trained.values())


def _whole(value: Tensor) -> Tensor:
    """A tensor that processes share, gathered on the CPU of each; another one as it is."""
    return value.full_tensor().cpu() if isinstance(value, DTensor) else value


def _gather(module: nn.Module) -> None:
    """Put whole parameters in the place of sharded ones; the module cannot be run any more."""
    for part in module.modules():
        for name, parameter in list(part.named_parameters(recurse=False)):
            setattr(part, name, nn.Parameter(_whole(parameter.detach()), requires_grad=False))


def _shared_like(value: Tensor, parameter: nn.Parameter) -> Tensor:
    """A whole tensor on a parameter's device, sharded as it is; what has another shape, such as a count of steps, stays as
    it is."""
    if value.shape != parameter.shape:
        return value
    value = value.to(parameter.device)
    if not isinstance(parameter, DTensor):
        return value
    return distribute_tensor(value, parameter.device_mesh, parameter.placements)


class _State:
    """What a checkpoint holds, and the log that goes with it. `save` and `resume` are called in all processes; the main one
    writes."""

    def __init__(
        self, folder: Path, recipe: Recipe, seed: int, trained: dict, optimizer, average: EMAModel | None, main: bool
    ):
        self.folder, self.trained, self.optimizer, self.average = folder, trained, optimizer, average
        self.budget, self.main = recipe, main
        self.recipe = recipe.model_dump(mode="json", exclude=FREE) | {"seed": seed}
        self.sharded = any(isinstance(parameter, DTensor) for parameter in trained.values())

    def resume(self) -> tuple[int, float, float]:
        """Steps and seconds done so far, and the last mean of the loss; weights, optimizer and average are set as they
        were."""
        path = self.folder / CHECKPOINT
        if not path.is_file():
            if self.main:
                (self.folder / LOG).unlink(missing_ok=True)
            return 0, 0.0, math.nan
        content = torch.load(path, weights_only=True, map_location="cpu")
        self._require_same(path, content["recipe"])
        parameters = list(self.trained.values())
        with torch.no_grad():
            for name, parameter in self.trained.items():
                parameter.copy_(_shared_like(content["weights"][name], parameter))
        for number, states in content["optimizer"]["state"].items():
            states |= {name: _shared_like(value, parameters[number]) for name, value in states.items()}
        self.optimizer.load_state_dict(content["optimizer"])
        if self.average:
            shadows = content["average"]["shadow_params"]
            content["average"]["shadow_params"] = [
                _shared_like(value, parameter) for value, parameter in zip(shadows, parameters, strict=True)
            ]
            self.average.load_state_dict(content["average"])
        if self.main:
            self._cut_log(content["step"])
        return content["step"], content["seconds"], content.get("loss", math.nan)

    def _require_same(self, path: Path, begun: dict) -> None:
        """Settings that have been added since count as their defaults."""
        fields = type(self.budget).model_fields
        begun = {name: fields[name].default for name in self.recipe if name in fields} | begun
        changed = [
            f"{name}={begun.get(name)}"
            for name in sorted(begun.keys() | self.recipe.keys())
            if begun.get(name) != self.recipe.get(name)
        ]
        if changed:
            raise UserError(f"{path}: begun with {', '.join(changed)}; go on like that, or choose another --out")

    def save(self, step: int, seconds: float, loss: float) -> None:
        if not (self.main or self.sharded):
            return
        optimizer, average = self.optimizer.state_dict(), self.average.state_dict() if self.average else None
        optimizer["state"] = {
            number: {name: _whole(value) for name, value in states.items()}
            for number, states in optimizer["state"].items()
        }
        if average:
            average["shadow_params"] = [_whole(value) for value in average["shadow_params"]]
        content = {
            "recipe": self.recipe,
            "step": step,
            "seconds": seconds,
            "loss": loss,
            "weights": {name: _whole(parameter.detach()) for name, parameter in self.trained.items()},
            "optimizer": optimizer,
            "average": average,
        }
        if self.main:
            part = self.folder / f"{CHECKPOINT}.part"
            self.folder.mkdir(parents=True, exist_ok=True)
            torch.save(content, part)
            os.replace(part, self.folder / CHECKPOINT)

    def log(self, say: Callable[[str], None], step: int, seconds: float, figures: dict[str, float]) -> None:
        if not self.main:
            return
        shown = ", ".join(f"{name.replace('_', ' ')} {value:.4g}" for name, value in figures.items())
        say(f"step {step}, {seconds:.0f} s, {self.budget.progress(step, seconds):.1%}: {shown}")
        self.folder.mkdir(parents=True, exist_ok=True)
        with open(self.folder / LOG, "a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, "seconds": round(seconds, 1), **figures}) + "\n")

    def _cut_log(self, step: int) -> None:
        """Lines after the checkpoint will be written again."""
        path = self.folder / LOG
        if path.is_file():
            kept = [line for line in path.read_text().splitlines() if json.loads(line)["step"] <= step]
            path.write_text("".join(line + "\n" for line in kept))
