"""The small autoencoder: diffusers' AutoencoderKL, 128 x 128 px to 8 x 16 x 16, in place of sd-vae-ft-mse.

Trained on rendered faces by a weighted L1 of pixels and of their differences (edges), which counts eyes, brows and mouth
more, and a small KL term. Then the latents' mean and variance are folded into the 1 x 1 convolutions on either side of them:
every channel has mean 0 and variance 1 and `scaling_factor` is 1. At last the decoder alone trains on, as that of
sd-vae-ft-mse did, on latents with a little noise, like those a denoiser makes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench.media.landmarks import IBUG68, OUTER_LIPS, SILHOUETTE
from methods.conditioning.vae import decode, encode, to_pixels
from methods.synth.faces import FacePictures
from methods.synth.training import Recipe, load_weights, save_weights, seed_step, train

if TYPE_CHECKING:
    import torch
    from diffusers import AutoencoderKL

LATENT_CHANNELS = 8
"""An eye is two latents wide: four channels do not hold its lids, gaze and colours."""
CONFIG = {
    "in_channels": 48,
    "out_channels": 48,
    "down_block_types": ("DownEncoderBlock2D",) * 2,
    "up_block_types": ("UpDecoderBlock2D",) * 2,
    "block_out_channels": (64, 96),
    "layers_per_block": 1,
    "norm_num_groups": 8,
    "latent_channels": LATENT_CHANNELS,
    "sample_size": 128,
    "scaling_factor": 1.0,
}
"""Channels are those of a patch of 4 x 4 px, see `PatchVAE`."""
BATCH = 8
KL_WEIGHT = 1e-4
"""Of the mean KL divergence per latent value; the posterior's standard deviation settles near a tenth of the spread."""
FEATURE_WEIGHT, SCENE_WEIGHT = 6.0, 0.5
"""Of pixels around eyes, brows and mouth, and of those outside the face; the rest of the face has 1."""
DECODER_SHARE = 0.3186
"""Of the training, its last part, in which the encoder is finished."""
LATENT_NOISE = 0.15
"""Largest standard deviation of the noise on the latents in that part, which have 1."""
NORMALISED_ON = 512
"""Pictures over which the latents' mean and variance are taken."""
MEASURED_EVERY = 25
"""Frames of clips between two that are measured."""


def make_vae() -> AutoencoderKL:
    """The network in its initial state."""
    from methods.synth.patch_vae import PatchVAE

    return PatchVAE(**CONFIG)


def load_vae(path: Path) -> AutoencoderKL:
    """The trained network, float32, in eval mode."""
    return load_weights(make_vae(), path)


def train_vae(data: Path, out: Path, recipe: Recipe, *, log: Callable[[str], None] = print) -> None:
    """Train on the arrays under `data` and write the weights to `out`; checkpoints lie beside it meanwhile."""
    seed_step(recipe.seed, 0)
    vae, faces = make_vae(), FacePictures(data)

    def loss(rng: np.random.Generator) -> torch.Tensor:
        return vae_loss(vae, *faces.draw(rng, BATCH))

    steps = train(vae, loss, _share(recipe, 1 - DECODER_SHARE), checkpoint=out.with_suffix(".ckpt"), log=log)
    normalise_latents(vae, faces.draw(seed_step(recipe.seed, steps + 1), NORMALISED_ON).frames)
    more = train_decoder(vae, faces, _share(recipe, DECODER_SHARE), out.with_suffix(".decoder.ckpt"), log)
    save_weights(out, vae, {"encoder": "synth_vae", "steps": steps, "decoder_steps": more, "seed": recipe.seed})


def train_decoder(
    vae: AutoencoderKL, faces: FacePictures, recipe: Recipe, checkpoint: Path | None, log: Callable[[str], None]
) -> int:
    """Train `decoder` and `post_quant_conv`; returns the steps done."""
    import torch

    def loss(rng: np.random.Generator) -> torch.Tensor:
        frames, landmarks = faces.draw(rng, BATCH)
        pixels = to_pixels(frames)
        with torch.autocast("cpu", torch.bfloat16):
            with torch.no_grad():
                latents = vae.encode(pixels).latent_dist.mean
            noise = torch.rand(len(latents), 1, 1, 1) * LATENT_NOISE
            made = vae.decode(latents + noise * torch.randn_like(latents)).sample
        return picture_loss(made.float(), pixels, landmarks)

    decoder = torch.nn.ModuleList([vae.decoder, vae.post_quant_conv])
    steps = train(decoder, loss, replace(recipe, seed=recipe.seed + 1), checkpoint=checkpoint, log=log)
    vae.eval()
    return steps


def _share(recipe: Recipe, share: float) -> Recipe:
    """A recipe of a share of the time."""
    minutes = None if recipe.minutes is None else share * recipe.minutes
    steps = None if recipe.steps is None else max(1, round(share * recipe.steps))
    return replace(recipe, minutes=minutes, steps=steps)


