"""Manifest: what a prepared data set holds, clip by clip, with the sha256 of every file. Written by `bench prepare`.

A prepared folder is `manifest.json` beside the files it names. Protocols read the manifest, never the folder: a file
that is not in it does not exist, a file that differs from it is refused by `verify`.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from bench.media.clip import hash_file
from bench.media.errors import UserError

MANIFEST = "manifest.json"
SCHEMA = 1


class ManifestClip(BaseModel):
    """One prepared clip."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    id: str
    """Unique in the data set: a relative POSIX path without a suffix, for example `M003/angry/level_1/001`."""
    file: str
    """The clip, relative to the manifest."""
    sha256: str
    """Digest of the file."""
    frames: int
    """Frames at the manifest's rate."""
    identity: str
    """Whose face it is."""
    emotion: str | None = None
    """Emotion in the data set's own word, None where it has none."""
    level: int | None = None
    """Intensity 1 to 3; None where the data set has none."""
    sentence: str | None = None
    """What is said: the data set's sentence number or code."""
    source: str
    """File of the official layout it was made from, relative to that layout's root, with a time range where it is a part."""
    aus: str | None = None
    """AU track of the clip (CSV or JSON), relative to the manifest."""


class Skipped(BaseModel):
    """A file of the official layout that became no clip."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    source: str
    """The file, relative to the layout's root."""
    reason: str
    """Why, and what to do where something can be done."""


class Manifest(BaseModel):
    """A prepared data set."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    schema_version: int = SCHEMA
    dataset: str
    """`mead`, `crema`, `hdtf` or `synth`."""
    version: int
    """Of the preparation: raised when the same source would give another clip."""
    fps: float
    """Frames per second of every clip."""
    size: tuple[int, int]
    """(height, width) of every clip."""
    crop: str
    """How faces were cropped, in words and numbers."""
    storage: str
    """`lossless` or `h264-crfN`."""
    complete: bool
    """Whether everything the official data set has for the published protocols is here."""
    missing: tuple[str, ...] = ()
    """What is not, by clip id or by identity."""
    clips: tuple[ManifestClip, ...]
    """Sorted by id."""
    skipped: tuple[Skipped, ...] = ()
    """Sorted by source."""


def read_manifest(folder: Path, dataset: str) -> Manifest:
    """The manifest of a prepared folder.

    Args:
        folder: what `bench prepare` wrote to.
        dataset: the data set the caller needs.

    Raises:
        UserError: no manifest, a damaged or newer one, or one of another data set; the message says what to do.
    """
    path = folder / MANIFEST
    command = f"python -m bench prepare {dataset} --root OFFICIAL --out {folder}"
    if not path.is_file():
        raise UserError(f"{folder}: no {MANIFEST}, so this is no prepared data set; make one with: {command}")
    try:
        content = json.loads(path.read_text("utf-8"))
        found = content.get("schema_version") if isinstance(content, dict) else None
        if found != SCHEMA:
            raise UserError(f"{path}: has schema {found}, this version reads {SCHEMA}; make it again with: {command}")
        manifest = Manifest(**content)
    except (json.JSONDecodeError, ValidationError) as error:
        raise UserError(f"{path}: damaged ({str(error).splitlines()[0]}); make it again with: {command}") from error
    if manifest.dataset != dataset:
        raise UserError(f"{folder}: holds {manifest.dataset}, this protocol needs {dataset}")
    return manifest


def write_manifest(folder: Path, manifest: Manifest) -> Path:
    """Write `manifest.json`, whole or not at all; equal manifests are equal bytes."""
    path = folder / MANIFEST
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with open(temporary, "w", encoding="utf-8") as file:
            json.dump(manifest.model_dump(mode="json"), file, indent=1, ensure_ascii=False)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def verify(folder: Path, manifest: Manifest) -> list[str]:
    """What differs from the manifest: one line per clip that is absent or has another sha256; empty if all is well."""
    problems = []
    for clip in manifest.clips:
        path = folder / clip.file
        if not path.is_file():
            problems.append(f"{clip.file}: absent")
        elif hash_file(path) != clip.sha256:
            problems.append(f"{clip.file}: differs from the manifest")
    return problems
