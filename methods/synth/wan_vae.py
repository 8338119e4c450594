"""The small video autoencoder: diffusers' AutoencoderKLWan, 128 x 128 px to 16 x 16 latents of four frames each, in place of
Wan2.1_VAE.

As in Wan2.2's, frames enter in patches, here of 2 x 2 px: no convolution in space and time runs at full resolution, which
costs most. Trained on stills (a video's first latent frame is one) and short videos, then on longer ones, by the loss of
`methods.synth.vae` and a weighted L1 of the differences from frame to frame. Then the latents' mean and standard deviation are
measured; they go into the config, and from there into the normalisation, as Wan2.1's do. At last the decoder alone trains on,
on latents with a little noise, like those a denoiser makes.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from methods.conditioning.vae import to_pixels
from methods.conditioning.wan_vae import decode, decoder_step, encode, encoder_step, statistics
from methods.synth.faces import FacePictures, Faces
from methods.synth.training import Recipe, seed_step, train
from methods.synth.vae import feature_weights, picture_loss

if TYPE_CHECKING:
    import torch
    from diffusers import AutoencoderKLWan
    from torch import Tensor

LATENT_CHANNELS = 8
"""Half of Wan2.1's: a token of the small transformer, 2 x 2 latents and as many of the reference in a width of 128, learns
little of 16. On linear latents, from initial weights that let latents pass, the error of latents predicted from noise is after
100 steps 0.82 of their variance with 16, 0.45 with 8."""
PATCH = 2
CONFIG: dict[str, Any] = {
    "base_dim": 16,
    "dim_mult": [1, 2, 5],
    "num_res_blocks": 1,
    "z_dim": LATENT_CHANNELS,
    "temperal_downsample": [True, True],
    "in_channels": 3 * PATCH**2,
    "out_channels": 3 * PATCH**2,
    "patch_size": PATCH,
    "scale_factor_temporal": 4,
    "scale_factor_spatial": 8,
}
Shapes = tuple[tuple[int, int], ...]
"""Of the videos that are encoded together: (videos, frames of each)."""
SHORT: tuple[Shapes, ...] = (((2, 1), (2, 5)), ((2, 1), (1, 9)), ((2, 1), (1, 13)))
"""What a batch of the first part may be: two stills, and videos."""
LONG: tuple[Shapes, ...] = (((2, 13),), ((1, 25),))
"""What a batch may be from then on. A convolution remembers two latent frames, and the next one what those remember: colours
that are right on short videos drift on longer ones. Training on up to 4 latent frames alone lost 27.3 dB of peak
signal-to-noise ratio at a clip's first frame and 24.6 dB from its 24th on."""
SHORT_SHARE = 0.5
"""Of the training, its first part."""
KL_WEIGHT = 1e-4
FIRST_LOGVAR = -5.0
"""Of the posterior, at the start: its noise must not hide what the first steps could learn."""
MOTION_WEIGHT = 1.0
"""Of the differences from frame to frame, against the frames themselves."""
DECODER_SHARE = 0.14
"""Of the training, its last part, in which the encoder is finished."""
LATENT_NOISE = 0.15
"""Largest standard deviation of the noise on the normalised latents in that part."""
NORMALISED_ON = 48
"""Videos of NORMALISED_FRAMES over which the latents' mean and standard deviation are taken."""
NORMALISED_FRAMES = 25
MEASURED_CLIPS, MEASURED_FRAMES = 24, 49
"""Clips that are measured, and frames of each."""


def make_wan_vae(mean: list[float] | None = None, std: list[float] | None = None) -> AutoencoderKLWan:
    """The network in its initial state, with the statistics of its latents.

    Its convolutions have their channels last in memory: on a CPU a training step takes 0.85 s in place of 1.1 s.
    """
    import torch
    from diffusers import AutoencoderKLWan

    channels = CONFIG["z_dim"]
    vae = AutoencoderKLWan(**CONFIG, latents_mean=mean or [0.0] * channels, latents_std=std or [1.0] * channels)
    formats = {4: torch.channels_last, 5: torch.channels_last_3d}
    for parameter in vae.parameters():
        if parameter.shape[2:].numel() > 1:
            parameter.data = parameter.data.to(memory_format=formats[parameter.ndim])
    begin_as_images(vae)
    return vae


