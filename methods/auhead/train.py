"""AUHead's stage 2 (section 3.4): the AU adapter and its embedding learn, everything else is frozen.

The guidance (Eq. 6) evaluates the denoiser with and without H, the base's conditions as a whole, and with and without
AUs: e(phi, AU), e(H, phi), e(phi, phi), e(H, AU). H and the AUs are therefore dropped independently, H as a whole; with
p = 0.1 each, the four cases are 9 %, 9 %, 1 % and 81 % of the windows. The loss is the base's own (Eq. 1).
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from methods.auhead.adapter import AUAdapter
from methods.auhead.au_map import au_maps
from methods.training.learner import Batch, Learner, zeroed
from methods.training.recipes import AUHeadHalloRecipe, AUHeadMemoRecipe


class AUHeadLearner(nn.Module):
    """A frozen base, in eval mode, with an AU adapter that learns.

    Args:
        base: in any state; its parameters are frozen and its emotion dropout is off.
        adapter: what learns.
        recipe: how.
    """

    def __init__(self, base: Learner, adapter: AUAdapter, recipe: AUHeadMemoRecipe | AUHeadHalloRecipe):
        super().__init__()
        self.base, self.adapter, self.recipe = base.requires_grad_(False), adapter, recipe
        base.denoiser.au_adapter = adapter

    def train(self, mode: bool = True) -> AUHeadLearner:
        super().train(mode)
        self.base.eval()
        return self

    def prepare(self, batch: Batch) -> Batch:
        """Adds `au_maps`, float (B, n + F + n, 24) or uint8 (B, n + F + n, S, S): what the embedding reads."""
        config, face = self.adapter.config, self.adapter.face
        maps = [au_maps(rows, config.representation, config.map_size, face) for rows in batch["aus"].numpy()]
        return self.base.prepare(batch) | {"au_maps": torch.stack([torch.from_numpy(rows) for rows in maps])}

    def forward(self, batch: Batch) -> Tensor:
        base, recipe = self.base, self.recipe
        conditions = base.conditions(batch, base.some(batch, recipe.uncond))
        tokens = self.adapter.embedding(batch["au_maps"])
        aus = zeroed(tokens, base.some(batch, recipe.drop_aus))
        return base.denoising_loss(batch, replace(conditions, aus=aus))
