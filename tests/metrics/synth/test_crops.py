"""Crops and random views of frames. Oracles: pixels counted by hand; numpy's slices."""

import numpy as np

from metrics.synth.crops import FACE, MOUTH, cropped, varied
from metrics.synth.degradations import blurred, recoloured


def test_a_crop_of_the_right_size_is_a_slice():
    """Oracle: numpy."""
    frames = np.random.default_rng(0).integers(0, 256, (2, 100, 200, 3), dtype=np.uint8)
    np.testing.assert_array_equal(cropped(frames, (0.2, 0.6, 0.1, 0.3), 40), frames[:, 20:60, 20:60])


def test_a_crop_shows_the_same_at_any_size():
    """Oracle: a ramp, whose crop is the same ramp at every resolution to a grey level."""
    ramps = [np.rint(np.linspace(0, 255, 2 * side + 1)[1::2]) for side in (64, 128, 512)]
    crops = [
        cropped(np.broadcast_to(ramp[None, :, None, None], (1, len(ramp), len(ramp), 3)).astype(np.uint8), FACE, 64)
        for ramp in ramps
    ]
    for crop in crops[1:]:
        np.testing.assert_allclose(crop.astype(int), crops[0], atol=2)


def test_frames_of_a_few_pixels_still_have_a_crop():
    """Oracle: the shape."""
    assert cropped(np.zeros((1, 2, 2, 3), np.uint8), MOUTH, 48).shape == (1, 48, 48, 3)


def test_views_vary_and_are_the_same_for_all_frames_of_a_clip():
    """Oracle: two equal frames stay equal but for noise; two draws differ."""
    frame = np.random.default_rng(0).integers(0, 256, (1, 128, 128, 3), dtype=np.uint8)
    views = [varied(np.repeat(frame, 2, 0), FACE, 64, np.random.default_rng(seed)) for seed in range(20)]
    assert all(view.shape == (2, 64, 64, 3) for view in views)
    same = [np.array_equal(*view) for view in views]
    assert 8 <= sum(same) < 20  # noise, which is new in every frame, comes in a third of the cases
    assert len({view.tobytes() for view in views}) == 20


def test_recoloured_by_hand():
    """Oracle: gain and lift per channel, cut to bytes."""
    frame = np.array([[[[10, 100, 200]]]], np.uint8)
    np.testing.assert_array_equal(recoloured(frame, np.array([2, 1, 1.5]), 5)[0, 0, 0], [25, 105, 255])


def test_blur_keeps_the_mean_and_lowers_the_contrast():
    """Oracle: noise under a Gaussian of sigma s has about 1 / (4 pi s^2) of its variance."""
    frames = np.random.default_rng(0).integers(0, 256, (1, 256, 256, 3), dtype=np.uint8)
    soft = blurred(frames, 2.0).astype(float)
    assert abs(soft.mean() - frames.mean()) < 1
    np.testing.assert_allclose(soft.var() / frames.astype(float).var(), 1 / (16 * np.pi), rtol=0.15)
