"""Finished run folders made by hand, with scores that a test chose: seconds of generation saved, the same files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench import registry
from bench.aggregate import aggregate
from bench.leaderboard import StoredRun, open_run
from bench.plan import configure, resolve_metrics
from protocols.protocol import Case

PEOPLE = 12


def stored_run(
    root: Path,
    protocol: str,
    method: str,
    scores: Mapping[str, Sequence[float]],
    *,
    settings: Mapping[str, str] | None = None,
    videos: str | None = None,
    data: str = "d0",
    seed: int = 0,
    **manifest: Any,
) -> StoredRun:
    """A run of `method` whose case i scored scores[metric][i].

    Args:
        root: runs go below root/protocol.
        protocol: name in the registry.
        method: name in the registry, or a label where `videos` is given.
        scores: metric -> a value per case; metrics of kind "mean".
        settings: the method's, as --set gives them.
        videos: folder of videos made elsewhere.
        data: digest of the inputs.
        seed: of the run.
        manifest: further entries of run.json.
    """
    specification = registry.protocol(protocol)()
    config = {}
    if videos is None:
        config = configure(method, registry.method(method), dict(settings or {}), specification).model_dump(mode="json")
    metrics = resolve_metrics(list(scores))
    count = len(next(iter(scores.values())))
    cases = [
        Case(id=f"c{i:03}", identity=f"p{i % PEOPLE}", reference=Path("r"), driving=Path("d")) for i in range(count)
    ]
    records = [
        {
            "case": case.id, "identity": case.identity, "emotion": None, "level": None, "status": "ok", "reason": None,
            "notes": [], "frames": 81, "height": 512, "width": 512, "seconds": 2.0 + i % 2,
            "metrics": {key: {"version": metric.version, "value": float(scores[name][i])}
                        for name, (key, metric) in zip(scores, metrics.items(), strict=True)},
        }
        for i, case in enumerate(cases)
    ]  # fmt: skip
    folder = root / protocol / f"{method}-{len(list((root / protocol).glob('*'))):02}"
    folder.mkdir(parents=True)
    label = method if not settings else f"{method} ({', '.join(f'{k}={v}' for k, v in settings.items())})"
    run = {
        "schema": 1, "fingerprint": folder.name, "data": data, "label": label, "method": method, "config": config,
        "protocol": protocol, "protocol_settings": specification.model_dump(mode="json"), "incomplete": None,
        "seed": seed, "videos": videos, "metrics": {}, "weights": {},
        "invocations": [{"devices": ["cuda:0"], "parameters": 1_500_000_000, "peak_memory_bytes": 20_000_000_000}],
        "cases": [case.model_dump(mode="json") for case in cases],
    }  # fmt: skip
    summary = {
        "schema": 1, "protocol": protocol, "method": method, "label": label,
        "control": videos is None and registry.method(method).control, "fingerprint": folder.name, "data": data,
        "n": count, "n_failed": 0, "failures": [], "synthetic": specification.synthetic, "incomplete": None,
        "notes": [], "metrics": aggregate(records, metrics),
    }  # fmt: skip
    (folder / "run.json").write_text(json.dumps(run | manifest))
    (folder / "summary.json").write_text(json.dumps(summary))
    (folder / "cases.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return open_run(folder)
