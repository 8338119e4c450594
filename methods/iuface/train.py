"""IUFace's training (section 2, suppl. B): StableAvatar's with Action Units, neutral references and dropped conditions.

Where references come from (Eq. 3) is decided by what the batch holds: `methods.training.video_windows`. The guidance (Eq. 4)
compares three settings, which are all there is in training: null AUs with null audio, AUs with null audio, AUs with audio.
"""

from __future__ import annotations

import torch

from methods.stableavatar.train import VideoLearner
from methods.talking_dit.conditions import Conditions
from methods.training.learner import Batch
from methods.training.video_recipes import IUFaceRecipe


class IUFaceLearner(VideoLearner):
    """IUFace in training; without IDA a transformer that has no AU path."""

    recipe: IUFaceRecipe

    def conditions(self, batch: Batch) -> Conditions:
        recipe = self.recipe
        draw = torch.rand(len(batch["text"]), device=batch["text"].device)
        with_aus = recipe.au_attention != "none"
        return Conditions(
            text=batch["text"],
            image=batch["image"],
            known=batch["known"],
            vocal=batch["vocal"],
            silent=draw < recipe.uncond + recipe.uncond_audio,
            aus=batch["aus"] if with_aus else None,
            identity=batch.get("identity") if with_aus else None,
            null_aus=draw < recipe.uncond if with_aus else None,
        )
