"""MEMO's fine-tuning (finetune.py of memoavatar/memo), and the training from random weights for small models.

Stage 1 learns pictures (the paper's face domain adaptation): single frames, everything but audio and motion modules. Stage 2
learns speech and motion; it is what finetune.py does, and from random weights everything goes on learning in it.

Flow matching between latents x and noise n: z = (1 - s) x + s n at a time s whose logit is normal, the network predicts
n - x, and the loss is the squared error of the x that follows, z - s (prediction): that of the prediction weighed by s^2.
"""

from __future__ import annotations

import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from torch import Tensor

from methods.conditioning.emotion import EMOTIONS
from methods.memo.modules import MemoModules
from methods.talking_unet.conditions import Conditions
from methods.talking_unet.memo_modules import EmotionNorm
from methods.training.learner import Batch, Learner, freeze, freeze_unread, sample, spatial_only, train_only, zeroed
from methods.training.recipes import MemoRecipe

NULL_EMOTION = len(EMOTIONS)
FINE_TUNED = ("motion_modules", "audio_modules")
"""Parts of the denoiser that the published fine-tuning trains (817.3 M)."""


class MemoLearner(Learner):
    """MEMO in training."""

    modules_: MemoModules
    recipe: MemoRecipe

    def __init__(self, modules: MemoModules, recipe: MemoRecipe):
        super().__init__(modules.requires_grad_(True), recipe)
        self.scheduler = FlowMatchEulerDiscreteScheduler()
        if recipe.stage == 2 and not recipe.from_scratch:
            train_only(modules, FINE_TUNED)
        else:
            freeze_unread(modules.reference_net)
        if recipe.stage == 1:
            freeze(modules, (*FINE_TUNED, "audio_proj."))
        for module in modules.modules():
            if isinstance(module, EmotionNorm):
                module.dropout = recipe.drop_emotion

    def conditions(self, batch: Batch, null: Tensor) -> Conditions:
        modules, recipe = self.modules_, self.recipe
        silent = self.some(batch, recipe.uncond_audio)
        before = recipe.null_audio == "before projection"
        face = modules.image_proj(zeroed(batch["face"], null))
        audio = modules.audio_proj(zeroed(batch["speech"], silent) if before else batch["speech"])
        return Conditions(
            face=face,
            reference=modules.reference_net(self.reference_latents(batch), face),
            use_reference=~(null | self.some(batch, recipe.uncond_image)),
            audio=zeroed(audio, null if before else null | silent),
            emotion=batch["emotion"].masked_fill(null, NULL_EMOTION),
        )

    def denoising_loss(self, batch: Batch, conditions: Conditions) -> Tensor:
        latents = sample(batch["latent_mean"], batch["latent_std"])
        noise = torch.randn_like(latents)
        times, sigmas = self.times(len(latents), latents.device)
        noisy = (1 - sigmas) * latents + sigmas * noise
        with spatial_only(self.denoiser, self.recipe.stage == 1):
            predicted = self.denoiser(noisy, times, conditions).float()
        error = predicted - (noise - latents)
        if self.recipe.loss == "latents":
            error = sigmas * error  # They are noisy - sigmas * velocity.
        losses = (self.place_weights(batch) * error**2).flatten(1).mean(1)
        return robust_mean(losses, self.recipe.robust_loss)

    def times(self, rows: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """Time steps (B,) of the scheduler at places whose logit is normal, and their noise levels (B, 1, 1, 1, 1)."""
        place = torch.sigmoid(torch.randn(rows, device=device))
        index = (place * self.scheduler.config.num_train_timesteps).long().cpu()
        sigmas = self.scheduler.sigmas[index].to(device)
        return self.scheduler.timesteps[index].to(device), sigmas.view(-1, 1, 1, 1, 1)


def robust_mean(losses: Tensor, largest: float | None) -> Tensor:
    """Mean of the losses (B,) that are not larger than `largest`, a scalar; 0 if none is, of all if there is no limit."""
    if largest is None:
        return losses.mean()
    counts = (losses <= largest).to(losses.dtype)
    return (losses * counts).sum() / counts.sum().clamp(min=1)
