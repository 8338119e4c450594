"""PSNR against hand-computed values, scikit-image and torchmetrics, and its identities."""

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage.metrics import peak_signal_noise_ratio
from torchmetrics.functional.image import peak_signal_noise_ratio as torchmetrics_psnr

from bench.media.clip import ArrayClip, Clip
from bench.media.errors import Undefined
from metrics.extractors.face_box import FaceBox, landmark_boxes
from metrics.extractors.frames import Frames
from metrics.functional.psnr import EAT128, FACE, FRAME, GLOBAL, METRICS, psnr, squared_errors
from metrics.psnr import PSNR, EatPSNR, FacePSNR, GlobalPSNR
from tests.metrics.ddp import values_after_sync

SMALL = (2, 6, 5, 3)
CLIPS = settings(max_examples=40, deadline=None)


def clips(shape=SMALL, high=255):
    return arrays(np.uint8, shape, elements=st.integers(0, high))


@pytest.fixture(scope="module")
def real_pair(grid_clips) -> tuple[np.ndarray, np.ndarray]:
    """(prediction, target): 12 frames each of a real clip, the prediction through JPEG at falling quality.

    OpenCV takes RGB for BGR both ways, so the channels come back in their places.
    """
    target = Clip(grid_clips[0]).frames[:12]
    coded = [cv2.imencode(".jpg", x, [cv2.IMWRITE_JPEG_QUALITY, 60 - 5 * t])[1] for t, x in enumerate(target)]
    return np.stack([cv2.imdecode(x, cv2.IMREAD_COLOR) for x in coded]), target


@pytest.fixture
def random_pair() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return tuple(rng.integers(0, 256, (4, 33, 47, 3), np.uint8) for _ in range(2))


