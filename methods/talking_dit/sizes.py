"""Sizes of the video transformer: as published, and small for the rendered world. Arguments of TalkingDiT, plain JSON.

The small ones run on 128 x 128 frames with the rendered world's own encoders (methods/synth): windows of 25 frames are 7
latent frames of 16 x 16.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

HEAD_DIM = 128
"""Of every published Wan; heads leave no trace in the shapes of parameters."""

WAN_FULL: dict[str, Any] = {
    "num_attention_heads": 12,
    "attention_head_dim": HEAD_DIM,
    "in_channels": 36,
    "out_channels": 16,
    "text_dim": 4096,
    "freq_dim": 256,
    "ffn_dim": 8960,
    "num_layers": 30,
    "image_dim": 1280,
}
"""Wan2.1-Fun-V1.1-1.3B-InP."""
STABLEAVATAR_FULL: dict[str, Any] = {**WAN_FULL, "vocal": {"vocal_dim": 768, "heads": 8, "layers": 2}}
IUFACE_FULL: dict[str, Any] = {
    **STABLEAVATAR_FULL,
    "aus": {"au_dim": 35, "identity_encoder": "clip", "identity_dim": 1280, "width": 512, "attention": "latent"},
}
"""The identity embedding is that of the base's own CLIP, 1280 wide: the paper's 2048 fits none of the towers it names."""

WAN_SYNTH: dict[str, Any] = {
    "num_attention_heads": 4,
    "attention_head_dim": 32,
    "in_channels": 20,
    "out_channels": 8,
    "text_dim": 32,
    "freq_dim": 64,
    "ffn_dim": 512,
    "num_layers": 4,
    "image_dim": 128,
}
STABLEAVATAR_SYNTH: dict[str, Any] = {**WAN_SYNTH, "vocal": {"vocal_dim": 96, "heads": 4, "layers": 2}}
IUFACE_SYNTH: dict[str, Any] = {
    **STABLEAVATAR_SYNTH,
    "aus": {"au_dim": 35, "identity_encoder": "clip", "identity_dim": 128, "width": 128, "attention": "latent"},
}


def official_sizes(
    shapes: Mapping[str, tuple[int, ...]], heads: int | None = None, vocal_heads: int = 8
) -> dict[str, Any]:
    """Arguments of TalkingDiT for an official file, from the names and shapes of its parameters.

    Args:
        shapes: of Wan2.1 or StableAvatar, in official names.
        heads: None = as many as HEAD_DIM gives.
        vocal_heads: of the vocal projector.

    Raises:
        KeyError: a parameter that every such file has is not there.
    """
    dim, in_channels, *patch_size = shapes["patch_embedding.weight"]
    heads = heads or dim // HEAD_DIM
    sizes = {
        "num_attention_heads": heads,
        "attention_head_dim": dim // heads,
        "in_channels": in_channels,
        "out_channels": shapes["head.head.weight"][0] // prod(patch_size),
        "text_dim": shapes["text_embedding.0.weight"][1],
        "freq_dim": shapes["time_embedding.0.weight"][1],
        "ffn_dim": shapes["blocks.0.ffn.0.weight"][0],
        "num_layers": _count(shapes, "blocks."),
        "image_dim": shapes["img_emb.proj.1.weight"][1],
        "patch_size": tuple(patch_size),
        "cross_attn_norm": "blocks.0.norm3.weight" in shapes,
    }
    if vocal_dim := shapes.get("vocal_projector.proj_model.proj.weight", (0, 0))[1]:
        layers = _count(shapes, "vocal_projector.blocks.")
        sizes["vocal"] = {"vocal_dim": vocal_dim, "heads": vocal_heads, "layers": layers}
    return sizes


def _count(shapes: Mapping[str, tuple[int, ...]], prefix: str) -> int:
    return len({name.removeprefix(prefix).partition(".")[0] for name in shapes if name.startswith(prefix)})
