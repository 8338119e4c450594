"""Wan2.1's video autoencoder on diffusers' AutoencoderKLWan: frames to latents and back, causal in time, piece by piece.

Letters: B videos of N = 4T - 3 frames, T latent frames of c x h x w, h = H / 8. Latent frame 0 is frame 0 alone, latent frame
t > 0 frames 4t-3 to 4t and, through what the convolutions remember, all before them. What they remember is all that passes
from piece to piece, so memory does not grow with the length; diffusers' own `encode` and `decode` hold every frame. In space,
pictures larger than a tile may be taken in overlapping tiles that are blended as diffusers does it.

Latents are normalised as the transformer sees them: (latent - latents_mean) / latents_std of the autoencoder's config.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from methods.conditioning.vae import to_frames, to_pixels
from methods.talking_dit.alignment import FRAMES_PER_LATENT, latent_frames, video_frames

if TYPE_CHECKING:
    import torch
    from diffusers import AutoencoderKLWan
    from torch import Tensor

SCALE = 8
"""Pixels per latent, along a side."""
KNOWN_CHANNELS = 4
"""Channels of the mask of what is known: one for each frame of a latent frame."""
BATCH_LATENTS = 64 * 64
"""Latents of a frame up to which several videos are encoded at once: 1 video of 512 x 512, 16 of 128 x 128."""


@dataclass(frozen=True)
class Tiling:
    """Tiles in pixels; the defaults are diffusers'."""

    size: int = 256
    stride: int = 192


def whole_latents(frames: int) -> int:
    """T of N = 4T - 3 frames.

    Raises:
        ValueError: another number of frames.
    """
    latents = max(1, latent_frames(frames))
    if video_frames(latents) != frames:
        raise ValueError(f"{frames} frames are no whole latent frames: 4T - 3 are, such as {video_frames(latents)}")
    return latents


# -- frames and latents -----------------------------------------------------------------------------------------------


def encode(vae: AutoencoderKLWan, videos: np.ndarray, tiling: Tiling | None = None) -> tuple[Tensor, Tensor]:
    """Latents of videos.

    Args:
        videos: uint8 (B, N, H, W, 3) RGB; H and W multiples of 8.

    Returns:
        mean and std of the posterior, each float32 (B, c, T, h, w) on the CPU, normalised.
    """
    import torch

    whole_latents(videos.shape[1])  # Refuses other numbers of frames.
    cuts = range(1, videos.shape[1], FRAMES_PER_LATENT)
    found = [
        _posterior(vae, (_pixels(part, vae) for part in np.split(some, cuts, axis=1)), tiling)
        for some in np.split(videos, range(_batch(videos), len(videos), _batch(videos)))
    ]
    mean, std = (torch.cat(parts) for parts in zip(*found, strict=True))
    return mean, std


def encode_known(
    vae: AutoencoderKLWan, references: np.ndarray, num_frames: int, tiling: Tiling | None = None
) -> Tensor:
    """Latents of videos of which only the first frame is known: the others are mid-grey (0 of [-1, 1]), as in
    Wan2.1-Fun-InP and StableAvatar.

    Args:
        references: uint8 (B, H, W, 3) RGB; H and W multiples of 8.
        num_frames: N.

    Returns:
        float32 (B, c, T, h, w) on the CPU: means of the posteriors, normalised.
    """
    import torch

    def pieces(some: np.ndarray) -> Iterator[Tensor]:
        first = _pixels(some[:, None], vae)
        grey = first.new_zeros(1).expand(*first.shape[:2], FRAMES_PER_LATENT, *first.shape[3:])
        yield first
        yield from [grey] * (whole_latents(num_frames) - 1)

    step = _batch(references[:, None])
    parts = [
        _posterior(vae, pieces(some), tiling)[0] for some in np.split(references, range(step, len(references), step))
    ]
    return torch.cat(parts)


def with_mask(known: Tensor) -> Tensor:
    """What the transformer is told of the known: float (..., 4 + c, T, h, w) of the latents (..., c, T, h, w).

    The mask is 1 where pixels are known: latent frame 0.
    """
    import torch

    mask = known.new_zeros(*known.shape[:-4], KNOWN_CHANNELS, *known.shape[-3:])
    mask[..., 0, :, :] = 1
    return torch.cat([mask, known], dim=-4)


