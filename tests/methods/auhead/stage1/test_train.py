"""Training of the first stage: what moves, what is written, that it goes on where it stopped, and that it learns."""

import json

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from bench.media.errors import UserError
from methods.auhead.stage1 import tiny
from methods.auhead.stage1.config import Stage1Config
from methods.auhead.stage1.hearing import RECIPE, Hearing, load_hearing, pretrain_hearing, sounding_batch
from methods.auhead.stage1.orders import ORDERS
from methods.auhead.stage1.predictor import Question, Speech, Stage1
from methods.auhead.stage1.qwen2_audio import IGNORED, Qwen2Audio
from methods.auhead.stage1.recordings import Example, Sounding
from methods.auhead.stage1.scores import acc_emo, au_scores, baseline_scores
from methods.auhead.stage1.train import SYNTH_RECIPE, Stage1Recipe, lesson, train_stage1
from methods.auhead.stage1.weights import Description, build_small, load_trained, save_trained, with_lora

SMALL = SYNTH_RECIPE | {"batch": 2, "log_every": 1, "validate_on": 2}


def tone(seconds: float, pitch: float, aus: dict[int, float], emotion: str) -> Example:
    """A recording whose AUs never change."""
    audio = 0.2 * np.sin(2 * np.pi * pitch * np.arange(round(16_000 * seconds)) / 16_000).astype(np.float32)
    values = np.zeros((round(25 * seconds), 24), np.float32)
    values[:, list(aus)] = list(aus.values())
    return Example(audio, values, 25.0, emotion)


TWO = [tone(0.4, 200, {2: 0.5, 8: 0.31}, "happy"), tone(0.4, 1200, {20: 0.9}, "sad")]
ONE = [tone(0.2, 200, {2: 0.5}, "happy")]


def train(folder, steps, examples=ONE, **changes):
    recipe = Stage1Recipe(**SMALL | {"steps": steps} | changes)
    path = folder / "w.safetensors"
    return train_stage1(recipe, examples, examples, path, emotions=tiny.EMOTIONS, seed=0, log=lambda line: None)


def test_two_recordings_are_learnt_by_heart(tmp_path):
    """Oracle: their own AUs and emotions, read back from the file that was written; overfitting must be possible."""
    measured = train(tmp_path, 80, TWO, excerpts=0.0, learning_rate=1e-3, average=None)
    assert measured["answers"]["f1"] == 1 and measured["answers"]["mae_all"] < 0.01
    assert measured["answers"]["acc_emo"] == 100 and measured["answers"]["readable"] == 1
    stage1 = load_trained(Stage1Config(model="synth"), tmp_path / "w.safetensors", "cpu")
    answers = [stage1.predict_aus(one.audio, 10, 25) for one in TWO]
    assert [answer.emotion for answer in answers] == ["happy", "sad"]
    np.testing.assert_allclose(answers[0].aus[0, [2, 8]], [0.5, 0.31], atol=0.01)


