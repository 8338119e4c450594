"""What MEMO and Hallo share when they are trained: sampled latents, dropped conditions, which parameters learn.

Conditions are dropped per window; the published scripts draw once per batch, which at a batch of one (MEMO) is the same.
Zeroed past frames are zero latents here and latents of a grey picture there. Every frame sees the reference of its own
window: the published row order (`TalkingUNet.forward`) mixes the windows of a batch larger than one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from methods.talking_unet.conditions import Conditions
from methods.talking_unet.reference import ReferenceNet
from methods.talking_unet.unet import TalkingUNet
from methods.training.recipes import UNetRecipe

Batch = dict[str, Tensor]


class Learner(nn.Module, ABC):
    """A base method in training: takes a batch of `prepare` and returns the loss.

    Letters: B windows, F frames, P past frames.

    Args:
        modules: the networks, with `denoiser`; trained in place.
        recipe: how.
    """

    def __init__(self, modules: nn.Module, recipe: UNetRecipe):
        super().__init__()
        self.modules_ = modules
        self.recipe = recipe
        for network in modules.children():
            if isinstance(network, (TalkingUNet, ReferenceNet)):
                network.register_to_config(official_row_order=False)
                if recipe.gradient_checkpointing:
                    network.enable_gradient_checkpointing()

    @property
    def denoiser(self) -> TalkingUNet:
        return self.modules_.denoiser

    def prepare(self, batch: Batch) -> Batch:
        """A batch of `Windows.draw` with what is made of it outside of networks."""
        return batch

    @abstractmethod
    def conditions(self, batch: Batch, null: Tensor) -> Conditions:
        """Everything the denoiser is told, with conditions dropped as the recipe says.

        Args:
            batch: of `prepare`.
            null: bool (B,): windows that are told nothing, as the unconditional half of guidance is.
        """

    @abstractmethod
    def denoising_loss(self, batch: Batch, conditions: Conditions) -> Tensor:
        """The loss on noisy latents at random times, a scalar."""

    def forward(self, batch: Batch) -> Tensor:
        return self.denoising_loss(batch, self.conditions(batch, self.some(batch, self.recipe.uncond)))

    def some(self, batch: Batch, share: float) -> Tensor:
        """bool (B,): windows chosen with this probability, independently."""
        return torch.rand(len(batch["face"]), device=batch["face"].device) < share

    def place_weights(self, batch: Batch) -> Tensor:
        """(B, 1, 1, h, w): weights of the loss by place, as the recipe says."""
        size = batch["latent_mean"].shape[-2:]
        face, lips = (inside(batch[name], *size).float() for name in ("face_box", "lip_box"))
        return (1 + self.recipe.face_weight * face + self.recipe.lip_weight * lips)[:, None, None]

    def reference_latents(self, batch: Batch) -> Tensor:
        """(B, 1 + P, c, h, w): sampled latents of the reference and the past frames, the latter zeroed in some windows."""
        latents = sample(batch["reference_mean"], batch["reference_std"])
        return torch.cat([latents[:, :1], zeroed(latents[:, 1:], self.some(batch, self.recipe.start_ratio))], dim=1)


def inside(boxes: Tensor, height: int, width: int) -> Tensor:
    """bool (B, height, width): cells whose middle lies in the box (B, 4) x0, y0, x1, y1 in [0, 1]."""
    x = (torch.arange(width, device=boxes.device) + 0.5) / width
    y = (torch.arange(height, device=boxes.device) + 0.5) / height
    x0, y0, x1, y1 = boxes[:, :, None].unbind(1)
    return ((y >= y0) & (y <= y1))[:, :, None] & ((x >= x0) & (x <= x1))[:, None]


def sample(mean: Tensor, std: Tensor) -> Tensor:
    """A draw from the autoencoder's posterior."""
    return mean + std * torch.randn_like(mean)


def zeroed(values: Tensor, rows: Tensor) -> Tensor:
    """Values (B, ...) with zeros in the rows that bool (B,) names."""
    return values.masked_fill(rows.view(-1, *[1] * (values.ndim - 1)), 0.0)


def train_only(module: nn.Module, parts: Iterable[str]) -> None:
    """Freeze a module but for the parameters whose names hold one of these parts."""
    parts = tuple(parts)
    for name, parameter in module.named_parameters():
        parameter.requires_grad_(any(part in name for part in parts))


def freeze(module: nn.Module, parts: Iterable[str]) -> None:
    """Freeze the parameters whose names hold one of these parts."""
    parts = tuple(parts)
    for name, parameter in module.named_parameters():
        if any(part in name for part in parts):
            parameter.requires_grad_(False)


def freeze_unread(reference: ReferenceNet) -> None:
    """Freeze what comes after the last features that the reference net hands out, which nothing reads."""
    last = reference.get_submodule(reference.last_site)
    block = last.transformer_blocks[0]
    for module in (last.proj_out, block.attn1, block.norm2, block.attn2, block.norm3, block.ff):
        if module is not None:
            module.requires_grad_(False)


class spatial_only:
    """While open, if asked for, the denoiser is an image model: its audio and motion modules do nothing (stage 1)."""

    def __init__(self, denoiser: TalkingUNet, asked: bool):
        self.blocks = [*denoiser.down_blocks, denoiser.mid_block, *denoiser.up_blocks] if asked else []
        self.kept: list[tuple[nn.Module, str, nn.ModuleList]] = []

    def __enter__(self) -> None:
        for block in self.blocks:
            for name in ("audio_modules", "motion_modules"):
                if modules := getattr(block, name, None):
                    self.kept.append((block, name, modules))
                    setattr(block, name, nn.ModuleList(_Bypass(name) for _ in modules))

    def __exit__(self, *_) -> None:
        for block, name, modules in self.kept:
            setattr(block, name, modules)


class _Bypass(nn.Module):
    """Called as an audio or as a motion module."""

    def __init__(self, name: str):
        super().__init__()
        self.passes_audio = name == "audio_modules"

    def forward(self, image: Tensor, *arguments):
        return (image, arguments[0]) if self.passes_audio else image

    def remember(self, past: Tensor, memory=None) -> tuple[()]:
        return ()
