"""Hallo's two training stages (train_stage1.py, train_stage2.py of fudan-generative-vision/hallo), and training from
random weights for small models.

The network predicts the velocity v = sqrt(a) n - sqrt(1 - a) x of noisy latents sqrt(a) x + sqrt(1 - a) n, on a schedule
that ends in pure noise (zero terminal SNR). As published, the training's betas are "scaled_linear" where inference has
"linear" ones, and the Min-SNR weight multiplies a loss that is already a mean over the batch: it is the *average* weight
of the batch's time steps, not a weight for each. Step 999, whose own weight is 0, is learnt for this reason only.
"""

from __future__ import annotations

import torch
from diffusers import DDIMScheduler
from diffusers.training_utils import compute_snr
from torch import Tensor, nn

from methods.talking_unet.conditions import Conditions
from methods.training.learner import Batch, Learner, sample, zeroed
from methods.training.recipes import HalloRecipe

SCHEDULE = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "prediction_type": "v_prediction",
    "rescale_betas_zero_snr": True,
    "timestep_spacing": "trailing",
    "clip_sample": False,
    "steps_offset": 1,
}
TRAINED = ("motion_modules", "audio_modules")
"""Parts of the denoiser that learn in stage 2 (666.0 M), beside the audio projection; the others learn in stage 1."""
