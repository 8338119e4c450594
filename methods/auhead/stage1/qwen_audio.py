"""Qwen-Audio-Chat, the paper's language model, behind the interface of `methods.auhead.stage1.predictor.LanguageModel`.

Its code lives with its weights and runs up to transformers 4.51 only, so it runs in a Python environment of its own
(transformers==4.51.3, peft, torch, tiktoken, einops, matplotlib, transformers_stream_generator, and ffmpeg on the PATH) as a
subprocess that `qwen_audio_worker.py` describes. Its weights are under the Tongyi Qianwen licence.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import tempfile
import wave
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.media.clip import SAMPLE_RATE
from bench.media.errors import UserError
from methods.auhead.stage1.config import CHECKPOINTS, Stage1Config
from methods.auhead.stage1.orders import ORDERS
from methods.auhead.stage1.predictor import Question, Stage1
from methods.auhead.stage1.prompt import read_prompt
from methods.generator import GenerationError

WORKER = Path(__file__).with_name("qwen_audio_worker.py")
PACKAGES = "transformers==4.51.3 peft torch torchaudio tiktoken einops matplotlib transformers_stream_generator"
TOKENS_PER_VECTOR = 240
_SHOWN = 600
"""Characters of the worker's log that an error quotes."""


def load_qwen_audio(config: Stage1Config, device: str) -> Stage1:
    """The first stage with the paper's language model.

    Raises:
        UserError: no environment is named, it does not start, or it lacks something.
    """
    if config.python is None:
        raise UserError(
            f"qwen-audio-chat needs an environment of its own: make one, `pip install {PACKAGES}`, and name its "
            "interpreter: --set python=DIR/bin/python"
        )
    command = [
        config.python, str(WORKER), "--checkpoint", config.checkpoint or CHECKPOINTS["qwen-audio-chat"],
        "--adapter", str(config.adapter.parent), "--device", device, "--dtype", config.dtype,
    ]  # fmt: skip
    return Stage1(
        QwenAudioChat(command),
        ORDERS[config.order],
        read_prompt(config.prompt),
        window=config.window,
        tokens_per_vector=TOKENS_PER_VECTOR,
        batch=config.batch,
    )


class QwenAudioChat:
    """The worker process. It starts at once, and ends with `close` or with this process.

    Args:
        command: argument list that speaks the worker's protocol.

    Raises:
        UserError: it cannot be started, or reports what it lacks.
    """

    seconds = 30.0

    def __init__(self, command: Sequence[str]):
        self.command = list(command)
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        try:
            self._process = subprocess.Popen(
                self.command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                text=True,
                encoding="utf-8",
            )
        except OSError as error:
            raise UserError(
                f"{self.command[0]}: cannot be started ({error.strerror}); name an interpreter with python="
            ) from error
        greeting = self._read()
        if "error" in greeting:
            self.close()
            raise UserError(
                f"Qwen-Audio-Chat does not load in the environment of {self.command[0]}: {greeting['error']}. It needs "
                f"{PACKAGES}, and its weights (`hf download {CHECKPOINTS['qwen-audio-chat']}`, 17 GB)"
            )
        self.num_parameters: int = greeting["parameters"]

    def answers(self, questions: Sequence[Question], max_new_tokens: int, constraint: None = None) -> list[str]:
        """One text per question, one after the other.

        Raises:
            GenerationError: the worker reports an error, or has died.
        """
        return [self._answer(question, max_new_tokens) for question in questions]

    def close(self) -> None:
        """End the process."""
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def _answer(self, question: Question, max_new_tokens: int) -> str:
        with tempfile.NamedTemporaryFile(suffix=".wav") as file:
            write_wav(file.name, question.audio)
            line = {"audio": file.name, "text": question.text, "max_new_tokens": max_new_tokens}
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.write(json.dumps(line) + "\n")
                self._process.stdin.flush()
            reply = self._read()
        if "error" in reply:
            raise GenerationError(f"Qwen-Audio-Chat: {reply['error']}")
        return reply["answer"]

    def _read(self) -> dict[str, Any]:
        """The next line of the worker; what its log ends with if there is none."""
        if line := self._process.stdout.readline():
            return json.loads(line)
        self._process.wait()
        self._log.seek(0)
        log = self._log.read().decode("utf-8", "replace").strip()
        return {"error": f"its process ended with exit status {self._process.returncode}: {log[-_SHOWN:]}"}


def write_wav(path: str | Path, audio: np.ndarray) -> None:
    """16-bit mono WAV of float32 (S,) at 16 kHz."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes((audio.clip(-1, 1) * 32767).round().astype("<i2").tobytes())
