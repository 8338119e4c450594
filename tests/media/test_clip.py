"""Clip: frames and samples at the right time. Oracle: files whose every frame and sample is known by construction."""

import subprocess
import sys
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest

from bench.media.clip import ArrayClip, Clip, hash_file, samples_for
from bench.media.errors import MediaError
from tests.videos import frame_numbers, numbered_frames, rotate_in_metadata, write


def tone(seconds: float) -> np.ndarray:
    return (0.3 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * 16_000)) / 16_000)).astype(np.float32)


@pytest.mark.parametrize("rate", [24, 25, 30, 50, 60, Fraction(30_000, 1001), Fraction(24_000, 1001), 12])
def test_constant_rates_are_resampled_by_nearest_timestamp(tmp_path, rate):
    """Oracle: arithmetic. Output k shows source round(k * rate / 25), ties to the earlier frame."""
    frames = numbered_frames(60)
    clip = Clip(write(tmp_path / "a.mkv", frames, rate=rate, format="mp4"))
    expected = round(Fraction(60) / rate * 25)
    assert clip.num_frames == expected
    shown = frame_numbers(clip.frames)
    for k, number in enumerate(shown):
        distances = [abs(Fraction(i) / rate - Fraction(k, 25)) for i in range(60)]
        assert abs(distances[number] - min(distances)) < Fraction(1, 1000)


def test_variable_rate_follows_the_timestamps(tmp_path):
    """Oracle: brute-force nearest neighbour over the written timestamps."""
    times = [0.0, 0.03, 0.11, 0.12, 0.4, 0.42, 0.5, 0.95]
    clip = Clip(write(tmp_path / "vfr.mp4", numbered_frames(8), times=times))
    shown = frame_numbers(clip.frames)
    assert shown == [int(np.argmin([abs(t - k / 25) for t in times])) for k in range(len(shown))]


def test_25_fps_files_keep_every_frame(grid_clips):
    """Oracle: OpenCV's decoder on real clips, bit for bit."""
    capture = cv2.VideoCapture(str(grid_clips[0]))
    expected = []
    while (read := capture.read())[0]:
        expected.append(read[1][..., ::-1])
    assert np.array_equal(Clip(grid_clips[0]).frames, np.stack(expected))


@pytest.mark.parametrize(("turns", "numpy_turns"), [(1, -1), (2, 2), (3, 1)])
def test_rotation_metadata_is_applied(tmp_path, turns, numpy_turns):
    """Oracle: numpy's rot90 of the frames that were written."""
    frames = np.random.default_rng(0).integers(0, 255, (3, 48, 64, 3), np.uint8)
    frames = np.stack([cv2.GaussianBlur(frame, (0, 0), 3) for frame in frames])
    path = write(tmp_path / "phone.mp4", frames)
    plain = Clip(path).frames
    rotate_in_metadata(path, turns)
    turned = Clip(path)
    expected = np.rot90(plain, numpy_turns, axes=(1, 2))
    assert (turned.height, turned.width) == expected.shape[1:3]
    assert np.array_equal(turned.frames, expected)


@pytest.mark.parametrize("size", [(47, 63), (48, 63), (1, 1), (17, 129)])
def test_odd_sizes(tmp_path, size):
    """Oracle: the written shape."""
    clip = Clip(write(tmp_path / "odd.mkv", numbered_frames(4, *size)))
    assert clip.frames.shape == (4, *size, 3)
    assert frame_numbers(clip.frames) == [0, 1, 2, 3]


def test_gray_video_is_rgb(tmp_path):
    """Oracle: equal channels."""
    clip = Clip(write(tmp_path / "gray.mkv", numbered_frames(4), pixels="gray", codec="ffv1"))
    assert clip.frames.shape == (4, 48, 64, 3)
    assert np.array_equal(clip.frames[..., 0], clip.frames[..., 2])
    assert frame_numbers(clip.frames) == [0, 1, 2, 3]


@pytest.mark.parametrize("start", [0.0, 0.2])
def test_audio_lies_on_the_video_timeline(tmp_path, start):
    """Oracle: a click written at a known time after the first frame."""
    audio = np.zeros(16_000, np.float32)
    audio[4000:4200] = 0.9
    path = write(tmp_path / "click.mp4", numbered_frames(25), audio=audio, audio_start=start)
    onset = int(np.argmax(np.abs(Clip(path).audio) > 0.4))
    assert abs(onset - (4000 + round(start * 16_000))) < 40


