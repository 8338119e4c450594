"""Oracle: names and shapes of the published checkpoints' tensors (`golden`, written from the official classes)."""

import json
from collections.abc import Callable

import pytest
import torch
from torch import nn

from methods.talking_unet.conditions import Conditions
from methods.talking_unet.projections import AudioProjection, FaceLocator, ImageProjection
from methods.talking_unet.reference import ReferenceNet
from methods.talking_unet.sizes import HALLO_FULL, HALLO_SYNTH, MEMO_FULL, MEMO_SYNTH
from methods.talking_unet.unet import TalkingUNet

NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "memo_diffusion_net": lambda: TalkingUNet(**MEMO_FULL["denoiser"]),
    "memo_reference_net": lambda: ReferenceNet(**MEMO_FULL["reference"]),
    "memo_image_proj": lambda: ImageProjection(**MEMO_FULL["image_projection"]),
    "memo_audio_proj": lambda: AudioProjection(**MEMO_FULL["audio_projection"]),
    "hallo_denoising_unet": lambda: TalkingUNet(**HALLO_FULL["denoiser"]),
    "hallo_reference_unet": lambda: ReferenceNet(**HALLO_FULL["reference"]),
    "hallo_imageproj": lambda: ImageProjection(**HALLO_FULL["image_projection"]),
    "hallo_audioproj": lambda: AudioProjection(**HALLO_FULL["audio_projection"]),
    "hallo_face_locator": lambda: FaceLocator(**HALLO_FULL["face_locator"]),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_full_size_has_the_published_names_and_shapes(golden, name):
    manifest = json.loads((golden / f"{name}_keys.json").read_text())
    with torch.device("meta"):
        ours = {key: list(x.shape) for key, x in NETWORKS[name]().state_dict().items()}
    assert ours == {key: entry["shape"] for key, entry in manifest["keys"].items()}
    assert sum(torch.Size(shape).numel() for shape in ours.values()) == manifest["n_params"]


@pytest.mark.parametrize(("sizes", "sites"), [(MEMO_FULL, 16), (HALLO_FULL, 16), (MEMO_SYNTH, 7), (HALLO_SYNTH, 7)])
def test_attention_sites_are_those_of_the_stock_model(sizes, sites):
    """Oracle: diffusers' own list of spatial transformers, which lists the middle last."""
    with torch.device("meta"):
        unet = TalkingUNet(**sizes["denoiser"])
    stock = {
        name.removesuffix(".transformer_blocks.0.attn1.processor")
        for name in unet.attn_processors
        if "audio" not in name and "motion" not in name and "attn1" in name
    }
    assert set(unet.au_sites) == stock
    assert len(unet.au_sites) == sites
    assert all(unet.get_submodule(site).in_channels == channels for site, channels in unet.au_sites.items())


@pytest.mark.parametrize("sizes", [MEMO_SYNTH, HALLO_SYNTH])
def test_small_denoisers_stay_within_three_and_a_half_million_parameters(sizes):
    """Oracle: the budget of the rendered world's main job."""
    with torch.device("meta"):
        assert sum(x.numel() for x in TalkingUNet(**sizes["denoiser"]).parameters()) <= 3_500_000


@pytest.mark.parametrize(("sizes", "past"), [(MEMO_FULL, 16), (HALLO_FULL, 2)])
def test_a_full_size_guidance_pair_runs_without_data(sizes, past):
    """Oracle: tensors without data, which stop Python that depends on them; and MEMO's memory as computed by hand."""
    rows, frames, side = 2, 16, 64
    with torch.device("meta"), torch.no_grad():
        face = ImageProjection()(torch.zeros(rows, 512))
        unet = TalkingUNet(**sizes["denoiser"])
        memo = unet.config.base == "memo"
        areas = [(side >> level) ** 2 for level in range(4)]
        pair = Conditions(
            face=face,
            reference=ReferenceNet(**sizes["reference"])(torch.zeros(rows, 1 + past, 4, side, side), face),
            use_reference=torch.zeros(rows, dtype=torch.bool),
            audio=AudioProjection()(torch.zeros(rows, frames, 5, 12, 768)),
            masks=tuple((torch.zeros(rows, frames, area),) * 3 for area in areas),
            face_mask=None if memo else torch.zeros(rows, frames, 320, side, side),
            emotion=torch.zeros(rows, dtype=torch.int64),
        )
        memory = unet.remember(pair.reference) if memo else None
        prediction = unet(torch.zeros(rows, frames, 4, side, side), torch.zeros(()), pair, memory)
    assert prediction.shape == (rows, frames, 4, side, side)
    if memo:
        products = sum(kv.numel() for pairs in memory.sites.values() for kv, _ in pairs)
        assert products == 2 * rows * (5 * 4096 * 320 * 40 + 5 * 1024 * 640 * 80 + (5 * 256 + 6 * 64) * 1280 * 160)
