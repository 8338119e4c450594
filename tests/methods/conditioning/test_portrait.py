"""Oracles: windows over the whole recording, torch's own draw, and hand-made requests."""

import numpy as np
import pytest
import torch

from methods.conditioning.portrait import read_portrait, resized, start_noise
from methods.conditioning.speech import windows
from tests.methods.fakes import SIZE, FakeEncoders, request


@pytest.mark.parametrize("count", [1, 16, 17, 50])
def test_clips_cover_the_video_and_the_speech_is_whole_clips(count):
    portrait = read_portrait(request(count), FakeEncoders(), 16)
    clips = list(portrait.clips)
    frames = np.concatenate([np.arange(clip.start, clip.stop) for clip in clips])
    np.testing.assert_array_equal(frames, np.arange(len(portrait.speech)))
    assert 0 <= len(frames) - count < 16


def test_windows_of_a_clip_are_those_of_the_whole_recording():
    """At the borders of clips the neighbours are the real ones."""
    portrait = read_portrait(request(50), FakeEncoders(), 16)
    whole = windows(portrait.speech)
    for clip in portrait.clips:
        np.testing.assert_array_equal(portrait.speech_windows(clip)[0], whole[clip])


def test_the_last_clip_is_cut_and_frames_get_the_size_asked_for():
    portrait = read_portrait(request(20, height=32, width=96), FakeEncoders(), 16)
    frames = np.zeros((16, SIZE, SIZE, 3), np.uint8)
    assert [portrait.finished(frames, clip).shape for clip in portrait.clips] == [(16, 32, 96, 3), (4, 32, 96, 3)]


def test_the_picture_is_stretched_to_the_encoders_square():
    wide = np.zeros((50, 100, 3), np.uint8)
    wide[:, 50:] = 200
    picture = read_portrait(request(1, reference=wide), FakeEncoders(), 16).picture
    assert picture.shape == (SIZE, SIZE, 3)
    assert (picture[:, : SIZE // 2 - 2] == 0).all() and (picture[:, SIZE // 2 + 2 :] == 200).all()


def test_a_crop_shows_the_square_around_the_face():
    """A 60 x 60 face box in a picture of 100 x 200 makes a square of 100 at share 0.6, centred on it."""
    image = np.zeros((100, 200, 3), np.uint8)
    image[:, 100:] = 255
    encoders = FakeEncoders()
    encoders.locate_face = lambda picture: np.array([0.6, 0.2, 0.9, 0.8], np.float32)
    assert (read_portrait(request(1, reference=image), encoders, 16, crop_face=True).picture == 255).all()


def test_noise_is_torchs_own_draw_in_the_published_order():
    drawn = torch.randn((1, 4, 5, 8, 8), generator=torch.Generator().manual_seed(3))
    noise = start_noise(torch.Generator().manual_seed(3), 5, FakeEncoders())
    assert torch.equal(noise, drawn.permute(0, 2, 1, 3, 4))


def test_an_image_of_the_right_size_is_left_alone():
    image = np.random.default_rng(0).integers(0, 256, (30, 20, 3), np.uint8)
    assert resized(image, 30, 20) is image
