"""`train`."""

from __future__ import annotations

from pathlib import Path

from bench.cli.output import print_json
from bench.cli.work import parse_settings


def run_training(
    name: str,
    stage: int | None,
    protocol: str | None,
    data: Path | None,
    out: Path | None,
    settings: list[str],
    seed: int,
    as_json: bool,
) -> None:
    """Configure the training of this name, run it, say what it wrote and what it measured."""
    from bench import registry
    from bench.progress import make_progress
    from bench.training import configure
    from bench.weights import Weights

    training = registry.training(name)
    options = {"stage": stage, "protocol": protocol}
    given = {key: str(value) for key, value in options.items() if value is not None}
    chosen = configure(name, training, given | parse_settings(settings))
    result = training().run(chosen, weights=Weights(), progress=make_progress(), data=data, out=out, seed=seed)
    if as_json:
        print_json({"training": name, "files": [str(path) for path in result.files], "measured": result.measured})
        return
    for path in result.files:
        print(path)
    if result.table:
        print(result.table)
