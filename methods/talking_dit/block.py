"""Wan's transformer block with vocal and AU cross-attention.

Eq. 2 of IUFace, as StableAvatar's code has it for text, image and audio: x + o(text + image + vocal + AU), with one query for
all four. Speech and AU tokens belong to latent frames, and latents look at those of their own frame only; without frames
("clip") they look at all.
"""

from __future__ import annotations

from typing import NamedTuple

from diffusers.hooks._helpers import TransformerBlockMetadata, TransformerBlockRegistry
from diffusers.models.attention_dispatch import dispatch_attention_fn
from diffusers.models.transformers.transformer_wan import WanAttention, WanTransformerBlock
from torch import Tensor, nn


class Context(NamedTuple):
    """Tokens that the latents look at: (B, G, n, D), where group g of G is seen by the g-th part of a sample's latents.

    G is 1 (all latents see the same) or T (one group for each latent frame).
    """

    text: Tensor
    image: Tensor
    vocal: Tensor | None
    aus: Tensor | None


class TalkingAttnProcessor:
    """Cross-attention to a Context; a processor, so that `set_attention_backend` reaches it."""

    _attention_backend = None

    def __call__(
        self, attn: TalkingAttention, hidden_states: Tensor, encoder_hidden_states: Context, *unused: None
    ) -> Tensor:
        """hidden_states (B, S, D) -> (B, S, D)."""
        context = encoder_hidden_states
        query = attn.norm_q(attn.to_q(hidden_states))
        mixed = self._attend(attn, query, attn.norm_k(attn.to_k(context.text)), attn.to_v(context.text))
        mixed = mixed + self._attend(
            attn, query, attn.norm_added_k(attn.add_k_proj(context.image)), attn.add_v_proj(context.image)
        )
        if context.vocal is not None:
            mixed = mixed + self._attend(attn, query, attn.k_vocal(context.vocal), attn.v_vocal(context.vocal))
        if context.aus is not None:
            mixed = mixed + self._attend(attn, query, attn.k_au(context.aus), attn.v_au(context.aus))
        return attn.to_out[1](attn.to_out[0](mixed))

    def _attend(self, attn: TalkingAttention, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """query (B, S, D); key and value (B, G, n, D) -> (B, S, D)."""
        batch, groups = key.shape[:2]
        mixed = dispatch_attention_fn(
            query.reshape(batch * groups, -1, attn.heads, attn.inner_dim // attn.heads),
            key.flatten(0, 1).unflatten(-1, (attn.heads, -1)),
            value.flatten(0, 1).unflatten(-1, (attn.heads, -1)),
            backend=self._attention_backend,
        )
        return mixed.reshape(query.shape).type_as(query)


class TalkingAttention(WanAttention):
    """Wan's cross-attention with keys and values for vocal and AU tokens, which begin at zero.

    The vocal ones have biases as StableAvatar's have. Those of AUs have none, so that zero tokens add exactly nothing.
    """

    _default_processor_cls = TalkingAttnProcessor
    _available_processors = [TalkingAttnProcessor]

    def add_vocal(self) -> None:
        self.k_vocal, self.v_vocal = (_zero(nn.Linear(self.inner_dim, self.inner_dim)) for _ in range(2))

    def add_aus(self) -> None:
        self.k_au, self.v_au = (_zero(nn.Linear(self.inner_dim, self.inner_dim, bias=False)) for _ in range(2))


def _zero(layer: nn.Linear) -> nn.Linear:
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


class TalkingBlock(WanTransformerBlock):
    """Self-attention over all latents, cross-attention to a Context, feed-forward."""

    def __init__(self, dim: int, ffn_dim: int, heads: int, cross_attn_norm: bool, eps: float):
        super().__init__(dim, ffn_dim, heads, cross_attn_norm=cross_attn_norm, eps=eps)
        self.attn2 = TalkingAttention(
            dim=dim,
            heads=heads,
            dim_head=dim // heads,
            eps=eps,
            added_kv_proj_dim=dim,
            cross_attention_dim_head=dim // heads,
            processor=TalkingAttnProcessor(),
        )

    def forward(
        self, hidden_states: Tensor, context: Context, temb: Tensor, rotary_emb: tuple[Tensor, Tensor]
    ) -> Tensor:
        """hidden_states (B, T, m, D), temb (B, 6, D), rotary_emb two of (1, T, m, 1, d) -> (B, T, m, D).

        Frames stay an axis of their own between blocks, so that context parallelism can split m, the places: every part
        then has all frames, with their own speech and AUs.
        """
        rotary_emb = tuple(part.flatten(1, 2) for part in rotary_emb)
        tokens = super().forward(hidden_states.flatten(1, 2), context, temb, rotary_emb)
        return tokens.view_as(hidden_states)


TransformerBlockRegistry.register(TalkingBlock, TransformerBlockMetadata(return_hidden_states_index=0))