def test_a_training_that_was_interrupted_ends_with_the_same_bits(tmp_path):
    """Oracle: the uninterrupted training."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    train(tmp_path / "whole", 4, schedule="constant", warmup=0.0)
    train(tmp_path / "parts", 2, schedule="constant", warmup=0.0)
    train(tmp_path / "parts", 4, schedule="constant", warmup=0.0)
    torch.set_num_threads(threads)
    one, other = (load_file(tmp_path / name / "w.safetensors") for name in ("whole", "parts"))
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_the_file_says_what_it_is_of(tmp_path):
    """Oracle: the settings; bfloat16 and below 7 MB, as the repository ships it."""
    train(tmp_path, 1, order="a-au")
    with safe_open(tmp_path / "w.safetensors", framework="pt") as file:
        told = json.loads(file.metadata()["auhead_stage1"])
        assert {file.get_tensor(name).dtype for name in file.keys()} == {torch.bfloat16}  # noqa: SIM118
    assert told["order"] == "a-au" and told["checkpoint"] is None and told["training"]["steps_done"] == 1
    assert (tmp_path / "w.safetensors").stat().st_size < 7e6
    with pytest.raises(UserError, match="order a-au"):
        load_trained(Stage1Config(model="synth"), tmp_path / "w.safetensors", "cpu")


def test_files_of_something_else_are_refused(tmp_path):
    """Oracle: a file without our metadata, and one that is no safetensors."""
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    (tmp_path / "text.safetensors").write_text("no")
    for name in ("other", "text"):
        with pytest.raises(UserError, match=f"{name}.safetensors.*first stage"):
            load_trained(Stage1Config(model="synth"), tmp_path / f"{name}.safetensors", "cpu")


def test_lora_weights_come_back_into_the_published_model(tmp_path, small, noise):
    """Oracle: the logits before saving. The published model is a folder with the small one; its rank, the file's."""
    small.model.config.save_pretrained(tmp_path / "base")
    small.model.save_pretrained(tmp_path / "base")
    small.processor.save_pretrained(tmp_path / "base")
    model = Qwen2Audio(with_lora(small.model, rank=4, alpha=8), small.processor)
    with torch.no_grad():
        for name, value in model.model.named_parameters():
            if "lora_" in name:
                value.copy_(torch.randn_like(value).bfloat16() * 0.1)
    lora = {"rank": 4, "alpha": 8}
    description = Description("a-e-au", tiny.EMOTIONS, "Listen.", str(tmp_path / "base"), lora, {})
    save_trained(tmp_path / "lora.safetensors", model, description)
    assert (tmp_path / "lora.safetensors").stat().st_size < 1e6
    loaded = load_trained(
        Stage1Config(adapter=tmp_path / "lora.safetensors", dtype="float32"), tmp_path / "lora.safetensors", "cpu"
    )
    assert loaded.instructions == "Listen."
    batch = model.training_batch([loaded._question(Speech(noise(1.0), 25, 25.0), 0, 5)], ["happy, []"])
    with torch.no_grad():
        torch.testing.assert_close(loaded.model.model(**batch).logits, model.model.eval()(**batch).logits)


def test_training_with_lora_keeps_the_language_model_as_it_was(tmp_path, small):
    """Oracle: the file holds LoRA weights alone, and they have moved from 0."""
    small.model.save_pretrained(tmp_path / "base")
    small.processor.save_pretrained(tmp_path / "base")
    changes = {"model": "full", "checkpoint": str(tmp_path / "base"), "gradient_checkpointing": True, "accumulate": 2}
    train(tmp_path, 2, warmup=0.0, average=None, **changes)
    weights = load_file(tmp_path / "w.safetensors")
    assert all("lora_" in name for name in weights)
    assert any(value.abs().max() > 0 for name, value in weights.items() if "lora_B" in name)


def test_a_language_model_that_is_not_here_is_named(tmp_path):
    """Oracle: the command that gets it; nothing is downloaded."""
    description = Description("a-e-au", tiny.EMOTIONS, "", "nobody/nothing", {"rank": 4, "alpha": 8}, {})
    torch.manual_seed(0)
    save_file({"a": torch.zeros(1)}, tmp_path / "l.safetensors", {"auhead_stage1": json.dumps(description.__dict__)})
    with pytest.raises(UserError, match="hf download nobody/nothing"):
        load_trained(Stage1Config(adapter=tmp_path / "l.safetensors"), tmp_path / "l.safetensors", "cpu")


def test_an_excerpt_s_audio_and_aus_are_of_the_same_time():
    """Oracle: a recording whose loudness is its AU8."""
    level = np.linspace(0.02, 0.98, 75).astype(np.float32)
    aus = np.zeros((75, 24), np.float32)
    aus[:, 8] = level
    example = Example(np.repeat(level, 640), aus, 25.0, "happy")
    stage1 = Stage1(_Deaf(), ORDERS["a-au"], "", window=2.0, tokens_per_vector=50)
    rng = np.random.default_rng(0)
    starts = set()
    for seconds, length in ((1.0, 16_000), (2.0, 32_000), (4.0, 48_000)) * 10:
        question, answer = lesson(example, stage1, seconds, 0.0, rng)
        values = [float(part.split(", ")[1].rstrip("]")) for part in answer.split("], [[")]
        np.testing.assert_allclose(values, question.audio[::3200], atol=0.006)
        assert len(question.audio) == length
        starts.add(question.audio[0])
    assert len(starts) > 10


class _Deaf:
    seconds = 30.0
    num_parameters = 0


