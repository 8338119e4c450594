"""How good answers are, in the averages of Table 1 (specs in `metrics.functional.au`, which training does not import).

Recall, precision, F1 and accuracy (|A and B| / |A or B|) are taken over the AUs of each vector, then averaged over vectors;
the absolute error over the entries that are active on either side, and over all; ACC_emo over recordings.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def au_scores(prediction: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Scores of vectors; an AU is active above 0 at two decimals.

    Args:
        prediction, truth: float (N, 24) in [0, 1], N vectors of any number of recordings.
    """
    prediction, truth = np.round(prediction, 2), np.round(truth, 2)
    a, b = prediction > 0, truth > 0
    both, either = (a & b).sum(1), (a | b).sum(1)
    error = np.abs(prediction - truth)
    return {
        "recall": _mean_share(both, b.sum(1)),
        "precision": _mean_share(both, a.sum(1)),
        "accuracy": _mean_share(both, either),
        "f1": _mean_share(2 * both, a.sum(1) + b.sum(1)),
        "mae": float(error[a | b].mean()),
        "mae_all": float(error.mean()),
    }


def baseline_scores(truth: np.ndarray) -> dict[str, dict[str, float]]:
    """The same for an answer that is always 0, and for the mean vector of the truth itself."""
    always = np.broadcast_to(truth.mean(0), truth.shape)
    return {"zero": au_scores(np.zeros_like(truth), truth), "mean": au_scores(always, truth)}


def acc_emo(answers: Sequence[str | None], labels: Sequence[str]) -> float:
    """Percent of recordings whose emotion is named by the label's own word."""
    return 100 * float(np.mean([answer == label for answer, label in zip(answers, labels, strict=True)]))


def _mean_share(part: np.ndarray, whole: np.ndarray) -> float:
    """Mean of part / whole over the vectors that have a whole; 0 if none has."""
    defined = whole > 0
    return float((part[defined] / whole[defined]).mean()) if defined.any() else 0.0
