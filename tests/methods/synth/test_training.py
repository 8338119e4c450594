"""The training loop of the small encoders. Oracle: the same training without an interruption."""

import numpy as np
import pytest
import torch

from bench.media.errors import UserError
from methods.synth import training
from methods.synth.training import Recipe, load_weights, save_weights, schedule, seed_step, train


def regression(interrupt_at=None):
    """A layer that learns y = sum(x), and its loss, which fails once at a step."""
    seed_step(0, 0)
    network, calls = torch.nn.Linear(4, 1), []

    def loss(rng: np.random.Generator) -> torch.Tensor:
        calls.append(1)
        if len(calls) == interrupt_at:
            raise KeyboardInterrupt
        x = torch.from_numpy(rng.standard_normal((16, 4)).astype(np.float32))
        return ((network(x)[:, 0] - x.sum(1)) ** 2).mean()

    return network, loss


def test_interrupted_training_ends_with_the_same_bits(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0.0)
    recipe, checkpoint = Recipe(steps=20), tmp_path / "weights.ckpt"
    whole, loss = regression()
    assert train(whole, loss, recipe) == 20
    cut, loss = regression(interrupt_at=8)
    with pytest.raises(KeyboardInterrupt):
        train(cut, loss, recipe, checkpoint=checkpoint)
    resumed, loss = regression()
    assert train(resumed, loss, recipe, checkpoint=checkpoint) == 20
    assert torch.equal(resumed.weight, whole.weight) and torch.equal(resumed.bias, whole.bias)
    assert not checkpoint.exists()


def test_training_learns():
    network, loss = regression()
    before = loss(np.random.default_rng(5)).item()
    train(network, loss, Recipe(steps=200, learning_rate=0.05, average=0.9))
    assert loss(np.random.default_rng(5)).item() < 0.01 * before


def test_schedule_rises_and_falls():
    assert schedule(0) == 0 and schedule(training.WARMUP) == 1 and schedule(1) == pytest.approx(0)
    with pytest.raises(ValueError, match="minutes or steps"):
        train(torch.nn.Linear(1, 1), lambda rng: None, Recipe())


def test_weights_come_back_in_half_precision(tmp_path):
    network, _ = regression()
    save_weights(tmp_path / "w.safetensors", network, {"steps": 3})
    again = load_weights(torch.nn.Linear(4, 1), tmp_path / "w.safetensors")
    assert torch.equal(again.weight, network.weight.half().float()) and torch.equal(again.bias, network.bias)
    with pytest.raises(UserError, match="not the weights of Linear"):
        load_weights(torch.nn.Linear(5, 1), tmp_path / "w.safetensors")
