"""Windows over latent time. Oracles: StableAvatar's sequential mixing written out, and the definitions."""

import numpy as np
import pytest

from methods.stableavatar.windows import windows

LENGTHS = [
    (1, 21, 5),
    (21, 21, 5),
    (22, 21, 5),
    (37, 21, 5),
    (38, 21, 5),
    (100, 21, 5),
    (13, 7, 2),
    (13, 7, 6),
    (30, 7, 1),
]


@pytest.mark.parametrize(("latents", "length", "overlap"), LENGTHS)
@pytest.mark.parametrize("blend", ["linear", "log"])
def test_windows_are_full_cover_every_latent_frame_and_share_as_many_as_asked(latents, length, overlap, blend):
    planned = windows(latents, length, overlap, blend)
    total = np.zeros(latents)
    for window in planned:
        assert len(window.weights) == min(latents, length) and window.weights.min() >= 0
        total[window.latents] += window.weights
    np.testing.assert_allclose(total, 1, atol=1e-6)
    assert planned[0].start == 0 and planned[-1].latents.stop == latents
    for one, other in zip(planned, planned[1:], strict=False):
        assert one.start < other.start and one.latents.stop - other.start >= overlap
    assert all(window.weights[0] == 0 for window in planned[1:]), (
        "a later window's first latent frame is the reference's"
    )


def test_all_but_the_last_keep_the_stride():
    assert [window.start for window in windows(100, 21, 5)] == [0, 16, 32, 48, 64, 79]


def test_a_window_takes_its_conditions_from_its_own_frames():
    first, second, last = windows(13, 7, 3)
    assert (first.frames, second.frames, last.frames) == (slice(0, 25), slice(16, 41), slice(24, 49))


@pytest.mark.parametrize("blend", ["linear", "log"])
def test_weights_are_those_of_the_published_mixing(blend):
    """Where the last window is full anyway: windows are laid one after the other, and in the overlap the new one comes in
    with j / (O - 1), or with the logarithm of that from 1 to e."""
    latents, length, overlap = 53, 21, 5
    ramp = np.arange(overlap) / (overlap - 1)
    ramp = ramp if blend == "linear" else np.log(1 + ramp * (np.e - 1))
    values = np.random.default_rng(0).random((3, length))
    expected = np.zeros(latents)
    for start, value in zip((0, 16, 32), values, strict=True):
        mixed = value.copy()
        if start:
            mixed[:overlap] = ramp * value[:overlap] + (1 - ramp) * expected[start : start + overlap]
        expected[start : start + length] = mixed
    found = np.zeros(latents)
    for window, value in zip(windows(latents, length, overlap, blend), values, strict=True):
        found[window.latents] += window.weights * value
    np.testing.assert_allclose(found, expected, atol=1e-6)
