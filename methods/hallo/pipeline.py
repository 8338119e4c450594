"""Hallo's inference (arXiv 2406.08801; scripts/inference.py of fudan-generative-vision/hallo): a video of any length, one
clip after the other.

The motion frames of a clip are the last two of the one before, and for the first clip the reference repeated. They go
through the reference net with it, and the motion modules of the denoiser see them before the clip's own frames. Guidance is
e = e_null + s_H (e_H - e_null): the null row has a projected zero identity, zeros in place of audio tokens and of the face
locator's features, and no attention to the reference, but the same motion frames and region masks.

Differences from the published code: motion frames are the frames that were put out, rounded to 8 bits, not the decoder's
numbers; latents stay float32 whatever the networks' type.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from diffusers import DDIMScheduler
from torch import Tensor

from methods.conditioning.encoders import Encoders
from methods.conditioning.masks import face_mask, region_masks
from methods.conditioning.portrait import Portrait, read_portrait, start_noise
from methods.generator import Request
from methods.hallo.config import HalloConfig
from methods.hallo.modules import HalloModules
from methods.talking_unet.conditions import Conditions

SCHEDULE = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "linear",
    "prediction_type": "v_prediction",
    "rescale_betas_zero_snr": True,
    "timestep_spacing": "trailing",
    "clip_sample": False,
    "steps_offset": 1,
}
"""Noise schedule at inference; the training's betas are "scaled_linear"."""


class HalloPipeline:
    """Makes videos.

    Args:
        modules: in eval mode, on the device and in the type to compute in.
        encoders: of the same model size.
        config: settings.
        vocal_separator: Kim_Vocal_2.onnx, with `separate_vocals`.
    """

    def __init__(
        self, modules: HalloModules, encoders: Encoders, config: HalloConfig, vocal_separator: Path | None = None
    ):
        self.modules, self.encoders, self.config = modules, encoders, config
        self.vocal_separator = vocal_separator
        self.scheduler = DDIMScheduler(**SCHEDULE)

    @torch.no_grad()
    def __call__(self, request: Request) -> Iterator[np.ndarray]:
        """The video clip by clip: uint8 (t, height, width, 3), request.num_frames together.

        Raises:
            GenerationError: see `read_portrait`.
        """
        config, denoiser = self.config, self.modules.denoiser
        portrait = self.read(request)
        noise = torch.Generator("cpu").manual_seed(request.seed)
        past = np.repeat(portrait.picture[None], config.motion_frames, axis=0)
        for clip in portrait.clips:
            conditions = self.clip_conditions(portrait, clip, past)
            latents = start_noise(noise, config.frames_per_clip, self.encoders).to(denoiser.device)
            self.scheduler.set_timesteps(config.steps, device=denoiser.device)
            for time in self.scheduler.timesteps:
                null, human = self.predict(latents, time, conditions)
                velocity = null + config.guidance_scale * (human - null)
                latents = self.scheduler.step(velocity, time, latents, eta=0.0).prev_sample
            frames = self.encoders.decode(latents[0])
            past = np.concatenate([past, frames])[-config.motion_frames :]
            yield portrait.finished(frames, clip)

    def read(self, request: Request) -> Portrait:
        """What all clips of the video share."""
        return read_portrait(
            request,
            self.encoders,
            self.config.frames_per_clip,
            crop_face=self.config.crop,
            vocal_separator=self.vocal_separator,
        )

    def clip_conditions(self, portrait: Portrait, clip: slice, past: np.ndarray) -> Conditions:
        """What the denoiser is told of a clip, in two rows: nothing (null), and everything (H).

        Args:
            past: uint8 (P, S, S, 3), the frames before the clip, oldest first.
        """
        modules, device, dtype = self.modules, self.modules.denoiser.device, self.modules.denoiser.dtype
        embedding = torch.from_numpy(portrait.face.embedding)[None].to(device, dtype)
        face = modules.imageproj(torch.cat([torch.zeros_like(embedding), embedding]))
        seen, _ = self.encoders.encode(np.concatenate([portrait.picture[None], past]))
        reference = modules.reference_unet(seen.to(device, dtype).expand(2, -1, -1, -1, -1), face)
        audio = modules.audioproj(torch.from_numpy(portrait.speech_windows(clip)).to(device, dtype))
        place = torch.from_numpy(face_mask(portrait.face.face_box, self.encoders.size))
        place = modules.face_locator(place[None].to(device, dtype))
        return Conditions(
            face=face,
            reference=reference,
            use_reference=torch.tensor([False, True], device=device),
            audio=torch.cat([torch.zeros_like(audio), audio]),
            masks=self.masks(portrait, clip.stop - clip.start),
            motion_scale=self.config.motion_scale,
            face_mask=torch.stack([torch.zeros_like(place), place]).expand(-1, audio.shape[1], -1, -1, -1),
        )

    def masks(self, portrait: Portrait, frames: int) -> tuple[tuple[Tensor, Tensor, Tensor], ...]:
        """Weights of the audio attention's branches, for every level (full, face, lip), each (2, F, s*s)."""
        denoiser, side = self.modules.denoiser, self.encoders.size // self.encoders.vae_scale
        levels = tuple(side >> level for level in range(len(denoiser.config.block_out_channels)))
        regions = region_masks(portrait.face.face_box, portrait.face.lip_box, levels, size=self.encoders.size)
        return tuple(
            tuple(torch.from_numpy(mask).to(denoiser.device, denoiser.dtype).expand(2, frames, -1) for mask in level)
            for level in regions
        )

    def predict(self, latents: Tensor, time: Tensor, conditions: Conditions) -> tuple[Tensor, Tensor]:
        """Velocity as predicted with nothing and with everything told, each float32 (1, F, c, h, w)."""
        denoiser = self.modules.denoiser
        both = denoiser(latents.to(denoiser.dtype).expand(2, -1, -1, -1, -1), time, conditions)
        return both.float().chunk(2)