def begin_as_images(vae: AutoencoderKLWan) -> None:
    """Initial weights with which every frame passes by itself, and none of what it holds is lost on the way.

    Convolutions keep the variance of their input and see the present only; residual blocks are the identity; two frames become
    one as their mean, and one two as copies. From torch's initial weights, training stays with one and the same picture for
    all for hundreds of steps, as what is particular to one drowns in biases.
    """
    import torch
    from torch import nn

    for name, layer in vae.named_modules():
        if not isinstance(layer, nn.Conv2d | nn.Conv3d):
            continue
        nn.init.zeros_(layer.bias)
        weight = torch.zeros_like(layer.weight)
        now = weight if weight.ndim == 4 else weight[:, :, -1]  # The last tap in time; those before remember.
        if name.endswith("time_conv"):
            inputs = weight.shape[1]
            if layer.stride[0] == 2:
                weight[:, :, 1:] = torch.eye(inputs)[:, :, None, None, None] / 2
            else:
                now[:] = torch.eye(inputs).repeat(2, 1)[:, :, None, None]
        elif not name.endswith(("conv2", "proj")):
            nn.init.normal_(now, std=now[0].numel() ** -0.5)
        layer.weight.data.copy_(weight)
    deviations = slice(vae.config.z_dim, None)
    vae.quant_conv.weight.data[deviations] *= 0.1
    vae.quant_conv.bias.data[deviations] = FIRST_LOGVAR


def load_wan_vae(path: Path) -> AutoencoderKLWan:
    """The trained network, float32, in eval mode; the statistics of its latents are metadata of the file."""
    from methods.tensor_files import read_metadata, read_state, require_match

    noted, state = read_metadata(path), read_state(path)
    vae = make_wan_vae(*(json.loads(noted.get(name, "null")) for name in ("latents_mean", "latents_std")))
    require_match(path, state, vae.state_dict())
    vae.load_state_dict(state)
    return vae.eval()


def train_wan_vae(data: Path, out: Path, recipe: Recipe, *, log: Callable[[str], None] = print) -> None:
    """Train on the arrays under `data` and write the weights to `out`; checkpoints lie beside it meanwhile, and what came of
    the parts that are done."""
    faces, short, long = FacePictures(data), *(out.with_suffix(f".{part}.safetensors") for part in ("short", "long"))
    if not long.is_file():
        if not short.is_file():
            train_both(None, faces, SHORT, _share(recipe, SHORT_SHARE), short, log)
        train_both(short, faces, LONG, _share(recipe, 1 - SHORT_SHARE - DECODER_SHARE), long, log)
    vae = load_wan_vae(long)
    steps = train_decoder(vae, faces, _share(recipe, DECODER_SHARE), out.with_suffix(".decoder.ckpt"), log)
    save_wan_vae(out, vae, _steps(long) | {"decoder_steps": steps, "seed": recipe.seed})
    short.unlink(missing_ok=True)
    long.unlink()


def train_both(
    start: Path | None,
    faces: FacePictures,
    batches: tuple[Shapes, ...],
    recipe: Recipe,
    out: Path,
    log: Callable[[str], None],
) -> None:
    """Train encoder and decoder, measure the statistics of the latents, and write it all to `out`, not rounded.

    Args:
        start: weights to begin with, those of the part before; None is the first part, which begins as `make_wan_vae` does.
        faces: to learn from.
        batches: what a batch may be.
        recipe: of this part.
        out: file of the weights; its name without the last suffix is that of the checkpoint.
    """
    seed_step(recipe.seed, 0)
    vae = load_wan_vae(start) if start else make_wan_vae()
    seed = recipe.seed + (start is not None)

    def loss(rng: np.random.Generator) -> torch.Tensor:
        return vae_loss(vae, draw(faces, batches, rng))

    steps = train(vae, loss, replace(recipe, seed=seed), checkpoint=out.with_suffix(".ckpt"), log=log)
    rng = seed_step(recipe.seed, steps + 1)
    normalise_latents(vae, faces.draw_videos(rng, NORMALISED_ON, NORMALISED_FRAMES).frames)
    done = _steps(start) | {"long_steps": steps} if start else {"short_steps": steps}
    save_wan_vae(out, vae, done, "float32")


