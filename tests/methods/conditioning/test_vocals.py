"""Vocal separation: the program is called with a list of arguments and what it writes is read back.

Oracle: a stand-in for audio-separator that halves the amplitude, and leaves its arguments beside the model.
"""

import json
import sys

import numpy as np
import pytest

from bench.media.errors import MissingPrerequisite
from methods.conditioning import vocals
from methods.generator import GenerationError

STAND_IN = """#!{python}
import json, sys
from pathlib import Path
from scipy.io import wavfile

arguments = sys.argv[2:]
options = dict(zip(arguments[::2], arguments[1::2]))
model = Path(options["--model_file_dir"]) / options["--model_filename"]
if model.read_text() == "bad":
    print("no such graph")
    sys.exit(3)
out = Path(options["--output_dir"])
out.mkdir()
rate, samples = wavfile.read(sys.argv[1])
wavfile.write(out / "speech_(Vocals).wav", rate, samples[:-100] // 2)
model.with_name("options.json").write_text(json.dumps(options))
"""


@pytest.fixture
def model(tmp_path, monkeypatch):
    program = tmp_path / "audio separator"
    program.write_text(STAND_IN.format(python=sys.executable))
    program.chmod(0o755)
    monkeypatch.setenv(vocals.PROGRAM, str(program))
    path = tmp_path / "Kim_Vocal_2.onnx"
    path.write_text("good")
    return path


def test_what_the_program_writes_comes_back(model):
    audio = np.random.default_rng(0).uniform(-1, 1, 16000).astype(np.float32)
    separated = vocals.separate_vocals(audio, model)
    assert separated.shape == audio.shape and separated.dtype == np.float32
    np.testing.assert_allclose(separated[:-100], audio[:-100] / 2, atol=1e-4)
    assert (separated[-100:] == 0).all()
    options = json.loads(model.with_name("options.json").read_text())
    assert options["--model_filename"] == "Kim_Vocal_2.onnx" and options["--single_stem"] == "Vocals"
    assert options["--output_format"] == "WAV"


def test_a_failure_shows_the_programs_words(model):
    model.write_text("bad")
    with pytest.raises(GenerationError, match="(?s)status 3.*no such graph"):
        vocals.separate_vocals(np.zeros(1600, np.float32), model)


def test_without_the_program_the_message_says_how(model, monkeypatch):
    monkeypatch.delenv(vocals.PROGRAM)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(MissingPrerequisite, match=r"pip install 'audio-separator\[cpu\]'"):
        vocals.separate_vocals(np.zeros(1600, np.float32), model)
