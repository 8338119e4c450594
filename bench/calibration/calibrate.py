"""The whole calibration as one document.

Features are extracted anew every time, into a cache that is thrown away: a check that reads back what an earlier one
remembered checks nothing. Only the clean clips are taken from the usual cache, as every run takes them.
"""

from __future__ import annotations

import copy
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.calibration import estimators, expected
from bench.calibration.bias import bias, expectations
from bench.calibration.curves import curves, wanted
from bench.calibration.degradations import DEGRADATIONS
from bench.calibration.material import CASES, PEOPLE, Material, make_material
from bench.calibration.measure import MIXTURE, Answer, Job, Score, Spoilt, measure, score
from bench.features import metric_lacks
from bench.media.errors import UserError
from bench.plan import resolve_metrics
from bench.progress import Progress, counted
from bench.provenance import environment
from bench.weights import Weights
from metrics.metric import Metric
from protocols.synth.protocols import SYNTH_METRICS
from protocols.synth.world import VERSION

SCHEMA = 1
MIXED = Spoilt(MIXTURE, 0.0)
ROUNDED = Spoilt(MIXTURE, expected.ROUNDING)
BIASED = ("fid@synth", "kid@synth", "fvd@synth")


def calibrate(
    *,
    weights: Weights,
    progress: Progress,
    metrics: list[str] | None = None,
    device: str = "auto",
    workers: int | None = None,
    count: int = CASES,
    people: int = PEOPLE,
    pin: bool = False,
) -> dict[str, Any]:
    """Measure everything and judge it.

    Args:
        weights: where experts are; clean clips are rendered into its cache.
        progress: where to report to.
        metrics: names; None takes every metric of the synthetic protocols.
        device: torch device.
        workers: processes; None takes one per core.
        count: clips of the set.
        people: clips that curves are taken over, the first of the set.
        pin: write the values as the pinned ones before they are judged.

    Returns:
        The document that becomes calibration.json.
    """
    chosen = resolve_metrics(metrics or list(SYNTH_METRICS))
    if pin and metrics:
        raise UserError("--pin pins every metric; leave out --metrics")
    if pin and (lacks := next((text for one in chosen.values() if (text := metric_lacks(one, weights))), None)):
        raise UserError(f"--pin pins every metric, and one {lacks}")
    began = time.monotonic()
    with counted(progress, "render") as step:
        material = make_material(weights.cache / "synth", count, step)
    jobs = [_job(place, chosen, place < people, pin) for place in range(len(material))]
    answers = _measured(material, jobs, weights, device, workers, progress)
    document = _document(material, answers, people, chosen, weights, pin)
    return document | {"seconds": round(time.monotonic() - began, 1)}


def passed(document: Mapping[str, Any]) -> bool:
    """Whether every pinned value was met and every claim holds."""
    verdicts = [row["verdict"] == "ok" for row in document["expected"]["rows"]]
    claims = [curve["holds"] for curve in document["curves"] if curve["direction"] != "shown"]
    return all(verdicts) and all(claims) and all(document["bias"]["holds"].values())


def _job(place: int, metrics: Mapping[str, Metric], has_curves: bool, pin: bool) -> Job:
    keys = tuple(metrics)
    scores: dict[Spoilt, tuple[str, ...]] = {MIXED: keys}
    if pin:
        scores[ROUNDED] = keys
    asked = [wanted(keys)] if has_curves else []
    if estimators.OFFSET in metrics:
        asked.append({spoilt: (estimators.OFFSET,) for spoilt in estimators.wanted_shifts()})
    for more in asked:
        for spoilt, own in more.items():
            scores[spoilt] = tuple(dict.fromkeys(scores.get(spoilt, ()) + own))
    return Job(place, scores, estimators.EXTRACTORS, estimators.OUTDOORS)


def _measured(material, jobs, weights: Weights, device: str, workers: int | None, progress: Progress) -> list[Answer]:
    progress.start(len(jobs), "measure")
    try:
        with tempfile.TemporaryDirectory(prefix="calibration-") as folder:
            fresh = copy.copy(weights)  # Its weights stay where they are.
            fresh.cache = Path(folder)
            return measure(material, jobs, fresh, device, workers, progress.step)
    finally:
        progress.stop()


def _document(
    material: Material,
    answers: Sequence[Answer],
    people: int,
    metrics: Mapping[str, Metric],
    weights: Weights,
    pin: bool,
) -> dict[str, Any]:
    digests = expected.expert_digests(metrics, weights)
    scores = _scores(metrics, answers, MIXED)
    if pin:
        expected.pin(scores, _scores(metrics, answers, ROUNDED), metrics, digests, len(material))
    points = {metrics[key].name: bias(metrics[key], rows) for key, rows in _clean_rows(metrics, answers).items()}
    shown = [material.shown(place) for place in range(len(material))]
    return {
        "schema": SCHEMA, "world": VERSION, "clips": len(material), "frames": material.frames, "people": people,
        "experts": digests,
        "units": {key: metric.unit for key, metric in metrics.items()},
        "expected": expected.check(scores, metrics, digests, len(material)),
        "estimators": estimators.estimators(shown, answers),
        "degradations": {one.name: {"what": one.what, "unit": one.unit} for one in DEGRADATIONS.values()},
        "curves": [curve.document() for curve in curves(answers[:people], metrics)],
        "bias": {"points": points, "holds": expectations(points)},
        "environment": environment(),
    }  # fmt: skip


def _scores(metrics: Mapping[str, Metric], answers: Sequence[Answer], spoilt: Spoilt) -> dict[str, Score]:
    return {key: score(metric, [a.parts[spoilt, key] for a in answers]) for key, metric in metrics.items()}


def _clean_rows(metrics: Mapping[str, Metric], answers: Sequence[Answer]) -> dict[str, list]:
    """Rows of the clean clips by key of the metrics in BIASED: what those compare the mixture with."""
    parts = {key: [answer.parts[MIXED, key] for answer in answers] for key in BIASED if key in metrics}
    return {key: [part[1] for part in own] for key, own in parts.items() if all(isinstance(p, tuple) for p in own)}
