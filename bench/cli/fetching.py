"""`fetch`: weights and environments onto this machine."""

from __future__ import annotations

from pathlib import Path

from bench import registry
from bench.cli.output import print_json
from bench.media.errors import UserError
from bench.progress import make_progress
from bench.weights import Weights, describe
from methods.baselines.system import SYSTEMS

LIBREFACE = "libreface"


def fetch_files(names: list[str], source: Path | None, as_json: bool) -> None:
    """Fetch files by name in the lock, by the metric that needs them, or all that can be downloaded."""
    weights = Weights()
    progress = make_progress()
    if source is not None:
        if len(names) != 1 or names[0] not in weights.files:
            raise UserError("--from FILE goes with exactly one name of the lock; `bench fetch --list` shows them")
        path = weights.adopt(names[0], source)
        _report({names[0]: str(path)}, as_json)
        return
    wanted = _resolve(names, weights) if names else [entry.name for entry in weights.files.values() if entry.url]
    done: dict[str, str] = {}
    problems: list[str] = []
    for name in wanted:
        try:
            done[name] = str(_get(weights, name, progress))
        except UserError as error:
            problems.append(str(error))
    _report(done, as_json)
    if problems:
        raise UserError("\n       ".join(problems))


def _get(weights: Weights, name: str, progress) -> Path:
    if name == LIBREFACE:
        return _libreface(progress)
    if name in SYSTEMS:
        from bench.baselines import install

        return install(name, weights, progress.say)
    return _fetch(weights, name, progress)


def _resolve(names: list[str], weights: Weights) -> list[str]:
    """Names of the lock, of official systems, or libreface; a metric's or a method's name stands for every file it needs."""
    wanted: dict[str, None] = {}
    for name in names:
        if name in weights.files or name == LIBREFACE or name in SYSTEMS:
            wanted[name] = None
            continue
        if name in registry.methods():
            method = registry.method(name)
            wanted |= dict.fromkeys(method.required_weights(method.Config()))
            continue
        if name.partition("@")[0] not in registry.METRICS:
            raise UserError(
                f"nothing named {name!r} to fetch: give a file of `bench fetch --list`, a metric, a method, or {LIBREFACE}"
            )
        from bench.features import extractor_closure

        extractors = {need.split(":")[1] for need in registry.metric(name).needs if not need.startswith("case:")}
        for extractor in extractor_closure(extractors):
            wanted |= dict.fromkeys(registry.extractor(extractor).weights)
            if extractor == LIBREFACE:
                wanted[LIBREFACE] = None
    return list(wanted)


def _fetch(weights: Weights, name: str, progress) -> Path:
    if path := weights.path(name):
        progress.say(f"{name}: here already, {path}")
        return path
    progress.say(f"{name}: {describe(weights.files[name])}")
    shown = -1

    def report(done: int, total: int | None) -> None:
        nonlocal shown
        percent = done * 10 // total * 10 if total else done // 50_000_000
        if percent != shown:
            shown = percent
            progress.say(f"{name}: {percent} %" if total else f"{name}: {done / 1e6:.0f} MB")

    return weights.fetch(name, report)


def _libreface(progress) -> Path:
    from bench.cache import cache_dir
    from metrics.extractors.libreface_env import create

    prefix = cache_dir() / "envs" / LIBREFACE
    progress.say(f"{LIBREFACE}: making an environment of its own in {prefix} (about 5 GB)")
    create(prefix)
    return prefix


def _report(done: dict[str, str], as_json: bool) -> None:
    if as_json:
        print_json({"fetched": done})
        return
    for name, path in done.items():
        print(f"{name}: {path}")
