"""The temporal transformer of AnimateDiff (arXiv 2307.04725), which Hallo and MEMO both put behind every layer.

Difference from diffusers' AnimateDiffTransformer3D: the group norm takes its statistics per frame. Key names are those of
the published checkpoints (mm_sd_v15_v2).
"""

from __future__ import annotations

import math

import torch
from diffusers.models.attention import FeedForward
from torch import Tensor, nn

from methods.talking_unet.attention import to_image, to_tokens


class PositionTable(nn.Module):
    """Sinusoidal positions, added to tokens (..., F, C)."""

    def __init__(self, dim: int, length: int):
        super().__init__()
        angle = torch.arange(length)[:, None] * torch.exp(torch.arange(0, dim, 2) * (-math.log(10000.0) / dim))
        self.register_buffer("pe", torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1)[None])

    def forward(self, x: Tensor) -> Tensor:
        return x + self.pe[0, : x.shape[-2]]


class TemporalBlock(nn.Module):
    """Two attentions over frames and a feed-forward."""

    def __init__(self, dim: int, attentions: list[nn.Module]):
        super().__init__()
        self.attention_blocks = nn.ModuleList(attentions)
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in attentions)
        self.ff = FeedForward(dim, activation_fn="geglu")
        self.ff_norm = nn.LayerNorm(dim)


class TemporalTransformer(nn.Module):
    """Parameters of a motion module; the modules of the two bases say how they are used."""

    def __init__(self, channels: int, groups: int, attentions: list[nn.Module]):
        super().__init__()
        self.norm = nn.GroupNorm(groups, channels, eps=1e-6)
        self.proj_in = nn.Linear(channels, channels)
        self.transformer_blocks = nn.ModuleList([TemporalBlock(channels, attentions)])
        self.proj_out = nn.Linear(channels, channels)
        # A new module changes nothing: training starts from the image model.
        nn.init.zeros_(self.proj_out.weight)
        nn.init.zeros_(self.proj_out.bias)

    def enter(self, image: Tensor, frames: int) -> Tensor:
        """image (B*F, C, h, w) -> tokens (B, h*w, F, C)."""
        tokens = to_tokens(self.norm(image)).unflatten(0, (-1, frames))
        return self.proj_in(tokens.transpose(1, 2))

    def enter_past(self, past: Tensor) -> Tensor:
        """Features of past frames (B, P, h*w, C) -> tokens (B, h*w, P, C)."""
        normed = self.norm(past.flatten(0, 1).transpose(1, 2)).unflatten(0, past.shape[:2])
        return self.proj_in(normed.permute(0, 3, 1, 2))

    def leave(self, tokens: Tensor, image: Tensor) -> Tensor:
        """tokens (B, h*w, F, C), projected and added to the image (B*F, C, h, w) that entered."""
        change = self.proj_out(tokens).transpose(1, 2).flatten(0, 1)
        return image + to_image(change, *image.shape[2:])
