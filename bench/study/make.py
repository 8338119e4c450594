"""Make a study: choose cases, encode clips under names that say nothing, write the page and the key.

Both sides are encoded alike from what was scored, lossless, at a rate at which coding does not show. Clips are named by a
shuffled number, carry credentials that name the study and not the run, and have the same time stamp. What raters can still
find out is whether a clip is claimed to be a network's (method) or not (control): that claim is for everybody.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from bench.credentials import STUDY, Claim, mark, source_of
from bench.export import scored_video
from bench.leaderboard import Comparison, StoredRun, find_runs
from bench.media.clip import ArrayClip, Clip
from bench.media.errors import UserError
from bench.media.write import write_viewer_copy
from bench.progress import Progress
from bench.report.page import asset, render
from bench.store import write_atomically
from bench.study.spec import QUESTIONS, Key, KeyPair, name_hash, shuffled

STUDIES = Path("results") / "studies"
CRF = 16
"""x264 rate factor of the clips: raters judge the method's picture, not the codec's."""
BLOCKS = 12
"""Blocks across the picture of an attention check's ruined side."""
TIME_STAMP = 315_532_800
"""1 January 1980: the order in which clips were encoded must not show."""


@dataclass(frozen=True)
class Made:
    """A study on disk."""

    page: Path
    """Folder for raters, with index.html."""
    key_file: Path
    key: Key


@dataclass(frozen=True)
class _Source:
    """A clip before it has a name."""

    row: str
    case: str
    ruined: bool = False

    def __str__(self) -> str:
        return f"{self.row}\n{self.case}\n{self.ruined}"


def make_study(
    folders: Sequence[Path], out: Path | None = None, *, progress: Progress, clips: int = 32, checks: int = 4, seed: int = 0,
    title: str = "Which video is better?", contact: str = "",
) -> Made:  # fmt: skip
    """Write the page and the key of a study.

    Args:
        folders: of two or more finished runs on the same cases; every two of them are compared.
        out: folder of the study; None takes results/studies/ID.
        progress: where to report to.
        clips: cases to show, spread over people and emotions (the paper: 32, four people with eight emotions each).
        checks: attention checks.
        seed: decides cases, order and sides.
        title: shown to raters.
        contact: where they send their file.

    Raises:
        UserError: fewer than two runs, no case they share, a video that is not here, a title that names a row, or a folder
            with another study.
    """
    rows = Comparison(find_runs("", folders)).labelled if len(folders) > 1 else {}
    if len(rows) < 2:
        raise UserError("a study compares two or more runs: give their folders")
    if told := [row for row in rows if row.lower() in title.lower() or rows[row].summary["method"] in title.lower()]:
        raise UserError(f"--title {title!r} tells raters about {told[0]}: choose one that names no row")
    cases = _choose(list(rows.values()), clips, seed)
    fingerprints = {row: run.summary["fingerprint"] for row, run in rows.items()}
    study = name_hash(str(seed), title, str(checks), *fingerprints.values(), *cases)[:12]
    pairs = _pairs(list(rows), cases, checks, study)
    summary = next(iter(rows.values())).summary
    key = Key(
        study=study, title=title, protocol=summary["protocol"], data=summary["data"], synthetic=summary["synthetic"],
        seed=seed, runs=fingerprints, pairs=[pair for pair, _ in pairs],
    )  # fmt: skip
    out = out or STUDIES / study
    _refuse_other_study(out, study)
    names = {clip: source for pair, sources in pairs for clip, source in zip(pair.clips, sources, strict=True)}
    _write_clips(names, rows, study, out / "page" / "clips", progress)
    _write_page(key, contact, _shape(rows, cases), out / "page")
    write_atomically(out / "key.json", key.model_dump_json(by_alias=True, indent=1) + "\n")
    return Made(out / "page", out / "key.json", key)


def _choose(runs: Sequence[StoredRun], count: int, seed: int) -> list[str]:
    """Cases that every run has, as evenly over emotions as they allow, and over people within each emotion."""
    shared = set.intersection(*({id for id, r in run.records.items() if r["status"] == "ok"} for run in runs))
    if not shared:
        raise UserError("these runs have no case in common that all of them made")
    records = runs[0].records
    chosen: list[str] = []
    used: Counter = Counter()
    left = shuffled(shared, str(seed), "cases")
    while left and len(chosen) < count:
        rarest = min(left, key=lambda id: [used[kind] for kind in _kinds(records[id])])
        used.update(_kinds(records[rarest]))
        chosen.append(rarest)
        left.remove(rarest)
    return chosen


