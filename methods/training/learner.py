"""What MEMO and Hallo share when they are trained: sampled latents, dropped conditions, one forward pass per batch.

Conditions are dropped per window; the published scripts draw once per batch, which at their batch of one (MEMO) is the
same. Zeroed past frames are zero latents here and latents of a grey picture there.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from methods.talking_unet.conditions import Conditions
from methods.training.recipes import Recipe

Batch = dict[str, Tensor]


class Learner(nn.Module, ABC):
    """Networks of a base method; its forward takes a batch of `Windows.draw` and returns the loss.

    Letters: B windows, F frames, P past frames.
    """

    recipe: Recipe

    @abstractmethod
    def conditions(self, batch: Batch, null: Tensor) -> Conditions:
        """Everything the denoiser is told, with conditions dropped as the recipe says.

        Args:
            batch: of `Windows.draw`.
            null: bool (B,): windows that are told nothing, as the unconditional half of guidance is.
        """

    @abstractmethod
    def denoising_loss(self, batch: Batch, conditions: Conditions) -> Tensor:
        """The loss on noisy latents at random times, a scalar."""

    def forward(self, batch: Batch) -> Tensor:
        return self.denoising_loss(batch, self.conditions(batch, self.some(batch, self.recipe.uncond)))

    def some(self, batch: Batch, share: float) -> Tensor:
        """bool (B,): windows that are chosen with this probability, independently."""
        return torch.rand(len(batch["face"]), device=batch["face"].device) < share

    def reference_latents(self, batch: Batch) -> Tensor:
        """(B, 1 + P, 4, h, w): sampled latents of the reference and the past frames, the latter zeroed in some windows."""
        latents = sample(batch["reference_mean"], batch["reference_std"])
        kept = ~self.some(batch, self.recipe.start_ratio)
        latents[:, 1:] *= kept[:, None, None, None, None]
        return latents


def sample(mean: Tensor, std: Tensor) -> Tensor:
    """A draw from the autoencoder's posterior."""
    return mean + std * torch.randn_like(mean)


def zeroed(values: Tensor, rows: Tensor) -> Tensor:
    """Values (B, ...) with zeros in the rows that bool (B,) names."""
    return values.masked_fill(rows.view(-1, *[1] * (values.ndim - 1)), 0.0)
