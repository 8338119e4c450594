"""From per-case records to a run's scores, and to the difference between two runs.

`aggregate` makes the `metrics` block of summary.json. It is a function of the records (in any order), the features
behind set metrics and the seed; numbers are rounded to 10 significant digits, so the file is the same byte for byte
however often and wherever the run was interrupted. A case that failed is in `n_failed`, never dropped.

`compare` sets two runs against each other on the cases both have.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from bench.media.errors import Undefined
from bench.statistics import (
    Difference,
    Interval,
    detectable_from_error,
    difference,
    jackknife_groups,
    jackknife_interval,
    mean_interval,
    paired_difference,
    paired_statistic_difference,
    replace_method,
    shared_cases,
    statistic_interval,
)
from metrics.metric import Metric

DIGITS = 10
"""Significant digits in summary.json: more than any score carries, fewer than differ between machines."""

Record = Mapping[str, Any]
"""One case: {"case", "identity", "status": "ok" | "failed", "reason", "metrics": {key: {"value"?, "statistics"?,
"failed"?, "missing"?}}}."""
Rows = Callable[[str, Metric], tuple[np.ndarray, np.ndarray]]
"""rows(case id, set metric) -> (prediction rows float32 (n, d), target rows float32 (m, d)), from the feature cache."""


def aggregate(
    records: Iterable[Record], metrics: Mapping[str, Metric], rows: Rows | None = None, seed: int = 0
) -> dict[str, dict[str, Any]]:
    """The `metrics` block of summary.json.

    Args:
        records: one per case, in any order.
        metrics: result key -> metric, in the order of the block.
        rows: where a set metric's features come from; without it set metrics are reported as missing.
        seed: of the bootstraps.

    Returns:
        key -> {"value", "ci95": [low, high] or None, "n": cases in the value, "n_failed", "unit", "higher_is_better",
        "variant", "missing": why there is no value (or not one over all cases) and what to do, "interval": how it was
        made, "clusters": units resampled or deleted, "detectable": smallest difference to another method of equal
        spread that these cases show at 80 % power if they are not paired}, and for set metrics "rows": [prediction,
        target].
    """
    records = in_order(records)
    return {key: _score(records, key, metric, rows, seed) for key, metric in metrics.items()}


def compare(
    first: Iterable[Record],
    second: Iterable[Record],
    key: str,
    metric: Metric,
    rows: tuple[Rows, Rows] | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """One metric's difference, first run minus second run, over the cases that have a value in both.

    Args:
        first: records of one run.
        second: records of the other.
        key: result key of the metric in both.
        metric: the metric.
        rows: where a set metric's features come from, for either run.
        seed: of the bootstrap.

    Returns:
        {"value", "ci95", "n", "only_first", "only_second", "unit", "higher_is_better", "variant", "missing",
        "interval", "clusters", "detectable": smallest true difference these pairs show at 80 % power}.
    """
    sides = [entries(in_order(records), key) for records in (first, second)]
    identities = {record["case"]: record["identity"] for record, _ in (*sides[0], *sides[1])}
    block = {"value": None, "ci95": None, "n": 0, "only_first": len(sides[0]), "only_second": len(sides[1])}
    block |= _description(metric)
    try:
        found = _difference(sides, identities, metric, rows, seed)
    except Undefined as reason:
        return block | {"missing": str(reason), "interval": "none: no value", "clusters": 0, "detectable": None}
    return block | {
        **_numbers(found.interval),
        "n": found.n,
        "only_first": found.only_first,
        "only_second": found.only_second,
        "missing": None,
        "detectable": _rounded(found.detectable),
    }


def in_order(records: Iterable[Record]) -> list[Record]:
    """Records by case id; the order of shards and of interrupted runs is gone.

    Raises:
        ValueError: two records of one case.
    """
    ordered = sorted(records, key=lambda record: record["case"])
    repeated = [case for case, count in Counter(record["case"] for record in ordered).items() if count > 1]
    if repeated:
        raise ValueError(f"{len(repeated)} cases have more than one record, for example {repeated[0]}")
    return ordered


def entries(records: Iterable[Record], key: str) -> list[tuple[Record, Mapping[str, Any]]]:
    """The records that have a value of this metric (or rows or statistics that make one), with the metric's entry.

    Raises:
        ValueError: a recorded value is NaN or infinite; such a case should have been recorded as failed.
    """
    found = []
    for record in records:
        entry = record["metrics"].get(key) if record["status"] == "ok" else None
        if entry is not None and "failed" not in entry and "missing" not in entry:
            if not np.isfinite(entry.get("statistics", entry.get("value", 0.0))).all():
                raise ValueError(
                    f"case {record['case']}: {key} is not finite; record the case as failed, with a reason"
                )
            found.append((record, entry))
    return found


def scored_cases(records: Iterable[Record], keys: Iterable[str]) -> dict[str, frozenset[str]]:
    """The ids of the cases behind every metric's value: two scores are ranked only if these are the same."""
    records = list(records)
    return {key: frozenset(record["case"] for record, _ in entries(records, key)) for key in keys}


