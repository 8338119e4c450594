"""Source: one clip as an official layout has it; Found: all of them, with what is none and why."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from bench.media.clip import VIDEO_SUFFIXES
from bench.media.errors import UserError
from protocols.manifest import Skipped

AUDIO_SUFFIXES = (".m4a", ".wav", ".flac", ".mp3", ".aac")
"""Speech beside a video; of several files the earlier in this order is taken."""


class Window(BaseModel):
    """A rectangle given by a data set, in pixels of a video `of_height` pixels tall."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    left: int
    top: int
    width: int
    height: int
    of_height: int
    """Height the numbers refer to; they are scaled where the file has another."""


class Source(BaseModel):
    """One clip of an official layout; paths are relative to its root, with forward slashes."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    id: str
    """Of the prepared clip, unique in the data set."""
    video: str
    audio: str | None = None
    """Speech in a file of its own; None where there is none, and the video's own soundtrack is left."""
    soundtrack: bool = False
    """Whether the data set has no audio files, so that the soundtrack is the official speech."""
    start: float = 0.0
    """Seconds from the first frame."""
    stop: float | None = None
    """Seconds from the first frame; None is the end."""
    crop: Window | Literal["face", "whole"] = "face"
    """The given rectangle; `face`: a square around the detected face; `whole`: cropped already."""
    identity: str
    emotion: str | None = None
    level: int | None = None
    sentence: str | None = None

    @property
    def name(self) -> str:
        """The video, with its time range where it is a part."""
        return self.video if self.stop is None else f"{self.video} {_clock(self.start)}-{_clock(self.stop)}"


class Found(BaseModel):
    """What a layout holds."""

    sources: list[Source] = []
    """Sorted by id."""
    broken: list[Skipped] = []
    """Files that should be clips and are not."""
    left_out: list[Skipped] = []
    """What the data set itself leaves out; nothing is wrong on this machine."""

    def skip(self, source: str, reason: str) -> None:
        self.broken.append(Skipped(source=source, reason=reason))


def visible(folder: Path) -> list[Path]:
    """What is in a folder, by name, without hidden entries; nothing where there is no folder."""
    return sorted(path for path in folder.iterdir() if not path.name.startswith(".")) if folder.is_dir() else []


def is_video(path: Path) -> bool:
    return path.suffix.lower() in VIDEO_SUFFIXES and path.is_file()


def one_per_stem(videos: Iterable[Path], official: str, root: Path, found: Found) -> dict[str, Path]:
    """Stem -> video. Of several files with one stem that of the official suffix stays; the others are skipped."""
    by_stem: dict[str, list[Path]] = defaultdict(list)
    for path in videos:
        by_stem[path.stem].append(path)
    for stem, paths in by_stem.items():
        paths.sort(key=lambda path: (path.suffix.lower() != official, path))
        for other in paths[1:]:
            found.skip(relative(other, root), f"duplicate: {stem} is taken from {relative(paths[0], root)}")
    return {stem: paths[0] for stem, paths in sorted(by_stem.items())}


def speech_beside(folder: Path, stem: str) -> Path | None:
    """The audio file of that name in a folder."""
    candidates = (folder / f"{stem}{suffix}" for suffix in AUDIO_SUFFIXES)
    return next((path for path in candidates if path.is_file()), None)


def relative(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()


def check_root(root: Path, is_root: Callable[[Path], bool], expected: str) -> None:
    """Raise where `root` is not the top of the layout: UserError that says what was expected, what was found, and
    which folder near it looks right (above it or at most two below)."""
    if not root.is_dir():
        raise UserError(f"--root {root}: no such folder")
    if is_root(root):
        return
    names = [path.name + "/" * path.is_dir() for path in visible(root)]
    found = (", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")) or "nothing"
    below = [folder for folder in visible(root) if folder.is_dir()]
    near = [*root.resolve().parents[:5], *below, *(inner for folder in below for inner in visible(folder))]
    readable = (folder for folder in near if folder.is_dir() and os.access(folder, os.R_OK | os.X_OK))
    hint = next((f"; --root {folder} looks right" for folder in readable if is_root(folder)), "")
    raise UserError(f"--root {root}: expected {expected}; found {found}{hint}")


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes:02d}:{rest:02d}"
