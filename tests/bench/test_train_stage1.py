"""`bench train auhead_stage1` on a few utterances and on a prepared data set, and the method on what it wrote."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from bench import registry, synth_encoders
from bench.cli.app import app
from bench.media.errors import UserError
from bench.progress import make_progress
from bench.train_stage1 import Stage1Training, scores_table
from bench.training import configure
from bench.weights import Weights
from methods.auhead.stage1 import hearing, weights
from protocols.synth import utterances

QUICK = {"steps": "1", "batch": "1", "validate_on": "1"}


@pytest.fixture
def few(monkeypatch):
    """Two utterances to learn from, one to test on, and no time to learn to hear."""
    monkeypatch.setattr(utterances, "TRAINING", utterances.Utterances(2, 2, "train"))
    monkeypatch.setattr(utterances, "TESTING", utterances.Utterances(1, 1, "test"))
    monkeypatch.setattr(hearing, "RECIPE", hearing.RECIPE | {"steps": 1, "batch": 1})
    monkeypatch.setattr(synth_encoders, "_performed", _performed)
    # Random weights never end an answer: let it be cut early.
    monkeypatch.setitem(weights.TOKENS_PER_VECTOR, "synth", 2)


def _performed(folder, which, progress, workers):
    """In this process: starting others takes longer than two utterances."""
    if not (folder / "version.txt").exists():
        made = [utterances.perform_utterance(which, n) for n in range(which.count)]
        folder.mkdir(parents=True)
        for name in ("audio", "aus", "phonemes", "times"):
            np.save(folder / f"{name}.npy", np.concatenate([one[name] for one in made]))
        for name in ("emotion", "level", "person"):
            np.save(folder / f"{name}.npy", np.array([one[name] for one in made], np.int32))
        lengths = [[len(one[name]) for name in ("audio", "aus", "phonemes")] for one in made]
        np.save(folder / "starts.npy", np.cumsum([[0, 0, 0], *lengths], axis=0, dtype=np.int64))
        (folder / "version.txt").write_text("made here")
    return folder


def test_a_small_model_is_trained_and_the_method_runs_on_it(few, tmp_path, monkeypatch):
    """Oracle: the command's JSON names a file that the method takes; random weights read badly, but nothing breaks."""
    monkeypatch.setenv("AU_BENCH_CACHE", str(tmp_path / "cache"))
    out = tmp_path / "w.safetensors"
    options = [f"--set={key}={value}" for key, value in QUICK.items()]
    done = CliRunner().invoke(
        app,
        [
            "train",
            "auhead_stage1",
            "--protocol",
            "synth_stage1",
            "--out",
            str(out),
            "--json",
            "--set=order=a-au",
            *options,
        ],
    )
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["files"] == [str(out)] and set(told["measured"]) == {"answers", "zero", "mean"}
    assert (tmp_path / "cache" / "synth" / "stage1_hearing_0.safetensors").is_file()

    method = registry.method("auhead_stage1")
    config = method.Config(model="synth", order="a-au", constrained=True)
    assert method.required_weights(config) == ("synth_stage1_a_au",)
    assert method.required_weights(method.Config(adapter=out)) == ()
    with pytest.raises(UserError, match="nobody has published weights"):
        method.required_weights(method.Config())
    generator = method(config, files={"synth_stage1_a_au": out})
    audio = np.random.default_rng(0).normal(0, 0.1, 16_000).astype(np.float32)
    generator.stage1.tokens_per_vector = 50
    answer = generator.stage1.predict_aus(audio, 2, 5)
    assert answer.aus.shape == (2, 24) and answer.problems == ()
    assert 1e6 < generator.num_parameters < 3.5e6


def test_every_order_s_weights_are_in_the_lock():
    """Oracle: the lock; the names are those the method asks for."""
    from methods.auhead.stage1.orders import ORDERS

    method = registry.method("auhead_stage1")
    for order in ORDERS:
        (name,) = method.required_weights(method.Config(model="synth", order=order))
        assert Weights().files[name].shipped == f"methods/synth/weights/{name}.safetensors"


def test_defaults_follow_the_protocol():
    """Oracle: section 4.1 for real data; the small model for the synthetic world."""
    paper = configure("auhead_stage1", Stage1Training, {"protocol": "mead_stage1"})
    assert (paper.model, paper.learning_rate, paper.threshold) == ("full", 1e-4, 0.0)
    small = configure("auhead_stage1", Stage1Training, {"protocol": "synth_stage1"})
    assert small.model == "synth" and small.precision == "no"


def test_what_is_lacking_is_asked_for(tmp_path):
    """Oracle: the messages name the option."""
    for settings, message in (({}, "--protocol"), ({"protocol": "mead_stage1"}, "--out FILE")):
        chosen = configure("auhead_stage1", Stage1Training, settings)
        with pytest.raises(UserError, match=message):
            Stage1Training().run(
                chosen, weights=Weights(tmp_path), progress=make_progress(), data=None, out=None, seed=0
            )


def test_the_table_has_a_row_for_each_answer():
    """Oracle: by hand; a missing score is an empty cell."""
    scores = dict.fromkeys(("recall", "precision", "accuracy", "f1", "mae", "mae_all"), 0.5)
    lines = scores_table({"answers": scores | {"readable": 1.0, "acc_emo": 67.0}, "zero": scores}).splitlines()
    assert lines[2].split("|")[1:3] == [" answers ", " 0.500 "] and "67.000" in lines[2]
    assert lines[3].count("|") == lines[2].count("|") and "67" not in lines[3]
