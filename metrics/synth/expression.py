"""`synth_expression`: the expression code of E-FID on the synthetic world, 24 numbers per frame.

The published E-FID compares the expression coefficients of a 3D face model: the amounts of its blendshapes, as a network
regresses them from the frame, with identity and pose in coefficients of their own. The blendshapes of the synthetic world
are its 24 AUs, drawn independently of identity, pose and light; their amounts, regressed from the frame without bounds and
without the dead zone of an AU reading, are the same thing. The regression is a linear one, by least squares, from the
hidden layer of expert A: what does not predict an AU, in particular who it is, has nothing to put into the code.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bench.media.clip import Clip
from metrics.extractor import Extractor, Features


class SynthExpression(Extractor):
    """Features:

    code: float32 (T, 24), expression coefficients, about [0, 1].
    """

    name = "synth_expression"
    version = 1
    weights = ("synth_expression",)
    after = ("synth_face",)

    def __init__(self, files, device="cpu"):
        super().__init__(files, device)
        from safetensors.numpy import load_file

        self._read_out = load_file(files["synth_expression"])

    def begin(self, clip: Clip, features: Mapping[str, Features]) -> None:
        self._hidden = features["synth_face"]["hidden"]

    def update(self, frames: np.ndarray) -> None:
        """The hidden layer holds all that is needed."""

    def finish(self) -> Features:
        return {"code": self._hidden @ self._read_out["weight"].T + self._read_out["bias"]}