def _score(records: list[Record], key: str, metric: Metric, rows: Rows | None, seed: int) -> dict[str, Any]:
    """One metric's object of the block."""
    usable = entries(records, key)
    lacking = _lacking(records, key)
    n_failed = len(records) - len(usable) - sum(lacking.values())
    block: dict[str, Any] = {"value": None, "ci95": None, "n": len(usable), "n_failed": n_failed}
    block |= _description(metric) | {"missing": _missing(lacking, len(usable))}
    nothing = {"interval": "none: no value", "clusters": 0, "detectable": None}
    if not usable:
        return block | nothing | {"missing": block["missing"] or _only_failures(records, key)}
    try:
        interval, extra = _interval(usable, metric, rows, seed)
    except Undefined as reason:
        return block | nothing | {"missing": block["missing"] or str(reason)}
    detectable = detectable_from_error(interval.error, interval.clusters)
    unpaired = None if detectable is None else math.sqrt(2) * detectable
    return block | _numbers(interval) | {"detectable": _rounded(unpaired)} | extra


def _interval(
    usable: list[tuple[Record, Mapping[str, Any]]], metric: Metric, rows: Rows | None, seed: int
) -> tuple[Interval, dict[str, Any]]:
    """Score and interval over the cases that have one, plus what only set metrics report.

    Raises:
        Undefined: these cases give no score.
    """
    identities = [record["identity"] for record, _ in usable]
    if metric.kind == "mean":
        return mean_interval([entry["value"] for _, entry in usable], identities, seed, metric.bounds), {}
    if metric.kind == "pooled":
        statistics = [entry["statistics"] for _, entry in usable]
        return statistic_interval(statistics, identities, metric.finish, seed, metric.bounds), {}
    cases = [record["case"] for record, _ in usable]
    evaluation = SetEvaluation(metric, cases, identities, _source(rows))
    return evaluation.interval(), {"rows": evaluation.rows}


def _difference(
    sides: Sequence[list[tuple[Record, Mapping[str, Any]]]],
    identities: Mapping[str, str],
    metric: Metric,
    rows: tuple[Rows, Rows] | None,
    seed: int,
) -> Difference:
    """First minus second over the shared cases."""
    if metric.kind == "mean":
        values = [{record["case"]: entry["value"] for record, entry in side} for side in sides]
        return paired_difference(values[0], values[1], identities, seed)
    if metric.kind == "pooled":
        statistics = [{record["case"]: entry["statistics"] for record, entry in side} for side in sides]
        return paired_statistic_difference(statistics[0], statistics[1], identities, metric.finish, seed)
    cases = [{record["case"]: entry for record, entry in side} for side in sides]
    shared = shared_cases(cases[0], cases[1])
    sources = rows or (None, None)
    evaluations = [
        SetEvaluation(metric, shared, [identities[case] for case in shared], _source(source)) for source in sources
    ]
    one, other = evaluations
    interval = jackknife_interval(lambda g: one.without(g) - other.without(g), one.value - other.value, one.sizes)
    return difference(replace_method(interval, one.method), cases[0], cases[1])


