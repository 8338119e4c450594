"""CSIM: cosine similarity of ArcFace embeddings, the measure of identity preservation.

The score of a clip is the mean over its frames of cos(e(generated frame), e(comparison)); that of a set the mean over
clips. The comparison is the identity's reference image (`@w600k_r50`, `@antelopev2`; IUFace, section E.5) or the
target's frame of the same time (`@target`, as in self-reenactment tables): the first also falls with pose and
expression, the second less. Values of different networks are not comparable, so each variant carries its network.

`@synth` and `@synth_target` are the two on the embeddings of `metrics.synth.identity`.

Frames without a detected face are left out as `metrics.functional.coverage` says; part of the public code counts them
0.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from bench.media.errors import Undefined
from metrics.functional.coverage import usable_frames
from metrics.metric import Metric, Needs


def cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cosine of the angle between vectors float (..., D) and (..., D), float64 (...,) in [-1, 1]."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    product = (a * b).sum(-1) / (np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1))
    return np.clip(product, -1.0, 1.0)  # rounding alone leaves the interval


def csim_reference(prediction: np.ndarray, reference: np.ndarray) -> float:
    """Mean cosine with one reference embedding.

    Args:
        prediction: float (T, D) embeddings; NaN where there is no face.
        reference: float (D,) or (1, D), embedding of the reference image.

    Raises:
        Undefined: the reference, or too much of the prediction, has no face.
    """
    reference = np.reshape(reference, -1)
    if not np.isfinite(reference).all():
        raise Undefined("no face in the reference image")
    usable = usable_frames(prediction=np.isfinite(prediction).all(-1))
    return float(cosine(prediction[usable], reference).mean())


def csim_target(prediction: np.ndarray, target: np.ndarray) -> float:
    """Mean cosine with the target's embedding of the same frame.

    Args:
        prediction, target: float (T, D) embeddings; NaN where there is no face.

    Raises:
        Undefined: too few frames have a face in both, or the clips differ in length.
    """
    usable = usable_frames(prediction=np.isfinite(prediction).all(-1), target=np.isfinite(target).all(-1))
    return float(cosine(prediction[usable], target[usable]).mean())


def _reference_case(needs: Needs, extractor: str) -> float:
    return csim_reference(
        needs[f"prediction:{extractor}"]["embedding"], needs[f"reference:{extractor}"]["embedding"][0]
    )


def _target_case(needs: Needs, extractor: str) -> float:
    return csim_target(needs[f"prediction:{extractor}"]["embedding"], needs[f"target:{extractor}"]["embedding"])


def _metric(variant: str, extractor: str, role: str, paper: str, note: str) -> Metric:
    case = {"reference": _reference_case, "target": _target_case}[role]
    return Metric(
        name="csim",
        variant=variant,
        kind="mean",
        needs=(f"prediction:{extractor}", f"{role}:{extractor}"),
        case=partial(case, extractor=extractor),
        unit="",
        higher_is_better=True,
        paper=paper,
        note=note,
        bounds=(-1.0, 1.0),
    )


METRICS: tuple[Metric, ...] = (
    _metric(
        "@w600k_r50",
        "arcface_w600k_r50",
        "reference",
        "ArcFace (Deng et al., 2019), insightface buffalo_l; IUFace section E.5",
        "against the identity's reference image",
    ),
    _metric(
        "@target",
        "arcface_w600k_r50",
        "target",
        "ArcFace (Deng et al., 2019), insightface buffalo_l",
        "against the target's frame of the same time",
    ),
    _metric(
        "@antelopev2",
        "arcface_antelopev2",
        "reference",
        "ArcFace (Deng et al., 2019), insightface antelopev2 (glintr100)",
        "against the identity's reference image",
    ),
    _metric(
        "@synth",
        "synth_identity",
        "reference",
        "this suite",
        "against the identity's reference image; synthetic experts: valid on synth_* only",
    ),
    _metric(
        "@synth_target",
        "synth_identity",
        "target",
        "this suite",
        "against the target's frame of the same time; synthetic experts: valid on synth_* only",
    ),
)
