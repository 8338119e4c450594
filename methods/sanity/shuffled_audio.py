"""The target with the speech of another case: perfect pictures, lips that follow nothing."""

import numpy as np

from methods.generator import ControlRequest, Frames, GenerationError, Generator


class ShuffledAudio(Generator):
    """Returns the target's frames and another case's speech."""

    title = "control: the target's frames with the speech of the next case; sync metrics must fall"
    needs = frozenset({"target", "other_audio"})
    control = True

    def generate(self, request: ControlRequest) -> Frames:
        return request.target.chunks()

    def soundtrack(self, request: ControlRequest) -> np.ndarray:
        if request.other_audio is None:
            raise GenerationError("no other case with different speech to take the audio from")
        return request.other_audio
