"""M-LMD, F-LMD.

Oracles: a loop over frames and points written from the definition; scipy.spatial.procrustes; skimage's
SimilarityTransform; seven real clips.
"""

import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.media.clip import ArrayClip, Clip
from bench.media.errors import Undefined
from bench.media.landmarks import FACE68, IBUG68, MOUTH68, ibug68
from metrics.extractors.landmarks import Landmarks
from metrics.functional.lmd import (
    FACE_CROP_SCALE,
    FORMULAS,
    METRICS,
    interocular_distance,
    lmd_iod,
    lmd_pixels,
    lmd_procrustes,
    lmd_px256,
)
from metrics.lmd import FaceLandmarkDistance, MouthLandmarkDistance

BY_KEY = {metric.key: metric for metric in METRICS}
SETS = pytest.mark.parametrize("points", [MOUTH68, FACE68], ids=["mouth", "face"])


def faces(seed: int, frames: int = 4, size: float = 100.0) -> np.ndarray:
    """float64 (T, 68, 2) random points around (200, 150)."""
    return np.random.default_rng(seed).normal(size=(frames, 68, 2)) * size + [200, 150]


def loop(prediction, target, points) -> float:
    """The definition, one point at a time; frames that hold NaN are left out."""
    values = []
    for mine, theirs in zip(prediction.tolist(), target.tolist(), strict=True):
        if any(math.isnan(v) for points_ in (mine, theirs) for point in points_ for v in point):
            continue
        mine, theirs = mine[points], theirs[points]
        centres = [[sum(p[k] for p in side) / len(side) for k in (0, 1)] for side in (mine, theirs)]
        total = 0.0
        for p, q in zip(mine, theirs, strict=True):
            dx = (p[0] - centres[0][0]) - (q[0] - centres[1][0])
            dy = (p[1] - centres[0][1]) - (q[1] - centres[1][1])
            total += math.sqrt(dx * dx + dy * dy)
        values.append(total / len(mine))
    return sum(values) / len(values)


def loop_interocular(target) -> float:
    values = [math.dist(frame[36], frame[45]) for frame in target.tolist() if not math.isnan(frame[0][0])]
    return sum(values) / len(values)


def square_face() -> np.ndarray:
    """(1, 68, 2): eye corners 40 px apart, 20 mouth points on a line, the rest in one place; box 40 x 60."""
    xy = np.zeros((1, 68, 2))
    xy[0, 36], xy[0, 45] = [-20, 0], [20, 0]
    xy[0, 48:68, 0], xy[0, 48:68, 1] = np.linspace(-10, 10, 20), 60
    return xy


def test_mouth_opened_by_a_known_amount():
    """Oracle: arithmetic. Ten points 4 px down: centroid 2 px down, so every point is 2 px off."""
    target = square_face()
    prediction = target.copy()
    prediction[0, 58:68, 1] += 4
    assert lmd_pixels(prediction, target, MOUTH68) == pytest.approx(2, abs=1e-12)
    assert lmd_iod(prediction, target, MOUTH68) == pytest.approx(100 * 2 / 40, abs=1e-12)
    assert lmd_px256(prediction, target, MOUTH68) == pytest.approx(2 * 256 / (FACE_CROP_SCALE * 60), abs=1e-12)
    # Of all 68, 10 move by 4: centroid 40/68, so 10 points are off by 4 - 40/68 and 58 by 40/68.
    expected = (10 * (4 - 40 / 68) + 58 * 40 / 68) / 68
    assert lmd_pixels(prediction, target, FACE68) == pytest.approx(expected, abs=1e-12)


