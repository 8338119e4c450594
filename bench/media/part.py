"""Part: a time range of a video, as a Clip of its own. Decoding starts at the key frame before it, not at the file's start."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench.media.clip import SAMPLE_RATE, Clip, _decode_audio, _nearest, _open, _upright_rgb, samples_for
from bench.media.errors import MediaError

if TYPE_CHECKING:
    import av

MARGIN = Fraction(1, 2)
"""Seconds. Decoding begins so much before the part: the frame nearest to its start may lie there. And as much may be
missing at its end before the file counts as damaged."""


class Part(Clip):
    """Frames and speech from `start` up to `stop` seconds after the first frame of a video.

    Args:
        path: a video file.
        start: seconds; frame 0 is the source frame nearest to it.
        stop: seconds; a file that ends before it gives a shorter part.
        fps: frame rate of the part.

    Raises:
        MediaError: at first use, as Clip, and if the file ends before `start`.
    """

    def __init__(self, path: str | Path, start: float, stop: float, *, fps: float = 25.0):
        super().__init__(path, fps=fps)
        self.start = Fraction(start).limit_denominator(1000)
        self.stop = Fraction(stop).limit_denominator(1000)

    @property
    def key(self) -> str:
        return hashlib.sha256(f"{super().key};{self.start}-{self.stop}".encode()).hexdigest()

    @cached_property
    def num_frames(self) -> int:
        seconds = min(self.stop, self._index.seconds) - self.start
        if seconds * self._rate < 1:
            raise MediaError(
                f"{self.path}: lasts {float(self._index.seconds):.1f} s, the part begins at {self.start} s"
            )
        return round(seconds * self._rate)

    @cached_property
    def audio(self) -> np.ndarray:
        samples = _decode_audio(self.path, self._index.origin)[round(self.start * SAMPLE_RATE) :]
        return samples[: samples_for(self.num_frames, self.fps)].astype(np.float32) / 32768.0

    def _iter_frames(self) -> Iterator[np.ndarray]:
        for frame in _nearest(self._decode(), self._rate, self.num_frames):
            yield np.ascontiguousarray(_upright_rgb(frame))

    def _decode(self) -> Iterator[tuple[Fraction, av.VideoFrame]]:
        """(seconds since the part's start, frame), from a key frame before the part."""
        decoded = self._decode_after(max(self.start - MARGIN, Fraction(0)))
        first = next(decoded, None)
        if first is not None and first[0] <= 0:
            yield first
            yield from decoded
        else:  # MPEG program streams have no index: a jump can end behind its aim.
            yield from self._decode_after(Fraction(0))

    def _decode_after(self, seconds: Fraction) -> Iterator[tuple[Fraction, av.VideoFrame]]:
        import av

        at = -self.start
        with _open(self.path) as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            try:
                if seconds:
                    container.seek(int((seconds + self._index.origin) / stream.time_base), stream=stream)
                for frame in container.decode(stream):
                    if frame.pts is None:
                        raise MediaError(f"{self.path}: frames without time stamps; remux it (ffmpeg -i IN OUT.mp4)")
                    at = frame.pts * frame.time_base - self._index.origin - self.start
                    yield at, frame
            except av.error.FFmpegError as error:
                raise MediaError(f"{self.path}: damaged at {float(self.start + at):.1f} s ({error})") from error
        if at < (self.num_frames - 1) / self._rate - MARGIN:
            raise MediaError(f"{self.path}: damaged; nothing can be decoded after {float(self.start + at):.1f} s")
