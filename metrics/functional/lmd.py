"""Landmark distance of mouth (M-LMD) and face (F-LMD): how far corresponding face points of two clips are apart.

M-LMD takes the 20 mouth points of the 68 (iBUG 48 to 67), F-LMD all 68. In every frame each of the two sets is moved
to its own centroid, the Euclidean distances of corresponding points are averaged over the points, and these over the
frames of the clip; the score is the mean over clips. This is yuangan/evaluation_eat, code/test_lmd.py, which EAT and
AUHead report; ATVGnet (Chen et al., 2019) introduced the measure.

Variants differ in the points and in the unit:
- `@iod`: float points of mediapipe (`landmarks`), in percent of the target's inter-ocular distance: independent of
  the size of the face in the frame. The inter-ocular distance is that of 300-W, between the outer eye corners (iBUG
  36 and 45), averaged over all frames in which the target has a face, so all methods share one divisor per clip.
- `@eat128`: integer dlib points in pixels of the 128x128 aligned crop (`eat_crop`): the published tables.
- `@px256`: mediapipe points in pixels of a 256x256 face crop, see `face_crop_side`.
- `@procrustes`: as @iod after turning and scaling the predicted face in every frame onto the target's. The
  similarity is fitted to all 68 points for M-LMD too: fitted to the mouth alone it would undo part of its opening.
- `@synth`: as @iod with the points of the synthetic expert A (metrics/synth), on the synthetic world only.

Known differences from evaluation_eat: clips of different length have no value (there both are stretched by index to
the shorter one); a clip with faces in less than half of the frames has no value (there one frame is enough).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from bench.media.errors import Undefined
from bench.media.landmarks import EYE_OUTER_CORNERS68, FACE68, MOUTH68, ibug68, similarity, transform
from metrics.functional.coverage import usable_frames
from metrics.metric import Metric, Needs

FACE_CROP_SCALE = 1.5
"""Side of the face crop of @px256 in units of the larger side of the box around the 68 points."""


def point_distance(prediction: np.ndarray, target: np.ndarray, points: slice = FACE68) -> np.ndarray:
    """Mean distance of corresponding points in each frame, each set moved to its own centroid.

    Args:
        prediction, target: float (T, 68, 2).
        points: which of the 68; only these are read.

    Returns:
        float64 (T,), in the unit of the points.
    """
    a, b = np.asarray(prediction, np.float64)[:, points], np.asarray(target, np.float64)[:, points]
    difference = (a - a.mean(1, keepdims=True)) - (b - b.mean(1, keepdims=True))
    return np.linalg.norm(difference, axis=-1).mean(1)


def interocular_distance(target: np.ndarray) -> float:
    """Mean distance of the outer eye corners over the frames of float (T, 68, 2) that have a face, in its unit."""
    left, right = (np.asarray(target, np.float64)[:, corner] for corner in EYE_OUTER_CORNERS68)
    distance = float(np.nanmean(np.linalg.norm(left - right, axis=-1)))
    if distance == 0:
        raise Undefined("the eye corners of the target coincide in every frame")
    return distance


def face_crop_side(target: np.ndarray) -> float:
    """Side in pixels of the square face crop of a clip: FACE_CROP_SCALE times the larger side of the axis-parallel
    box around the 68 points of the target, as the mean over its frames with a face. At 1.5 the crop reaches from
    above the hair line to below the chin, as the 256x256 crops of VoxCeleb do. Where it lies does not matter to
    centred sets.
    """
    points = np.asarray(target, np.float64)
    side = np.ptp(points, axis=1).max(-1)
    return FACE_CROP_SCALE * float(np.nanmean(side))


def lmd_pixels(prediction: np.ndarray, target: np.ndarray, points: slice = FACE68) -> float:
    """Mean of `point_distance` over the frames in which both clips have a face (`@eat128` on that crop's points).

    Args:
        prediction, target: float (T, 68, 2) pixels; NaN where there is no face.
        points: which of the 68.

    Raises:
        Undefined: too few frames have a face in both, or the clips differ in length.
    """
    both = _both(prediction, target)
    return float(point_distance(prediction[both], target[both], points).mean())


def lmd_iod(prediction: np.ndarray, target: np.ndarray, points: slice = FACE68) -> float:
    """`lmd_pixels` in percent of the target's inter-ocular distance."""
    return 100 * lmd_pixels(prediction, target, points) / interocular_distance(target)


def lmd_px256(prediction: np.ndarray, target: np.ndarray, points: slice = FACE68) -> float:
    """`lmd_pixels` in pixels of the target's face crop at 256x256."""
    return 256 * lmd_pixels(prediction, target, points) / face_crop_side(target)


def lmd_procrustes(prediction: np.ndarray, target: np.ndarray, points: slice = FACE68) -> float:
    """`lmd_iod` after a similarity of all 68 predicted points onto the target's in every frame."""
    both = _both(prediction, target)
    a, b = np.asarray(prediction, np.float64)[both], np.asarray(target, np.float64)[both]
    aligned = transform(similarity(a, b), a)
    return 100 * float(point_distance(aligned, b, points).mean()) / interocular_distance(target)


def _both(prediction: np.ndarray, target: np.ndarray) -> np.ndarray:
    has_face = (np.isfinite(xy).all((1, 2)) for xy in (prediction, target))
    return usable_frames(**dict(zip(("prediction", "target"), has_face, strict=True)))


def _mediapipe_case(needs: Needs, formula: Callable[..., float], points: slice) -> float:
    prediction, target = (ibug68(needs[f"{role}:landmarks"]["xy"]) for role in ("prediction", "target"))
    return formula(prediction, target, points)


def _ibug_case(needs: Needs, extractor: str, formula: Callable[..., float], points: slice) -> float:
    prediction, target = (needs[f"{role}:{extractor}"]["xy68"] for role in ("prediction", "target"))
    return formula(prediction, target, points)


FORMULAS: dict[str, Callable[..., float]] = {
    "@iod": lmd_iod,
    "@eat128": lmd_pixels,
    "@px256": lmd_px256,
    "@procrustes": lmd_procrustes,
    "@synth": lmd_iod,
}
IBUG_EXTRACTORS = {"@eat128": "eat_crop", "@synth": "synth_face"}
"""Variants whose extractor gives the 68 points itself, as `xy68`; the others take mediapipe's."""
UNITS = {"@iod": "%", "@eat128": "px", "@px256": "px", "@procrustes": "%", "@synth": "%"}
PAPERS = {
    "@iod": "centred as yuangan/evaluation_eat, normalised as 300-W (Sagonas et al., 2016)",
    "@eat128": "EAT (Gan et al., 2023), yuangan/evaluation_eat; AUHead",
    "@px256": "centred as yuangan/evaluation_eat",
    "@procrustes": "ATVGnet (Chen et al., 2019), normalised as 300-W",
    "@synth": "centred as yuangan/evaluation_eat, normalised as 300-W (Sagonas et al., 2016)",
}
NOTES = {
    "@iod": "percent of the distance between the target's outer eye corners; mediapipe points",
    "@eat128": "integer dlib points on 128x128 crops that are aligned separately",
    "@px256": f"face crop: {FACE_CROP_SCALE} times the box of the target's 68 points, resized to 256",
    "@procrustes": "as @iod with in-plane rotation and size of the face removed per frame",
    "@synth": "synthetic experts: valid on synth_* only; as @iod with the points of expert A",
}


def _metric(name: str, points: slice, variant: str) -> Metric:
    extractor = IBUG_EXTRACTORS.get(variant, "landmarks")
    case = partial(_mediapipe_case, formula=FORMULAS[variant], points=points)
    if variant in IBUG_EXTRACTORS:
        case = partial(_ibug_case, extractor=extractor, formula=FORMULAS[variant], points=points)
    return Metric(
        name=name,
        variant=variant,
        kind="mean",
        needs=(f"prediction:{extractor}", f"target:{extractor}"),
        case=case,
        unit=UNITS[variant],
        higher_is_better=False,
        paper=PAPERS[variant],
        note=NOTES[variant],
        bounds=(0.0, np.inf),
    )


METRICS: tuple[Metric, ...] = (
    *(_metric("m_lmd", MOUTH68, variant) for variant in FORMULAS),
    *(_metric("f_lmd", FACE68, variant) for variant in FORMULAS),
)