def test_video_that_starts_late_drops_the_audio_before_it(tmp_path):
    """Oracle: a click at a known time; frame 0 is at 0.2 s of the file."""
    audio = np.zeros(16_000, np.float32)
    audio[8000:8200] = 0.9
    times = [0.2 + i / 25 for i in range(20)]
    clip = Clip(write(tmp_path / "late.mkv", numbered_frames(20), times=times, audio=audio))
    assert clip.num_frames == 20
    assert abs(int(np.argmax(np.abs(clip.audio) > 0.4)) - (8000 - 3200)) < 40


@pytest.mark.parametrize("seconds", [0.5, 1.0, 3.0])
def test_audio_shorter_or_longer_than_the_video(tmp_path, seconds):
    """Oracle: the written lengths. The whole view keeps the file's audio; a view cut to n frames cuts it to n frames."""
    path = write(tmp_path / "a.mp4", numbered_frames(25), audio=tone(seconds))
    assert abs(len(Clip(path).audio) - seconds * 16_000) < 2100  # AAC fills its last block of 1024
    assert len(Clip(path, num_frames=10).audio) == min(6400, len(Clip(path).audio))
    assert samples_for(25, 25.0) == 16_000
    assert samples_for(1, 30_000 / 1001) == 534


def test_44100_stereo_becomes_16k_mono(grid_clips):
    """Oracle: scipy's polyphase resampler on the channel mean of the decoded samples."""
    from scipy.signal import resample_poly

    with av.open(str(grid_clips[0])) as container:
        blocks = [frame.to_ndarray() for frame in container.decode(audio=0)]
    stereo = np.concatenate(blocks, axis=1).astype(np.float64) / 32768
    expected = resample_poly(stereo.mean(0), 160, 441)
    ours = Clip(grid_clips[0]).audio.astype(np.float64)
    n = min(len(expected), len(ours))
    assert abs(len(expected) - len(ours)) <= 32
    assert np.corrcoef(expected[:n], ours[:n])[0, 1] > 0.999


def test_views_share_a_hash_only_if_they_show_the_same(grid_clips):
    """Oracle: hashlib on the file; keys differ by rate, size and cut."""
    path = grid_clips[0]
    assert Clip(path).sha256 == hash_file(path)
    keys = {Clip(path).key, Clip(path, fps=30).key, Clip(path, size=(64, 64)).key, Clip(path, num_frames=10).key}
    assert len(keys) == 4
    assert Clip(path).key == Clip(path).key
    assert Clip(path).key != Clip(grid_clips[1]).key


def test_size_and_cut(grid_clips):
    """Oracle: OpenCV's resize of the full view."""
    whole, view = Clip(grid_clips[0]).frames, Clip(grid_clips[0], size=(100, 120), num_frames=5)
    assert view.frames.shape == (5, 100, 120, 3)
    assert np.array_equal(view.frames[3], cv2.resize(whole[3], (120, 100), interpolation=cv2.INTER_AREA))
    with pytest.raises(MediaError, match="has 75 frames at 25 fps, 80 were asked for"):
        _ = Clip(grid_clips[0], num_frames=80).num_frames


def test_chunks_are_the_frames_in_bounded_pieces(grid_clips):
    """Oracle: the whole array."""
    clip = Clip(grid_clips[0])
    chunks = list(clip.chunks(max_frames=16))
    assert [len(chunk) for chunk in chunks] == [16, 16, 16, 16, 11]
    assert all(chunk.flags.c_contiguous for chunk in chunks)
    assert np.array_equal(np.concatenate(chunks), clip.frames)


def test_array_clip():
    """Oracle: the arrays it was given."""
    frames, audio = numbered_frames(7), tone(0.2)
    clip = ArrayClip(frames, audio)
    assert (clip.num_frames, clip.height, clip.width, clip.has_audio) == (7, 48, 64, True)
    assert np.array_equal(clip.frames, frames)
    assert np.array_equal(clip.audio, audio)
    assert clip.key != ArrayClip(frames, None).key
    with pytest.raises(MediaError, match=r"must be uint8 \(T, H, W, 3\)"):
        ArrayClip(frames.astype(np.float32))


# -- files that cannot be used: each says what is wrong ---------------------------------------------------------------


