"""bench.statistics against closed forms, scipy, the published per-clip results of EAT, and simulation."""

import csv
import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import statistics
from bench.media.errors import Undefined
from bench.statistics import (
    jackknife_groups,
    jackknife_interval,
    mean_interval,
    paired_difference,
    paired_statistic_difference,
    smallest_detectable_difference,
    smallest_detectable_from_one_run,
    statistic_interval,
)
from metrics.functional.frechet import frechet_distance


@pytest.fixture(scope="module")
def eat(assets):
    """Per-clip results of 100 MEAD clips of four people: column -> float64 (100,), and clip and person names."""
    with open(assets / "metrics" / "eat_filter100_per_clip.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    columns = {name: np.array([float(line[name]) for line in lines]) for name in lines[0] if name != "clip"}
    clips = [line["clip"] for line in lines]
    return columns, clips, [clip.split("_")[0] for clip in clips]


def percentile_over_clusters(values, clusters, resamples=20_000, seed=5):
    """Independent percentile bootstrap that draws whole clusters: float64 (2,)."""
    rng = np.random.default_rng(seed)
    names = sorted(set(clusters))
    groups = [np.array([v for v, c in zip(values, clusters, strict=True) if c == name]) for name in names]
    sums, sizes = np.array([g.sum() for g in groups]), np.array([len(g) for g in groups])
    drawn = rng.integers(0, len(groups), (resamples, len(groups)))
    return np.percentile(sums[drawn].sum(1) / sizes[drawn].sum(1), [2.5, 97.5])


# -- published results of EAT -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("metric", "published", "tolerance"),
    [("m_lmd", 2.2233482639418316, 1e-15), ("f_lmd", 2.425297368667828, 1e-15), ("lse_c", 8.215478897094727, 1e-7)],
)
def test_clip_means_are_those_published_with_eat(eat, metric, published, tolerance):
    """Oracle: means printed by evaluation_eat. LSE-C was averaged in float32 there, hence the wider tolerance."""
    columns, _, people = eat
    assert mean_interval(columns[metric], people).value == pytest.approx(published, rel=tolerance)


@pytest.mark.parametrize(
    ("metric", "value", "low", "high", "digit"),
    [
        ("m_lmd", 2.223, 2.13, 2.31, 0.01),
        ("f_lmd", 2.425, 2.35, 2.50, 0.01),
        ("psnr", 21.86, 21.49, 22.24, 0.01),
        ("ssim", 0.681, 0.669, 0.694, 0.001),
        ("lse_c", 8.22, 8.05, 8.39, 0.01),
    ],
)
def test_bootstrap_by_clip_gives_the_measured_intervals(eat, metric, value, low, high, digit):
    """Oracle: intervals measured independently (metrics specs, section 15); half a printed digit for their rounding and
    3 % of the width for the sampling noise of both bootstraps."""
    columns, clips, _ = eat
    interval = mean_interval(columns[metric], clips, seed=0)
    assert interval.value == pytest.approx(value, abs=0.0005 if digit == 0.001 else 0.005)
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=digit / 2 + 0.03 * (high - low))
    assert interval.method.startswith("cluster bootstrap") and interval.clusters == 100


@pytest.mark.parametrize(("metric", "low", "high"), [("psnr", 20.6, 23.4), ("m_lmd", 2.07, 2.41)])
def test_four_people_get_the_wider_cluster_t(eat, metric, low, high):
    """Oracle: the by-subject figures of the specs are a percentile bootstrap over 4 people; ours is wider."""
    columns, _, people = eat
    percentile = percentile_over_clusters(columns[metric], people)
    assert percentile == pytest.approx((low, high), abs=0.05 if metric == "psnr" else 0.005)
    interval = mean_interval(columns[metric], people)
    assert interval.method == "cluster-robust t, 3 degrees of freedom"
    assert interval.low < percentile[0] and interval.high > percentile[1]


def test_psnr_of_four_people_in_figures(eat):
    """Oracle: sandwich formula and t(3) = 3.182446 by hand: 21.859 +- 3.182446 x 0.84756."""
    columns, _, people = eat
    interval = mean_interval(columns["psnr"], people)
    assert (interval.low, interval.high) == pytest.approx((19.1619, 24.5566), abs=1e-4)


