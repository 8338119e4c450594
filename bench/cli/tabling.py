"""`tables`: the papers' tables again, their claims, and leaderboards of a protocol's runs."""

from __future__ import annotations

import difflib
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.cli.output import print_json
from bench.cli.work import split_names
from bench.media.errors import UserError

FORMS = ("md", "tex", "csv", "json")
"""What `all` writes of every table."""


def print_tables(
    names: list[str],
    synthetic: bool,
    folders: list[Path] | None,
    out: Path | None,
    baseline: str | None,
    metrics: str | None,
    form: str,
) -> None:
    """Print what is named: published tables, `claims`, `all` of it (which is also written), or one protocol."""
    from bench import registry
    from bench.reported import reported_tables

    known = [*reported_tables(), "claims", "all"]
    protocols = [name for name in names if name in registry.protocols()]
    if protocols:
        if len(names) > 1 or synthetic or out:
            raise UserError(
                f"tables {protocols[0]} compares the runs of one protocol; give no other name, --synth or --out"
            )
        _print_leaderboard(protocols[0], folders, baseline, metrics, form)
        return
    if unknown := [name for name in names if name not in known]:
        near = difflib.get_close_matches(unknown[0], [*known, *registry.protocols()], n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}? " if near else ""
        raise UserError(f"unknown table {unknown[0]!r}; {hint}There are {', '.join(known)}, and every protocol")
    if baseline or metrics:
        raise UserError("--baseline and --metrics go with a protocol's runs, as in `tables synth_std --baseline memo`")
    if "all" in names:
        _print_all(folders, out, form)
    else:
        _print_published(names or reported_tables(), synthetic, folders, out, form)


def _print_published(
    names: list[str], synthetic: bool, folders: list[Path] | None, out: Path | None, form: str
) -> None:
    from bench.published_table import regenerate, synthetic_counterpart

    runs = _runs(folders)
    made = {
        name: (synthetic_counterpart if synthetic else regenerate)(name, runs) for name in names if name != "claims"
    }
    documents = {f"{name}_synth" if synthetic else name: table for name, table in made.items()}
    claims = _claims(runs) if "claims" in names else None
    _print(documents, claims, form)
    if out:
        _write(out, {}, made, claims) if synthetic else _write(out, made, {}, claims)


def _print_all(folders: list[Path] | None, out: Path | None, form: str) -> None:
    from bench.claims import as_document, judge
    from bench.published_table import all_tables
    from bench.reproduce import TABLES

    real, synthetic = all_tables(_runs(folders))
    # Before anything is written: the differences that a claim asks for are part of a table's document.
    claims = as_document(judge(real, synthetic))
    _print(real | {f"{name}_synth": table for name, table in synthetic.items()}, claims, form)
    _write(out or TABLES, real, synthetic, claims)


def _claims(runs) -> dict[str, Any]:
    from bench.claims import as_document, judge
    from bench.published_table import all_tables

    return as_document(judge(*all_tables(runs)))


def _print(tables: Mapping[str, Any], claims: dict[str, Any] | None, form: str) -> None:
    from bench.claims import as_markdown
    from bench.published_table import written

    if form == "json":
        print_json({name: table.document() for name, table in tables.items()} | ({"claims": claims} if claims else {}))
        return
    if claims and not tables and form not in ("md", "text"):
        raise UserError(f"the claims are a page, not a table: --format md or json, not {form}")
    parts = [written(table, form) for table in tables.values()]
    parts += [as_markdown(claims)] if claims and form in ("md", "text") else []
    print("\n".join(parts).rstrip())


def _write(out: Path, real: Mapping[str, Any], synthetic: Mapping[str, Any], claims: dict[str, Any] | None) -> None:
    from bench.claims import as_markdown
    from bench.published_table import written
    from bench.store import write_atomically

    for folder, tables in ((out, real), (out / "synth", synthetic)):
        for name, table in tables.items():
            for form in FORMS:
                write_atomically(folder / f"{name}.{form}", written(table, form))
    if claims:
        write_atomically(out / "claims.md", as_markdown(claims))
        write_atomically(out / "claims.json", json.dumps(claims, indent=2, ensure_ascii=False) + "\n")
    print(f"Written to {out}", file=sys.stderr)


def _runs(folders: list[Path] | None):
    """protocol -> its finished runs: those of the given folders, or all below results/runs."""
    from bench.leaderboard import finished_runs, open_run

    if not folders:
        return finished_runs
    opened = [open_run(folder) for folder in folders]
    return lambda protocol: [run for run in opened if run.summary["protocol"] == protocol]


def _print_leaderboard(
    protocol: str, folders: list[Path] | None, baseline: str | None, metrics: str | None, form: str
) -> None:
    from bench.leaderboard import find_runs, leaderboard_text

    print(leaderboard_text(find_runs(protocol, folders), split_names(metrics), baseline, form))
