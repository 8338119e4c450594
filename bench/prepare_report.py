"""Report of `bench prepare`: what became a clip, what did not and why, what the published protocols still lack.

`report.json` for programs and `report.md` for people; neither holds a time or a path of this machine, so equal data give
equal reports.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from bench.store import write_atomically
from protocols.manifest import Manifest, Skipped

LISTED = 40
"""Lines of one kind in report.md; all of them are in report.json."""


class Note(BaseModel):
    """What a person should know about a clip that was made."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    clip: str
    """Its id."""
    note: str


class Report(BaseModel):
    """Outcome of preparing a data set."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    schema_version: int = 1
    dataset: str
    clips: int
    """Clips made, by this call or an earlier one."""
    seconds: float
    """How long they last together."""
    complete: bool
    """Whether everything the published protocols need is here."""
    missing: tuple[str, ...]
    """What is not, by clip id or by identity."""
    broken: tuple[Skipped, ...]
    """Files that should be clips and are not, with the reason."""
    left_out: tuple[Skipped, ...]
    """What the data set itself leaves out."""
    notes: tuple[Note, ...]
    identities: dict[str, int]
    """Clips per identity."""
    emotions: dict[str, int]
    """Clips per emotion, `-` where the data set has none."""
    levels: dict[str, int]
    """Clips per intensity level, `-` where the data set has none."""
    source_rates: dict[str, int]
    """Clips per frame rate of their source."""


def make_report(
    manifest: Manifest,
    broken: Iterable[Skipped],
    left_out: Iterable[Skipped],
    notes: Iterable[Note],
    rates: Iterable[float],
) -> Report:
    """Count what is in the manifest.

    Args:
        manifest: of the prepared folder.
        broken, left_out: its skipped files, told apart.
        notes: on its clips.
        rates: frames per second of each clip's source.
    """
    clips = manifest.clips
    return Report(
        dataset=manifest.dataset, clips=len(clips), seconds=sum(clip.frames for clip in clips) / manifest.fps,
        complete=manifest.complete, missing=manifest.missing,
        broken=tuple(sorted(broken, key=lambda one: (one.source, one.reason))),
        left_out=tuple(sorted(left_out, key=lambda one: (one.source, one.reason))),
        notes=tuple(sorted(notes, key=lambda one: one.clip)),
        identities=_counts(clip.identity for clip in clips), emotions=_counts(clip.emotion for clip in clips),
        levels=_counts(clip.level for clip in clips), source_rates=_counts(f"{rate:.5g}" for rate in rates),
    )  # fmt: skip


def write_report(folder: Path, report: Report) -> None:
    write_atomically(folder / "report.json", report.model_dump_json(indent=1) + "\n")
    write_atomically(folder / "report.md", as_markdown(report))


def as_markdown(report: Report) -> str:
    """The report for people."""
    state = "complete" if report.complete else "incomplete"
    lines = [
        f"# {report.dataset}: {report.clips} clips, {report.seconds / 60:.1f} minutes, {state}",
        "",
        *_section("Missing for the published protocols", report.missing),
        *_section("Skipped", [f"`{one.source}`: {one.reason}" for one in report.broken]),
        *_section("Noted", [f"`{one.clip}`: {one.note}" for one in report.notes]),
        *_section("Left out by the data set itself", [f"`{one.source}`: {one.reason}" for one in report.left_out]),
    ]
    tables = (
        ("identity", report.identities),
        ("emotion", report.emotions),
        ("level", report.levels),
        ("frames per second of the source", report.source_rates),
    )
    for what, counts in tables:
        lines += [f"| {what} | clips |", "|---|---|", *(f"| {name} | {count} |" for name, count in counts.items()), ""]
    return "\n".join(lines)


def _section(title: str, entries: Iterable[str]) -> list[str]:
    entries = list(entries)
    if not entries:
        return []
    more = [f"- and {len(entries) - LISTED} more, in report.json"] if len(entries) > LISTED else []
    return [f"## {title}: {len(entries)}", "", *(f"- {entry}" for entry in entries[:LISTED]), *more, ""]


def _counts(values: Iterable[object]) -> dict[str, int]:
    return dict(sorted(Counter("-" if value is None else str(value) for value in values).items()))
