"""au_following: correlation over time of generated with driving AUs."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import pearsonr

from bench.media.au_maps import ARKIT_TO_FEAFA
from bench.media.clip import ArrayClip, Clip
from bench.media.errors import Undefined
from metrics.au_following import AUFollowing
from metrics.extractors.landmarks import Landmarks
from metrics.functional.au_following import METRICS, au_following
from metrics.functional.reference_leak import METRICS as LEAK

METRIC = METRICS[0]


def curves(seed: int, frames: int = 60, aus: int = 24) -> np.ndarray:
    """Smooth random curves in [0, 1], float32 (T, A); the first three AUs are still."""
    rng = np.random.default_rng(seed)
    t = np.linspace(0, 1, frames)[:, None]
    waves = 0.5 + 0.4 * np.sin(2 * np.pi * (rng.uniform(1, 5, aus) * t + rng.random(aus)))
    waves[:, :3] = 0.25
    return waves.astype(np.float32)


def test_against_scipy():
    """Oracle: scipy.stats.pearsonr per moving AU, then the mean."""
    driving, generated = curves(0), 0.6 * curves(0) + 0.4 * curves(1)
    expected = [pearsonr(generated[:, a].astype(float), driving[:, a].astype(float))[0] for a in range(3, 24)]
    assert au_following(generated, driving) == pytest.approx(np.mean(expected), abs=1e-12)


def test_perfect_still_and_opposite():
    """Oracle: the definition: itself 1, a still face 0, the opposite -1."""
    driving = curves(0)
    assert au_following(driving, driving) == pytest.approx(1)
    assert au_following(np.repeat(driving[:1], 60, axis=0), driving) == 0
    assert au_following(1 - driving, driving) == pytest.approx(-1)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.floats(0.1, 2), st.floats(0, 0.3))
def test_gain_and_offset_do_not_matter(seed, gain, offset):
    """Property: invariant to gain > 0 and offset per clip, and within [-1, 1]; a later copy follows less."""
    driving, generated = curves(seed), curves(seed + 1)
    value = au_following(generated, driving)
    assert -1 <= value <= 1
    assert au_following(gain * generated + offset, driving) == pytest.approx(value, abs=1e-4)
    assert au_following(np.roll(driving, 3, axis=0), driving) < 1


def test_undefined_with_reason():
    """Oracle: the declared edge cases."""
    still = np.full((60, 24), 0.3, np.float32)
    with pytest.raises(Undefined, match="none of the target's 24 AUs moves"):
        au_following(curves(0), still)
    with pytest.raises(Undefined, match="5 usable frames"):
        au_following(curves(0)[:5], curves(0)[:5])


def test_case_maps_blendshapes_and_skips_frames_without_a_face():
    """Oracle: the pure function on the mapped frames with a face in both."""
    rng = np.random.default_rng(0)
    a, b = (rng.random((30, 52)).astype(np.float32) for _ in range(2))
    a[3], b[7] = np.nan, np.nan
    keep = np.isfinite(a).all(1) & np.isfinite(b).all(1)
    needs = {"prediction:landmarks": {"blendshapes": a}, "driving:landmarks": {"blendshapes": b}}
    expected = au_following(ARKIT_TO_FEAFA(a[keep]), ARKIT_TO_FEAFA(b[keep]))
    assert METRIC.case(needs) == pytest.approx(expected, abs=1e-12)
    a[:20] = np.nan
    with pytest.raises(Undefined, match="20 of 30 frames of the prediction"):
        METRIC.case(needs)


def test_class_is_the_mean_over_clips():
    """Oracle: the pure function per clip, then the mean."""
    clips = [(curves(seed), curves(seed + 10)) for seed in range(3)]
    metric = AUFollowing()
    for generated, driving in clips:
        metric.update(torch.from_numpy(generated), torch.from_numpy(driving))
    assert metric.compute().item() == pytest.approx(np.mean([au_following(*clip) for clip in clips]), abs=1e-12)


def test_real_clips(assets, grid_clips):
    """Oracle: real speech through the real landmarker. The clip follows itself and leaks nothing; its first frame
    repeated follows nothing and leaks all; another speaker's clip follows far less."""
    landmarks = Landmarks({"face_landmarker": assets / "models" / "face_landmarker_v2_with_blendshapes.task"})

    def features(clip):
        landmarks.begin(clip, {})
        for frames in clip.chunks():
            landmarks.update(frames)
        return landmarks.finish()

    clip, other = Clip(grid_clips[0]), features(Clip(grid_clips[1]))
    first = clip.first_frame()
    own = features(clip)
    still = features(ArrayClip(np.repeat(first[None], clip.num_frames, axis=0)))
    reference = features(ArrayClip(first[None]))

    def needs(prediction):
        return {
            "prediction:landmarks": prediction,
            "driving:landmarks": own,
            "reference:landmarks": reference,
        }

    assert METRIC.case(needs(own)) == pytest.approx(1)
    assert METRIC.case(needs(still)) == 0
    assert METRIC.case(needs(other)) < 0.3
    assert LEAK[0].case(needs(own)) == 0
    assert LEAK[0].case(needs(still)) == pytest.approx(1, abs=1e-5)
