"""What only MEMO does: memory over clips, emotion per clip, flow matching. Oracles are named at the tests."""

import json

import numpy as np
import pytest
import torch

from methods.memo.config import MemoConfig
from methods.memo.pipeline import MemoPipeline
from tests.methods.fakes import FakeEncoders, request, tiny_memo, video


@pytest.fixture(scope="module")
def modules():
    return tiny_memo()


def pipeline(modules, encoders=None, **settings) -> MemoPipeline:
    return MemoPipeline(modules, encoders or FakeEncoders(), MemoConfig(**{"steps": 1, "dtype": "float32", **settings}))


def conditions(made: MemoPipeline):
    portrait = made.read(request(8))
    past = np.repeat(portrait.picture[None], 2, axis=0)
    return made.clip_conditions(portrait, slice(0, 8), past, emotion=3)


def test_time_steps_and_noise_levels_are_the_published_ones(golden, modules):
    """Oracle: FlowMatchEulerDiscreteScheduler of diffusers 0.31, dumped."""
    table = json.loads((golden / "schedulers_diffusers_0.31.0.json").read_text())["memo_flow"]
    scheduler = pipeline(modules).scheduler
    scheduler.set_timesteps(MemoConfig().steps)
    torch.testing.assert_close(scheduler.timesteps, torch.tensor(table["timesteps"]), rtol=1e-6, atol=1e-4)
    torch.testing.assert_close(scheduler.sigmas, torch.tensor(table["sigmas"]), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("scale", [0.0, 1.0, 3.5])
@pytest.mark.parametrize("steps", [1, 20])
def test_guidance_and_steps_on_a_known_velocity(modules, scale, steps):
    """Where noise minus latents is the same u at all times, the end is the noise minus u. Scale 0 is the null row's, 1 the
    other's."""
    made = pipeline(modules, guidance_scale=scale, steps=steps)
    null, human = torch.randn(2, 1, 16, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    made.predict = lambda *_: (null, human)
    ends = []
    made.encoders.decode = lambda latents: ends.append(latents) or np.zeros((16, 64, 64, 3), np.uint8)
    video(made(request(16)))
    noise = torch.randn((1, 4, 16, 8, 8), generator=torch.Generator().manual_seed(0)).transpose(1, 2)
    expected = noise - {0.0: null, 1.0: human, 3.5: 3.5 * human - 2.5 * null}[scale]
    torch.testing.assert_close(ends[0], expected[0], rtol=1e-4, atol=1e-4)


def test_a_pair_of_rows_is_nothing_then_everything(modules):
    pair = conditions(pipeline(modules, frames_per_clip=8))
    assert pair.use_reference.tolist() == [False, True]
    assert pair.emotion.tolist() == [9, 3]
    assert not pair.audio[0].any() and pair.audio[1].any()
    assert torch.equal(pair.face[0], modules.image_proj(torch.zeros(1, 8))[0])
    assert not torch.equal(pair.face[0], pair.face[1])
    assert pair.aus is None


def test_predictions_are_those_of_single_rows():
    """Oracle: the denoiser with one row at a time. In the published order of references rows of a pair mix."""
    made = pipeline(tiny_memo(official_row_order=False), frames_per_clip=8)
    denoiser, pair = made.modules.denoiser, conditions(made)
    latents = torch.randn(1, 8, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found = made.predict(latents, torch.tensor(500.0), pair, denoiser.remember(pair.reference))
        for row, prediction in enumerate(found):
            alone = pair[[row]]
            expected = denoiser(latents, 500.0, alone, denoiser.remember(alone.reference))
            torch.testing.assert_close(prediction, expected, rtol=1e-4, atol=1e-5)
    assert (found[0] - found[1]).norm() > 0.01 * found[1].norm()


def test_the_memory_goes_from_clip_to_clip_and_starts_anew_with_a_video(modules, monkeypatch):
    made, calls = pipeline(modules), []

    def remember(reference, memory=None):
        calls.append((memory, type(modules.denoiser).remember(modules.denoiser, reference, memory)))
        return calls[-1][1]

    monkeypatch.setattr(modules.denoiser, "remember", remember)
    first = video(made(request(40)))
    video(made(request(17)))
    assert [before is None for before, _ in calls] == [True, False, False, True, False]
    for (_, after), (before, _) in ((calls[0], calls[1]), (calls[1], calls[2]), (calls[3], calls[4])):
        assert before is after
    monkeypatch.setattr(
        modules.denoiser,
        "remember",
        lambda reference, memory: type(modules.denoiser).remember(modules.denoiser, reference),
    )
    forgetful = video(made(request(40)))
    np.testing.assert_array_equal(forgetful[:16], first[:16])
    assert (forgetful[16:] != first[16:]).any()


def test_past_frames_reach_beyond_the_last_clip(modules):
    """Six past frames over clips of four: two of the clip before the last one."""
    made = pipeline(modules, frames_per_clip=4, past_frames=6)
    asked = request(12)
    video(made(asked))
    encoded, decoded = made.encoders.encoded, made.encoders.decoded
    picture = asked.reference[None]
    np.testing.assert_array_equal(encoded[1], np.concatenate([picture, picture, picture, decoded[0]]))
    np.testing.assert_array_equal(encoded[2], np.concatenate([picture, decoded[0][2:], decoded[1]]))


def emotions_of_clips(made: MemoPipeline, count: int) -> list[list[int]]:
    seen = []
    made.predict = lambda latents, time, pair, memory: seen.append(pair.emotion.tolist()) or (latents, latents)
    video(made(request(count)))
    return seen


def test_a_clip_has_the_emotion_of_most_of_its_frames(modules):
    heard = np.array([1] * 9 + [2] * 7 + [2] * 6 + [5] * 10 + [0] * 16)
    assert emotions_of_clips(pipeline(modules, FakeEncoders(heard)), 36) == [[9, 1], [9, 5], [9, 0]]


def test_a_named_emotion_replaces_what_is_heard(modules):
    assert emotions_of_clips(pipeline(modules, FakeEncoders(np.array([1])), emotion="sad"), 17) == [[9, 6], [9, 6]]


def test_the_emotion_changes_the_frames(modules):
    sad, happy = (video(pipeline(modules, emotion=name)(request(16))) for name in ("sad", "happy"))
    assert (sad != happy).any()
