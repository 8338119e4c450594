"""TalkingDiT: the video transformer of Wan2.1 (arXiv 2503.20314) with speech (StableAvatar) and Action Units (IUFace).

A WanTransformer3DModel, so what diffusers does with one (caches, attention backends, regional compilation, context parallelism,
offloading) it does with this. Differences from the stock class: any number of text tokens (the stock processor takes the last
512), time embedding and modulation in float32 under autocast too, and the conditions come as one object.
"""

from __future__ import annotations

from collections.abc import Iterator
from inspect import signature
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import WanTransformer3DModel
from diffusers.configuration_utils import register_to_config
from diffusers.models._modeling_parallel import ContextParallelInput, ContextParallelOutput
from diffusers.models.transformers.transformer_wan import WanRotaryPosEmbed
from torch import Tensor, nn

from methods.talking_dit.alignment import own_frames
from methods.talking_dit.aus import AUConditioning
from methods.talking_dit.block import Context, TalkingBlock
from methods.talking_dit.conditions import Conditions
from methods.talking_dit.vocal import VocalProjector, modulated


class FrameRotary(WanRotaryPosEmbed):
    """Wan's rotary positions with an axis for frames: cosines and sines, each (1, T, m, 1, d)."""

    def forward(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        frames = latents.shape[2]
        cosines, sines = super().forward(latents)
        return cosines.unflatten(1, (frames, -1)), sines.unflatten(1, (frames, -1))


class TalkingDiT(WanTransformer3DModel):
    """Noisy latents of a window in, velocity (noise minus latents) out."""

    vocal_projector: VocalProjector | None
    au_conditioning: AUConditioning | None

    _no_split_modules = ["TalkingBlock"]
    _repeated_blocks = ["TalkingBlock"]
    _keep_in_fp32_modules = [*WanTransformer3DModel._keep_in_fp32_modules, "time_proj", "modulation"]
    _cp_plan = {
        "rope": {
            0: ContextParallelInput(split_dim=2, expected_dims=5, split_output=True),
            1: ContextParallelInput(split_dim=2, expected_dims=5, split_output=True),
        },
        "blocks.0": {"hidden_states": ContextParallelInput(split_dim=2, expected_dims=4)},
        "proj_out": ContextParallelOutput(gather_dim=2, expected_dims=4),
    }

    @register_to_config
    def __init__(
        self,
        num_attention_heads: int,
        attention_head_dim: int,
        in_channels: int,
        out_channels: int,
        text_dim: int,
        freq_dim: int,
        ffn_dim: int,
        num_layers: int,
        image_dim: int,
        patch_size: tuple[int, int, int] = (1, 2, 2),
        cross_attn_norm: bool = True,
        eps: float = 1e-6,
        vocal: dict[str, Any] | None = None,
        aus: dict[str, Any] | None = None,
    ):
        """
        vocal: arguments of VocalProjector but dim; None = without speech.
        aus: au_dim, identity_dim and width of AUConditioning; "attention", "latent" (own frames) or "clip" (all);
            "identity_encoder", which the network has no use for: what makes the embedding. None = without AUs.

        The others are those of the stock class; one patch is one latent frame long.
        """
        super().__init__(
            patch_size=patch_size,
            num_attention_heads=num_attention_heads,
            attention_head_dim=attention_head_dim,
            in_channels=in_channels,
            out_channels=out_channels,
            text_dim=text_dim,
            freq_dim=freq_dim,
            ffn_dim=ffn_dim,
            num_layers=0,
            eps=eps,
            image_dim=image_dim,
        )
        self.register_to_config(num_layers=num_layers)
        dim = self.dim
        self.rope = FrameRotary(attention_head_dim, patch_size, self.config.rope_max_seq_len)
        self.blocks = nn.ModuleList(
            TalkingBlock(dim, ffn_dim, num_attention_heads, cross_attn_norm, eps) for _ in range(num_layers)
        )
        self.vocal_projector = self.au_conditioning = None
        if vocal is not None:
            self.add_vocal(vocal)
        if aus is not None:
            self.add_aus(aus)

    def add_vocal(self, vocal: dict[str, Any]) -> None:
        """Give the network a vocal path that adds nothing as long as it is not trained; argument as of the constructor."""
        self.vocal_projector = VocalProjector(dim=self.dim, **vocal)
        for block in self.blocks:
            block.attn2.add_vocal()
        self.register_to_config(vocal=vocal)

    def add_aus(self, aus: dict[str, Any]) -> None:
        """Give the network an AU path that adds nothing as long as it is not trained; argument as of the constructor."""
        self.au_conditioning = AUConditioning(aus["au_dim"], aus["identity_dim"], aus["width"], self.dim)
        for block in self.blocks:
            block.attn2.add_aus()
        self.register_to_config(aus=aus)

    @property
    def dim(self) -> int:
        """D."""
        return self.config.num_attention_heads * self.config.attention_head_dim

    @property
    def sizes(self) -> dict[str, Any]:
        """Arguments of the constructor that build this network, plain JSON."""
        return {name: self.config[name] for name in signature(TalkingDiT).parameters}

    def trained_parameters(self) -> Iterator[nn.Parameter]:
        """What StableAvatar's script trains, and IUFace's paths with it: embeddings and the output stay as they are."""
        for part in (self.blocks, self.vocal_projector, self.au_conditioning):
            if part is not None:
                yield from part.parameters()

    @classmethod
    def stored_type(cls, name: str, dtype: torch.dtype) -> torch.dtype:
        """The type of the parameter of this name in a network that computes in dtype: float32 for what needs it."""
        return torch.float32 if any(part in name for part in cls._keep_in_fp32_modules) else dtype

    def cast(self, dtype: torch.dtype) -> TalkingDiT:
        """Make the network compute in dtype, in place; unlike `to(dtype)` it leaves in float32 what needs that."""
        for name, parameter in self.named_parameters():
            parameter.data = parameter.data.to(self.stored_type(name, dtype))
        return self

    def forward(
        self, latents: Tensor, timestep: Tensor | float, conditions: Conditions, *, clip_level_vocal: bool = False
    ) -> Tensor:
        """Velocity of the latents.

        Args:
            latents: (B, c, T, h, w).
            timestep: scalar or (B,), 0..1000.
            conditions: of the B rows.
            clip_level_vocal: every latent frame looks at the vocal tokens of all (StableAvatar, 30 % of its training).

        Returns:
            (B, c, T, h, w) in the type of the latents.
        """
        video = torch.cat([latents, conditions.known.type_as(latents)], dim=1).to(self.patch_embedding.weight.dtype)
        rotary_emb = self.rope(video)
        hidden_states = self.patch_embedding(video).flatten(3).permute(0, 2, 3, 1).contiguous()  # (B, T, m, D)
        time, modulation = self._embed_time(torch.as_tensor(timestep, device=latents.device).expand(len(latents)))
        context = self._context(conditions, hidden_states, time, modulation, clip_level_vocal)
        for block in self.blocks:
            if torch.is_grad_enabled() and self.gradient_checkpointing:
                hidden_states = self._gradient_checkpointing_func(block, hidden_states, context, modulation, rotary_emb)
            else:
                hidden_states = block(hidden_states, context, modulation, rotary_emb)
        shift, scale = (self.scale_shift_table + time[:, None])[:, :, None, None].unbind(1)
        patches = self.proj_out(modulated(hidden_states, self.norm_out, shift, scale))
        return self._unpatchify(patches, latents.shape).type_as(latents)

    def _embed_time(self, timestep: Tensor) -> tuple[Tensor, Tensor]:
        """timestep (B,) -> float32 embedding (B, D) and modulation (B, 6, D) of the blocks."""
        embedder, device = self.condition_embedder, timestep.device.type
        with torch.autocast(device if torch.amp.is_autocast_available(device) else "cpu", enabled=False):
            waves = embedder.timesteps_proj(timestep).to(embedder.time_proj.weight.dtype)
            time = embedder.time_embedder(waves)
            modulation = embedder.time_proj(F.silu(time)).unflatten(1, (6, -1))
        return time.float(), modulation.float()

    def _context(
        self, conditions: Conditions, latents: Tensor, time: Tensor, modulation: Tensor, clip_level_vocal: bool
    ) -> Context:
        """Tokens of all conditions; latents (B, T, m, D) are patches, time (B, D), modulation (B, 6, D)."""
        embedder = self.condition_embedder
        vocal = aus = None
        if conditions.vocal is not None:
            vocal = self.vocal_projector(conditions.vocal.type_as(latents), latents, time, modulation)
            vocal = _without(vocal, conditions.silent)
            vocal = vocal.flatten(1, 2)[:, None] if clip_level_vocal else vocal
        if conditions.aus is not None:
            identity = None if conditions.identity is None else conditions.identity.type_as(latents)
            aus = _without(self.au_conditioning(conditions.aus.type_as(latents), identity), conditions.null_aus)
            own = torch.tensor(own_frames(latents.shape[1]), device=aus.device)
            aus = aus[:, None] if self.config.aus["attention"] == "clip" else aus[:, own]
        return Context(
            text=embedder.text_embedder(conditions.text.type_as(latents))[:, None],
            image=embedder.image_embedder(conditions.image.type_as(latents))[:, None],
            vocal=vocal,
            aus=aus,
        )

    def _unpatchify(self, patches: Tensor, shape: torch.Size) -> Tensor:
        """(B, T, m, p*q*c) -> (B, c, T, h, w)."""
        _, down, across = self.config.patch_size
        rows = patches.unflatten(3, (down, across, -1)).unflatten(2, (shape[3] // down, -1))  # B T h w p q c
        return rows.permute(0, 6, 1, 2, 4, 3, 5).flatten(5, 6).flatten(3, 4)


def _without(tokens: Tensor, rows: Tensor | None) -> Tensor:
    """tokens (B, ...) with zeros in the rows that the flags (B,) name."""
    return tokens if rows is None else tokens.masked_fill(rows.view(-1, *[1] * (tokens.ndim - 1)), 0)
