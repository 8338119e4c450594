"""One clip of `bench prepare`: checked, cut, cropped, resampled to 25 frames per second and 16 kHz, written, hashed.

Each clip leaves a record, written after its file and keyed by the content of its sources and by the settings: what has a
record that matches is not made again.

Speech is the audio file beside the video. Where there is none, or where it runs more than a frame apart from the
video's own soundtrack, the soundtrack is taken, and a note says so. A clip lasts as long as both picture and speech.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from bench.cache import FileHashes, cache_dir
from bench.face_window import LOOKS, RULE, FaceFinder, face_window
from bench.media.clip import SAMPLE_RATE, Clip, hash_file, read_audio, samples_for
from bench.media.errors import MediaError, Undefined
from bench.media.part import Part
from bench.media.write import write_video
from bench.store import write_atomically
from protocols.layouts.source import Source, Window

VERSION = 1
"""Raised when the same source would give another clip."""
FPS = 25.0
SHORTEST = 1.0
"""Seconds a clip must last."""
REPEATS = 0.2
"""Share of repeated frames from which a low frame rate is noted: sources under 20 frames per second."""
LENGTH_SLACK = 0.2
"""Seconds by which picture and speech may differ in length without a note."""
SAME_SPEECH = 0.5
"""Correlation from which two soundtracks count as the same recording."""
OUTSIDE = 0.01
"""Share of the picture's height by which a given rectangle may lie outside it, for rounding."""


class Job(BaseModel):
    """What all clips of a call have in common."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    root: Path
    out: Path
    size: tuple[int, int]
    """(height, width)."""
    storage: str
    finder: str | None
    """Identity of the face finder, None where the data set gives the rectangles."""
    make_finder: Callable[[], FaceFinder]
    """Called once per process, at the first clip that needs it."""


class Made(BaseModel):
    """Record of one source: the clip it became, or why it became none."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    id: str
    key: str
    """Digest of everything the clip depends on."""
    sha256: str | None = None
    """Of the file; None where there is none."""
    frames: int = 0
    window: tuple[int, int, int, int] | None = None
    """Left, top, right, bottom in pixels of the source, right and bottom exclusive."""
    source_fps: float | None = None
    notes: tuple[str, ...] = ()
    """What a person should know about the clip."""
    reason: str | None = None
    """Why there is no clip."""


class Preparer:
    """Makes one clip after the other; the face finder is loaded when it is first needed."""

    def __init__(self, job: Job):
        self._job = job
        self._hashes = FileHashes(cache_dir())

    @cached_property
    def _faces(self) -> FaceFinder:
        return self._job.make_finder()

    def __call__(self, source: Source) -> Made:
        path, record = clip_path(self._job.out, source.id), self._job.out / "records" / f"{source.id}.json"
        key = ""  # Of a source that cannot be read; it matches nothing, so that the next call tries again.
        try:
            key = self._key(source)
            if (known := self._known(record, path, key)) is not None:
                return known
            made = self._make(source, path, key)
        except (MediaError, Undefined) as error:
            path.unlink(missing_ok=True)
            reason = str(error).replace(f"{self._job.root}{os.sep}", "")
            made = Made(id=source.id, key=key, reason=reason)
        write_atomically(record, made.model_dump_json(indent=1) + "\n")
        return made

    def _key(self, source: Source) -> str:
        files = [self._hashes.sha256(self._job.root / name) for name in (source.video, source.audio) if name]
        crop = [RULE, self._job.finder] if source.crop == "face" else []
        facts = [VERSION, source.model_dump(mode="json"), files, self._job.size, self._job.storage, *crop]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()

    def _known(self, record: Path, path: Path, key: str) -> Made | None:
        """What an earlier call made of the same content under the same settings, if it is still there, unchanged."""
        if not record.is_file():
            return None
        try:
            made = Made.model_validate_json(record.read_text("utf-8"))
        except ValidationError:  # Damaged, or of another version: made again.
            return None
        if made.key != key:
            return None
        whole = made.reason is not None or (path.is_file() and self._hashes.sha256(path) == made.sha256)
        return made if whole else None

    def _make(self, source: Source, path: Path, key: str) -> Made:
        clip = _view(source, self._job.root, FPS)
        notes: list[str] = []
        audio = _speech(source, clip, self._job.root, notes)
        frames = _length(clip, audio, source, notes)
        window = self._window(source, clip, notes)
        repeated = 1 - clip.source_fps / FPS
        if repeated > REPEATS:
            notes.append(f"{clip.source_fps:.4g} frames per second: {repeated:.0%} of the frames are repeats")
        chunks = cropped(clip, window, self._job.size, frames)
        write_video(path, chunks, FPS, _fitted(audio, samples_for(frames, FPS)), self._job.storage)
        return Made(
            id=source.id, key=key, sha256=hash_file(path), frames=frames, window=window,
            source_fps=round(clip.source_fps, 3), notes=tuple(notes),
        )  # fmt: skip

    def _window(self, source: Source, clip: Clip, notes: list[str]) -> tuple[int, int, int, int]:
        if isinstance(source.crop, Window):
            return scaled_window(source.crop, clip.height, clip.width)
        if source.crop == "whole":
            if clip.height != clip.width:
                raise Undefined(f"named as a cropped clip, but {clip.width}x{clip.height} is no square")
            return 0, 0, clip.width, clip.height
        faces = self._faces(_view(source, self._job.root, LOOKS))
        if several := int((faces.counts > 1).sum()):
            notes.append(
                f"more than one face in {several} of the {len(faces.counts)} frames looked at; the largest is shown"
            )
        return face_window(faces, clip.height, clip.width)