def test_missing_empty_and_wrong_files(tmp_path):
    """Oracle: the message a person needs."""
    with pytest.raises(MediaError, match=r"nowhere\.mp4: no such file"):
        _ = Clip(tmp_path / "nowhere.mp4").num_frames
    (tmp_path / "empty.mp4").touch()
    with pytest.raises(MediaError, match="file is empty"):
        _ = Clip(tmp_path / "empty.mp4").num_frames
    (tmp_path / "text.mp4").write_text("this is no video " * 100)
    with pytest.raises(MediaError, match=r"text\.mp4: not a readable video"):
        _ = Clip(tmp_path / "text.mp4").frames


def test_truncated_mp4_without_index(tmp_path):
    """Oracle: an mp4 cut in half loses its index, which lies at the end."""
    path = write(tmp_path / "cut.mp4", numbered_frames(40, 96, 96))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(MediaError, match="may be truncated"):
        _ = Clip(path).num_frames


def test_truncated_mp4_with_index_in_front(tmp_path):
    """Oracle: an mp4 with its index in front announces frames that are no longer there."""
    noise = np.random.default_rng(0).integers(0, 255, (40, 96, 96, 3), np.uint8)
    path = tmp_path / "front.mp4"
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=25)
        stream.height, stream.width, stream.pix_fmt = 96, 96, "yuv420p"
        for rgb in noise:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(rgb, format="rgb24")))
        container.mux(stream.encode(None))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(MediaError, match=r"truncated; it announces 40 frames and holds \d+"):
        _ = Clip(path).frames


def test_damaged_middle(tmp_path):
    """Oracle: overwritten bytes inside the picture data never pass as a whole clip without an error or all frames."""
    noise = np.random.default_rng(0).integers(0, 255, (40, 96, 96, 3), np.uint8)
    path = write(tmp_path / "damaged.mp4", noise)
    content = bytearray(path.read_bytes())
    start = content.index(b"mdat") + 20_000
    content[start : start + 200_000] = bytes(200_000)
    path.write_bytes(bytes(content))
    with pytest.raises(MediaError, match="damaged"):
        _ = Clip(path).frames


def test_audio_only_and_video_only(tmp_path, grid_clips):
    """Oracle: the message names the stream that is not there."""
    with av.open(str(tmp_path / "speech.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=16_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 16_000), np.int16), format="s16", layout="mono")
        frame.sample_rate = 16_000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(MediaError, match="has no video stream"):
        _ = Clip(tmp_path / "speech.mp4").num_frames
    silent = Clip(write(tmp_path / "silent.mp4", numbered_frames(5)))
    assert not silent.has_audio
    assert silent.num_frames == 5
    with pytest.raises(MediaError, match="has no audio stream"):
        _ = silent.audio


def test_one_frame_and_images(tmp_path):
    """Oracle: a single written frame; a PNG read as a clip of one frame."""
    assert Clip(write(tmp_path / "one.mp4", numbered_frames(1))).frames.shape == (1, 48, 64, 3)
    picture = np.random.default_rng(0).integers(0, 255, (31, 33, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "face é.png"), picture[..., ::-1])
    image = Clip(tmp_path / "face é.png", num_frames=1)
    assert np.array_equal(image.frames[0], picture)
    assert np.array_equal(image.first_frame(), picture)


@pytest.mark.slow  # Writes and reads ten minutes of 1080p: the memory promise cannot be shown on less.
def test_ten_minutes_of_1080p_stay_under_1500_megabytes(tmp_path):
    """Oracle: the operating system's own account of a process that streams the file (VmHWM; ru_maxrss would begin with
    the size of the process that started it)."""
    path = tmp_path / "long.mkv"
    picture = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 255, (1080, 1920, 3), np.uint8), (0, 0), 9)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"preset": "ultrafast", "crf": "40", "bf": "0"})
        stream.height, stream.width, stream.pix_fmt = 1080, 1920, "yuv420p"
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p")
        packets = []
        for i in range(250):
            frame.pts = i
            packets += stream.encode(frame)
        packets += stream.encode(None)
        for i in range(15_000):  # The same ten seconds over and over: encoding ten minutes would take as long.
            packet = av.Packet(bytes(packets[i % 250]))
            packet.stream, packet.pts, packet.dts, packet.is_keyframe = stream, i, i, i % 250 == 0
            packet.time_base = packets[0].time_base
            container.mux(packet)
    program = (
        "import sys\n"
        "from bench.media.clip import Clip\n"
        "from bench.provenance import peak_memory_bytes\n"
        "count = sum(len(chunk) for chunk in Clip(sys.argv[1]).chunks())\n"
        "print(count, peak_memory_bytes())"
    )
    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True)
    count, peak = map(int, done.stdout.split())
    assert count == 15_000
    assert 50e6 < peak < 1.5e9