@pytest.mark.parametrize(
    ("metric", "unpaired", "paired", "digits"),
    [("psnr", 0.76, 0.24, 2), ("ssim", 0.026, 0.008, 3), ("m_lmd", 0.18, 0.057, 2), ("lse_c", 0.35, 0.11, 2)],
)
def test_smallest_detectable_differences_of_100_clips(eat, metric, unpaired, paired, digits):
    """Oracle: figures of the metrics specs, section 15: 80 % power, unpaired and paired with correlation 0.9."""
    columns, clips, _ = eat
    assert round(smallest_detectable_from_one_run(columns[metric], clips), digits) == unpaired
    found = smallest_detectable_from_one_run(columns[metric], clips, correlation=0.9)
    assert round(found, 3 if paired < 0.1 else 2) == paired


# -- mean -------------------------------------------------------------------------------------------------------------


def sandwich_interval(values, clusters):
    """Cluster-robust interval of an intercept-only regression, written as statsmodels documents its CR1 correction."""
    x = np.ones((len(values), 1))
    bread = np.linalg.inv(x.T @ x)
    beta = bread @ x.T @ values
    residuals = values - x @ beta
    meat = np.zeros((1, 1))
    names = sorted(set(clusters))
    for name in names:
        inside = np.array(clusters) == name
        score = x[inside].T @ residuals[inside]
        meat += np.outer(score, score)
    groups, n, k = len(names), len(values), 1
    covariance = bread @ meat @ bread * groups / (groups - 1) * (n - 1) / (n - k)
    return scipy.stats.t.interval(0.95, groups - 1, loc=beta[0], scale=math.sqrt(covariance[0, 0]))


@given(st.integers(0, 10_000), st.integers(2, 9), st.integers(10, 40))
@settings(deadline=None, max_examples=30)
def test_few_clusters_match_the_sandwich_formula(seed, groups, n):
    """Oracle: CR1 sandwich covariance through matrices."""
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(groups), rng.integers(0, groups, n - groups)])
    values = rng.normal(size=n) + rng.normal(size=groups)[labels]
    clusters = [f"id{label}" for label in labels]
    interval = mean_interval(values, clusters)
    assert (interval.low, interval.high) == pytest.approx(sandwich_interval(values, clusters), rel=1e-9)


def test_one_case_per_cluster_is_students_t():
    """Oracle: scipy.stats.ttest_1samp."""
    values = np.random.default_rng(1).gamma(2, size=8)
    interval = mean_interval(values, [str(i) for i in range(8)])
    expected = scipy.stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high), rel=1e-12)
    assert interval.error == pytest.approx(scipy.stats.sem(values), rel=1e-12)


def test_many_clusters_match_scipys_bootstrap():
    """Oracle: scipy.stats.bootstrap, percentile; both ends within 3 % of the width."""
    values = np.random.default_rng(2).gamma(1.5, size=60)
    interval = mean_interval(values, [str(i) for i in range(60)], seed=3)
    reference = scipy.stats.bootstrap((values,), np.mean, n_resamples=20_000, method="percentile", rng=9)
    low, high = reference.confidence_interval
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=0.03 * (high - low))


def test_unequal_clusters_are_drawn_whole():
    """Oracle: an independent percentile bootstrap over clusters of unequal size; a by-case one is far narrower."""
    rng = np.random.default_rng(4)
    sizes = rng.integers(1, 30, 15)
    values = np.concatenate(
        [rng.normal(shift, 0.2, size) for shift, size in zip(rng.normal(size=15), sizes, strict=True)]
    )
    clusters = [f"id{i}" for i, size in enumerate(sizes) for _ in range(size)]
    interval = mean_interval(values, clusters)
    low, high = percentile_over_clusters(values, clusters)
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=0.03 * (high - low))
    by_case = mean_interval(values, [str(i) for i in range(len(values))])
    assert interval.high - interval.low > 2 * (by_case.high - by_case.low)


def test_coverage_with_four_and_with_ten_clusters():
    """Oracle: simulation. 4 clusters: t covers 95 %, a percentile bootstrap 79 %; 10 clusters: ours about 90 %."""
    rng = np.random.default_rng(0)

    def share(groups, make, repeats):
        hits = 0
        clusters = [f"id{g}" for g in range(groups) for _ in range(6)]
        for _ in range(repeats):
            values = np.repeat(rng.normal(size=groups), 6) + rng.normal(size=groups * 6)
            low, high = make(values, clusters)
            hits += low <= 0 <= high
        return hits / repeats

    def ours(values, clusters):
        interval = mean_interval(values, clusters)
        return interval.low, interval.high

    assert share(4, ours, 1500) == pytest.approx(0.95, abs=0.02)
    assert share(4, lambda v, c: percentile_over_clusters(v, c, 400), 1000) == pytest.approx(0.79, abs=0.05)
    assert share(10, ours, 600) == pytest.approx(0.90, abs=0.035)


