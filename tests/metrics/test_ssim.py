"""SSIM in each definition against scikit-image, torchmetrics and hand-computed values, and its identities."""

import cv2
import numpy as np
import pytest
import skimage
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage.metrics import structural_similarity
from torchmetrics.functional.image import structural_similarity_index_measure

from bench.media.clip import ArrayClip, Clip
from bench.media.errors import Undefined
from metrics.extractors.frames import Frames
from metrics.functional.ssim import EAT128, GRAY, METRICS, SKIMAGE7, WANG, ssim, ssim_gray, ssim_skimage7
from metrics.ssim import SSIM, EatSSIM, GraySSIM, SkimageSSIM

WANG_OPTIONS = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}
VARIANTS = (ssim, ssim_skimage7, ssim_gray)
CLIPS = settings(max_examples=25, deadline=None)


def oracle_wang(x: np.ndarray, y: np.ndarray) -> float:
    return structural_similarity(x, y, channel_axis=-1, **WANG_OPTIONS)


def oracle_skimage7(x: np.ndarray, y: np.ndarray) -> float:
    return structural_similarity(x, y, channel_axis=-1)


def oracle_gray(x: np.ndarray, y: np.ndarray) -> float:
    return structural_similarity(*(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in (x, y)), **WANG_OPTIONS)


def oracle_torchmetrics(x: np.ndarray, y: np.ndarray) -> float:
    """torchmetrics' own gaussian SSIM; its map is cut to the positions whose window needed no mirrored border."""
    images = [torch.from_numpy(image).permute(2, 0, 1)[None].double() for image in (x, y)]
    _, ssim_map = structural_similarity_index_measure(*images, data_range=255.0, return_full_image=True)
    return ssim_map[..., 5:-5, 5:-5].mean().item()


ORACLES = [
    pytest.param(ssim, oracle_wang, id="wang-skimage"),
    pytest.param(ssim_skimage7, oracle_skimage7, id="skimage7"),
    pytest.param(ssim_gray, oracle_gray, id="gray"),
]


@pytest.fixture(scope="module")
def astronaut() -> tuple[np.ndarray, np.ndarray]:
    """(prediction, target): blur of sigma 1.5, then noise of sigma 4 from default_rng(0), rounded."""
    target = np.ascontiguousarray(skimage.data.astronaut()[:256, 100:356])
    noise = np.random.default_rng(0).normal(0, 4, target.shape)
    blurred = cv2.GaussianBlur(target, (0, 0), 1.5)
    return np.clip(np.round(blurred + noise), 0, 255).astype(np.uint8)[None], target[None]


@pytest.fixture(scope="module")
def real_pair(grid_clips) -> tuple[np.ndarray, np.ndarray]:
    """(prediction, target): four frames of a real clip, blurred more and more."""
    target = Clip(grid_clips[1]).frames[:40:10]
    return np.stack([cv2.GaussianBlur(x, (0, 0), 0.8 + t) for t, x in enumerate(target)]), target


@pytest.fixture
def random_pair() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return tuple(rng.integers(0, 256, (3, 71, 150, 3), np.uint8) for _ in range(2))


