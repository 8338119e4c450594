"""How well the face experts do on people they were not trained on, from exact truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bench.media.au import FEAFA_UNITS
from bench.media.clip import ArrayClip
from bench.media.landmarks import EYE_OUTER_CORNERS68, ibug68
from metrics.functional.au import correlations, mae
from metrics.synth.arrays import Clips, Stills, clips, split, stills
from metrics.synth.frame_expert import FrameExpert

CHUNK = 128


def face_accuracy(extractor: FrameExpert, data: Path) -> dict[str, dict]:
    """Figures of `synth_face` or `synth_au` on all frames of a folder of training arrays.

    Returns:
        {"stills": figures, "clips": figures}: see `au_figures`, and for `synth_face` `landmark_error`. Stills cover AUs
        and their combinations evenly; clips show them as speech and emotion do, where some never move.
    """
    return _on(extractor, stills(data), clips(data), slice(None), slice(None))


def held_out_accuracy(extractor: FrameExpert, data: Path) -> dict[str, dict]:
    """As `face_accuracy`, on the identities that are left for validation."""
    still, clip = stills(data), clips(data)
    return _on(extractor, still, clip, split(still.identity)[1], split(clip.identity)[1])


def au_figures(prediction: np.ndarray, target: np.ndarray) -> dict[str, float | dict[str, float]]:
    """Errors of AUs beside those of predicting 0 always.

    Args:
        prediction, target: float (n, 24) in [0, 1].

    Returns:
        au_mae, union_mae (entries active on either side), au_mae_of_zero, union_mae_of_zero, f1 (macro over AUs),
        pcc: AU name -> correlation over all frames, without the AUs that do not move in the target; pcc_lowest: the
        least of them.
    """
    nothing = np.zeros_like(target)
    found, active = prediction > 0, target > 0
    f1 = 2 * (found & active).sum(0) / np.maximum(found.sum(0) + active.sum(0), 1)
    r = correlations(prediction, target, 1.0)
    correlation = {unit.name: float(r[unit.index]) for unit in FEAFA_UNITS if np.isfinite(r[unit.index])}
    return {
        "au_mae": mae(prediction, target),
        "au_mae_of_zero": mae(nothing, target),
        "union_mae": mae(prediction, target, "union"),
        "union_mae_of_zero": mae(nothing, target, "union"),
        "f1": float(f1[active.any(0)].mean()),
        "pcc": correlation,
        "pcc_lowest": min(correlation.values(), default=float("nan")),
    }


def landmark_error(prediction: np.ndarray, target: np.ndarray) -> float:
    """Mean distance of the 68 points in percent of the distance between the outer eye corners in the same frame.

    Args:
        prediction, target: float (n, 68, 2) px.
    """
    left, right = (target[:, corner] for corner in EYE_OUTER_CORNERS68)
    eyes = np.linalg.norm(left - right, axis=-1)
    distance = np.linalg.norm(np.asarray(prediction, np.float64) - target, axis=-1).mean(1)
    return float(100 * (distance / eyes).mean())


def _on(extractor: FrameExpert, still: Stills, clip: Clips, still_rows, clip_rows) -> dict[str, dict]:
    frames = clip.frames[clip_rows]
    points, aus = clip.landmarks[clip_rows].reshape(-1, 478, 2), clip.aus[clip_rows].reshape(-1, len(FEAFA_UNITS))
    return {
        "stills": _figures(extractor, still.frames[still_rows], still.landmarks[still_rows], still.aus[still_rows]),
        "clips": _figures(extractor, frames.reshape(-1, *frames.shape[2:]), points, aus),
    }


def _figures(extractor: FrameExpert, frames: np.ndarray, landmarks: np.ndarray, aus: np.ndarray) -> dict:
    extractor.begin(ArrayClip(frames[:1]), {})
    for start in range(0, len(frames), CHUNK):
        extractor.update(frames[start : start + CHUNK])
    features = extractor.finish()
    figures = au_figures(features["aus"], aus)
    if "xy68" in features:
        figures["landmark_error"] = landmark_error(features["xy68"], ibug68(landmarks))
    return figures
