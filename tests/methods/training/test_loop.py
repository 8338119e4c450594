"""The training loop. Oracles: an uninterrupted training, AdamW and averages written out, numbers computed by hand."""

import json
import math

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState
from torch import nn

from bench.media.errors import UserError
from methods.training.loop import CHECKPOINT, LOG, schedule, train
from methods.training.recipes import Recipe


@pytest.fixture(autouse=True)
def one_thread():
    """Sums over several threads may differ in their last bit; accelerate keeps one state per process."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    AcceleratorState._reset_state(True)
    yield
    AcceleratorState._reset_state(True)
    torch.set_num_threads(threads)


class Toy(nn.Module):
    """Fits y = x with noise of torch's own, one layer frozen."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.frozen = nn.Linear(4, 4).requires_grad_(False)
        self.trained = nn.Linear(4, 4)

    def forward(self, batch):
        noise = 0.1 * torch.randn_like(batch["x"])
        return ((self.trained(self.frozen(batch["x"])) + noise - batch["x"]) ** 2).mean()


def draw(rng: np.random.Generator, count: int) -> dict:
    return {"x": torch.from_numpy(rng.standard_normal((count, 4)).astype(np.float32))}


def recipe(**settings) -> Recipe:
    defaults = {"learning_rate": 0.01, "batch": 3, "log_every": 4, "precision": "no", "steps": 12, "warmup": 0.25}
    return Recipe(**defaults | settings)


def silent(line: str) -> None: ...


@pytest.mark.parametrize("settings", [{}, {"average": 0.9, "accumulate": 2, "schedule": "cosine", "precision": "bf16"}])
def test_a_resumed_training_ends_with_the_bits_of_an_uninterrupted_one(tmp_path, settings):
    whole, halves = Toy(), Toy()
    train(whole, draw, recipe(**settings), tmp_path / "a", seed=3, log=silent)
    stopped = Toy()

    def stop(step: int) -> None:
        raise KeyboardInterrupt

    interrupted = recipe(**settings, checkpoint_minutes=0, validate_every=5)
    with pytest.raises(KeyboardInterrupt):
        train(stopped, draw, interrupted, tmp_path / "b", seed=3, log=silent, validate=stop)
    AcceleratorState._reset_state(True)
    outcome = train(halves, draw, recipe(**settings), tmp_path / "b", seed=3, log=silent)
    assert outcome.steps == 12
    for name, value in whole.state_dict().items():
        assert torch.equal(value, halves.state_dict()[name]), name
    logs = [[json.loads(line) for line in (tmp_path / f / LOG).read_text().splitlines()] for f in "ab"]
    assert [line["step"] for line in logs[0]] == [4, 8, 12] == [line["step"] for line in logs[1]]
    # The interrupted training stopped at step 5: its log begins again there, with fewer losses in the second mean.
    assert logs[0][0]["loss"] == logs[1][0]["loss"] and logs[0][2]["loss"] == logs[1][2]["loss"]


@pytest.mark.parametrize("steps", [12, 14])
def test_a_finished_training_that_is_started_again_says_what_it_came_to(tmp_path, steps):
    """Oracle: what it said when it ended; with 14 steps, the mean of the two after the last line of the log."""
    first = train(Toy(), draw, recipe(steps=steps), tmp_path, seed=3, log=silent)
    AcceleratorState._reset_state(True)
    again = train(Toy(), draw, recipe(steps=steps), tmp_path, seed=3, log=silent)
    assert (again.steps, again.loss) == (steps, first.loss) and math.isfinite(first.loss)
    last = json.loads((tmp_path / LOG).read_text().splitlines()[-1])
    assert (last["step"], last["loss"] == first.loss) == (12, steps == 12)


def test_one_step_is_adamw_on_the_mean_gradient_of_all_passes(tmp_path):
    settings = recipe(steps=1, accumulate=2, warmup=0.0, weight_decay=0.1, clip_norm=1e9)
    learner, by_hand = Toy(), Toy()
    train(learner, draw, settings, tmp_path, seed=3, log=silent)
    rng = np.random.default_rng([3, 0, 0])
    torch.manual_seed(int(rng.integers(2**62)))
    (sum(by_hand(draw(rng, 3)) for _ in range(2)) / 2).backward()
    for name in ("weight", "bias"):
        parameter = getattr(by_hand.trained, name)
        # AdamW's first step: the decayed weight minus the rate times the gradient's sign, softened by epsilon.
        moved = parameter * (1 - 0.01 * 0.1) - 0.01 * parameter.grad / (parameter.grad.abs() + 1e-8)
        assert torch.allclose(getattr(learner.trained, name), moved, atol=1e-6)
    assert torch.equal(learner.frozen.weight, by_hand.frozen.weight)


