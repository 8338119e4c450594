"""Decorrelate: features that all weigh the same in a Fréchet distance, whatever the network made large.

Trained features share directions: the background had 9/10 of the variance of those of `synth_video`, and would have
decided every FVD (16.9 between the two halves of the test clips, 2.6 after this). Here the last linear map is changed so
that, over the training examples, no direction has more than unit variance and none that carries something has much less:
whitening, with FLOOR added to the variances, so that what varies less than that, noise, stays small.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import nn

FLOOR = 0.01


def decorrelate(linear: nn.Linear, norm: nn.BatchNorm1d, features: np.ndarray) -> None:
    """Change the two last layers of a network in place.

    Args:
        linear: the last linear map, to D numbers.
        norm: what standardises them, without weights of its own; it does nothing any more.
        features: float (n, D), output of `norm` for training examples, n well above D.
    """
    import torch

    values, vectors = np.linalg.eigh(np.cov(features.T))
    whiten = torch.from_numpy(vectors / np.sqrt(values.clip(0) + FLOOR) @ vectors.T).float()
    with torch.no_grad():
        scale = (norm.running_var + norm.eps).rsqrt()
        centre = torch.from_numpy(features.mean(0)).float()
        linear.bias.copy_(whiten @ ((linear.bias - norm.running_mean) * scale - centre))
        linear.weight.copy_(whiten @ (scale[:, None] * linear.weight))
        norm.running_mean.zero_()
        norm.running_var.fill_(1 - norm.eps)
