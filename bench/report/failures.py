"""Failures: every case without a video and every metric without a value, by reason, the most frequent first.

Coverage is a result: what failed is counted in every table, and here it can be looked at.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from bench.report.gather import Board


@dataclass(frozen=True)
class Failure:
    """One case of one run."""

    label: str
    case: str
    identity: str
    emotion: str | None
    reason: str
    """As recorded."""


@dataclass(frozen=True)
class Reason:
    """Failures with the same reason but for names and numbers in it."""

    what: str
    """No video, or the metric without a value."""
    reason: str
    """That of the first one."""
    failures: tuple[Failure, ...]

    @property
    def has_video(self) -> bool:
        return self.what != NO_VIDEO


NO_VIDEO = "no video"


def failures(board: Board) -> list[Reason]:
    """All failures of a board."""
    groups: dict[tuple[str, str], list[Failure]] = {}
    for label, run in board.comparison.labelled.items():
        for case, record in sorted(run.records.items()):
            for what, reason in _reasons(record):
                one = Failure(label, case, record["identity"], record["emotion"], reason)
                groups.setdefault((what, _kind(reason, case)), []).append(one)
    reasons = [Reason(what, found[0].reason, tuple(found)) for (what, _), found in groups.items()]
    return sorted(reasons, key=lambda reason: (reason.has_video, -len(reason.failures), reason.what, reason.reason))


def _reasons(record: dict) -> list[tuple[str, str]]:
    """(what is missing, why) of one record."""
    if record["status"] == "failed":
        return [(NO_VIDEO, record["reason"])]
    return [(f"no {key}", entry["failed"]) for key, entry in record["metrics"].items() if "failed" in entry]


def _kind(reason: str, case: str) -> str:
    """A reason without what differs from case to case."""
    return re.sub(r"\d+", "#", reason.replace(case, "CASE"))