def _kinds(record: dict) -> list[tuple]:
    """What is kept even, the most important first."""
    emotion, identity = record["emotion"], record["identity"]
    return [("emotion", emotion), ("both", emotion, identity), ("identity", identity)]


def _pairs(
    rows: Sequence[str], cases: Sequence[str], checks: int, study: str
) -> list[tuple[KeyPair, tuple[_Source, _Source]]]:
    """Every two rows on every case, and the attention checks, numbered in an order that tells nothing."""
    found: list[tuple[_Source, _Source]] = []
    for one, other in combinations(rows, 2):
        for place, case in enumerate(shuffled(cases, study, one, other)):
            sources = _Source(one, case), _Source(other, case)
            found.append(sources[::-1] if place % 2 else sources)
    for place, case in enumerate(shuffled(cases, study, "checks")[:checks]):
        row = rows[place // 2 % len(rows)]
        sources = _Source(row, case), _Source(row, case, ruined=True)
        found.append(sources[::-1] if place % 2 else sources)
    numbers = {
        name: f"c{place:03d}" for place, name in enumerate(shuffled({str(s) for p in found for s in p}, study), 1)
    }
    ordered = sorted(found, key=lambda sources: name_hash(study, str(sources[0]), str(sources[1])))
    return [(_key_pair(f"p{place:03d}", sources, numbers), sources) for place, sources in enumerate(ordered, 1)]


def _key_pair(id: str, sources: tuple[_Source, _Source], numbers: dict[str, str]) -> KeyPair:
    one, other = sources
    clips = numbers[str(one)], numbers[str(other)]
    ruined = next((clip for clip, source in zip(clips, sources, strict=True) if source.ruined), None)
    return KeyPair(id=id, clips=clips, case=one.case, rows=(one.row, other.row), ruined=ruined)


def _refuse_other_study(out: Path, study: str) -> None:
    known = out / "key.json"
    if known.exists() and json.loads(known.read_text("utf-8"))["study"] != study:
        raise UserError(f"--out {out} holds another study; choose another folder, or delete that one")
    if not known.exists() and out.exists() and any(out.iterdir()):
        raise UserError(f"--out {out} is not empty; choose another folder")


def _write_clips(
    names: dict[str, _Source], rows: dict[str, StoredRun], study: str, folder: Path, progress: Progress
) -> None:
    progress.start(len(names), "clips")
    try:
        for name, source in sorted(names.items()):
            run = rows[source.row]
            clip = _as_scored(run, source.case)
            bare, marked = folder / f".{name}.mp4", folder / f"{name}.mp4"
            write_viewer_copy(_ruined(clip) if source.ruined else clip, bare, crf=CRF)
            mark(bare, marked, Claim(STUDY, {"study": study, "clip": name}, source_of(run.summary)))
            bare.unlink()
            os.utime(marked, (TIME_STAMP, TIME_STAMP))
            progress.step(name)
    finally:
        progress.stop()


def _as_scored(run: StoredRun, case: str) -> Clip:
    """The frames that were scored, at the size and rate they were scored at: both sides are equally long and large."""
    record = run.records[case]
    size, rate = (record["height"], record["width"]), run.manifest["protocol_settings"]["fps"]
    return Clip(scored_video(run, case), fps=rate, size=size, num_frames=record["frames"])


def _ruined(clip: Clip) -> ArrayClip:
    """The clip as coarse blocks, with its speech."""
    import cv2

    coarse, fine = (BLOCKS, max(1, round(BLOCKS * clip.height / clip.width))), (clip.width, clip.height)
    averaged = (cv2.resize(frame, coarse, interpolation=cv2.INTER_AREA) for frame in clip.frames)
    frames = [cv2.resize(frame, fine, interpolation=cv2.INTER_NEAREST) for frame in averaged]
    return ArrayClip(np.stack(frames), clip.audio if clip.has_audio else None, clip.fps)


def _shape(rows: dict[str, StoredRun], cases: Sequence[str]) -> float:
    """Width over height of the first clip; players keep it while a clip loads."""
    record = next(iter(rows.values())).records[cases[0]]
    return record["width"] / record["height"]


def _write_page(key: Key, contact: str, shape: float, folder: Path) -> None:
    """index.html with what raters may know, and the files it loads."""
    study = {
        "id": key.study, "contact": contact, "questions": list(QUESTIONS),
        "pairs": [{"id": pair.id, "clips": pair.clips} for pair in key.pairs],
    }  # fmt: skip
    page = render("study.html", study=study, title=key.title, contact=contact, questions=QUESTIONS, shape=shape)
    write_atomically(folder / "index.html", page)
    for name in ("style.css", "site.js", "study.js"):
        write_atomically(folder / name, asset(name))
