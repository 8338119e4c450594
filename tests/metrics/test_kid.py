"""KID. Oracles: a double loop over pairs, torchmetrics' poly_mmd, torch-fidelity's kernel_mmd and subset average."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.media.errors import Undefined
from metrics.functional.kid import METRICS, kid, kid_leave_out


def rows(seed: int, n: int, d: int, scale: float = 1.0) -> np.ndarray:
    return (np.random.default_rng(seed).random((n, d)) * scale).astype(np.float32)


def test_against_a_double_loop():
    """Oracle: the definition written as loops over ordered pairs, sets of different size."""
    a, b = rows(0, 5, 3).astype(np.float64), rows(1, 4, 3, 2.0).astype(np.float64)

    def k(x, y):
        return (x @ y / 3 + 1) ** 3

    within_a = sum(k(a[i], a[j]) for i in range(5) for j in range(5) if i != j) / 20
    within_b = sum(k(b[i], b[j]) for i in range(4) for j in range(4) if i != j) / 12
    across = sum(k(x, y) for x in a for y in b) / 20
    assert kid(a, b) == pytest.approx(within_a + within_b - 2 * across, rel=1e-12)


def test_against_torchmetrics():
    """Oracle: torchmetrics.image.kid.poly_mmd on the same rows in float64, D=2048."""
    import torch
    from torchmetrics.image.kid import poly_mmd

    a, b = rows(2, 60, 2048), rows(3, 60, 2048, 1.2)
    expected = poly_mmd(torch.from_numpy(a).double(), torch.from_numpy(b).double()).item()
    assert kid(a, b) == pytest.approx(expected, rel=1e-9)


def test_against_torch_fidelity():
    """Oracle: torch_fidelity.metric_kid.kernel_mmd on all rows, and its average over random subsets, within noise."""
    torch = pytest.importorskip("torch")
    oracle = pytest.importorskip("torch_fidelity.metric_kid", reason="needs torch-fidelity from the test extra")
    a, b = rows(4, 300, 64).astype(np.float64), rows(5, 300, 64, 1.1).astype(np.float64)
    options = {
        "kid_kernel": "poly",
        "kid_kernel_poly_degree": 3,
        "kid_kernel_poly_gamma": None,
        "kid_kernel_poly_coef0": 1,
    }
    assert kid(a, b) == pytest.approx(float(oracle.kernel_mmd(a, b, **options)), rel=1e-9)
    subsets = oracle.kid_features_to_metric(
        torch.from_numpy(a),
        torch.from_numpy(b),
        kid_subsets=100,
        kid_subset_size=100,
        verbose=False,
        rng_seed=0,
        **options,
    )
    spread = subsets[oracle.KEY_METRIC_KID_STD] / 10  # standard error over 100 subsets
    assert abs(kid(a, b) - subsets[oracle.KEY_METRIC_KID_MEAN]) < 5 * spread


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 20), st.integers(2, 20), st.integers(1, 6), st.integers(0, 9999))
def test_identities(n, m, d, seed):
    """Oracle: symmetric in the sets, blind to the order of rows and to a joint orthogonal map."""
    a, b = rows(seed, n, d).astype(np.float64), rows(seed + 1, m, d, 1.5).astype(np.float64)
    rng = np.random.default_rng(seed)
    q = np.linalg.qr(rng.standard_normal((d, d)))[0]
    value = kid(a, b)
    for other in (kid(b, a), kid(rng.permutation(a), b), kid(a @ q, b @ q)):
        assert other == pytest.approx(value, rel=1e-9, abs=1e-11)


def test_unbiased_where_the_distributions_are_equal():
    """Oracle: expectation 0 at any sample size; the mean over 200 draws of 20 rows is within 4 standard errors."""
    values = [kid(rows(2 * i, 20, 8), rows(2 * i + 1, 20, 8)) for i in range(200)]
    assert abs(np.mean(values)) < 4 * np.std(values) / np.sqrt(200)
    assert min(values) < 0 < max(values)


def test_blocks_equal_one_block(monkeypatch):
    """Oracle: the same value with blocks of 7 rows."""
    a, b = rows(6, 50, 16), rows(7, 33, 16, 1.3)
    value = kid(a, b)
    monkeypatch.setattr("metrics.functional.kid.BLOCK", 7)
    assert kid(a, b) == pytest.approx(value, rel=1e-12)


def test_one_row_has_no_value():
    """Oracle: the unbiased estimate divides by n (n - 1)."""
    with pytest.raises(Undefined, match="prediction has 1, the target has 3"):
        kid(np.zeros((1, 4)), np.zeros((3, 4)))


def test_descriptions_and_class():
    """Oracle: rows of the named extractor reach the function; the class gives the functional value."""
    import torch

    from metrics.kid import KID

    assert [m.key for m in METRICS] == ["kid@inception", "kid@clean", "kid@eat", "kid@synth"]
    a, b = rows(8, 12, 2048), rows(9, 12, 2048, 1.1)
    needs = {"prediction:inception_clean": {"pool": a}, "target:inception_clean": {"pool": b}}
    metric = METRICS[1]
    assert metric.needs == tuple(needs)
    assert metric.distance(*metric.case(needs)) == kid(a, b)
    module = KID(variant="@clean")
    module.update(torch.from_numpy(a), torch.from_numpy(b))
    assert module.compute().item() == pytest.approx(kid(a, b), rel=1e-12)
    assert module.unit == "" and module.paper == metric.paper and not module.higher_is_better


def test_leave_out_equals_recomputing():
    """Oracle: `kid` on the rows that are left, group by group; groups of unequal size, blocks smaller than the sets."""
    rng = np.random.default_rng(0)
    prediction, target = rng.standard_normal((70, 12)), rng.standard_normal((50, 12)) + 0.3
    owners = rng.integers(0, 5, 70), rng.integers(0, 5, 50)
    labels, values = kid_leave_out(prediction, target, *owners)
    expected = [kid(prediction[owners[0] != g], target[owners[1] != g]) for g in labels]
    np.testing.assert_allclose(values, expected, rtol=1e-10)
