"""FVD. Oracles: TF-GAN's formula with symmetric SVD roots, numpy.cov, closed form for constant sets."""

import numpy as np
import pytest

from bench.media.errors import Undefined
from metrics.functional.frechet import frechet_distance
from metrics.functional.fvd import METRICS, fvd

BY_VARIANT = {metric.variant: metric for metric in METRICS}


def logits(seed: int, n: int, scale: float = 1.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    decay = np.exp(-np.arange(400) / 250)  # TF-GAN leaves singular values below 1e-10 without a root
    return (rng.standard_normal((n, 400)) * decay * scale + rng.standard_normal(400) * 0.1).astype(np.float32)


def tfgan_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Fréchet distance as tensorflow_gan computes it for the original FVD: symmetric roots from an SVD, ddof 1."""

    def root(matrix):
        u, s, vt = np.linalg.svd(matrix)
        return u @ np.diag(np.where(s < 1e-10, s, np.sqrt(s))) @ vt

    a, b = a.astype(np.float64), b.astype(np.float64)
    sigma, sigma_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    half = root(sigma)
    trace = np.trace(sigma + sigma_b) - 2 * np.trace(root(half @ sigma_b @ half))
    return float(trace + ((a.mean(0) - b.mean(0)) ** 2).sum())


@pytest.mark.parametrize(("n", "m"), [(50, 60), (600, 500)])
def test_against_tfgan(n, m):
    """Oracle: TF-GAN's formula, below and above 400 samples."""
    a, b = logits(1, n), logits(2, m, 1.2)
    assert fvd(a, b) == pytest.approx(tfgan_distance(a, b), rel=1e-6)


def test_constant_sets():
    """Oracle: eight equal videos on each side have no covariance, so FVD is the squared distance of the two rows; this
    is how the field's black-against-white pin (151.4) comes about.
    """
    a, b = np.repeat(logits(3, 1), 8, axis=0), np.repeat(logits(4, 1), 8, axis=0)
    assert fvd(a, b) == pytest.approx(((a[0].astype(np.float64) - b[0]) ** 2).sum(), rel=1e-9)


def test_variants_pick_windows_and_ddof():
    """Oracle: rows and ddof chosen by hand for three clips of 3, 1 and 2 windows, then numpy.cov's own ddof."""
    clips = [(logits(10 + k, w), logits(20 + k, w, 1.1)) for k, w in enumerate((3, 1, 2))]
    needs = [{"prediction:i3d": {"logits16": p}, "target:i3d": {"logits16": t}} for p, t in clips]

    def score(variant):
        pairs = [BY_VARIANT[variant].case(need) for need in needs]
        return BY_VARIANT[variant].distance(*(np.concatenate(side) for side in zip(*pairs, strict=True)))

    every = [np.concatenate(side) for side in zip(*clips, strict=True)]
    first = [np.stack([clip[side][0] for clip in clips]) for side in (0, 1)]
    assert every[0].shape == (6, 400) and first[0].shape == (3, 400)
    assert score("@i3d16") == frechet_distance(*every, ddof=1)
    assert score("@first_clip") == frechet_distance(*first, ddof=1)
    assert score("@stylegan_v") == frechet_distance(*first, ddof=0)
    means = ((first[0].mean(0, dtype=np.float64) - first[1].mean(0, dtype=np.float64)) ** 2).sum()
    # For n samples the trace terms shrink by (n - 1) / n when ddof goes from 1 to 0.
    assert score("@stylegan_v") - means == pytest.approx((score("@first_clip") - means) * 2 / 3, rel=1e-6)


def test_full_video_takes_one_row_per_clip():
    """Oracle: rows of the extractor i3d_full reach the distance."""
    a, b = logits(30, 4), logits(31, 4)
    metric = BY_VARIANT["@full_video"]
    needs = [
        {"prediction:i3d_full": {"full": a[k : k + 1]}, "target:i3d_full": {"full": b[k : k + 1]}} for k in range(4)
    ]
    assert set(metric.needs) == set(needs[0])
    pairs = [metric.case(need) for need in needs]
    assert metric.distance(*(np.concatenate(side) for side in zip(*pairs, strict=True))) == fvd(a, b)


def test_one_window_has_no_value():
    """Oracle: the default needs at least two windows on each side."""
    with pytest.raises(Undefined, match="prediction has 1, the target has 5"):
        METRICS[0].distance(logits(1, 1), logits(2, 5))


def test_default_first_and_class():
    """Oracle: the order the command line relies on; the class gives the functional value of its variant."""
    torch = pytest.importorskip("torch")
    from metrics.fvd import FVD

    assert [m.key for m in METRICS] == ["fvd@i3d16", "fvd@stylegan_v", "fvd@first_clip", "fvd@full_video", "fvd@synth"]
    a, b = logits(5, 7), logits(6, 9)
    for variant, ddof in (("@i3d16", 1), ("@stylegan_v", 0)):
        module = FVD(variant=variant)
        module.update(torch.from_numpy(a[:3]), torch.from_numpy(b[:4]))
        module.update(torch.from_numpy(a[3:]), torch.from_numpy(b[4:]))
        assert module.compute().item() == fvd(a, b, ddof)
