"""Export: a finished run's videos as copies for people, each with credentials that say what it is.

Small MP4 files named by case id (h264, AAC, larger side at most 512 pixels). The videos that are scored stay where they are,
lossless and unmarked.
"""

from __future__ import annotations

from pathlib import Path

from bench.credentials import mark, run_claim
from bench.leaderboard import StoredRun
from bench.media.clip import Clip
from bench.media.errors import UserError
from bench.media.write import write_viewer_copy
from bench.progress import Progress
from bench.store import RunStore
from bench.worker import find_video


def export_run(run: StoredRun, out: Path, progress: Progress) -> list[Path]:
    """Write a marked copy of every video of a finished run; copies that are there are made again.

    Raises:
        UserError: the run made no videos, or one is not on this machine.
    """
    cases = sorted(case for case, record in run.records.items() if record["status"] == "ok")
    files = [out / f"{case}.mp4" for case in cases]
    progress.start(len(cases), "export")
    try:
        for case, file in zip(cases, files, strict=True):
            mark(viewer_copy(run, case), file, run_claim(run.summary, case))
            progress.step(case)
    finally:
        progress.stop()
    return files


def viewer_copy(run: StoredRun, case: str) -> Path:
    """The case's small copy, made now if the run has none: finished videos are scored where they lie.

    Raises:
        UserError: its video is not on this machine, or the run makes none.
    """
    copy = RunStore(run.folder).viewer_copy(case)
    if not copy.exists():
        write_viewer_copy(Clip(scored_video(run, case), fps=run.manifest["protocol_settings"]["fps"]), copy)
    return copy


def scored_video(run: StoredRun, case: str) -> Path:
    """The file that was scored.

    Raises:
        UserError: it is not on this machine, or the run makes none.
    """
    if run.manifest["protocol_settings"].get("output") == "aus":
        raise UserError(f"{run.folder}: protocol {run.manifest['protocol']} asks for AU tracks; there is no video")
    videos = run.manifest["videos"]
    found = find_video(Path(videos), case) if videos else RunStore(run.folder).video(case)
    if found is None or not found.exists():
        raise UserError(f"{run.folder}: the video of case {case} is not on this machine")
    return found
