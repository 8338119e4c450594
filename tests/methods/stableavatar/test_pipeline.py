"""StableAvatar's loop on a small transformer. Oracles are named at the tests."""

import json

import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler

from methods.conditioning.face import crop
from methods.conditioning.portrait import resized
from methods.generator import GenerationError
from methods.stableavatar.config import StableAvatarConfig
from methods.stableavatar.guidance import three_pass_guidance
from methods.stableavatar.pipeline import StableAvatarPipeline
from methods.stableavatar.windows import windows
from tests.methods.fakes import request, video
from tests.methods.video_fakes import FakeVideoEncoders, tiny_transformer

SMALL = {"steps": 2, "window_frames": 13, "overlap": 2, "dtype": "float32"}


@pytest.fixture(scope="module")
def transformer():
    return tiny_transformer(aus=None)


def pipeline(transformer, **settings) -> StableAvatarPipeline:
    return StableAvatarPipeline(transformer, FakeVideoEncoders(), StableAvatarConfig(**SMALL | settings))


def plan(made: StableAvatarPipeline, asked):
    planned = windows((asked.num_frames + 2) // 4 + 1, 4, 2)
    return planned, made.conditions(asked, planned)


def test_time_steps_and_noise_levels_are_the_published_ones(golden, transformer):
    """Oracle: the scheduler of StableAvatar's inference in diffusers 0.30.1, dumped. The shift acts twice."""
    table = json.loads((golden / "schedulers_diffusers_0.30.1.json").read_text())["sa_infer"]
    scheduler = StableAvatarPipeline(transformer, FakeVideoEncoders(), StableAvatarConfig(dtype="float32")).scheduler
    scheduler.set_timesteps(StableAvatarConfig().steps)
    torch.testing.assert_close(scheduler.timesteps, torch.tensor(table["timesteps"]), rtol=1e-6, atol=1e-4)
    torch.testing.assert_close(scheduler.sigmas, torch.tensor(table["sigmas"]), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("num_frames", [1, 2, 5, 12, 13, 14, 30])
def test_as_many_frames_as_asked(transformer, num_frames):
    made = video(pipeline(transformer, steps=1)(request(num_frames, height=48, width=80)))
    assert made.shape == (num_frames, 48, 80, 3) and made.dtype == np.uint8 and made.std() > 1


def test_rows_are_silence_speech_and_the_prompt(transformer):
    made = pipeline(transformer, prompt="red hair", negative_prompt="noise")
    _, (told,) = plan(made, request(13))
    assert told.silent.tolist() == [True, False, False]
    negative, positive = made.encoders.negative_text("noise"), made.encoders.text("red hair")
    assert torch.equal(told.text, torch.stack([negative, negative, positive])) and not torch.equal(negative, positive)
    assert told.aus is None and told.identity is None
    for shared in (told.image, told.known, told.vocal):
        assert torch.equal(shared[0], shared[1]) and torch.equal(shared[0], shared[2])


def test_a_case_may_bring_its_prompt(transformer):
    asked = request(5, prompt="a man")
    assert torch.equal(pipeline(transformer).prompt(asked), FakeVideoEncoders().text("a man"))
    assert torch.equal(pipeline(transformer, prompt="a boy").prompt(asked), FakeVideoEncoders().text("a boy"))


def test_windows_hear_their_own_speech(transformer):
    """640 samples a frame at 25 fps; the last window ends with the video's padding, 30 frames being 33 of whole latents."""
    made, asked = pipeline(transformer), request(30)
    plan(made, asked)
    padded = np.pad(asked.audio, (0, 3 * 640))
    assert [len(heard) for heard in made.encoders.heard] == [13 * 640] * 4
    for heard, start in zip(made.encoders.heard, (0, 8, 16, 20), strict=True):
        np.testing.assert_array_equal(heard, padded[start * 640 : (start + 13) * 640])


def test_guidance_is_the_published_formula():
    """Oracle: u + s_a (d - u) + s_t (c - d); scales of 1 leave the last."""
    u, d, c = np.random.default_rng(0).standard_normal((3, 7))
    np.testing.assert_allclose(three_pass_guidance(u, d, c, 5.0, 3.0), -4 * u + 2 * d + 3 * c)
    np.testing.assert_allclose(three_pass_guidance(u, d, c, 1.0, 1.0), c)


def test_the_reference_dump_is_guided_alike(golden):
    """Oracle: the guided prediction of the official code, dumped beside its three rows."""
    from safetensors.torch import load_file

    dump = load_file(golden / "stableavatar_tiny_io.safetensors")
    guided = three_pass_guidance(*dump["out/b3/pred"].split(1), 5.0, 3.0)
    torch.testing.assert_close(guided, dump["out/b3/guided_audio5_text3"].view_as(guided), rtol=1e-5, atol=1e-5)


def test_a_video_of_one_window_is_plain_euler(transformer):
    """Oracle: the loop written out over the transformer and the scheduler, with noise drawn frame by frame."""
    made, asked, ends = pipeline(transformer, steps=3), request(13, seed=4), []
    made.encoders.decode = lambda latents: ends.append(latents) or iter([np.zeros((13, 64, 64, 3), np.uint8)])
    video(made(asked))
    _, (told,) = plan(made, asked)
    x = torch.randn((4, 4, 8, 8), generator=torch.Generator().manual_seed(4)).transpose(0, 1)[None]
    scheduler = FlowMatchEulerDiscreteScheduler(shift=5.0)
    scheduler.set_timesteps(3)
    with torch.no_grad():
        for time, sigma, after in zip(scheduler.timesteps, scheduler.sigmas, scheduler.sigmas[1:], strict=False):
            u, d, c = transformer(x.expand(3, -1, -1, -1, -1), time, told).split(1)
            x = x + (after - sigma) * (u + 5 * (d - u) + 3 * (c - d))
    torch.testing.assert_close(ends[0], x[0], rtol=1e-4, atol=1e-4)


def test_windows_are_mixed_after_a_step_as_published(transformer):
    """Oracle: StableAvatar's order of things: every window is stepped alone, then laid over what the earlier ones made."""
    made, asked, ends = pipeline(transformer, steps=1), request(25), []
    made.encoders.decode = lambda latents: ends.append(latents) or iter([np.zeros((25, 64, 64, 3), np.uint8)])
    video(made(asked))
    planned, told = plan(made, asked)
    assert [window.start for window in planned] == [0, 2, 3]
    start = made.start_noise(asked, 7)
    made.scheduler.set_timesteps(1)
    expected, end = torch.zeros_like(start), 0
    with torch.no_grad():
        for window, conditions in zip(planned, told, strict=True):
            rows = transformer(
                start[:, :, window.latents].expand(3, -1, -1, -1, -1), made.scheduler.timesteps[0], conditions
            )
            stepped = start[:, :, window.latents] - made.scheduler.sigmas[0] * three_pass_guidance(
                *rows.split(1), 5.0, 3.0
            )
            shared = max(0, end - window.start)
            ramp = torch.linspace(0, 1, shared)[:, None, None]
            old = expected[:, :, window.start : end]
            stepped[:, :, :shared] = ramp * stepped[:, :, :shared] + (1 - ramp) * old
            expected[:, :, window.latents], end = stepped, window.latents.stop
    torch.testing.assert_close(ends[0], expected[0], rtol=1e-4, atol=1e-4)


def test_a_longer_video_begins_with_the_same_noise_and_first_window(transformer):
    made = pipeline(transformer)
    short, long = request(13, seed=1), request(30, seed=1)
    assert torch.equal(made.start_noise(short, 4), made.start_noise(long, 9)[:, :, :4])
    rng = np.random.default_rng(0)
    speech = (0.1 * rng.standard_normal(30 * 640)).astype(np.float32)
    one, other = (plan(made, request(n, audio=speech[: n * 640], reference=short.reference))[1][0] for n in (13, 30))
    for name in ("text", "image", "known", "vocal", "silent"):
        assert torch.equal(getattr(one, name), getattr(other, name)), name


def test_frames_of_one_window_do_not_depend_on_where_it_is_cut(transformer):
    """10 and 12 frames are both four latent frames; what is heard after the end is silence."""
    audio = np.zeros(13 * 640, np.float32)
    audio[: 9 * 640] = 0.1 * np.random.default_rng(0).standard_normal(9 * 640)
    made = pipeline(transformer)
    ten, twelve = (video(made(request(n, seed=3, audio=audio[: n * 640]))) for n in (10, 12))
    np.testing.assert_array_equal(ten, twelve[:10])


def test_evaluations_one_by_one_make_the_same(transformer):
    batched, single = (video(pipeline(transformer, evaluations=way)(request(20))) for way in ("batched", "single"))
    assert np.abs(batched.astype(int) - single).max() <= 1


def test_seeds_decide_and_nothing_else_is_random(transformer):
    made = pipeline(transformer)
    first, again = (video(made(request(20, seed=5))) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    other = request(20, seed=5)
    assert (video(made(request(20, seed=6, reference=other.reference, audio=other.audio))) != first).any()


def test_other_sizes(transformer):
    """Latents are of the size that the settings say, frames of the size asked for."""
    made = pipeline(transformer, height=32, width=48)
    assert made.start_noise(request(5), 2).shape == (1, 4, 2, 4, 6)
    assert video(made(request(5))).shape == (5, 64, 64, 3)


def test_the_reference_may_be_cut_to_the_face(transformer):
    """Oracle: the square that `face.crop` cuts, of what `locate_face` finds."""
    wide = np.random.default_rng(0).integers(0, 256, (80, 200, 3), np.uint8)
    cut = crop(wide, FakeVideoEncoders().locate_face(wide))
    made = pipeline(transformer, crop=True).picture(request(5, reference=wide))
    np.testing.assert_array_equal(made, resized(cut, 64, 64))
    assert (made != pipeline(transformer).picture(request(5, reference=wide))).any()


def test_seconds_are_split_by_part(transformer):
    made = pipeline(transformer)
    video(made(request(5)))
    assert set(made.clock.seconds) == {"encode", "denoise", "decode"}
    denoise = made.clock.seconds["denoise"]
    assert denoise > 0
    video(made(request(5)))
    assert made.clock.seconds["denoise"] < 5 * denoise, "each video has its own"


def test_latents_stay_float32_whatever_the_network_computes_in():
    made, ends = pipeline(tiny_transformer(aus=None).cast(torch.bfloat16)), []
    made.encoders.decode = lambda latents: ends.append(latents) or iter([np.zeros((5, 64, 64, 3), np.uint8)])
    video(made(request(5)))
    assert ends[0].dtype == torch.float32 and torch.isfinite(ends[0]).all()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"audio": None}, "no audio"),
        ({"audio": np.zeros(8320, np.float32)}, "no speech"),
        ({"reference": np.zeros((64, 64, 3), np.uint8)}, "no face"),
    ],
)
def test_bad_requests_fail_before_anything_is_made(transformer, changes, says):
    made = pipeline(transformer)
    made.evaluate = None
    with pytest.raises(GenerationError, match=says):
        next(made(request(13, **changes)))
