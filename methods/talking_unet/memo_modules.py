"""MEMO's modules in the denoiser: emotion-aware audio attention and memory-guided motion (arXiv 2412.04448, section 3).

Module names and arithmetic as in github.com/memoavatar/memo. Difference: the memory is a value handed in and out, not a
state of attention processors.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from diffusers.models.attention import FeedForward
from diffusers.models.attention_processor import Attention
from torch import Tensor, nn

from methods.talking_unet.attention import attend, attention, to_image, to_tokens
from methods.talking_unet.conditions import Conditions
from methods.talking_unet.motion import PositionTable, TemporalTransformer

DECAY = 0.9
"""What one frame leaves of the memory before it."""


@dataclass(frozen=True)
class MotionMemory:
    """Linear attention's sums over all frames so far, per site and attention, one row a sample.

    At full size a guidance pair holds 6.9 GB of it in bfloat16.
    """

    sites: dict[str, tuple[tuple[Tensor, Tensor], ...]]
    """Site -> for each attention: keys times values (B, s*s, heads, d, d) and sum of keys (B, s*s, heads, 1, d)."""

    def __getitem__(self, rows) -> MotionMemory:
        """The chosen rows: a slice, a list of indices or an index tensor, which may repeat rows."""
        return MotionMemory({site: tuple((kv[rows], z[rows]) for kv, z in pairs) for site, pairs in self.sites.items()})


class EmotionNorm(nn.Module):
    """LayerNorm whose shift and scale come from the emotion; in training a sample's emotion is dropped at random."""

    def __init__(self, dim: int, num_emotions: int, dropout: float):
        super().__init__()
        self.num_emotions, self.dropout = num_emotions, dropout
        self.class_embedder = nn.Module()
        self.class_embedder.embedding_table = nn.Embedding(num_emotions + 1, dim)
        self.norm = nn.LayerNorm(dim, elementwise_affine=False)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(dim, 2 * dim))

    def forward(self, x: Tensor, emotion: Tensor) -> Tensor:
        """x (B*F, n, C), emotion int64 (B,)."""
        if self.training:
            dropped = torch.rand(emotion.shape, device=emotion.device) < self.dropout
            emotion = torch.where(dropped, self.num_emotions, emotion)
        modulation = self.adaLN_modulation(self.class_embedder.embedding_table(emotion))
        shift, scale = modulation[:, None, None].chunk(2, dim=-1)
        x = self.norm(x).unflatten(0, (len(emotion), -1))
        return (x * (1 + scale) + shift).flatten(0, 1)


class JointAudioBlock(nn.Module):
    """Self-attention in the image and in the audio tokens, then attention over both together."""

    def __init__(
        self, dim: int, audio_dim: int, heads: int, num_emotions: int, emotion_dropout: float, audio_output: bool
    ):
        super().__init__()
        head_dim = dim // heads
        self.norm1 = EmotionNorm(dim, num_emotions, emotion_dropout)
        self.attn1 = Attention(dim, heads=heads, dim_head=head_dim)
        self.audio_norm1 = EmotionNorm(audio_dim, num_emotions, emotion_dropout)
        self.audio_attn1 = Attention(audio_dim, heads=heads, dim_head=head_dim)
        self.norm2 = EmotionNorm(dim, num_emotions, emotion_dropout)
        self.audio_norm2 = EmotionNorm(audio_dim, num_emotions, emotion_dropout)
        self.attn2 = Attention(
            dim,
            heads=heads,
            dim_head=head_dim,
            added_kv_proj_dim=audio_dim,
            context_pre_only=not audio_output,
            out_context_dim=audio_dim,
        )
        self.ff = FeedForward(dim, activation_fn="geglu")
        self.norm3 = nn.LayerNorm(dim)
        if audio_output:
            self.audio_ff = FeedForward(audio_dim, activation_fn="geglu")
            self.audio_norm3 = nn.LayerNorm(audio_dim)
        self.audio_output = audio_output

    def forward(self, x: Tensor, audio: Tensor, emotion: Tensor) -> tuple[Tensor, Tensor | None]:
        """x (B*F, n, C), audio (B*F, M, C_audio), emotion int64 (B,); audio comes back as None from the last block."""
        x = x + attend(self.attn1, self.norm1(x, emotion))
        audio = audio + attend(self.audio_attn1, self.audio_norm1(audio, emotion))
        x_change, audio_change = self._joint_attention(self.norm2(x, emotion), self.audio_norm2(audio, emotion))
        x = x + x_change
        x = x + self.ff(self.norm3(x))
        if not self.audio_output:
            return x, None
        audio = audio + self.attn2.to_add_out(audio_change)
        return x, audio + self.audio_ff(self.audio_norm3(audio))

    def _joint_attention(self, x: Tensor, audio: Tensor) -> tuple[Tensor, Tensor]:
        attn = self.attn2
        query = torch.cat([attn.to_q(x), attn.add_q_proj(audio)], dim=1)
        key = torch.cat([attn.to_k(x), attn.add_k_proj(audio)], dim=1)
        value = torch.cat([attn.to_v(x), attn.add_v_proj(audio)], dim=1)
        x, audio = attention(query, key, value, attn.heads).split([x.shape[1], audio.shape[1]], dim=1)
        return attn.to_out[0](x), audio