def clip_path(out: Path, id: str) -> Path:
    """Where the clip of an id is stored."""
    return out / "clips" / f"{id}.mkv"


def _view(source: Source, root: Path, fps: float) -> Clip:
    path = root / source.video
    return Clip(path, fps=fps) if source.stop is None else Part(path, source.start, source.stop, fps=fps)


def _speech(source: Source, clip: Clip, root: Path, notes: list[str]) -> np.ndarray:
    """float32 (S,) mono 16 kHz; sample 0 belongs to frame 0."""
    if source.audio is None:
        if not clip.has_audio:
            raise MediaError("no speech: there is no audio file beside it, and the video has no soundtrack")
        if not source.soundtrack:
            notes.append("no audio file beside it; the video's own soundtrack is used")
        return clip.audio
    audio = read_audio(root / source.audio)
    if clip.has_audio and abs(late := lag(audio, clip.audio)) > 1 / FPS:
        notes.append(f"the audio file runs {late * 1000:+.0f} ms against the video's soundtrack, which is used instead")
        return clip.audio
    return audio


def lag(audio: np.ndarray, other: np.ndarray, limit: float = 0.5) -> float:
    """Seconds by which `audio` is later than `other`, at most `limit`; 0 where they are no recording of the same speech.

    Args:
        audio, other: float32 (S,) mono 16 kHz; the first 10 seconds are compared.
    """
    first, second = (samples[: 10 * SAMPLE_RATE].astype(np.float64) for samples in (audio, other))
    size = len(first) + len(second)
    energy = np.linalg.norm(first) * np.linalg.norm(second)
    if not energy:
        return 0.0
    products = np.fft.irfft(np.fft.rfft(first, size) * np.conj(np.fft.rfft(second, size)), size)
    reach = min(round(limit * SAMPLE_RATE), size // 2 - 1)
    near = np.concatenate([products[-reach:], products[: reach + 1]]) / energy
    best = int(np.argmax(near))
    return (best - reach) / SAMPLE_RATE if near[best] >= SAME_SPEECH else 0.0


def _length(clip: Clip, audio: np.ndarray, source: Source, notes: list[str]) -> int:
    """Frames the clip gets: as long as picture and speech both last."""
    picture, speech = clip.num_frames / FPS, len(audio) / SAMPLE_RATE
    frames = min(clip.num_frames, round(speech * FPS))
    if frames < SHORTEST * FPS:
        raise Undefined(
            f"too short: the picture lasts {picture:.2f} s, the speech {speech:.2f} s, {SHORTEST} s are needed"
        )
    if abs(picture - speech) > LENGTH_SLACK:
        notes.append(f"the picture lasts {picture:.2f} s, the speech {speech:.2f} s; cut to the shorter")
    if source.stop is not None and (short := source.stop - source.start - picture) > LENGTH_SLACK:
        if short > SHORTEST:
            raise MediaError(f"the video ends {short:.1f} s before the part does: truncated, or another upload")
        notes.append(f"the video ends {short:.2f} s before the part does")
    return frames


def _fitted(audio: np.ndarray, samples: int) -> np.ndarray:
    """Cut, or lengthened by silence (less than half a frame), to exactly the frames' duration."""
    return np.pad(audio[:samples], (0, max(0, samples - len(audio))))


def scaled_window(window: Window, height: int, width: int) -> tuple[int, int, int, int]:
    """A data set's rectangle in a picture of another height: left, top, right, bottom, right and bottom exclusive.

    Raises:
        Undefined: it lies outside the picture by more than rounding does.
    """
    scale = height / window.of_height
    edges = (window.left, window.top, window.left + window.width, window.top + window.height)
    left, top, right, bottom = (round(edge * scale) for edge in edges)
    if right > width + OUTSIDE * height or bottom > (1 + OUTSIDE) * height:
        raise Undefined(
            f"its rectangle reaches to ({right}, {bottom}) and the picture is {width}x{height}: another video?"
        )
    return left, top, min(right, width), min(bottom, height)


def cropped(clip: Clip, window: tuple[int, int, int, int], size: tuple[int, int], frames: int) -> Iterator[np.ndarray]:
    """The first `frames` frames inside `window`, resized: uint8 (t, height, width, 3) RGB chunks. As `Clip`, shrinks with
    INTER_AREA and enlarges with INTER_CUBIC."""
    import cv2

    left, top, right, bottom = window
    shrinks = size[0] * size[1] < (right - left) * (bottom - top)
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    for chunk in clip.chunks():
        inside = chunk[:frames, top:bottom, left:right]
        if inside.shape[1:3] != size:
            inside = [cv2.resize(frame, size[::-1], interpolation=interpolation) for frame in inside]
        if len(inside):
            yield np.stack(list(inside))
        frames -= len(inside)
        if frames == 0:
            return
