"""Errors of the synthetic experts, and of open estimators for real faces, against the exact truth of the fixed set.

Experts were trained on other people of the same world, so these are the errors that `@synth` metrics carry. For an
estimator that learnt from photographs the rendered heads are foreign: its errors here bound nothing on real faces.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from bench.calibration.material import Shown
from bench.calibration.measure import Answer, Spoilt
from bench.media.au import FEAFA_UNITS
from bench.media.au_maps import ARKIT_TO_FEAFA
from bench.media.errors import BenchError
from bench.media.landmarks import MOUTH68, ibug68
from metrics.extractor import Features
from metrics.functional.acc_emo import SYNTH_CLASSES
from metrics.functional.au import mae
from metrics.functional.csim import cosine
from metrics.functional.lmd import interocular_distance, lmd_iod
from metrics.synth.train_identity import equal_error_rate

SHIFTS = (-8, -6, -4, -2, -1, 0, 1, 2, 4, 6, 8)
"""Frames by which speech is moved to see whether the offset comes back."""
OFFSET = "av_offset@synth"
AUS: dict[str, tuple[str, Callable[[Features], np.ndarray]]] = {
    "A": ("synth_face", lambda features: features["aus"]),
    "B": ("synth_au", lambda features: features["aus"]),
    "mediapipe": ("landmarks", lambda features: ARKIT_TO_FEAFA(features["blendshapes"])),
}
"""Estimator -> extractor, AUs float (T, 24) of its features."""
POINTS: dict[str, tuple[str, Callable[[Features], np.ndarray]]] = {
    "A": ("synth_face", lambda features: features["xy68"]),
    "mediapipe": ("landmarks", lambda features: ibug68(features["xy"])),
}
"""Estimator -> extractor, iBUG points float (T, 68, 2) of its features."""
IDENTITY = "synth_identity"
EXTRACTORS = ("synth_face", "synth_au", IDENTITY, "synth_emotion", "landmarks")
"""Whose features of the clean clips are needed."""
OUTDOORS = (IDENTITY,)
"""Whose features of the clips acted elsewhere: before the same background, anything tells people apart."""


def wanted_shifts() -> list[Spoilt]:
    """What has to be measured with OFFSET."""
    return [Spoilt("late_speech", shift) for shift in SHIFTS]


def estimators(shown: Sequence[Shown], answers: Sequence[Answer]) -> dict[str, Any]:
    """All errors; where an estimator is missing, {"missing": why} in place of its numbers."""
    return {
        "aus": {name: _of(answers, extractor, _au_errors, shown, read) for name, (extractor, read) in AUS.items()},
        "au_names": [unit.name for unit in FEAFA_UNITS],
        "predict_zero": _predict_zero(np.concatenate([clip.aus for clip in shown])),
        "landmarks": {
            name: _of(answers, extractor, _landmark_errors, shown, read) for name, (extractor, read) in POINTS.items()
        },
        "offset": _offset_errors(answers),
        "identity": _of(answers, IDENTITY, _identity_errors, shown, [answer.outdoors[IDENTITY] for answer in answers]),
        "emotion": _of(answers, "synth_emotion", _emotion_errors, shown),
    }


def _of(answers: Sequence[Answer], extractor: str, errors: Callable[..., dict], shown, *more) -> dict[str, Any]:
    features = [answer.features[extractor] for answer in answers]
    missing = next((one for one in features if isinstance(one, BenchError)), None)
    return {"missing": str(missing)} if missing is not None else errors(features, shown, *more)


# -- Action Units -----------------------------------------------------------------------------------------------------


def _au_errors(features: Sequence[Features], shown: Sequence[Shown], read: Callable) -> dict[str, Any]:
    values = np.concatenate([read(one) for one in features]).astype(np.float64)
    truth = np.concatenate([clip.aus for clip in shown]).astype(np.float64)
    seen = np.isfinite(values).all(1)
    return {"frames_seen": float(seen.mean())} | (au_errors(values[seen], truth[seen]) if seen.any() else {})


def au_errors(values: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
    """Errors of AUs float64 (n, 24) against the truth: `mae` over all entries, `mae_union` over those active on either
    side, `mae_per_au` and Pearson `r_per_au` over all frames, None for an AU that is constant on either side."""
    spread = values.std(0) * truth.std(0)
    covariance = ((values - values.mean(0)) * (truth - truth.mean(0))).mean(0)
    return {
        "mae": mae(values, truth),
        "mae_union": mae(values, truth, "union"),
        "mae_per_au": np.abs(values - truth).mean(0).tolist(),
        "r_per_au": [float(c / s) if s > 1e-9 else None for c, s in zip(covariance, spread, strict=True)],
    }


def _predict_zero(truth: np.ndarray) -> dict[str, Any]:
    """The error of an estimator that always says 0."""
    zero = np.zeros_like(truth)
    return {
        "mae": mae(zero, truth), "mae_union": mae(zero, truth, "union"), "mae_per_au": truth.mean(0).tolist(),
        "active_share": float((truth > 0).mean()),
    }  # fmt: skip


# -- landmarks ----------------------------------------------------------------------------------------------------------


def _landmark_errors(features: Sequence[Features], shown: Sequence[Shown], read: Callable) -> dict[str, Any]:
    """`error`: mean distance to the true point, `m_lmd` and `f_lmd`: the metric of the true clip against itself when
    only the estimator differs, its floor; all in percent of the distance of the outer eye corners, means over clips."""
    rows, seen = [], []
    for one, clip in zip(features, shown, strict=True):
        points, truth = read(one), ibug68(clip.landmarks)
        seen.append(np.isfinite(points).all((1, 2)).mean())
        if seen[-1] < 0.5:
            continue
        distance = np.linalg.norm(points - truth, axis=-1).mean(1)
        error = 100 * np.nanmean(distance) / interocular_distance(truth)
        rows.append([error, lmd_iod(points, truth, MOUTH68), lmd_iod(points, truth)])
    means = np.mean(rows, axis=0).tolist() if rows else [None] * 3
    return {"frames_seen": float(np.mean(seen))} | dict(zip(("error", "m_lmd", "f_lmd"), means, strict=True))


# -- audio-visual offset ------------------------------------------------------------------------------------------------


def _offset_errors(answers: Sequence[Answer]) -> dict[str, Any]:
    parts = {shift: [a.parts.get((Spoilt("late_speech", shift), OFFSET)) for a in answers] for shift in SHIFTS}
    if parts[0][0] is None:
        return {"missing": f"{OFFSET} was not asked for"}
    missing = next((one for own in parts.values() for one in own if isinstance(one, BenchError)), None)
    return {"missing": str(missing)} if missing is not None else offset_errors(parts)


def offset_errors(found: dict[int, Sequence[float]]) -> dict[str, Any]:
    """Errors of offsets found (frames by which the audio leads) where speech was made late by a known number of frames:
    `within_1`, `exact`: shares of clips, `mean_abs`: frames, and the same `per_shift`."""
    errors = {shift: np.abs(np.asarray(own) + shift) for shift, own in found.items()}

    def figures(values: np.ndarray) -> dict[str, float]:
        return {
            "within_1": float((values <= 1).mean()), "exact": float((values == 0).mean()),
            "mean_abs": float(values.mean()),
        }  # fmt: skip

    per_shift = [{"shift": shift} | figures(own) for shift, own in errors.items()]
    return figures(np.concatenate(list(errors.values()))) | {"per_shift": per_shift}


# -- identity -----------------------------------------------------------------------------------------------------------


def _identity_errors(
    features: Sequence[Features], shown: Sequence[Shown], outdoors: Sequence[Features]
) -> dict[str, Any]:
    """Verification of single frames, every sixth: one of a clip as it is, one of another clip acted elsewhere, by the same
    person or not."""
    indoors, elsewhere = ([one["embedding"][::6] for one in own] for own in (features, outdoors))
    people = np.array([clip.case.identity for clip in shown])
    clips = np.repeat(np.arange(len(shown)), [len(rows) for rows in indoors])
    similarity = cosine(np.concatenate(indoors)[:, None], np.concatenate(elsewhere)[None])
    same = people[clips][:, None] == people[clips]
    other_clip = clips[:, None] != clips
    if not (same & other_clip).any():
        return {"missing": "the set holds one clip per person; a pair of one person needs two"}
    one, two = similarity[same & other_clip], similarity[~same]
    return {
        "eer": equal_error_rate(one, two), "same": float(one.mean()), "different": float(two.mean()),
        "pairs_same": len(one), "pairs_different": len(two),
    }  # fmt: skip


# -- emotion ------------------------------------------------------------------------------------------------------------


def _emotion_errors(features: Sequence[Features], shown: Sequence[Shown]) -> dict[str, Any]:
    found = [SYNTH_CLASSES[int(np.argmax(one["probabilities"]))] for one in features]
    return emotion_errors(found, [clip.case.emotion for clip in shown], [clip.case.level for clip in shown])


def emotion_errors(found: Sequence[str], truth: Sequence[str], levels: Sequence[int]) -> dict[str, Any]:
    """Recognised clips: in all, per level, and which emotion was taken for which: [truth, found, level, clips]."""
    right = np.array([f == t for f, t in zip(found, truth, strict=True)])
    level = np.array(levels)
    mistakes = sorted({(t, f, n) for f, t, n in zip(found, truth, levels, strict=True) if f != t})
    count = list(zip(truth, found, levels, strict=True)).count
    return {
        "correct": int(right.sum()), "clips": len(right),
        "per_level": [
            {"level": int(n), "correct": int(right[level == n].sum()), "clips": int((level == n).sum())}
            for n in np.unique(level)
        ],
        "confusions": [[t, f, int(n), count((t, f, n))] for t, f, n in mistakes],
    }  # fmt: skip
