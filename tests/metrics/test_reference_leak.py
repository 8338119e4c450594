"""reference_leak: the share of the reference's expression in the generated one."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.media.au_maps import ARKIT_TO_FEAFA
from bench.media.errors import Undefined
from methods.generator import Request
from methods.sanity.still_image import StillImage
from metrics.functional.reference_leak import FLOOR, METRICS, leak_statistics, reference_leak
from metrics.reference_leak import ReferenceLeak

METRIC = METRICS[0]


def case(seed: int, frames: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Driving curves (T, 24) that are calm, and a reference (24,) with a broad smile and lowered brows."""
    rng = np.random.default_rng(seed)
    driving = 0.3 * rng.random((frames, 24))
    reference = np.zeros(24)
    reference[[4, 5, 11, 12]] = 0.9
    return driving, reference


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 1000), st.floats(-0.5, 1.5))
def test_a_mixture_gives_its_weight(seed, weight):
    """Oracle: the construction g = (1 - w) d + w r, whose weight must come back: 0 no leak, 1 a copy, and beyond."""
    driving, reference = case(seed)
    assert reference_leak((1 - weight) * driving + weight * reference, driving, reference) == pytest.approx(
        weight, abs=1e-12
    )


def test_none_and_all():
    """Oracle: the definition: the driving AUs themselves 0, the reference repeated 1."""
    driving, reference = case(0)
    assert reference_leak(driving, driving, reference) == 0
    assert reference_leak(np.repeat(reference[None], 40, axis=0), driving, reference) == pytest.approx(1)


def test_against_least_squares():
    """Oracle: numpy.linalg.lstsq of (g - d) on (r - d) over the entries above the floor."""
    rng = np.random.default_rng(0)
    driving, reference = case(1)
    generated = driving + 0.3 * (reference - driving) + 0.1 * rng.standard_normal(driving.shape)
    apart = reference - driving
    chosen = np.abs(apart) >= FLOOR
    expected = np.linalg.lstsq(apart[chosen][:, None], (generated - driving)[chosen], rcond=None)[0][0]
    assert reference_leak(generated, driving, reference) == pytest.approx(expected, abs=1e-12)
    assert 0.2 < expected < 0.4


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.integers(0, 1000))
def test_entries_where_nothing_differs_do_not_count(seed, noise_seed):
    """Metamorphic: what is generated where reference and driving agree changes nothing; frames may be shuffled."""
    driving, reference = case(seed)
    rng = np.random.default_rng(noise_seed)
    generated = rng.random(driving.shape)
    changed = np.where(np.abs(reference - driving) < FLOOR, rng.random(driving.shape), generated)
    value = reference_leak(generated, driving, reference)
    assert reference_leak(changed, driving, reference) == pytest.approx(value, abs=1e-12)
    order = rng.permutation(len(driving))
    assert reference_leak(generated[order], driving[order], reference) == pytest.approx(value, abs=1e-12)


def test_no_difference_no_value():
    """Oracle: the declared error: fewer entries apart than frames."""
    driving, reference = case(0)
    same = driving[0]
    with pytest.raises(Undefined, match="0 entries of 40 frames"):
        reference_leak(driving, np.repeat(same[None], 40, axis=0), same + FLOOR / 2)
    few = np.repeat(reference[None], 40, axis=0)
    few[:9, [4, 5, 11, 12]] = 0
    assert leak_statistics(few, few, reference)[2] == 36
    with pytest.raises(Undefined, match="36 entries"):
        reference_leak(few, few, reference)


def rows(values: np.ndarray) -> dict:
    return {"blendshapes": values.astype(np.float32)}


def test_case_uses_the_reference_images_own_face():
    """Oracle: the pure function on mapped blendshapes; without a face in the reference there is no value."""
    rng = np.random.default_rng(0)
    driving, generated, reference = rng.random((30, 52)), rng.random((30, 52)), rng.random((1, 52))
    needs = {
        "prediction:landmarks": rows(generated),
        "driving:landmarks": rows(driving),
        "reference:landmarks": rows(reference),
    }
    mapped = [ARKIT_TO_FEAFA(values.astype(np.float32)) for values in (generated, driving, reference)]
    assert METRIC.case(needs) == pytest.approx(reference_leak(mapped[0], mapped[1], mapped[2][0]), abs=1e-12)
    with pytest.raises(Undefined, match="no face in the reference image"):
        METRIC.case({**needs, "reference:landmarks": rows(np.full((1, 52), np.nan))})


def test_still_image_is_a_copy_of_the_reference():
    """Oracle: the control itself. Its frames are the reference, so whatever estimates AUs per frame reads the
    reference's in every frame, and the leak is 1 (through the real landmarker: test_au_following.test_real_clips)."""
    image = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    request = Request("c", image, None, 20, 25.0, 8, 8, 0)
    frames = np.concatenate([np.asarray(chunk) for chunk in StillImage(StillImage.Config()).generate(request)])
    assert len(frames) == 20

    def estimate(clip):
        return np.stack([np.resize(frame.astype(np.float64).ravel() / 255, 52) for frame in clip])

    needs = {
        "prediction:landmarks": rows(estimate(frames)),
        "driving:landmarks": rows(np.random.default_rng(1).random((20, 52)) ** 4),
        "reference:landmarks": rows(estimate(image[None])),
    }
    assert METRIC.case(needs) == pytest.approx(1, abs=1e-6)


def test_class_is_the_mean_over_clips():
    """Oracle: the pure function per clip, then the mean."""
    metric, values = ReferenceLeak(), []
    for seed, weight in ((0, 0.2), (1, 0.8)):
        driving, reference = case(seed)
        generated = (1 - weight) * driving + weight * reference
        metric.update(*(torch.from_numpy(array) for array in (generated, driving, reference)))
        values.append(weight)
    assert metric.compute().item() == pytest.approx(np.mean(values), abs=1e-12)
    assert not metric.higher_is_better
