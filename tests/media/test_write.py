"""Writing video. Oracle: the arrays that went in, read back."""

import errno
import os

import numpy as np
import pytest

from bench.media import write as writing
from bench.media.clip import Clip
from bench.media.errors import UserError
from bench.media.write import reencode, write_video, write_viewer_copy
from tests.videos import numbered_frames


@pytest.mark.parametrize("size", [(48, 64), (47, 63), (48, 63)])
def test_lossless_storage_is_bit_exact(tmp_path, size):
    """Oracle: equality of every pixel and every sample."""
    generator = np.random.default_rng(0)
    frames = generator.integers(0, 255, (12, *size, 3), np.uint8)
    audio = (generator.integers(-32768, 32767, 7680) / 32768).astype(np.float32)
    path = tmp_path / "with spaces" / "ünïcode é.mkv"
    assert write_video(path, [frames[:5], frames[5:]], 25.0, audio) == 12
    clip = Clip(path)
    assert np.array_equal(clip.frames, frames)
    assert np.array_equal(clip.audio, audio)


def test_lossless_storage_of_a_real_clip(tmp_path, grid_clips):
    """Oracle: the source clip."""
    source = Clip(grid_clips[0])
    write_video(tmp_path / "a.mkv", source.chunks(), 25.0, source.audio)
    stored = Clip(tmp_path / "a.mkv")
    assert np.array_equal(stored.frames, source.frames)
    assert np.array_equal(stored.audio, source.audio)


def test_equal_input_gives_equal_files(tmp_path):
    """Oracle: byte comparison; the muxer's random identifiers are off."""
    frames = numbered_frames(6)
    write_video(tmp_path / "a.mkv", [frames], 25.0)
    write_video(tmp_path / "b.mkv", [frames], 25.0)
    assert (tmp_path / "a.mkv").read_bytes() == (tmp_path / "b.mkv").read_bytes()


def test_lossy_storage_is_worse_the_higher_the_factor(tmp_path, grid_clips):
    """Oracle: order of mean absolute errors."""
    frames = Clip(grid_clips[0]).frames[:20]
    errors = []
    for storage in ("h264-crf10", "h264-crf30", "h264-crf45"):
        write_video(tmp_path / f"{storage}.mkv", [frames], 25.0, storage=storage)
        errors.append(np.abs(Clip(tmp_path / f"{storage}.mkv").frames.astype(int) - frames).mean())
    assert 0 < errors[0] < errors[1] < errors[2]
    with pytest.raises(UserError, match="storage 'mp3' is unknown"):
        write_video(tmp_path / "c.mkv", [frames], 25.0, storage="mp3")


def test_reencode_keeps_count_and_size_and_loses_quality(grid_clips):
    """Oracle: error against the source grows with crf; odd sizes come back whole."""
    frames = Clip(grid_clips[0]).frames[:20, :287, :359]
    errors = []
    for crf in (5, 25, 45):
        coded = np.concatenate(list(reencode([frames[:7], frames[7:]], 25.0, crf)))
        assert coded.shape == frames.shape
        errors.append(np.abs(coded.astype(int) - frames).mean())
    assert errors[0] < errors[1] < errors[2]


def test_reencoding_is_repeatable():
    """Oracle: the first of 25 encodings of the same noise. x264's macroblock tree made about a quarter of them differ."""
    frames = np.random.default_rng(0).integers(0, 255, (12, 64, 80, 3), np.uint8)
    first, *others = (np.concatenate(list(reencode([frames], 25.0, 32))) for _ in range(25))
    assert all(np.array_equal(first, other) for other in others)


def test_viewer_copy_is_small_and_even(tmp_path, grid_clips):
    """Oracle: geometry, length and the browser-safe pixel format."""
    import av

    clip = Clip(grid_clips[0])
    write_viewer_copy(clip, tmp_path / "v.mp4", max_side=201)
    copy = Clip(tmp_path / "v.mp4")
    assert copy.num_frames == 75
    assert (copy.height % 2, copy.width % 2, max(copy.height, copy.width) <= 202) == (0, 0, True)
    assert (tmp_path / "v.mp4").stat().st_size < grid_clips[0].stat().st_size
    with av.open(str(tmp_path / "v.mp4")) as container:
        assert container.streams.video[0].format.name == "yuv420p"
        assert container.streams.audio[0].codec_context.name == "aac"


def test_failed_writing_leaves_nothing(tmp_path):
    """Oracle: the folder afterwards, when the frames end in an error."""

    def frames():
        yield numbered_frames(3)
        raise RuntimeError("generator broke")

    with pytest.raises(RuntimeError, match="generator broke"):
        write_video(tmp_path / "a.mkv", frames(), 25.0)
    assert list(tmp_path.iterdir()) == []


def test_full_disk_is_said_and_leaves_nothing(tmp_path, monkeypatch):
    """Oracle: the message, when the disk fills up while the file is flushed (simulated)."""

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(writing.os, "fsync", full)
    with pytest.raises(UserError, match=r"a\.mkv: cannot be written \(No space left on device\); free the disk"):
        write_video(tmp_path / "a.mkv", [numbered_frames(3)], 25.0)
    assert list(tmp_path.iterdir()) == []
