"""Pinned values: what every metric says about one spoilt version of the fixed set, so that an installation can be checked.

The version is `degradations.mixture`: away from the ends of every scale. A value may differ from the pinned one by its
tolerance, chosen when it was pinned: 0.1 % of the value, or four times what moving one sample in a thousand by one grey
level does to it, whichever is larger. The first covers other orders of summation, the second a processor on which the
renderer rounds a pixel differently.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench import registry
from bench.calibration.measure import Score
from bench.features import extractor_closure
from bench.media.errors import UserError
from bench.store import write_atomically
from bench.weights import Weights
from metrics.metric import Metric
from protocols.synth.world import VERSION

FILE = Path(__file__).with_name("expected.toml")
ROUNDING = 1e-3
"""Share of samples moved by one grey level to see what rounding does."""
RELATIVE = 1e-3
TIMES = 4.0


def expert_digests(metrics: Mapping[str, Metric], weights: Weights) -> dict[str, str | None]:
    """sha256 of every weight file behind these metrics; None where it is not here."""
    names = dict.fromkeys(file for metric in metrics.values() for file in _files(metric))
    return {name: weights.hashes.sha256(path) if (path := weights.path(name)) else None for name in names}


def _files(metric: Metric) -> list[str]:
    extractors = {need.split(":")[1] for need in metric.needs if not need.startswith("case:")}
    return [file for name in extractor_closure(extractors) for file in registry.extractor(name).weights]


def check(
    scores: Mapping[str, Score],
    metrics: Mapping[str, Metric],
    digests: Mapping[str, str | None],
    clips: int,
    file: Path = FILE,
) -> dict[str, Any]:
    """Scores of the mixture against the pinned ones.

    Returns:
        {"rows": [{"metric", "value", "n", "expected", "tolerance", "verdict", "missing"}], "note": what to do where pinned
        values are for something else, or None}. The verdict is `ok`, `DIFFERS`, `no value`, `not pinned` (the metric,
        its version, or the set is another one) or `other experts`.
    """
    pinned = tomllib.loads(file.read_text("utf-8")) if file.exists() else {}
    same_set = pinned.get("world") == VERSION and pinned.get("clips") == clips
    known = pinned.get("values", {}) if same_set else {}
    rows, changed = [], set()
    for key, metric in metrics.items():
        others = {name for name in _files(metric) if digests[name] != pinned.get("experts", {}).get(name)}
        row = {"metric": key, "value": scores[key].value, "n": scores[key].n, "missing": scores[key].missing}
        row |= {name: known.get(key, {}).get(name) for name in ("expected", "tolerance")}
        row["verdict"] = _verdict(row, known.get(key, {}).get("version") == metric.version, bool(others))
        changed |= others if row["verdict"] == "other experts" else set()
        rows.append(row)
    return {"rows": rows, "note": _note(pinned, same_set, clips, sorted(changed), file)}


def _verdict(row: Mapping[str, Any], is_pinned: bool, other_experts: bool) -> str:
    if row["value"] is None or row["missing"]:
        return "no value"
    if not is_pinned:
        return "not pinned"
    if other_experts:
        return "other experts"
    return "ok" if abs(row["value"] - row["expected"]) <= row["tolerance"] else "DIFFERS"


def _note(pinned: Mapping[str, Any], same_set: bool, clips: int, changed: list[str], file: Path) -> str | None:
    again = "python -m bench calibrate --pin"
    if not pinned:
        return f"{file.name} is not there; {again} writes it"
    if not same_set:
        return (
            f"pinned for {pinned['clips']} clips of world version {pinned['world']}, these are {clips} of version "
            f"{VERSION}; {again} after a change that is meant"
        )
    if changed:
        return f"pinned for other experts than {', '.join(changed)} here; {again} after they were trained again"
    return None


def pin(
    scores: Mapping[str, Score],
    rounded: Mapping[str, Score],
    metrics: Mapping[str, Metric],
    digests: Mapping[str, str | None],
    clips: int,
    file: Path = FILE,
) -> None:
    """Write these scores as the pinned ones.

    Args:
        scores: of the mixture.
        rounded: of the mixture with a share ROUNDING of the samples moved by one grey level.
        metrics: result key -> metric.
        digests: of `expert_digests`.
        clips: in the set.
        file: where to.

    Raises:
        UserError: a metric has no value, or not for all clips.
    """
    if lacking := [key for key in metrics if scores[key].missing]:
        raise UserError(f"nothing is pinned: {lacking[0]} has no full value ({scores[lacking[0]].missing})")
    lines = [
        "# The value of every metric on `degradations.mixture` of the fixed set, and by how much it may differ.",
        "# Written by `python -m bench calibrate --pin`; see expected.py.",
        f"world = {VERSION}",
        f"clips = {clips}",
        "",
        "[experts]",
        *(f'{name} = "{digest}"' for name, digest in digests.items()),
        "",
        "[values]",
    ]
    for key, metric in metrics.items():
        value = scores[key].value
        moved = abs(rounded[key].value - value)
        tolerance = max(RELATIVE * abs(value), TIMES * moved)
        lines.append(f'"{key}" = {{ expected = {value:.8g}, tolerance = {tolerance:.2g}, version = {metric.version} }}')
    write_atomically(file, "\n".join(lines) + "\n")
