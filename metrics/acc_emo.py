"""ACC_emo as a torchmetrics class, on the formulas of `metrics.functional.acc_emo`."""

from __future__ import annotations

from typing import Literal

import torch
from torchmetrics import Metric

from metrics.functional.acc_emo import EMOTIONS, METRICS, emotion_statistics, macro_recall, micro_accuracy


class EmotionAccuracy(Metric):
    """Percent of clips whose emotion the classifier recognises.

    Args:
        classifier: whose class order `update` gets its probabilities in (`metrics.functional.acc_emo.CLASSES`).
    """

    higher_is_better = True
    is_differentiable = False
    full_state_update = False
    unit: str = "%"
    paper: str = METRICS[0].paper

    statistics: torch.Tensor

    def __init__(self, classifier: Literal["emotion_fan", "emotion_fan_crema6", "hsemotion"] = "emotion_fan", **kwargs):
        super().__init__(**kwargs)
        self.classifier = classifier
        self.paper = {metric.variant: metric.paper for metric in METRICS}[f"@{classifier}"]
        zeros = torch.zeros(2 * len(EMOTIONS), dtype=torch.float64)
        self.add_state("statistics", zeros, dist_reduce_fx="sum")

    def update(self, probabilities: torch.Tensor, label: str) -> None:
        """Add one clip.

        Args:
            probabilities: float (C,) of the clip.
            label: true emotion, in any spelling of `metrics.functional.acc_emo.ALIASES`.

        Raises:
            Undefined: the label is not a class of the classifier.
        """
        added = emotion_statistics(probabilities.cpu().numpy(), label, self.classifier)
        self.statistics += torch.from_numpy(added).to(self.statistics.device)

    def compute(self) -> torch.Tensor:
        return torch.tensor(micro_accuracy(self.statistics.cpu().numpy()), dtype=torch.float64)


class EmotionMacroRecall(EmotionAccuracy):
    """As EmotionAccuracy, with every emotion that occurs weighing the same."""

    def compute(self) -> torch.Tensor:
        return torch.tensor(macro_recall(self.statistics.cpu().numpy()), dtype=torch.float64)
