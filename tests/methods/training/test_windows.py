"""Windows over feature files. Oracle: clips whose every value says its clip and its frame."""

import numpy as np
import pytest

from bench.media.errors import UserError
from methods.conditioning.features import save_features
from methods.training.recipes import UNetRecipe
from methods.training.windows import Windows
from tests.methods.fakes import FakeEncoders

LENGTHS = (20, 9, 30)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder, paths = tmp_path_factory.mktemp("features"), []
    for clip, length in enumerate(LENGTHS):
        at = 100 * clip + np.arange(length)
        latents = np.broadcast_to(at[:, None, None, None], (length, 4, 2, 2)).astype(np.float16)
        features = {
            "latent_mean": latents,
            "latent_std": latents / 1000,
            "speech": np.broadcast_to(at[:, None, None], (length, 2, 3)).astype(np.float16),
            "face": np.full(8, clip, np.float32),
            "face_box": np.full(4, clip, np.float32),
            "lip_box": np.full(4, clip, np.float32),
            "emotion": np.where(np.arange(length) % 3 == 0, 1, clip + 4),
            "aus": np.broadcast_to(at[:, None], (length, 24)).astype(np.float32),
        }
        paths.append(folder / f"{clip}.safetensors")
        save_features(paths[-1], features, FakeEncoders(), "0" * 64)
    return paths


def windows(files, context=0, **settings):
    return Windows(files, FakeEncoders, UNetRecipe(frames=8, past_frames=3, **settings), context)


def drawn(files, count=200, context=0, **settings):
    """One line per window: its clip, and arrays of frame numbers."""
    batch = windows(files, context, **settings).draw(np.random.default_rng(0), count)
    clips = batch["face"][:, 0].numpy().astype(int)
    frames = lambda values: values.numpy().astype(int) - 100 * clips.reshape(-1, *[1] * (values.ndim - 1))  # noqa: E731
    return [
        dict(
            clip=clip, shown=frames(batch["latent_mean"])[i, :, 0, 0, 0],
            before=frames(batch["reference_mean"])[i, 1:, 0, 0, 0], reference=frames(batch["reference_mean"])[i, 0, 0, 0, 0],
            heard=frames(batch["speech"])[i, :, :, 0, 0], aus=frames(batch["aus"])[i, :, 0], emotion=batch["emotion"][i],
        )
        for i, clip in enumerate(clips)
    ]  # fmt: skip


def test_a_window_is_consecutive_frames_with_what_comes_before(files):
    starts = {clip: set() for clip in range(3)}
    for window in drawn(files, 600, context=2):
        clip, start = window["clip"], window["shown"][0]
        last = LENGTHS[clip] - 1
        starts[clip].add(start)
        assert np.array_equal(window["shown"], np.arange(start, start + 8))
        assert np.array_equal(window["before"], np.arange(start - 3, start).clip(0))
        assert np.array_equal(window["heard"], (window["shown"][:, None] + np.arange(-2, 3)).clip(0, last))
        assert np.array_equal(window["aus"], np.arange(start - 2, start + 10).clip(0, last))
        assert 0 <= window["reference"] <= last
        assert window["emotion"] == clip + 4
    # Past frames are there wherever the clip is long enough: clip 1 has 9 frames for 3 + 8.
    assert starts[0] == set(range(3, 13)) and starts[1] == {1} and starts[2] == set(range(3, 23))


def test_references_are_any_frame_of_the_clip(files):
    assert {w["reference"] for w in drawn(files, 900) if w["clip"] == 0} == set(range(20))


def test_a_first_window_begins_like_a_video(files):
    for window in drawn(files, first_window=1.0):
        assert np.array_equal(window["shown"], np.arange(8)) and window["reference"] == 0
        assert np.array_equal(window["before"], [0, 0, 0])
    share = np.mean([w["shown"][0] == 0 for w in drawn(files, 1000, first_window=0.3)])
    assert abs(share - 0.3) < 0.06


def test_dropped_context_is_the_windows_own_first_frame(files):
    for window in drawn(files, drop_past_context=1.0, drop_audio_context=1.0):
        start = window["shown"][0]
        assert np.array_equal(window["before"], [start] * 3)
        assert window["heard"].min() == start and window["heard"][-1, -1] == min(start + 9, LENGTHS[window["clip"]] - 1)
    kept = [w["before"][0] != w["shown"][0] for w in drawn(files, 1000, drop_past_context=0.25)]
    assert abs(1 - np.mean(kept) - 0.25) < 0.06


def test_every_tensor_has_the_type_the_networks_take(files):
    batch = windows(files, 2).draw(np.random.default_rng(0), 5)
    assert {name for name, value in batch.items() if value.dtype.is_floating_point} == set(batch) - {"emotion"}
    assert {str(value.dtype) for value in batch.values()} == {"torch.float32", "torch.int64"}
    assert batch["speech"].shape == (5, 8, 5, 2, 3) and batch["reference_std"].shape == (5, 4, 4, 2, 2)
    assert float(batch["latent_std"].max()) < 1 < float(batch["latent_mean"].max())


def test_the_generator_decides_everything(files):
    draw = windows(files, first_window=0.5).draw
    one, same, other = (draw(np.random.default_rng(seed), 20)["aus"] for seed in (1, 1, 2))
    assert one.equal(same) and not one.equal(other)


def test_clips_that_are_too_short_are_left_out_and_all_of_them_an_error(files):
    assert [length for _, length in Windows(files, FakeEncoders, UNetRecipe(frames=10)).clips] == [20, 30]
    with pytest.raises(UserError, match="none of the 3 clips to train on has 31 frames"):
        Windows(files, FakeEncoders, UNetRecipe(frames=31))


def test_features_of_other_encoders_are_refused(files):
    class Others(FakeEncoders):
        version = 2

    with pytest.raises(UserError, match="fake-1"):
        Windows(files, Others, UNetRecipe(frames=8, past_frames=3)).draw(np.random.default_rng(0), 1)
