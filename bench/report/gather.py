"""Gathering: the finished runs below a folder, sorted into boards of equal cases."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from bench.leaderboard import Comparison, StoredRun, open_run
from bench.media.errors import BenchError
from bench.plan import DESCRIPTIVE
from bench.report.page import slug


@dataclass(frozen=True)
class Board:
    """Runs that saw the same cases of one protocol."""

    protocol: str
    title: str
    """The protocol's name, and the start of its data digest where there are several boards of one protocol."""
    runs: tuple[StoredRun, ...]

    @cached_property
    def comparison(self) -> Comparison:
        return Comparison(self.runs)

    @property
    def folder(self) -> str:
        """Name of its folder in the site."""
        return slug(self.title)

    @property
    def synthetic(self) -> bool:
        return self.runs[0].summary["synthetic"]

    @property
    def settings(self) -> dict:
        """The protocol's settings, as the runs were made."""
        return self.runs[0].manifest["protocol_settings"]


@dataclass
class Gathered:
    """What there is to report."""

    boards: list[Board] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)
    """(folder, why it is not in the report)."""


def gather(root: Path, folders: Sequence[Path] | None = None) -> Gathered:
    """Finished runs as boards.

    Args:
        root: folder of PROTOCOL/RUN folders, as results/runs.
        folders: take these run folders instead of all below root.
    """
    found = Gathered()
    groups: dict[tuple[str, str], list[StoredRun]] = {}
    for folder in folders or sorted(path.parent for path in root.glob("*/*/run.json")):
        try:
            run = open_run(folder)
            run.records, run.plan  # noqa: B018 (read now: a run that cannot be read is left out whole)
        except (BenchError, OSError, ValueError, KeyError) as error:
            reason = str(error).replace(f"{folder.parent}/", "")
            found.left_out.append((f"{folder.parent.name}/{folder.name}", f"{type(error).__name__}: {reason}"))
            continue
        groups.setdefault((run.summary["protocol"], _cases(run)), []).append(run)
    several = [protocol for protocol, _ in groups]
    for (protocol, _), runs in groups.items():
        digest = f" (data {runs[0].summary['data'][:8]})" if several.count(protocol) > 1 else ""
        found.boards.append(Board(protocol, protocol + digest, tuple(runs)))
    return found


def _cases(run: StoredRun) -> str:
    """What decides which cases were scored and how: inputs, and the protocol's settings that change a frame."""
    settings = {key: value for key, value in run.manifest["protocol_settings"].items() if key not in DESCRIPTIVE}
    return run.summary["data"] + json.dumps(settings, sort_keys=True)
