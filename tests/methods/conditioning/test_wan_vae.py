"""Wan2.1's autoencoder in pieces. Oracles: the official dumps, and diffusers' own encode and decode of whole videos."""

import gc
import json

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKLWan
from safetensors.torch import load_file

from methods.conditioning import wan_vae
from methods.conditioning.wan_vae import Tiling

PATCHED = {
    "base_dim": 8, "dim_mult": [1, 2, 2], "num_res_blocks": 1, "temperal_downsample": [True, True],
    "in_channels": 12, "out_channels": 12, "patch_size": 2, "scale_factor_spatial": 8,
}  # fmt: skip
"""In patches, as the small one of the rendered world."""


def network(**sizes) -> AutoencoderKLWan:
    """Random, with statistics of latents that a mistake would show."""
    torch.manual_seed(0)
    plain = {"base_dim": 8, "num_res_blocks": 1}
    vae = AutoencoderKLWan(
        **(sizes or plain), z_dim=4, latents_mean=[0.5, -1.0, 0.0, 2.0], latents_std=[2.0, 0.5, 1.0, 3.0]
    )
    return vae.eval().requires_grad_(False)


def frames(count: int, height: int = 32, width: int = 40) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, height, width, 3), np.uint8)


def whole_pixels(video: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(video).permute(3, 0, 1, 2)[None].float() / 127.5 - 1


@pytest.fixture(scope="module")
def official(golden):
    state = load_file(golden / "wan_vae_tiny_state_dict.safetensors")
    return wan_vae.vae_from_state(state), load_file(golden / "wan_vae_tiny_io.safetensors")


def test_official_dump(official):
    """Oracle: Wan2.1's own code on the same weights."""
    vae, dump = official
    pieces = dump["in/x"].split([1, 4, 4], dim=2)
    mean, _ = wan_vae._posterior(vae, pieces, None)
    torch.testing.assert_close(mean, dump["out/z"], rtol=0, atol=1e-6)
    made = torch.cat(list(wan_vae.decoded_pieces(vae, dump["out/z"])), dim=2)
    torch.testing.assert_close(made, dump["out/y"], rtol=0, atol=1e-5)


def test_official_file(golden):
    """Oracle: the manifest of Wan2.1_VAE.pth, on the meta device, and the defaults of diffusers' class, which are Wan2.1's."""
    listed = json.loads((golden / "wan21_vae_native_keys.json").read_text())["keys"]
    shapes = {name: tuple(entry["shape"]) for name, entry in listed.items()}
    with torch.device("meta"):
        expected = AutoencoderKLWan()
        vae = AutoencoderKLWan(**wan_vae.vae_sizes(shapes))
        state = wan_vae.to_diffusers_vae({name: torch.empty(shape) for name, shape in shapes.items()})
    assert len(state) == 194
    vae.load_state_dict(state, strict=True, assign=True)
    names = [name for name in expected.config if not name.startswith("_")]
    assert {name: vae.config[name] for name in names} == {name: expected.config[name] for name in names}


@pytest.mark.parametrize("sizes", [{}, PATCHED], ids=["plain", "patches"])
def test_pieces_equal_the_whole(sizes):
    """Oracle: diffusers on the whole video; means, deviations and pixels."""
    vae, video = network(**sizes), frames(13)
    mean, std = wan_vae.encode(vae, video[None])
    assert mean.shape == std.shape == (1, 4, 4, 4, 5) and mean.dtype == torch.float32
    posterior = vae.encode(whole_pixels(video)).latent_dist
    shift, scale = (torch.tensor(vae.config[name]).view(-1, 1, 1, 1) for name in ("latents_mean", "latents_std"))
    torch.testing.assert_close(mean, (posterior.mean - shift) / scale, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(std, posterior.std / scale, rtol=1e-5, atol=1e-5)
    pieces = list(wan_vae.decode(vae, mean[0]))
    assert [len(piece) for piece in pieces] == [1, 4, 4, 4] and pieces[0].dtype == np.uint8
    expected = (vae.decode(posterior.mean).sample[0] + 1) * 127.5
    made = np.concatenate(pieces).astype(int)
    assert np.abs(made - expected.permute(1, 2, 3, 0).numpy()).max() < 0.51


def test_a_batch_equals_its_videos(monkeypatch):
    """Oracle: one after the other; two pass at once, the third alone."""
    vae, videos = network(), frames(15).reshape(3, 5, 32, 40, 3)
    monkeypatch.setattr(wan_vae, "BATCH_LATENTS", 45)
    mean, std = wan_vae.encode(vae, videos)
    for number, video in enumerate(videos):
        alone, spread = wan_vae.encode(vae, video[None])
        torch.testing.assert_close(mean[number], alone[0], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(std[number], spread[0], rtol=1e-4, atol=1e-5)


def test_known_is_the_reference_and_grey():
    """Oracle: diffusers on the video that is meant, which has no value in uint8: 0 of [-1, 1] is 127.5."""
    vae, references = network(), frames(2)
    known = wan_vae.encode_known(vae, references, 9)
    video = torch.zeros(2, 3, 9, 32, 40)
    video[:, :, 0] = torch.from_numpy(references).permute(0, 3, 1, 2) / 127.5 - 1
    shift, scale = wan_vae.statistics(vae)
    torch.testing.assert_close(known, (vae.encode(video).latent_dist.mean - shift) / scale, rtol=1e-4, atol=1e-5)
    joined = wan_vae.with_mask(known)
    assert joined.shape == (2, 8, 3, 4, 5) and torch.equal(joined[:, 4:], known)
    assert (joined[:, :4, 0] == 1).all() and (joined[:, :4, 1:] == 0).all()


def test_tiles_equal_those_of_diffusers():
    """Oracle: diffusers' tiled encode and decode; two rows and three columns of tiles, the last cut off."""
    vae, video, tiling = network(), frames(5, 40, 72), Tiling(size=32, stride=24)
    plain = wan_vae.encode(vae, video[None])[0]
    tiled = wan_vae.encode(vae, video[None], tiling)[0]
    made = np.concatenate(list(wan_vae.decode(vae, tiled[0], tiling))).astype(int)
    vae.enable_tiling(32, 32, 24, 24)
    posterior = vae.encode(whole_pixels(video)).latent_dist
    shift, scale = wan_vae.statistics(vae)
    torch.testing.assert_close(tiled, (posterior.mean - shift) / scale, rtol=1e-4, atol=1e-5)
    assert (tiled - plain).abs().max() > 1e-3  # A tile does not see beyond its edge.
    expected = (vae.decode(tiled * scale + shift).sample[0] + 1) * 127.5
    assert np.abs(made - expected.permute(1, 2, 3, 0).numpy()).max() < 0.51


def test_small_pictures_are_not_cut():
    """Oracle: the same without tiles."""
    vae, video = network(), frames(5)
    mean, _ = wan_vae.encode(vae, video[None], Tiling(size=40, stride=16))
    torch.testing.assert_close(mean, wan_vae.encode(vae, video[None])[0], rtol=0, atol=0)


def test_memory_does_not_grow():
    """Oracle: the tensors that are alive after each piece; a piece is thrown away like a frame that was written."""
    sizes = {}
    for piece, _ in enumerate(wan_vae.decode(network(), torch.zeros(4, 8, 2, 2))):
        if piece in (0, 2, 7):
            sizes[piece] = sum(part.numel() for part in gc.get_objects() if type(part) is torch.Tensor)
    assert sizes[0] < sizes[2] == sizes[7]


@pytest.mark.parametrize("count", [0, 2, 4, 8, 80])
def test_other_lengths_are_refused(count):
    with pytest.raises(ValueError, match=f"{count} frames are no whole latent frames"):
        wan_vae.whole_latents(count)


def test_lengths():
    """Oracle: the published pairs (81 frames are 21 latent frames)."""
    pairs = [(1, 1), (5, 2), (25, 7), (49, 13), (81, 21)]
    assert [(n, wan_vae.whole_latents(n)) for n, _ in pairs] == pairs