def test_the_average_is_what_a_training_returns(tmp_path):
    learner, seen = Toy(), []
    weight = learner.trained.weight

    class Watched(nn.Module):
        def __init__(self):
            super().__init__()
            self.toy = learner

        def forward(self, batch):
            seen.append(weight.detach().clone())
            return self.toy(batch)

    train(Watched(), draw, recipe(steps=3, average=0.5), tmp_path, seed=0, log=silent)
    content = torch.load(tmp_path / CHECKPOINT, weights_only=True)
    after = [*seen[1:], content["weights"]["toy.trained.weight"]]
    # diffusers' EMA: the first step has decay 0, step k has min((1 + k) / (10 + k), decay) counted from 0.
    average = after[0]
    for k, value in enumerate(after[1:], start=1):
        decay = min((1 + k) / (10 + k), 0.5)
        average = decay * average + (1 - decay) * value
    assert torch.allclose(weight, average, atol=1e-6)
    assert not torch.allclose(weight, after[-1], atol=1e-4)


def test_schedules_rise_and_fall_as_said():
    cosine, constant = recipe(schedule="cosine", warmup=0.2), recipe(warmup=0.2)
    assert schedule(0.1, cosine) == schedule(0.1, constant) == 0.5
    assert schedule(0.6, constant) == 1.0
    assert schedule(0.6, cosine) == pytest.approx(0.5) and schedule(1.0, cosine) == pytest.approx(0.0)
    assert Recipe(minutes=2, steps=100).progress(10, 60) == 0.5


def test_a_checkpoint_of_another_recipe_is_refused(tmp_path):
    train(Toy(), draw, recipe(), tmp_path, seed=0, log=silent)
    with pytest.raises(UserError, match=r"learning_rate=0\.01"):
        train(Toy(), draw, recipe(learning_rate=0.02), tmp_path, seed=0, log=silent)
    assert train(Toy(), draw, recipe(steps=14), tmp_path, seed=0, log=silent).steps == 14


def test_a_setting_added_since_counts_as_its_default(tmp_path):
    train(Toy(), draw, recipe(), tmp_path, seed=0, log=silent)
    content = torch.load(tmp_path / CHECKPOINT, weights_only=True)
    del content["recipe"]["epsilon"]
    torch.save(content, tmp_path / CHECKPOINT)
    assert train(Toy(), draw, recipe(steps=13), tmp_path, seed=0, log=silent).steps == 13
    with pytest.raises(UserError, match=r"begun with epsilon=1e-08;"):
        train(Toy(), draw, recipe(epsilon=1e-10), tmp_path, seed=0, log=silent)


def test_an_exploding_loss_is_an_error(tmp_path):
    class Exploding(Toy):
        def forward(self, batch):
            return super().forward(batch) * math.inf

    with pytest.raises(FloatingPointError, match="lower the learning rate"):
        train(Exploding(), draw, recipe(), tmp_path, seed=0, log=silent)


def test_eight_bit_adam_says_what_it_needs(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "bitsandbytes.optim", None)
    with pytest.raises(UserError, match="pip install bitsandbytes"):
        train(Toy(), draw, recipe(eight_bit_adam=True), tmp_path, seed=0, log=silent)


def test_validation_sees_the_average_and_changes_nothing(tmp_path):
    plain, watched, seen = Toy(), Toy(), []
    settings = {"average": 0.5, "steps": 8}
    train(plain, draw, recipe(**settings), tmp_path / "a", seed=0, log=silent)
    AcceleratorState._reset_state(True)
    look = lambda step: seen.append((step, watched.training, watched.trained.weight.clone()))  # noqa: E731
    train(watched, draw, recipe(**settings, validate_every=4), tmp_path / "b", seed=0, log=silent, validate=look)
    assert [(step, training) for step, training, _ in seen] == [(4, False), (8, False)]
    assert torch.equal(seen[1][2], watched.trained.weight)
    assert torch.equal(plain.trained.weight, watched.trained.weight)
