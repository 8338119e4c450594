"""The small language model of the synthetic world with random weights."""

import numpy as np
import pytest
import torch

from methods.auhead.stage1.weights import build_small


@pytest.fixture
def small():
    """Decisive: its logits are ten times as far apart as initial weights make them, so that rounding changes no choice."""
    torch.manual_seed(0)
    model = build_small()
    model.model.eval()
    with torch.no_grad():
        model.model.lm_head.weight.mul_(10)
    return model


@pytest.fixture
def noise():
    """float32 (S,) of so many seconds."""
    return lambda seconds, seed=0: (
        np.random.default_rng(seed).normal(0, 0.1, round(16_000 * seconds)).astype(np.float32)
    )
