"""`synth_face`, expert A: 68 landmarks and 24 AUs of every frame of a synthetic face.

Takes the place of mediapipe's FaceLandmarker and of an AU estimator on the synthetic world. It has no face detector:
the face of the world fills the frame, and every frame gets an answer.
"""

from __future__ import annotations

import numpy as np

from metrics.extractor import Features
from metrics.synth.face_expert import FaceExpert


class SynthFace(FaceExpert):
    """Features:

    xy68: float32 (T, 68, 2), iBUG points, x and y in px of the frame (the centre of its first pixel is (0.5, 0.5)).
    aus: float32 (T, 24) in [0, 1], order FEAFA_UNITS; exactly 0 where the AU reads as inactive.
    hidden: float32 (T, 192), what the AUs are read from; `synth_expression` reads it too.
    """

    name = "synth_face"
    version = 1
    weights = ("synth_face",)

    @staticmethod
    def make_network():
        from metrics.synth.face_network import FaceNetwork

        return FaceNetwork()

    def _raw(self, crops):
        return self.network(crops).aus

    def _describe(self, frames: np.ndarray) -> Features:
        from bench.media.landmarks import ibug68
        from metrics.synth.alignment import FRAME, back

        crops, matrices = self.crops(frames)
        output = self.network(crops)
        points = back(matrices, self.network.SIZE * ibug68(output.xy.double().cpu().numpy()))
        size = np.array([frames.shape[2], frames.shape[1]])
        return {
            "xy68": (points * size / FRAME).astype(np.float32),
            "aus": self.aus(crops, output.aus),
            "hidden": output.hidden.cpu().numpy(),
        }