groups_of_values = st.lists(
    st.lists(st.floats(-1e6, 1e6, allow_subnormal=False), min_size=1, max_size=6), min_size=2, max_size=14
)


@given(groups_of_values, st.integers(0, 2**31), st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=60)
def test_mean_interval_holds_the_estimate_and_ignores_the_order(groups, seed, random):
    """Property: low <= value <= high, same seed same bits, any order of the cases same bits."""
    cases = [(value, f"id{i}") for i, group in enumerate(groups) for value in group]
    interval = mean_interval(*zip(*cases, strict=True), seed)
    assert interval.low <= interval.value <= interval.high
    assert interval.value == math.fsum(value for value, _ in cases) / len(cases)
    random.shuffle(cases)
    assert mean_interval(*zip(*cases, strict=True), seed) == interval


@given(st.integers(0, 1000), st.floats(0.1, 10), st.floats(-5, 5), st.sampled_from([3, 12]))
@settings(deadline=None, max_examples=25)
def test_mean_interval_moves_with_shift_and_scale(seed, scale, shift, groups):
    """Property: the interval of a x + b is a times the interval plus b."""
    values = np.random.default_rng(seed).normal(size=30)
    clusters = [f"id{i % groups}" for i in range(30)]
    plain, moved = mean_interval(values, clusters), mean_interval(scale * values + shift, clusters)
    assert (moved.low, moved.high) == pytest.approx((scale * plain.low + shift, scale * plain.high + shift), abs=1e-9)
    assert moved.error == pytest.approx(scale * plain.error)


def test_intervals_are_clipped_to_the_bounds():
    """Analytic: an accuracy of 0.95 over few people would reach beyond 1."""
    interval = mean_interval([1.0, 1.0, 1.0, 0.8], ["a", "b", "c", "d"], bounds=(0.0, 1.0))
    assert interval.high == 1.0 and interval.low == pytest.approx(0.95 - 3.182446 * 0.05, abs=1e-6)


@pytest.mark.parametrize("groups", [3, 20])
def test_equal_values_have_an_interval_of_width_zero(groups):
    """Analytic: no spread, no uncertainty from the cases."""
    interval = mean_interval([0.1] * 40, [f"id{i % groups}" for i in range(40)])
    assert interval.value == pytest.approx(0.1) and interval.high - interval.low < 1e-15


@pytest.mark.parametrize(("values", "reason"), [([1.0], "none: one case"), ([1.0, 2.0], "none: one identity")])
def test_no_interval_is_invented_for_one_cluster(values, reason):
    """Analytic: the spread between people cannot be known from one person."""
    interval = mean_interval(values, ["a"] * len(values))
    assert (interval.low, interval.high, interval.error, interval.method) == (None, None, None, reason)
    assert interval.excludes_zero is None


@pytest.mark.parametrize("values", [[1.0, math.nan], [math.inf, 1.0], []])
def test_values_that_are_not_numbers_are_refused(values):
    """Analytic: a NaN must be recorded as a failed case before, never averaged."""
    with pytest.raises(ValueError, match="finite"):
        mean_interval(values, ["a", "b"][: len(values)])


# -- pooled statistics ------------------------------------------------------------------------------------------------


def ratio(total):
    return total[0] / total[1]


@pytest.mark.parametrize("groups", [5, 25])
def test_pooled_ratio_with_unit_counts_is_the_mean(groups):
    """Oracle: mean_interval; a ratio of sums with denominator 1 per case, clusters of equal size."""
    values = np.random.default_rng(6).normal(size=100) + 5
    clusters = [f"id{i % groups}" for i in range(100)]
    pooled = statistic_interval(np.stack([values, np.ones(100)], axis=1), clusters, ratio)
    mean = mean_interval(values, clusters)
    assert pooled.value == pytest.approx(mean.value, rel=1e-14)
    tolerance = 1e-9 if groups == 5 else 0.05 * (mean.high - mean.low)
    assert (pooled.low, pooled.high) == pytest.approx((mean.low, mean.high), abs=tolerance)


