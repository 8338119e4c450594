"""The shipped experts on people they have not seen. Oracle: the renderer's exact truth."""

import math

import pytest

from bench.media.errors import UserError
from bench.synth_experts import GOALS, SHIPPED, TRAINERS, ExpertSettings, SynthExperts, accuracy_table, measure
from bench.training import configure
from protocols.synth.arrays import Amount
from tests.bench.conftest import Quiet


@pytest.fixture(scope="module")
def measured(synth_test_arrays):
    return measure(synth_test_arrays, SHIPPED)


@pytest.mark.slow  # Renders 6,600 frames and runs five networks over them.
@pytest.mark.parametrize("goal", GOALS, ids=lambda goal: f"{goal.expert}-{goal.figure}")
def test_shipped_expert_reaches_its_goal(goal, measured):
    assert goal.reached(measured), f"{goal.what}: {goal.value(measured):.4g}, goal {goal.limit:g}"


def test_every_expert_ships_and_all_together_are_small():
    sizes = {name: (SHIPPED / f"synth_{name}.safetensors").stat().st_size for name in TRAINERS}
    assert max(sizes.values()) < 4e6 and sum(sizes.values()) < 16e6


def test_table_says_what_is_missed():
    figures = {"au_mae": 0.2, "au_mae_of_zero": 0.1, "union_mae": 0.02, "union_mae_of_zero": 0.2, "pcc_lowest": 0.95}
    table = accuracy_table({"au": {"clips": figures, "stills": figures}, "identity": {"eer": 0.031}})
    assert "| synth_au | AU-MAE, sentences | 0.2 (always 0: 0.1) | ≤ 0.05 | **missed** |" in table
    assert "| synth_identity | equal error rate of verification | 3.1 % | ≤ 5.0 % | reached |" in table
    assert "synth_face" not in table


def test_settings_are_checked():
    assert configure("synth_experts", SynthExperts, {"only": "sync,au", "minutes": "0.5"}) == ExpertSettings(
        only=("sync", "au"), minutes=0.5
    )
    with pytest.raises(UserError, match="no setting hours; it has: only, minutes, measure, workers"):
        configure("synth_experts", SynthExperts, {"hours": "1"})
    with pytest.raises(UserError, match="minutes: Input should be greater than 0"):
        configure("synth_experts", SynthExperts, {"minutes": "-1"})


@pytest.mark.slow  # Renders 5,000 frames and starts eight trainings.
def test_the_command_trains_and_measures_every_expert(tmp_path, weights, monkeypatch):
    """Oracle: the world's truth through the same `measure`; a second is no training, so figures only have to exist."""
    monkeypatch.setattr("protocols.synth.arrays.TRAINING", Amount(stills=540, clips=80, first_person=700_000))
    monkeypatch.setattr("protocols.synth.arrays.TESTING", Amount(stills=90, clips=4, first_person=800_000))
    settings = ExpertSettings(minutes=0.01, workers=1)
    trained = SynthExperts().run(settings, weights=weights, progress=Quiet(), data=None, out=tmp_path / "w", seed=0)
    assert [path.name for path in trained.files] == [f"synth_{name}.safetensors" for name in TRAINERS]
    assert all(path.is_file() for path in trained.files)
    assert all(math.isfinite(goal.value(trained.measured)) for goal in GOALS)
    assert trained.table == accuracy_table(trained.measured)
