"""Action Unit agreement of two clips: F1, precision, recall, accuracy of presence; MAE, PCC, ICC(3,1) of intensity.

IUFace reports "F1-AU" without a definition. The default here is the usual reading: OpenFace's 18 presences of the
generated clip against those of the target, one F1 per AU over the frames of all clips, then the mean over AUs. What
moves this number by points is said, not assumed: the average, and what an AU that never occurs counts
(`zero_division`: NaN leaves it out and lists it; 0 and 1 are the other usual answers).

AUHead's Table 1 speaks of 24 FEAFA AUs with value > 0. Its printed F1 is below the harmonic mean of its printed
precision and recall in every row, and its accuracy (.50 to .61) is far below what element-wise accuracy would be with
7 of 24 active (about .83): so these are means over frames (`samples`), and "accuracy" is |A & B| / |A | B|, here
`jaccard`. That is inferred. Its MAE of 0.19 to 0.24 is too large for all 24 entries of sparse vectors and is more
likely over the entries that are active on either side (`union`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np

from bench.media.au import vocabulary
from bench.media.au_maps import ARKIT_TO_FEAFA, INTENSITY_A
from bench.media.errors import Undefined
from metrics.extractor import Features
from metrics.functional.coverage import usable_frames
from metrics.metric import Metric, Needs

ScoreName = Literal["f1", "precision", "recall", "accuracy", "jaccard"]
Average = Literal["macro_au", "micro", "samples", "per_au", "per_clip"]
Entries = Literal["all", "union", "gt_active"]

THRESHOLDS: dict[str, tuple[float, bool]] = {
    "openface18": (0.5, True),
    "openface17": (INTENSITY_A, True),
    "libreface12": (0.5, True),
    "libreface12_intensity": (INTENSITY_A, True),
    "feafa24": (0.0, False),
}
"""Vocabulary -> (threshold, whether a value equal to it is active). Presences are taken as the tool gives them,
intensities of [0, 5] from 1 (FACS level A) on, FEAFA's above 0 (AUHead's sparsity coefficient lambda = 0)."""
MIN_FRAMES = 10
"""Fewest frames a correlation over time is taken of (0.4 s at 25 fps)."""
VARIES = 0.01
"""Standard deviation over time, as a share of the scale, from which a target's AU counts as moving. OpenFace writes its
intensities with two decimals; a static face flickers below this."""


def active(values: np.ndarray, vocabulary_name: str) -> np.ndarray:
    """Presence from values: bool (T, A) from float (T, A) in the vocabulary, by THRESHOLDS."""
    threshold, closed = THRESHOLDS[vocabulary_name]
    return values >= threshold if closed else values > threshold


# -- presence -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Score:
    """A score with the parts it was averaged from."""

    value: float | np.ndarray
    """The average; for `per_au` the parts themselves."""
    parts: np.ndarray
    """float64, one per AU (macro_au, per_au), frame (samples), clip (per_clip) or in all (micro); NaN without value."""
    excluded: tuple[int, ...]
    """Positions of the parts without a value: they are not in the average."""


def counts(prediction: np.ndarray, target: np.ndarray, axis: int = 0) -> np.ndarray:
    """True positives, false positives, false negatives, true negatives.

    Args:
        prediction, target: bool (T, A).
        axis: 0 counts frames per AU, 1 counts AUs per frame.

    Returns:
        float64 (A, 4) or (T, 4).
    """
    prediction, target = np.asarray(prediction, bool), np.asarray(target, bool)
    if prediction.shape != target.shape or prediction.ndim != 2:
        raise ValueError(f"prediction and target must be (T, A) and alike, got {prediction.shape} and {target.shape}")
    cases = prediction & target, prediction & ~target, ~prediction & target, ~prediction & ~target
    return np.stack([case.sum(axis) for case in cases], axis=-1).astype(np.float64)


def score_counts(score: ScoreName, table: np.ndarray, zero_division: float = np.nan) -> np.ndarray:
    """Scores float64 (...) of counts float64 (..., 4) = TP, FP, FN, TN; 0 / 0 gives zero_division."""
    tp, fp, fn, tn = np.moveaxis(np.asarray(table, np.float64), -1, 0)
    numerator, denominator = {
        "f1": (2 * tp, 2 * tp + fp + fn),
        "precision": (tp, tp + fp),
        "recall": (tp, tp + fn),
        "accuracy": (tp + tn, tp + fp + fn + tn),
        "jaccard": (tp, tp + fp + fn),
    }[score]
    empty = denominator == 0
    return np.where(empty, zero_division, numerator / np.where(empty, 1, denominator))


def presence_score(
    score: ScoreName,
    prediction: np.ndarray,
    target: np.ndarray,
    average: Average = "macro_au",
    zero_division: float = np.nan,
    clips: np.ndarray | None = None,
) -> Score:
    """A score of presence.

    Args:
        score: f1, precision, recall, accuracy (share of equal entries) or jaccard.
        prediction, target: bool (T, A), frames of one clip or of several, one after the other.
        average: macro_au: per AU over all frames, then the mean over AUs. micro: one count over everything. samples:
            per frame over AUs, then the mean over frames. per_au: per AU, no mean. per_clip: macro_au per clip, then
            the mean over clips.
        zero_division: what 0 / 0 counts; NaN leaves the part out of the mean.
        clips: for per_clip, which clip each frame is of, (T,).

    Raises:
        Undefined: no part has a value.
    """
    if average == "per_clip":
        parts = _clip_parts(score, prediction, target, zero_division, clips)
    elif average == "micro":
        parts = score_counts(score, counts(prediction, target).sum(0, keepdims=True), zero_division)
    else:
        parts = score_counts(score, counts(prediction, target, axis=int(average == "samples")), zero_division)
    excluded = tuple(int(position) for position in np.flatnonzero(np.isnan(parts)))
    if average == "per_au":
        return Score(parts, parts, excluded)
    return Score(_mean_of_defined(parts, score), parts, excluded)


f1 = partial(presence_score, "f1")
precision = partial(presence_score, "precision")
recall = partial(presence_score, "recall")
accuracy = partial(presence_score, "accuracy")
jaccard = partial(presence_score, "jaccard")


def _clip_parts(score: ScoreName, prediction, target, zero_division: float, clips: np.ndarray | None) -> np.ndarray:
    if clips is None:
        raise ValueError("per_clip needs the clip of every frame")
    parts = []
    for clip in dict.fromkeys(np.asarray(clips).tolist()):
        frames = np.asarray(clips) == clip
        total, number = clip_statistics(
            score, np.asarray(prediction)[frames], np.asarray(target)[frames], zero_division
        )
        parts.append(total if number else np.nan)
    return np.array(parts)


def clip_statistics(
    score: ScoreName, prediction: np.ndarray, target: np.ndarray, zero_division: float = np.nan
) -> np.ndarray:
    """One clip's mean over AUs and 1, or 0 and 0 where no AU has a value, float64 (2,)."""
    per_au = score_counts(score, counts(prediction, target), zero_division)
    defined = per_au[~np.isnan(per_au)]
    return np.array([defined.mean(), 1.0]) if len(defined) else np.zeros(2)