class MemoAudioModule(nn.Module):
    """Image and audio tokens change each other; the audio goes on to the next module."""

    def __init__(
        self,
        channels: int,
        dim: int,
        audio_dim: int,
        heads: int,
        groups: int,
        num_emotions: int,
        emotion_dropout: float,
        audio_output: bool,
    ):
        """dim: width inside; audio_output: False for the last module, whose audio nobody reads."""
        super().__init__()
        self.norm = nn.GroupNorm(groups, channels, eps=1e-6)
        self.proj_in = nn.Conv2d(channels, dim, 1)
        block = JointAudioBlock(dim, audio_dim, heads, num_emotions, emotion_dropout, audio_output)
        self.transformer_blocks = nn.ModuleList([block])
        self.proj_out = nn.Conv2d(dim, channels, 1)

    def forward(self, image: Tensor, audio: Tensor, conditions: Conditions) -> tuple[Tensor, Tensor | None]:
        """image (B*F, C, h, w), audio (B*F, M, C_audio)."""
        tokens = to_tokens(self.proj_in(self.norm(image)))
        tokens, changed = self.transformer_blocks[0](tokens, audio, conditions.emotion)
        image = image + self.proj_out(to_image(tokens, *image.shape[2:]))
        return image, None if changed is None else audio + changed


class MemoryAttention(Attention):
    """Linear attention over the frames of the clip and, through the memory, over all frames before it.

    With k softmaxed over frames and q over channels: y = q (0.9 KV_memory + k^T v) / q (0.9 Z_memory + sum of k).
    The published code also scales q, above and below the line.
    """

    def __init__(self, dim: int, heads: int, max_frames: int):
        super().__init__(dim, heads=heads, dim_head=dim // heads)
        self.pos_encoder = PositionTable(dim, max_frames)

    def forward(self, x: Tensor, memory: tuple[Tensor, Tensor]) -> Tensor:
        """x (B, n, F, C), normalised; the pair is this attention's entry in MotionMemory."""
        x = self.pos_encoder(x)
        query = self._heads(self.to_q(x)).softmax(dim=-1)
        kv, z = self._sums(self._heads(self.to_k(x)).softmax(dim=-2), self._heads(self.to_v(x)))
        kv, z = kv + DECAY * memory[0], z + DECAY * memory[1]
        mixed = query @ kv / (query @ z.transpose(-1, -2)).clamp(min=1e-10)
        return self.to_out[0](mixed.transpose(2, 3).flatten(3))

    def remember(self, past: Tensor, memory: tuple[Tensor, Tensor] | None) -> tuple[Tensor, Tensor]:
        """The memory after past frames (B, n, P, C), normalised. Positions are not added to them."""
        frames = past.shape[2]
        age = torch.arange(frames - 1, -1, -1, device=past.device, dtype=past.dtype)
        weight = (DECAY**age)[:, None]
        key, value = self._heads(self.to_k(past)).softmax(dim=-2), self._heads(self.to_v(past))
        # Published: the weight is on keys and on values, so it enters the product twice and the sum of keys once.
        kv, z = self._sums(weight * key, weight * value)
        if memory is None:
            return kv, z
        return kv + DECAY**frames * memory[0], z + DECAY**frames * memory[1]

    def _heads(self, x: Tensor) -> Tensor:
        """(B, n, F, C) -> (B, n, heads, F, d)."""
        return x.unflatten(-1, (self.heads, -1)).transpose(2, 3)

    @staticmethod
    def _sums(key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        return key.transpose(-1, -2) @ value, key.sum(dim=-2, keepdim=True)


class MemoMotionModule(nn.Module):
    """Motion with a memory; past frames enter through it alone."""

    def __init__(self, channels: int, heads: int, groups: int, max_frames: int):
        super().__init__()
        attentions = [MemoryAttention(channels, heads, max_frames) for _ in range(2)]
        self.temporal_transformer = TemporalTransformer(channels, groups, attentions)

    def forward(
        self, image: Tensor, frames: int, past: Tensor, memory: tuple[tuple[Tensor, Tensor], ...] | None
    ) -> Tensor:
        """image (B*F, C, h, w); past (B, P, h*w, C) is read where memory is None: a clip without a history."""
        if memory is None:
            memory = self.remember(past, None)
        transformer = self.temporal_transformer
        block = transformer.transformer_blocks[0]
        x = transformer.enter(image, frames)
        for attn, norm, past_sums in zip(block.attention_blocks, block.norms, memory, strict=True):
            x = x + attn(norm(x), past_sums)
        x = x + block.ff(block.ff_norm(x))
        return transformer.leave(x, image)

    @torch.no_grad()
    def remember(
        self, past: Tensor, memory: tuple[tuple[Tensor, Tensor], ...] | None
    ) -> tuple[tuple[Tensor, Tensor], ...]:
        """The site's entry in MotionMemory after past (B, P, s*s, C). Without gradient, as published."""
        transformer = self.temporal_transformer
        block = transformer.transformer_blocks[0]
        past = transformer.enter_past(past)
        memory = (None, None) if memory is None else memory
        return tuple(
            attn.remember(norm(past), before)
            for attn, norm, before in zip(block.attention_blocks, block.norms, memory, strict=True)
        )
