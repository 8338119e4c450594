"""The loss of the first stage as a module, for `methods.training.loop`."""

from __future__ import annotations

from torch import Tensor, nn


class Stage1Learner(nn.Module):
    """Cross-entropy of the answer's tokens, mean over those of the batch (section 3.4)."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        return self.model(**batch).loss
