"""The reference image as Wan2.1's image-to-video models see it: CLIP ViT-H/14 (open_clip's, with XLM-RoBERTa), penultimate.

The picture is stretched to 224 x 224 bicubically without antialiasing, in [0, 1] less CLIP's mean over its deviation, and
goes through all blocks of the visual tower but the last: 257 tokens, the class token first. The network is transformers'
CLIPVisionModel; the published file has one matrix for query, key and value, which are three here.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from methods.conditioning.vae import to_pixels

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import CLIPVisionModel

MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
HEADS = 16
"""Of ViT-H/14; they leave no trace in the shapes of the parameters."""
PREFIX = "visual."
"""Of the visual tower in the published file, which holds the text tower as well."""


def image_states(clip: CLIPVisionModel, images: np.ndarray) -> Tensor:
    """Penultimate states of pictures.

    Args:
        images: uint8 (B, H, W, 3) RGB.

    Returns:
        float32 (B, I, D) on the CPU: I = 257, D = 1280.
    """
    import torch

    with torch.inference_mode():
        pixels = clip_pixels(images, clip.config.image_size).to(clip.device, clip.dtype)
        return penultimate(clip, pixels).float().cpu()


def clip_pixels(images: np.ndarray, size: int = 224) -> Tensor:
    """float32 (B, 3, size, size), normalised, of uint8 (B, H, W, 3)."""
    import torch
    import torch.nn.functional as F

    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, STD))
    pixels = F.interpolate(to_pixels(images), (size, size), mode="bicubic", align_corners=False)
    return (pixels * 0.5 + 0.5 - mean) / std


def penultimate(clip: CLIPVisionModel, pixels: Tensor) -> Tensor:
    """States (B, I, D) before the last block, of pixels (B, 3, S, S)."""
    return clip(pixels, output_hidden_states=True).hidden_states[-2]


def mean_pooled(states: Tensor) -> Tensor:
    """IUFace's f_id: the mean over tokens, (..., D) of (..., I, D)."""
    return states.mean(-2)


# -- published file ---------------------------------------------------------------------------------------------------


def load_clip(path: Path) -> CLIPVisionModel:
    """The visual tower of models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth, float32; the text tower is not read."""
    import torch

    state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    visual = {name.removeprefix(PREFIX): value for name, value in state.items() if name.startswith(PREFIX)}
    return clip_from_state(visual, HEADS)


def clip_from_state(state: Mapping[str, Tensor], heads: int) -> CLIPVisionModel:
    """The network of an official visual tower (names without `visual.`), of its sizes, in eval mode."""
    from transformers import CLIPVisionConfig, CLIPVisionModel

    sizes = clip_sizes({name: tuple(value.shape) for name, value in state.items()})
    clip = CLIPVisionModel(CLIPVisionConfig(num_attention_heads=heads, **sizes))
    clip.load_state_dict(to_transformers_clip(state))
    return clip.eval()


def clip_sizes(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    """Arguments of CLIPVisionConfig but for the heads, from the shapes of an official visual tower.

    Raises:
        KeyError: a parameter that every such tower has is not there.
    """
    width, _, patch, _ = shapes["patch_embedding.weight"]
    tokens = shapes["pos_embedding"][1]
    return {
        "hidden_size": width,
        "intermediate_size": shapes["transformer.0.mlp.0.weight"][0],
        "num_hidden_layers": len({name.split(".")[1] for name in shapes if name.startswith("transformer.")}),
        "patch_size": patch,
        "image_size": patch * round((tokens - 1) ** 0.5),
        "hidden_act": "gelu",
    }


_NAMES = {
    "patch_embedding.weight": "embeddings.patch_embedding.weight",
    "pre_norm.": "pre_layrnorm.",
    "post_norm.": "post_layernorm.",
    "transformer.": "encoder.layers.",
    ".norm1.": ".layer_norm1.",
    ".norm2.": ".layer_norm2.",
    ".attn.proj.": ".self_attn.out_proj.",
    ".mlp.0.": ".mlp.fc1.",
    ".mlp.2.": ".mlp.fc2.",
}


def to_transformers_clip(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Official tensors under transformers' names, `to_qkv` in three; `head`, which projects to the text's space, is left
    out."""
    renamed = {}
    for name, value in state.items():
        if name == "head":
            continue
        if name == "cls_embedding":
            renamed["embeddings.class_embedding"] = value.flatten()
        elif name == "pos_embedding":
            renamed["embeddings.position_embedding.weight"] = value[0]
        elif ".to_qkv." in name:
            layer, leaf = name.removeprefix("transformer.").split(".attn.to_qkv.")
            for part, third in zip("qkv", value.chunk(3), strict=True):
                renamed[f"encoder.layers.{layer}.self_attn.{part}_proj.{leaf}"] = third
        else:
            for ours, theirs in _NAMES.items():
                name = name.replace(ours, theirs)
            renamed[name] = value
    return renamed
