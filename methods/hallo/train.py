"""Hallo's two training stages (train_stage1.py, train_stage2.py of fudan-generative-vision/hallo), and training from
random weights for small models.

The network predicts the velocity v = sqrt(a) n - sqrt(1 - a) x of noisy latents sqrt(a) x + sqrt(1 - a) n, on a schedule
that ends in pure noise (zero terminal SNR). As published, the betas are "scaled_linear" here and "linear" at inference,
and the Min-SNR weight multiplies a loss that is already a mean over the batch: it is the *average* weight of the batch's
time steps, not a weight for each. Step 999, whose own weight is 0, is learnt for this reason only.
"""

from __future__ import annotations

import torch
from diffusers import DDIMScheduler
from diffusers.training_utils import compute_snr
from torch import Tensor

from methods.conditioning.masks import face_mask, region_masks
from methods.hallo.modules import HalloModules
from methods.hallo.pipeline import SCHEDULE
from methods.talking_unet.conditions import Conditions
from methods.training.learner import Batch, Learner, freeze, freeze_unread, sample, spatial_only, train_only, zeroed
from methods.training.recipes import HalloRecipe

TRAINING_SCHEDULE = SCHEDULE | {"beta_schedule": "scaled_linear"}
"""Noise schedule of the published training."""
SECOND_STAGE = ("motion_modules", "audio_modules", "audioproj.")
"""What learns in stage 2 (666.0 M and the audio projection); all else learns in stage 1."""


class HalloLearner(Learner):
    """Hallo in training.

    Args:
        modules: its networks.
        recipe: how.
        size: side of the frames in pixels.
    """

    modules_: HalloModules
    recipe: HalloRecipe

    def __init__(self, modules: HalloModules, recipe: HalloRecipe, size: int):
        super().__init__(modules.requires_grad_(True), recipe)
        self.size = size
        self.scheduler = DDIMScheduler(**TRAINING_SCHEDULE | {"beta_schedule": recipe.betas})
        if not recipe.from_scratch and recipe.stage == 2:
            train_only(modules, SECOND_STAGE)
            return
        freeze_unread(modules.reference_unet)
        if not modules.denoiser.motion_in_plain_blocks:
            for block in (modules.denoiser.down_blocks[-1], modules.denoiser.up_blocks[0]):
                block.motion_modules.requires_grad_(False)
        if recipe.stage == 1:
            freeze(modules, SECOND_STAGE)

    def prepare(self, batch: Batch) -> Batch:
        """Adds `place` (B, 3, S, S) and, for every level of the denoiser, `regions_LEVEL` (B, 3, s*s): full, face, lip.

        Boxes of a whole clip's frames are not enlarged, as published.
        """
        side = batch["latent_mean"].shape[-1]
        levels = tuple(side >> level for level in range(len(self.denoiser.config.block_out_channels)))
        boxes = list(zip(batch["face_box"].numpy(), batch["lip_box"].numpy(), strict=True))
        places = [torch.from_numpy(face_mask(face, self.size, 1.0)) for face, _ in boxes]
        masks = [region_masks(*pair, levels, size=self.size, face_ratio=1.0, lip_ratio=1.0) for pair in boxes]
        regions = {
            f"regions_{level}": torch.stack([torch.stack([torch.from_numpy(m) for m in row[level]]) for row in masks])
            for level in range(len(levels))
        }
        return batch | regions | {"place": torch.stack(places)}

    def conditions(self, batch: Batch, null: Tensor) -> Conditions:
        modules, recipe = self.modules_, self.recipe
        frames = batch["latent_mean"].shape[1]
        face = modules.imageproj(zeroed(batch["face"], null))
        audio = modules.audioproj(batch["speech"])
        place = zeroed(modules.face_locator(batch["place"]), null)
        levels = [batch[f"regions_{level}"] for level in range(len(self.denoiser.config.block_out_channels))]
        return Conditions(
            face=face,
            reference=modules.reference_unet(self.reference_latents(batch), face),
            use_reference=~(null | self.some(batch, recipe.uncond_image)),
            audio=zeroed(audio, null | self.some(batch, recipe.uncond_audio)),
            masks=tuple(tuple(level[:, i, None].expand(-1, frames, -1) for i in range(3)) for level in levels),
            face_mask=place[:, None].expand(-1, frames, -1, -1, -1),
        )

    def denoising_loss(self, batch: Batch, conditions: Conditions) -> Tensor:
        latents = sample(batch["latent_mean"], batch["latent_std"])
        noise = torch.randn_like(latents)
        noise = noise + self.recipe.noise_offset * torch.randn_like(latents[..., :1, :1])
        steps = self.scheduler.config.num_train_timesteps
        times = torch.randint(steps, (len(latents),), device=latents.device)
        noisy = self.scheduler.add_noise(latents, noise, times)
        target = self.scheduler.get_velocity(latents, noise, times)
        with spatial_only(self.denoiser, self.recipe.stage == 1):
            predicted = self.denoiser(noisy, times, conditions).float()
        return (self.place_weights(batch) * (predicted - target) ** 2).mean() * self.weight(times)

    def weight(self, times: Tensor) -> Tensor:
        """Scalar: the mean of min(SNR, gamma) / (SNR + 1) over time steps (B,)."""
        if self.recipe.snr_gamma is None:
            return torch.ones((), device=times.device)
        snr = compute_snr(self.scheduler, times)
        return (snr.clamp(max=self.recipe.snr_gamma) / (snr + 1)).mean()
