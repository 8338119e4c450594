"""E-FID: Fréchet distance between expression coefficients of faces (EMO, arXiv 2402.17485; EchoMimic; Hallo2).

Papers print "E-FID" for features of different size, origin and scale (published values span 0.1 to 8), so a variant
always names its expression model and variants are never compared. Rows are frames; frames without a face are left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np

from bench.media.errors import Undefined
from metrics.functional.frechet import frechet_distance, frechet_leave_out
from metrics.metric import Metric

Needs = Mapping[str, Mapping[str, np.ndarray]]


def efid(prediction: np.ndarray, target: np.ndarray) -> float:
    """E-FID of expression rows, float32 (n, D) and (m, D), one row per frame with a face; ddof 1.

    Raises:
        Undefined: fewer than 2 rows in one of the sets.
    """
    return frechet_distance(prediction, target, ddof=1)


def expression_rows(needs: Needs, extractor: str, feature: str) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the frames that have a face (no NaN) of prediction and target.

    Raises:
        Undefined: no frame of one of the clips has a face.
    """

    def rows(role: str) -> np.ndarray:
        values = needs[f"{role}:{extractor}"][feature]
        return _some(values, ~np.isnan(values).any(axis=1), role)

    return rows("prediction"), rows("target")


def openface_rows(needs: Needs) -> tuple[np.ndarray, np.ndarray]:
    """OpenFace intensities AU_r, float32 (n, 17) in [0, 5], of the frames OpenFace marks as tracked.

    Raises:
        Undefined: no frame of one of the clips was tracked.
    """

    def rows(role: str) -> np.ndarray:
        features = needs[f"{role}:openface"]
        return _some(features["r"], np.asarray(features["success"], bool), role)

    return rows("prediction"), rows("target")


def _some(values: np.ndarray, valid: np.ndarray, role: str) -> np.ndarray:
    if not valid.any():
        raise Undefined(f"no face in {len(values)} of {len(values)} frames of the {role}")
    return values[valid]


def _efid(variant: str, extractor: str, case, paper: str, note: str) -> Metric:
    return Metric(
        name="efid",
        variant=variant,
        kind="set",
        needs=(f"prediction:{extractor}", f"target:{extractor}"),
        case=case,
        distance=efid,
        leave_out=frechet_leave_out,
        unit="",
        higher_is_better=False,
        paper=paper,
        note=note,
        bounds=(0.0, np.inf),
    )


METRICS: tuple[Metric, ...] = (
    _efid(
        "@deep3d64",
        "deep3d",
        partial(expression_rows, extractor="deep3d", feature="exp"),
        "Tian et al. (EMO), arXiv 2402.17485; EchoMimic; coefficients of sicxu/Deep3DFaceRecon_pytorch",
        "64 expression coefficients of Deep3DFaceRecon, all frames; the 2022 and 2023 networks give different values",
    ),
    _efid(
        "@bfm79",
        "bfm_fit",
        partial(expression_rows, extractor="bfm_fit", feature="exp"),
        "Hallo2 (author's statement); ER-NeRF data_utils/face_tracking",
        "79 BFM coefficients fitted to landmarks per video; ER-NeRF's photometric refinement is left out",
    ),
    _efid(
        "@mp52",
        "landmarks",
        partial(expression_rows, extractor="landmarks", feature="blendshapes"),
        "this suite; mediapipe FaceLandmarker",
        "52 mediapipe blendshape scores in [0, 1], its near-constant _neutral included; needs no licensed model",
    ),
    _efid(
        "@au17",
        "openface",
        openface_rows,
        "this suite; OpenFace 2.0 (Baltrusaitis et al., 2018)",
        "17 OpenFace AU intensities in [0, 5], tracked frames only",
    ),
    _efid(
        "@synth",
        "synth_expression",
        partial(expression_rows, extractor="synth_expression", feature="code"),
        "this suite; metrics/synth/expression.py",
        "synthetic experts: valid on synth_* only; 24 expression coefficients in about [0, 1], all frames",
    ),
)