def to_torch(frames: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(frames).permute(0, 3, 1, 2)


def extract(prediction: np.ndarray, target: np.ndarray, chunk: int = 5) -> dict[str, np.ndarray]:
    extractor = Frames({})
    extractor.begin(ArrayClip(prediction), ArrayClip(target), {}, {})
    for start in range(0, len(prediction), chunk):
        extractor.update(prediction[start : start + chunk], target[start : start + chunk])
    return extractor.finish()


def crops(frames: np.ndarray, found: list[bool]) -> dict[str, np.ndarray]:
    return {"crop": frames, "found": np.array(found)}


def mse_20_and_200() -> tuple[np.ndarray, np.ndarray]:
    """Two frames of 450 samples: a fifth differs by 6 and the rest by 4; a fifteenth by 16 and the rest by 14."""
    target = np.full((2, 10, 15, 3), 100, np.uint8)
    offsets = np.empty((2, 450), np.uint8)
    offsets[0], offsets[0, :90] = 4, 6
    offsets[1], offsets[1, :30] = 14, 16
    return target + offsets.reshape(target.shape), target


# Analytic ------------------------------------------------------------------------------------------------------------


def test_black_against_white_is_zero_and_identical_is_the_cap():
    black, white = np.zeros((1, 8, 8, 3), np.uint8), np.full((1, 8, 8, 3), 255, np.uint8)
    assert psnr(black, white) == [0.0]
    assert psnr(white, white) == [100.0]


def test_mean_of_decibels_is_not_decibels_of_the_mean():
    """Oracle: by hand, (10 lg(65025/20) + 10 lg(65025/200)) / 2 = 30.12 dB and 10 lg(65025/110) = 27.72 dB."""
    prediction, target = mse_20_and_200()
    features = {"pair:frames": extract(prediction, target)}
    assert squared_errors(prediction, target).tolist() == [20 * 450, 200 * 450]
    assert FRAME.case(features) == pytest.approx(5 * np.log10(65025**2 / 4000), abs=1e-12)
    assert round(FRAME.case(features), 2) == 30.12
    assert round(GLOBAL.finish(GLOBAL.case(features)), 2) == 27.72


def test_an_error_too_small_for_the_cap_scores_the_cap():
    """Oracle: one level in one of 864,000 samples is 107.5 dB, above the cap of 100."""
    target = np.full((1, 600, 480, 3), 7, np.uint8)
    prediction = target.copy()
    prediction[0, 3, 5, 1] += 1
    assert peak_signal_noise_ratio(target, prediction) > 107
    assert psnr(prediction, target) == [100.0]


def test_squared_errors_are_exact():
    """Oracles: 1080 * 1920 * 3 * 255^2, beyond 32 bits, and numpy's integer sum."""
    black = np.zeros((1, 1080, 1920, 3), np.uint8)
    assert squared_errors(black, ~black).tolist() == [1080 * 1920 * 3 * 255**2]
    noise = np.random.default_rng(3).integers(0, 256, (2, 1, 1080, 1920, 3), np.uint8)
    assert squared_errors(*noise).tolist() == [int(((noise[0].astype(np.int64) - noise[1]) ** 2).sum())]


def test_keys_and_default():
    assert [metric.key for metric in METRICS] == ["psnr@frame", "psnr@global", "psnr@eat128", "psnr@face"]


# Oracles -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pair", ["real_pair", "random_pair"])
def test_each_frame_equals_scikit_image(pair, request):
    prediction, target = request.getfixturevalue(pair)
    oracle = [peak_signal_noise_ratio(y, x, data_range=255) for x, y in zip(prediction, target, strict=True)]
    np.testing.assert_allclose(psnr(prediction, target), oracle, rtol=0, atol=1e-10)
    assert FRAME.case({"pair:frames": extract(prediction, target)}) == pytest.approx(np.mean(oracle), abs=1e-10)


@pytest.mark.parametrize("pair", ["real_pair", "random_pair"])
def test_global_equals_torchmetrics(pair, request):
    prediction, target = request.getfixturevalue(pair)
    oracle = torchmetrics_psnr(to_torch(prediction).double(), to_torch(target).double(), data_range=255.0).item()
    statistics = GLOBAL.case({"pair:frames": extract(prediction, target)})
    assert GLOBAL.finish(statistics) == pytest.approx(oracle, abs=1e-5)
    assert GLOBAL.per_case(statistics) == GLOBAL.finish(statistics)


def test_global_pools_cases_like_torchmetrics_over_two_updates(real_pair, random_pair):
    from torchmetrics.image import PeakSignalNoiseRatio

    oracle = PeakSignalNoiseRatio(data_range=255.0)
    statistics = np.zeros(2)
    for prediction, target in (real_pair, random_pair):
        oracle.update(to_torch(prediction).double(), to_torch(target).double())
        statistics += GLOBAL.case({"pair:frames": extract(prediction, target)})
    assert GLOBAL.finish(statistics) == pytest.approx(oracle.compute().item(), abs=1e-5)


def test_features_do_not_depend_on_the_chunks(real_pair):
    whole, pieces = extract(*real_pair, chunk=12), extract(*real_pair, chunk=5)
    assert whole.keys() == pieces.keys()
    for name, values in whole.items():
        np.testing.assert_array_equal(values, pieces[name])


# The EAT and face variants -------------------------------------------------------------------------------------------


def test_eat128_pools_the_frames_of_all_cases():
    """Oracle: scikit-image on the frames with a face in both clips, one mean over all of them."""
    rng = np.random.default_rng(1)
    values, statistics = [], np.zeros(2)
    for noise, found, found_target in ((3, [1, 1, 0, 1], [1, 1, 1, 0]), (40, [1] * 6, [1] * 6)):
        target = rng.integers(50, 200, (len(found), 128, 128, 3)).astype(np.uint8)
        prediction = (target + rng.integers(-noise, noise + 1, target.shape)).astype(np.uint8)
        both = np.array(found, bool) & np.array(found_target, bool)
        values += [peak_signal_noise_ratio(target[t], prediction[t]) for t in np.flatnonzero(both)]
        roles = (crops(prediction, found), crops(target, found_target))
        roles = ({**role, "found": role["found"].astype(bool)} for role in roles)
        statistics += EAT128.case(dict(zip(("prediction:eat_crop", "target:eat_crop"), roles, strict=True)))
    assert statistics[1] == 8
    assert EAT128.finish(statistics) == pytest.approx(np.mean(values), abs=1e-10)


def test_eat128_without_a_common_face_is_undefined():
    frames = np.zeros((2, 128, 128, 3), np.uint8)
    needs = {"prediction:eat_crop": crops(frames, [True, False]), "target:eat_crop": crops(frames, [False, False])}
    with pytest.raises(Undefined, match=r"no frame of 2 .*prediction 1, target 0"):
        EAT128.case(needs)


def test_landmark_boxes_by_hand():
    """Oracle: by hand, pixels that hold a landmark, cut at a 20x10 frame; NaN and outside give no box."""
    xy = np.array(
        [[[2.5, 3.0], [7.9, 5.2]], [[-4.0, -1.0], [3.2, 30.0]], [[np.nan] * 2] * 2, [[30, 3], [40, 5]]], np.float32
    )
    assert landmark_boxes(xy, height=10, width=20).tolist() == [[2, 3, 8, 6], [0, 0, 4, 10], [0] * 4, [0] * 4]


def face_features(prediction: np.ndarray, target: np.ndarray, xy: np.ndarray) -> dict[str, np.ndarray]:
    extractor = FaceBox({})
    extractor.begin(ArrayClip(prediction), ArrayClip(target), {}, {"landmarks": {"xy": xy}})
    for start in range(0, len(target), 2):
        extractor.update(prediction[start : start + 2], target[start : start + 2])
    return extractor.finish()


def test_face_equals_scikit_image_on_the_box(real_pair):
    prediction, target = (clip[:3] for clip in real_pair)
    xy = np.array([[[100, 80], [220.5, 200]], [[np.nan] * 2] * 2, [[104, 81], [223, 202.7]]], np.float32)
    oracle = [
        peak_signal_noise_ratio(target[0, 80:201, 100:221], prediction[0, 80:201, 100:221]),
        peak_signal_noise_ratio(target[2, 81:203, 104:224], prediction[2, 81:203, 104:224]),
    ]
    features = face_features(prediction, target, xy)
    assert FACE.case({"pair:face_box": features}) == pytest.approx(np.mean(oracle), abs=1e-10)
    metric = FacePSNR()
    metric.update(to_torch(prediction), to_torch(target), torch.from_numpy(features["box"]))
    assert metric.compute().item() == pytest.approx(np.mean(oracle), abs=1e-10)


def test_face_ignores_what_is_outside_the_box():
    target = np.full((1, 40, 40, 3), 90, np.uint8)
    inside, outside = target.copy(), target.copy()
    inside[0, 20, 20] += 50
    outside[0, 5, 5] += 50
    xy = np.array([[[10, 10], [30, 30]]], np.float32)
    assert FACE.case({"pair:face_box": face_features(outside, target, xy)}) == 100.0
    assert FACE.case({"pair:face_box": face_features(inside, target, xy)}) < 60.0


def test_face_without_a_face_is_undefined():
    target = np.zeros((3, 8, 8, 3), np.uint8)
    features = face_features(target, target, np.full((3, 478, 2), np.nan, np.float32))
    with pytest.raises(Undefined, match="no face in 3 of 3 frames of the target"):
        FACE.case({"pair:face_box": features})


# Identities ----------------------------------------------------------------------------------------------------------


@CLIPS
@given(clips(), clips())
def test_symmetric_bounded_and_unmoved_by_joint_flips(x, y):
    values = psnr(x, y)
    assert ((values >= 0) & (values <= 100)).all()
    np.testing.assert_array_equal(values, psnr(y, x))
    np.testing.assert_array_equal(values, psnr(x[:, ::-1], y[:, ::-1]))
    np.testing.assert_array_equal(values, psnr(x[:, :, ::-1], y[:, :, ::-1]))
    np.testing.assert_array_equal(values, psnr(x[..., ::-1], y[..., ::-1]))


@CLIPS
@given(clips(high=99), st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 20))
def test_falls_as_noise_grows(target, seed, weaker, more):
    pattern = np.random.default_rng(seed).integers(1, 3, target.shape).astype(np.uint8)
    values = [psnr(target + pattern * scale, target) for scale in (np.uint8(weaker), np.uint8(weaker + more))]
    assert (values[0] > values[1]).all()


