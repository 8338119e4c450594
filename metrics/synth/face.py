"""`synth_face`, expert A: 68 landmarks and 24 AUs of every frame of a synthetic face.

Takes the place of mediapipe's FaceLandmarker and of an AU estimator on the synthetic world. It has no face detector:
the face of the world fills the frame, and every frame gets an answer.
"""

from __future__ import annotations

import numpy as np

from metrics.extractor import Features
from metrics.synth.frame_expert import FrameExpert


class SynthFace(FrameExpert):
    """Features:

    xy68: float32 (T, 68, 2), iBUG points, x and y in px of the frame (the centre of its first pixel is (0.5, 0.5)).
    aus: float32 (T, 24) in [0, 1], order FEAFA_UNITS; exactly 0 where the AU reads as inactive.
    hidden: float32 (T, 128), what the AUs are read from; `synth_expression` reads it too.
    """

    name = "synth_face"
    version = 1
    weights = ("synth_face",)

    def __init__(self, files, device="cpu"):
        super().__init__(files, device)
        from metrics.extractors.cores import for_inference
        from metrics.synth.face_network import FaceNetwork
        from metrics.synth.training import load_weights

        self.size = FaceNetwork.SIZE
        self._network = for_inference(load_weights(FaceNetwork(), files["synth_face"]), device)

    def _describe(self, frames: np.ndarray) -> Features:
        from metrics.synth.au_regression import readings

        output = self._network(self._input(frames))
        aus = readings(output.aus, self._network.floor)
        scale = np.array([frames.shape[2], frames.shape[1]], np.float32)
        return {
            "xy68": output.xy.cpu().numpy() * scale,
            "aus": aus.cpu().numpy(),
            "hidden": output.hidden.cpu().numpy(),
        }
