"""Windows with slow AUs. Oracle: numpy's interpolation between every fifth frame of the whole clip."""

import numpy as np
import pytest

from methods.auhead.windows import AUWindows
from methods.conditioning.features import save_features
from methods.training.recipes import AUHeadMemoRecipe
from tests.methods.fakes import FakeEncoders

LENGTH, CONTEXT = 33, 2


@pytest.fixture(scope="module")
def track():
    return np.random.default_rng(0).random((LENGTH, 24), np.float32)


@pytest.fixture(scope="module")
def clip(track, tmp_path_factory):
    at = np.arange(LENGTH)
    features = {
        "latent_mean": np.broadcast_to(at[:, None, None, None], (LENGTH, 4, 2, 2)).astype(np.float16),
        "latent_std": np.zeros((LENGTH, 4, 2, 2), np.float16),
        "speech": np.zeros((LENGTH, 2, 3), np.float16),
        "face": np.zeros(8, np.float32),
        "face_box": np.zeros(4, np.float32),
        "lip_box": np.zeros(4, np.float32),
        "emotion": np.zeros(LENGTH, np.int64),
        "aus": track,
    }
    path = tmp_path_factory.mktemp("features") / "clip.safetensors"
    save_features(path, features, FakeEncoders(), "0" * 64)
    return path


@pytest.mark.parametrize(("share", "slow"), [(0.0, {False}), (1.0, {True}), (0.5, {False, True})])
def test_slow_aus_are_every_fifth_frame_and_straight_lines_between(clip, track, share, slow):
    at = np.arange(LENGTH)
    lines = np.stack([np.interp(at, at[::5], column[::5]) for column in track.T], axis=1)  # The last one is held.
    recipe = AUHeadMemoRecipe(frames=8, past_frames=3, slow_aus=share)
    batch = AUWindows([clip], FakeEncoders, recipe, CONTEXT, 25.0).draw(np.random.default_rng(1), 60)
    found = set()
    for shown, aus in zip(batch["latent_mean"][:, :, 0, 0, 0].numpy().astype(int), batch["aus"].numpy(), strict=True):
        rows = np.arange(shown[0] - CONTEXT, shown[-1] + CONTEXT + 1).clip(0, LENGTH - 1)
        is_slow = np.allclose(aus, lines[rows], atol=1e-6)
        assert is_slow or np.array_equal(aus, track[rows])
        found.add(is_slow)
    assert found == slow