@CLIPS
@given(clips(), clips())
def test_global_of_one_clip_is_never_above_the_frame_mean(x, y):
    """Oracle: Jensen's inequality (-log is convex); the cap keeps it for identical frames only within a clip."""
    features = {"pair:frames": extract(x, y)}
    assert GLOBAL.finish(GLOBAL.case(features)) <= FRAME.case(features) + 1e-9 or (psnr(x, y) == 100).any()


# Classes -------------------------------------------------------------------------------------------------------------


def test_classes_average_over_clips_as_the_descriptions_do(real_pair, random_pair):
    """Oracle: the pure functions, averaged by hand over two clips of different length."""
    means, sums, count = [], np.zeros(2), 0
    classes = {"frame": PSNR(), "global": GlobalPSNR(), "eat": EatPSNR()}
    for prediction, target in (real_pair, random_pair):
        values = psnr(prediction, target)
        means.append(values.mean())
        sums += values.sum(), squared_errors(prediction, target).sum()
        count += len(values)
        for metric in classes.values():
            metric.update(to_torch(prediction), to_torch(target))
    samples = sum(prediction.size for prediction, _ in (real_pair, random_pair))
    assert classes["frame"].compute().item() == pytest.approx(np.mean(means), abs=1e-12)
    assert classes["eat"].compute().item() == pytest.approx(sums[0] / count, abs=1e-12)
    assert classes["global"].compute().item() == pytest.approx(10 * np.log10(65025 / (sums[1] / samples)), abs=1e-12)


