"""Writing video: lossless for scoring, a small copy for people, and an in-memory codec round trip.

libx264rgb at qp 0 was checked to be bit exact through PyAV; Matroska holds it beside 16-bit PCM, which is exact too.
"""

from __future__ import annotations

import io
import os
import re
import wave
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np

from bench.media.clip import SAMPLE_RATE, Clip
from bench.media.errors import UserError

REPEATABLE = "mbtree=0"
"""x264 parameters under which equal frames give equal bytes. With its macroblock tree on, 23 of 80 encodings of the same
12 frames differed (PyAV 18.1; not with x264's assembly off); with it off, none did."""
STORAGE_PATTERN = re.compile(r"lossless|h264-crf(\d+)")
"""`lossless`, or `h264-crfN` (x264, yuv420p) to emulate papers that scored re-encoded files."""


def write_video(
    path: Path, chunks: Iterable[np.ndarray], fps: float, audio: np.ndarray | None = None, storage: str = "lossless"
) -> int:
    """Write frames (and speech) to a Matroska file, atomically: the file appears whole or not at all.

    Args:
        path: ends in .mkv; folders are made.
        chunks: uint8 (t, H, W, 3) RGB arrays, all of one size.
        fps: frame rate.
        audio: float32 (S,) mono 16 kHz in [-1, 1]; stored as 16-bit PCM, exact for samples that are multiples of 1/32768.
        storage: `lossless` or `h264-crfN`.

    Returns:
        The number of frames written.

    Raises:
        UserError: the folder cannot be written or the disk is full; nothing is left behind.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            count = _encode(file, "matroska", chunks, fps, audio, *_codec(storage))
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(
            f"{path}: cannot be written ({error.strerror or error}); free the disk or choose --out"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
    return count


def write_viewer_copy(clip: Clip, path: Path, max_side: int = 512, crf: int = 23) -> None:
    """A small MP4 (yuv420p, AAC) that plays in browsers, from `clip`; its larger side is at most `max_side` pixels."""
    scale = min(1.0, max_side / max(clip.height, clip.width))
    height, width = (max(2, round(side * scale / 2) * 2) for side in (clip.height, clip.width))
    chunks = (_resized(frames, height, width) for frames in clip.chunks())
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with open(temporary, "wb") as file:
            audio = clip.audio if clip.has_audio else None
            options = {"crf": str(crf), "preset": "veryfast"}
            _encode(file, "mp4", chunks, clip.fps, audio, "libx264", "yuv420p", options, "aac")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_audio(path: Path, audio: np.ndarray) -> None:
    """16-bit WAV of float32 (S,) mono 16 kHz in [-1, 1]; exact for samples that are multiples of 1/32768."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(_pcm(audio).astype("<i2").tobytes())


def reencode(chunks: Iterable[np.ndarray], fps: float, crf: int) -> Iterator[np.ndarray]:
    """The frames after one pass through x264 (yuv420p) at constant rate factor `crf`, in memory.

    Odd sizes are padded by repeating the last row or column for the encoder and cut back after it.

    Args:
        chunks: uint8 (t, H, W, 3) RGB.
        fps: frame rate.
        crf: 0 (near lossless) to 51 (worst).

    Yields:
        uint8 (t, H, W, 3) RGB, as many frames as came in.
    """
    import av

    buffer = io.BytesIO()
    size: list[tuple[int, int]] = []
    options = {"crf": str(crf), "preset": "medium", "x264-params": REPEATABLE}
    _encode(buffer, "matroska", _even(chunks, size), fps, None, "libx264", "yuv420p", options, None)
    buffer.seek(0)
    height, width = size[0]
    with av.open(buffer) as container:
        for frame in container.decode(video=0):
            yield np.ascontiguousarray(frame.to_ndarray(format="rgb24")[:height, :width])[None]


def _codec(storage: str) -> tuple[str, str, dict[str, str], str]:
    match = STORAGE_PATTERN.fullmatch(storage)
    if not match:
        raise UserError(f"storage {storage!r} is unknown; use 'lossless' or 'h264-crfN' with N from 0 to 51")
    if match[1] is None:
        return "libx264rgb", "rgb24", {"qp": "0", "preset": "ultrafast"}, "pcm_s16le"
    return "libx264", "yuv420p", {"crf": match[1], "preset": "medium", "x264-params": REPEATABLE}, "pcm_s16le"


def _encode(
    file, container_format: str, chunks, fps, audio, codec: str, pixels: str, options: dict, audio_codec: str | None
) -> int:
    """Encode to an open binary file. Frames of odd size fall back to 4:4:4, which has no chroma grid to align."""
    import av

    count = 0
    rate = Fraction(fps).limit_denominator(1001)
    with av.open(file, "w", format=container_format, options={"fflags": "+bitexact"}) as container:
        video = container.add_stream(codec, rate=rate, options=options)
        video.codec_context.flags |= av.codec.context.Flags.bitexact
        sound = None
        if audio is not None:
            sound = container.add_stream(audio_codec, rate=SAMPLE_RATE, layout="mono")
        for frames in chunks:
            for rgb in frames:
                if count == 0:
                    video.height, video.width = rgb.shape[:2]
                    odd = rgb.shape[0] % 2 or rgb.shape[1] % 2
                    video.pix_fmt = "yuv444p" if odd and pixels == "yuv420p" else pixels
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
                frame.pts, frame.time_base = count, 1 / rate
                container.mux(video.encode(frame))
                count += 1
        container.mux(video.encode(None))
        if sound is not None:
            for packet in _encode_audio(sound, audio):
                container.mux(packet)
    return count


def _encode_audio(stream, audio: np.ndarray):
    import av

    samples = _pcm(audio)
    for start in range(0, len(samples), SAMPLE_RATE):
        frame = av.AudioFrame.from_ndarray(samples[None, start : start + SAMPLE_RATE], format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = SAMPLE_RATE, start, Fraction(1, SAMPLE_RATE)
        yield from stream.encode(frame)
    yield from stream.encode(None)


def _pcm(audio: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(audio * 32768.0), -32768, 32767).astype(np.int16)


def _resized(frames: np.ndarray, height: int, width: int) -> np.ndarray:
    import cv2

    if frames.shape[1:3] == (height, width):
        return frames
    return np.stack([cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA) for frame in frames])


def _even(chunks: Iterable[np.ndarray], size: list[tuple[int, int]]) -> Iterator[np.ndarray]:
    for frames in chunks:
        height, width = frames.shape[1:3]
        if not size:
            size.append((height, width))
        yield np.pad(frames, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), mode="edge")
