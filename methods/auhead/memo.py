"""AUHead on MEMO: MEMO's loop with AU tokens and four predictions a step (Eq. 6).

They are evaluated as two pairs, [(phi, phi), (H, phi)] and [(phi, AU), (H, AU)], which share reference
features and memory. H is everything that MEMO's own guidance switches off together. The first pair is MEMO's own and does
not call the adapter, which adds exactly nothing to the null AU.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from methods.auhead.adapter import AUAdapter
from methods.auhead.config import AUHeadMemoConfig
from methods.auhead.guidance import disentanglement_guidance
from methods.conditioning.emotion import clip_emotion
from methods.conditioning.encoders import Encoders
from methods.conditioning.portrait import start_noise
from methods.generator import Request
from methods.memo.modules import MemoModules
from methods.memo.pipeline import MemoPipeline


class AUHeadMemoPipeline(MemoPipeline):
    """Makes videos.

    Args:
        modules, encoders, config, vocal_separator: as `MemoPipeline`.
        adapter: in eval mode, on the device and in the type of the modules.
    """

    def __init__(
        self,
        modules: MemoModules,
        encoders: Encoders,
        config: AUHeadMemoConfig,
        adapter: AUAdapter,
        vocal_separator: Path | None = None,
    ):
        super().__init__(modules, encoders, config, vocal_separator)
        self.adapter = adapter
        modules.denoiser.au_adapter = adapter

    @torch.no_grad()
    def __call__(self, request: Request) -> Iterator[np.ndarray]:
        """The video clip by clip: uint8 (t, height, width, 3), request.num_frames together.

        Args:
            request: with AUs, float32 (T, 24) in [0, 1]; None is the null AU.

        Raises:
            GenerationError: see `read_portrait`.
        """
        config, denoiser = self.config, self.modules.denoiser
        portrait = self.read(request)
        emotions = self.emotions(portrait, request.fps)
        noise = torch.Generator("cpu").manual_seed(request.seed)
        past = np.repeat(portrait.picture[None], config.past_frames, axis=0)
        memory = None
        for clip in portrait.clips:
            without_aus = self.clip_conditions(portrait, clip, past, clip_emotion(emotions[clip]))
            with_aus = replace(without_aus, aus=self.adapter.tokens(request.aus, clip).expand(2, -1, -1))
            memory = denoiser.remember(without_aus.reference, memory)
            latents = start_noise(noise, config.frames_per_clip, self.encoders).to(denoiser.device)
            self.scheduler.set_timesteps(config.steps, device=denoiser.device)
            for time in self.scheduler.timesteps:
                null, human = self.predict(latents, time, without_aus, memory)
                aus, both = self.predict(latents, time, with_aus, memory)
                velocity = disentanglement_guidance(null, human, aus, both, config.guidance_scale, config.au_scale)
                latents = self.scheduler.step(velocity, time, latents).prev_sample
            frames = self.encoders.decode(latents[0])
            past = np.concatenate([past, frames])[-config.past_frames :]
            yield portrait.finished(frames, clip)
