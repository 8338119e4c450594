"""`run`, `score` and `reproduce`."""

from __future__ import annotations

import os
import re
from pathlib import Path

import typer

from bench.cli.output import print_json
from bench.media.errors import UserError


def run_plan(
    *,
    method: str,
    protocol: str,
    data: Path | None,
    out: Path | None,
    limit: int | None,
    metrics: str | None,
    seed: int,
    settings: list[str],
    devices: str,
    shard: str | None,
    retry_failed: bool,
    offline: bool,
    as_json: bool,
    videos: Path | None = None,
    export: Path | None = None,
) -> None:
    """Make the plan, run it, print its table or its summary."""
    from bench.device import expand_devices
    from bench.plan import make_plan
    from bench.progress import make_progress
    from bench.run import SCHEMA, run
    from bench.weights import Weights

    if offline:
        os.environ["AU_BENCH_OFFLINE"] = os.environ["HF_HUB_OFFLINE"] = "1"
    if videos is not None and not videos.is_dir():
        raise UserError(f"--videos {videos}: no such folder")
    weights = Weights()
    plan = make_plan(
        method=method, protocol=protocol, data=data, weights=weights, limit=limit, metrics=split_names(metrics),
        seed=seed, settings=parse_settings(settings), videos=videos,
    )  # fmt: skip
    progress = make_progress()
    if plan.incomplete:
        progress.say(f"incomplete data: {plan.incomplete}")
    outcome = run(
        plan, out or plan.default_out(), weights=weights, progress=progress,
        devices=expand_devices(devices, plan.cores_per_worker), shard=parse_shard(shard), retry_failed=retry_failed,
    )  # fmt: skip
    if outcome.summary is None:
        if as_json:
            print_json({"schema": SCHEMA, "protocol": protocol, "method": method, "waiting": outcome.waiting})
        progress.say(
            f"{outcome.waiting} of {len(plan.cases)} cases are still to come from other shards into {outcome.folder}"
        )
    elif as_json:
        print_json(outcome.summary)
    else:
        print(_report(outcome.summary, outcome.folder))
    if export and outcome.summary:
        from bench.export import export_run
        from bench.leaderboard import StoredRun

        files = export_run(StoredRun(outcome.folder, outcome.summary), export, progress)
        progress.say(f"{len(files)} videos with credentials in {export}")
    if outcome.exit_code:
        raise typer.Exit(outcome.exit_code)


def _report(summary: dict, folder: Path) -> str:
    """The run's Markdown table, which is also stored beside summary.json."""
    from bench.leaderboard import run_table
    from bench.store import write_atomically

    text = run_table(summary)
    write_atomically(folder / "table.md", text + "\n")
    return f"{text}\n\nWritten to {folder}: summary.json, table.md, cases.jsonl, run.json, videos/, viewer/"


def reproduce_plan(
    name: str,
    synthetic: bool,
    data: list[str],
    limit: int | None,
    seed: int,
    devices: str,
    form: str,
    as_json: bool,
) -> None:
    """Run the rows of a plan, write its tables, print them."""
    from bench.progress import make_progress
    from bench.reproduce import TABLES, reproduce, write_tables
    from bench.weights import Weights

    folders = {key: Path(value) for key, value in parse_settings(data, "--data", "mead=DIR").items()}
    if synthetic and folders:
        raise UserError("--synth renders its own data; leave --data out")
    progress = make_progress()
    done = reproduce(
        name, synthetic=synthetic, data=folders, weights=Weights(), progress=progress,
        devices=devices, limit=limit, seed=seed,
    )  # fmt: skip
    for line in done.skipped:
        progress.say(f"left out: {line}")
    files = write_tables(name, done, form, TABLES / "synth" if synthetic else TABLES)
    if as_json:
        folders_of = {
            protocol: {row.label: str(run.folder) for row, run in rows} for protocol, rows in done.runs.items()
        }
        print_json({"plan": name, "runs": folders_of, "left_out": done.skipped, "files": [str(path) for path in files]})
    else:
        for path in files:
            print(path.read_text("utf-8") if path.suffix == f".{form}" else f"Written: {path}")
    if done.failed:
        raise typer.Exit(1)
    if not done.runs:
        raise UserError(f"plan {name}: no row could be made; the reasons are above")


def split_names(text: str | None) -> list[str] | None:
    return [name.strip() for name in text.split(",") if name.strip()] if text else None


def parse_settings(settings: list[str], option: str = "--set", form: str = "key=value") -> dict[str, str]:
    """key=value texts -> dict."""
    pairs = [text.partition("=") for text in settings]
    if wrong := [key for key, equals, _ in pairs if not equals]:
        raise UserError(f"{option} {wrong[0]}: write {option} {form}")
    return {key: value for key, _, value in pairs}


def drive_by(aus: str) -> list[str]:
    """Settings of a method that takes AUs for `--aus`: a file, by its suffix, or named expressions, which lie over the AUs
    it has from elsewhere."""
    return ["au_source=file", f"aus={aus}"] if Path(aus).suffix in (".csv", ".json") else [f"expression={aus}"]


def parse_shard(text: str | None) -> tuple[int, int] | None:
    """'2/4' -> (2, 4)."""
    if text is None:
        return None
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise UserError(f"--shard {text}: write i/n with 1 <= i <= n, for example --shard 1/4")
    return int(match[1]), int(match[2])
