"""Full size without weights: what the published configurations hold and need, and what they cost on this machine.

`dry_run` builds a method on torch's meta device and runs one guidance pair through it there, which checks every shape and
allocates nothing. `measure` does the same with random weights on a real device, and a training step, with the clock on;
`python -m bench measure METHOD` writes what it finds to results/performance.md.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.media.errors import UserError

if TYPE_CHECKING:
    import torch
    from torch import nn

METHODS = ("hallo", "memo", "auhead_hallo", "auhead_memo", "stableavatar", "iuface")
PERFORMANCE = Path("results/performance.md")
COLUMNS = ("method", "hardware", "size", "frames", "work", "seconds", "peak memory (GB)", "commit")
KEY = 5
"""Columns that say what was measured; measuring again replaces that row."""
INTRODUCTION = """# Speed and memory at full size

Random weights, no data: `python -m bench measure METHOD`. A clip is `frames` frames of `size` x `size` pixels. "clip start"
is the reference net on reference and past frames, with the memory of MEMO's motion modules, once a clip; "denoising step"
one guidance pair (two for AUHead, three evaluations for StableAvatar and IUFace) in bfloat16; "training step" one window in
mixed bfloat16 with gradient checkpointing, the published recipe's optimizer and trained parameters. Encoding and decoding of
frames is not in it, but in "video": a whole one of StableAvatar or IUFace in 50 steps, from picture, speech and Action Units to
frames, by speed profile; loading and compiling are left out. What a cache skips depends on the weights, so its row says how
many steps it computed. "stock video" is the same by diffusers' own transformer, which has neither speech nor Action Units: its
three evaluations one after the other, all frames encoded and decoded at once.
"""


@dataclass(frozen=True)
class DryRun:
    """A method on the meta device."""

    parameters: dict[str, int]
    """Network, by its name in the published files, or part of one -> its numbers: parameters and fixed tables."""
    trained: int
    """Parameters that the published training changes."""
    output: tuple[int, ...]
    """Shape of what the denoiser puts out for the evaluations of a denoising step."""
    inference_bytes: int
    """Weights in bfloat16 and the memory of the motion modules; activations come on top."""
    training_bytes: int
    """Weights in float32, gradients and the two states of AdamW; activations come on top."""


def default_frames(method: str) -> int:
    """Frames that the method makes at a time as published."""
    from bench import full_size_video

    return full_size_video.FRAMES if method in full_size_video.METHODS else 16


def dry_run(method: str, size: int = 512, frames: int | None = None) -> DryRun:
    """Build a method at full size, and run a denoising step, without allocating memory.

    Args:
        method: of METHODS.
        size: side of the frames in pixels, a multiple of 64.
        frames: F; None = as published. At most 32 with past frames, or 4 k + 1 for the video transformer.
    """
    import torch

    from bench import full_size_video

    frames = frames or default_frames(method)
    if method in full_size_video.METHODS:
        return full_size_video.dry_run(method, size, frames)
    if frames > 30:
        raise UserError(f"--frames {frames}: {method} has positions for 30 frames at the most, past ones not counted")
    learner = _learner(method, size, frames)
    base = getattr(learner, "base", learner)
    parts = {name: network for name, network in base.modules_.named_children()}
    if base is not learner:
        parts["au_adapter"] = learner.adapter
    held = {name: sum(value.numel() for value in part.state_dict().values()) for name, part in parts.items()}
    weights = sum(held.values())
    trained = sum(parameter.numel() for parameter in learner.parameters() if parameter.requires_grad)
    batch = {name: value.to("meta") for name, value in _batch(learner, 2, size, frames).items()}
    with torch.no_grad():
        conditions, memory = _clip_start(learner, batch)
        output = _denoise(learner, batch, conditions, memory)
    remembered = 0 if memory is None else sum(x.numel() for pairs in memory.sites.values() for kz in pairs for x in kz)
    return DryRun(
        parameters=held,
        trained=trained,
        output=tuple(output.shape),
        inference_bytes=2 * (weights + remembered),
        training_bytes=4 * weights + 12 * trained,
    )


def measure(
    method: str,
    device: str,
    *,
    size: int = 512,
    frames: int | None = None,
    train: bool = True,
    videos: bool = True,
    repeats: int = 3,
) -> list[dict[str, Any]]:
    """Time the parts of inference, whole videos, and a training step, with random weights.

    Args:
        method: of METHODS.
        device: torch device.
        frames: None = as published.
        train: take the training step too.
        videos: make whole videos too, of the video transformer: 150 evaluations each.
        repeats: of the denoising and the training step, after one that is not counted; the median is reported.

    Returns:
        a row of the table for each piece of work, by COLUMNS.

    Raises:
        UserError: the device has less memory than the weights alone need.
    """
    from bench import full_size_clip, full_size_video
    from bench.provenance import device_name, environment
    from methods.device_memory import require_memory

    frames = frames or default_frames(method)
    inference, training = _measure_inference, _measure_training
    if is_video := method in full_size_video.METHODS:
        inference, training = full_size_video.measure_inference, full_size_video.measure_training
    plan = dry_run(method, size, frames)
    require_memory(plan.inference_bytes, device, f"one step of {method} needs at the least (weights, motion memory)")
    if train:
        require_memory(
            plan.training_bytes, device, f"training {method} needs at the least (weights, gradients, optimizer)"
        )
    known = {"method": method, "hardware": device_name(device), "size": size, "frames": frames}
    known["commit"] = str(environment()["commit"] or "")[:10]
    rows = inference(method, device, size, frames, repeats)
    if is_video and videos:
        rows += full_size_clip.measure_videos(method, device, size, frames)
    if train:
        rows.append(training(method, device, size, frames, repeats))
    return [known | row for row in rows]


def _measure_inference(method: str, device: str, size: int, frames: int, repeats: int) -> list[dict[str, Any]]:
    import torch

    learner = _filled(_learner(method, size, frames), device, torch.bfloat16).eval()
    batch = _moved(_batch(learner, 2, size, frames), device, torch.bfloat16)
    clock = Clock(device)
    with torch.inference_mode():
        start = clock.median(lambda: _clip_start(learner, batch), 1)
        conditions, memory = _clip_start(learner, batch)
        step = clock.median(lambda: _denoise(learner, batch, conditions, memory), repeats)
    return [{"work": "clip start"} | start, {"work": "denoising step"} | step]


def _measure_training(method: str, device: str, size: int, frames: int, repeats: int) -> dict[str, Any]:
    import torch

    learner = _filled(_learner(method, size, frames), device, torch.float32).train()
    batch = _moved(_batch(learner, 1, size, frames), device, torch.float32)
    return {"work": "training step"} | Clock(device).median(training_step(learner, batch, device), repeats)


def write_performance(rows: list[dict[str, Any]], path: Path = PERFORMANCE) -> None:
    """Put rows into the table of a Markdown file, in place of older ones of the same work on the same hardware."""
    from bench.store import write_atomically

    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    cells = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in lines if line.startswith("| ")]
    table = {row[:KEY]: row for row in cells[1:]}  # The first one is the header.
    for row in rows:
        shown = tuple(f"{row[name]:.3g}" if isinstance(row[name], float) else str(row[name]) for name in COLUMNS)
        table[shown[:KEY]] = shown
    body = [COLUMNS, *sorted(table.values())]
    text = [f"| {' | '.join(row)} |" for row in body]
    text.insert(1, "|" + "---|" * len(COLUMNS))
    write_atomically(path, INTRODUCTION + "\n" + "\n".join(text) + "\n")


def _learner(method: str, size: int, frames: int) -> nn.Module:
    """The method in training as published, on the meta device; an AU adapter, which is small, on the CPU."""
    import torch

    from bench import registry
    from methods.talking_unet import sizes

    if method not in METHODS:
        raise UserError(f"no full size of {method!r}; there are: {', '.join(METHODS)}")
    recipe = registry.training(method).Settings(frames=frames, batch=1)
    if method.endswith("hallo"):
        from methods.hallo.modules import HalloModules
        from methods.hallo.train import HalloLearner

        with torch.device("meta"):
            modules = HalloModules(sizes.HALLO_FULL)
        base = HalloLearner(modules, recipe, size)
    else:
        from methods.memo.modules import MemoModules
        from methods.memo.train import MemoLearner

        with torch.device("meta"):
            modules = MemoModules(sizes.MEMO_FULL)
        base = MemoLearner(modules, recipe)
    if not method.startswith("auhead"):
        return base
    from methods.auhead.adapter import AUAdapter
    from methods.auhead.train import AUHeadLearner

    with torch.device("meta"):
        adapter = AUAdapter(base.denoiser.au_sites)
    return AUHeadLearner(base, adapter, recipe)


def _batch(learner: nn.Module, rows: int, size: int, frames: int) -> dict[str, torch.Tensor]:
    """A random batch as `Windows.draw` and `prepare` make it, on the CPU."""
    import torch

    from methods.conditioning.encoders import FullEncoders

    side, past = size // FullEncoders.vae_scale, learner.recipe.past_frames
    boxes = torch.tensor([[0.3, 0.25, 0.7, 0.8], [0.4, 0.6, 0.6, 0.7]]).repeat(rows, 1, 1)
    context = learner.adapter.config.context if hasattr(learner, "adapter") else 0
    latents = {"latent": frames, "reference": 1 + past}
    drawn = {
        "speech": torch.randn(rows, frames, 5, FullEncoders.audio_blocks, FullEncoders.audio_channels),
        "face": torch.randn(rows, FullEncoders.face_channels),
        "face_box": boxes[:, 0],
        "lip_box": boxes[:, 1],
        "emotion": torch.zeros(rows, dtype=torch.int64),
        "aus": torch.rand(rows, frames + 2 * context, 24),
    }
    for name, count in latents.items():
        shape = (rows, count, FullEncoders.latent_channels, side, side)
        drawn |= {f"{name}_mean": torch.randn(shape), f"{name}_std": torch.zeros(shape)}
    return learner.prepare(drawn)


def _clip_start(learner: nn.Module, batch: dict) -> tuple:
    """(conditions of a guidance pair, motion memory or None), which a clip has once."""
    import torch

    base = getattr(learner, "base", learner)
    null = torch.tensor([True, False], device=batch["face"].device)
    conditions = base.conditions(batch, null)
    memory = base.denoiser.remember(conditions.reference) if base.denoiser.config.base == "memo" else None
    return conditions, memory


def _denoise(learner: nn.Module, batch: dict, conditions, memory):
    """What a denoising step computes: a guidance pair, and with an AU adapter a second one with AUs."""
    base = getattr(learner, "base", learner)
    predicted = base.denoiser(batch["latent_mean"], 500, conditions, memory)
    if base is not learner:
        tokens = learner.adapter.embedding(batch["au_maps"])
        predicted = base.denoiser(batch["latent_mean"], 500, replace(conditions, aus=tokens), memory)
    return predicted


def training_step(learner: nn.Module, batch: dict, device: str) -> Callable[[], None]:
    """What a step of the training loop does on a batch, on its device."""
    import torch

    from methods.training.loop import make_optimizer

    trained = [parameter for parameter in learner.parameters() if parameter.requires_grad]
    optimizer = make_optimizer(trained, learner.recipe)

    def step() -> None:
        with torch.autocast(torch.device(device).type, torch.bfloat16):
            loss = learner(batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, learner.recipe.clip_norm)
        optimizer.step()
        optimizer.zero_grad()

    return step


def _filled(learner: nn.Module, device: str, dtype: torch.dtype) -> nn.Module:
    """The learner on a device with small random weights."""
    import torch

    torch.manual_seed(0)
    learner.to(dtype).to_empty(device=device)
    for tensor in [*learner.parameters(), *learner.buffers()]:
        torch.nn.init.normal_(tensor, std=0.02) if tensor.is_floating_point() else torch.nn.init.zeros_(tensor)
    return learner


def _moved(batch: dict, device: str, dtype: torch.dtype) -> dict:
    return {
        name: value.to(device, dtype if value.is_floating_point() else value.dtype) for name, value in batch.items()
    }


class Clock:
    """Seconds and peak memory of work on a device."""

    def __init__(self, device: str):
        self.device = device
        gc.collect()  # What earlier work held is not in the peak.
        if device.startswith("cuda"):
            import torch

            torch.cuda.reset_peak_memory_stats(device)

    def median(self, work: Callable, repeats: int) -> dict[str, float]:
        """Figures of some work, after a first run that is not counted; the peak is since the clock was made."""
        import statistics

        work()
        seconds = statistics.median(self.once(work)["seconds"] for _ in range(repeats))
        return {"seconds": seconds, "peak memory (GB)": self._peak() / 1e9}

    def once(self, work: Callable) -> dict[str, float]:
        """Figures of some work that is done once."""
        self._wait()
        began = time.perf_counter()
        work()
        self._wait()
        return {"seconds": time.perf_counter() - began, "peak memory (GB)": self._peak() / 1e9}

    def _wait(self) -> None:
        if self.device.startswith("cuda"):
            import torch

            torch.cuda.synchronize(self.device)

    def _peak(self) -> int:
        """On the CPU, that of the process, which may have done other work before."""
        from bench.provenance import peak_memory_bytes

        if self.device.startswith("cuda"):
            import torch

            return torch.cuda.max_memory_allocated(self.device)
        return peak_memory_bytes()
