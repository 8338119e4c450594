"""`bench prepare`: a data set in its official layout becomes clips of one rate, size and codec, with a manifest.

Clips are made side by side; `bench.prepare_clip` makes one. A second call does only what is missing, and a call that was
killed is continued to the same bytes.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from pathlib import Path
from types import ModuleType

from bench.face_window import RULE, FaceFinder, LandmarkFaces
from bench.media.errors import MissingPrerequisite, UserError
from bench.media.write import STORAGE_PATTERN
from bench.prepare_clip import FPS, VERSION, Job, Made, Preparer
from bench.prepare_report import Note, Report, make_report, write_report
from bench.progress import Progress
from bench.weights import Weights
from protocols.layouts import crema, hdtf, mead
from protocols.layouts.source import Found, Source
from protocols.manifest import Manifest, ManifestClip, Skipped, write_manifest

LAYOUTS: dict[str, ModuleType] = {"mead": mead, "crema": crema, "hdtf": hdtf}
SIZE = 512


@dataclass(frozen=True)
class Outcome:
    """What a call leaves behind."""

    manifest: Manifest
    report: Report
    folder: Path

    @property
    def exit_code(self) -> int:
        return 1 if self.report.broken else 0


def prepare(
    dataset: str,
    root: Path,
    out: Path,
    *,
    progress: Progress,
    size: int = SIZE,
    storage: str = "lossless",
    workers: int = 1,
    limit: int | None = None,
    make_finder: Callable[[], FaceFinder] = LandmarkFaces,
) -> Outcome:
    """Make clips, manifest and report; what is there already is kept.

    Args:
        dataset: a key of LAYOUTS.
        root: top of the official layout.
        out: folder for `clips/`, `records/`, `manifest.json`, `report.json` and `report.md`.
        progress: where to report to.
        size: side of the square clips in pixels.
        storage: `lossless` or `h264-crfN`.
        workers: processes.
        limit: only the first clips, in order of their ids.
        make_finder: module-level callable that returns the face finder.

    Raises:
        UserError: a wrong root, folder or setting; before any work.
    """
    layout = LAYOUTS[dataset]
    _check_settings(size, storage)
    found = layout.find(root)
    if not found.sources:
        raise UserError(_nothing(root, layout, found))
    if out.resolve().is_relative_to(root.resolve()):
        raise UserError(f"--out {out} lies inside --root {root}; choose a folder outside, so that the two stay apart")
    finder = _finder_identity(found.sources, make_finder)
    job = Job(root=root, out=out, size=(size, size), storage=storage, finder=finder, make_finder=make_finder)
    sources = found.sources[:limit]
    with _alone(out):
        free = shutil.disk_usage(out).free / 1e9
        progress.say(f"{dataset}: {len(sources)} clips to check or make; {free:.0f} GB are free at {out}")
        outcome = _outcome(dataset, layout, job, found, _make_all(job, sources, workers, progress))
        write_manifest(out, outcome.manifest)
        write_report(out, outcome.report)
    return outcome


# -- all clips --------------------------------------------------------------------------------------------------------


def _make_all(job: Job, sources: list[Source], workers: int, progress: Progress) -> list[Made]:
    """A record per source, in their order."""
    done: dict[str, Made] = {}
    progress.start(len(sources), "prepare")
    try:
        for made in _outcomes(job, sources, workers):
            done[made.id] = made
            progress.step(made.id if made.reason is None else f"{made.id}: skipped")
    finally:
        progress.stop()
    return [done[source.id] for source in sources]


def _outcomes(job: Job, sources: list[Source], workers: int) -> Iterator[Made]:
    if workers == 1 or len(sources) == 1:
        preparer = Preparer(job)
        yield from map(preparer, sources)
        return
    pool = ProcessPoolExecutor(min(workers, len(sources)), get_context("spawn"), _begin, (job,))
    try:
        for future in as_completed([pool.submit(_prepare_one, source) for source in sources]):
            yield future.result()
    except BrokenProcessPool as error:
        raise UserError(
            "a worker process died, often for lack of memory; the same command with fewer --workers continues"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _begin(job: Job) -> None:
    global _preparer
    import cv2

    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # The parent stops the work after the clips that are being made.
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _preparer = Preparer(job)


def _end_with_parent() -> None:
    """A worker whose parent was killed would wait for work for ever."""
    parent_process().join()
    os._exit(1)


def _prepare_one(source: Source) -> Made:
    return _preparer(source)


# -- before and after -------------------------------------------------------------------------------------------------


def _check_settings(size: int, storage: str) -> None:
    if not STORAGE_PATTERN.fullmatch(storage):
        raise UserError(f"--storage {storage}: use lossless or h264-crfN with N from 0 to 51")
    if size < 16 or size % 2:
        raise UserError(f"--size {size}: an even number of pixels, at least 16")


def _nothing(root: Path, layout: ModuleType, found: Found) -> str:
    examples = "; ".join(f"{skipped.source}: {skipped.reason}" for skipped in found.broken[:3])
    return f"--root {root}: no clip found; expected {layout.EXPECTED}" + (f". Skipped: {examples}" if examples else "")


def _finder_identity(sources: list[Source], make_finder: Callable[[], FaceFinder]) -> str | None:
    """Name, version and weights of the face finder where the sources need one.

    Raises:
        MissingPrerequisite: it cannot run on this machine; the message says what to fetch.
    """
    if not any(source.crop == "face" for source in sources):
        return None
    if make_finder is not LandmarkFaces:
        return f"{make_finder.__module__}.{make_finder.__qualname__}"
    from bench.features import extractor_identity, unavailable

    weights = Weights()
    if message := unavailable("landmarks", weights):
        raise MissingPrerequisite(f"finding faces {message}")
    return extractor_identity("landmarks", weights)


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Hold the folder for this call; what a killed call left half-written is deleted."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        lock = open(out / ".lock", "w")  # noqa: SIM115 (held until the call ends)
    except OSError as error:
        raise UserError(f"--out {out}: cannot be written ({error.strerror}); choose another folder") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(f"--out {out}: another `bench prepare` is writing to it; wait for it") from error
        except OSError as error:
            if error.errno not in (errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP):  # Lustre may be mounted without locks.
                raise
        for stale in out.rglob(".*.tmp"):
            stale.unlink(missing_ok=True)
        yield


def _outcome(dataset: str, layout: ModuleType, job: Job, found: Found, made: list[Made]) -> Outcome:
    by_id = {source.id: source for source in found.sources}
    good = [one for one in made if one.reason is None]
    broken = found.broken + [Skipped(source=by_id[one.id].name, reason=one.reason) for one in made if one.reason]
    missing = layout.missing(job.root, {one.id for one in good})
    crop = layout.CROP if job.finder is None else f"{layout.CROP}: {RULE}"
    manifest = Manifest(
        dataset=dataset, version=VERSION, fps=FPS, size=job.size, crop=crop, storage=job.storage,
        complete=not missing, missing=missing, clips=tuple(_entry(one, by_id[one.id]) for one in good),
        skipped=tuple(sorted(broken + found.left_out, key=lambda one: (one.source, one.reason))),
    )  # fmt: skip
    notes = [Note(clip=one.id, note=note) for one in good for note in one.notes]
    return Outcome(
        manifest, make_report(manifest, broken, found.left_out, notes, [one.source_fps for one in good]), job.out
    )


def _entry(made: Made, source: Source) -> ManifestClip:
    return ManifestClip(
        id=made.id, file=f"clips/{made.id}.mkv", sha256=made.sha256, frames=made.frames, identity=source.identity,
        emotion=source.emotion, level=source.level, sentence=source.sentence, source=source.name,
    )  # fmt: skip
