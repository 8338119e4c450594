"""A run as one archive that others can check: `results export` and `results import`.

A zip file of run.json (without this machine's paths), cases.jsonl (one line per case, in order), summary.json, on request the
scored videos, and first of all archive.json with the size and sha256 of every other. Equal runs give equal bytes.

An archive comes from outside, and nothing in it is believed: names and sizes are checked before anything is read, digests
before anything is parsed, and what summary.json says of per-case and pooled metrics is computed again from cases.jsonl.
Fréchet metrics cannot be computed again without the videos; what was not checked is said, and stays with the run.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bench.export import scored_video
from bench.leaderboard import StoredRun, open_run
from bench.media.clip import VIDEO_SUFFIXES, hash_file
from bench.media.errors import UserError
from bench.plan import DEFAULT_OUT, file_settings
from bench.submission import check_submission, is_safe_name
from bench.weights import Weights

SCHEMA = 1
INDEX = "archive.json"
MEGABYTE = 1 << 20
LIMITS = {INDEX: 16 * MEGABYTE, "run.json": 64 * MEGABYTE, "cases.jsonl": 256 * MEGABYTE, "summary.json": 64 * MEGABYTE}
"""Largest size of each; a protocol of 2,000 cases with every metric takes 6 MB."""
VIDEO_LIMIT = 4096 * MEGABYTE
FILES_LIMIT = 20_000
EPOCH = (1980, 1, 1, 0, 0, 0)
"""Time of every file in the archive, so that equal runs give equal bytes."""


class Listed(BaseModel):
    """A file of the archive."""

    model_config = ConfigDict(extra="forbid")

    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    bytes: int = Field(ge=0)


class Index(BaseModel):
    """archive.json."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    schema_: int = Field(alias="schema")
    kind: Literal["au-talking-head-bench run"]
    fingerprint: str
    """Of the run, for people who look inside."""
    label: str
    protocol: str
    files: dict[str, Listed]


@dataclass(frozen=True)
class Taken:
    """A run that was taken in."""

    folder: Path
    checked: list[str] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)


# -- out ----------------------------------------------------------------------------------------------------------------


def export_archive(folder: Path, out: Path | None = None, *, with_videos: bool = False) -> Path:
    """Pack a finished run.

    Args:
        folder: of the run.
        out: archive; None takes PROTOCOL-METHOD-FINGERPRINT.zip in the working folder.
        with_videos: add the videos that were scored.

    Raises:
        UserError: the run is not finished, was itself taken in from an archive, or a video is not on this machine.
    """
    run = open_run(folder)
    if "submitted" in run.manifest:
        raise UserError(f"{folder} was imported; hand on the archive it came from")
    texts = {
        "run.json": _json(portable_manifest(run)),
        "cases.jsonl": "".join(_line(run.records[case]) for case in sorted(run.records)).encode(),
        "summary.json": _json(run.summary),
    }
    videos = dict(_videos(run)) if with_videos else {}
    listed = {name: Listed(sha256=hashlib.sha256(text).hexdigest(), bytes=len(text)) for name, text in texts.items()}
    listed |= {name: Listed(sha256=hash_file(path), bytes=path.stat().st_size) for name, path in videos.items()}
    index = Index(
        schema_=SCHEMA, kind="au-talking-head-bench run", fingerprint=run.summary["fingerprint"],
        label=run.summary["label"], protocol=run.summary["protocol"], files=listed,
    )  # fmt: skip
    texts = {INDEX: _json(index.model_dump(by_alias=True))} | texts
    out = out or Path(f"{_name_of(run.summary)}.zip")
    _write_zip(out, texts, videos)
    return out


def portable_manifest(run: StoredRun) -> dict[str, Any]:
    """run.json without this machine's paths: files of a case are named by it, those of settings keep their own name."""
    from bench import registry

    manifest = dict(run.manifest)
    manifest["cases"] = [
        case | {role: f"{role}/{case['id']}{Path(case[role]).suffix}" for role in _ROLES if case[role]}
        for case in manifest["cases"]
    ]
    if manifest["videos"]:
        manifest["videos"] = "videos"
    else:
        files = file_settings(registry.method(manifest["method"]).Config)
        config = manifest["config"]
        manifest["config"] = {
            key: Path(value).name if key in files and value else value for key, value in config.items()
        }
    return manifest


_ROLES = ("reference", "driving", "target", "aus")


def _videos(run: StoredRun) -> Iterator[tuple[str, Path]]:
    """Name in the archive and file of every scored video."""
    for case, record in sorted(run.records.items()):
        if record["status"] == "ok":
            path = scored_video(run, case)
            yield f"videos/{case}{path.suffix}", path


def _write_zip(out: Path, texts: dict[str, bytes], videos: dict[str, Path]) -> None:
    temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(temporary, "w") as archive:
            for name, text in texts.items():
                archive.writestr(_entry(name, zipfile.ZIP_DEFLATED), text)
            for name, path in videos.items():
                with (
                    archive.open(_entry(name, zipfile.ZIP_STORED), "w", force_zip64=True) as entry,
                    open(path, "rb") as file,
                ):
                    shutil.copyfileobj(file, entry, MEGABYTE)
        os.replace(temporary, out)
    except OSError as error:
        raise UserError(f"{out}: cannot be written ({error.strerror}); choose another --out") from error
    finally:
        temporary.unlink(missing_ok=True)


def _entry(name: str, compression: int) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, EPOCH)
    entry.compress_type, entry.external_attr = compression, 0o644 << 16
    return entry


