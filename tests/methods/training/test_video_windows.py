"""Windows and references out of feature files. Oracle: files whose every value says its file and its row."""

import numpy as np
import pytest
import torch

from bench.media.errors import UserError
from methods.conditioning.prompt import save_embedding
from methods.conditioning.video_features import save_video_features
from methods.training.video_windows import VideoClip, VideoWindows
from tests.methods.conditioning.test_video_features import SmallVideoEncoders

LATENTS, FRAMES = 3, 9


def filled(value, *shape, dtype=np.float16):
    """A row per value."""
    return np.broadcast_to(np.asarray(value, dtype).reshape(-1, *[1] * (len(shape))), (len(value), *shape))


def windows_file(path, number, rows):
    """Window r of file f says 100 f + r; its AUs are the numbers of frames."""
    at = 100 * number + np.arange(rows)
    arrays = {
        "starts": 10 * np.arange(rows), "aus": np.repeat(np.arange(60.0, dtype=np.float32)[:, None], 35, 1),
        "latent_mean": filled(at, 4, LATENTS, 2, 2), "latent_std": filled(at / 1000, 4, LATENTS, 2, 2),
        "vocal": filled(at, 5, 24), "lips": filled(at % 2, LATENTS, 2, 2, dtype=np.uint8),
        "face": filled(1 - at % 2, LATENTS, 2, 2, dtype=np.uint8),
    }  # fmt: skip
    save_video_features(path, arrays, SmallVideoEncoders({}), "0" * 64)
    return path


def reference_file(path, number, rows, latents=LATENTS):
    at = 100 * number + np.arange(rows)
    image = np.stack([filled(at, 3), filled(at + 2, 3)], 1)
    arrays = {
        "frames": at,
        "known": filled(at, 4, latents, 2, 2),
        "image": image,
        "arcface": filled(-at, 2, dtype=np.float32),
    }
    save_video_features(path, arrays, SmallVideoEncoders({}), "0" * 64)
    return path


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Two clips: one with a reference file of 3 rows, one with two of 2 rows; of windows 2 and 1."""
    folder = tmp_path_factory.mktemp("features")
    text = folder / "text.safetensors"
    save_embedding(text, torch.full((2, 5), 7.0), "a portrait")
    first = VideoClip(windows_file(folder / "w1", 1, 2), text, (reference_file(folder / "r1", 1, 3),))
    others = tuple(reference_file(folder / f"r{n}", n, 2) for n in (2, 3))
    return [first, VideoClip(windows_file(folder / "w2", 2, 1), text, others)]


def drawn(clips, count=200, **settings):
    windows = VideoWindows(clips, SmallVideoEncoders, **{"reference": "neutral", "identity_encoder": "clip"} | settings)
    return windows.draw(np.random.default_rng(0), count)


def test_a_window_belongs_together(clips):
    """Oracle: what the files say."""
    batch = drawn(clips)
    at = batch["latent_mean"][:, 0, 0, 0, 0]
    assert set(at.tolist()) == {100, 101, 200}
    assert batch["latent_mean"].shape == (200, 4, LATENTS, 2, 2) and batch["text"].shape == (200, 6, 5)
    assert all(values.dtype == torch.float32 for values in batch.values())
    for name, expected in (
        ("latent_mean", at),
        ("latent_std", at / 1000),
        ("vocal", at),
        ("lips", at % 2),
        ("face", 1 - at % 2),
    ):
        values = batch[name].flatten(1)
        torch.testing.assert_close(values, expected[:, None].expand_as(values), rtol=1e-3, atol=1e-4)
    starts = 10 * (at % 100)
    torch.testing.assert_close(batch["aus"], (starts[:, None] + torch.arange(FRAMES))[..., None].expand(-1, -1, 35))
    assert (batch["text"][:, :2] == 7).all() and (batch["text"][:, 2:] == 0).all()


def test_references_are_of_the_clip(clips):
    """Oracle: what the files say; every row of every file of a clip appears, of another's none."""
    batch = drawn(clips)
    clip, shown = batch["latent_mean"][:, 0, 0, 0, 0] // 100, batch["known"][:, 4, 0, 0, 0]
    assert set(shown[clip == 1].tolist()) == {100, 101, 102}
    assert set(shown[clip == 2].tolist()) == {200, 201, 300, 301}
    assert (batch["known"][:, :4, 0] == 1).all() and (batch["known"][:, :4, 1:] == 0).all()
    torch.testing.assert_close(batch["image"][:, 0, 0], shown)
    torch.testing.assert_close(batch["identity"], (shown + 1)[:, None].expand(-1, 3))
    first = drawn(clips, reference="first")
    assert set(first["known"][:, 4, 0, 0, 0].tolist()) == {100, 200, 300}


def test_identity_is_the_wanted_one(clips):
    batch = drawn(clips, identity_encoder="arcface")
    torch.testing.assert_close(batch["identity"], -batch["known"][:, 4:6, 0, 0, 0] + torch.zeros(200, 2))
    assert "identity" not in drawn(clips, identity_encoder="none")


def test_what_does_not_fit_is_refused(clips, tmp_path):
    with pytest.raises(UserError, match="no clip to train on"):
        drawn([])
    short = reference_file(tmp_path / "r", 1, 1, latents=2)
    with pytest.raises(UserError, match="made for windows of 2 latent frames, not of 3"):
        drawn([VideoClip(clips[0].windows, clips[0].text, (short,))])
