"""Action Unit agreement as torchmetrics classes, on the formulas of `metrics.functional.au`."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torchmetrics import Metric

from bench.media.au import vocabulary
from metrics.functional.au import (
    PAPERS,
    Average,
    Entries,
    ScoreName,
    absolute_errors,
    active,
    clip_statistics,
    counts,
    finish_counts,
    finish_mean,
    pcc,
    sample_statistics,
)
from metrics.functional.coverage import usable_frames


class _AUMetric(Metric):
    """What they share: clips of values in a vocabulary; frames without a face on either side are left out."""

    is_differentiable = False
    full_state_update = False
    unit: str = ""
    paper: str = PAPERS[""]

    def __init__(self, vocabulary_name: str, **kwargs):
        super().__init__(**kwargs)
        self.vocabulary_name = vocabulary_name

    def _usable(self, prediction: torch.Tensor, target: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Values of the frames with a face in both, float (t, A) each."""
        arrays = {"prediction": prediction.cpu().numpy(), "target": target.cpu().numpy()}
        both = usable_frames(**{side: np.isfinite(values).all(1) for side, values in arrays.items()})
        return arrays["prediction"][both], arrays["target"][both]

    def _add(self, name: str, values: np.ndarray) -> None:
        state = getattr(self, name)
        setattr(self, name, state + torch.as_tensor(values, dtype=torch.float64, device=state.device))


class _AUPresence(_AUMetric):
    """A score of presence.

    Args:
        vocabulary_name: `openface18`, `libreface12` or `feafa24`; decides what is active.
        average: see `metrics.functional.au.presence_score`; a clip is what one `update` adds.
        zero_division: what 0 / 0 counts; NaN leaves the AU, frame or clip out.
    """

    higher_is_better = True
    score: ScoreName

    table: torch.Tensor

    def __init__(
        self,
        vocabulary_name: str = "openface18",
        average: Average = "macro_au",
        zero_division: float = float("nan"),
        **kwargs,
    ):
        super().__init__(vocabulary_name, **kwargs)
        self.average = average
        self.zero_division = zero_division
        by_part = average in ("samples", "per_clip")
        shape = (2,) if by_part else (len(vocabulary(vocabulary_name)), 4)
        self.add_state("table", torch.zeros(shape, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, prediction: torch.Tensor, target: torch.Tensor) -> None:
        """Add one clip.

        Args:
            prediction, target: float (T, A) in the vocabulary; NaN where there is no face.

        Raises:
            Undefined: too few frames have a face in both.
        """
        values = self._usable(prediction, target)
        a, b = (active(side, self.vocabulary_name) for side in values)
        if self.average == "samples":
            self._add("table", sample_statistics(self.score, a, b, self.zero_division))
        elif self.average == "per_clip":
            self._add("table", clip_statistics(self.score, a, b, self.zero_division))
        else:
            self._add("table", counts(a, b))

    def compute(self) -> torch.Tensor:
        """The score over all clips; float64 (A,) for `per_au`.

        Raises:
            Undefined: nothing had a value.
        """
        table = self.table.cpu().numpy()
        if self.average in ("samples", "per_clip"):
            return torch.tensor(finish_mean(table, self.score), dtype=torch.float64)
        value = finish_counts(table, self.score, self.average, self.zero_division)
        return torch.as_tensor(value, dtype=torch.float64)


class AUF1(_AUPresence):
    """F1 of AU presence. The default is IUFace's F1-AU as read here: 18 OpenFace presences, macro over AUs."""

    score = "f1"


class AUPrecision(_AUPresence):
    """Precision of AU presence: of the AUs the generated face shows, the share the target shows."""

    score = "precision"


class AURecall(_AUPresence):
    """Recall of AU presence: of the AUs the target shows, the share the generated face shows."""

    score = "recall"


class AUAccuracy(_AUPresence):
    """Accuracy of AU presence.

    Args:
        definition: `elementwise` is the share of equal entries; `jaccard` is |A & B| / |A | B|, which with `samples` is
            AUHead's accuracy.
    """

    def __init__(
        self,
        vocabulary_name: str = "openface18",
        average: Average = "macro_au",
        zero_division: float = float("nan"),
        definition: Literal["elementwise", "jaccard"] = "elementwise",
        **kwargs,
    ):
        super().__init__(vocabulary_name, average, zero_division, **kwargs)
        self.score: ScoreName = "accuracy" if definition == "elementwise" else "jaccard"


class AUMAE(_AUMetric):
    """Mean absolute error of AU intensity, over entries of all frames of all clips.

    Args:
        vocabulary_name: `openface17`, `libreface12_intensity` or `feafa24`.
        entries: all; union: active in either; gt_active: active in the target.
    """

    higher_is_better = False

    table: torch.Tensor

    def __init__(self, vocabulary_name: str = "openface17", entries: Entries = "all", **kwargs):
        super().__init__(vocabulary_name, **kwargs)
        self.entries = entries
        self.add_state("table", torch.zeros(2, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, prediction: torch.Tensor, target: torch.Tensor) -> None:
        """Add one clip: float (T, A) each in the vocabulary; NaN where there is no face."""
        self._add("table", np.array(absolute_errors(*self._usable(prediction, target), self.entries)))

    def compute(self) -> torch.Tensor:
        return torch.tensor(finish_mean(self.table.cpu().numpy(), "mae"), dtype=torch.float64)


class AUPCC(_AUMetric):
    """Mean over clips of the mean over moving AUs of the Pearson correlation over time.

    Args:
        vocabulary_name: `openface17`, `libreface12_intensity` or `feafa24`.
    """

    higher_is_better = True

    table: torch.Tensor

    def __init__(self, vocabulary_name: str = "openface17", **kwargs):
        super().__init__(vocabulary_name, **kwargs)
        self.add_state("table", torch.zeros(2, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, prediction: torch.Tensor, target: torch.Tensor) -> None:
        """Add one clip: float (T, A) each in the vocabulary; NaN where there is no face.

        Raises:
            Undefined: the clip has no value.
        """
        high = np.array(vocabulary(self.vocabulary_name).high)
        self._add("table", np.array([pcc(*self._usable(prediction, target), high), 1.0]))

    def compute(self) -> torch.Tensor:
        return torch.tensor(finish_mean(self.table.cpu().numpy(), "pcc"), dtype=torch.float64)
