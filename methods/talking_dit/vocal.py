"""StableAvatar's time-step-aware vocal projector (arXiv 2508.08248): speech features as tokens of each latent frame.

Names of parameters as in the published checkpoint. Its two blocks have no self-attention: tokens are modulated by time, look
at the noisy latents of their own latent frame, and go through a feed-forward net.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from diffusers.models.normalization import FP32LayerNorm
from torch import Tensor, nn

from methods.talking_dit.alignment import own_tokens, video_frames

EPS = 1e-6


def modulated(x: Tensor, norm: nn.Module, shift: Tensor, scale: Tensor) -> Tensor:
    """norm(x) * (1 + scale) + shift in float32, in the type of x."""
    return (norm(x.float()) * (1 + scale) + shift).type_as(x)


class _SpeechProjection(nn.Module):
    def __init__(self, vocal_dim: int, dim: int):
        super().__init__()
        self.proj = nn.Linear(vocal_dim, dim, bias=False)
        self.norm = FP32LayerNorm(dim)

    def forward(self, vocal: Tensor) -> Tensor:
        return self.norm(self.proj(vocal))


class _LatentAttention(nn.Module):
    """Attention of speech tokens to the latents of their latent frame."""

    def __init__(self, dim: int, heads: int):
        super().__init__()
        self.heads = heads
        self.q, self.k, self.v, self.o = (nn.Linear(dim, dim) for _ in range(4))
        self.norm_q, self.norm_k = (nn.RMSNorm(dim, eps=EPS) for _ in range(2))

    def forward(self, x: Tensor, latents: Tensor) -> Tensor:
        """x (M, n, D), latents (M, m, D) -> (M, n, D)."""
        query, key, value = self.norm_q(self.q(x)), self.norm_k(self.k(latents)), self.v(latents)
        heads = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in (query, key, value))
        return self.o(F.scaled_dot_product_attention(*heads).transpose(1, 2).flatten(2))


class _VocalBlock(nn.Module):
    def __init__(self, dim: int, heads: int):
        super().__init__()
        self.norm1 = FP32LayerNorm(dim, EPS, elementwise_affine=False)
        self.norm2 = FP32LayerNorm(dim, EPS, elementwise_affine=False)
        self.norm3 = FP32LayerNorm(dim, EPS)
        self.cross_attn = _LatentAttention(dim, heads)
        self.ffn = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU("tanh"), nn.Linear(2 * dim, dim))
        self.modulation = nn.Parameter(torch.randn(1, 6, dim) / dim**0.5)

    def forward(self, x: Tensor, latents: Tensor, time: Tensor) -> Tensor:
        """x (B, T, n, D), latents (B, T, m, D), time (B, 6, D) -> (B, T, n, D)."""
        shift1, scale1, gate1, shift2, scale2, gate2 = (self.modulation + time)[:, :, None, None].unbind(1)
        x = (x + modulated(x, self.norm1, shift1, scale1) * gate1).type_as(x)
        x = x + self.cross_attn(self.norm3(x).flatten(0, 1), latents.flatten(0, 1)).view_as(x)
        return (x + self.ffn(modulated(x, self.norm2, shift2, scale2)) * gate2).type_as(x)


class _FinalHead(nn.Module):
    def __init__(self, dim: int):
        super().__init__()
        self.norm = FP32LayerNorm(dim, EPS, elementwise_affine=False)
        self.final_proj = nn.Linear(dim, dim)
        self.modulation = nn.Parameter(torch.randn(1, 2, dim) / dim**0.5)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """x (B, T, n, D), time (B, D) -> (B, T, n, D)."""
        shift, scale = (self.modulation + time[:, None])[:, :, None, None].unbind(1)
        return self.final_proj(modulated(x, self.norm, shift, scale))


class VocalProjector(nn.Module):
    """Speech features of a window to vocal tokens of each latent frame."""

    def __init__(self, vocal_dim: int, dim: int, heads: int = 8, layers: int = 2):
        super().__init__()
        self.proj_model = _SpeechProjection(vocal_dim, dim)
        self.blocks = nn.ModuleList(_VocalBlock(dim, heads) for _ in range(layers))
        self.final_head = _FinalHead(dim)

    def forward(self, vocal: Tensor, latents: Tensor, time: Tensor, modulation: Tensor) -> Tensor:
        """Tokens of each latent frame.

        Args:
            vocal: (B, S, vocal_dim).
            latents: (B, T, m, D), patches of the noisy latents with the known ones.
            time: float32 (B, D) time embedding.
            modulation: float32 (B, 6, D), its projection.

        Returns:
            (B, T, n, D), n depends on S and T.
        """
        rows = own_tokens(vocal.shape[1], video_frames(latents.shape[1]))
        padded = F.pad(self.proj_model(vocal), (0, 0, 0, 1))  # Number S is the zero token.
        x = padded[:, torch.tensor(rows, device=vocal.device)]
        for block in self.blocks:
            x = block(x, latents, modulation)
        return self.final_head(x, time)