@SETS
@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 2**32 - 1), missing=st.integers(0, 3))
def test_equals_the_loop(points, seed, missing):
    """Oracle: `loop`, also with frames without a face in either clip."""
    prediction, target = faces(seed, 8), faces(seed + 1, 8)
    prediction[:missing] = np.nan
    target[missing : missing + 1] = np.nan
    pixels = loop(prediction, target, points)
    assert lmd_pixels(prediction, target, points) == pytest.approx(pixels, rel=1e-12)
    expected = 100 * pixels / loop_interocular(target)
    assert lmd_iod(prediction, target, points) == pytest.approx(expected, rel=1e-12)


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 2**32 - 1), noise=st.floats(0.01, 0.5))
def test_procrustes_equals_scipy_and_skimage(seed, noise):
    """Oracles: scipy.spatial.procrustes (all 68 points) and skimage's least-squares similarity (both sets)."""
    from scipy.spatial import procrustes
    from skimage.transform import SimilarityTransform

    rng = np.random.default_rng(seed)
    target = faces(seed, 3)
    angle, scale = rng.uniform(-1, 1), rng.uniform(0.5, 2)
    turn = scale * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    prediction = target @ turn + rng.normal(size=target.shape) * noise * 100 * scale
    with_scipy, mouth = [], []
    for p, t in zip(prediction, target, strict=True):
        a, b, _ = procrustes(t, p)
        with_scipy.append(np.linalg.norm(a - b, axis=1).mean() * np.linalg.norm(t - t.mean(0)))
        moved = SimilarityTransform.from_estimate(p, t)(p)[MOUTH68]
        gap = (moved - moved.mean(0)) - (t[MOUTH68] - t[MOUTH68].mean(0))
        mouth.append(np.linalg.norm(gap, axis=1).mean())
    unit = 100 / loop_interocular(target)
    assert lmd_procrustes(prediction, target, FACE68) == pytest.approx(unit * np.mean(with_scipy), rel=1e-9)
    assert lmd_procrustes(prediction, target, MOUTH68) == pytest.approx(unit * np.mean(mouth), rel=1e-9)


@SETS
@pytest.mark.parametrize("formula", FORMULAS.values(), ids=list(FORMULAS))
@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 2**32 - 1), shift=st.tuples(st.floats(-500, 500), st.floats(-500, 500)))
def test_zero_on_equal_and_blind_to_translation(formula, points, seed, shift):
    """Oracle: identity. Every frame of either clip may be moved as a whole."""
    prediction, target = faces(seed), faces(seed + 1)
    value = formula(prediction, target, points)
    assert value > 0
    steps = np.arange(4)[:, None, None] * np.array(shift)
    assert formula(prediction + steps, target, points) == pytest.approx(value, rel=1e-9)
    assert formula(prediction, target - steps, points) == pytest.approx(value, rel=1e-9)
    # Exactly zero without the fit; the fit leaves rounding.
    assert formula(target, target, points) == pytest.approx(0, abs=1e-9 if formula is lmd_procrustes else 0)


@SETS
@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 2**32 - 1), scale=st.floats(0.05, 20))
def test_scale(points, seed, scale):
    """Oracle: identity. A common scale leaves the relative variants alone and multiplies the pixels; Procrustes ignores
    turn and size of the prediction as well."""
    prediction, target = faces(seed), faces(seed + 1)
    for formula in (lmd_iod, lmd_px256, lmd_procrustes):
        value = formula(prediction, target, points)
        assert formula(scale * prediction, scale * target, points) == pytest.approx(value, rel=1e-9)
    pixels = lmd_pixels(prediction, target, points)
    assert lmd_pixels(scale * prediction, scale * target, points) == pytest.approx(scale * pixels, rel=1e-9)
    turned = scale * prediction @ np.array([[0.6, 0.8], [-0.8, 0.6]])
    assert lmd_procrustes(turned, target, points) == pytest.approx(lmd_procrustes(prediction, target, points), rel=1e-9)


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 2**32 - 1))
def test_mouth_distance_ignores_other_points(seed):
    """Oracle: identity; the eye corners stay because they are the divisor."""
    prediction, target = faces(seed), faces(seed + 1)
    moved = prediction.copy()
    moved[:, :48] += faces(seed + 2)[:, :48]
    assert lmd_iod(moved, target, MOUTH68) == lmd_iod(prediction, target, MOUTH68)
    assert lmd_pixels(moved, target, MOUTH68) == lmd_pixels(prediction, target, MOUTH68)
    assert lmd_iod(moved, target, FACE68) != lmd_iod(prediction, target, FACE68)


