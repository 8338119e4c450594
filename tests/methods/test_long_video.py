"""What holds for every method that makes a video clip by clip. Oracles: the same request on a fresh pipeline, and counts."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from methods.generator import GenerationError
from methods.hallo.config import HalloConfig
from methods.hallo.pipeline import HalloPipeline
from methods.memo.config import MemoConfig
from methods.memo.pipeline import MemoPipeline
from tests.methods.fakes import SIZE, FakeEncoders, request, tiny_hallo, tiny_memo, video

BASES = {"memo": (tiny_memo, MemoPipeline, MemoConfig), "hallo": (tiny_hallo, HalloPipeline, HalloConfig)}


@pytest.fixture(scope="module", params=BASES)
def make(request):
    """A function that makes a fresh pipeline over the same weights."""
    make_networks, pipeline, config = BASES[request.param]
    networks = make_networks()
    return lambda **settings: pipeline(networks, FakeEncoders(), config(**{"steps": 1, "dtype": "float32", **settings}))


def silent(pipeline):
    """The pipeline with a denoiser that sees nothing to remove, for tests that are not about pictures."""
    nothing = torch.zeros(1, pipeline.config.frames_per_clip, 4, 8, 8)
    pipeline.predict = lambda *_: (nothing, nothing)
    return pipeline


@pytest.mark.parametrize("count", [1, 15, 16, 17, 48, 50])
def test_exactly_as_many_frames_as_asked_for(make, count):
    assert video(silent(make())(request(count))).shape == (count, SIZE, SIZE, 3)


def test_frames_have_the_size_asked_for_and_come_as_clips(make):
    pieces = list(silent(make())(request(20, height=48, width=80)))
    assert [piece.shape for piece in pieces] == [(16, 48, 80, 3), (4, 48, 80, 3)]
    assert all(piece.dtype == np.uint8 for piece in pieces)


def test_a_request_gives_the_same_video_alone_and_after_another(make):
    used = make(steps=2)
    video(used(request(17, seed=1)))
    next(used(request(17, seed=2)))  # Left after its first clip.
    np.testing.assert_array_equal(video(used(request(17))), video(make(steps=2)(request(17))))


def test_two_videos_made_in_turns_do_not_mix(make):
    pipeline = make()
    both = [pipeline(request(17, seed=seed)) for seed in (0, 1)]
    first, second = zip(*zip(*both, strict=True), strict=True)
    np.testing.assert_array_equal(np.concatenate(first), video(make()(request(17))))
    np.testing.assert_array_equal(np.concatenate(second), video(make()(request(17, seed=1))))


def test_nothing_is_drawn_from_the_global_generator(make):
    torch.manual_seed(1)
    before = torch.get_rng_state()
    video(make()(request(17)))
    assert torch.equal(torch.get_rng_state(), before)


def test_the_seed_decides_the_noise_of_every_clip(make):
    one, other = video(make()(request(32))), video(make()(replace(request(32), seed=7)))
    assert (one[:16] != other[:16]).mean() > 0.1
    assert (one[16:] != other[16:]).mean() > 0.1


def test_every_clip_has_noise_of_its_own(make):
    """Oracle: one generator of torch's, asked for one clip after the other."""
    pipeline, started = make(), []
    pipeline.predict = lambda latents, *_: started.append(latents) or (latents, latents)
    video(pipeline(request(32, seed=5)))
    generator = torch.Generator().manual_seed(5)
    for latents in started:
        drawn = torch.randn((1, 4, 16, 8, 8), generator=generator)
        torch.testing.assert_close(latents, drawn.transpose(1, 2), rtol=0, atol=0)
    assert len(started) == 2


def test_clips_are_made_when_they_are_asked_for(make):
    """Ten minutes: one clip's frames are held at a time, whatever the length."""
    pipeline = silent(make())
    pieces = pipeline(request(25 * 600))
    assert not pipeline.encoders.encoded
    for made in (1, 2):
        assert len(next(pieces)) == 16
        assert len(pipeline.encoders.decoded) == made


def test_past_frames_are_the_last_ones_put_out(make):
    """First the picture itself, then what the decoder gave, unchanged; the picture leads every time."""
    pipeline = silent(make())
    asked = request(40)
    count = getattr(pipeline.config, "past_frames", None) or pipeline.config.motion_frames
    video(pipeline(asked))
    encoded, decoded = pipeline.encoders.encoded, pipeline.encoders.decoded
    assert [len(frames) for frames in encoded] == [1 + count] * 3
    np.testing.assert_array_equal(encoded[0], np.repeat(asked.reference[None], 1 + count, axis=0))
    for after, before in zip(encoded[1:], decoded, strict=False):
        np.testing.assert_array_equal(after, np.concatenate([asked.reference[None], before[-count:]]))


def test_a_decoder_that_always_says_grey_makes_grey_past_frames(make):
    pipeline = silent(make())
    grey = np.full((16, SIZE, SIZE, 3), 127, np.uint8)
    pipeline.encoders.decode = lambda latents: grey
    assert (video(pipeline(request(20))) == 127).all()
    assert (pipeline.encoders.encoded[1][1:] == 127).all()


def test_speech_changes_the_frames(make):
    asked = request(16)
    silent_end = np.where(np.arange(len(asked.audio)) < len(asked.audio) // 2, asked.audio, 0)
    one, other = video(make()(asked)), video(make()(replace(asked, audio=silent_end)))
    assert (one != other).any()


def test_the_rate_changes_the_speech_features_alone(make):
    """At 50 fps a frame is 20 ms: a clip of speech lasts 16 of them, the rest of 16 more is silence."""
    asked = request(16)
    assert len(video(silent(make())(replace(asked, fps=50.0)))) == 16
    heard = make().read(replace(asked, fps=50.0, num_frames=48)).speech
    assert heard.shape == (48, 2, 3)
    assert heard[31, 0, 0] > 0 and not heard[32:].any()


@pytest.mark.parametrize(
    "changes, reason", [({"audio": None}, "no audio"), ({"audio": np.zeros(9600, np.float32)}, "no speech")]
)
def test_a_request_that_cannot_be_made_says_why(make, changes, reason):
    with pytest.raises(GenerationError, match=reason):
        video(make()(request(16, **changes)))


@pytest.mark.parametrize("make_networks, pipeline, config", [BASES["memo"], BASES["hallo"]])
def test_networks_in_bfloat16_predict_what_they_predict_in_float32(make_networks, pipeline, config):
    """Oracle: the same networks in float32. The eight bits of a bfloat16 leave a few percent after all layers."""
    latents = torch.randn(1, 16, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    predictions = []
    for dtype in (torch.float32, torch.bfloat16):
        made, seen = pipeline(make_networks().to(dtype), FakeEncoders(), config(steps=1)), []
        predict = made.predict
        made.predict = lambda given, *rest, predict=predict, seen=seen: seen.append(predict(latents, *rest)) or seen[0]
        video(made(request(16)))
        predictions.append(torch.cat(seen[0]))
    exact, rounded = predictions
    assert rounded.dtype == torch.float32
    assert (rounded - exact).norm() < 0.1 * exact.norm()
