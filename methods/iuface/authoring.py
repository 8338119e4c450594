"""Named expressions in OpenFace's Action Units: 1D curves per AU, to author a face without a driving video (section 2).

Values are intensities, 0 to 5; `methods.conditioning.aus` says how expressions are written and how they move. Emotions follow
FACS's prototypes (Ekman and Friesen, 1978). OpenFace tells no sides, so there is no wink. The presence of an AU follows
from its intensity, as in `bench.media.au_maps`: it is there from 1 (FACS level A) on.
"""

from __future__ import annotations

import numpy as np

from bench.media import au
from bench.media.au import OPENFACE_R
from bench.media.au_maps import INTENSITY_A
from methods.conditioning.aus import Expression, authored

VOCABULARY = "openface35"


def _intensities(**aus: float) -> dict[str, float]:
    return {f"{name}_r": value for name, value in aus.items()}


EXPRESSIONS: dict[str, Expression] = {
    "smile": Expression(_intensities(AU06=2.0, AU12=3.5)),
    "happiness": Expression(_intensities(AU06=3.0, AU07=1.0, AU12=4.0, AU25=1.0)),
    "sadness": Expression(_intensities(AU01=3.0, AU04=2.0, AU15=2.5, AU17=1.5)),
    "anger": Expression(_intensities(AU04=4.0, AU05=2.0, AU07=2.5, AU23=2.5)),
    "fear": Expression(_intensities(AU01=3.0, AU02=2.0, AU04=2.0, AU05=4.0, AU07=1.5, AU20=2.5, AU26=1.0)),
    "surprise": Expression(_intensities(AU01=4.0, AU02=4.0, AU05=3.0, AU25=1.5, AU26=1.5), onset=0.25),
    "disgust": Expression(_intensities(AU09=4.0, AU10=2.5, AU17=1.5)),
    "contempt": Expression(_intensities(AU12=1.0, AU14=3.5)),
    "blink": Expression(_intensities(AU45=4.0), start=0.5, onset=0.1, apex=0.04, offset=0.16, every=3.0),
    "raised_brows": Expression(_intensities(AU01=3.5, AU02=3.5)),
    "frown": Expression(_intensities(AU04=4.0)),
    "wide_eyes": Expression(_intensities(AU05=4.0)),
    **{f"AU{number:02d}": Expression({f"AU{number:02d}_r": 5.0}) for number in OPENFACE_R},
    "AU28": Expression({"AU28_c": 1.0}),
}
"""Expressions by name, and every AU by its own."""


def expression_aus(text: str, num_frames: int, fps: float) -> np.ndarray:
    """The track of named expressions, float32 (T, 35) in `openface35`; see `authored`."""
    aus = authored(text, num_frames, fps, EXPRESSIONS, VOCABULARY)
    columns = au.vocabulary(VOCABULARY)
    for number in OPENFACE_R:
        aus[:, columns.index(f"AU{number:02d}_c")] = aus[:, columns.index(f"AU{number:02d}_r")] >= INTENSITY_A
    aus[:, columns.index("AU28_c")] = aus[:, columns.index("AU28_c")] >= 0.5  # It has no intensity.
    return aus
