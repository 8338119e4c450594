"""`calibrate`: does this installation give the numbers it should, and how far can they be trusted?"""

from __future__ import annotations

import json
from pathlib import Path

import typer

from bench.cli.output import print_json
from bench.media.errors import UserError


def calibrate_here(out: Path, metrics: list[str] | None, device: str, pin: bool, as_json: bool) -> None:
    """Measure, write the report, print its summary; exits with 1 where a value differs or a claim fails."""
    from bench.calibration.calibrate import calibrate, passed
    from bench.calibration.report import markdown, summary
    from bench.progress import make_progress
    from bench.store import write_atomically
    from bench.weights import Weights

    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--out {out}: cannot be made ({error.strerror}); choose another") from error
    document = calibrate(weights=Weights(), progress=make_progress(), metrics=metrics, device=device, pin=pin)
    figures = _draw(document, out)
    write_atomically(out / "calibration.json", json.dumps(document, indent=2) + "\n")
    write_atomically(out / "report.md", markdown(document, figures))
    if as_json:
        print_json(document)
    else:
        print(summary(document))
        print(f"\nWritten to {out}: report.md, calibration.json" + (f", {len(figures)} figures" if figures else ""))
    if not passed(document):
        raise typer.Exit(1)


def _draw(document: dict, out: Path) -> dict[str, str]:
    """Figures by what they show; none where matplotlib is not installed, which is said."""
    import importlib.util

    if importlib.util.find_spec("matplotlib") is None:
        typer.echo("no figures: they need matplotlib, pip install -e '.[all]'", err=True)
        return {}
    from bench.calibration.plots import draw

    return draw(document, out)
