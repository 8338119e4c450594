r"""Fréchet distance between two sets of feature rows: the core of FID, FVD and E-FID.

.. math:: d = \|m_1 - m_2\|^2 + \mathrm{Tr}(S_1 + S_2 - 2 (S_1 S_2)^{1/2})

for the means and covariances of the two sets (Dowson and Landau, 1982; Heusel et al., arXiv 1706.08500).
Implementations in use differ in the covariance (`numpy.cov` with ddof=1 in pytorch-fid, clean-fid and TF-GAN; ddof=0 in
StyleGAN-V and cd-fvd) and in the matrix root, which most take from `scipy.linalg.sqrtm`: slow (a minute at D=2048 and
500 rows), complex-valued on singular products, and about to lose the `disp` argument they pass (scipy 1.18).
Here the trace of the root is computed in one of two exact ways, both in float64:

* more rows than columns in both sets: from the moments, as the sum of the roots of the eigenvalues of F^T S2 F with
  F F^T = S1, which are those of S1^(1/2) S2 S1^(1/2) (a symmetric eigenproblem, real by construction);
* otherwise: as the nuclear norm of the centred cross-Gram matrix,
  Tr (S1 S2)^(1/2) = ||A B^T||_* / sqrt((n - ddof)(m - ddof)) with A, B the row-centred sets. No covariance is formed,
  so a rank deficient set costs no accuracy.

Nothing is added to a diagonal. A slightly negative result of rounding is set to 0 and kept as `Frechet.raw`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from bench.media.errors import Undefined

BLOCK_ROWS = 4096
"""Rows converted to float64 at a time; 64 MiB at D=2048."""


@dataclass(frozen=True)
class Frechet:
    """A Fréchet distance and what it was computed from."""

    value: float
    """The distance, never below 0."""
    raw: float
    """The same before the clamp; a negative value shows the size of the rounding error."""
    n: int
    """Rows in the first set."""
    m: int
    """Rows in the second set."""


@dataclass(frozen=True)
class Moments:
    """Count, mean and scatter of a set of rows; sets are joined and split without their rows."""

    n: int
    mean: np.ndarray
    """float64 (D,)."""
    scatter: np.ndarray
    """float64 (D, D): sum over rows of the outer product of (row - mean) with itself."""

    @classmethod
    def of(cls, rows: np.ndarray) -> Moments:
        """Moments of rows (n, D), read in blocks."""
        rows = np.asarray(rows)
        total = cls(0, np.zeros(rows.shape[1]), np.zeros((rows.shape[1], rows.shape[1])))
        for start in range(0, len(rows), BLOCK_ROWS):
            total = total.update(rows[start : start + BLOCK_ROWS])
        return total

    def update(self, rows: np.ndarray) -> Moments:
        """Moments of these rows and more of them, (k, D)."""
        block = np.asarray(rows, np.float64)
        if not len(block):
            return self
        mean = block.mean(axis=0)
        block = block - mean
        return self.merge(Moments(len(block), mean, block.T @ block))

    def merge(self, other: Moments) -> Moments:
        """Moments of the union of two disjoint sets (Chan, Golub and LeVeque, 1983)."""
        n = self.n + other.n
        if not n:
            return self
        delta = other.mean - self.mean
        mean = self.mean + delta * (other.n / n)
        scatter = self.scatter + other.scatter
        if self.n and other.n:
            scatter += np.outer(delta, delta) * (self.n * other.n / n)
        return Moments(n, mean, scatter)

    def minus(self, part: Moments) -> Moments:
        """Moments of this set without `part`, which must be a subset: the inverse of `merge`."""
        n = self.n - part.n
        if not part.n or not n:
            return self if n else Moments(0, np.zeros_like(self.mean), np.zeros_like(self.scatter))
        mean = (self.mean * self.n - part.mean * part.n) / n
        delta = part.mean - mean
        scatter = self.scatter - part.scatter - np.outer(delta, delta) * (n * part.n / self.n)
        return Moments(n, mean, scatter)

    def covariance(self, ddof: int = 1) -> np.ndarray:
        """float64 (D, D)."""
        return self.scatter / (self.n - ddof)


def frechet_distance(prediction: np.ndarray, target: np.ndarray, ddof: int = 1) -> float:
    """Fréchet distance between rows (n, D) and rows (m, D).

    Raises:
        Undefined: one of the sets has fewer than 2 rows.
    """
    return frechet(prediction, target, ddof).value


def frechet(prediction: np.ndarray, target: np.ndarray, ddof: int = 1) -> Frechet:
    """As `frechet_distance`, with the unclamped value and the number of rows."""
    prediction, target = _checked(prediction, target)
    if _few_rows(prediction, target):
        return _from_rows(_centred(prediction), _centred(target), ddof)
    return frechet_from_moments(Moments.of(prediction), Moments.of(target), ddof)


def frechet_from_moments(prediction: Moments, target: Moments, ddof: int = 1) -> Frechet:
    """Fréchet distance between two sets known by their moments.

    Raises:
        Undefined: one of the sets has fewer than 2 rows.
    """
    _require_two(prediction.n, target.n)
    raw = _gaussian(prediction.mean, prediction.covariance(ddof), target.mean, target.covariance(ddof))
    return Frechet(max(raw, 0.0), raw, prediction.n, target.n)


def frechet_gaussian(mean1: np.ndarray, cov1: np.ndarray, mean2: np.ndarray, cov2: np.ndarray) -> float:
    """Fréchet distance between two Gaussians: means (D,), covariances (D, D)."""
    return max(_gaussian(*(np.asarray(x, np.float64) for x in (mean1, cov1, mean2, cov2))), 0.0)


def frechet_subsets(
    prediction: np.ndarray, target: np.ndarray, subsets: Iterable[tuple[np.ndarray, np.ndarray]], ddof: int = 1
) -> np.ndarray:
    """Fréchet distance of many subsets of the rows, for jackknife and subsampling intervals.

    With few rows the cross-Gram matrix is computed once and each subset only indexes and centres it, so the cost of its
    root does not depend on D. With many rows the moments are computed once and the excluded rows are taken out of them.

    Args:
        prediction: (n, D). target: (m, D).
        subsets: pairs of masks, bool (n,) and bool (m,), True for the rows that stay.
        ddof: as in `frechet_distance`.

    Returns:
        float64 (number of subsets,), clamped at 0.

    Raises:
        Undefined: a subset has fewer than 2 rows of one of the sets.
    """
    prediction, target = _checked(prediction, target)
    evaluate = _gram_evaluator if _few_rows(prediction, target) else _moments_evaluator
    one = evaluate(prediction, target, ddof)
    return np.array([max(one(np.asarray(keep_p, bool), np.asarray(keep_t, bool)), 0.0) for keep_p, keep_t in subsets])


def frechet_leave_out(
    prediction: np.ndarray,
    target: np.ndarray,
    prediction_groups: np.ndarray,
    target_groups: np.ndarray,
    ddof: int = 1,
) -> tuple[np.ndarray, np.ndarray]:
    """Delete-a-group values: the distance without each group in turn, taken out of both sets.

    Frames of one clip are not independent, so the group is the clip (or the identity), never the row. Rows are not
    drawn with replacement: repeated rows lower the rank of the covariance and bias the distance up.

    Args:
        prediction: (n, D). target: (m, D).
        prediction_groups: (n,) group label of every row. target_groups: (m,).
        ddof: as in `frechet_distance`.

    Returns:
        labels (g,) sorted, and float64 (g,) the distance without the group of that label.
    """
    prediction_groups, target_groups = np.asarray(prediction_groups), np.asarray(target_groups)
    labels = np.union1d(prediction_groups, target_groups)
    subsets = ((prediction_groups != label, target_groups != label) for label in labels)
    return labels, frechet_subsets(prediction, target, subsets, ddof)


def paired_rows(
    needs: Mapping[str, Mapping[str, np.ndarray]], extractor: str, feature: str
) -> tuple[np.ndarray, np.ndarray]:
    """`case` of a set metric: the feature's rows (n, D) of the prediction and (m, D) of the target."""
    return needs[f"prediction:{extractor}"][feature], needs[f"target:{extractor}"][feature]


