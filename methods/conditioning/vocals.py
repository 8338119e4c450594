"""Speech without music and noise: Kim_Vocal_2 through the program audio-separator, as Hallo and MEMO do.

audio-separator has its own pins and lives in an environment of its own; here it is a program that reads and writes WAV
files. At its first use it fetches its tables of models (three small JSON files) into the folder of the model file.

Difference: the originals separate the file at its own rate; here the 16 kHz signal of the clip is separated.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from bench.media.clip import SAMPLE_RATE, read_audio
from bench.media.errors import MissingPrerequisite
from methods.generator import GenerationError

PROGRAM = "AU_BENCH_AUDIO_SEPARATOR"
"""Environment variable that names the program where it is not on PATH."""
LOG_LINES = 15
INSTALL = (
    "python -m venv ~/audio-separator && ~/audio-separator/bin/pip install 'audio-separator[cpu]' && "
    f"export {PROGRAM}=~/audio-separator/bin/audio-separator (it also needs ffmpeg)"
)


def find_separator() -> Path:
    """The program audio-separator.

    Raises:
        MissingPrerequisite: it is not there; the message says how to get it.
    """
    found = os.environ.get(PROGRAM) or shutil.which("audio-separator")
    if not found or not Path(found).is_file():
        raise MissingPrerequisite(f"vocal separation needs the program audio-separator: {INSTALL}")
    return Path(found)


def separate_vocals(audio: np.ndarray, model: Path) -> np.ndarray:
    """The vocals of a recording.

    Args:
        audio: float32 (S,) mono 16 kHz in [-1, 1].
        model: Kim_Vocal_2.onnx, under that name.

    Returns:
        float32 (S,) mono 16 kHz in [-1, 1], as long as `audio`.

    Raises:
        MissingPrerequisite: the program is not there.
        GenerationError: it failed; the message ends with its last lines.
    """
    from scipy.io import wavfile

    with tempfile.TemporaryDirectory(prefix="au-bench-") as folder:
        speech, out = Path(folder) / "speech.wav", Path(folder) / "out"
        wavfile.write(speech, SAMPLE_RATE, np.round(audio * 32767).clip(-32768, 32767).astype(np.int16))
        command = [str(find_separator()), str(speech), "--model_filename", model.name]
        command += ["--model_file_dir", str(model.parent), "--output_dir", str(out)]
        command += ["--output_format", "WAV", "--single_stem", "Vocals"]
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
        )
        written = list(out.glob("*.wav")) if out.is_dir() else []
        if done.returncode or len(written) != 1:
            log = "\n".join(f"    {line}" for line in done.stdout.decode(errors="replace").splitlines()[-LOG_LINES:])
            raise GenerationError(
                f"audio-separator ended with status {done.returncode} and {len(written)} files:\n{log}"
            )
        vocals = read_audio(written[0])
    return np.pad(vocals[: len(audio)], (0, max(0, len(audio) - len(vocals))))
