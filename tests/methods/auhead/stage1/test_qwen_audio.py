"""The paper's language model in another process: the protocol, with a stand-in that speaks it, and what goes wrong."""

import json
import subprocess
import sys
import wave

import numpy as np
import pytest
from pydantic import ValidationError

from bench.media.errors import UserError
from methods.auhead.stage1.config import Stage1Config
from methods.auhead.stage1.load import load_stage1
from methods.auhead.stage1.predictor import Question
from methods.auhead.stage1.qwen_audio import WORKER, QwenAudioChat, write_wav
from methods.generator import GenerationError

STAND_IN = """
import json, sys, wave
print(json.dumps({"ready": True, "parameters": 12}), flush=True)
for line in sys.stdin:
    asked = json.loads(line)
    with wave.open(asked["audio"]) as file:
        frames, rate = file.getnframes(), file.getframerate()
    if "fail" in asked["text"]:
        reply = {"error": "RuntimeError: out of memory"}
    elif "die" in asked["text"]:
        sys.exit("killed by the system")
    else:
        vectors = ", ".join(["[(8, .25)]"] * (frames * 5 // rate))
        reply = {"answer": f"happy, {vectors}", "seen": asked}
    print(json.dumps(reply), flush=True)
"""


@pytest.fixture
def stand_in(tmp_path):
    (tmp_path / "stand_in.py").write_text(STAND_IN)
    chat = QwenAudioChat([sys.executable, str(tmp_path / "stand_in.py")])
    yield chat
    chat.close()


def test_questions_go_there_and_answers_come_back(stand_in, noise):
    """Oracle: the stand-in answers with as many vectors as the sound file it was given lasts."""
    answers = stand_in.answers([Question(noise(1.0), "What?"), Question(noise(0.4), "What?")], 100)
    assert answers == ["happy, " + ", ".join(["[(8, .25)]"] * count) for count in (5, 2)]
    assert stand_in.num_parameters == 12


def test_an_error_fails_the_case_and_the_process_goes_on(stand_in, noise):
    """Oracle: the stand-in's message."""
    with pytest.raises(GenerationError, match="out of memory"):
        stand_in.answers([Question(noise(0.2), "fail")], 10)
    assert stand_in.answers([Question(noise(0.2), "What?")], 10) == ["happy, [(8, .25)]"]


def test_a_process_that_dies_says_its_last_words(stand_in, noise):
    """Oracle: what the stand-in writes on standard error."""
    for _ in range(2):
        with pytest.raises(GenerationError, match="killed by the system"):
            stand_in.answers([Question(noise(0.2), "die")], 10)


def test_no_such_interpreter_is_an_error_a_person_can_act_on():
    """Oracle: the path that is not there."""
    with pytest.raises(UserError, match="/no/such/python.*cannot be started.*python="):
        QwenAudioChat(["/no/such/python", str(WORKER)])


def test_an_environment_that_lacks_packages_says_which(tmp_path):
    """Oracle: the real worker, in a bare interpreter (isolated, without site packages) that has no torch."""
    command = [sys.executable, "-I", "-S", str(WORKER), "--checkpoint", "none", "--adapter", str(tmp_path)]
    with pytest.raises(UserError, match="No module named 'torch'.*transformers==4.51.3"):
        QwenAudioChat(command)


def test_an_environment_that_prints_does_not_break_the_protocol(tmp_path):
    """Oracle: a torch of ours that prints on standard output before it fails; the reply is still one line of JSON."""
    (tmp_path / "torch.py").write_text("print('noise')\nraise RuntimeError('no driver')\n")
    done = subprocess.run(
        [sys.executable, str(WORKER), "--checkpoint", "none", "--adapter", "none"],
        capture_output=True, text=True, env={"PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    assert json.loads(done.stdout) == {"error": "RuntimeError: no driver"}
    assert "noise" in done.stderr and done.returncode == 1


def test_the_whole_first_stage_runs_through_it(tmp_path, noise):
    """Oracle: .25 on AU8 in every frame; the interpreter is a script that ignores its arguments and plays the stand-in."""
    (tmp_path / "stand_in.py").write_text(STAND_IN)
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\nexec {sys.executable} {tmp_path / 'stand_in.py'}\n")
    python.chmod(0o755)
    (tmp_path / "adapter_model.safetensors").touch()
    config = Stage1Config(
        language_model="qwen-audio-chat", python=str(python), adapter=tmp_path / "adapter_model.safetensors"
    )
    stage1 = load_stage1(config, {})
    answer = stage1.predict_aus(noise(1.0), 25, 25)
    assert answer.emotion == "happy" and answer.problems == ()
    np.testing.assert_allclose(answer.aus[:, 8], 0.25)
    stage1.model.close()


def test_settings_that_cannot_be_are_refused(tmp_path):
    """Oracle: the messages name the setting."""
    with pytest.raises(ValidationError, match="constrained"):
        Stage1Config(language_model="qwen-audio-chat", constrained=True)
    with pytest.raises(
        UserError, match="bench train auhead_stage1.*adapter=FILE, or stage1_adapter=FILE for auhead_memo"
    ):
        load_stage1(Stage1Config(), {})
    with pytest.raises(UserError, match="makes them for qwen2-audio; for qwen-audio-chat .*adapter_model.safetensors"):
        load_stage1(Stage1Config(language_model="qwen-audio-chat"), {})
    with pytest.raises(UserError, match="python=DIR"):
        load_stage1(Stage1Config(language_model="qwen-audio-chat", adapter=tmp_path / "a"), {})


def test_sound_survives_the_file(tmp_path, noise):
    """Oracle: 16-bit rounding."""
    audio = noise(0.5)
    write_wav(tmp_path / "a.wav", audio)
    with wave.open(str(tmp_path / "a.wav")) as file:
        assert (file.getframerate(), file.getnchannels()) == (16_000, 1)
        back = np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32767
    np.testing.assert_allclose(back, audio.clip(-1, 1), atol=1 / 32767)
