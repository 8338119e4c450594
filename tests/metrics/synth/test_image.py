"""`synth_image`, `synth_lpips` and fid, kid, lpips @synth.

Oracles: numpy's own formulas on the same features and maps; degradations whose order is known; unseen identities of the
synthetic world for the shipped weights.
"""

from pathlib import Path

import numpy as np
import pytest
import torch

from bench import registry
from bench.media.clip import ArrayClip
from bench.media.errors import Undefined
from metrics import synth
from metrics.functional.fid import fid
from metrics.functional.kid import kid
from metrics.synth.convnet import pixels
from metrics.synth.degradations import compressed, noisy
from metrics.synth.image import FEATURES, SynthImage, SynthLpips, image_network, map_distances
from metrics.synth.train_image import (
    DEGRADATIONS,
    LEVELS,
    degraded,
    image_heads,
    image_loss,
    image_sensitivity,
    train_image,
)
from metrics.synth.training import Budget, Recipe, load_weights, save_weights, seed_everything, train
from tests.metrics.synth.random_arrays import small_stills, write_arrays

WEIGHTS = Path(synth.__file__).parent / "weights" / "synth_image.safetensors"


@pytest.fixture(scope="module")
def random_weights(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "synth_image.safetensors"
    seed_everything(0)
    save_weights(path, image_network(), {})
    assert path.stat().st_size < 2e6  # the limit of what is shipped
    return path


def random_frames(count: int, size: tuple[int, int], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, *size, 3), dtype=np.uint8)


@pytest.mark.parametrize("size", [(128, 128), (40, 72), (301, 200)])
def test_one_row_per_frame_at_any_size(random_weights, size):
    """Oracle: the number of frames."""
    frames = random_frames(9, size)
    extractor = SynthImage({"synth_image": random_weights})
    extractor.begin(ArrayClip(frames), {})
    extractor.update(frames[:6])
    extractor.update(frames[6:])
    pool = extractor.finish()["pool"]
    assert pool.shape == (9, FEATURES)
    assert np.isfinite(pool).all()


@pytest.mark.parametrize("size", [(128, 128), (16, 24), (301, 200)])
def test_lpips_against_its_formula(random_weights, size):
    """Oracle: numpy on the maps of the same stages."""
    frames, target = random_frames(5, size), random_frames(5, size, seed=1)
    extractor = SynthLpips({"synth_image": random_weights})
    extractor.begin(ArrayClip(frames), ArrayClip(target), {}, {})
    extractor.update(frames, target)
    found = extractor.finish()["d"]
    network = load_weights(image_network(), random_weights)
    x, y, expected = pixels(frames), pixels(target), 0.0
    for stage in network.stages:
        with torch.inference_mode():
            x, y = stage(x), stage(y)
        a, b = (maps.numpy() / np.sqrt((maps.numpy() ** 2).sum(1, keepdims=True) + 1e-10) for maps in (x, y))
        expected = expected + ((a - b) ** 2).sum(1).mean((1, 2)) / len(network.stages)
    np.testing.assert_allclose(found, expected, rtol=1e-3)
    assert registry.metric("lpips@synth").case({"pair:synth_lpips": {"d": found}}) == pytest.approx(found.mean())


def test_lpips_of_a_frame_with_itself_is_zero_and_both_ways_equal(random_weights):
    """Oracle: the axioms of a distance."""
    network = load_weights(image_network(), random_weights)
    frames, target = random_frames(3, (64, 64)), random_frames(3, (64, 64), seed=1)
    assert not map_distances(network, frames, frames).any()
    np.testing.assert_allclose(map_distances(network, frames, target), map_distances(network, target, frames))


def test_frames_too_small_for_the_last_stage_have_no_value(random_weights):
    """Oracle: the reason that is stored."""
    clip = ArrayClip(random_frames(2, (15, 64)))
    with pytest.raises(Undefined, match="15x64"):
        SynthLpips({"synth_image": random_weights}).begin(clip, clip, {}, {})


def test_fid_and_kid_are_those_of_the_rows():
    """Oracle: the functions of fid@inception and kid@inception on the same rows."""
    rows = np.random.default_rng(0).normal(size=(2, 90, FEATURES)).astype(np.float32)
    needs = {"prediction:synth_image": {"pool": rows[0]}, "target:synth_image": {"pool": rows[1]}}
    for name, function in (("fid", fid), ("kid", kid)):
        metric = registry.metric(f"{name}@synth")
        assert metric.distance(*metric.case(needs)) == function(rows[0], rows[1])


def test_noise_has_the_strength_that_is_asked_for():
    """Oracle: the standard deviation on grey."""
    grey = np.full((4, 64, 64, 3), 128, np.uint8)
    assert noisy(grey, 12, np.random.default_rng(0)).astype(float).std() == pytest.approx(12, rel=0.02)


def test_compression_keeps_the_colour_order():
    """Oracle: a red frame stays red."""
    red = np.zeros((1, 32, 32, 3), np.uint8)
    red[..., 0] = 200
    np.testing.assert_allclose(compressed(red, 90)[0, 16, 16], [200, 0, 0], atol=6)


def test_degraded_tells_what_it_did():
    """Oracle: where every strength is 0 the frame is as it was, and elsewhere it is not."""
    frame = random_frames(1, (32, 32))[0]
    rng = np.random.default_rng(0)
    for _ in range(40):
        changed, strengths = degraded(frame, rng)
        assert strengths.shape == (DEGRADATIONS,)
        assert np.array_equal(changed, frame) == (not strengths.any())


def test_training_lowers_the_loss(tmp_path):
    """Oracle: the loss of the same batch before."""
    faces = small_stills(tmp_path)
    seed_everything(0)
    model = torch.nn.ModuleDict({"network": image_network(), "heads": image_heads()})
    loss = image_loss(model["network"], model["heads"], faces, np.arange(len(faces.identity)))
    before = loss(np.random.default_rng(1)).item()
    train(model, loss, recipe=Recipe(), budget=Budget(steps=20), log=lambda line: None)
    model.train()  # as before: statistics of the batch
    assert loss(np.random.default_rng(1)).item() < 0.8 * before


def test_training_saves_the_network_without_its_heads(tmp_path):
    """Oracle: strict loading, and one figure per strength."""
    data = write_arrays(tmp_path / "data", people=20)
    figures = train_image(data, tmp_path / "a.safetensors", steps=1, log=lambda line: None)
    load_weights(image_network(), tmp_path / "a.safetensors")
    assert {f"fid_blur_{sigma:g}" for sigma in LEVELS["blur"]} <= set(figures)


def test_shipped_weights_see_every_degradation(synth_test_arrays):
    """Oracle: the order of the strengths, and that other people differ more than other frames of the same people."""
    figures = image_sensitivity(WEIGHTS, synth_test_arrays)
    for score in ("fid", "lpips"):
        for kind, strengths in LEVELS.items():
            values = [0.0, *(figures[f"{score}_{kind}_{strength:g}"] for strength in strengths)]
            assert np.all(np.diff(values) > 0), (score, kind, values)
        assert figures[f"{score}_swap"] > figures[f"{score}_same"]
