"""The training loop of the synthetic experts. Oracles: an uninterrupted run, bit by bit; closed forms; numpy."""

import numpy as np
import pytest
import torch
from torch import nn

from bench.media.errors import UserError
from metrics.synth.arrays import split, stills
from metrics.synth.training import (
    Budget,
    Recipe,
    load_weights,
    read_metadata,
    round_weights,
    save_weights,
    schedule,
    seed_everything,
    train,
)

INPUTS = np.random.default_rng(0).normal(size=(500, 8)).astype(np.float32)
TARGETS = INPUTS[:, :2] * INPUTS[:, 2:4]
RECIPE = Recipe(learning_rate=5e-3, seed=3)


@pytest.fixture(autouse=True)
def one_thread():
    """Sums are split by the number of threads, and their last bits with them."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def small_network() -> nn.Module:
    seed_everything(RECIPE.seed)
    return nn.Sequential(nn.Linear(8, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.1), nn.Linear(32, 2))


def fitted(checkpoint=None, steps=60, stop_at=None, recipe=RECIPE, seconds=0.0):
    """A small network trained on products of its inputs, and the lines that were logged."""
    network, lines, calls = small_network(), [], []

    def loss(rng):
        calls.append(None)
        if len(calls) == stop_at:
            raise KeyboardInterrupt
        rows = rng.integers(len(INPUTS), size=32)
        return (network(torch.from_numpy(INPUTS[rows])) - torch.from_numpy(TARGETS[rows])).square().mean()

    outcome = train(
        network,
        loss,
        recipe=recipe,
        budget=Budget(steps=steps),
        checkpoint=checkpoint,
        log=lines.append,
        every=20,
        checkpoint_seconds=seconds,
    )
    return network, outcome, lines


def test_an_interrupted_training_ends_with_the_same_bits(tmp_path):
    """Oracle: the same training without an interruption; weights, statistics and their moving average."""
    whole, outcome, _ = fitted()
    with pytest.raises(KeyboardInterrupt):
        fitted(tmp_path / "x.checkpoint", stop_at=24)
    resumed, again, _ = fitted(tmp_path / "x.checkpoint")
    assert outcome.steps == again.steps == 60
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_the_loss_falls_and_another_seed_is_another_training():
    """Oracle: the first and the last logged mean; two seeds."""
    first, outcome, lines = fitted(steps=200)
    assert outcome.loss < 0.6 * float(lines[0].split()[-1])
    other, _, _ = fitted(steps=200, recipe=Recipe(learning_rate=5e-3, seed=4))
    assert not torch.equal(first[0].weight, other[0].weight)


def test_a_checkpoint_of_another_recipe_is_refused(tmp_path):
    """Oracle: the declared error."""
    with pytest.raises(KeyboardInterrupt):
        fitted(tmp_path / "x.checkpoint", stop_at=5)
    with pytest.raises(UserError, match="delete it to train as"):
        fitted(tmp_path / "x.checkpoint", recipe=Recipe(learning_rate=1e-3, seed=3))


def test_a_loss_that_is_not_finite_ends_the_training():
    """Oracle: the declared error."""
    network = nn.Linear(1, 1)
    with pytest.raises(FloatingPointError, match="nan in step 0"):
        train(
            network,
            lambda rng: network.weight.sum() * float("nan"),
            recipe=RECIPE,
            budget=Budget(steps=3),
            log=lambda line: None,
        )


def test_schedule_and_budget():
    """Oracle: half a cosine after a line; the limit that is reached first."""
    assert schedule(0.0, 0.1) == 0
    assert schedule(0.05, 0.1) == pytest.approx(0.5)
    assert schedule(0.1, 0.1) == pytest.approx(1)
    assert schedule(0.55, 0.1) == pytest.approx(0.5)
    assert schedule(1.0, 0.1) == pytest.approx(0)
    assert Budget(minutes=2, steps=100).progress(step=10, seconds=60) == 0.5
    assert Budget(minutes=2, steps=100).progress(step=80, seconds=60) == 0.8
    assert Budget(minutes=2).progress(step=10**6, seconds=130) == 1
    with pytest.raises(ValueError, match="minutes or steps"):
        Budget()


def test_weights_come_back_as_they_were_rounded(tmp_path):
    """Oracle: numpy's float16 for matrices, the same float32 bits for vectors; outputs of both networks are equal."""
    network, _, _ = fitted(steps=20)
    matrix = network[0].weight.detach().numpy().copy()
    path = tmp_path / "small.safetensors"
    save_weights(path, network, {"steps": 20})
    again = load_weights(small_network(), path)
    np.testing.assert_array_equal(again[0].weight.detach().numpy(), matrix.astype(np.float16).astype(np.float32))
    assert torch.equal(again[1].running_var, network[1].running_var)
    assert torch.equal(again(torch.from_numpy(INPUTS)), network(torch.from_numpy(INPUTS)))
    assert read_metadata(path) == {"steps": "20"}
    assert [entry.name for entry in tmp_path.iterdir()] == ["small.safetensors"]


def test_weights_of_another_network_and_beyond_float16_are_refused(tmp_path):
    """Oracle: the declared errors."""
    save_weights(tmp_path / "x.safetensors", nn.Linear(3, 3), {})
    with pytest.raises(UserError, match="not the weights of Sequential"):
        load_weights(small_network(), tmp_path / "x.safetensors")
    large = nn.Linear(1, 1)
    large.weight.data.fill_(1e6)
    with pytest.raises(OverflowError, match="weight"):
        round_weights(large)


def test_split_shares_no_identity():
    """Oracle: sets; the last 5 % of 40 ids are 2."""
    identity = np.repeat(np.arange(40), 3)[::-1]
    train_rows, held_rows = split(identity)
    assert set(identity[held_rows]) == {38, 39}
    assert not set(identity[train_rows]) & set(identity[held_rows])
    assert sorted([*train_rows, *held_rows]) == list(range(120))


def test_absent_arrays_are_named(tmp_path):
    """Oracle: the declared error."""
    with pytest.raises(UserError, match="no frames.npy, aus.npy, landmarks.npy, identity.npy; render"):
        stills(tmp_path)
