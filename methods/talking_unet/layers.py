"""Stable Diffusion 1.5's UNet with its layers open: what the reference net and the denoiser have in common."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn


def site_name(prefix: str, block: nn.Module, layer: int) -> str:
    """Where a layer's features are kept: its attention, or its resnet in a block without attention."""
    return f"{prefix}.{'attentions' if hasattr(block, 'attentions') else 'resnets'}.{layer}"


class LayeredUNet(UNet2DConditionModel):
    """The stock UNet, whose subclasses say what a layer is: a resnet and whatever follows it."""

    _no_split_modules = None  # blocks are not called as modules, so a device map cannot cut between them

    @staticmethod
    def block_types(levels: int) -> dict[str, tuple[str, ...]]:
        """Stable Diffusion's arrangement at any depth: attention everywhere but on the lowest level."""
        attended = levels - 1
        return {
            "down_block_types": ("CrossAttnDownBlock2D",) * attended + ("DownBlock2D",),
            "up_block_types": ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * attended,
        }

    position: nn.Parameter | None

    def add_positions(self, wanted: bool) -> None:
        """For nets that begin with random weights: a learned table (C0, h, w), at the start sines of both coordinates.

        Reference attention has to find the same place in another picture. Stable Diffusion's features say where they
        are; without a table a random net gets that from the zeros around the borders alone, and hardly learns to copy.
        """
        self.register_parameter("position", None)
        if not wanted:
            return
        size, channels = self.config.sample_size, self.conv_in.out_channels
        waves = torch.arange(channels // 4)[:, None] * torch.arange(1, size + 1) * (math.pi / size)
        along = torch.stack([waves.sin(), waves.cos()], dim=1).flatten(0, 1)
        rows, columns = along[:, :, None].expand(-1, -1, size), along[:, None].expand(-1, size, -1)
        self.position = nn.Parameter(torch.cat([rows, columns]))

    def enter(self, latents: Tensor) -> Tensor:
        """latents (N, c, h, w) -> (N, C0, h, w)."""
        image = self.conv_in(latents)
        return image if self.position is None else image + self.position

    def walk(self, image: Tensor, temb: Tensor, layer: Callable[[str, nn.Module, int, Tensor], Tensor]) -> Tensor:
        """image (N, C0, h, w) that entered -> (N, C0, h, w) before conv_norm_out; temb (N, E) time embedding.

        `layer(prefix, block, index, image)` runs layer `index` of the block called `prefix`, in order of execution.
        """
        skips = [image]
        for i, block in enumerate(self.down_blocks):
            for index in range(len(block.resnets)):
                image = layer(f"down_blocks.{i}", block, index, image)
                skips.append(image)
            if block.downsamplers is not None:
                image = block.downsamplers[0](image)
                skips.append(image)
        image = layer("mid_block", self.mid_block, 0, image)
        image = self.mid_block.resnets[1](image, temb)
        for i, block in enumerate(self.up_blocks):
            for index in range(len(block.resnets)):
                image = layer(f"up_blocks.{i}", block, index, torch.cat([image, skips.pop()], dim=1))
            if block.upsamplers is not None:
                image = block.upsamplers[0](image, skips[-1].shape[2:])
        return image

    def checkpointed(self, function: Callable, *args):
        """function(*args), run again in the backward pass where gradient checkpointing is on."""
        if self.gradient_checkpointing and torch.is_grad_enabled():
            return self._gradient_checkpointing_func(function, *args)
        return function(*args)
