"""AUHead's stage 2 (section 3.4): the AU adapter and its embedding learn, everything else is frozen.

The guidance (Eq. 6) evaluates the denoiser with and without H, the base's conditions as a whole, and with and without
AUs: e(phi, AU), e(H, phi), e(phi, phi), e(H, AU). H and the AUs are therefore dropped independently, H as a whole; with
p = 0.1 each, the four cases are 9 %, 9 %, 1 % and 81 % of the windows. The loss is the base's own (Eq. 1).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from methods.auhead.adapter import AUAdapter
from methods.auhead.au_map import au_maps
from methods.training.learner import Batch, Learner, zeroed
from methods.training.recipes import AUHeadRecipe


class AUHeadLearner(nn.Module):
    """A frozen base with an AU adapter that learns."""

    def __init__(self, base: Learner, adapter: AUAdapter, recipe: AUHeadRecipe):
        super().__init__()
        self.base = base.requires_grad_(False)
        self.adapter = adapter
        self.recipe = recipe

    def forward(self, batch: Batch) -> Tensor:
        base, recipe = self.base, self.recipe
        conditions = base.conditions(batch, base.some(batch, recipe.uncond))
        tokens = self.adapter.embedding(batch["au_maps"])
        aus = zeroed(tokens, base.some(batch, recipe.drop_aus))
        return base.denoising_loss(batch, replace(conditions, aus=aus))
