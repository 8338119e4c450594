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


@pytest.fixture(scope="module", params=["memo", "hallo"])
def make(request):
    """A function that makes a fresh pipeline over the same weights."""
    modules, pipeline, config = {
        "memo": (tiny_memo, MemoPipeline, MemoConfig),
        "hallo": (tiny_hallo, HalloPipeline, HalloConfig),
    }[request.param]
    networks = modules()
    return lambda **settings: pipeline(
        networks, FakeEncoders(), config(**{"steps": 1, "dtype": "float32", **settings})
    )


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
    """Without anything to remove, what is decoded is the noise."""
    first, second = silent(make())(request(32))
    assert (first != second).mean() > 0.5


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


def test_a_pair_of_rows_is_nothing_then_everything(make):
    pipeline = make(frames_per_clip=8)
    portrait = pipeline.read(request(8))
    past = np.repeat(portrait.picture[None], 2, axis=0)
    extra = {"emotion": 3} if "emotion" in type(pipeline.config).model_fields else {}
    conditions = pipeline.clip_conditions(portrait, slice(0, 8), past, **extra)
    assert conditions.use_reference.tolist() == [False, True]
    assert not conditions.audio[0].any() and conditions.audio[1].any()
    assert (conditions.face[0] != conditions.face[1]).any()
    if conditions.emotion is not None:
        assert conditions.emotion.tolist() == [9, 3]
    if conditions.face_mask is not None:
        assert not conditions.face_mask[0].any() and conditions.face_mask[1].any()
        for full, face, lip in conditions.masks:
            for mask in (full, face, lip):
                assert torch.equal(mask[0], mask[1])


@contextmanager
def rows_in_order(modules):
    networks = [network for network in modules.modules() if hasattr(network, "official_row_order")]
    ...


def test_predictions_are_those_of_single_rows(make):
    """Oracle: the denoiser with one row at a time, which the published order of references does not touch."""
    pipeline = make(frames_per_clip=8)
    modules = pipeline.modules
    with rows_in_order(modules):
        portrait = pipeline.read(request(8))
        past = np.repeat(portrait.picture[None], 2, axis=0)
        extra = {"emotion": 3} if "emotion" in type(pipeline.config).model_fields else {}
        conditions = pipeline.clip_conditions(portrait, slice(0, 8), past, **extra)
        latents, time = torch.randn(1, 8, 4, 8, 8, generator=torch.Generator().manual_seed(0)), torch.tensor(500.0)
        memory = (modules.denoiser.remember(conditions.reference),) if extra else ()
        found = pipeline.predict(latents, time, conditions, *memory)
        for row, prediction in enumerate(found):
            alone = (modules.denoiser.remember(conditions[[row]].reference),) if extra else ()
            expected = modules.denoiser(latents, time, conditions[[row]], *alone)
            torch.testing.assert_close(prediction, expected, rtol=1e-4, atol=1e-5)
        assert (found[0] - found[1]).norm() > 0.01 * found[1].norm()