def test_few_clusters_match_a_jackknife_written_out():
    """Oracle: delete-one-cluster jackknife in four lines."""
    rng = np.random.default_rng(7)
    statistics_ = rng.uniform(1, 3, (30, 2))
    clusters = [f"id{i % 4}" for i in range(30)]
    interval = statistic_interval(statistics_, clusters, ratio)
    left = [ratio(statistics_[np.array(clusters) != f"id{g}"].sum(0)) for g in range(4)]
    error = math.sqrt(3 / 4 * sum((value - np.mean(left)) ** 2 for value in left))
    assert interval.error == pytest.approx(error, rel=1e-9)
    assert interval.high - interval.value == pytest.approx(scipy.stats.t.ppf(0.975, 3) * error, rel=1e-9)
    assert interval.method == "cluster jackknife t"


@given(st.integers(0, 10_000), st.sampled_from([2, 7, 12]))
@settings(deadline=None, max_examples=15)
def test_pooled_interval_holds_the_estimate_and_ignores_the_order(seed, groups):
    """Property: as for the mean, for an F1 of pooled counts."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, 20, (30, 3)).astype(float)
    clusters = [f"id{i % groups}" for i in range(30)]

    def f1(total):
        return 2 * total[0] / (2 * total[0] + total[1] + total[2])

    interval = statistic_interval(counts, clusters, f1, bounds=(0.0, 1.0))
    assert 0 <= interval.low <= interval.value <= interval.high <= 1
    order = rng.permutation(30)
    assert statistic_interval(counts[order], [clusters[i] for i in order], f1, bounds=(0.0, 1.0)) == interval


def test_an_interval_that_misses_its_estimate_is_widened_and_says_so():
    """Analytic: the number of different people drops in every resample, so no percentile reaches the estimate."""
    interval = statistic_interval(np.eye(12), [f"id{i:02}" for i in range(12)], lambda total: float((total > 0).sum()))
    assert interval.value == interval.high == 12 and interval.low < 10
    assert interval.method.endswith("widened to the estimate")


def test_resamples_without_a_value_are_counted_or_void_the_interval():
    """Analytic: one of 12 people has positives; a resample lacks that person with probability (11/12)^12 = 35 %."""

    def recall(total):
        if total[1] == 0:
            raise Undefined("no positive frame")
        return total[0] / total[1]

    people = [f"id{i:02}" for i in range(12)]
    one = np.array([[3.0, 4.0]] + [[0.0, 0.0]] * 11)
    assert statistic_interval(one, people, recall).method.startswith("none: no value in ")
    most = np.array([[3.0, 4.0]] * 3 + [[1.0, 4.0]] * 2 + [[0.0, 0.0]] * 7)
    interval = statistic_interval(most, people, recall)
    assert interval.low < interval.value < interval.high and "without a value" in interval.method
    few = statistic_interval(one[:4], people[:4], recall)
    assert few.low is None and few.method == "none: no value without one of 4 groups: no positive frame"


# -- jackknife and Frechet --------------------------------------------------------------------------------------------


def test_jackknife_of_a_mean_is_its_standard_error():
    """Oracle: closed form s / sqrt(n), scipy.stats.ttest_1samp for the interval."""
    values = np.random.default_rng(8).normal(size=13)
    interval = jackknife_interval([np.delete(values, i).mean() for i in range(13)], values.mean(), [1] * 13)
    expected = scipy.stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high), rel=1e-9)


@given(st.integers(0, 10_000), st.floats(-1000, 1000))
@settings(deadline=None, max_examples=30)
def test_a_bias_in_1_over_n_leaves_no_trace_in_unequal_groups(seed, bias):
    """Metamorphic: mean + bias / n has the error of the mean, whatever the group sizes (Busing et al. 1999)."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 40, 9)
    groups = [rng.normal(size=size) for size in sizes]

    def score(parts):
        values = np.concatenate(parts)
        return values.mean() + bias / len(values)

    plain = jackknife_interval([np.concatenate(groups[:j] + groups[j + 1 :]).mean() for j in range(9)],
                               np.concatenate(groups).mean(), sizes)  # fmt: skip
    biased = jackknife_interval(lambda j: score(groups[:j] + groups[j + 1 :]), score(groups), sizes)
    assert biased.error == pytest.approx(plain.error, rel=1e-6)


