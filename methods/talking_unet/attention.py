"""Attention over tokens, and the spatial transformer of Stable Diffusion 1.5 with reference attention in it.

Stock diffusers modules hold the parameters, so published keys load as they are. The order of calls is written out here
because the reference net hands out the input of self-attention and the denoiser adds keys to it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from diffusers.models.attention_processor import Attention
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from torch import Tensor


def to_tokens(image: Tensor) -> Tensor:
    """(N, C, h, w) -> (N, h*w, C); contiguous where the image is in channels_last format."""
    return image.flatten(2).transpose(1, 2)


def to_image(tokens: Tensor, height: int, width: int) -> Tensor:
    """(N, h*w, C) -> (N, C, h, w), a view in channels_last format."""
    return tokens.transpose(1, 2).unflatten(2, (height, width))


def split_heads(x: Tensor, heads: int) -> Tensor:
    """(N, n, heads*d) -> (N, heads, n, d)."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def attention(query: Tensor, key: Tensor, value: Tensor, heads: int) -> Tensor:
    """Softmax attention of query (N, n, heads*d) over key and value (N, m, heads*d) -> (N, n, heads*d)."""
    mixed = F.scaled_dot_product_attention(*(split_heads(x, heads) for x in (query, key, value)))
    return mixed.transpose(1, 2).flatten(2)


def attend(attn: Attention, x: Tensor, context: Tensor | None = None) -> Tensor:
    """Attention of x (N, n, C) to itself, or to context (M, m, D) of which N/M consecutive rows of x share one row."""
    context = x if context is None else context
    query = attn.to_q(x).reshape(len(context), -1, attn.inner_dim)
    mixed = attention(query, attn.to_k(context), attn.to_v(context), attn.heads)
    return attn.to_out[0](mixed.reshape(*x.shape[:2], attn.inner_dim))


@dataclass(frozen=True)
class ReferenceRows:
    """Which reference image each of the B*F frames of a batch looks at."""

    sample: Tensor
    """int64 (B*F,): the sample whose reference image the frame sees."""
    used: Tensor
    """bool (B*F, 1, 1): False = plain self-attention."""

    def attend(self, attn: Attention, x: Tensor, reference: Tensor) -> Tensor:
        """Attention of x (B*F, n, C) to itself and to reference (B, n, C), which is projected once a sample.

        A frame without reference gets its own keys twice: a softmax over doubled keys is plain self-attention, and
        no mask is needed, which would rule out flash attention.
        """
        key, value = (self._extend(to(x), to(reference)) for to in (attn.to_k, attn.to_v))
        return attn.to_out[0](attention(attn.to_q(x), key, value, attn.heads))

    def _extend(self, own: Tensor, reference: Tensor) -> Tensor:
        return torch.cat([own, torch.where(self.used, reference.index_select(0, self.sample), own)], dim=1)


def spatial_tokens(site: Transformer2DModel, image: Tensor) -> tuple[Tensor, Tensor]:
    """How an attention site begins: image (N, C, h, w) -> tokens and the input of self-attention, both (N, h*w, C)."""
    tokens = to_tokens(site.proj_in(site.norm(image)))
    return tokens, site.transformer_blocks[0].norm1(tokens)


def spatial_output(site: Transformer2DModel, image: Tensor, tokens: Tensor, face: Tensor) -> Tensor:
    """How it ends, after self-attention: cross-attention to face (B, N, D), feed-forward, residual; -> (N, C, h, w)."""
    block = site.transformer_blocks[0]
    tokens = tokens + attend(block.attn2, block.norm2(tokens), face)
    tokens = tokens + block.ff(block.norm3(tokens))
    return image + site.proj_out(to_image(tokens, *image.shape[2:]))