def finish_counts(
    statistics: np.ndarray, score: ScoreName, average: Average = "macro_au", zero_division: float = np.nan
) -> float | np.ndarray:
    """Score from summed counts per AU: macro_au, micro or per_au.

    Args:
        statistics: float64 (A * 4,) or (A, 4): TP, FP, FN, TN.

    Raises:
        Undefined: no AU has a value.
    """
    table = np.asarray(statistics, np.float64).reshape(-1, 4)
    parts = score_counts(score, table.sum(0, keepdims=True) if average == "micro" else table, zero_division)
    return parts if average == "per_au" else _mean_of_defined(parts, score)


def finish_mean(statistics: np.ndarray, score: str) -> float:
    """Sum of values and their number -> their mean.

    Raises:
        Undefined: there are none.
    """
    total, number = statistics
    if number == 0:
        raise Undefined(_WITHOUT_VALUE[score])
    return float(total / number)


def _mean_of_defined(parts: np.ndarray, score: ScoreName) -> float:
    defined = parts[~np.isnan(parts)]
    return finish_mean(np.array([defined.sum(), len(defined)]), score)


_WITHOUT_VALUE: dict[str, str] = {
    "f1": "no active AU on either side in any frame",
    "precision": "no active AU in any frame of the prediction",
    "recall": "no active AU in any frame of the target",
    "accuracy": "no frame",
    "jaccard": "no active AU on either side in any frame",
    "mae": "no active AU to take an error of",
    "pcc": "no clip",
}