def test_scores_of_a_case_worked_out_by_hand():
    """Oracle: A = {0, 1}, B = {1, 2, 3}: 1 in both, 4 in either; the second vector is right."""
    prediction, truth = np.zeros((2, 24)), np.zeros((2, 24))
    prediction[0, [0, 1]], truth[0, [1, 2, 3]] = [0.5, 0.5], [0.5, 0.2, 0.1]
    prediction[1, 5] = truth[1, 5] = 1.0
    found = au_scores(prediction, truth)
    assert found == pytest.approx({
        "recall": (1 / 3 + 1) / 2, "precision": (1 / 2 + 1) / 2, "accuracy": (1 / 4 + 1) / 2, "f1": (2 / 5 + 1) / 2,
        "mae": 0.8 / 5, "mae_all": 0.8 / 48,
    })  # fmt: skip


def test_scores_are_those_of_the_protocol():
    """Oracle: `metrics.functional.au` with the averages of Table 1, on random vectors."""
    from metrics.functional import au

    rng = np.random.default_rng(0)
    prediction, truth = (np.round(rng.random((50, 24)) * (rng.random((50, 24)) < 0.3), 2) for _ in range(2))
    found = au_scores(prediction, truth)
    a, b = prediction > 0, truth > 0
    for name, function in {"recall": au.recall, "precision": au.precision, "f1": au.f1, "accuracy": au.jaccard}.items():
        assert found[name] == pytest.approx(function(a, b, average="samples").value)
    assert found["mae"] == pytest.approx(au.mae(prediction, truth, "union"))
    assert found["mae_all"] == pytest.approx(au.mae(prediction, truth, "all"))


def test_answers_without_a_model_have_their_scores():
    """Oracle: zeros miss everything; the mean of constant AUs is right."""
    truth = np.tile(np.linspace(0, 0.9, 24), (3, 1))
    scores = baseline_scores(truth)
    assert scores["zero"]["recall"] == 0 and scores["zero"]["mae_all"] == pytest.approx(np.round(truth, 2).mean())
    assert scores["mean"]["f1"] == 1 and scores["mean"]["mae"] == pytest.approx(0)
    assert acc_emo(["sad", None, "fear"], ["sad", "sad", "happy"]) == pytest.approx(100 / 3)


def test_the_encoder_learns_to_hear(tmp_path):
    """Oracle: two recordings, each of one sound after another: after training, the phonemes at every moment."""
    low, high = (0.2 * np.sin(2 * np.pi * pitch * np.arange(6400) / 16_000).astype(np.float32) for pitch in (200, 1200))
    both = [
        Sounding(np.concatenate([low, high]), np.array([1, 2]), np.array([0.0, 0.4]), 0),
        Sounding(np.concatenate([high, low]), np.array([2, 1]), np.array([0.0, 0.4]), 1),
    ]
    recipe = Stage1Recipe(**SMALL | RECIPE | {"steps": 60, "batch": 4, "average": None})
    lines = []
    path = tmp_path / "hearing.safetensors"
    pretrain_hearing(both, recipe, path, phonemes=3, emotions=2, seed=0, log=lines.append)
    assert float(lines[-1].split("loss ")[1].split(",")[0]) < 0.3
    small = build_small()
    load_hearing(small, path)
    weights = load_file(path)
    assert all(torch.equal(value, weights[name]) for name, value in small.model.model.audio_tower.state_dict().items())


def test_sounds_are_labelled_where_they_are_heard(small):
    """Oracle: 0.4 s of one phoneme, then 0.3 s of another, in moments of 0.05 s; behind the end nothing is asked."""
    one = Sounding(np.zeros(11_200, np.float32), np.array([4, 9]), np.array([0.0, 0.4]), 3)
    batch = sounding_batch(small, [one])
    assert batch["phonemes"][0].tolist() == [4] * 8 + [9] * 6 + [IGNORED] * 66
    assert batch["emotion"].tolist() == [3]


def test_the_encoder_is_heard_as_the_language_model_hears_it(small, noise):
    """Oracle: what Qwen2-Audio's own forward puts in the place of the audio tokens, before its projector."""
    seen = []
    model = small.model.model
    hook = model.multi_modal_projector.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        model(**{n: v for n, v in small.training_batch([Question(noise(1.0), "?")], ["[]"]).items() if n != "labels"})
        batch = sounding_batch(small, [Sounding(noise(1.0), np.array([1]), np.array([0.0]), 0)])
        heard, there = Hearing(model.audio_tower, 3, 2).states(batch["input_features"], batch["feature_attention_mask"])
    hook.remove()
    assert there.sum() == 10
    torch.testing.assert_close(heard[:, :10], seen[0][:, :10])
