"""`synth_video` and fvd@synth.

Oracles: the number of whole windows; the function of fvd@i3d16 on the same rows; frame orders written by hand; unseen
identities of the synthetic world for the shipped weights.
"""

from pathlib import Path

import numpy as np
import pytest
import torch

from bench import registry
from bench.media.clip import ArrayClip
from bench.media.errors import Undefined
from metrics import synth
from metrics.functional.fvd import fvd
from metrics.synth.train_video import (
    CHANGES,
    LEVELS,
    moved,
    played,
    shown,
    train_video,
    video_head,
    video_loss,
    video_sensitivity,
)
from metrics.synth.training import Budget, Recipe, load_weights, save_weights, seed_everything, train
from metrics.synth.video import FEATURES, WINDOW, SynthVideo, video_network
from tests.metrics.synth.random_arrays import small_clips, write_arrays

WEIGHTS = Path(synth.__file__).parent / "weights" / "synth_video.safetensors"


@pytest.fixture(scope="module")
def extractor(tmp_path_factory) -> SynthVideo:
    path = tmp_path_factory.mktemp("weights") / "synth_video.safetensors"
    seed_everything(0)
    save_weights(path, video_network(), {})
    assert path.stat().st_size < 2e6  # the limit of what is shipped
    return SynthVideo({"synth_video": path})


def features(extractor, frames: np.ndarray, chunk: int) -> np.ndarray:
    extractor.begin(ArrayClip(frames), {})
    for start in range(0, len(frames), chunk):
        extractor.update(frames[start : start + chunk])
    return extractor.finish()["window16"]


def random_frames(count: int, size: tuple[int, int] = (64, 64)) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, *size, 3), dtype=np.uint8)


@pytest.mark.parametrize(("length", "windows"), [(16, 1), (31, 1), (32, 2), (50, 3)])
def test_windows_do_not_overlap_and_the_rest_is_left_out(extractor, length, windows):
    """Oracle: T // 16, and each window by itself."""
    frames = random_frames(length)
    rows = features(extractor, frames, chunk=7)
    assert rows.shape == (windows, FEATURES)
    for index in range(windows):
        alone = features(extractor, frames[WINDOW * index : WINDOW * (index + 1)], chunk=16)
        np.testing.assert_allclose(alone[0], rows[index], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("size", [(128, 128), (40, 72), (301, 200)])
def test_any_size(extractor, size):
    """Oracle: the shape, and that it is finite."""
    rows = features(extractor, random_frames(16, size), chunk=5)
    assert rows.shape == (1, FEATURES)
    assert np.isfinite(rows).all()


def test_a_clip_shorter_than_a_window_has_no_value(extractor):
    """Oracle: the reason that is stored."""
    with pytest.raises(Undefined, match="15 frames"):
        features(extractor, random_frames(15), chunk=16)


def test_the_network_sees_the_order_of_frames(extractor):
    """Oracle: a picture that grows bright, and the same frames in another order; a network that pools what it sees in single
    frames would answer the same to rounding, 1e-6."""
    frames = (random_frames(1) * np.linspace(0, 1, 16)[:, None, None, None]).astype(np.uint8)
    order = np.random.default_rng(0).permutation(16)
    plain, shuffled = features(extractor, frames, 16), features(extractor, frames[order], 16)
    assert np.linalg.norm(plain - shuffled) > 1e-4 * np.linalg.norm(plain)


def test_fvd_is_that_of_the_rows():
    """Oracle: the function of fvd@i3d16 on the same rows."""
    rows = np.random.default_rng(0).normal(size=(2, 90, FEATURES)).astype(np.float32)
    needs = {"prediction:synth_video": {"window16": rows[0]}, "target:synth_video": {"window16": rows[1]}}
    metric = registry.metric("fvd@synth")
    assert metric.distance(*metric.case(needs)) == fvd(rows[0], rows[1])


def test_frames_a_window_shows():
    """Oracle: orders written by hand."""
    rng = np.random.default_rng(0)
    np.testing.assert_array_equal(played(50, 7, {}, rng), np.arange(7, 23))
    np.testing.assert_array_equal(played(50, 7, {"speed": 1.0}, rng), np.arange(7, 39, 2))
    np.testing.assert_array_equal(played(50, 30, {"speed": 1.0}, rng), np.arange(18, 50, 2))
    np.testing.assert_array_equal(played(50, 3, {"freeze": 1.0}, rng), np.full(16, 3))
    shuffled = played(50, 7, {"shuffle": 1.0}, rng)
    assert sorted(shuffled) == list(range(7, 23))
    assert list(shuffled) != sorted(shuffled)


def test_moved_by_whole_pixels():
    """Oracle: numpy's roll, away from the edges."""
    frames = random_frames(3)
    ours = moved(frames, np.array([[0.0, 0.0], [2.0, -1.0], [-3.0, 0.0]]))
    np.testing.assert_array_equal(ours[0], frames[0])
    np.testing.assert_array_equal(ours[1, 5:-5, 5:-5], np.roll(frames[1], (-1, 2), (0, 1))[5:-5, 5:-5])
    np.testing.assert_array_equal(ours[2, 5:-5, 5:-5], np.roll(frames[2], -3, 1)[5:-5, 5:-5])


def test_no_change_is_no_change():
    """Oracle: the frames themselves."""
    frames = random_frames(16)
    np.testing.assert_array_equal(shown(frames, {}, np.random.default_rng(0)), frames)


def test_training_lowers_the_loss(tmp_path):
    """Oracle: the loss of the same batch before."""
    performances = small_clips(tmp_path)
    seed_everything(0)
    model = torch.nn.ModuleDict({"network": video_network(), "head": video_head()})
    loss = video_loss(model["network"], model["head"], performances, np.arange(len(performances.identity)))
    before = loss(np.random.default_rng(1)).item()
    train(model, loss, recipe=Recipe(), budget=Budget(steps=20), log=lambda line: None)
    model.train()  # as before: statistics of the batch
    assert loss(np.random.default_rng(1)).item() < 0.8 * before


def test_training_saves_the_network_without_its_head(tmp_path):
    """Oracle: strict loading, and one figure per change and level."""
    data = write_arrays(tmp_path / "data", length=32)
    figures = train_video(data, tmp_path / "a.safetensors", steps=1, log=lambda line: None)
    load_weights(video_network(), tmp_path / "a.safetensors")
    assert set(figures) == {f"fvd_{change}_{level:g}" for change in CHANGES for level in LEVELS} | {"fvd_halves"}


def test_shipped_weights_see_every_change(synth_test_arrays):
    """Oracle: the order of the strengths."""
    figures = video_sensitivity(WEIGHTS, synth_test_arrays)
    for change in CHANGES:
        values = [0.0, *(figures[f"fvd_{change}_{level:g}"] for level in LEVELS)]
        assert np.all(np.diff(values) > 0), (change, values)
