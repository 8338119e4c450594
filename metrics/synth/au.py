"""`synth_au`, expert B: 24 AUs of every frame of a synthetic face, independent of expert A.

IUFace's Table 6 asks whether an AU score depends on the estimator that was also used to guide the generator. To ask it
on the synthetic world takes two estimators that can err differently: B differs from A in what it sees (brightness and
gradient instead of colour), in its network (`au_network`), in its seed, and in the people it was
trained on. Independent is not opposite: on unseen faces their errors correlate by 0.66, because both learned from exact
truth and what a frame does not show neither can see.
"""

from __future__ import annotations

import numpy as np

from metrics.extractor import Features
from metrics.synth.face_expert import FaceExpert


class SynthAU(FaceExpert):
    """Features:

    aus: float32 (T, 24) in [0, 1], order FEAFA_UNITS; exactly 0 where the AU reads as inactive.
    """

    name = "synth_au"
    version = 1
    weights = ("synth_au",)

    @staticmethod
    def make_network():
        from metrics.synth.au_network import AUNetwork

        return AUNetwork()

    def _raw(self, crops):
        return self.network(crops)

    def _describe(self, frames: np.ndarray) -> Features:
        return {"aus": self.aus(self.crops(frames)[0])}