def test_unequal_groups_of_independent_values_match_the_standard_error():
    """Oracle: s / sqrt(n); over many draws the grouped jackknife has the same mean square error within 10 %."""
    rng = np.random.default_rng(9)
    sizes = np.array([1, 2, 3, 5, 8, 13, 21, 30, 40, 77])
    owner = np.repeat(np.arange(10), sizes)
    squares = []
    for _ in range(400):
        values = rng.normal(size=200)
        left = [values[owner != j].mean() for j in range(10)]
        squares.append(jackknife_interval(left, values.mean(), sizes).error ** 2)
    assert np.mean(squares) == pytest.approx(1 / 200, rel=0.1)


def test_naive_bootstrap_is_wrong_for_frechet_and_the_jackknife_is_not():
    """Oracle: Gaussians, D = 100, N = 182 (the size of a published test set). The percentile interval of the naive
    bootstrap lies above its own estimate; the jackknife holds it and the mean over fresh samples of the same size."""
    rng = np.random.default_rng(10)

    def sample():
        return rng.normal(size=(182, 100)), 1.1 * rng.normal(size=(182, 100)) + 0.02

    prediction, target = sample()
    value = frechet_distance(prediction, target)
    naive = []
    for _ in range(60):
        drawn = rng.integers(0, 182, 182)
        naive.append(frechet_distance(prediction[drawn], target[drawn]))
    assert np.percentile(naive, 2.5) > 1.3 * value

    owner = np.arange(182) % 20
    interval = jackknife_interval(
        lambda j: frechet_distance(prediction[owner != j], target[owner != j]), value, np.bincount(owner)
    )
    assert interval.low < value < interval.high < np.percentile(naive, 2.5)
    assert interval.low < np.mean([frechet_distance(*sample()) for _ in range(10)]) < interval.high


def test_jackknife_error_of_frechet_is_its_spread_over_fresh_samples():
    """Oracle: standard deviation of the distance over 60 independent samples, D = 20, N = 200."""
    rng = np.random.default_rng(11)
    owner = np.arange(200) % 20
    values, errors = [], []
    for repeat in range(60):
        prediction, target = rng.normal(size=(200, 20)), 1.1 * rng.normal(size=(200, 20)) + 0.3
        values.append(frechet_distance(prediction, target))
        if repeat < 15:
            left = [frechet_distance(prediction[owner != j], target[owner != j]) for j in range(20)]
            errors.append(jackknife_interval(left, values[-1], [10] * 20).error)
    assert np.mean(errors) == pytest.approx(np.std(values, ddof=1), rel=0.35)


def test_jackknife_groups_are_people_from_ten_up_else_balanced_clips():
    """Analytic: 12 people give 12 groups, 48 give 20 of whole people, 4 with 50 clips give 20 of 2 or 3 clips."""
    cases = [f"c{i:03}" for i in range(48)]
    groups, name = jackknife_groups(cases, [f"id{i % 12:02}" for i in range(48)])
    assert groups.tolist() == [i % 12 for i in range(48)] and name == "identities"
    groups, name = jackknife_groups([*cases, *(f"d{case}" for case in cases)], [f"id{i:02}" for i in range(48)] * 2)
    assert groups[:48].tolist() == groups[48:].tolist() == [i % 20 for i in range(48)]
    assert name == "groups of the 48 identities"

    cases = [f"c{i:03}" for i in range(50)]
    groups, name = jackknife_groups(cases, [f"id{i % 4}" for i in range(50)])
    assert sorted(np.bincount(groups)) == [2] * 10 + [3] * 10
    assert name == "groups of clips of the same 4 identities"
    order = np.random.default_rng(0).permutation(50)
    shuffled, _ = jackknife_groups([cases[i] for i in order], ["x"] * 50)
    assert dict(zip(order.tolist(), shuffled, strict=True)) == dict(enumerate(groups))
    assert jackknife_groups(["a", "b"], ["x", "x"])[0].tolist() == [0, 1]


def test_jackknife_without_enough_data_says_so():
    """Analytic: one group, a group whose removal leaves no value, a group without data."""
    assert jackknife_interval([1.0], 1.0, [5]).method == "none: one group only"

    def gone(_):
        raise Undefined("fewer than 2 rows")

    assert jackknife_interval(gone, 1.0, [1, 1]).method.endswith("fewer than 2 rows")
    with pytest.raises(ValueError, match="without data"):
        jackknife_interval([1.0, 1.0], 1.0, [3, 0])


