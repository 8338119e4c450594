"""IUFace's guidance and conditions on a small transformer whose every weight is random. Oracles are named at the tests."""

import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler

from methods.iuface.config import IUFaceConfig
from methods.iuface.pipeline import IUFacePipeline
from methods.stableavatar.windows import windows
from methods.talking_dit.transformer import TalkingDiT
from tests.methods.fakes import request, video
from tests.methods.video_fakes import AUS, SIZES, FakeVideoEncoders, tiny_transformer

SMALL = {"steps": 2, "window_frames": 13, "overlap": 2, "dtype": "float32"}


@pytest.fixture(scope="module")
def transformer():
    return tiny_transformer()


def pipeline(transformer, **settings) -> IUFacePipeline:
    return IUFacePipeline(transformer, FakeVideoEncoders(), IUFaceConfig(**SMALL | settings))


def track(num_frames: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    intensities, presences = 5 * rng.random((num_frames, 17)), rng.integers(0, 2, (num_frames, 18))
    return np.concatenate([intensities, presences], axis=1).astype(np.float32)


def told(made: IUFacePipeline, asked):
    return made.conditions(asked, windows((asked.num_frames + 2) // 4 + 1, 4, 2))


def end_of(made: IUFacePipeline, asked) -> torch.Tensor:
    """Latents at the end of denoising."""
    ends = []
    made.encoders.decode = lambda latents: ends.append(latents) or iter([])
    list(made(asked))
    return ends[0]


def euler(transformer, conditions, seed: int, steps: int, velocity) -> torch.Tensor:
    """Four latent frames by the loop written out; velocity(rows) of the predictions under three rows."""
    x = torch.randn((4, 4, 8, 8), generator=torch.Generator().manual_seed(seed)).transpose(0, 1)[None]
    scheduler = FlowMatchEulerDiscreteScheduler(shift=5.0)
    scheduler.set_timesteps(steps)
    with torch.no_grad():
        for time, sigma, after in zip(scheduler.timesteps, scheduler.sigmas, scheduler.sigmas[1:], strict=False):
            rows = [transformer(x, time, conditions[[row]]) for row in range(3)]
            x = x + (after - sigma) * velocity(*rows)
    return x[0]


def test_rows_are_nothing_then_aus_then_aus_and_speech(transformer):
    asked = request(13, aus=track(13))
    (conditions,) = told(pipeline(transformer, prompt="red hair"), asked)
    assert conditions.silent.tolist() == [True, True, False]
    assert conditions.null_aus.tolist() == [True, False, False]
    for name in ("text", "image", "known", "vocal", "aus", "identity"):
        first, second, third = getattr(conditions, name)
        assert torch.equal(first, second) and torch.equal(first, third), f"{name} must be the same in all three"
    assert torch.equal(conditions.text[0], FakeVideoEncoders().text("red hair"))


@pytest.mark.parametrize("evaluations", ["batched", "single"])
def test_a_step_follows_equation_4(transformer, evaluations):
    """Oracle: the equation over three evaluations of the transformer, each on its own."""
    asked = request(13, seed=3, aus=track(13))
    made = pipeline(transformer, evaluations=evaluations)
    (conditions,) = told(made, asked)
    expected = euler(transformer, conditions, 3, 2, lambda v0, va, vc: v0 + 3 * (va - v0) + 5 * (vc - va))
    torch.testing.assert_close(end_of(made, asked), expected, rtol=1e-4, atol=1e-4)


def test_scales_of_one_are_one_conditioned_evaluation(transformer):
    """Oracle: the loop with nothing but the fully conditioned row."""
    asked = request(13, seed=3, aus=track(13))
    made = pipeline(transformer, au_scale=1, audio_scale=1)
    (conditions,) = told(made, asked)
    expected = euler(transformer, conditions, 3, 2, lambda uncond, au, cond: cond)
    torch.testing.assert_close(end_of(made, asked), expected, rtol=1e-4, atol=1e-4)


def test_the_null_au_is_a_network_without_aus(transformer):
    """Oracle: the same weights in a network that has no AU path, though k_au, v_au and phi are anything but zero here."""
    without = TalkingDiT(**SIZES).eval()
    unread = without.load_state_dict(transformer.state_dict(), strict=False).unexpected_keys
    assert all("au" in name for name in unread) and len(unread) == 2 * 2 + 8
    (conditions,) = told(pipeline(transformer), request(13, aus=track(13)))
    latents = torch.randn(1, 4, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        null, aus = (transformer(latents, 500.0, conditions[[row]]) for row in (0, 1))
        (silent,) = told(pipeline(without), request(13))
        expected = without(latents, 500.0, silent[[0]])
    assert torch.equal(null, expected)
    assert (aus - null).norm() > 0.01 * null.norm(), "AUs must say something for this to mean anything"


def test_without_aus_the_speech_alone_is_guided(transformer):
    """Oracle: Eq. 4 with v_au = v_uncond."""
    asked = request(13, seed=2)
    made = pipeline(transformer, au_source="none")
    (conditions,) = told(made, asked)
    assert conditions.aus is None
    expected = euler(transformer, conditions, 2, 2, lambda uncond, au, cond: uncond + 5 * (cond - uncond))
    torch.testing.assert_close(end_of(made, asked), expected, rtol=1e-4, atol=1e-4)


def test_windows_get_the_aus_of_their_frames(transformer):
    """Frame n of a window that starts at latent frame s is frame 4 s + n; after the video's end AUs stay as they were."""
    aus = track(30)
    first, second, third, last = told(pipeline(transformer), request(30, aus=aus))
    np.testing.assert_array_equal(first.aus[0], aus[:13])
    np.testing.assert_array_equal(second.aus[0], aus[8:21])
    np.testing.assert_array_equal(third.aus[2], aus[16:29])
    np.testing.assert_array_equal(last.aus[1], np.concatenate([aus[20:], np.repeat(aus[-1:], 3, axis=0)]))


@pytest.mark.parametrize("encoder", ["clip", "arcface", "none"])
def test_the_network_says_whose_identity_embedding_it_takes(encoder):
    """Oracle: the encoders' own embedding; checkpoints of the ablations differ in it."""
    sizes = AUS | {"identity_encoder": encoder, "identity_dim": None if encoder == "none" else 6}
    made, asked = pipeline(tiny_transformer(sizes)), request(13, aus=track(13))
    (conditions,) = told(made, asked)
    if encoder == "none":
        assert conditions.identity is None
    else:
        assert torch.equal(conditions.identity[0], made.encoders.identity(asked.reference, encoder))
    assert video(made(asked)).shape == (13, 64, 64, 3)


def test_aus_identity_speech_and_seed_each_change_the_video(transformer):
    made, asked = pipeline(transformer), request(13, aus=track(13))
    frames = video(made(asked))
    other = request(13, seed=1)
    for change in (
        {"aus": track(13, 1)}, {"reference": other.reference}, {"audio": other.audio}, {"seed": 1},
    ):  # fmt: skip
        changed = request(13, **{"aus": asked.aus} | change)
        assert (video(made(changed)) != frames).any(), change
    np.testing.assert_array_equal(video(made(asked)), frames)


def test_evaluations_one_by_one_make_the_same(transformer):
    asked = request(20, aus=track(20))
    batched, single = (video(pipeline(transformer, evaluations=way)(asked)) for way in ("batched", "single"))
    assert np.abs(batched.astype(int) - single).max() <= 1


def test_b_after_a_is_b_alone_with_a_cache():
    """Every profile is tested with the base; AUs add nothing that could be remembered."""
    settings = {"steps": 4, "profile": "cached", "cache_threshold": 1e9}
    a, b = (request(17, seed=seed, aus=track(17, seed)) for seed in (0, 1))
    alone = video(pipeline(tiny_transformer(), **settings)(b))
    made = pipeline(tiny_transformer(), **settings)
    video(made(a))
    np.testing.assert_array_equal(video(made(b)), alone)


def test_at_an_audio_scale_of_0_speech_says_nothing(transformer):
    """Oracle: the video of any other speech."""
    made = pipeline(transformer, audio_scale=0)
    asked, other = request(13, aus=track(13)), request(13, seed=1)
    one = end_of(made, asked)
    two = end_of(made, request(13, aus=asked.aus, audio=other.audio))
    torch.testing.assert_close(one, two)