def _json(content: dict) -> bytes:
    return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()


def _line(record: dict) -> str:
    return json.dumps(record, ensure_ascii=False, sort_keys=True) + "\n"


def _name_of(summary: dict) -> str:
    method = re.sub(r"[^\w.-]", "_", summary["method"])
    return f"{summary['protocol']}-{method}-{summary['fingerprint'][:8]}"


# -- in -----------------------------------------------------------------------------------------------------------------


def import_archive(file: Path, weights: Weights, data: Path | None = None, root: Path = DEFAULT_OUT) -> Taken:
    """Check an archive and put its run below `root`, as PROTOCOL/METHOD-FINGERPRINT-submitted.

    Args:
        file: the archive.
        weights: where weights and the cache are.
        data: prepared data set of this machine, to check the cases against.
        root: folder of all runs.

    Raises:
        UserError: it is no archive, was changed, is of another version of suite, protocol or metrics, or is here already;
            nothing is left behind.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        unpacked = Path(tempfile.mkdtemp(prefix=".import.", dir=root))
    except OSError as error:
        raise UserError(f"{root}: cannot be written ({error.strerror})") from error
    try:
        _unpack(file, unpacked)
        checked = check_submission(unpacked, weights, data)
        name = re.sub(r"[^\w.-]", "_", checked.manifest["method"])
        folder = root / checked.manifest["protocol"] / f"{name}-{checked.manifest['fingerprint'][:8]}-submitted"
        if folder.exists():
            raise UserError(f"{folder} holds this run already; delete that folder to take this archive instead")
        origin = {"sha256": hash_file(file), "checked": checked.checked, "unchecked": checked.unchecked}
        videos = folder / "videos" if checked.manifest["videos"] else None
        manifest = checked.manifest | {"submitted": origin, "videos": videos and str(videos)}
        (unpacked / "run.json").write_bytes(_json(manifest))
        folder.parent.mkdir(parents=True, exist_ok=True)
        os.replace(unpacked, folder)
    except UserError as error:
        raise UserError(f"{file} is refused: {error}") from error
    finally:
        shutil.rmtree(unpacked, ignore_errors=True)
    return Taken(folder, checked.checked, checked.unchecked)


def _unpack(file: Path, folder: Path) -> None:
    """Write the archive's files below `folder`, each with the listed size and digest and under a harmless name."""
    try:
        with zipfile.ZipFile(file) as archive:
            entries = {entry.filename: entry for entry in archive.infolist()}
            if len(entries) != len(archive.infolist()):
                raise UserError("two of its files have the same name")
            if INDEX not in entries:
                raise UserError(f"it holds no {INDEX}: make it with python -m bench results export")
            index = _index(_read(archive, entries[INDEX], LIMITS[INDEX]))
            _refuse_names(set(entries) - {INDEX}, index)
            for name, listed in index.files.items():
                target = folder.joinpath(*PurePosixPath(name).parts)
                target.parent.mkdir(parents=True, exist_ok=True)
                _copy(archive, entries[name], listed, target)
    except (OSError, zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
        raise UserError(f"no zip archive that can be read ({error})") from error


def _index(text: bytes) -> Index:
    try:
        index = Index.model_validate_json(text)
    except ValidationError as error:
        raise UserError(f"{INDEX}: {error.errors()[0]['loc']}: {error.errors()[0]['msg']}") from error
    if index.schema_ != SCHEMA:
        raise UserError(f"archive schema {index.schema_}, this suite reads {SCHEMA}: export it again with this version")
    return index


def _refuse_names(names: set[str], index: Index) -> None:
    """Every file listed, every listed file there, and only names that stay inside the run's folder."""
    if different := sorted(names ^ index.files.keys()):
        raise UserError(f"{INDEX} and the archive do not hold the same files: {different[0]}")
    if lacking := sorted(LIMITS.keys() - names - {INDEX}):
        raise UserError(f"it lacks {lacking[0]}")
    if len(names) > FILES_LIMIT:
        raise UserError(f"it holds {len(names)} files, at most {FILES_LIMIT} are taken")
    for name in names - LIMITS.keys():
        if not (name.startswith("videos/") and is_safe_name(name) and Path(name).suffix.lower() in VIDEO_SUFFIXES):
            raise UserError(f"file name {name!r} is not one of a run")
    for name, listed in index.files.items():
        if listed.bytes > (limit := LIMITS.get(name, VIDEO_LIMIT)):
            raise UserError(f"{name} has {listed.bytes} bytes, at most {limit} are taken")


def _read(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, limit: int) -> bytes:
    with archive.open(entry) as stream:
        text = stream.read(limit + 1)
    if len(text) > limit:
        raise UserError(f"{entry.filename} has more than {limit} bytes")
    return text


def _copy(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, listed: Listed, target: Path) -> None:
    """Stream one file out; stops at the listed size, whatever the archive claims to unpack to."""
    digest, left = hashlib.sha256(), listed.bytes
    with archive.open(entry) as stream, open(target, "xb") as file:
        while chunk := stream.read(min(MEGABYTE, left + 1)):
            if len(chunk) > left:
                raise UserError(f"{entry.filename} has more than the {listed.bytes} bytes that {INDEX} lists")
            left -= len(chunk)
            digest.update(chunk)
            file.write(chunk)
    if left or digest.hexdigest() != listed.sha256:
        raise UserError(f"{entry.filename} was changed: its sha256 is not the one {INDEX} lists")
