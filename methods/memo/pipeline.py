"""MEMO's inference (arXiv 2412.04448; inference.py of memoavatar/memo): a video of any length, one clip after the other.

The past frames of a clip, which for the first one are the reference repeated, go through the reference net with it and into
the memory of the motion modules, where what earlier clips left fades. Guidance is e = e_null + s_H (e_H - e_null): the null
row has a projected zero identity, zeros in place of audio tokens, the null emotion and no attention to the reference,
but the same memory of past frames.

Differences from the published code: past frames are the frames that were put out, rounded to 8 bits, not the decoder's
numbers; latents stay float32 whatever the networks' type; the memory is built once a clip instead of in every step of the
first, which is the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from torch import Tensor

from methods.conditioning.emotion import EMOTIONS, clip_emotion, emotion_class
from methods.conditioning.encoders import Encoders
from methods.conditioning.portrait import Portrait, read_portrait, start_noise
from methods.generator import Request
from methods.memo.config import MemoConfig
from methods.memo.modules import MemoModules
from methods.talking_unet.conditions import Conditions
from methods.talking_unet.memo_modules import MotionMemory

NULL_EMOTION = len(EMOTIONS)


class MemoPipeline:
    """Makes videos.

    Args:
        modules: in eval mode, on the device and in the type to compute in.
        encoders: of the same model size.
        config: settings.
        vocal_separator: Kim_Vocal_2.onnx, with `separate_vocals`.
    """

    def __init__(
        self, modules: MemoModules, encoders: Encoders, config: MemoConfig, vocal_separator: Path | None = None
    ):
        self.modules, self.encoders, self.config = modules, encoders, config
        self.vocal_separator = vocal_separator
        self.scheduler = FlowMatchEulerDiscreteScheduler()

    @torch.no_grad()
    def __call__(self, request: Request) -> Iterator[np.ndarray]:
        """The video clip by clip: uint8 (t, height, width, 3), request.num_frames together.

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
            conditions = self.clip_conditions(portrait, clip, past, clip_emotion(emotions[clip]))
            memory = denoiser.remember(conditions.reference, memory)
            latents = start_noise(noise, config.frames_per_clip, self.encoders).to(denoiser.device)
            self.scheduler.set_timesteps(config.steps, device=denoiser.device)
            for time in self.scheduler.timesteps:
                null, human = self.predict(latents, time, conditions, memory)
                velocity = null + config.guidance_scale * (human - null)
                latents = self.scheduler.step(velocity, time, latents).prev_sample
            frames = self.encoders.decode(latents[0])
            past = np.concatenate([past, frames])[-config.past_frames :]
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

    def emotions(self, portrait: Portrait, fps: float) -> np.ndarray:
        """int64 (T',): class of every frame of whole clips, heard or, where the settings name one, that."""
        frames = len(portrait.speech)
        if self.config.emotion is not None:
            return np.full(frames, emotion_class(self.config.emotion))
        return self.encoders.emotion(portrait.audio, frames, fps)

    def clip_conditions(self, portrait: Portrait, clip: slice, past: np.ndarray, emotion: int) -> Conditions:
        """What the denoiser is told of a clip, in two rows: nothing (null), and everything (H).

        Args:
            past: uint8 (P, S, S, 3), the frames before the clip, oldest first.
            emotion: class of the clip.
        """
        modules, device, dtype = self.modules, self.modules.denoiser.device, self.modules.denoiser.dtype
        embedding = torch.from_numpy(portrait.face.embedding)[None].to(device, dtype)
        face = modules.image_proj(torch.cat([torch.zeros_like(embedding), embedding]))
        seen, _ = self.encoders.encode(np.concatenate([portrait.picture[None], past]))
        reference = modules.reference_net(seen.to(device, dtype).expand(2, -1, -1, -1, -1), face)
        audio = modules.audio_proj(torch.from_numpy(portrait.speech_windows(clip)).to(device, dtype))
        return Conditions(
            face=face,
            reference=reference,
            use_reference=torch.tensor([False, True], device=device),
            audio=torch.cat([torch.zeros_like(audio), audio]),
            emotion=torch.tensor([NULL_EMOTION, emotion], device=device),
        )

    def predict(
        self, latents: Tensor, time: Tensor, conditions: Conditions, memory: MotionMemory
    ) -> tuple[Tensor, Tensor]:
        """Noise minus latents as predicted with nothing and with everything told, each float32 (1, F, c, h, w)."""
        denoiser = self.modules.denoiser
        both = denoiser(latents.to(denoiser.dtype).expand(2, -1, -1, -1, -1), time, conditions, memory)
        return both.float().chunk(2)
