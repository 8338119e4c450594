"""Measuring the fixed set: metrics of spoilt clips against the clean ones, and estimators' features of the clean ones.

The same functions as `bench run` uses: FeatureExtraction, then a metric's `case`, then its mean, `finish` or `distance`.
Clips are spoilt in memory, in as many processes as there are cores, one clip of the set at a time.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass

import numpy as np

from bench.calibration.degradations import DEGRADATIONS, mixture
from bench.calibration.material import Material
from bench.features import FeatureExtraction, metric_label
from bench.media.clip import ArrayClip
from bench.media.errors import BenchError, Undefined
from bench.plan import resolve_metrics
from bench.weights import Weights
from metrics.extractor import Features
from metrics.metric import Metric, needed_extractors

MOST_WORKERS = 8
"""Each process takes half a gigabyte, and the whole set is two minutes of work for two."""
MIXTURE = "mixture"
"""Name of the degradation whose values are pinned; its amount is the rounding of `degradations.mixture`."""


@dataclass(frozen=True)
class Spoilt:
    """One degradation by one amount."""

    degradation: str
    """Name in DEGRADATIONS, or MIXTURE."""
    amount: float

    def clip(self, material: Material, place: int) -> ArrayClip:
        make = mixture if self.degradation == MIXTURE else DEGRADATIONS[self.degradation].make
        return make(material, place, self.amount)


@dataclass(frozen=True)
class Job:
    """All that is asked about one clip of the set."""

    place: int
    scores: Mapping[Spoilt, tuple[str, ...]]
    """Which metrics, by result key, of which degradations."""
    extractors: tuple[str, ...]
    """Whose features of the clean clip."""
    outdoors: tuple[str, ...]
    """Whose features of the clip acted before another background, in other light and clothes."""


@dataclass(frozen=True)
class Answer:
    """What was found about one clip of the set."""

    place: int
    parts: Mapping[tuple[Spoilt, str], object]
    """What the metric's `case` gave (a value, statistics, rows), or the BenchError that says why there is none."""
    features: Mapping[str, Features | BenchError]
    """Extractor -> features of the clean clip, or why there are none."""
    outdoors: Mapping[str, Features | BenchError]
    """The same of the clip acted elsewhere."""


@dataclass(frozen=True)
class Score:
    """A metric of the whole set."""

    value: float | None
    n: int
    """Clips in the value."""
    missing: str | None
    """Why there is no value, or not one of all clips."""


class Measurer:
    """Measures clip after clip in one process."""

    def __init__(self, material: Material, weights: Weights, device: str):
        self.material = material
        self._extraction = FeatureExtraction(weights, device)

    def __call__(self, job: Job) -> Answer:
        target = self.material.shown(job.place).clip()
        parts = {}
        for spoilt, keys in job.scores.items():
            metrics = resolve_metrics(list(keys))
            needs = self._needs(job.place, spoilt.clip(self.material, job.place), target, list(metrics.values()))
            parts |= {(spoilt, key): _part(metric, needs) for key, metric in metrics.items()}
        outdoors = self.material.shown(job.place).clip(self.material.redrawn(job.place, family="outdoor"))
        return Answer(job.place, parts, self._features(target, job.extractors), self._features(outdoors, job.outdoors))

    def _features(self, clip: ArrayClip, extractors: tuple[str, ...]) -> dict[str, Features | BenchError]:
        found = self._extraction.features({"target": extractors}, {"target": clip})
        return {name: found[f"target:{name}"] for name in extractors}

    def _needs(self, place: int, prediction: ArrayClip, target: ArrayClip, metrics: list[Metric]) -> dict:
        wanted = needed_extractors(metrics)
        needs: dict = {}
        if wanted.pop("case", None):
            needs["case:label"] = metric_label(self.material.cases[place].emotion)
        reference = ArrayClip(target.first_frame()[None], name=f"{target.path}, first frame")
        clips = {"prediction": prediction, "target": target, "driving": target, "reference": reference}
        return needs | self._extraction.features(wanted, clips)


def measure(
    material: Material,
    jobs: Sequence[Job],
    weights: Weights,
    device: str = "auto",
    workers: int | None = None,
    step: Callable[[str], None] = lambda note: None,
) -> list[Answer]:
    """Answers of all jobs, in their order.

    Args:
        material: the set.
        jobs: what is asked, one per clip.
        weights: where experts are, and where features are cached.
        device: torch device.
        workers: processes; None takes one per core, up to MOST_WORKERS; 1 works in this one.
        step: called when a clip is done, with its name.
    """
    workers = min(workers or os.cpu_count() or 1, MOST_WORKERS, len(jobs))
    answers: dict[int, Answer] = {}
    for answer in _answers(material, jobs, weights, device, workers):
        answers[answer.place] = answer
        step(material.cases[answer.place].id)
    return [answers[job.place] for job in jobs]


def _answers(material: Material, jobs: Sequence[Job], weights: Weights, device: str, workers: int):
    if workers == 1:
        yield from map(Measurer(material, weights, device), jobs)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, _begin, (material, weights, device, workers)) as pool:
        for future in as_completed([pool.submit(_measure_here, job) for job in jobs]):
            yield future.result()


def _begin(material: Material, weights: Weights, device: str, workers: int) -> None:
    """Set up a process: its share of the cores, and the networks it keeps."""
    global _measurer
    os.environ["OMP_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) // workers))  # Read by torch when first imported.
    _measurer = Measurer(material, weights, device)


def _measure_here(job: Job) -> Answer:
    return _measurer(job)


def _part(metric: Metric, needs: dict) -> object:
    failed = next((needs[need] for need in metric.needs if isinstance(needs[need], BenchError)), None)
    if failed is not None:
        return failed
    try:
        return metric.case({need: needs[need] for need in metric.needs})
    except BenchError as reason:
        return reason


def score(metric: Metric, parts: Sequence[object]) -> Score:
    """The metric of all clips from what each gave."""
    given = [part for part in parts if not isinstance(part, BenchError)]
    reasons = sorted({str(part) for part in parts if isinstance(part, BenchError)})
    missing = f"{len(parts) - len(given)} of {len(parts)} clips: {'; '.join(reasons)}" if reasons else None
    if not given:
        return Score(None, 0, missing)
    try:
        return Score(_score(metric, given), len(given), missing)
    except Undefined as reason:
        return Score(None, 0, str(reason))


def _score(metric: Metric, given: Sequence) -> float:
    if metric.kind == "mean":
        return float(np.mean(given))
    if metric.kind == "pooled":
        return float(metric.finish(np.sum(given, axis=0)))
    return float(metric.distance(*(np.concatenate([rows[side] for rows in given]) for side in (0, 1))))