def _steps(path: Path) -> dict[str, str]:
    """What a file says of the steps of each part."""
    from methods.tensor_files import read_metadata

    return {name: value for name, value in read_metadata(path).items() if name.endswith("_steps")}


def draw(faces: FacePictures, batches: tuple[Shapes, ...], rng: np.random.Generator) -> list[Faces]:
    """A batch: for each of its shapes, stills as videos of one frame, or videos."""

    def some(count: int, frames: int) -> Faces:
        if frames == 1:
            return Faces(*(values[:, None] for values in faces.draw_stills(rng, count)))
        return faces.draw_videos(rng, count, frames)

    return [some(*shape) for shape in batches[rng.integers(len(batches))]]


def vae_loss(vae: AutoencoderKLWan, batch: list[Faces]) -> torch.Tensor:
    """Scalar loss of videos uint8 (n, N, H, W, 3) with landmarks (n, N, 478, 2), several lengths N side by side."""
    import torch

    made, divergence, latents = [], 0.0, 0
    for videos in batch:
        pixels = video_pixels(videos.frames)
        with torch.autocast("cpu", torch.bfloat16):
            mean, logvar = moments(vae, pixels)
            made.append(pixels_of(vae, mean + (0.5 * logvar).exp() * torch.randn_like(mean)))
        divergence = divergence + 0.5 * (mean**2 + logvar.exp() - 1 - logvar).sum()
        latents += mean.numel()
    return reconstruction_loss(made, batch) + KL_WEIGHT * divergence / latents


def train_decoder(
    vae: AutoencoderKLWan, faces: FacePictures, recipe: Recipe, checkpoint: Path | None, log: Callable[[str], None]
) -> int:
    """Train `decoder` and `post_quant_conv`; returns the steps done."""
    import torch

    _, std = statistics(vae)

    def loss(rng: np.random.Generator) -> torch.Tensor:
        batch, made = draw(faces, LONG, rng), []
        for videos in batch:
            with torch.autocast("cpu", torch.bfloat16):
                with torch.no_grad():
                    mean, _ = moments(vae, video_pixels(videos.frames))
                noise = torch.rand(len(mean), 1, 1, 1, 1) * LATENT_NOISE * std
                made.append(pixels_of(vae, mean + noise * torch.randn_like(mean)))
        return reconstruction_loss(made, batch)

    decoder = torch.nn.ModuleList([vae.decoder, vae.post_quant_conv])
    steps = train(decoder, loss, replace(recipe, seed=recipe.seed + 2), checkpoint=checkpoint, log=log)
    vae.eval()
    return steps


def reconstruction_loss(made: list[Tensor], batch: list[Faces]) -> torch.Tensor:
    """`picture_loss` over all frames, and the weighted L1 of what changes from frame to frame.

    Args:
        made: float (n, 3, N, H, W) for every entry of `batch`.
    """
    import torch

    pixels = [video_pixels(videos.frames) for videos in batch]
    frames, truth = (
        torch.cat([some.transpose(1, 2).flatten(0, 1).float() for some in both]) for both in (made, pixels)
    )
    landmarks = np.concatenate([videos.landmarks.reshape(-1, *videos.landmarks.shape[2:]) for videos in batch])
    loss = picture_loss(frames, truth, landmarks)
    for some, wanted, videos in zip(made, pixels, batch, strict=True):
        if (count := some.shape[2]) > 1:
            change = (some.float() - wanted).diff(dim=2).abs()
            points = videos.landmarks[:, 1:].reshape(-1, *videos.landmarks.shape[2:])
            weights = torch.from_numpy(feature_weights(points, wanted.shape[3:])).unflatten(0, (-1, count - 1))
            loss = loss + MOTION_WEIGHT * (weights[:, None] * change).mean()
    return loss


