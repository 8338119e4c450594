"""A method that answers with AUs: stored, scored against the case's own AUs, resumed. Oracle: answers made from the truth."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from pydantic import Field

from bench import registry
from bench.answers import answer_features, write_answer
from bench.media import au
from bench.media.errors import UserError
from bench.plan import make_plan
from bench.run import run
from methods.generator import AUAnswer, GenerationError, Generator, GeneratorConfig, Request
from protocols.synth.protocols import SynthStage1
from protocols.synth.world import make_clip
from tests.bench.conftest import Quiet

PROTOCOL = SynthStage1()


class Oracle(Generator):
    """Answers with the truth of the clip it is told by its case, with a constant added to active AUs."""

    class Config(GeneratorConfig):
        error: float = Field(default=0.0)
        emotion: str = Field(default="right")
        au_source: str = Field(default="stage1")

    title = "the truth"
    makes = "aus"
    needs = frozenset({"audio"})

    def generate(self, request):
        spec = next(c for c in PROTOCOL.cases(Path("/nowhere")) if c.id == request.case)
        clip = make_clip(PROTOCOL._spec(spec.target), (32, 32))
        truth = np.round(clip.aus.resample(request.fps, request.num_frames).values, 2)
        noisy = np.where(truth > 0, np.clip(truth + self.config.error, 0.01, 1), 0)
        emotion = {"right": spec.emotion, "silent": None}.get(self.config.emotion, self.config.emotion)
        return AUAnswer(emotion, noisy.astype(np.float32), "...")


@pytest.fixture
def oracle(monkeypatch):
    monkeypatch.setitem(registry.METHODS, "oracle", f"{__name__}:Oracle")


def scores(tmp_path, weights, **settings) -> dict:
    plan = make_plan(
        method="oracle", protocol="synth_stage1", data=tmp_path / "data", weights=weights, limit=4,
        settings={key: str(value) for key, value in settings.items()},
    )  # fmt: skip
    outcome = run(plan, tmp_path / plan.fingerprint, weights=weights, progress=Quiet(), devices=["cpu"])
    assert outcome.summary["n_failed"] == 0
    return outcome.summary["metrics"]


def test_the_truth_scores_full_marks_and_an_error_of_ten_percent_is_read_off(oracle, tmp_path, weights):
    perfect = scores(tmp_path, weights)
    for name in ("au_f1@answer", "au_precision@answer", "au_recall@answer", "au_accuracy@answer", "au_pcc@answer"):
        assert perfect[name]["value"] == pytest.approx(1, abs=1e-6)
    assert perfect["au_mae@answer"]["value"] == pytest.approx(0, abs=1e-6)
    assert perfect["acc_emo@answer"]["value"] == 100
    off = scores(tmp_path, weights, error=-0.1, emotion="surprise")
    assert 0.05 < off["au_mae@answer"]["value"] < 0.1  # Weak AUs cannot lose a tenth.
    assert off["au_f1@answer"]["value"] == pytest.approx(1, abs=1e-6)
    assert off["acc_emo@answer"]["value"] < 100


def test_a_method_that_says_no_emotion_has_no_accuracy_of_emotions(oracle, tmp_path, weights):
    block = scores(tmp_path, weights, emotion="silent")["acc_emo@answer"]
    assert block["value"] is None and block["n_failed"] == 4


def test_a_second_run_makes_nothing_and_ends_with_the_same_summary(oracle, tmp_path, weights):
    arguments = dict(method="oracle", protocol="synth_stage1", data=tmp_path / "data", weights=weights, limit=3)
    for _ in range(2):
        plan = make_plan(**arguments)
        run(plan, tmp_path / "run", weights=weights, progress=Quiet(), devices=["cpu"])
        answers = sorted((tmp_path / "run" / "aus").rglob("*.json"))
        seen = [(path, path.stat().st_mtime_ns) for path in answers]
    summary = (tmp_path / "run" / "summary.json").read_bytes()
    run(make_plan(**arguments), tmp_path / "run", weights=weights, progress=Quiet(), devices=["cpu"])
    assert len(answers) == 3 and [(path, path.stat().st_mtime_ns) for path in answers] == seen
    assert (tmp_path / "run" / "summary.json").read_bytes() == summary
    assert not (tmp_path / "run" / "videos").exists() and not (tmp_path / "run" / "viewer").exists()


def request(num_frames: int) -> Request:
    image = np.zeros((8, 8, 3), np.uint8)
    return Request("case", image, None, num_frames, 5.0, 8, 8, 0)


def test_an_answer_is_an_au_file_with_the_words_beside_it(tmp_path):
    values = np.random.default_rng(0).random((7, 24), np.float32)
    path = tmp_path / "a" / "b.json"
    write_answer(path, AUAnswer("happy", values, "happy, [...", ("cut off",)), request(7))
    track = au.read(path)
    assert (track.rate, track.vocabulary) == (5.0, "feafa24") and np.array_equal(track.values, values)
    assert bytes(answer_features(path)["emotion"]) == b"happy"
    assert json.loads(path.read_text())["problems"] == ["cut off"]


@pytest.mark.parametrize(
    "values", [np.zeros((6, 24)), np.zeros((7, 23)), np.full((7, 24), 1.5), np.full((7, 24), np.nan)]
)
def test_an_answer_of_another_shape_or_range_fails_the_case(tmp_path, values):
    with pytest.raises(GenerationError, match="the method answered"):
        write_answer(tmp_path / "a.json", AUAnswer(None, values.astype(np.float32)), request(7))


def test_finished_videos_cannot_be_scored_as_answers(tmp_path, weights):
    with pytest.raises(UserError, match="synth_stage1 asks for an emotion and an AU track, not for videos"):
        make_plan(method="label", protocol="synth_stage1", data=None, weights=weights, videos=tmp_path)