class SetEvaluation:
    """A set metric (Fréchet distance, KID) over the rows of some cases, and without each of its jackknife groups."""

    def __init__(self, metric: Metric, cases: Sequence[str], identities: Sequence[str], rows: Rows):
        self.metric = metric
        pairs = [rows(case, metric) for case in cases]
        self._groups, deleted = jackknife_groups(cases, identities)
        self._sides = [np.concatenate([pair[side] for pair in pairs]) for side in (0, 1)]
        self._owners = [np.repeat(self._groups, [len(pair[side]) for pair in pairs]) for side in (0, 1)]
        self.count = int(self._groups.max()) + 1
        self.method = f"jackknife t, {self.count} {deleted}"
        self.sizes = np.bincount(self._owners[0], minlength=self.count).tolist()
        """Prediction rows in every group."""
        self.rows = [len(side) for side in self._sides]
        """Rows of the predictions and of the targets."""
        self.value = float(metric.distance(*self._sides))

    def without(self, group: int) -> float:
        """The distance with one group's rows left out on both sides."""
        return self._left_out[group]

    @cached_property
    def _left_out(self) -> list[float]:
        if self.metric.leave_out is not None:
            return self.metric.leave_out(*self._sides, *self._owners)[1].tolist()
        kept = [[own != group for own in self._owners] for group in range(self.count)]
        return [
            float(self.metric.distance(*(side[k] for side, k in zip(self._sides, keep, strict=True)))) for keep in kept
        ]

    def interval(self) -> Interval:
        """The distance with its jackknife interval."""
        interval = jackknife_interval(self.without, self.value, self.sizes, self.metric.bounds)
        return replace_method(interval, self.method)


def _source(rows: Rows | None) -> Rows:
    if rows is None:
        raise Undefined("needs the features of every case, which are not at hand here: score the run again")
    return rows


def _lacking(records: list[Record], key: str) -> Counter[str]:
    """What is missing for this metric -> number of cases that generated well but lack it."""
    texts: Counter[str] = Counter()
    for record in records:
        if record["status"] == "ok":
            entry = record["metrics"].get(key)
            if entry is None:
                texts[f"not computed yet: score the run again with --metrics {key}"] += 1
            elif "missing" in entry:
                texts[entry["missing"]] += 1
    return texts


def _missing(lacking: Counter[str], usable: int) -> str | None:
    """One line on what to fetch, None where nothing is missing."""
    if not lacking:
        return None
    text = "; ".join(sorted(lacking))
    count = sum(lacking.values())
    return f"{count} of {count + usable} cases lack it: {text}" if usable else text


def _only_failures(records: list[Record], key: str) -> str:
    """Why a metric that lacks nothing still has no value: every case failed, most often for this reason."""
    reasons = Counter(_failure(record, key) for record in records)
    if not reasons:
        return "the run has no cases"
    # most_common keeps the order of case ids among equal counts, so the text is stable.
    reason, count = reasons.most_common(1)[0]
    return f"all {len(records)} cases failed, {count} of them with: {reason}"


def _failure(record: Record, key: str) -> str:
    return record["reason"] if record["status"] != "ok" else record["metrics"][key]["failed"]


def _description(metric: Metric) -> dict[str, Any]:
    return {"unit": metric.unit, "higher_is_better": metric.higher_is_better, "variant": metric.variant}


def _numbers(interval: Interval) -> dict[str, Any]:
    ends = None if interval.low is None else [_rounded(interval.low), _rounded(interval.high)]
    return {
        "value": _rounded(interval.value),
        "ci95": ends,
        "interval": interval.method,
        "clusters": interval.clusters,
    }


def _rounded(number: float | None) -> float | None:
    """10 significant digits; no negative zero, which would be another byte."""
    return None if number is None else float(f"{number:.{DIGITS}g}") + 0.0