def test_forward_gives_the_clip_and_keeps_the_mean(random_pair):
    prediction, target = (to_torch(clip) for clip in random_pair)
    metric = PSNR()
    assert metric(target, target).item() == 100.0
    clip = metric(prediction, target).item()
    assert metric.compute().item() == pytest.approx((100.0 + clip) / 2, abs=1e-12)


def test_floats_unequal_shapes_and_nothing_are_refused(random_pair):
    prediction, target = random_pair
    with pytest.raises(ValueError, match="uint8"):
        psnr(prediction / 255.0, target / 255.0)
    with pytest.raises(ValueError, match="differ in shape"):
        psnr(prediction[:2], target)
    with pytest.raises(ValueError, match="round"):
        PSNR().update(torch.rand(1, 3, 8, 8), torch.rand(1, 3, 8, 8))
    with pytest.raises(Undefined, match="seen no frame"), pytest.warns(UserWarning, match="before the ``update``"):
        PSNR().compute()


def test_syncs_over_two_processes(tmp_path):
    """Oracle: one process that sees all three clips; the shards are uneven, so a mean of means would differ."""
    rng = np.random.default_rng(2)
    seen = [tuple(to_torch(rng.integers(0, 256 >> k, (2, 12, 12, 3), np.uint8)) for _ in range(2)) for k in range(3)]
    alone = PSNR()
    for clip in seen:
        alone.update(*clip)
    values = values_after_sync(PSNR, [seen[:1], seen[1:]], tmp_path)
    assert values[0] == values[1]
    assert values[0].item() == pytest.approx(alone.compute().item(), abs=1e-12)