def to_torch(frames: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(frames).permute(0, 3, 1, 2)


def extract(prediction: np.ndarray, target: np.ndarray) -> dict[str, np.ndarray]:
    extractor = Frames({})
    extractor.begin(ArrayClip(prediction), ArrayClip(target), {}, {})
    extractor.update(prediction, target)
    return extractor.finish()


# Analytic ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", VARIANTS)
def test_black_against_white(variant):
    """Oracle: by hand, variances 0 and means 0 and L give C1 / (L^2 + C1) = 1e-4 / (1 + 1e-4)."""
    black = np.zeros((1, 16, 16, 3), np.uint8)
    assert variant(black, ~black)[0] == pytest.approx(1e-4 / (1 + 1e-4), rel=1e-9)


def test_keys_and_default():
    assert [metric.key for metric in METRICS] == ["ssim@wang", "ssim@skimage7", "ssim@eat128", "ssim@gray"]


@pytest.mark.parametrize(
    ("variant", "pinned"), [(ssim, 0.73993228), (ssim_skimage7, 0.75745995), (ssim_gray, 0.80211030)]
)
def test_pins_on_the_astronaut(variant, pinned, astronaut):
    """Oracle: the table of the module docstring, made with scikit-image; the pair has a stated seed."""
    assert variant(*astronaut)[0] == pytest.approx(pinned, abs=1e-6)


def test_the_other_definitions_differ_on_the_astronaut(astronaut):
    """The variants must not be confused: each other definition is further away than 3e-4."""
    x, y = (clip[0] for clip in astronaut)
    images = [to_torch(clip).double() for clip in astronaut]
    uncropped = structural_similarity_index_measure(*images, data_range=255.0).item()
    assert uncropped == pytest.approx(0.74057, abs=1e-5)
    gray7 = structural_similarity(*(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in (x, y)))
    assert gray7 == pytest.approx(0.81839, abs=1e-5)
    assert structural_similarity(x / 255, y / 255, data_range=255, channel_axis=-1) == pytest.approx(0.99995, abs=1e-5)
    ours = [variant(*astronaut)[0] for variant in VARIANTS]
    assert min(abs(a - b) for a in ours for b in (uncropped, gray7)) > 3e-4


# Oracles -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pair", ["astronaut", "real_pair", "random_pair"])
@pytest.mark.parametrize(("variant", "oracle"), ORACLES)
def test_each_frame_equals_the_oracle(variant, oracle, pair, request):
    prediction, target = request.getfixturevalue(pair)
    expected = [oracle(x, y) for x, y in zip(prediction, target, strict=True)]
    np.testing.assert_allclose(variant(prediction, target), expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("pair", ["astronaut", "real_pair", "random_pair"])
def test_wang_equals_torchmetrics_on_the_valid_area(pair, request):
    """On a part of the frames: torchmetrics takes seconds in float64."""
    prediction, target = (clip[:1, :70, :90] for clip in request.getfixturevalue(pair))
    expected = [oracle_torchmetrics(x, y) for x, y in zip(prediction, target, strict=True)]
    np.testing.assert_allclose(ssim(prediction, target), expected, rtol=0, atol=1e-9)


def test_gray_is_rounded_bt601_luma_of_rgb(astronaut):
    """Oracle: 0.299 R + 0.587 G + 0.114 B in float; OpenCV's fixed point is one level off in few pixels.

    Swapping red and blue or taking scikit-image's weights would move SSIM by more than 0.003.
    """
    gray = [np.rint(clip[0] @ [0.299, 0.587, 0.114]).astype(np.uint8) for clip in astronaut]
    for ours, clip in zip(gray, astronaut, strict=True):
        off = np.abs(cv2.cvtColor(clip[0], cv2.COLOR_RGB2GRAY).astype(int) - ours)
        assert off.max() <= 1 and (off > 0).mean() < 0.01
    assert ssim_gray(*astronaut)[0] == pytest.approx(structural_similarity(*gray, **WANG_OPTIONS), abs=1e-4)


def test_descriptions_average_the_frames(real_pair):
    """Oracle: the pure functions."""
    needs = {"pair:frames": extract(*real_pair)}
    for metric, variant in ((WANG, ssim), (SKIMAGE7, ssim_skimage7), (GRAY, ssim_gray)):
        assert metric.case(needs) == variant(*real_pair).mean()


def test_eat128_pools_the_frames_of_all_cases():
    """Oracle: scikit-image's defaults, as evaluation_eat calls them, over the frames with a face in both clips."""
    rng = np.random.default_rng(1)
    values, statistics = [], np.zeros(2)
    for noise, found in ((3, [True, False, True]), (60, [True] * 4)):
        target = rng.integers(0, 256, (len(found), 128, 128, 3), np.uint8)
        target = np.stack([cv2.GaussianBlur(x, (0, 0), 3) for x in target])
        prediction = np.clip(target + rng.normal(0, noise, target.shape), 0, 255).astype(np.uint8)
        values += [oracle_skimage7(target[t], prediction[t]) for t in np.flatnonzero(found)]
        roles = ({"crop": clip, "found": np.array(found)} for clip in (prediction, target))
        statistics += EAT128.case(dict(zip(("prediction:eat_crop", "target:eat_crop"), roles, strict=True)))
    assert statistics[1] == 6
    assert EAT128.finish(statistics) == pytest.approx(np.mean(values), abs=1e-10)


# Undefined -----------------------------------------------------------------------------------------------------------


def test_frames_smaller_than_the_window_are_undefined():
    """8 rows hold the 7x7 window and not the 11x11 one; PSNR of the same frames stays defined."""
    frames = np.random.default_rng(0).integers(0, 256, (2, 8, 30, 3), np.uint8)
    needs = {"pair:frames": extract(frames, frames)}
    assert SKIMAGE7.case(needs) == 1.0
    for metric in (WANG, GRAY):
        with pytest.raises(Undefined, match="8x30 pixels are smaller than the 11x11 window"):
            metric.case(needs)
    with pytest.raises(Undefined, match="11x11"):
        ssim(frames, frames)
    with pytest.raises(Undefined, match="5x30 pixels are smaller than the 7x7 window"):
        ssim_skimage7(frames[:, :5], frames[:, :5])


def test_smallest_frames_have_one_window():
    """Oracle: scikit-image on a frame of exactly one window."""
    x, y = np.random.default_rng(4).integers(0, 256, (2, 1, 11, 11, 3), np.uint8)
    assert ssim(x, y)[0] == pytest.approx(oracle_wang(x[0], y[0]), abs=1e-12)


def test_floats_and_unequal_shapes_are_refused():
    frames = np.zeros((1, 16, 16, 3), np.uint8)
    with pytest.raises(ValueError, match="uint8"):
        ssim(frames / 255.0, frames / 255.0)
    with pytest.raises(ValueError, match="differ in shape"):
        ssim(frames, frames[:, :12])


# Identities ----------------------------------------------------------------------------------------------------------


@CLIPS
@given(*[arrays(np.uint8, (1, 13, 15, 3), elements=st.integers(0, 255))] * 2)
def test_symmetric_bounded_and_one_on_itself(x, y):
    for variant in VARIANTS:
        value = variant(x, y)
        assert abs(value) <= 1.0
        np.testing.assert_array_equal(value, variant(y, x))
        assert variant(x, x) == [1.0]
        np.testing.assert_allclose(value, variant(x[:, ::-1], y[:, ::-1]), rtol=0, atol=1e-12)


@CLIPS
@given(st.integers(0, 2**32 - 1), st.floats(2, 20), st.floats(1.5, 3))
def test_falls_as_noise_grows(seed, sigma, factor):
    rng = np.random.default_rng(seed)
    target = np.clip(cv2.GaussianBlur(rng.normal(128, 200, (40, 40, 3)), (0, 0), 3), 60, 196)[None]
    noise = rng.normal(0, 1, target.shape)
    weak, strong = (np.clip(target + noise * s, 0, 255).astype(np.uint8) for s in (sigma, sigma * factor))
    for variant in VARIANTS:
        assert variant(weak, target.astype(np.uint8)) > variant(strong, target.astype(np.uint8))


# Classes -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("build", "variant"), [(SSIM, ssim), (SkimageSSIM, ssim_skimage7), (GraySSIM, ssim_gray), (EatSSIM, ssim_skimage7)]
)
def test_classes_average_over_clips(build, variant, random_pair, astronaut):
    """Oracle: the pure functions; EatSSIM weighs the clips by their frames, the others do not."""
    metric = build()
    values = [variant(*pair) for pair in (random_pair, astronaut)]
    for pair in (random_pair, astronaut):
        metric.update(*map(to_torch, pair))
    expected = np.concatenate(values).mean() if build is EatSSIM else np.mean([v.mean() for v in values])
    assert metric.compute().item() == pytest.approx(expected, abs=1e-12)
    assert metric.higher_is_better and metric.unit == ""
