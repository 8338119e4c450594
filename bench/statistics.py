"""Intervals: how far a score can be trusted, and which differences between two methods are real.

Cases of one identity resemble each other (in the 100 clips of EAT's evaluation, four people explain most of the spread
of PSNR), so the unit that is resampled or deleted is the *cluster*, normally the identity. Every function splits the
cases with the same `partition`, sums inside clusters with exactly rounded sums, and orders clusters by name: results
depend on the seed and on nothing else, in particular not on the order of the cases.

| score | 10 clusters and more | fewer | one |
|---|---|---|---|
| mean over cases | cluster bootstrap, percentile | cluster-robust t, G - 1 degrees of freedom | no interval |
| pooled statistics | cluster bootstrap, percentile | delete-one-cluster jackknife, t | no interval |
| Fréchet and other set scores | delete-a-group jackknife, t | same, over groups of clips | no interval |

A percentile bootstrap over few clusters is too narrow: over 4 subjects its 95 % intervals cover about 80 %, over 10
about 91 %. Fréchet distances must never be resampled with replacement: repeated rows lower the rank of the covariance
and push every replicate above the estimate (tests/bench/test_statistics.py shows both). The jackknife interval of a
Fréchet distance speaks of the distance *at this number of rows*; its bias at small numbers is not an uncertainty and is
not in it.

References: Cameron, Gelbach, Miller 2008 (few clusters); Efron, Tibshirani 1993 (bootstrap, jackknife); Busing, Meijer,
van der Leeden 1999 (jackknife with groups of unequal size); Bloom 1995 (smallest detectable difference).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bench.media.errors import Undefined

CONFIDENCE = 0.95
BOOTSTRAP_FROM = 10
"""Clusters from which a percentile bootstrap is used."""
MEAN_RESAMPLES = 10_000
POOLED_RESAMPLES = 2_000
"""Fewer than for a mean, since `finish` is a Python call per resample; moves an end by about 2 % of the width."""
JACKKNIFE_GROUPS = 20
"""Most groups a jackknife deletes in turn: FID costs seconds per group, and t(19) is only 7 % above the normal."""
UNDEFINED_RESAMPLES = 0.05
"""Share of resamples without a value (no positive frame drawn) above which a bootstrap gives no interval."""
UNBOUNDED = (-math.inf, math.inf)


@dataclass(frozen=True)
class Interval:
    """A score with its 95 % interval."""

    value: float
    """The score over all cases."""
    low: float | None
    high: float | None
    """Ends of the interval, None where there is none; low <= value <= high."""
    method: str
    """How it was made, or "none: " and why there is none."""
    clusters: int
    """Number of units that were resampled or deleted."""
    error: float | None = None
    """Standard error of `value`, None where it cannot be known."""

    @property
    def excludes_zero(self) -> bool | None:
        """Whether 0 lies outside; None where there is no interval."""
        return None if self.low is None or self.high is None else self.low > 0 or self.high < 0


@dataclass(frozen=True)
class Difference:
    """First method minus second method on the cases both have."""

    interval: Interval
    n: int
    """Cases both have."""
    only_first: int
    only_second: int
    """Cases only one of them has; they are not in the difference."""
    detectable: float | None
    """Smallest true difference these cases would show at 80 % power."""


def partition(clusters: Sequence[str]) -> list[np.ndarray]:
    """Positions of the cases of every cluster, int64 (cases,) each, clusters ordered by name."""
    members: dict[str, list[int]] = {}
    for position, cluster in enumerate(clusters):
        members.setdefault(cluster, []).append(position)
    return [np.array(members[name]) for name in sorted(members)]


def mean_interval(
    values: Sequence[float],
    clusters: Sequence[str],
    seed: int = 0,
    bounds: tuple[float, float] = UNBOUNDED,
) -> Interval:
    """Mean over cases with an interval clustered on identity.

    Args:
        values: one finite number per case.
        clusters: the identity of every case.
        seed: of the bootstrap.
        bounds: smallest and largest possible value; the interval is clipped to it.
    """
    values = _finite(values)
    parts = _parts(values, clusters)
    value = math.fsum(values) / len(values)
    if reason := _too_few(len(values), len(parts)):
        return Interval(value, None, None, reason, len(parts))
    counts = np.array([len(part) for part in parts], dtype=np.float64)
    # Residuals, not values: equal values then give an interval of width 0 instead of one of rounding errors.
    residuals = np.array([math.fsum(values[part] - value) for part in parts])
    groups = len(parts)
    error = math.sqrt(groups / (groups - 1) * math.fsum(residuals**2)) / len(values)
    if groups < BOOTSTRAP_FROM:
        reach = _t(groups - 1) * error
        method = f"cluster-robust t, {_degrees(groups - 1)}"
        return _interval(value, value - reach, value + reach, method, groups, error, bounds)
    drawn = _resampled(np.stack([residuals, counts], axis=1), MEAN_RESAMPLES, seed)
    low, high = _percentiles(value + drawn[:, 0] / drawn[:, 1])
    method = f"cluster bootstrap percentile, {MEAN_RESAMPLES} resamples"
    return _interval(value, low, high, method, groups, error, bounds)


def statistic_interval(
    statistics: Sequence[Sequence[float]],
    clusters: Sequence[str],
    finish: Callable[[np.ndarray], float],
    seed: int = 0,
    bounds: tuple[float, float] = UNBOUNDED,
) -> Interval:
    """Score of pooled statistics, finish(sum over cases), with an interval clustered on identity.

    Args:
        statistics: float64 (n, k), additive statistics per case.
        clusters: the identity of every case.
        finish: float64 (k,) sum of statistics -> score.
        seed: of the bootstrap.
        bounds: smallest and largest possible value; the interval is clipped to it.

    Raises:
        Undefined: the score has no value over all cases.
    """
    statistics = _finite(statistics)
    parts = _parts(statistics, clusters)
    value = float(finish(_column_sums(statistics)))
    if reason := _too_few(len(statistics), len(parts)):
        return Interval(value, None, None, reason, len(parts))
    totals = np.stack([_column_sums(statistics[part]) for part in parts])
    if len(parts) >= BOOTSTRAP_FROM:
        return _bootstrap_of_totals(totals, value, finish, seed, bounds)

    def without(group: int) -> float:
        return finish(_column_sums(np.delete(totals, group, axis=0)))

    return replace_method(jackknife_interval(without, value, [1] * len(parts), bounds), "cluster jackknife t")


def jackknife_interval(
    evaluate_without: Callable[[int], float] | Sequence[float],
    full_value: float,
    sizes: Sequence[float],
    bounds: tuple[float, float] = UNBOUNDED,
) -> Interval:
    """Delete-a-group jackknife with a t quantile: the interval for scores that must not be resampled (Fréchet).

    Groups of unequal size h_j = sum(sizes) / sizes[j] enter through the pseudo-values h_j T - (h_j - 1) T_(-j) of
    Busing et al. 1999, in which a bias proportional to 1/n cancels whatever the group's size; for equal sizes this is
    the ordinary jackknife. Two methods on the same cases: pass the differences of their scores.

    Args:
        evaluate_without: the score without group j, as a function of j or as one value per group.
        full_value: the score over everything.
        sizes: amount of data (rows or cases) in every group; all equal for equally weighted groups.
        bounds: smallest and largest possible value; the interval is clipped to it.
    """
    groups = len(sizes)
    if groups < 2:
        return Interval(full_value, None, None, "none: one group only", groups)
    try:
        left_out = _finite(
            [evaluate_without(j) for j in range(groups)] if callable(evaluate_without) else evaluate_without
        )
    except Undefined as reason:
        return Interval(full_value, None, None, f"none: no value without one of {groups} groups: {reason}", groups)
    if len(left_out) != groups:
        raise ValueError(f"{len(left_out)} values for {groups} groups")
    amounts = _finite(sizes)
    if amounts.min() <= 0:
        raise ValueError("a jackknife group without data")
    ratio = amounts.sum() / amounts
    pseudo = ratio * full_value - (ratio - 1) * left_out
    centre = groups * full_value - math.fsum((1 - 1 / ratio) * left_out)
    error = math.sqrt(math.fsum((pseudo - centre) ** 2 / (ratio - 1)) / groups)
    reach = _t(groups - 1) * error
    method = f"jackknife t, {groups} groups"
    return _interval(full_value, full_value - reach, full_value + reach, method, groups, error, bounds)


def jackknife_groups(case_ids: Sequence[str], clusters: Sequence[str]) -> tuple[np.ndarray, str]:
    """Which cases a jackknife deletes together: whole identities from 10 up, else whole clips; at most 20 groups.

    More than 20 identities are dealt out, by name, into 20 groups of whole identities. With fewer than 10 the groups of
    clips cut through identities, so the interval holds for *these* people and says nothing about others; the second
    return value says so. Clips are dealt out in the order of their ids, which spreads an identity over the groups.

    Returns:
        int64 (n,) the group of every case, 0 .. G - 1, and the name of what is deleted.
    """
    groups = np.empty(len(case_ids), dtype=np.int64)
    parts = partition(clusters)
    if len(parts) >= BOOTSTRAP_FROM:
        for position, part in enumerate(parts):
            groups[part] = position % JACKKNIFE_GROUPS
        return groups, "identities" if len(parts) <= JACKKNIFE_GROUPS else f"groups of the {len(parts)} identities"
    order = sorted(range(len(case_ids)), key=lambda position: case_ids[position])
    groups[order] = np.arange(len(order)) % JACKKNIFE_GROUPS
    people = "one identity" if len(parts) == 1 else f"the same {len(parts)} identities"
    return groups, f"groups of clips of {people}"


def paired_difference(
    first: Mapping[str, float],
    second: Mapping[str, float],
    clusters: Mapping[str, str],
    seed: int = 0,
) -> Difference:
    """Difference of means, first minus second, over the cases both have.

    Args:
        first: value by case id.
        second: value by case id.
        clusters: identity by case id.
        seed: of the bootstrap.

    Raises:
        Undefined: they have no case in common.
    """
    shared = shared_cases(first, second)
    deltas = [first[case] - second[case] for case in shared]
    interval = mean_interval(deltas, [clusters[case] for case in shared], seed)
    return difference(interval, first, second)


def paired_statistic_difference(
    first: Mapping[str, Sequence[float]],
    second: Mapping[str, Sequence[float]],
    clusters: Mapping[str, str],
    finish: Callable[[np.ndarray], float],
    seed: int = 0,
) -> Difference:
    """Difference of pooled scores, first minus second, over the cases both have; both sides draw the same clusters.

    Raises:
        Undefined: they have no case in common, or one has no score over these.
    """
    shared = shared_cases(first, second)
    width = len(first[shared[0]])
    both = [np.concatenate([first[case], second[case]]) for case in shared]

    def delta(total: np.ndarray) -> float:
        return finish(total[:width]) - finish(total[width:])

    interval = statistic_interval(both, [clusters[case] for case in shared], delta, seed)
    return difference(interval, first, second)


def difference(interval: Interval, first: Mapping[str, object], second: Mapping[str, object]) -> Difference:
    """Count the cases behind the interval of a difference and add the smallest difference they can show."""
    n = len(first.keys() & second.keys())
    detectable = detectable_from_error(interval.error, interval.clusters)
    return Difference(interval, n, len(first) - n, len(second) - n, detectable)


def shared_cases(first: Mapping[str, object], second: Mapping[str, object]) -> list[str]:
    """Sorted ids of the cases both have.

    Raises:
        Undefined: there is none.
    """
    if shared := sorted(first.keys() & second.keys()):
        return shared
    raise Undefined(f"no case in common: {len(first)} against {len(second)} cases")


def smallest_detectable_difference(
    differences: Sequence[float], clusters: Sequence[str], power: float = 0.8
) -> float | None:
    """The smallest true difference between two methods that a paired test on these cases finds with this power.

    (quantile at 97.5 % + quantile at `power`) x standard error of the mean difference; normal quantiles from 10
    clusters up, t with G - 1 degrees of freedom below.

    Args:
        differences: first minus second, per case.
        clusters: the identity of every case.
        power: probability of an interval that excludes 0.

    Returns:
        None where one cluster leaves the standard error unknown.
    """
    interval = mean_interval(differences, clusters)
    return detectable_from_error(interval.error, interval.clusters, power)


def smallest_detectable_from_one_run(
    values: Sequence[float], clusters: Sequence[str], power: float = 0.8, correlation: float = 0.0
) -> float | None:
    """The smallest difference a protocol can detect, planned from one method's values alone.

    A second method is assumed to spread as much and to correlate with this one by `correlation` over the same cases:
    0 is two separate samples; 0.9 is common for PSNR of similar methods on the same clips.
    """
    interval = mean_interval(values, clusters)
    detectable = detectable_from_error(interval.error, interval.clusters, power)
    return None if detectable is None else math.sqrt(2 * (1 - correlation)) * detectable


def detectable_from_error(error: float | None, clusters: int, power: float = 0.8) -> float | None:
    """The smallest true value whose 95 % interval excludes 0 with probability `power`, from its standard error."""
    if error is None:
        return None
    if clusters >= BOOTSTRAP_FROM:
        from scipy.special import ndtri

        return float(ndtri((1 + CONFIDENCE) / 2) + ndtri(power)) * error
    return (_t(clusters - 1) + _t(clusters - 1, power)) * error


def replace_method(interval: Interval, method: str) -> Interval:
    """Name how the interval was made more closely; a reason for having none stays."""
    return interval if interval.method.startswith("none") else replace(interval, method=method)


def _bootstrap_of_totals(
    totals: np.ndarray, value: float, finish: Callable[[np.ndarray], float], seed: int, bounds: tuple[float, float]
) -> Interval:
    """Percentile bootstrap of finish(sum of drawn rows) for cluster totals float64 (G, k)."""
    replicates = []
    for total in _resampled(totals, POOLED_RESAMPLES, seed):
        try:
            replicates.append(float(finish(total)))
        except Undefined as error:
            reason = str(error)
    undefined = POOLED_RESAMPLES - len(replicates)
    if undefined > UNDEFINED_RESAMPLES * POOLED_RESAMPLES:
        method = f"none: no value in {undefined} of {POOLED_RESAMPLES} resamples: {reason}"
        return Interval(value, None, None, method, len(totals))
    method = f"cluster bootstrap percentile, {POOLED_RESAMPLES} resamples"
    if undefined:
        method += f", {undefined} of them without a value"
    low, high = _percentiles(_finite(replicates))
    return _interval(value, low, high, method, len(totals), float(np.std(replicates, ddof=1)), bounds)


def _resampled(totals: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """float64 (resamples, k): sums of G rows of `totals` (G, k) drawn with replacement."""
    groups = len(totals)
    drawn = np.random.default_rng(seed).multinomial(groups, np.full(groups, 1 / groups), size=resamples)
    # einsum without BLAS: the rounding does not depend on the number of threads.
    return np.einsum("rg,gk->rk", drawn.astype(np.float64), totals)


def _interval(
    value: float, low: float, high: float, method: str, clusters: int, error: float, bounds: tuple[float, float]
) -> Interval:
    """Clip to the bounds, then widen to hold the estimate.

    The percentile interval of a pooled score that is biased in small samples can miss the estimate. A value outside
    its own interval would be absurd and moving the value dishonest, so the near end moves and the method says so.
    """
    low, high = max(low, bounds[0]), min(high, bounds[1])
    rounding = 1e-9 * (abs(value) + high - low)
    if not low - rounding <= value <= high + rounding:
        method += ", widened to the estimate"
    return Interval(value, min(low, value), max(high, value), method, clusters, error)


def _finite(values: Sequence | np.ndarray) -> np.ndarray:
    """float64 array of finite numbers; anything else is a bug of the caller, who records such cases as failed."""
    array = np.asarray(values, dtype=np.float64)
    if array.size == 0 or not np.isfinite(array).all():
        raise ValueError("statistics need at least one value, and all of them finite")
    return array


def _parts(values: np.ndarray, clusters: Sequence[str]) -> list[np.ndarray]:
    if len(values) != len(clusters):
        raise ValueError(f"{len(values)} values for {len(clusters)} cluster names")
    return partition(clusters)


def _too_few(cases: int, clusters: int) -> str | None:
    if cases == 1:
        return "none: one case"
    return "none: one identity" if clusters == 1 else None


def _column_sums(rows: np.ndarray) -> np.ndarray:
    """float64 (k,) sums over the rows of (n, k), exactly rounded and so independent of their order."""
    return np.array([math.fsum(column) for column in rows.T])


def _percentiles(replicates: np.ndarray) -> tuple[float, float]:
    low, high = np.percentile(replicates, [50 * (1 - CONFIDENCE), 50 * (1 + CONFIDENCE)])
    return float(low), float(high)


def _t(degrees: int, probability: float = (1 + CONFIDENCE) / 2) -> float:
    """Quantile of Student's t."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees, probability))


def _degrees(degrees: int) -> str:
    return f"{degrees} degree{'s' if degrees > 1 else ''} of freedom"