# -- intensity ------------------------------------------------------------------------------------------------------


def absolute_errors(
    prediction: np.ndarray, target: np.ndarray, entries: Entries = "all", threshold: float = 0.0
) -> tuple[float, int]:
    """Sum of |prediction - target| over the chosen entries, and how many there are.

    Args:
        prediction, target: float (T, A).
        entries: all; union: active (above threshold) in either; gt_active: active in the target.
        threshold: value above which an entry is active.
    """
    prediction, target = _alike(prediction, target)
    chosen = {
        "all": np.ones(target.shape, bool),
        "union": (prediction > threshold) | (target > threshold),
        "gt_active": target > threshold,
    }[entries]
    return float(np.abs(prediction - target)[chosen].sum()), int(chosen.sum())


def mae(prediction: np.ndarray, target: np.ndarray, entries: Entries = "all", threshold: float = 0.0) -> float:
    """Mean absolute error over the chosen entries (see absolute_errors), in the vocabulary's own scale.

    Raises:
        Undefined: there is no such entry.
    """
    return finish_mean(np.array(absolute_errors(prediction, target, entries, threshold)), "mae")


def correlations(prediction: np.ndarray, target: np.ndarray, scale: np.ndarray | float) -> np.ndarray:
    """Pearson correlation over time per AU, float64 (A,).

    NaN where the target's AU does not move (standard deviation below VARIES of its scale): there is nothing to follow.
    0 where the target moves and the prediction does not: leaving it out would reward a frozen face.

    Args:
        prediction, target: float (T, A).
        scale: largest possible value, per AU or for all.
    """
    prediction, target = _alike(prediction, target)
    a, b = prediction - prediction.mean(0), target - target.mean(0)
    moves = b.std(0) >= VARIES * np.asarray(scale)
    # A constant column of float32 values has a standard deviation of rounding errors, not of 0.
    frozen = a.std(0) <= 1e-6 * np.asarray(scale)
    norm = np.sqrt((a**2).sum(0) * (b**2).sum(0))
    r = (a * b).sum(0) / np.where(norm == 0, 1, norm)
    return np.where(moves, np.where(frozen, 0.0, r), np.nan)


def pcc(prediction: np.ndarray, target: np.ndarray, scale: np.ndarray | float) -> float:
    """Mean over AUs of `correlations`.

    Args:
        prediction, target: float (T, A), the frames of one clip.
        scale: largest possible value, per AU or for all.

    Raises:
        Undefined: fewer than MIN_FRAMES frames, or no AU of the target moves.
    """
    if len(target) < MIN_FRAMES:
        raise Undefined(f"{len(target)} usable frames; a correlation over time needs {MIN_FRAMES}")
    r = correlations(prediction, target, scale)
    if np.isnan(r).all():
        raise Undefined(
            f"none of the target's {r.size} AUs moves (standard deviation of at least {VARIES:.0%} of the scale)"
        )
    return float(r[~np.isnan(r)].mean())


