"""`parity`."""

from __future__ import annotations

from pathlib import Path

import typer

from bench.cli.output import print_json


def check_parity(backbone: str, golden: Path, as_json: bool) -> None:
    """Compare, print, and leave with 1 where something differs."""
    from bench.parity import check_backbone
    from bench.parity.report import TOLERANCE

    report = check_backbone(backbone, golden)
    if as_json:
        print_json(report.document())
    else:
        _print_table(report)
        verdict = "all within" if report.passed else "NOT all within"
        print(f"{backbone}: {len(report.errors)} checks, {verdict} {TOLERANCE:g} relative")
        print(f"worst: {report.worst}, relative error {report.max_error:.2g}")
    if not report.passed:
        raise typer.Exit(1)


def _print_table(report) -> None:
    from rich.console import Console
    from rich.table import Table

    from bench.parity.report import NO_MATCH, TOLERANCE

    table = Table("tensor", "relative error", "")
    for name, error in report.errors.items():
        passed = error <= TOLERANCE
        shown = "no match" if error == NO_MATCH else f"{error:.1e}"
        table.add_row(
            name, shown, report.remarks.get(name, "" if passed else "too large"), style=None if passed else "red"
        )
    # Wide enough for the longest tensor name, also where stdout is no terminal of its own width.
    Console(width=None if Console().is_terminal else 140).print(table)
    for line in report.unchecked:
        print(f"not checked: {line}")
