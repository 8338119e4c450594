"""`report` and `inspect`: pages for people."""

from __future__ import annotations

from pathlib import Path

import typer

from bench.cli.output import print_json
from bench.media.errors import UserError


def write_report(
    out: Path, runs: list[Path] | None, baseline: str | None, cases: int, device: str, as_json: bool
) -> None:
    """Write the site and say where it is and how big."""
    from bench.progress import make_progress
    from bench.report.numbers import plural, size_text
    from bench.report.site import write_site
    from bench.weights import Weights

    progress = make_progress()
    site = write_site(
        out, weights=Weights(), progress=progress, folders=runs, baseline=baseline, cases=cases, device=device
    )
    for folder, reason in site.left_out:
        progress.say(f"left out: {folder}: {reason}")
    index = out / "index.html"
    if as_json:
        left_out = [{"run": folder, "reason": reason} for folder, reason in site.left_out]
        numbers = {"pages": site.pages, "bytes": site.bytes, "video_bytes": site.video_bytes}
        print_json({"index": str(index), **numbers, "left_out": left_out})
    else:
        videos = f"videos {size_text(site.video_bytes)}; --cases takes more or fewer"
        typer.echo(f"{index}: {plural(site.pages, 'page')}, {size_text(site.bytes)} ({videos})")


def write_inspector(
    clip: Path,
    aus: Path | None,
    out: Path | None,
    estimator: str | None,
    fps: float,
    frames: int | None,
    device: str,
) -> None:
    """Write the inspector's page and say where it is."""
    from bench.driving import ESTIMATORS
    from bench.report.inspector import inspect_clip
    from bench.report.numbers import size_text
    from bench.weights import Weights

    if aus and estimator:
        raise UserError("--aus gives the AUs and --estimator reads them off the clip; choose one")
    if estimator not in (None, *ESTIMATORS):
        raise UserError(f"--estimator {estimator}: there are {', '.join(ESTIMATORS)}")
    page = inspect_clip(
        clip, out or Path(f"{clip.stem}.html"), weights=Weights(), aus=aus, estimator=estimator, fps=fps,
        num_frames=frames, device=device,
    )  # fmt: skip
    typer.echo(f"{page}: {size_text(page.stat().st_size)}, opens in a browser")
