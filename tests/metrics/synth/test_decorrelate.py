"""Decorrelation of the last layer. Oracles: numpy's covariance and eigenvalues; the same affine map applied by hand."""

import numpy as np
import torch
from torch import nn

from metrics.synth.decorrelate import FLOOR, decorrelate


def layers(seed: int = 0) -> tuple[nn.Sequential, torch.Tensor]:
    """A linear map whose eight outputs share one large direction, standardised, and its inputs (4000, 8)."""
    torch.manual_seed(seed)
    head = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8, affine=False))
    with torch.no_grad():
        head[0].weight[:, 0] = 10
    inputs = torch.randn(4000, 8) * torch.tensor([1, 1, 1, 1, 1, 1, 1, 1e-3])
    for _ in range(100):
        head(inputs)
    return head.eval(), inputs


def test_strong_directions_have_equal_variance_and_noise_stays_small():
    """Oracle: a direction of variance v has v / (v + FLOOR) after."""
    head, inputs = layers()
    before = head(inputs).detach().numpy()
    variances = np.linalg.eigvalsh(np.cov(before.T))
    assert variances[-1] > 100 * variances[-2] > 0  # what is to be mended
    decorrelate(head[0], head[1], before)
    after = head(inputs).detach().numpy()
    np.testing.assert_allclose(after.mean(0), 0, atol=1e-3)
    np.testing.assert_allclose(np.linalg.eigvalsh(np.cov(after.T)), variances / (variances + FLOOR), atol=2e-3)


def test_nothing_but_an_affine_map_happens():
    """Oracle: the features before, centred and multiplied by the inverse root of their covariance, on new inputs."""
    head, inputs = layers()
    fresh = torch.randn(50, 8) * 3
    features, expected = head(inputs).detach().numpy(), head(fresh).detach().numpy()
    values, vectors = np.linalg.eigh(np.cov(features.T))
    whiten = vectors @ np.diag((values + FLOOR) ** -0.5) @ vectors.T
    decorrelate(head[0], head[1], features)
    np.testing.assert_allclose(head(fresh).detach().numpy(), (expected - features.mean(0)) @ whiten, atol=1e-2)
