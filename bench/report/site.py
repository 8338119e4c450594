"""The site: every page of a report, written into one folder that opens from a disk.

index.html                      what there is
BOARD/index.html                leaderboard, differences, sweeps, runs, cases of one protocol
BOARD/breakdown.html            per emotion, level, person
BOARD/failures.html             what failed and why
BOARD/cases/CASE.html           a case side by side
BOARD/runs/RUN.html             what a run was made with
BOARD/media/                    pictures and videos, with credentials where a method made them
tables.html, calibration.html
site.json                       the files of the site, so that the next report removes what it no longer has
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from bench.leaderboard import StoredRun
from bench.media.errors import UserError
from bench.plan import DEFAULT_OUT
from bench.progress import Progress
from bench.provenance import environment
from bench.report.breakdown import breakdown
from bench.report.failures import Reason, failures
from bench.report.figures import CALIBRATION, Calibration, calibration, sweeps
from bench.report.gather import Board, Gathered, gather
from bench.report.numbers import grids, panels, plural, shown, size_text
from bench.report.page import asset, render, slug
from bench.report.papers import papers
from bench.report.players import CaseMedia, CasePage, Show
from bench.store import write_atomically
from bench.table import single_run
from bench.table_formats import not_computed
from bench.weights import Weights

DEFAULT_SITE = Path("results") / "report"
DEFAULT_CASES = 12
GALLERY = 24
"""Most failures of one board that are shown with a picture; all are listed."""


@dataclass
class Site:
    """A site as it is written."""

    out: Path
    files: dict[str, int] = field(default_factory=dict)
    """Relative path -> bytes."""
    left_out: list[tuple[str, str]] = field(default_factory=list)
    """(run folder, why it is not in the site)."""

    @property
    def bytes(self) -> int:
        return sum(self.files.values())

    @property
    def video_bytes(self) -> int:
        return sum(size for name, size in self.files.items() if name.endswith(".mp4"))

    @property
    def pages(self) -> int:
        return sum(name.endswith(".html") for name in self.files)

    def wrote(self, path: Path) -> None:
        """Note a file."""
        self.files[path.relative_to(self.out).as_posix()] = path.stat().st_size

    def page(self, address: str, template: str, **values: Any) -> None:
        """Write a page at an address relative to the site."""
        path = self.out / address
        write_atomically(path, render(template, root="../" * address.count("/"), here=address, **values))
        self.wrote(path)


def write_site(
    out: Path,
    *,
    weights: Weights,
    progress: Progress,
    root: Path = DEFAULT_OUT,
    folders: Sequence[Path] | None = None,
    baseline: str | None = None,
    cases: int = DEFAULT_CASES,
    device: str = "auto",
    calibrated: Path = CALIBRATION,
) -> Site:
    """Write the report on finished runs.

    Args:
        out: folder of the site; made, or one that holds an earlier report.
        weights: where the cache is.
        progress: where to report to.
        root: folder of PROTOCOL/RUN folders.
        folders: take these run folders instead of all below root.
        baseline: label of the row differences are taken to, where a board has it; otherwise a board's first row of the
            methods, or of the controls where there are controls only.
        cases: most cases per board that are shown with videos, in the protocol's order.
        device: torch device of what reads AUs off videos.
        calibrated: folder with a stored calibration.

    Raises:
        UserError: `out` holds other files, no run has the baseline, or videos cannot be given credentials.
    """
    old = _earlier(out)
    gathered = gather(root, folders)
    if baseline and not any(baseline in board.comparison.labelled for board in gathered.boards):
        known = dict.fromkeys(label for board in gathered.boards for label in board.comparison.labelled)
        raise UserError(f"--baseline {baseline}: not among the rows {', '.join(known)}")
    site = Site(out, left_out=gathered.left_out)
    for name in ("style.css", "site.js"):
        write_atomically(out / name, asset(name))
        site.wrote(out / name)
    calibrated_here = calibration(calibrated, out / "calibration", site.wrote)
    common = {"nav": _nav(gathered, calibrated_here), "environment": environment(), "plural": plural}
    progress.start(sum(_steps(board, cases) for board in gathered.boards), "report")
    try:
        for board in gathered.boards:
            _BoardPages(site, board, common, weights, device, progress).write(baseline, cases)
    finally:
        progress.stop()
    if calibrated_here:
        site.page("calibration.html", "calibration.html", calibration=calibrated_here, **common)
    both = papers(_by_protocol(gathered))
    site.page("tables.html", "tables.html", papers=both, **common)
    site.page("claims.html", "claims.html", papers=both, **common)
    site.page("index.html", "index.html", boards=gathered.boards, left_out=gathered.left_out, site=site,
              size_text=size_text, calibration=calibrated_here, **common)  # fmt: skip
    _finish(site, old)
    return site


def _nav(gathered: Gathered, calibrated: Calibration | None) -> list[tuple[str, str]]:
    """(address from the site's top, title) of what stands in every page's head."""
    links = [(f"{board.folder}/index.html", board.title) for board in gathered.boards]
    links += [("tables.html", "Published tables"), ("claims.html", "Claims")]
    return links + ([("calibration.html", "Calibration")] if calibrated else [])


def _by_protocol(gathered: Gathered) -> dict[str, list[StoredRun]]:
    runs: dict[str, list[StoredRun]] = {}
    for board in gathered.boards:
        runs.setdefault(board.protocol, []).extend(board.runs)
    return runs


def _steps(board: Board, cases: int) -> int:
    return 1 + min(cases, len(board.runs[0].manifest["cases"]))


class _BoardPages:
    """The pages of one board."""

    def __init__(self, site: Site, board: Board, common: dict, weights: Weights, device: str, progress: Progress):
        self.site = site
        self.board = board
        self.folder = board.folder
        self.common = common | {"board": board}
        self.media = CaseMedia(board, site.out / board.folder, weights, device, site.wrote)
        self.progress = progress
        self.runs = {label: f"runs/{slug(label)}.html" for label in board.comparison.labelled}

    def write(self, baseline: str | None, cases: int) -> None:
        shown_cases = [self._case_page(case) for case in self.board.runs[0].plan.cases[:cases]]
        reasons = failures(self.board)
        parts = breakdown(self.board.comparison)
        self._main_page(baseline, shown_cases, reasons, bool(parts))
        if parts:
            self._page("breakdown.html", "breakdown.html", parts=parts)
        if reasons:
            addresses = {page.case.id: page.address for page in shown_cases}
            self._page("failures.html", "failures.html", reasons=reasons, shows=self._gallery(reasons), cases=addresses)
        for label, run in self.board.comparison.labelled.items():
            self._run_page(label, run)
        self.progress.step(self.board.title)

    def _page(self, address: str, template: str, **values: Any) -> None:
        self.site.page(f"{self.folder}/{address}", template, **self.common, **values)

    def _case_page(self, case) -> CasePage:
        page = self.media.page(case)
        self._page(page.address, "case.html", page=page)
        self.progress.step(case.id)
        return page

    def _main_page(
        self, baseline: str | None, cases: list[CasePage], reasons: list[Reason], has_breakdown: bool
    ) -> None:
        comparison = self.board.comparison
        table = comparison.ranked()
        first = baseline if baseline in comparison.labelled else self._first_row()
        differences = panels(comparison.against(first), first) if len(comparison.labelled) > 1 else []
        self._page(
            "index.html", "board.html", grids=grids(table), table_notes=[*table.notes, *not_computed(table, shown(table))],
            baseline=first, panels=differences, runs=self.runs, cases=cases, reasons=reasons,
            has_breakdown=has_breakdown, sweeps=sweeps(self.board, self.site.out / self.folder, self.site.wrote),
            n_failed=sum(run.summary["n_failed"] for run in self.board.runs),
            n_cases=len(self.board.runs[0].manifest["cases"]),
        )  # fmt: skip

    def _first_row(self) -> str:
        """The first method, or the first control where there is none."""
        labelled = self.board.comparison.labelled
        return next((label for label, run in labelled.items() if not run.summary["control"]), next(iter(labelled)))

    def _gallery(self, reasons: list[Reason]) -> dict[tuple[str, str, str], Show]:
        """(what, run, case) -> picture or video of the first GALLERY failures."""
        known = {case.id: case for case in self.board.runs[0].plan.cases}
        chosen = [(reason, one) for reason in reasons for one in reason.failures if one.case in known][:GALLERY]
        shows = {}
        for reason, one in chosen:
            run = self.board.comparison.labelled[one.label]
            seen = reason.has_video and not self.media.answers
            case = known[one.case]
            shows[reason.what, one.label, one.case] = (
                self.media.method(1, one.label, run, case) if seen else self.media.reference(case)
            )
        return shows

    def _run_page(self, label: str, run: StoredRun) -> None:
        summary = self.site.out / self.folder / "runs" / f"{slug(label)}.json"
        write_atomically(summary, json.dumps(run.summary, indent=2, ensure_ascii=False) + "\n")
        self.site.wrote(summary)
        table = single_run(run.result(None, label))
        self._page(
            self.runs[label], "run.html", label=label, run=run, grids=grids(table), summary_file=summary.name,
            table_notes=not_computed(table, shown(table)),
        )  # fmt: skip


# -- the folder ---------------------------------------------------------------------------------------------------------


def _earlier(out: Path) -> list[str]:
    """Files of the report that the folder holds, none for a new folder.

    Raises:
        UserError: the folder holds something else.
    """
    if (out / "site.json").exists():
        return json.loads((out / "site.json").read_text("utf-8"))["files"]
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"--out {out}: holds something that is no report; choose an empty or a new folder")
    return []


def _finish(site: Site, old: list[str]) -> None:
    """Write the list of files and remove those of an earlier report that this one does not have."""
    for name in old:
        path = PurePosixPath(name)
        if name not in site.files and not path.is_absolute() and ".." not in path.parts:
            (site.out / name).unlink(missing_ok=True)
            _remove_empty((site.out / name).parent, site.out)
    write_atomically(site.out / "site.json", json.dumps({"schema": 1, "files": sorted(site.files)}, indent=1) + "\n")


def _remove_empty(folder: Path, top: Path) -> None:
    while folder != top and folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
        folder = folder.parent
