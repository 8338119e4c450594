"""`synth_sync` and lse_c, lse_d, av_offset @synth.

Oracles: features made with a known shift; speech moved by a known number of samples; SyncNet's own windows of MFCC; unseen
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
from metrics.functional.mfcc import int16_samples, mfcc
from metrics.synth.sync import EMBEDDING, SynthSync, lip_features, mouths, sync_network
from metrics.synth.train_sync import mfcc_windows, shifted, sync_accuracy, sync_loss, train_sync
from metrics.synth.training import Budget, Recipe, save_weights, seed_everything, train
from tests.metrics.synth.random_arrays import small_clips, write_arrays

WEIGHTS = Path(synth.__file__).parent / "weights" / "synth_sync.safetensors"


@pytest.fixture(scope="module")
def extractor(tmp_path_factory) -> SynthSync:
    path = tmp_path_factory.mktemp("weights") / "synth_sync.safetensors"
    seed_everything(0)
    save_weights(path, sync_network(), {})
    assert path.stat().st_size < 2e6  # the limit of what is shipped
    return SynthSync({"synth_sync": path})


def features(extractor, clip: ArrayClip, chunk: int = 7):
    extractor.begin(clip, {})
    for start in range(0, clip.num_frames, chunk):
        extractor.update(clip.frames[start : start + chunk])
    return extractor.finish()


def speech(seconds: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, round(16_000 * seconds)).astype(np.float32)


@pytest.mark.parametrize("size", [(128, 128), (40, 72), (301, 200)])
def test_windows_at_any_size(extractor, size):
    """Oracle: T - 4 windows of 5 frames and floor(samples / 640) - 5 of speech, all of length 1."""
    frames = np.random.default_rng(0).integers(0, 256, (20, *size, 3), dtype=np.uint8)
    found = features(extractor, ArrayClip(frames, speech(0.8)))
    assert found["video"].shape == (16, EMBEDDING)
    assert found["audio"].shape == (15, EMBEDDING)
    for rows in found.values():
        np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)


def test_frames_are_taken_at_25_per_second(extractor):
    """Oracle: a clip of 50 frames per second that shows every frame of another at 25 twice."""
    frames = np.random.default_rng(0).integers(0, 256, (12, 64, 64, 3), dtype=np.uint8)
    slow = features(extractor, ArrayClip(frames, speech(0.48)))["video"]
    fast = features(extractor, ArrayClip(frames.repeat(2, 0), speech(0.48), fps=50.0), chunk=1)["video"]
    np.testing.assert_allclose(fast, slow, atol=1e-5)


def test_a_clip_without_speech_has_no_value(extractor):
    """Oracle: the reason that is stored."""
    with pytest.raises(Undefined, match="no audio"):
        extractor.begin(ArrayClip(np.zeros((9, 64, 64, 3), np.uint8)), {})


def test_a_clip_shorter_than_a_window_has_no_rows(extractor):
    """Oracle: zero windows, which the metric turns into a reason."""
    found = features(extractor, ArrayClip(np.zeros((4, 64, 64, 3), np.uint8), speech(0.16)))
    assert len(found["video"]) == len(found["audio"]) == 0
    with pytest.raises(Undefined, match="needs 6 frames"):
        registry.metric("lse_c@synth").case({"prediction:synth_sync": found})


def test_a_window_of_lips_is_five_frames(extractor):
    """Oracle: the same frames by themselves; batches do not show."""
    faces = np.random.default_rng(0).integers(0, 256, (30, 48, 48, 3), dtype=np.uint8)
    whole = lip_features(extractor._network, faces)
    np.testing.assert_allclose(lip_features(extractor._network, faces, batch=4), whole, atol=1e-5)
    np.testing.assert_allclose(lip_features(extractor._network, faces[11:16])[0], whole[11], atol=1e-5)


def test_only_the_mouth_is_seen():
    """Oracle: the top of the frame may change."""
    frames = np.random.default_rng(0).integers(0, 256, (2, 128, 128, 3), dtype=np.uint8)
    other = frames.copy()
    other[:, :30] = 0
    np.testing.assert_array_equal(mouths(frames), mouths(other))


def test_mfcc_windows_are_those_of_the_extractor():
    """Oracle: rows 4 i to 4 i + 19 of the cepstrum, as SyncNet hears them."""
    audio = speech(0.6)
    cepstrum = mfcc(int16_samples(audio))
    windows = mfcc_windows(audio)
    assert windows.shape == (10, 1, 13, 20)
    np.testing.assert_allclose(windows[3, 0].T, cepstrum[12:32], rtol=1e-5)


@pytest.mark.parametrize("delay", [-9, -1, 0, 4, 15])
def test_metrics_find_the_shift_of_features(delay):
    """Oracle: speech features that are the lips' of `delay` frames before. The audio is late, so the offset is -delay, the
    distance at it 0 and the confidence the usual distance of unrelated unit vectors, about sqrt 2."""
    rows = np.random.default_rng(0).normal(size=(80, EMBEDDING))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    needs = {"prediction:synth_sync": {"video": rows[20:61], "audio": rows[20 - delay : 60 - delay]}}
    value = {name: registry.metric(f"{name}@synth").case(needs) for name in ("lse_c", "lse_d", "av_offset")}
    assert value["av_offset"] == -delay
    assert value["lse_d"] == pytest.approx(0, abs=1e-4)
    assert value["lse_c"] == pytest.approx(np.sqrt(2), abs=0.05)


def test_shifted_moves_speech_by_whole_frames():
    """Oracle: the samples themselves."""
    audio = np.arange(1, 6401, dtype=np.float32)
    late, early = shifted(audio, 3), shifted(audio, -3)
    assert not late[:1920].any()
    np.testing.assert_array_equal(late[1920:], audio[:-1920])
    assert not early[-1920:].any()
    np.testing.assert_array_equal(early[:-1920], audio[1920:])
    np.testing.assert_array_equal(shifted(audio, 0), audio)


def test_training_lowers_the_loss(tmp_path):
    """Oracle: the loss of the same batch before."""
    performances = small_clips(tmp_path)
    seed_everything(0)
    network = sync_network()
    loss = sync_loss(network, performances, np.arange(len(performances.identity)))
    before = loss(np.random.default_rng(1)).item()
    train(network, loss, recipe=Recipe(), budget=Budget(steps=20), log=lambda line: None)
    network.train()  # as before: statistics of the batch
    with torch.no_grad():
        assert loss(np.random.default_rng(1)).item() < 0.9 * before


def test_training_saves_what_it_measured(tmp_path):
    """Oracle: the figures are those of the file, and their ranges."""
    data = write_arrays(tmp_path / "data", people=8)
    figures = train_sync(data, tmp_path / "a.safetensors", steps=1, log=lambda line: None)
    assert set(figures) == {"within_1", "exact", "lse_c", "lse_d"}
    assert 0 <= figures["exact"] <= figures["within_1"] <= 1


def test_shipped_weights_find_shifts_of_unseen_people(synth_test_arrays):
    """Oracle: the shift itself; the issue asks for 95 % within one frame."""
    assert sync_accuracy(WEIGHTS, synth_test_arrays)["within_1"] >= 0.95