def vae_loss(vae: AutoencoderKL, frames: np.ndarray, landmarks: np.ndarray) -> torch.Tensor:
    """Scalar loss of frames uint8 (n, H, W, 3) with landmarks (n, 478, 2)."""
    import torch

    pixels = to_pixels(frames)
    with torch.autocast("cpu", torch.bfloat16):
        posterior = vae.encode(pixels).latent_dist
        made = vae.decode(posterior.sample()).sample
    mean, logvar = posterior.mean.float(), posterior.logvar.float()
    kl = 0.5 * (mean**2 + logvar.exp() - 1 - logvar).mean()
    return picture_loss(made.float(), pixels, landmarks) + KL_WEIGHT * kl


def picture_loss(made: torch.Tensor, pixels: torch.Tensor, landmarks: np.ndarray) -> torch.Tensor:
    """Weighted L1 of pixels (n, 3, H, W), and half that of their differences to the next pixel right and below."""
    import torch

    error = made - pixels
    weights = torch.from_numpy(feature_weights(landmarks, pixels.shape[2:]))[:, None].expand_as(error)
    edges = sum((weights.narrow(d, 1, error.shape[d] - 1) * error.diff(dim=d).abs()).mean() for d in (2, 3))
    return (weights * error.abs()).mean() + 0.5 * edges


def feature_weights(landmarks: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """float32 (n, H, W), mean 1 per picture: what pixels in boxes around each eye with its brow, the mouth and the face
    count, relative to each other.

    Args:
        landmarks: (n, 478, 2) px.
        size: (H, W).
    """
    ibug = np.array(IBUG68)[:, 0]
    brow_and_eye = [
        ibug[[*range(17 + 5 * side, 22 + 5 * side), *range(36 + 6 * side, 42 + 6 * side)]] for side in (0, 1)
    ]
    weights = np.full((len(landmarks), *size), SCENE_WEIGHT, np.float32)
    weights[_box(landmarks[:, SILHOUETTE], size)] = 1
    for group in (*brow_and_eye, OUTER_LIPS):
        weights[_box(landmarks[:, group], size)] = FEATURE_WEIGHT
    return weights / weights.mean((1, 2), keepdims=True)


def _box(points: np.ndarray, size: Sequence[int], margin: float = 4.0) -> np.ndarray:
    """bool (n, H, W): inside the bounding boxes of points (n, k, 2), `margin` px wider on every side."""
    y, x = np.mgrid[: size[0], : size[1]]
    low, high = points.min(1) - margin, points.max(1) + margin
    (x0, y0), (x1, y1) = (corner.T[..., None, None] for corner in (low, high))
    return (x >= x0) & (x <= x1) & (y >= y0) & (y <= y1)


def normalise_latents(vae: AutoencoderKL, frames: np.ndarray) -> None:
    """Give every latent channel mean 0 and variance 1 over these frames, and the decoder its inverse: the autoencoder as
    a whole stays what it was."""
    import torch

    with torch.no_grad():
        latents = torch.cat(
            [vae.encode(to_pixels(part)).latent_dist.sample() for part in np.split(frames, range(32, len(frames), 32))]
        )
        mean, std = latents.mean((0, 2, 3)), latents.std((0, 2, 3))
        channels = len(mean)
        before, after = vae.quant_conv, vae.post_quant_conv
        before.weight[:channels] /= std[:, None, None, None]
        before.bias[:channels] = (before.bias[:channels] - mean) / std
        before.bias[channels:] -= 2 * std.log()
        after.bias += after.weight[:, :, 0, 0] @ mean
        after.weight *= std[:, None, None]


def measure_vae(path: Path, data: Path) -> dict[str, float]:
    """What is lost between frames and the decoded means of their latents.

    Args:
        path: the weights.
        data: folder of arrays of people it has not learned from.

    Returns:
        psnr: of all pixels, dB, over frames of clips; psnr_features: of those in the boxes around eyes, brows and mouth.
        latent_std: standard deviation of the latents; posterior_std: mean of their posteriors'.
    """
    vae = load_vae(path)
    frames, landmarks = FacePictures(data).every_clip_frame(MEASURED_EVERY)
    means, stds = encode(vae, frames)
    squares = (decode(vae, means).astype(np.float32) - frames) ** 2
    weights = feature_weights(landmarks, frames.shape[1:3])
    inside = weights == weights.max((1, 2), keepdims=True)
    return {
        "psnr": float(10 * np.log10(255**2 / squares.mean())),
        "psnr_features": float(10 * np.log10(255**2 / squares[inside].mean())),
        "latent_std": float(means.std()),
        "posterior_std": float(stds.mean()),
    }
