"""Full size without weights, of the video transformer: StableAvatar and IUFace. See `bench.full_size`.

Whole videos, from picture, speech and Action Units to frames, are in `bench.full_size_clip`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from bench.full_size import Clock, DryRun, training_step
from bench.media.errors import UserError

if TYPE_CHECKING:
    import torch
    from diffusers import ModelMixin

    from methods.talking_dit.conditions import Conditions
    from methods.talking_dit.transformer import TalkingDiT

METHODS = ("stableavatar", "iuface")
FRAMES = 81
"""Of a window, as published."""
TEXT_TOKENS, IMAGE_TOKENS = 512, 257
ROWS = 3
"""Evaluations of a denoising step: both methods' guidance compares three settings."""
PARTS = {
    "vocal path": ("vocal_projector.", ".k_vocal.", ".v_vocal."),
    "AU path": ("au_conditioning.", ".k_au.", ".v_au."),
}
"""Part of the network -> what names of its parameters contain; the others are the base's."""


def dry_run(method: str, size: int, frames: int) -> DryRun:
    """As `bench.full_size.dry_run`; one denoising step is three rows."""
    import torch

    with torch.device("meta"):
        network = _network(method)
        latents, conditions = step_inputs(method, size, frames)
        with torch.no_grad():
            output = network(latents, 500.0, conditions)
    held = {"base": 0, **dict.fromkeys(PARTS, 0)}
    for name, parameter in network.named_parameters():
        part = next((part for part, marks in PARTS.items() if any(mark in name for mark in marks)), "base")
        held[part] += parameter.numel()
    weights = sum(held.values())
    trained = sum(parameter.numel() for parameter in network.trained_parameters())
    return DryRun(
        parameters={part: count for part, count in held.items() if count},
        trained=trained,
        output=tuple(output.shape),
        inference_bytes=2 * weights,
        training_bytes=4 * weights + 12 * trained,
    )


def measure_inference(method: str, device: str, size: int, frames: int, repeats: int) -> list[dict[str, Any]]:
    """Rows of the table: a denoising step with its three evaluations in one batch, and one after the other."""
    import torch

    network = random_network(method, device)
    latents, conditions = step_inputs(method, size, frames)
    latents, conditions = latents.to(device), conditions.to(device, torch.bfloat16)
    clock = Clock(device)
    with torch.inference_mode():
        single = clock.median(lambda: [network(latents[:1], 500.0, conditions[[row]]) for row in range(ROWS)], repeats)
        batched = clock.median(lambda: network(latents, 500.0, conditions), repeats)
    return [{"work": "denoising step, one by one"} | single, {"work": "denoising step"} | batched]


def measure_training(method: str, device: str, size: int, frames: int, repeats: int) -> dict[str, Any]:
    """Row of the table: a training step of one window, as published."""
    import torch

    from bench import registry
    from methods.iuface.train import IUFaceLearner
    from methods.stableavatar.train import StableAvatarLearner

    recipe = registry.training(method).Settings(batch=1)
    network = random_network(method, device, torch.float32)
    learner = {"stableavatar": StableAvatarLearner, "iuface": IUFaceLearner}[method](network, recipe).train()
    latents, told = step_inputs(method, size, frames)
    region = (torch.rand(1, *latents.shape[2:]) < 0.3).float()
    drawn = {"latent_mean": latents[:1], "latent_std": torch.zeros_like(latents[:1]), "lips": region, "face": region}
    for name in ("text", "image", "known", "vocal", "aus", "identity"):
        if (value := getattr(told, name)) is not None:
            drawn[name] = value[:1]
    batch = {name: value.to(device) for name, value in drawn.items()}
    return {"work": "training step"} | Clock(device).median(training_step(learner, batch, device), repeats)


def step_inputs(method: str, size: int, frames: int) -> tuple[torch.Tensor, Conditions]:
    """Random latents (3, 16, T, size / 8, size / 8) and conditions of three rows, on torch's default device.

    Raises:
        UserError: the frames are no whole latent frames.
    """
    import torch

    from bench.media.clip import samples_for
    from methods.talking_dit.alignment import latent_frames
    from methods.talking_dit.conditions import Conditions

    if frames % 4 != 1:
        raise UserError(f"--frames {frames}: {method} makes 4 k + 1 frames at a time, such as {FRAMES}")
    sizes = full_sizes(method)
    place = (latent_frames(frames), size // 8, size // 8)
    tokens = (samples_for(frames, 25.0) - 400) // 320 + 1  # wav2vec2 hears 400 samples every 320.
    channels = sizes["out_channels"]
    conditions = Conditions(
        text=torch.randn(ROWS, TEXT_TOKENS, sizes["text_dim"]),
        image=torch.randn(ROWS, IMAGE_TOKENS, sizes["image_dim"]),
        known=torch.randn(ROWS, sizes["in_channels"] - channels, *place),
        vocal=torch.randn(ROWS, tokens, sizes["vocal"]["vocal_dim"]),
        silent=torch.tensor([True, False, False]),
    )
    if aus := sizes.get("aus"):
        conditions = replace(
            conditions,
            aus=torch.rand(ROWS, frames, aus["au_dim"]),
            identity=torch.randn(ROWS, aus["identity_dim"]),
            null_aus=torch.tensor([True, False, False]),
        )
    return torch.randn(ROWS, channels, *place), conditions


def full_sizes(method: str) -> dict[str, Any]:
    from methods.talking_dit import sizes

    return {"stableavatar": sizes.STABLEAVATAR_FULL, "iuface": sizes.IUFACE_FULL}[method]


def random_network(method: str, device: str, dtype: torch.dtype | None = None) -> TalkingDiT:
    """On a device, with small random weights, in a type; None = bfloat16."""
    import torch

    network = _network(method)
    return filled(network, device, lambda name: network.stored_type(name, dtype or torch.bfloat16))


def _network(method: str) -> TalkingDiT:
    """With tables, but without weights."""
    from accelerate import init_empty_weights

    from methods.talking_dit.transformer import TalkingDiT

    with init_empty_weights(include_buffers=False):
        return TalkingDiT(**full_sizes(method))


Network = TypeVar("Network", bound="ModelMixin")


def filled(network: Network, device: str, type_of: Callable[[str], torch.dtype]) -> Network:
    """A network without weights on a device, with small random ones, each in the type that its name has."""
    import torch

    torch.manual_seed(0)
    state = {
        name: torch.randn(value.shape, device=device, dtype=type_of(name)) * 0.02
        for name, value in network.state_dict().items()
    }
    network.load_state_dict(state, assign=True)
    return network.to(device).eval().requires_grad_(False)
