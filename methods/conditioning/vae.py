"""The autoencoder of Stable Diffusion over frames of a video, a few at a time.

Latents are scaled by the autoencoder's `scaling_factor` (0.18215 for sd-vae-ft-mse). Training samples them from mean and
standard deviation, inference takes the mean.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch
    from diffusers import AutoencoderKL

SCALE = 8
"""Pixels per latent, along a side."""
SLICE_LATENTS = 4 * 64 * 64
"""Of one pass through the networks: 4 frames of 512 x 512, 64 of 128 x 128."""
SD_VAE = {
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "block_out_channels": (128, 256, 512, 512),
    "layers_per_block": 2,
    "latent_channels": 4,
    "norm_num_groups": 32,
    "sample_size": 256,
    "scaling_factor": 0.18215,
}
"""Config of stabilityai/sd-vae-ft-mse."""


def load_sd_vae(path: Path) -> AutoencoderKL:
    """sd-vae-ft-mse from its published safetensors file, float32."""
    from diffusers import AutoencoderKL
    from safetensors.torch import load_file

    vae = AutoencoderKL(**SD_VAE)
    vae.load_state_dict(attention_names(load_file(path)))
    return vae


def attention_names(published: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Tensors of an autoencoder that was saved before diffusers had its present attention class, under its names."""
    present = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
    state = {}
    for name, value in published.items():
        *path, leaf, parameter = name.split(".")
        state[".".join([*path, present.get(leaf, leaf), parameter])] = value
    return state


def encode(vae: AutoencoderKL, frames: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """Latents of frames.

    Args:
        frames: uint8 (T, H, W, 3) RGB; H and W multiples of 8.

    Returns:
        mean and std, each float32 (T, C, H/8, W/8) on the CPU, times the scaling factor.
    """
    import torch

    means, stds = [], []
    with torch.inference_mode():
        for part in np.split(frames, _cuts(len(frames), frames.shape[1] * frames.shape[2] // SCALE**2)):
            posterior = vae.encode(to_pixels(part).to(vae.device, vae.dtype)).latent_dist
            means.append(posterior.mean.float().cpu())
            stds.append(posterior.std.float().cpu())
    scale = vae.config.scaling_factor
    return torch.cat(means) * scale, torch.cat(stds) * scale


def decode(vae: AutoencoderKL, latents: torch.Tensor) -> np.ndarray:
    """Frames of latents: the inverse of `encode`.

    Args:
        latents: float (T, C, h, w), scaled, on any device.

    Returns:
        uint8 (T, 8h, 8w, 3) RGB.
    """
    import torch

    frames = []
    with torch.inference_mode():
        for part in latents.tensor_split(_cuts(len(latents), latents[0, 0].numel())):
            part = part.to(vae.device, vae.dtype) / vae.config.scaling_factor
            frames.append(to_frames(vae.decode(part).sample))
    return np.concatenate(frames)


def _cuts(count: int, latents: int) -> list[int]:
    """Where to cut `count` frames of so many latents each."""
    step = max(1, SLICE_LATENTS // latents)
    return list(range(step, count, step))


def to_pixels(frames: np.ndarray) -> torch.Tensor:
    """float32 (T, 3, H, W) in [-1, 1] of uint8 (T, H, W, 3)."""
    import torch

    return torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).float() / 127.5 - 1


def to_frames(pixels: torch.Tensor) -> np.ndarray:
    """uint8 (T, H, W, 3), rounded and cut to [0, 255], of float (T, 3, H, W) in [-1, 1]."""
    scaled = (pixels.float() + 1) * 127.5
    return scaled.round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy()
