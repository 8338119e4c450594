"""The target with its own speech moved by a known number of frames: `av_offset` must move by exactly that."""

import numpy as np

from bench.media.clip import samples_for
from methods.generator import ControlRequest, Frames, GenerationError, Generator, GeneratorConfig


class ShiftedAudioConfig(GeneratorConfig):
    frames: int = 5
    """Video frames the speech is delayed by; negative values make it early."""


class ShiftedAudio(Generator):
    """Returns the target's frames; the speech is delayed by `frames`, silence fills the gap, the length stays."""

    Config = ShiftedAudioConfig
    title = "control: the target with its speech delayed by a known number of frames (--set frames=5)"
    needs = frozenset({"target", "audio"})
    control = True

    def generate(self, request: ControlRequest) -> Frames:
        return request.target.chunks()

    def soundtrack(self, request: ControlRequest) -> np.ndarray:
        shift = samples_for(self.config.frames, request.fps)
        if abs(shift) >= len(request.audio):
            raise GenerationError(f"a shift of {self.config.frames} frames is longer than the speech")
        silence = np.zeros(abs(shift), np.float32)
        if shift >= 0:
            return np.concatenate([silence, request.audio[: len(request.audio) - shift]])
        return np.concatenate([request.audio[-shift:], silence])