def moments(vae: AutoencoderKLWan, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and log variance (n, c, T, h, w), not normalised, of pixels (n, 3, N, H, W), with a graph."""
    import torch

    step = encoder_step(vae)
    return torch.cat([step(piece) for piece in _first_and_rest(pixels)], dim=2).float().chunk(2, dim=1)


def pixels_of(vae: AutoencoderKLWan, latents: Tensor) -> Tensor:
    """Pixels (n, 3, N, H, W) of latents that are not normalised, with a graph; not cut to [-1, 1]."""
    import torch

    step = decoder_step(vae)
    return torch.cat([step(piece) for piece in _first_and_rest(latents)], dim=2)


def _first_and_rest(video: Tensor) -> tuple[Tensor, ...]:
    """Frame 0 of (n, c, T, h, w), which the network treats as none after it, and the others, if there are any."""
    return video.tensor_split([1], dim=2) if video.shape[2] > 1 else (video,)


def video_pixels(videos: np.ndarray) -> Tensor:
    """float32 (n, 3, N, H, W) in [-1, 1] of uint8 (n, N, H, W, 3)."""
    frames = to_pixels(videos.reshape(-1, *videos.shape[2:]))
    return frames.unflatten(0, videos.shape[:2]).transpose(1, 2)


def normalise_latents(vae: AutoencoderKLWan, videos: np.ndarray) -> None:
    """Put mean and standard deviation over these videos of every channel into the config; the network stays what it was."""
    channels = vae.config.z_dim
    vae.register_to_config(latents_mean=[0.0] * channels, latents_std=[1.0] * channels)
    means = encode(vae, videos)[0]
    vae.register_to_config(latents_mean=means.mean((0, 2, 3, 4)).tolist(), latents_std=means.std((0, 2, 3, 4)).tolist())


def save_wan_vae(path: Path, vae: AutoencoderKLWan, notes: dict[str, object], stored: str = "int8") -> None:
    """Write the weights, in 8 bits unless said otherwise, with the statistics of the latents and notes as metadata."""
    from methods.tensor_files import write_state

    noted = {name: json.dumps([round(x, 5) for x in vae.config[name]]) for name in ("latents_mean", "latents_std")}
    noted |= {"encoder": "synth_wan_vae"} | {name: str(value) for name, value in notes.items()}
    write_state(path, vae.state_dict(), noted, stored)


def _share(recipe: Recipe, share: float) -> Recipe:
    """A recipe of a share of the time."""
    minutes = None if recipe.minutes is None else share * recipe.minutes
    steps = None if recipe.steps is None else max(1, round(share * recipe.steps))
    return replace(recipe, minutes=minutes, steps=steps)


def measure_wan_vae(path: Path, data: Path) -> dict[str, float]:
    """What is lost between frames and the decoded means of their latents.

    Args:
        path: the weights.
        data: folder of arrays of people it has not learned from.

    Returns:
        psnr: of all pixels, dB, over MEASURED_FRAMES of MEASURED_CLIPS; psnr_features: of those in the boxes around eyes,
            brows and mouth.
        latent_std: standard deviation of the normalised latents; posterior_std: mean of their posteriors'.
    """
    vae = load_wan_vae(path)
    faces = FacePictures(data).first_clips(MEASURED_CLIPS, MEASURED_FRAMES)
    means, stds = encode(vae, faces.frames)
    everywhere, features = [], []
    for frames, landmarks, latents in zip(*faces, means, strict=True):
        squares = (np.concatenate(list(decode(vae, latents))).astype(np.float32) - frames) ** 2
        weights = feature_weights(landmarks, frames.shape[1:3])
        everywhere.append(squares.mean())
        features.append(squares[weights == weights.max((1, 2), keepdims=True)].mean())
    return {
        "psnr": float(10 * np.log10(255**2 / np.mean(everywhere))),
        "psnr_features": float(10 * np.log10(255**2 / np.mean(features))),
        "latent_std": float(means.std()),
        "posterior_std": float(stds.mean()),
    }
