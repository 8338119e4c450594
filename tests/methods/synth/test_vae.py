"""The small autoencoder. Oracles: diffusers' AutoencoderKL, arithmetic, and rendered frames of unseen people."""

import numpy as np
import torch
from diffusers import AutoencoderKL

from bench.media.landmarks import OUTER_LIPS, SILHOUETTE
from methods.conditioning.vae import to_pixels
from methods.synth.vae import (
    CONFIG,
    FEATURE_WEIGHT,
    SCENE_WEIGHT,
    feature_weights,
    make_vae,
    normalise_latents,
    vae_loss,
)


def test_is_diffusers_autoencoder_of_patches(frames):
    torch.manual_seed(0)
    ours = make_vae().eval()
    theirs = AutoencoderKL(**CONFIG).eval()
    theirs.load_state_dict(ours.state_dict())
    pixels = to_pixels(frames[:2])
    with torch.inference_mode():
        latents = ours.encode(pixels).latent_dist.mean
        assert latents.shape == (2, 8, 16, 16)
        # einops' "n c (h p) (w q) -> n (c p q) h w"
        patches = pixels.reshape(2, 3, 32, 4, 32, 4).permute(0, 1, 3, 5, 2, 4).reshape(2, 48, 32, 32)
        torch.testing.assert_close(latents, theirs.encode(patches).latent_dist.mean, atol=1e-5, rtol=1e-5)
        decoded = (
            theirs.decode(latents).sample.reshape(2, 3, 4, 4, 32, 32).permute(0, 1, 4, 2, 5, 3).reshape(2, 3, 128, 128)
        )
        torch.testing.assert_close(ours.decode(latents).sample, decoded, atol=1e-5, rtol=1e-5)
        assert torch.equal(ours.decode(latents, return_dict=False)[0], ours.decode(latents).sample)


def test_normalising_changes_latents_but_not_pictures(frames):
    torch.manual_seed(0)
    vae, pixels = make_vae().eval(), to_pixels(frames)
    with torch.inference_mode():
        before = vae.encode(pixels).latent_dist
        pictures = vae.decode(before.mean).sample
    normalise_latents(vae, frames)
    with torch.inference_mode():
        after = vae.encode(pixels).latent_dist
        torch.testing.assert_close(vae.decode(after.mean).sample, pictures, atol=1e-4, rtol=1e-4)
        # The posterior moves along: its noise is as large relative to the latents as before.
        ratio = before.mean.std((0, 2, 3)) / after.mean.std((0, 2, 3))
        torch.testing.assert_close(before.std.mean((0, 2, 3)) / after.std.mean((0, 2, 3)), ratio, atol=1e-3, rtol=1e-3)
        spread = (after.mean.var((0, 2, 3)) + (after.std**2).mean((0, 2, 3))) ** 0.5
    torch.testing.assert_close(spread, torch.ones(8), atol=0.05, rtol=0)


def test_features_count_more():
    points = np.full((1, 478, 2), 64.0, np.float32)
    points[0, list(SILHOUETTE)] = np.stack([np.linspace(30, 100, len(SILHOUETTE))] * 2, 1)
    points[0, list(OUTER_LIPS)] = np.stack([np.linspace(50, 60, 20), np.linspace(80, 84, 20)], 1)
    weights = feature_weights(points, (128, 128))[0]
    assert abs(weights.mean() - 1) < 1e-5
    np.testing.assert_allclose(weights[82, 55] / weights[40, 40], FEATURE_WEIGHT, rtol=1e-5)
    np.testing.assert_allclose(weights[5, 5] / weights[40, 40], SCENE_WEIGHT, rtol=1e-5)
    assert weights[82, 46] == weights[82, 55] and weights[82, 45] == weights[40, 40]  # A margin of 4 px.


def test_loss_reaches_every_parameter(frames, rendered):
    torch.manual_seed(0)
    vae = make_vae()
    vae_loss(vae, frames[:2], rendered[0].landmarks[[0, 8]]).backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in vae.parameters())


def test_shipped_autoencoder_keeps_unseen_faces(encoders, frames):
    """Goal: PSNR of 27 dB, and latents with the scale diffusion expects."""
    mean, std = encoders.encode(frames)
    again = encoders.decode(mean)
    assert again.shape == frames.shape and again.dtype == np.uint8
    psnr = 10 * np.log10(255**2 / np.mean((again.astype(float) - frames) ** 2))
    assert psnr > 27
    assert 0.7 < mean.std() < 1.3 and abs(mean.mean()) < 0.2 and std.mean() < 0.5
