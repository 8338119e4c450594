"""Clip: decoded video and its speech, streamed.

A Clip is a *view* of a file: its frames at an exact frame rate, optionally resized and cut to a number of frames.
Frames are picked by nearest timestamp on a timeline that starts at the first video frame, so constant and variable
frame rates give the same result as long as they show the same thing at the same time, and no frame is inserted at the
start (`ffmpeg -async 1 -r 25` was measured to insert one: specs of joonson/syncnet_python run_pipeline.py).
Audio is moved onto the same timeline: sample 0 is heard when frame 0 is seen.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench.media.errors import MediaError

if TYPE_CHECKING:
    import av

SAMPLE_RATE = 16_000
VIDEO_SUFFIXES = frozenset(
    {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".mts", ".ts", ".flv", ".wmv"}
)
CHUNK_BYTES = 64 << 20
"""Upper bound of one chunk of frames; 10 frames of 1080p."""
CHUNK_FRAMES = 64


class Clip:
    """Decoded video and its speech, both lazy.

    Frames are uint8 (T, H, W, 3) RGB in [0, 255] at `fps`; audio is float32 (S,) mono in [-1, 1] at 16 kHz.

    Args:
        path: a video file, or an image file (one frame).
        fps: frame rate of the view; output frame k shows the source frame nearest to k / fps seconds.
        size: (height, width) of the view; None keeps the file's. Shrinks with INTER_AREA, enlarges with INTER_CUBIC.
        num_frames: cut the view after this many frames; None keeps all. Asking for more than there are is an error.
        sha256: content hash if already known, to save reading the file for it.

    Raises:
        MediaError: at first use, if the file is missing, empty, truncated, without video, or damaged.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        fps: float = 25.0,
        size: tuple[int, int] | None = None,
        num_frames: int | None = None,
        sha256: str | None = None,
    ):
        self.path = Path(path)
        self.fps = fps
        self._rate = Fraction(fps).limit_denominator(1001)
        self._size = size
        self._cut = num_frames
        self._sha256 = sha256

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r}, fps={self.fps:g})"

    # -- what the view is -------------------------------------------------------------------------------------------

    @cached_property
    def sha256(self) -> str:
        """Hex digest of the file's bytes."""
        return self._sha256 or hash_file(self.path)

    @property
    def key(self) -> str:
        """Content hash of the view: the file's sha256 plus the view's parameters; equal keys show equal frames."""
        view = f"fps={self._rate};size={self._size};n={self._cut}"
        return hashlib.sha256(f"{self.sha256};{view}".encode()).hexdigest()

    @cached_property
    def num_frames(self) -> int:
        """T: frames in the view."""
        available = self._index.num_frames(self._rate)
        if self._cut is None:
            return available
        if self._cut > available:
            raise MediaError(f"{self.path}: has {available} frames at {self.fps:g} fps, {self._cut} were asked for")
        return self._cut

    @property
    def duration(self) -> float:
        """Seconds the view lasts: num_frames / fps."""
        return self.num_frames / self.fps

    @property
    def height(self) -> int:
        return self._size[0] if self._size else self._index.height

    @property
    def width(self) -> int:
        return self._size[1] if self._size else self._index.width

    @property
    def has_audio(self) -> bool:
        return self._index.has_audio

    @property
    def source_fps(self) -> float:
        """Frames per second the file itself holds, on average."""
        return float(len(self._index.times) / self._index.seconds)

    # -- what the view shows ----------------------------------------------------------------------------------------

    def chunks(self, max_frames: int = CHUNK_FRAMES) -> Iterator[np.ndarray]:
        """Frames in order, as C-contiguous uint8 arrays (t, H, W, 3) RGB with t <= max_frames and at most 64 MiB each."""
        step = max(1, min(max_frames, CHUNK_BYTES // max(1, self.height * self.width * 3)))
        held: list[np.ndarray] = []
        for frame in self._iter_frames():
            held.append(frame)
            if len(held) == step:
                yield np.stack(held)
                held = []
        if held:
            yield np.stack(held)

    @property
    def frames(self) -> np.ndarray:
        """All frames at once, uint8 (T, H, W, 3) RGB. For short clips; use `chunks()` where length is not bounded."""
        return np.concatenate(list(self.chunks()))

    def first_frame(self) -> np.ndarray:
        """The first frame, uint8 (H, W, 3) RGB, without decoding the rest."""
        return next(self._iter_frames())

    @cached_property
    def audio(self) -> np.ndarray:
        """Speech, float32 (S,) mono 16 kHz in [-1, 1], exact multiples of 1/32768 (decoded to int16 as SyncNet's MFCC
        expects). Sample 0 belongs to frame 0. Its length is the file's own; a view cut to fewer frames cuts it too.

        Raises:
            MediaError: the file has no audio stream.
        """
        if not self.has_audio:
            raise MediaError(f"{self.path}: has no audio stream")
        samples = _decode_audio(self.path, self._index.origin)
        if self._cut is not None:
            samples = samples[: samples_for(self._cut, self.fps)]
        return samples.astype(np.float32) / 32768.0

    # -- decoding ---------------------------------------------------------------------------------------------------

    @cached_property
    def _index(self) -> _Index:
        return _read_index(self.path)

    def _iter_frames(self) -> Iterator[np.ndarray]:
        for frame in _nearest(_decode_video(self.path, self._index), self._rate, self.num_frames):
            rgb = _upright_rgb(frame)
            yield np.ascontiguousarray(resized(rgb, self._size) if self._size else rgb)


class ArrayClip(Clip):
    """A Clip over arrays already in memory.

    Args:
        frames: uint8 (T, H, W, 3) RGB.
        audio: float32 (S,) mono 16 kHz in [-1, 1], or None.
        fps: rate of the frames.
        name: shown in messages in place of a path.
    """

    def __init__(self, frames: np.ndarray, audio: np.ndarray | None = None, fps: float = 25.0, name: str = "<array>"):
        if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3 or not len(frames):
            raise MediaError(
                f"{name}: frames must be uint8 (T, H, W, 3) with T >= 1, got {frames.dtype} {frames.shape}"
            )
        super().__init__(name, fps=fps)
        self._frames = frames
        self._audio = audio

    @cached_property
    def sha256(self) -> str:
        digest = hashlib.sha256(str(self._frames.shape).encode())
        digest.update(np.ascontiguousarray(self._frames).data)
        if self._audio is not None:
            digest.update(np.ascontiguousarray(self._audio, np.float32).data)
        return digest.hexdigest()

    @cached_property
    def num_frames(self) -> int:
        return len(self._frames)

    @property
    def height(self) -> int:
        return self._frames.shape[1]

    @property
    def width(self) -> int:
        return self._frames.shape[2]

    @property
    def has_audio(self) -> bool:
        return self._audio is not None

    @cached_property
    def audio(self) -> np.ndarray:
        if self._audio is None:
            raise MediaError(f"{self.path}: has no audio")
        return np.asarray(self._audio, np.float32)

    def _iter_frames(self) -> Iterator[np.ndarray]:
        yield from (np.ascontiguousarray(frame) for frame in self._frames)


def resized(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """uint8 (H, W, 3) at `size` (height, width), as a Clip shows it: INTER_AREA to shrink, INTER_CUBIC to enlarge."""
    import cv2

    if image.shape[:2] == size:
        return image
    shrinks = size[0] * size[1] < image.shape[0] * image.shape[1]
    return cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)


def read_audio(path: Path) -> np.ndarray:
    """Speech of an audio file, float32 (S,) mono 16 kHz in [-1, 1], as `Clip.audio` gives it; sample 0 is its first.

    Raises:
        MediaError: the file is missing, damaged, or without sound.
    """
    return _decode_audio(path, Fraction(0)).astype(np.float32) / 32768.0


def hash_file(path: Path) -> str:
    """sha256 hex digest of a file's bytes."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise MediaError(f"{path}: {error.strerror}") from error


def samples_for(num_frames: int, fps: float) -> int:
    """Audio samples at 16 kHz that num_frames frames last, rounded to the nearest sample."""
    return round(num_frames * SAMPLE_RATE / Fraction(fps).limit_denominator(1001))


# -- the container, read without decoding ---------------------------------------------------------------------------


class _Index:
    """Timestamps and geometry of a file, from its packets: no frame is decoded to build it."""

    def __init__(self, times: list[Fraction], last_duration: Fraction, height: int, width: int, has_audio: bool):
        self.times = times
        self.origin = times[0]
        self.seconds = times[-1] - times[0] + last_duration
        self.height = height
        self.width = width
        self.has_audio = has_audio

    def num_frames(self, rate: Fraction) -> int:
        return max(1, round(self.seconds * rate))


def _open(path: Path):
    import av

    if not path.exists():
        raise MediaError(f"{path}: no such file")
    if path.is_file() and path.stat().st_size == 0:
        raise MediaError(f"{path}: file is empty (0 bytes)")
    try:
        return av.open(str(path))
    except (av.error.FFmpegError, OSError) as error:
        raise MediaError(f"{path}: not a readable video; it may be truncated or of another type ({error})") from error


def _read_index(path: Path) -> _Index:
    import av

    with _open(path) as container:
        if not container.streams.video:
            raise MediaError(f"{path}: has no video stream")
        stream = container.streams.video[0]
        try:
            packets = [packet for packet in container.demux(stream) if packet.size]
        except av.error.FFmpegError as error:
            raise MediaError(f"{path}: damaged container ({error})") from error
        announced = stream.frames
        if len(packets) < announced and "mp4" in container.format.name:
            raise MediaError(f"{path}: truncated; it announces {announced} frames and holds {len(packets)}")
        shown = [packet for packet in packets if not packet.is_discard]
        if not shown:
            raise MediaError(f"{path}: holds no video frame")
        rate = stream.average_rate or stream.guessed_rate or Fraction(25)
        has_audio = bool(container.streams.audio)

    # The first frame is decoded for the geometry: display rotation and codec cropping are not in the packets.
    with _open(path) as container:
        first = _first_frame(container, path)
        height, width = first.height, first.width
        if first.rotation % 180:
            height, width = width, height
        if any(packet.pts is None for packet in shown):
            times = [Fraction(i) / rate for i in range(len(shown))]
            last_duration = 1 / Fraction(rate)
        else:
            by_time = sorted(shown, key=lambda packet: packet.pts)
            times = [packet.pts * packet.time_base for packet in by_time]
            last = by_time[-1]
            last_duration = last.duration * last.time_base if last.duration else 1 / Fraction(rate)
    return _Index(times, last_duration, height, width, has_audio)


def _first_frame(container, path: Path):
    import av

    try:
        for frame in container.decode(video=0):
            return frame
    except av.error.FFmpegError as error:
        raise MediaError(f"{path}: the first frame cannot be decoded ({error})") from error
    raise MediaError(f"{path}: holds no frame that can be decoded")


# -- frames and samples ---------------------------------------------------------------------------------------------


def _upright_rgb(frame: av.VideoFrame) -> np.ndarray:
    """uint8 (H, W, 3) RGB, turned as players show it."""
    rgb = frame.to_ndarray(format="rgb24")
    return np.rot90(rgb, round(frame.rotation / 90)) if frame.rotation else rgb


def _decode_video(path: Path, index: _Index) -> Iterator[tuple[Fraction, av.VideoFrame]]:
    """(seconds since the first frame, frame) of every frame of the file in display order; not yet converted, since the
    view may not show all of them."""
    import av

    decoded = 0
    with _open(path) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        try:
            for frame in container.decode(stream):
                at = index.times[min(decoded, len(index.times) - 1)]
                if frame.pts is not None:
                    at = frame.pts * frame.time_base
                yield at - index.origin, frame
                decoded += 1
        except av.error.FFmpegError as error:
            raise MediaError(f"{path}: damaged after frame {decoded} of {len(index.times)} ({error})") from error
    # A decoder drops frames it cannot rebuild without an error; two are normal where a cut removed their references.
    if len(index.times) - decoded > 2:
        raise MediaError(f"{path}: damaged; only {decoded} of {len(index.times)} frames can be decoded")


def _nearest(timed: Iterable[tuple[Fraction, av.VideoFrame]], rate: Fraction, count: int) -> Iterator[av.VideoFrame]:
    """`count` frames at `rate`: the k-th is the one nearest to k / rate, the earlier of two equally near ones."""
    k = 0
    previous: tuple[Fraction, av.VideoFrame] | None = None
    for time, frame in timed:
        while k < count and previous is not None and k / rate - previous[0] <= time - k / rate:
            yield previous[1]
            k += 1
        if k == count:
            return
        previous = (time, frame)
    while k < count and previous is not None:
        yield previous[1]
        k += 1


def _decode_audio(path: Path, origin: Fraction) -> np.ndarray:
    """int16 (S,) mono 16 kHz; sample 0 is at `origin` seconds (silence is put before an audio track that starts late)."""
    import av

    resampler = av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE)
    pieces: list[np.ndarray] = []
    start: Fraction | None = None
    with _open(path) as container:
        if not container.streams.audio:
            raise MediaError(f"{path}: has no audio stream")
        try:
            for frame in container.decode(audio=0):
                if start is None:
                    start = Fraction(0) if frame.pts is None else frame.pts * frame.time_base
                pieces.extend(out.to_ndarray()[0] for out in resampler.resample(frame))
        except av.error.FFmpegError as error:
            raise MediaError(f"{path}: damaged audio ({error})") from error
    if start is None:
        raise MediaError(f"{path}: its audio stream holds no sample")
    pieces.extend(out.to_ndarray()[0] for out in resampler.resample(None))
    samples = np.concatenate(pieces) if pieces else np.zeros(0, np.int16)
    lead = round((start - origin) * SAMPLE_RATE)
    if lead < 0:
        return samples[-lead:]
    return np.concatenate([np.zeros(lead, np.int16), samples])
