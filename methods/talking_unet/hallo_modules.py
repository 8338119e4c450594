"""Hallo's modules in the denoiser: hierarchical audio attention and motion over past frames (arXiv 2406.08801, section 3.3).

Module names and arithmetic as in github.com/fudan-generative-vision/hallo.
"""

from __future__ import annotations

import torch
from diffusers.models.attention import FeedForward
from diffusers.models.attention_processor import Attention
from torch import Tensor, nn

from methods.talking_unet.attention import attend, to_image, to_tokens
from methods.talking_unet.conditions import Conditions
from methods.talking_unet.motion import PositionTable, TemporalTransformer


class HierarchicalAudioBlock(nn.Module):
    """Three attentions to the audio, each seen through its mask: the whole image, the face, the lips."""

    def __init__(self, dim: int, audio_dim: int, heads: int):
        super().__init__()
        head_dim = dim // heads
        self.norm1 = nn.LayerNorm(dim)
        self.attn1 = Attention(dim, heads=heads, dim_head=head_dim)
        self.norm2 = nn.LayerNorm(dim)
        self.attn2_0, self.attn2_1, self.attn2_2 = (
            Attention(dim, cross_attention_dim=audio_dim, heads=heads, dim_head=head_dim) for _ in range(3)
        )
        self.zero_conv_full, self.zero_conv_face, self.zero_conv_lip = (nn.Conv2d(dim, dim, 1) for _ in range(3))
        for conv in (self.zero_conv_full, self.zero_conv_face, self.zero_conv_lip):
            nn.init.zeros_(conv.weight)
            nn.init.zeros_(conv.bias)
        self.ff = FeedForward(dim, activation_fn="geglu")
        self.norm3 = nn.LayerNorm(dim)

    def forward(
        self, x: Tensor, audio: Tensor, masks: tuple[Tensor, Tensor, Tensor], scale: tuple[float, float, float]
    ) -> Tensor:
        """x (B*F, n, C), audio (B*F, M, C_audio), masks each (B, F, n)."""
        x = x + attend(self.attn1, self.norm1(x))
        query = self.norm2(x)
        attentions = (self.attn2_0, self.attn2_1, self.attn2_2)
        convs = (self.zero_conv_full, self.zero_conv_face, self.zero_conv_lip)
        for attn, conv, mask, weight in zip(attentions, convs, masks, scale, strict=True):
            seen = attend(attn, query, audio) * mask.flatten(0, 1)[..., None]
            x = x + weight * to_tokens(conv(to_image(seen, seen.shape[1], 1)))
        return x + self.ff(self.norm3(x))


class HalloAudioModule(nn.Module):
    """Image tokens attend to the audio of their frame."""

    def __init__(self, channels: int, dim: int, audio_dim: int, heads: int, groups: int, level: int):
        """dim: width inside; level: which of the masks fits the module's resolution."""
        super().__init__()
        self.level = level
        self.norm = nn.GroupNorm(groups, channels, eps=1e-6)
        self.proj_in = nn.Conv2d(channels, dim, 1)
        self.transformer_blocks = nn.ModuleList([HierarchicalAudioBlock(dim, audio_dim, heads)])
        self.proj_out = nn.Conv2d(dim, channels, 1)

    def forward(self, image: Tensor, audio: Tensor, conditions: Conditions) -> tuple[Tensor, Tensor]:
        """image (B*F, C, h, w), audio (B*F, M, C_audio), which comes back as it is."""
        tokens = to_tokens(self.proj_in(self.norm(image)))
        masks = conditions.masks[self.level]
        tokens = self.transformer_blocks[0](tokens, audio, masks, conditions.motion_scale)
        return image + self.proj_out(to_image(tokens, *image.shape[2:])), audio


class TemporalAttention(Attention):
    """Softmax attention over frames, with positions."""

    def __init__(self, dim: int, heads: int, max_frames: int):
        super().__init__(dim, heads=heads, dim_head=dim // heads)
        self.pos_encoder = PositionTable(dim, max_frames)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, n, F, C), normalised."""
        tokens = self.pos_encoder(x).flatten(0, 1)
        return attend(self, tokens).reshape(x.shape)


class HalloMotionModule(nn.Module):
    """Motion: past frames stand before the clip's own on the frame axis and are dropped afterwards."""

    def __init__(self, channels: int, heads: int, groups: int, max_frames: int):
        super().__init__()
        attentions = [TemporalAttention(channels, heads, max_frames) for _ in range(2)]
        self.temporal_transformer = TemporalTransformer(channels, groups, attentions)

    def forward(self, image: Tensor, frames: int, past: Tensor | None, memory: None = None) -> Tensor:
        """image (B*F, C, h, w), past (B, P, h*w, C)."""
        transformer = self.temporal_transformer
        block = transformer.transformer_blocks[0]
        x = transformer.enter(image, frames)
        if past is not None:
            x = torch.cat([transformer.enter_past(past), x], dim=2)
        for attn, norm in zip(block.attention_blocks, block.norms, strict=True):
            x = x + attn(norm(x))
        x = x[:, :, -frames:]
        x = x + block.ff(block.ff_norm(x))
        return transformer.leave(x, image)
