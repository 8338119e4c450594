"""Small video files with a known content, for tests."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np


def numbered_frames(count: int, height: int = 48, width: int = 64) -> np.ndarray:
    """uint8 (count, height, width, 3): frame i is flat gray of level 4 i, so that a lossy codec keeps its number readable."""
    return np.broadcast_to(
        (4 * np.arange(count, dtype=np.uint8))[:, None, None, None], (count, height, width, 3)
    ).copy()


def frame_numbers(frames: np.ndarray) -> list[int]:
    """Which frame of `numbered_frames` each one shows."""
    return [round(float(frame[..., 1].mean()) / 4) for frame in frames]


def write(
    path: Path,
    frames: np.ndarray,
    *,
    rate: Fraction | int = 25,
    times: list[float] | None = None,
    audio: np.ndarray | None = None,
    audio_start: float = 0.0,
    pixels: str = "yuv444p",
    codec: str = "libx264",
    format: str | None = None,
) -> Path:
    """Encode frames, at `rate` or at the given times in seconds, with optional float32 16 kHz speech."""
    path.parent.mkdir(parents=True, exist_ok=True)
    base = Fraction(1, 90_000)
    with av.open(str(path), "w", format=format) as container:
        video = container.add_stream(codec, rate=rate)
        video.height, video.width = frames.shape[1:3]
        video.pix_fmt = pixels
        video.codec_context.time_base = base
        if codec == "libx264":
            video.options = {"qp": "0", "bf": "0"}
        sound = container.add_stream("aac", rate=16_000, layout="mono") if audio is not None else None
        moments = times if times is not None else [float(i / Fraction(rate)) for i in range(len(frames))]
        for pixels_rgb, moment in zip(frames, moments, strict=True):
            frame = av.VideoFrame.from_ndarray(pixels_rgb, format="rgb24")
            frame.pts, frame.time_base = round(moment / base), base
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        if sound is not None:
            samples = (np.clip(audio, -1, 1) * 32767).astype(np.int16)
            for start in range(0, len(samples), 1024):
                frame = av.AudioFrame.from_ndarray(samples[None, start : start + 1024], format="s16", layout="mono")
                frame.sample_rate, frame.time_base = 16_000, Fraction(1, 16_000)
                frame.pts = start + round(audio_start * 16_000)
                container.mux(sound.encode(frame))
            container.mux(sound.encode(None))
    return path


def rotate_in_metadata(path: Path, quarter_turns: int) -> None:
    """Write a display matrix into an mp4's track header: players show the picture turned clockwise by quarter turns."""
    matrices = {
        1: (0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30),
        2: (-(1 << 16), 0, 0, 0, -(1 << 16), 0, 0, 0, 1 << 30),
        3: (0, -(1 << 16), 0, 1 << 16, 0, 0, 0, 0, 1 << 30),
    }
    content = bytearray(path.read_bytes())
    start = content.index(b"tkhd") + 4
    version = content[start]
    offset = start + (52 if version else 40)
    content[offset : offset + 36] = b"".join(value.to_bytes(4, "big", signed=True) for value in matrices[quarter_turns])
    path.write_bytes(bytes(content))
