"""AUHead's expressions by name, in FEAFA's AUs; `methods.conditioning.aus` says how they are written and how they move.

They lie over the AUs of the speech, the larger value of each AU counting, so that a smiling face still talks. The emotions
follow FACS's prototypes (Ekman and Friesen, 1978) as far as FEAFA has them: it has no inner brow raiser, cheek raiser or
lip corner depressor.
"""

from __future__ import annotations

import numpy as np

from bench.media.au import FEAFA_UNITS
from methods.conditioning.aus import Expression, authored


def _both(**aus: float) -> dict[str, float]:
    """The same value left and right."""
    return {f"{name}_{side}": value for name, value in aus.items() for side in ("left", "right")}


def _wink(side: str) -> Expression:
    aus = {f"eye_close_{side}": 1.0, f"lip_corner_{side}": 0.3}
    return Expression(aus, start=0.5, onset=0.12, apex=0.12, offset=0.2)


EXPRESSIONS: dict[str, Expression] = {
    "smile": Expression(_both(lip_corner=0.8)),
    "happiness": Expression(_both(lip_corner=0.9, eye_close=0.2) | {"upper_lip_raise": 0.25}),
    "sadness": Expression(_both(brow_lower=0.45, eye_close=0.3) | {"chin_raise": 0.6, "lower_lip_depress": 0.15}),
    "anger": Expression(_both(brow_lower=0.9, lid_raise=0.4) | {"nose_wrinkle": 0.4, "chin_raise": 0.3}),
    "fear": Expression(_both(brow_raise=0.5, brow_lower=0.3, lid_raise=0.9, lip_stretch=0.6) | {"jaw_drop": 0.15}),
    "surprise": Expression(_both(brow_raise=1.0, lid_raise=0.7) | {"jaw_drop": 0.3}, onset=0.25),
    "disgust": Expression(_both(brow_lower=0.4, eye_close=0.2) | {"nose_wrinkle": 0.9, "upper_lip_raise": 0.7}),
    "contempt": Expression({"lip_corner_left": 0.6, "lip_stretch_left": 0.2}),
    "wink_left": _wink("left"),
    "wink_right": _wink("right"),
    "blink": Expression(_both(eye_close=1.0), start=0.5, onset=0.1, apex=0.04, offset=0.16, every=3.0),
    "raised_brows": Expression(_both(brow_raise=0.9)),
    "frown": Expression(_both(brow_lower=0.9)),
    "wide_eyes": Expression(_both(lid_raise=0.9)),
    **{unit.name: Expression({unit.name: 1.0}) for unit in FEAFA_UNITS},
}
"""Expressions by name, and every AU by its own."""


def expression_aus(text: str, num_frames: int, fps: float) -> np.ndarray:
    """The track of named expressions, float32 (T, 24) in [0, 1]; see `authored`."""
    return authored(text, num_frames, fps, EXPRESSIONS, "feafa24")
