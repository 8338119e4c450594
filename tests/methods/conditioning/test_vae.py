"""Frames through the autoencoder.

Oracles: diffusers' AutoencoderKL called once on everything; its own conversion of old files; published sizes.
"""

import json

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL
from safetensors.torch import load_file, save_file

from methods.conditioning import vae as module

TINY = {**module.SD_VAE, "block_out_channels": (8, 8, 16, 16), "norm_num_groups": 4, "layers_per_block": 1}


@pytest.fixture(scope="module")
def vae():
    torch.manual_seed(0)
    return AutoencoderKL(**TINY).eval()


@pytest.fixture
def frames():
    return np.random.default_rng(0).integers(0, 256, (5, 64, 48, 3), np.uint8)


@pytest.mark.parametrize("per_slice", [1, 2, 5, 100])
def test_slices_equal_the_whole(vae, frames, per_slice, monkeypatch):
    """Oracle: one call of the autoencoder on all frames, scaled by 0.18215 by hand."""
    monkeypatch.setattr(module, "SLICE_LATENTS", per_slice * 8 * 6)
    mean, std = module.encode(vae, frames)
    with torch.inference_mode():
        pixels = torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255 * 2 - 1
        posterior = vae.encode(pixels).latent_dist
        decoded = vae.decode(posterior.mean).sample.permute(0, 2, 3, 1)
    assert mean.shape == std.shape == (5, 4, 8, 6) and mean.dtype == torch.float32
    torch.testing.assert_close(mean, posterior.mean * 0.18215, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(std, posterior.std * 0.18215, rtol=1e-4, atol=1e-5)
    made = module.decode(vae, mean)
    assert made.shape == frames.shape and made.dtype == np.uint8
    expected = ((decoded / 2 + 0.5).clamp(0, 1) * 255).numpy()
    assert np.abs(made - expected).max() <= 0.51


def test_no_pass_is_larger_than_a_slice(vae, frames, monkeypatch):
    """Oracle: the batch sizes the autoencoder sees."""
    monkeypatch.setattr(module, "SLICE_LATENTS", 2 * 8 * 6)
    seen = []
    for name in ("encode", "decode"):
        call = getattr(vae, name)
        monkeypatch.setattr(vae, name, lambda x, call=call: seen.append(len(x)) or call(x))
    mean, _ = module.encode(vae, frames)
    module.decode(vae, mean)
    assert seen == [2, 2, 1, 2, 2, 1]


def test_pixels_there_and_back(frames):
    """Oracle: the identity; and the ends of the range."""
    pixels = module.to_pixels(frames)
    assert pixels.shape == (5, 3, 64, 48) and float(pixels.min()) == -1 and float(pixels.max()) == 1
    np.testing.assert_array_equal(module.to_frames(pixels), frames)
    assert module.to_frames(torch.full((1, 3, 1, 1), 1.5)).tolist() == [[[[255] * 3]]]


def test_old_names_equal_diffusers_conversion(vae, frames, tmp_path):
    """Oracle: AutoencoderKL.from_pretrained, which converts such files itself; sd-vae-ft-mse is one."""
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    state = {}
    for name, value in vae.state_dict().items():
        for present, before in old.items():
            name = name.replace(f"attentions.0.{present}.", f"attentions.0.{before}.")
        state[name] = value.clone()
    assert "decoder.mid_block.attentions.0.proj_attn.bias" in state
    save_file(state, tmp_path / "diffusion_pytorch_model.safetensors", {"format": "pt"})
    (tmp_path / "config.json").write_text(json.dumps({**TINY, "_class_name": "AutoencoderKL"}))
    theirs = AutoencoderKL.from_pretrained(tmp_path).state_dict()
    ours = module.attention_names(load_file(tmp_path / "diffusion_pytorch_model.safetensors"))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert module.attention_names(theirs).keys() == theirs.keys()


def test_published_size():
    """Oracle: the published file, 334.6 MB of float32 (83,653,863 parameters)."""
    with torch.device("meta"):
        vae = AutoencoderKL(**module.SD_VAE)
    assert sum(parameter.numel() for parameter in vae.parameters()) == 83_653_863
