"""reference_leak: how far the generated Action Units lean to the reference image's expression, not the driving one.

With g the generated, d the driving and r the reference image's AUs, over the frames t and AUs a where |r - d| is at
least FLOOR:

    leak = sum (g - d)(r - d) / sum (r - d)^2

the least-squares w of g = (1 - w) d + w r. 0: the generator does what the driving AUs say; 1: it keeps the reference's
expression, as `still_image` does; between: the share of the reference. Above 1 and below 0 are possible (an
exaggerated reference, an exaggerated driving expression). IUFace argues about "expression leakage and reference-pose
tethering" and does not measure it; this definition is ours. With a neutral reference an expression that is too weak
counts as a lean to it: the formula cannot tell the two apart.

AUs are the 24 of FEAFA from mediapipe blendshapes (bench.media.au_maps), in `@synth` those of the synthetic expert A.
Where reference and driving do not differ, in fewer entries than there are usable frames (one AU per frame on average),
there is nothing to lean to and no value.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from bench.media.errors import Undefined
from metrics.functional.au import au_values, paired_values
from metrics.metric import Metric, Needs

PAPER = "defined here; the effect is IUFace's"
FLOOR = 0.1
"""Smallest |reference - driving| of an entry that counts: a tenth of the scale, above the readings of a resting face
after the dead zone for all AUs but raised brows and, just, heavy eyelids (`REST` in bench/media/au_maps.py)."""


def leak_statistics(generated: np.ndarray, driving: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Sum of (g - d)(r - d), sum of (r - d)^2, number of entries, float64 (3,).

    Args:
        generated, driving: float (T, A) in [0, 1].
        reference: float (A,) in [0, 1].
    """
    g, d = np.asarray(generated, np.float64), np.asarray(driving, np.float64)
    apart = np.asarray(reference, np.float64) - d
    counted = np.abs(apart) >= FLOOR
    return np.array([((g - d) * apart)[counted].sum(), (apart[counted] ** 2).sum(), counted.sum()], np.float64)


def reference_leak(generated: np.ndarray, driving: np.ndarray, reference: np.ndarray) -> float:
    """Share of the reference's expression in the generated one.

    Args:
        generated, driving: float (T, A) in [0, 1], the frames of one clip.
        reference: float (A,) in [0, 1].

    Raises:
        Undefined: reference and driving do not differ enough.
    """
    product, square, entries = leak_statistics(generated, driving, reference)
    if entries < max(1, len(driving)):
        raise Undefined(
            f"the reference differs from the driving AUs by {FLOOR} or more in {entries:.0f} entries of {len(driving)} "
            "frames; at least one per frame is needed"
        )
    return float(product / square)


def _case(needs: Needs, extractor: str) -> float:
    reference = au_values(needs[f"reference:{extractor}"], extractor, "feafa24")[0]
    if np.isnan(reference).any():
        raise Undefined("no face in the reference image")
    return reference_leak(*paired_values(needs, "driving", extractor, "feafa24"), reference)


def _metric(variant: str, extractor: str, note: str) -> Metric:
    return Metric(
        name="reference_leak",
        variant=variant,
        kind="mean",
        needs=tuple(f"{role}:{extractor}" for role in ("prediction", "driving", "reference")),
        case=partial(_case, extractor=extractor),
        unit="",
        higher_is_better=False,
        paper=PAPER,
        note=note
        + "share of the reference image's AUs in the generated ones where the driving AUs differ: 0 none, 1 a copy",
    )


METRICS: tuple[Metric, ...] = (
    _metric("@feafa24", "landmarks", ""),
    _metric("@synth", "synth_face", "synthetic experts: valid on synth_* only; "),
)