def decode(vae: AutoencoderKLWan, latents: Tensor, tiling: Tiling | None = None) -> Iterator[np.ndarray]:
    """Frames of a video's latents, as they are made: uint8 (1, 8h, 8w, 3) RGB of latent frame 0, then (4, 8h, 8w, 3).

    Args:
        latents: float (c, T, h, w), normalised, on any device.
    """
    mean, std = (values.to(latents.device) for values in statistics(vae))
    for pixels in decoded_pieces(vae, (latents.float() * std + mean)[None], tiling):
        yield to_frames(pixels[0].transpose(0, 1))


def decoded_pieces(vae: AutoencoderKLWan, latents: Tensor, tiling: Tiling | None = None) -> Iterator[Tensor]:
    """Pixels (B, 3, n, 8h, 8w) of latents (B, c, T, h, w) that are not normalised, n = 1, 4, 4, ...; not cut to [-1, 1]."""
    import torch

    step = _in_tiles(lambda: decoder_step(vae), SCALE, tiling)
    for latent in latents.split(1, dim=2):
        with torch.inference_mode():
            pixels = step(latent.to(vae.device, vae.dtype))
        yield pixels


def statistics(vae: AutoencoderKLWan) -> tuple[Tensor, Tensor]:
    """latents_mean and latents_std of the config, each float32 (c, 1, 1, 1)."""
    import torch

    mean, std = torch.tensor(vae.config.latents_mean), torch.tensor(vae.config.latents_std)
    return mean.view(-1, 1, 1, 1), std.view(-1, 1, 1, 1)


def _posterior(vae: AutoencoderKLWan, pieces: Iterable[Tensor], tiling: Tiling | None) -> tuple[Tensor, Tensor]:
    """Mean and std, normalised, of pixels in pieces (B, 3, n, H, W) of 1, 4, 4, ... frames."""
    import torch
    from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution

    step = _in_tiles(lambda: encoder_step(vae), 1 / SCALE, tiling)
    with torch.inference_mode():
        moments = torch.cat([step(piece).float().cpu() for piece in pieces], dim=2)
    posterior = DiagonalGaussianDistribution(moments)
    mean, std = statistics(vae)
    return (posterior.mean - mean) / std, posterior.std / std


def _pixels(videos: np.ndarray, vae: AutoencoderKLWan) -> Tensor:
    """(B, 3, n, H, W) in [-1, 1] of uint8 (B, n, H, W, 3), where the autoencoder is."""
    count = videos.shape[1]
    return (
        to_pixels(videos.reshape(-1, *videos.shape[2:]))
        .unflatten(0, (-1, count))
        .transpose(1, 2)
        .to(vae.device, vae.dtype)
    )


