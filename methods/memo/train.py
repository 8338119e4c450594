"""MEMO's fine-tuning (finetune.py of memoavatar/memo), and its training from random weights for small models.

Flow matching between latents x and noise n: z = (1 - s) x + s n at a time s whose logit is normal, the network predicts
n - x, and the loss is the squared error of the x that follows, z - s (prediction): that of the prediction weighed by s^2.
"""

from __future__ import annotations

import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from torch import Tensor, nn

from methods.talking_unet.conditions import Conditions
from methods.training.learner import Batch, Learner, sample, zeroed
from methods.training.recipes import MemoRecipe

NULL_EMOTION = 9
TRAINED = ("motion_modules", "audio_modules")
"""Parts of the denoiser that the published fine-tuning trains (817.3 M)."""


class MemoLearner(Learner):
    """MEMO's networks in training."""

    def __init__(
        self,
        reference_net: nn.Module,
        unet: nn.Module,
        image_projection: nn.Module,
        audio_projection: nn.Module,
        recipe: MemoRecipe,
    ):
        super().__init__()
        self.reference_net, self.unet = reference_net, unet
        self.image_projection, self.audio_projection = image_projection, audio_projection
        self.recipe = recipe
        self.scheduler = FlowMatchEulerDiscreteScheduler()
        if not recipe.from_scratch:
            self.requires_grad_(False)
            for name, parameter in unet.named_parameters():
                parameter.requires_grad_(any(part in name for part in TRAINED))

    def conditions(self, batch: Batch, null: Tensor) -> Conditions:
        recipe = self.recipe
        silent = self.some(batch, recipe.uncond_audio)
        face = self.image_projection(zeroed(batch["face"], null))
        reference = self.reference_net(self.reference_latents(batch), face)
        speech, silent_tokens = batch["speech"], null
        if recipe.null_audio == "before projection":
            speech = zeroed(speech, silent)
        else:
            silent_tokens = null | silent
        return Conditions(
            face=face,
            reference=reference,
            use_reference=~(null | self.some(batch, recipe.uncond_image)),
            audio=zeroed(self.audio_projection(speech), silent_tokens),
            emotion=batch["emotion"].masked_fill(null | self.some(batch, recipe.drop_emotion), NULL_EMOTION),
        )

    def denoising_loss(self, batch: Batch, conditions: Conditions) -> Tensor:
        latents = sample(batch["latent_mean"], batch["latent_std"])
        noise = torch.randn_like(latents)
        timesteps, sigmas = self.times(len(latents), latents.device)
        noisy = (1 - sigmas) * latents + sigmas * noise
        predicted = self.unet(noisy, timesteps, conditions).float()
        return x0_loss(predicted, noisy, latents, sigmas, self.recipe.robust_loss)

    def times(self, rows: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """Time steps (B,) and noise levels (B, 1, 1, 1, 1) of the scheduler, at indices whose logit is normal."""
        drawn = torch.sigmoid(torch.randn(rows, device=device))
        steps = self.scheduler.config.num_train_timesteps
        index = (drawn * steps).long().cpu()
        sigmas = self.scheduler.sigmas[index].to(device)
        return self.scheduler.timesteps[index].to(device), sigmas.view(-1, 1, 1, 1, 1)


def x0_loss(predicted: Tensor, noisy: Tensor, latents: Tensor, sigmas: Tensor, robust: float | None) -> Tensor:
    """Squared error of the latents that a velocity says; windows whose error is larger than `robust` do not count.

    Args:
        predicted, noisy, latents: (B, F, 4, h, w).
        sigmas: (B, 1, 1, 1, 1) noise level in [0, 1].

    Returns:
        scalar, mean over the windows that count; 0 if none does.
    """
    losses = ((noisy - sigmas * predicted - latents) ** 2).flatten(1).mean(1)
    if robust is None:
        return losses.mean()
    counts = (losses <= robust).to(losses.dtype)
    return (losses * counts).sum() / counts.sum().clamp(min=1)