def test_order_of_frames_does_not_matter_and_the_divisor_is_the_targets():
    """Oracle: identity."""
    prediction, target = faces(0, 6), faces(1, 6)
    order = [3, 1, 5, 0, 2, 4]
    assert lmd_iod(prediction[order], target[order]) == pytest.approx(lmd_iod(prediction, target), rel=1e-12)
    # The divisor uses every frame in which the target has a face, whatever the prediction shows.
    prediction[:2] = np.nan
    expected = 100 * loop(prediction, target, FACE68) / loop_interocular(target)
    assert lmd_iod(prediction, target) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("formula", FORMULAS.values(), ids=list(FORMULAS))
def test_half_of_the_frames_may_miss_a_face(formula):
    """Oracle: the documented rule; the reason names counts and clips."""
    prediction, target = faces(0, 4), faces(1, 4)
    prediction[0], target[1] = np.nan, np.nan
    assert formula(prediction, target) > 0
    prediction[2] = np.nan
    with pytest.raises(Undefined, match=r"2 of 4 frames of the prediction and 1 of 4 frames of the target"):
        formula(prediction, target)
    with pytest.raises(Undefined, match=r"4 of 4 frames of the target"):
        formula(faces(0, 4), np.full((4, 68, 2), np.nan))
    with pytest.raises(Undefined, match="prediction 4, target 3"):
        formula(faces(0, 4), faces(1, 3))


def test_coinciding_eyes_have_no_value():
    """Oracle: the divisor would be zero."""
    with pytest.raises(Undefined, match="eye corners"):
        lmd_iod(faces(0), np.zeros((4, 68, 2)))


def test_descriptions():
    """Oracle: the table of metrics of the design."""
    variants = ["@iod", "@eat128", "@px256", "@procrustes", "@synth"]
    assert [metric.key for metric in METRICS] == [name + v for name in ("m_lmd", "f_lmd") for v in variants]
    for metric in METRICS:
        assert metric.kind == "mean" and metric.higher_is_better is False and metric.bounds == (0, math.inf)
        assert metric.unit == ("%" if metric.variant in ("@iod", "@procrustes", "@synth") else "px")
        extractor = {"@eat128": "eat_crop", "@synth": "synth_face"}.get(metric.variant, "landmarks")
        assert metric.needs == (f"prediction:{extractor}", f"target:{extractor}")


def test_cases_read_their_features():
    """Oracle: `loop` on the same points, taken from the features by hand."""
    rng = np.random.default_rng(0)
    xy = [rng.normal(size=(5, 478, 2)).astype(np.float32) * 50 + 100 for _ in range(2)]
    crops = [rng.integers(0, 128, (5, 68, 2)).astype(np.float32) for _ in range(2)]
    needs = {}
    for role, points, crop in zip(("prediction", "target"), xy, crops, strict=True):
        needs[f"{role}:landmarks"] = {"xy": points, "faces": np.ones(5, np.int32)}
        needs[f"{role}:eat_crop"] = {"xy68": crop}
    p68, t68 = (np.stack([points[:, [a, b]].mean(1) for a, b in IBUG68], 1) for points in xy)
    for name, points in (("m_lmd", slice(48, 68)), ("f_lmd", slice(0, 68))):
        expected = 100 * loop(p68, t68, points) / loop_interocular(t68)
        assert BY_KEY[f"{name}@iod"].case(needs) == pytest.approx(expected, rel=1e-5)
        assert BY_KEY[f"{name}@eat128"].case(needs) == pytest.approx(loop(*crops, points), rel=1e-6)
        assert BY_KEY[f"{name}@px256"].case(needs) == lmd_px256(ibug68(xy[0]), ibug68(xy[1]), points)
        assert BY_KEY[f"{name}@procrustes"].case(needs) == lmd_procrustes(ibug68(xy[0]), ibug68(xy[1]), points)


