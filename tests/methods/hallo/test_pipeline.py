"""What only Hallo does: region masks, face locator, motion scale, DDIM of velocities. Oracles are named at the tests."""

import json

import numpy as np
import pytest
import torch

from methods.conditioning.masks import face_mask, region_masks
from methods.hallo.config import HalloConfig
from methods.hallo.pipeline import HalloPipeline
from tests.methods.fakes import FakeEncoders, request, tiny_hallo, video


@pytest.fixture(scope="module")
def modules():
    return tiny_hallo()


def pipeline(modules, **settings) -> HalloPipeline:
    return HalloPipeline(modules, FakeEncoders(), HalloConfig(**{"steps": 1, "dtype": "float32", **settings}))


def conditions(made: HalloPipeline):
    portrait = made.read(request(8))
    return made.clip_conditions(portrait, slice(0, 8), np.repeat(portrait.picture[None], 2, axis=0))


def test_time_steps_and_noise_levels_are_the_published_ones(golden, modules):
    """Oracle: DDIMScheduler of diffusers 0.27.2 as Hallo configures it, dumped."""
    table = json.loads((golden / "schedulers_diffusers_0.27.2.json").read_text())["hallo_ddim"]
    scheduler = pipeline(modules).scheduler
    scheduler.set_timesteps(HalloConfig().steps)
    assert scheduler.timesteps.tolist() == table["timesteps"]
    levels = torch.tensor(table["alphas_cumprod[::111]"])
    torch.testing.assert_close(scheduler.alphas_cumprod[::111], levels, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("scale", [0.0, 1.0, 3.5])
@pytest.mark.parametrize("steps", [1, 40])
def test_guidance_and_steps_on_a_known_velocity(modules, scale, steps):
    """A step with velocity v turns latents x by the angle d between two noise levels: x cos d - v sin d. Scale 0 is the
    null row's velocity, 1 the other's."""
    made = pipeline(modules, guidance_scale=scale, steps=steps)
    null, human = torch.randn(2, 1, 16, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    made.predict = lambda *_: (null, human)
    ends = []
    made.encoders.decode = lambda latents: ends.append(latents) or np.zeros((16, 64, 64, 3), np.uint8)
    video(made(request(16)))
    velocity = {0.0: null, 1.0: human, 3.5: 3.5 * human - 2.5 * null}[scale]
    expected = torch.randn((1, 4, 16, 8, 8), generator=torch.Generator().manual_seed(0)).transpose(1, 2)
    angles = made.scheduler.alphas_cumprod[range(999, 0, -1000 // steps)].double().sqrt().acos().tolist()
    for high, low in zip(angles, [*angles[1:], 0.0], strict=True):
        expected = expected * np.cos(high - low) - velocity * np.sin(high - low)
    torch.testing.assert_close(ends[0], expected[0], rtol=1e-4, atol=1e-4)


def test_a_pair_of_rows_is_nothing_then_everything(modules):
    pair = conditions(pipeline(modules, frames_per_clip=8, motion_scale=(1.0, 0.7, 1.3)))
    assert pair.use_reference.tolist() == [False, True]
    assert not pair.audio[0].any() and pair.audio[1].any()
    assert not pair.face_mask[0].any() and pair.face_mask[1].any()
    assert torch.equal(pair.face[0], modules.imageproj(torch.zeros(1, 8))[0])
    assert not torch.equal(pair.face[0], pair.face[1])
    assert pair.motion_scale == (1.0, 0.7, 1.3)


def test_masks_are_of_the_face_that_was_read(modules):
    """Oracle: the regions of the same boxes, in both rows and all frames; the locator on the same picture."""
    made = pipeline(modules, frames_per_clip=8)
    face = made.encoders.read_face(request(8).reference)
    pair = conditions(made)
    for found, expected in zip(pair.masks, region_masks(face.face_box, face.lip_box, (8, 4, 2), size=64), strict=True):
        for mask, region in zip(found, expected, strict=True):
            np.testing.assert_array_equal(mask.numpy(), np.broadcast_to(region, (2, 8, len(region))))
    located = modules.face_locator(torch.from_numpy(face_mask(face.face_box, 64))[None])
    assert torch.equal(pair.face_mask[1], located.expand(8, -1, -1, -1))


def test_predictions_are_those_of_single_rows():
    """Oracle: the denoiser with one row at a time. In the published order of references rows of a pair mix."""
    made = pipeline(tiny_hallo(official_row_order=False), frames_per_clip=8)
    pair = conditions(made)
    latents = torch.randn(1, 8, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found = made.predict(latents, torch.tensor(500), pair)
        for row, prediction in enumerate(found):
            expected = made.modules.denoiser(latents, 500, pair[[row]])
            torch.testing.assert_close(prediction, expected, rtol=1e-4, atol=1e-5)
    assert (found[0] - found[1]).norm() > 0.01 * found[1].norm()


def test_motion_scale_and_motion_frames_change_the_frames(modules):
    plain = video(pipeline(modules)(request(16)))
    assert (video(pipeline(modules, motion_scale=(1.0, 1.0, 3.0))(request(16))) != plain).any()
    assert (video(pipeline(modules, motion_frames=1)(request(16))) != plain).any()
