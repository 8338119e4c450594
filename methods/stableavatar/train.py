"""StableAvatar's training (train_1B_square.py of Francis-Rings/StableAvatar), and that of small models from random weights.

Flow matching between latents x and noise n: z = (1 - s) x + s n, the network predicts n - x. The noise level s is any of the
1000 of the schedule, which is shifted towards noise as the base's; inference shifts it twice. The squared error is
multiplied, element by element, by what a window draws: the mask of the lips, that of the face, or 1 (plus both masks for
StableAvatar); then all elements are averaged, so a small region has a small loss.

Differences from the published script: what it draws once a batch is drawn for every window, which at its batch of one is the
same, but for clip-level speech; null audio is zeros in place of vocal tokens, as in its inference, not what the projector makes
of zeros; no loss on differences between neighbours (there a quarter of the loss, taken along channels instead of time); the
gradient's largest norm does not start out larger.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from torch import Tensor, nn

from methods.talking_dit.conditions import Conditions
from methods.talking_dit.transformer import TalkingDiT
from methods.training.learner import Batch, sample, zeroed
from methods.training.video_recipes import StableAvatarRecipe, VideoRecipe


class VideoLearner(nn.Module, ABC):
    """A video transformer in training: takes a batch of `VideoWindows.draw` and returns the loss.

    Letters: B windows, T latent frames of c x h x w.

    Args:
        transformer: trained in place.
        recipe: how.
    """

    def __init__(self, transformer: TalkingDiT, recipe: VideoRecipe):
        super().__init__()
        self.transformer, self.recipe = transformer, recipe
        self.scheduler = FlowMatchEulerDiscreteScheduler(shift=recipe.shift)
        transformer.requires_grad_(recipe.learns == "all")
        for parameter in transformer.trained_parameters():
            parameter.requires_grad_(True)
        if recipe.gradient_checkpointing:
            transformer.enable_gradient_checkpointing()

    def prepare(self, batch: Batch) -> Batch:
        return batch

    @abstractmethod
    def conditions(self, batch: Batch) -> Conditions:
        """Everything the transformer is told, with conditions dropped as the recipe says."""

    def forward(self, batch: Batch) -> Tensor:
        latents = sample(batch["latent_mean"], batch["latent_std"])
        noise = torch.randn_like(latents)
        times, levels = self.times(len(latents), latents.device)
        noisy = (1 - levels) * latents + levels * noise
        clip_level = bool(torch.rand(()) < self.recipe.clip_level_vocal)
        velocity = self.transformer(noisy, times, self.conditions(batch), clip_level_vocal=clip_level)
        errors = (velocity.float() - (noise - latents)) ** 2
        return (self.region_weights(batch) * errors).mean()

    def times(self, rows: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """Time steps (B,) of the schedule, all alike, and their noise levels (B, 1, 1, 1, 1)."""
        index = torch.randint(self.scheduler.config.num_train_timesteps, (rows,))
        levels = self.scheduler.sigmas[index].view(-1, 1, 1, 1, 1)
        return self.scheduler.timesteps[index].to(device), levels.to(device)

    def region_weights(self, batch: Batch) -> Tensor:
        """(B, 1, T, h, w): what the squared error is multiplied by (IUFace, suppl. B)."""
        recipe, lips, face = self.recipe, batch["lips"], batch["face"]
        draw = torch.rand(len(lips), device=lips.device)[:, None, None, None]
        whole = 1 + recipe.face_weight * face + recipe.lip_weight * lips
        weights = torch.where(draw < recipe.lips_only + recipe.face_only, face, whole)
        return torch.where(draw < recipe.lips_only, lips, weights)[:, None]


class StableAvatarLearner(VideoLearner):
    """StableAvatar in training."""

    recipe: StableAvatarRecipe

    def conditions(self, batch: Batch) -> Conditions:
        silent, wordless = torch.rand(2, len(batch["text"]), device=batch["text"].device)
        return Conditions(
            text=zeroed(batch["text"], wordless < self.recipe.drop_text),
            image=batch["image"],
            known=batch["known"],
            vocal=batch["vocal"],
            silent=silent < self.recipe.uncond_audio,
        )