def test_formulas_import_neither_torch_nor_heavy_packages():
    """Oracle: sys.modules of a fresh process."""
    code = (
        "import sys, metrics.functional.lmd, metrics.functional.csim, metrics.functional.acc_emo\n"
        "import metrics.extractors.landmarks, metrics.extractors.arcface, metrics.extractors.emotion\n"
        "heavy = {'torch', 'torchmetrics', 'torchvision', 'scipy', 'cv2', 'mediapipe', 'onnxruntime', 'insightface'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


@pytest.mark.parametrize("cls,points", [(MouthLandmarkDistance, MOUTH68), (FaceLandmarkDistance, FACE68)])
@pytest.mark.parametrize("variant", FORMULAS)
def test_class_is_the_mean_over_clips(cls, points, variant):
    """Oracle: the formula per clip, averaged by hand; clips of different length weigh the same."""
    clips = [(faces(i, 3 + i), faces(i + 50, 3 + i)) for i in range(4)]
    metric = cls(variant)
    for prediction, target in clips:
        metric.update(torch.from_numpy(prediction), torch.from_numpy(target))
    expected = np.mean([FORMULAS[variant](*clip, points) for clip in clips])
    assert float(metric.compute()) == pytest.approx(expected, rel=1e-12)
    assert (metric.higher_is_better, metric.is_differentiable, metric.full_state_update) == (False, False, False)
    assert metric.unit == BY_KEY[f"m_lmd{variant}"].unit


def test_class_syncs_over_processes_and_refuses_an_empty_mean():
    """Oracle: one object that saw the clips of both processes."""
    first, second, both = (FaceLandmarkDistance() for _ in range(3))
    for i in range(3):
        clip = torch.from_numpy(faces(i)), torch.from_numpy(faces(i + 9))
        (first if i else second).update(*clip)
        both.update(*clip)
    other = iter([second.total, second.clips])
    first.sync(dist_sync_fn=lambda state, group: [state, next(other)], distributed_available=lambda: True)
    assert float(first.total / first.clips) == pytest.approx(float(both.compute()), rel=1e-12)
    with pytest.warns(UserWarning, match="before the"), pytest.raises(Undefined, match="no clip"):
        FaceLandmarkDistance().compute()


@pytest.fixture(scope="module")
def real(assets, grid_clips):
    """needs-features of every third frame of the seven clips, and of one of them at 1.5 times its size."""
    import cv2

    extractor = Landmarks({"face_landmarker": assets / "models" / "face_landmarker_v2_with_blendshapes.task"})
    features = {}
    for path in grid_clips:
        frames = Clip(path).frames[::3]
        for name, scale in ((path.stem, 1), *([("larger", 1.5)] if path.stem == "bbaf2n" else [])):
            shown = np.stack([cv2.resize(f, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC) for f in frames])
            extractor.begin(ArrayClip(shown), {})
            extractor.update(shown)
            features[name] = extractor.finish()
    return features


def score(key, prediction, target):
    return BY_KEY[key].case({"prediction:landmarks": prediction, "target:landmarks": target})


def test_a_real_clip_against_itself_is_exactly_zero(real):
    """Oracle: identity."""
    for features in real.values():
        assert score("m_lmd@iod", features, features) == 0 and score("f_lmd@iod", features, features) == 0


def test_real_clips_of_two_people_differ_and_a_frozen_mouth_is_measured(real):
    """Oracle: order. The same face at another size is near, once size is removed; a still of the first frame is nearer
    than another person, for the face."""
    one, other, larger = real["bbaf2n"], real["pwij3p"], real["larger"]
    still = {"xy": np.repeat(one["xy"][:1], len(one["xy"]), axis=0)}
    # Measured: 0.09 / 1.63 / 3.38 (mouth) and 0.13 / 1.53 / 5.42 (face) percent of the inter-ocular distance.
    for key in ("m_lmd@procrustes", "f_lmd@procrustes"):
        resized, frozen, stranger = (score(key, p, one) for p in (larger, still, other))
        assert 0 < resized < frozen < stranger < 15
        assert resized < 0.5
    assert score("m_lmd@iod", larger, one) > 5
    eye_distance = interocular_distance(ibug68(one["xy"]))
    assert score("m_lmd@iod", still, one) == pytest.approx(
        100 / eye_distance * loop(ibug68(still["xy"]), ibug68(one["xy"]), MOUTH68), rel=1e-6
    )