# -- evaluation -----------------------------------------------------------------------------------------------------


def _checked(prediction: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    prediction, target = np.asarray(prediction), np.asarray(target)
    if prediction.ndim != 2 or target.ndim != 2 or prediction.shape[1] != target.shape[1]:
        raise ValueError(f"expected rows (n, D) and (m, D), got {prediction.shape} and {target.shape}")
    _require_two(len(prediction), len(target))
    for name, rows in (("prediction", prediction), ("target", target)):
        if not np.isfinite(rows).all():
            raise ValueError(f"rows of the {name} hold NaN or infinity; drop the frames without a face before")
    return prediction, target


def _require_two(n: int, m: int) -> None:
    if n < 2 or m < 2:
        raise Undefined(f"a covariance needs at least 2 rows; the prediction has {n}, the target has {m}")


def _few_rows(prediction: np.ndarray, target: np.ndarray) -> bool:
    return min(len(prediction), len(target)) <= prediction.shape[1]


def _centred(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """float64 rows minus their mean, and the mean."""
    rows = np.asarray(rows, np.float64)
    mean = rows.mean(axis=0)
    return rows - mean, mean


def _from_rows(prediction: tuple[np.ndarray, np.ndarray], target: tuple[np.ndarray, np.ndarray], ddof: int) -> Frechet:
    (a, mean_a), (b, mean_b) = prediction, target
    spread = (a * a).sum() / (len(a) - ddof) + (b * b).sum() / (len(b) - ddof)
    root = _nuclear_norm(_triangular(a) @ _triangular(b).T) / np.sqrt((len(a) - ddof) * (len(b) - ddof))
    raw = float(((mean_a - mean_b) ** 2).sum() + spread - 2 * root)
    return Frechet(max(raw, 0.0), raw, len(a), len(b))


def _triangular(rows: np.ndarray) -> np.ndarray:
    """R with R^T R = rows^T rows and at most D rows: it keeps the cross-Gram matrix small when one set is large."""
    return np.linalg.qr(rows, mode="r") if len(rows) > rows.shape[1] else rows


def _nuclear_norm(matrix: np.ndarray) -> float:
    return float(np.linalg.svd(matrix, compute_uv=False).sum())


def _gaussian(mean1: np.ndarray, cov1: np.ndarray, mean2: np.ndarray, cov2: np.ndarray) -> float:
    factor = _factor(cov1)
    eigenvalues = np.linalg.eigvalsh(factor.T @ cov2 @ factor)
    trace_root = np.sqrt(np.clip(eigenvalues, 0.0, None)).sum()
    return float(((mean1 - mean2) ** 2).sum() + np.trace(cov1) + np.trace(cov2) - 2 * trace_root)


def _factor(covariance: np.ndarray) -> np.ndarray:
    """F with F F^T = S. For any such F, F^T S2 F has the eigenvalues of S^(1/2) S2 S^(1/2), so the cheapest will do."""
    try:
        return np.linalg.cholesky(covariance)
    except np.linalg.LinAlgError:  # singular: a feature that never changes, or no more rows than columns
        values, vectors = np.linalg.eigh(covariance)
        return vectors * np.sqrt(np.clip(values, 0.0, None))


def _gram_evaluator(prediction: np.ndarray, target: np.ndarray, ddof: int):
    a, mean_a = _centred(prediction)
    b, mean_b = _centred(target)
    gram, shift = a @ b.T, mean_a - mean_b
    norms_a, norms_b = (a * a).sum(axis=1), (b * b).sum(axis=1)

    def distance(keep_p: np.ndarray, keep_t: np.ndarray) -> float:
        n, m = int(keep_p.sum()), int(keep_t.sum())
        _require_two(n, m)
        part_a, part_b = a[keep_p].mean(axis=0), b[keep_t].mean(axis=0)
        spread = (norms_a[keep_p].sum() - n * part_a @ part_a) / (n - ddof)
        spread += (norms_b[keep_t].sum() - m * part_b @ part_b) / (m - ddof)
        cross = gram[np.ix_(keep_p, keep_t)]
        cross = cross - cross.mean(axis=0) - cross.mean(axis=1, keepdims=True) + cross.mean()
        root = _nuclear_norm(cross) / np.sqrt((n - ddof) * (m - ddof))
        return float(((shift + part_a - part_b) ** 2).sum() + spread - 2 * root)

    return distance


def _moments_evaluator(prediction: np.ndarray, target: np.ndarray, ddof: int):
    whole = Moments.of(prediction), Moments.of(target)

    def kept(rows: np.ndarray, total: Moments, keep: np.ndarray) -> Moments:
        out = ~keep
        return total.minus(Moments.of(rows[out])) if out.sum() <= keep.sum() else Moments.of(rows[keep])

    def distance(keep_p: np.ndarray, keep_t: np.ndarray) -> float:
        return frechet_from_moments(kept(prediction, whole[0], keep_p), kept(target, whole[1], keep_t), ddof).raw

    return distance
