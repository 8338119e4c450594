"""`synth_au`, expert B: 24 AUs of every frame of a synthetic face, independent of expert A.

IUFace's Table 6 asks whether an AU score depends on the estimator that was also used to guide the generator. To ask it
on the synthetic world takes two estimators that can err differently: B differs from A in what it sees (brightness and
gradient at 96x96 instead of colour at 128x128), in its network (`au_network`), in its seed, and in the people it was
trained on.
"""

from __future__ import annotations

import numpy as np

from metrics.extractor import Features
from metrics.synth.frame_expert import FrameExpert


class SynthAU(FrameExpert):
    """Features:

    aus: float32 (T, 24) in [0, 1], order FEAFA_UNITS; exactly 0 where the AU reads as inactive.
    """

    name = "synth_au"
    version = 1
    weights = ("synth_au",)

    def __init__(self, files, device="cpu"):
        super().__init__(files, device)
        from metrics.extractors.cores import for_inference
        from metrics.synth.au_network import AUNetwork
        from metrics.synth.training import load_weights

        self.size = AUNetwork.SIZE
        self._network = for_inference(load_weights(AUNetwork(), files["synth_au"]), device)

    def _describe(self, frames: np.ndarray) -> Features:
        from metrics.synth.au_regression import readings

        return {"aus": readings(self._network(self._input(frames)), self._network.floor).cpu().numpy()}