def _batch(videos: np.ndarray) -> int:
    """Videos that are encoded at once."""
    return max(1, BATCH_LATENTS * SCALE**2 // (videos.shape[2] * videos.shape[3]))


# -- one piece of a video, one tile of a picture ----------------------------------------------------------------------

Step = Callable[["Tensor"], "Tensor"]
"""The next piece in, what it becomes out; remembers the pieces before."""


def encoder_step(vae: AutoencoderKLWan) -> Step:
    """Pixels (B, 3, n, H, W) to moments (B, 2c, 1, h, w)."""
    from diffusers.models.autoencoders.autoencoder_kl_wan import patchify

    memory = [None] * _convolutions(vae.encoder)

    def step(pixels: Tensor) -> Tensor:
        patches = patchify(pixels, vae.config.patch_size or 1)
        return vae.quant_conv(vae.encoder(patches, feat_cache=memory, feat_idx=[0]))

    return step


def decoder_step(vae: AutoencoderKLWan) -> Step:
    """Latents (B, c, 1, h, w), not normalised, to pixels (B, 3, n, H, W)."""
    from diffusers.models.autoencoders.autoencoder_kl_wan import unpatchify

    memory = [None] * _convolutions(vae.decoder)

    def step(latents: Tensor) -> Tensor:
        first = memory[0] is None
        patches = vae.decoder(vae.post_quant_conv(latents), feat_cache=memory, feat_idx=[0], first_chunk=first)
        return unpatchify(patches, vae.config.patch_size or 1)

    return step


def _convolutions(network: torch.nn.Module) -> int:
    """As many of them remember something."""
    from diffusers.models.autoencoders.autoencoder_kl_wan import WanCausalConv3d

    return sum(isinstance(module, WanCausalConv3d) for module in network.modules())


def _in_tiles(make_step: Callable[[], Step], scale: float, tiling: Tiling | None) -> Step:
    """A step that takes large pictures in tiles, each with a memory of its own.

    Args:
        scale: of the output's sides to the input's.
    """
    steps: dict[tuple[int, int], Step] = {}

    def run(piece: Tensor, row: int, column: int) -> Tensor:
        if (row, column) not in steps:
            steps[row, column] = make_step()
        return steps[row, column](piece)

    def step(piece: Tensor) -> Tensor:
        height, width = piece.shape[-2:]
        pixels = 1 if scale < 1 else SCALE
        if tiling is None or max(height, width) * pixels <= tiling.size:
            return run(piece, 0, 0)
        size, stride = tiling.size // pixels, tiling.stride // pixels
        rows = [
            [run(piece[..., y : y + size, x : x + size], y, x) for x in range(0, width, stride)]
            for y in range(0, height, stride)
        ]
        joined = _blended(rows, round(stride * scale), round((size - stride) * scale))
        return joined[..., : round(height * scale), : round(width * scale)]

    return step


def _blended(rows: list[list[Tensor]], stride: int, overlap: int) -> Tensor:
    """Tiles (..., size, size) joined: over `overlap`, the tile above and the one on the left fade out linearly."""
    import torch

    lines = []
    for i, row in enumerate(rows):
        for j, tile in enumerate(row):
            if i:
                _fade(rows[i - 1][j], tile, overlap, -2)
            if j:
                _fade(row[j - 1], tile, overlap, -1)
        lines.append(torch.cat([tile[..., :stride, :stride] for tile in row], dim=-1))
    return torch.cat(lines, dim=-2)


def _fade(before: Tensor, tile: Tensor, overlap: int, dim: int) -> None:
    """Mix the end of `before` into the beginning of `tile`, in place."""
    import torch

    overlap = min(overlap, before.shape[dim], tile.shape[dim])
    shape = (-1, 1) if dim == -2 else (-1,)
    share = (torch.arange(overlap, device=tile.device, dtype=tile.dtype) / overlap).view(shape)
    begin, end = tile.narrow(dim, 0, overlap), before.narrow(dim, before.shape[dim] - overlap, overlap)
    begin.copy_(end * (1 - share) + begin * share)


# -- published files --------------------------------------------------------------------------------------------------


def load_wan_vae(path: Path) -> AutoencoderKLWan:
    """Wan2.1_VAE.pth, float32."""
    import torch

    return vae_from_state(torch.load(path, map_location="cpu", weights_only=True))


def vae_from_state(state: Mapping[str, Tensor]) -> AutoencoderKLWan:
    """The network of an official state dict (194 tensors), of its sizes, in eval mode."""
    from diffusers import AutoencoderKLWan

    vae = AutoencoderKLWan(**vae_sizes({name: tuple(value.shape) for name, value in state.items()}))
    vae.load_state_dict(to_diffusers_vae(state))
    return vae.eval()


def to_diffusers_vae(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Official tensors under diffusers' names."""
    from diffusers.loaders.single_file_utils import convert_wan_vae_to_diffusers

    return convert_wan_vae_to_diffusers(dict(state))


def vae_sizes(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    """Arguments of AutoencoderKLWan for an official state dict, from the shapes of its parameters.

    Raises:
        KeyError: a parameter that every such file has is not there.
    """
    base_dim, z_dim = shapes["encoder.conv1.weight"][0], shapes["conv2.weight"][0]
    # `downsamples` lists blocks and, between the levels, what shrinks; that in time has a `time_conv`.
    layers = sorted({int(name.split(".")[2]) for name in shapes if name.startswith("encoder.downsamples.")})
    levels: list[list[int]] = [[]]
    in_time = []
    for layer in layers:
        prefix = f"encoder.downsamples.{layer}."
        if f"{prefix}resample.1.weight" in shapes:
            in_time.append(f"{prefix}time_conv.weight" in shapes)
            levels.append([])
        else:
            levels[-1].append(shapes[f"{prefix}residual.6.weight"][0] // base_dim)
    sizes = {
        "base_dim": base_dim,
        "z_dim": z_dim,
        "dim_mult": [level[-1] for level in levels],
        "num_res_blocks": len(levels[0]),
        "temperal_downsample": in_time,
    }
    if z_dim != 16:  # Mean and standard deviation of Wan2.1's 16 channels are the class's defaults.
        sizes |= {"latents_mean": [0.0] * z_dim, "latents_std": [1.0] * z_dim}
    return sizes
