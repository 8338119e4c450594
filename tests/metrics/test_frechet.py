"""Fréchet core. Oracles: closed forms of Gaussians, scipy.linalg.sqrtm, pytorch_fid.fid_score, direct recomputation."""

import subprocess
import sys
import warnings

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.media.errors import Undefined
from metrics.functional.frechet import (
    Moments,
    frechet,
    frechet_distance,
    frechet_from_moments,
    frechet_gaussian,
    frechet_leave_out,
    frechet_subsets,
)


def rows(seed: int, n: int, d: int, scale: float = 1.0, shift: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    mixing = rng.standard_normal((d, d)) / np.sqrt(d)
    return rng.standard_normal((n, d)) @ mixing * scale + shift


def sqrtm_distance(a: np.ndarray, b: np.ndarray, ddof: int = 1) -> float:
    """The textbook formula, covariance by numpy.cov and root by scipy."""
    cov_a, cov_b = np.cov(a, rowvar=False, ddof=ddof), np.cov(b, rowvar=False, ddof=ddof)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # singular products are the point of some cases
        root = scipy.linalg.sqrtm(cov_a @ cov_b)
    return float(((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(cov_a + cov_b) - 2 * np.trace(root).real)


# -- closed forms ---------------------------------------------------------------------------------------------------


def test_identity_covariances_give_exactly_2048():
    """Oracle: pytorch-fid's own test, means 0 and 1, unit covariances, D=2048."""
    eye = np.eye(2048)
    assert frechet_gaussian(np.zeros(2048), eye, np.ones(2048), eye) == 2048.0


def test_diagonal_gaussians():
    """Oracle: sum of squared mean differences plus sum of squared differences of standard deviations."""
    rng = np.random.default_rng(0)
    m1, m2, s1, s2 = rng.standard_normal((2, 7)).tolist() + rng.uniform(0.0, 3.0, (2, 7)).tolist()
    m1, m2, s1, s2 = map(np.array, (m1, m2, s1, s2))
    expected = ((m1 - m2) ** 2).sum() + ((s1 - s2) ** 2).sum()
    assert frechet_gaussian(m1, np.diag(s1**2), m2, np.diag(s2**2)) == pytest.approx(expected, rel=1e-12)


def test_commuting_covariances():
    """Oracle: with a common eigenbasis Q, Tr (S1 S2)^(1/2) = sum of products of standard deviations."""
    rng = np.random.default_rng(1)
    q = np.linalg.qr(rng.standard_normal((6, 6)))[0]
    s1, s2 = rng.uniform(0.1, 2.0, (2, 6))
    zero = np.zeros(6)
    value = frechet_gaussian(zero, q @ np.diag(s1**2) @ q.T, zero, q @ np.diag(s2**2) @ q.T)
    assert value == pytest.approx(((s1 - s2) ** 2).sum(), rel=1e-10)


@pytest.mark.parametrize("ddof", [0, 1])
def test_one_dimension(ddof):
    """Oracle: (m1 - m2)^2 + (s1 - s2)^2 with numpy's std."""
    rng = np.random.default_rng(2)
    a, b = rng.standard_normal(40), 3 * rng.standard_normal(30) + 1
    expected = (a.mean() - b.mean()) ** 2 + (a.std(ddof=ddof) - b.std(ddof=ddof)) ** 2
    assert frechet_distance(a[:, None], b[:, None], ddof) == pytest.approx(expected, rel=1e-12)


def test_moments_of_three_constant_images():
    """Oracle: pytorch-fid's test, images 0, 127/255 and 1: mean 0.5 and variance 0.25 (ddof 1), every pair equal."""
    images = np.repeat(np.array([[0.0], [127 / 255], [1.0]]), 12, axis=1)
    moments = Moments.of(images)
    np.testing.assert_allclose(moments.mean, 0.5, atol=1e-3)
    np.testing.assert_allclose(moments.covariance(), 0.25, atol=1e-3)


# -- independent implementations ------------------------------------------------------------------------------------


@pytest.mark.parametrize("ddof", [0, 1])
@pytest.mark.parametrize(
    ("n", "m", "d"), [(400, 300, 64), (64, 65, 63), (40, 500, 64), (500, 40, 64), (20, 30, 64), (64, 64, 64)]
)
def test_against_scipy_sqrtm(n, m, d, ddof):
    """Oracle: scipy.linalg.sqrtm of the product, both paths, relative 1e-6."""
    a, b = rows(1, n, d), rows(2, m, d, scale=1.3, shift=0.2)
    assert frechet_distance(a, b, ddof) == pytest.approx(sqrtm_distance(a, b, ddof), rel=1e-6)


@pytest.mark.parametrize(("n", "m"), [(500, 400), (100, 90)])
def test_against_pytorch_fid(n, m):
    """Oracle: pytorch_fid.fid_score.calculate_frechet_distance, relative 1e-6."""
    from pytorch_fid.fid_score import calculate_frechet_distance

    a, b = rows(3, n, 128), rows(4, m, 128, scale=0.8, shift=0.1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = calculate_frechet_distance(a.mean(0), np.cov(a, rowvar=False), b.mean(0), np.cov(b, rowvar=False))
    assert frechet_distance(a, b) == pytest.approx(float(expected), rel=1e-6)


def test_both_paths_agree_on_full_rank_rows():
    """Oracle: the same numbers from the moments and, by duplicating columns beyond the rows, from the Gram matrix."""
    a, b = rows(5, 80, 16), rows(6, 70, 16, scale=1.2)
    q = np.linalg.qr(np.random.default_rng(7).standard_normal((100, 16)))[0]
    assert frechet_distance(a @ q.T, b @ q.T) == pytest.approx(frechet_distance(a, b), rel=1e-9)


def test_a_constant_feature_takes_the_singular_branch():
    """Oracle: a column that never changes adds its squared difference and nothing else."""
    a, b = rows(8, 50, 6), rows(9, 60, 6)
    widened = np.column_stack([a, np.full(50, 2.0)]), np.column_stack([b, np.full(60, 5.0)])
    assert frechet_distance(*widened) == pytest.approx(frechet_distance(a, b) + 9.0, rel=1e-9)


# -- identities (specification 13.3) --------------------------------------------------------------------------------

SHAPES = st.tuples(st.integers(2, 30), st.integers(2, 30), st.integers(1, 12), st.integers(0, 10_000))
LIMITS = settings(max_examples=25, deadline=None)


def pair(shape) -> tuple[np.ndarray, np.ndarray]:
    n, m, d, seed = shape
    return rows(seed, n, d), rows(seed + 1, m, d, scale=1.5, shift=0.3)


@LIMITS
@given(SHAPES)
def test_distance_of_a_set_to_itself_is_zero(shape):
    """Oracle: FD(X, X) = 0."""
    a, _ = pair(shape)
    assert frechet_distance(a, a) == pytest.approx(0.0, abs=1e-6 * max(1.0, a.var()))


@LIMITS
@given(SHAPES)
def test_symmetric_and_not_negative(shape):
    """Oracle: FD(X, Y) = FD(Y, X) >= |mean difference|^2, which also excludes a function that returns 0."""
    a, b = pair(shape)
    value = frechet_distance(a, b)
    assert value == pytest.approx(frechet_distance(b, a), rel=1e-6, abs=1e-9)
    assert value >= ((a.mean(0) - b.mean(0)) ** 2).sum() * (1 - 1e-6)


@LIMITS
@given(SHAPES, st.floats(-50, 50))
def test_invariant_to_a_joint_orthogonal_map_and_shift(shape, shift):
    """Oracle: FD(X Q + c, Y Q + c) = FD(X, Y)."""
    a, b = pair(shape)
    q = np.linalg.qr(np.random.default_rng(shape[3]).standard_normal((shape[2], shape[2])))[0]
    assert frechet_distance(a @ q + shift, b @ q + shift) == pytest.approx(frechet_distance(a, b), rel=1e-6, abs=1e-7)


@LIMITS
@given(SHAPES, st.floats(0.01, 100))
def test_scales_with_the_square(shape, c):
    """Oracle: FD(cX, cY) = c^2 FD(X, Y)."""
    a, b = pair(shape)
    assert frechet_distance(c * a, c * b) == pytest.approx(c**2 * frechet_distance(a, b), rel=1e-6, abs=1e-7 * c**2)


@LIMITS
@given(SHAPES)
def test_order_does_not_matter(shape):
    """Oracle: a permutation of the rows of either set."""
    a, b = pair(shape)
    rng = np.random.default_rng(shape[3])
    assert frechet_distance(rng.permutation(a), rng.permutation(b)) == pytest.approx(
        frechet_distance(a, b), rel=1e-8, abs=1e-9
    )


@LIMITS
@given(st.integers(2, 60), st.integers(1, 8), st.integers(0, 10_000), st.floats(0.1, 0.9))
def test_streaming_merge_and_split_equal_one_batch(n, d, seed, cut):
    """Oracle: numpy.cov of all rows."""
    a = rows(seed, n, d, shift=100.0)
    k = int(cut * n)
    first, second = Moments.of(a[:k]), Moments.of(a[k:])
    streamed = Moments.of(a[:0])
    for row in a:
        streamed = streamed.update(row[None])
    expected = np.cov(a, rowvar=False, ddof=1).reshape(d, d)
    for moments in (Moments.of(a), streamed, first.merge(second), second.merge(first)):
        assert moments.n == n
        np.testing.assert_allclose(moments.mean, a.mean(0), rtol=1e-12)
        np.testing.assert_allclose(moments.covariance(), expected, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(Moments.of(a).minus(first).scatter, second.scatter, rtol=1e-7, atol=1e-8)
    assert Moments.of(a).minus(first).n == second.n


def test_blocks_equal_one_block(monkeypatch):
    """Oracle: the same moments with blocks of 7 rows, and float32 rows summed in float64."""
    a = rows(3, 100, 5).astype(np.float32)
    whole = Moments.of(a)
    monkeypatch.setattr("metrics.functional.frechet.BLOCK_ROWS", 7)
    np.testing.assert_allclose(Moments.of(a).scatter, whole.scatter, rtol=1e-12)
    np.testing.assert_allclose(whole.covariance(), np.cov(a.astype(np.float64), rowvar=False), rtol=1e-12)


# -- subsets --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "m", "d"), [(40, 50, 64), (200, 220, 12)], ids=["gram", "moments"])
@pytest.mark.parametrize("ddof", [0, 1])
def test_leaving_out_groups_equals_recomputing(n, m, d, ddof):
    """Oracle: frechet_distance on the rows that remain."""
    a, b = rows(1, n, d, shift=30.0), rows(2, m, d, scale=1.4, shift=29.0)
    groups_a, groups_b = np.arange(n) % 5, np.arange(m) * 5 // m
    labels, values = frechet_leave_out(a, b, groups_a, groups_b, ddof)
    assert labels.tolist() == [0, 1, 2, 3, 4]
    expected = [frechet_distance(a[groups_a != g], b[groups_b != g], ddof) for g in labels]
    np.testing.assert_allclose(values, expected, rtol=1e-8)


@pytest.mark.parametrize("d", [64, 8], ids=["gram", "moments"])
def test_small_subsets_and_the_whole(d):
    """Oracle: frechet_distance on random halves (more excluded than kept) and on everything."""
    a, b = rows(3, 40, d), rows(4, 45, d, scale=0.7)
    rng = np.random.default_rng(0)
    masks = [(rng.random(40) < 0.3, rng.random(45) < 0.3) for _ in range(4)] + [(np.ones(40, bool), np.ones(45, bool))]
    expected = [frechet_distance(a[i], b[j]) for i, j in masks]
    np.testing.assert_allclose(frechet_subsets(a, b, masks), expected, rtol=1e-7)


def test_bias_falls_with_the_number_of_rows():
    """Oracle: two samples of one Gaussian; the true distance is 0, the estimate is biased up and shrinks with N."""
    rng = np.random.default_rng(5)
    values = [frechet_distance(*rng.standard_normal((2, n, 50))) for n in (30, 120, 480, 1920)]
    assert values == sorted(values, reverse=True)
    assert values[0] > 10 * values[-1] > 0


# -- errors ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "m"), [(1, 5), (5, 1), (0, 5)])
def test_too_few_rows_have_no_distance(n, m):
    """Oracle: a covariance of one row does not exist; the reason names both counts."""
    with pytest.raises(Undefined, match=rf"prediction has {n}, the target has {m}"):
        frechet_distance(np.zeros((n, 3)), np.zeros((m, 3)))
    with pytest.raises(Undefined, match=rf"prediction has {n}, the target has {m}"):
        frechet_from_moments(Moments.of(np.zeros((n, 3))), Moments.of(np.zeros((m, 3))))


def test_a_subset_that_leaves_one_row_has_no_distance():
    """Oracle: as above, for a jackknife over two groups of which one holds all rows but one."""
    a = rows(1, 6, 8)
    with pytest.raises(Undefined, match="prediction has 1"):
        frechet_leave_out(a, a, np.array([0] * 5 + [1]), np.array([0] * 3 + [1] * 3))


def test_nan_is_an_error_not_a_value():
    """Oracle: a NaN row must never become a NaN distance."""
    bad = np.zeros((4, 3))
    bad[2, 1] = np.nan
    with pytest.raises(ValueError, match="rows of the target hold NaN"):
        frechet_distance(np.zeros((4, 3)), bad)


def test_raw_value_is_kept():
    """Oracle: value is raw where raw is positive, and never negative."""
    a, b = rows(1, 30, 4), rows(2, 30, 4)
    result = frechet(a, b)
    assert (result.value, result.n, result.m) == (result.raw, 30, 30)
    same = frechet(a, a)
    assert same.value == max(same.raw, 0.0) and abs(same.raw) < 1e-10


def test_class_equals_function():
    """Oracle: frechet_distance over all rows, however they were batched; and reset forgets."""
    import torch

    from metrics.frechet import FrechetDistance

    a, b = rows(1, 30, 5), rows(2, 24, 5)
    metric = FrechetDistance()
    for part in range(3):
        metric.update(torch.from_numpy(a[10 * part : 10 * part + 10]), torch.from_numpy(b[8 * part : 8 * part + 8]))
    assert metric.compute().item() == frechet_distance(a, b)
    assert metric.higher_is_better is False
    metric.reset()
    metric.update(torch.from_numpy(a), torch.from_numpy(a))
    assert metric.compute().item() < 1e-9
    with pytest.raises(ValueError, match="expected rows"):
        metric.update(torch.zeros(3), torch.zeros(3))
    with pytest.raises(ValueError, match="no variant '@x'"):
        FrechetDistance(variant="@x")


def test_formulas_import_no_torch():
    """Oracle: sys.modules of a fresh interpreter after importing the family's formulas."""
    code = (
        "import sys, metrics.functional.frechet, metrics.functional.fid, metrics.functional.kid, "
        "metrics.functional.fvd, metrics.functional.efid, metrics.extractors.inception, metrics.extractors.i3d, "
        "metrics.extractors.deep3d, metrics.extractors.bfm_fit; "
        "print([m for m in ('torch', 'scipy', 'cv2', 'PIL', 'torchmetrics') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