def icc31(prediction: np.ndarray, target: np.ndarray) -> np.ndarray:
    """ICC(3,1) of Shrout and Fleiss (1979) per AU, float64 (A,): two fixed raters, consistency, single rating.

    (MSR - MSE) / (MSR + MSE) for two raters, with MSR the mean square between frames and MSE the residual one.
    NaN where both sides are constant.

    Args:
        prediction, target: float (T, A), T >= 2.
    """
    ratings = np.stack(_alike(prediction, target))
    if ratings.shape[1] < 2:
        raise Undefined("one frame; an ICC needs two")
    grand = ratings.mean((0, 1))
    rows, raters = ratings.mean(0), ratings.mean(1, keepdims=True)
    between = 2 * ((rows - grand) ** 2).sum(0)
    residual = ((ratings - rows - raters + grand) ** 2).sum((0, 1))
    total = between + residual
    return np.where(total == 0, np.nan, (between - residual) / np.where(total == 0, 1, total))


def _alike(prediction: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    prediction, target = np.asarray(prediction, np.float64), np.asarray(target, np.float64)
    if prediction.shape != target.shape or prediction.ndim != 2:
        raise ValueError(f"prediction and target must be (T, A) and alike, got {prediction.shape} and {target.shape}")
    return prediction, target


# -- from features --------------------------------------------------------------------------------------------------

SOURCES: dict[str, tuple[str, str, str]] = {
    "": ("openface", "openface18", "openface17"),
    ".libreface12": ("libreface", "libreface12", "libreface12_intensity"),
    ".feafa24": ("landmarks", "feafa24", "feafa24"),
    ".synth": ("synth_face", "feafa24", "feafa24"),
    ".synth_b": ("synth_au", "feafa24", "feafa24"),
}
"""Suffix of a variant -> extractor, vocabulary of presence, vocabulary of intensity."""
_ARRAYS = {
    ("openface", "openface18"): "c",
    ("openface", "openface17"): "r",
    ("libreface", "libreface12"): "detection",
    ("libreface", "libreface12_intensity"): "intensity",
    ("landmarks", "feafa24"): "blendshapes",
    ("synth_face", "feafa24"): "aus",
    ("synth_au", "feafa24"): "aus",
}
"""(Extractor, vocabulary) -> feature that holds it."""


def au_values(features: Features, extractor: str, vocabulary_name: str) -> np.ndarray:
    """AU values of a clip in the vocabulary, float32 (T, A), NaN where there is no face.

    Args:
        features: what the extractor returned for the clip.
    """
    values = features[_ARRAYS[extractor, vocabulary_name]]
    return ARKIT_TO_FEAFA(values) if extractor == "landmarks" else values


def paired_values(needs: Needs, role: str, extractor: str, vocabulary_name: str) -> tuple[np.ndarray, np.ndarray]:
    """AU values of the prediction and of another role's clip in the frames where both show a face, float32 (t, A) each.

    Raises:
        Undefined: too few frames do.
    """
    values = {
        side: au_values(needs[f"{side}:{extractor}"], extractor, vocabulary_name) for side in ("prediction", role)
    }
    both = usable_frames(**{side: np.isfinite(array).all(1) for side, array in values.items()})
    return values["prediction"][both], values[role][both]


def _counts_case(needs: Needs, role: str, extractor: str, vocabulary_name: str) -> np.ndarray:
    """TP, FP, FN, TN per AU, float64 (A * 4,)."""
    prediction, target = paired_values(needs, role, extractor, vocabulary_name)
    return counts(active(prediction, vocabulary_name), active(target, vocabulary_name)).ravel()


def _jaccard_case(needs: Needs, role: str, extractor: str, vocabulary_name: str) -> np.ndarray:
    """Sum over frames of |A & B| / |A | B|, and the number of frames where either side has an active AU."""
    prediction, target = paired_values(needs, role, extractor, vocabulary_name)
    return sample_statistics("jaccard", active(prediction, vocabulary_name), active(target, vocabulary_name))


def sample_statistics(
    score: ScoreName, prediction: np.ndarray, target: np.ndarray, zero_division: float = np.nan
) -> np.ndarray:
    """Sum over frames of a score over AUs, and the number of frames that have one, float64 (2,)."""
    parts = score_counts(score, counts(prediction, target, axis=1), zero_division)
    return np.array([np.nansum(parts), np.count_nonzero(~np.isnan(parts))])


def _mae_case(needs: Needs, role: str, extractor: str, vocabulary_name: str, entries: Entries) -> np.ndarray:
    return np.array(absolute_errors(*paired_values(needs, role, extractor, vocabulary_name), entries))


def _pcc_case(needs: Needs, role: str, extractor: str, vocabulary_name: str) -> float:
    prediction, target = paired_values(needs, role, extractor, vocabulary_name)
    return pcc(prediction, target, np.array(vocabulary(vocabulary_name).high))


# -- descriptions ---------------------------------------------------------------------------------------------------

ROLES = ("target", "driving")
PAPERS = {
    "": "IUFace (F1-AU, by OpenFace 2; Baltrusaitis et al., 2018)",
    ".libreface12": "IUFace, Table 6 (LibreFace; Chang et al., 2024)",
    ".feafa24": "AUHead, Table 1 (24 AUs of FEAFA)",
    ".synth": "AUHead, Table 1 (24 AUs of FEAFA)",
    ".synth_b": "AUHead, Table 1 (24 AUs of FEAFA); IUFace, Table 6 (a second estimator)",
}
_TOOLS = {
    "": "OpenFace 2",
    ".libreface12": "LibreFace 0.2.0",
    ".feafa24": "24 FEAFA AUs from mediapipe blendshapes with a measured dead zone; 3 of them cannot be seen",
    ".synth": "synthetic experts: valid on synth_* only; 24 FEAFA AUs by expert A",
    ".synth_b": "synthetic experts: valid on synth_* only; 24 FEAFA AUs by expert B, independent of A",
}
_AGAINST = {"target": "", "driving": "; against the driving clip of the case, whatever AUs the method was given"}
_PRESENCE: tuple[ScoreName, ...] = ("f1", "precision", "recall", "accuracy")


def _variant(role: str, suffix: str) -> str:
    """`@target.feafa24`, `@driving` and so on; the experts of the synthetic world are `@synth`, `@driving.synth`."""
    if suffix.startswith(".synth") and role == "target":
        return f"@{suffix.removeprefix('.')}"
    return f"@{role}{suffix}"


def _presence_metric(score: ScoreName, role: str, suffix: str) -> Metric:
    extractor, name, _ = SOURCES[suffix]
    by_frame = score == "accuracy" and name == "feafa24"
    where = {"role": role, "extractor": extractor, "vocabulary_name": name}
    finish: Callable = partial(finish_mean, score="jaccard") if by_frame else partial(finish_counts, score=score)
    if by_frame:
        note = "mean over frames of |A & B| / |A | B| (what AUHead's accuracy is)"
    else:
        note = (
            f"per AU over the frames of all clips, then the mean over the {len(vocabulary(name))} AUs (those defined)"
        )
    return Metric(
        name=f"au_{score}",
        variant=_variant(role, suffix),
        kind="pooled",
        needs=(f"prediction:{extractor}", f"{role}:{extractor}"),
        case=partial(_jaccard_case if by_frame else _counts_case, **where),
        finish=finish,
        per_case=finish,
        unit="",
        higher_is_better=True,
        paper=PAPERS[suffix],
        note=f"{_TOOLS[suffix]}; {note}{_AGAINST[role]}",
        bounds=(0.0, 1.0),
    )


def _mae_metric(role: str, suffix: str) -> Metric:
    extractor, _, name = SOURCES[suffix]
    entries: Entries = "union" if name == "feafa24" else "all"
    over = "the entries active on either side (what AUHead's values suggest)" if entries == "union" else "all entries"
    high = vocabulary(name).high[0]
    return Metric(
        name="au_mae",
        variant=_variant(role, suffix),
        kind="pooled",
        needs=(f"prediction:{extractor}", f"{role}:{extractor}"),
        case=partial(_mae_case, role=role, extractor=extractor, vocabulary_name=name, entries=entries),
        finish=partial(finish_mean, score="mae"),
        per_case=partial(finish_mean, score="mae"),
        unit="",
        higher_is_better=False,
        paper=PAPERS[suffix],
        note=f"{_TOOLS[suffix]}; intensity in [0, {high:g}], mean over {over} of all clips{_AGAINST[role]}",
        bounds=(0.0, high),
    )


def _pcc_metric(role: str, suffix: str) -> Metric:
    extractor, _, name = SOURCES[suffix]
    return Metric(
        name="au_pcc",
        variant=_variant(role, suffix),
        kind="mean",
        needs=(f"prediction:{extractor}", f"{role}:{extractor}"),
        case=partial(_pcc_case, role=role, extractor=extractor, vocabulary_name=name),
        unit="",
        higher_is_better=True,
        paper=PAPERS[suffix],
        note=f"{_TOOLS[suffix]}; over time within a clip, mean over the AUs that move in it{_AGAINST[role]}",
        bounds=(-1.0, 1.0),
    )


# -- answers: the first stage of AUHead, audio in, an emotion and AU vectors out -----------------------------------------


def written_values(needs: Needs) -> tuple[np.ndarray, np.ndarray]:
    """AU values of the answer and of the case, float32 (t, 24) each, in the rows where the case's show a face; those of
    the case with the two decimals an answer is written with, since what rounds to .00 is not written (Eq. 3, lambda 0).

    Raises:
        Undefined: too few rows show a face.
    """
    answer, truth = needs["case:answer"]["aus"], needs["case:aus"]["aus"]
    seen = usable_frames(target=np.isfinite(truth).all(1))
    return answer[seen], np.round(truth[seen], 2)


def _answer_presence_case(needs: Needs, score: ScoreName) -> np.ndarray:
    answer, truth = written_values(needs)
    return sample_statistics(score, active(answer, "feafa24"), active(truth, "feafa24"))


def _answer_mae_case(needs: Needs) -> np.ndarray:
    return np.array(absolute_errors(*written_values(needs), "union"))


def _answer_pcc_case(needs: Needs) -> float:
    return pcc(*written_values(needs), 1.0)


def _answer_metric(name: str, case: Callable, note: str, better: bool, score: str | None) -> Metric:
    return Metric(
        name=f"au_{name}",
        variant="@answer",
        kind="mean" if score is None else "pooled",
        needs=("case:answer", "case:aus"),
        case=case,
        finish=score and partial(finish_mean, score=score),
        per_case=score and partial(finish_mean, score=score),
        unit="",
        higher_is_better=better,
        paper="AUHead, Table 1 (24 AUs of FEAFA)",
        note=f"AU vectors a method answers audio with, against the case's own; {note}",
        bounds=(-1.0, 1.0) if score is None else (0.0, 1.0),
    )


def _answer_metrics() -> list[Metric]:
    scores: dict[str, ScoreName] = {"f1": "f1", "precision": "precision", "recall": "recall", "accuracy": "jaccard"}
    by_vector = "over the AUs of each vector, then the mean over vectors"
    found = [
        _answer_metric(name, partial(_answer_presence_case, score=score), by_vector, True, score)
        for name, score in scores.items()
    ]
    union = "mean over the entries active on either side"
    moving = "over time within a clip, mean over the AUs that move in it"
    return [
        *found,
        _answer_metric("mae", _answer_mae_case, union, False, "mae"),
        _answer_metric("pcc", _answer_pcc_case, moving, True, None),
    ]


_VARIANTS = [(role, suffix) for suffix in SOURCES for role in ROLES]

METRICS: tuple[Metric, ...] = (
    *(_presence_metric(score, role, suffix) for score in _PRESENCE for role, suffix in _VARIANTS),
    *(_mae_metric(role, suffix) for role, suffix in _VARIANTS),
    *(_pcc_metric(role, suffix) for role, suffix in _VARIANTS),
    *_answer_metrics(),
)