# -- two methods ------------------------------------------------------------------------------------------------------


def two_methods(groups, seed=12):
    """Values of two methods on 60 cases that share most of their spread: mappings by case id, and identities."""
    rng = np.random.default_rng(seed)
    cases = [f"c{i:03}" for i in range(60)]
    hard = rng.normal(size=60)
    first = dict(zip(cases, hard + 0.1 * rng.normal(size=60) + 0.2, strict=True))
    second = dict(zip(cases, hard + 0.1 * rng.normal(size=60), strict=True))
    return first, second, {case: f"id{i % groups:02}" for i, case in enumerate(cases)}


@pytest.mark.parametrize("groups", [4, 20])
def test_paired_difference_is_the_mean_of_differences(groups):
    """Oracle: mean_interval of the differences; and pairing finds what separate intervals cannot."""
    first, second, people = two_methods(groups)
    found = paired_difference(first, second, people, seed=1)
    deltas = [first[case] - second[case] for case in sorted(first)]
    assert found.interval == mean_interval(deltas, [people[case] for case in sorted(first)], seed=1)
    assert found.interval.excludes_zero and found.n == 60
    alone = mean_interval(list(first.values()), list(people.values()))
    assert found.interval.high - found.interval.low < 0.5 * (alone.high - alone.low)
    expected = smallest_detectable_difference(deltas, [people[case] for case in sorted(first)])
    assert found.detectable == pytest.approx(expected, rel=1e-12)


def test_paired_difference_uses_shared_cases_and_counts_the_others():
    """Analytic: cases only one method has change the counts and nothing else."""
    first, second, people = two_methods(20)
    whole = paired_difference(first, second, people)
    more = paired_difference(first | {"x": 1e9}, second | {"y": -1e9, "z": 0.0}, people | dict.fromkeys("xyz", "q"))
    assert more.interval == whole.interval
    assert (more.n, more.only_first, more.only_second) == (60, 1, 2)
    with pytest.raises(Undefined, match="no case in common: 1 against 1 cases"):
        paired_difference({"a": 1.0}, {"b": 1.0}, {"a": "p", "b": "p"})


@pytest.mark.parametrize("groups", [4, 20])
def test_a_method_does_not_differ_from_itself(groups):
    """Analytic: difference 0, interval [0, 0], which does not exclude 0."""
    first, _, people = two_methods(groups)
    found = paired_difference(first, first, people)
    assert (found.interval.low, found.interval.value, found.interval.high) == (0, 0, 0)
    assert found.interval.excludes_zero is False


@pytest.mark.parametrize("groups", [4, 20])
def test_pooled_difference_with_unit_counts_is_the_paired_difference(groups):
    """Oracle: paired_difference; swapping the methods flips the sign."""
    first, second, people = two_methods(groups)
    pooled = [{case: (value, 1.0) for case, value in side.items()} for side in (first, second)]
    found = paired_statistic_difference(*pooled, people, ratio)
    expected = paired_difference(first, second, people)
    width = expected.interval.high - expected.interval.low
    assert found.interval.value == pytest.approx(expected.interval.value, rel=1e-9)
    assert (found.interval.low, found.interval.high) == pytest.approx(
        (expected.interval.low, expected.interval.high), abs=0.05 * width if groups == 20 else 1e-9
    )
    flipped = paired_statistic_difference(*reversed(pooled), people, ratio)
    assert (flipped.interval.low, flipped.interval.high) == pytest.approx((-found.interval.high, -found.interval.low))


def test_smallest_detectable_difference_has_its_power():
    """Oracle: simulation with 6 people; a true difference of that size is found in about 80 % of the samples."""
    rng = np.random.default_rng(13)
    people = [str(i) for i in range(6)]
    true_error = 1 / math.sqrt(6)
    size = statistics.detectable_from_error(true_error, 6)
    assert size == pytest.approx((scipy.stats.t.ppf(0.975, 5) + scipy.stats.t.ppf(0.8, 5)) * true_error)
    found = [mean_interval(size + rng.normal(size=6), people).excludes_zero for _ in range(1500)]
    assert np.mean(found) == pytest.approx(0.8, abs=0.05)


def test_one_cluster_cannot_say_what_is_detectable():
    """Analytic: no standard error, no power."""
    assert smallest_detectable_difference([0.1, 0.2], ["a", "a"]) is None
    assert smallest_detectable_from_one_run([0.1, 0.2], ["a", "a"]) is None
