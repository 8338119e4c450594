"""StableAvatar's inference (arXiv 2508.08248; inference.py of Francis-Rings/StableAvatar): a video of any length.

Every Euler step of flow matching evaluates each window of the video (`windows.py`) three times: with silence and the
negative prompt, with speech and the negative prompt, with speech and the prompt (`guidance.py`).

Differences from the published code: those of `windows.py`; a window hears the speech of its own 81 frames, as in training,
not of 84; latents and guidance are float32 whatever the network's type; noise is drawn latent frame by latent frame, so
that a longer video begins with the noise of a shorter one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from torch import Tensor

from bench.media.clip import samples_for
from methods.clock import Clock
from methods.conditioning.face import crop
from methods.conditioning.portrait import resized
from methods.conditioning.speech import require_speech
from methods.generator import GenerationError, Request
from methods.stableavatar.config import VideoConfig
from methods.stableavatar.evaluator import Evaluator
from methods.stableavatar.guidance import COND, three_pass_guidance
from methods.stableavatar.windows import Window, windows
from methods.talking_dit.alignment import latent_frames, video_frames
from methods.talking_dit.conditions import Conditions
from methods.talking_dit.transformer import TalkingDiT

if TYPE_CHECKING:
    from methods.conditioning.video_encoders import VideoEncoders


class StableAvatarPipeline:
    """Makes videos.

    Args:
        transformer: in eval mode and in the type to compute in.
        encoders: of the same model size.
        config: settings.
        device: torch device to compute on.
    """

    def __init__(self, transformer: TalkingDiT, encoders: VideoEncoders, config: VideoConfig, device: str = "cpu"):
        self.transformer, self.encoders, self.config = transformer, encoders, config
        self.device = torch.device(device)
        self.evaluate = Evaluator(transformer, config, self.device)
        self.scheduler = FlowMatchEulerDiscreteScheduler(shift=config.shift)
        self.clock = Clock(device)

    @torch.no_grad()
    def __call__(self, request: Request) -> Iterator[np.ndarray]:
        """The video piece by piece: uint8 (t, height, width, 3), request.num_frames together.

        Raises:
            GenerationError: the reference, the speech or the Action Units cannot be used.
        """
        config = self.config
        self.clock.reset()
        length = latent_frames(request.num_frames)
        planned = windows(length, latent_frames(config.window_frames), config.overlap, config.blend)
        with self.clock("encode"):
            told = self.conditions(request, planned)
        with self.clock("denoise"), self.evaluate.at_work():
            latents = self.start_noise(request, length)
            self.scheduler.set_timesteps(config.steps, device=self.device)
            for time in self.scheduler.timesteps:
                velocity = torch.zeros_like(latents)
                for window, conditions in zip(planned, told, strict=True):
                    share = torch.from_numpy(window.weights).to(self.device)[:, None, None]
                    velocity[:, :, window.latents] += share * self.guided(latents, time, window, conditions)
                latents = self.scheduler.step(velocity, time, latents).prev_sample
        yield from self.decoded(latents[0], request)

    def guided(self, latents: Tensor, time: Tensor, window: Window, conditions: Conditions) -> Tensor:
        """Velocity of a window, float32 (1, c, W, h, w), given the latents of the video."""
        if not self.evaluate.guides(time):
            return self.evaluate(latents, time, window, conditions, [COND])[0]
        return self.guidance(*self.evaluate(latents, time, window, conditions))

    def guidance(self, uncond: Tensor, audio: Tensor, cond: Tensor) -> Tensor:
        """One velocity of those under the three rows of conditions."""
        return three_pass_guidance(uncond, audio, cond, self.config.audio_scale, self.config.text_scale)

    def conditions(self, request: Request, planned: list[Window]) -> list[Conditions]:
        """What the transformer is told of each window, in three rows."""
        if request.audio is None:
            raise GenerationError("there is no audio, and the lips are driven by it")
        require_speech(request.audio)
        picture = self.picture(request)
        frames = video_frames(len(planned[0].weights))
        shared = Conditions(
            image=self.encoders.image(picture).expand(3, -1, -1),
            known=self.encoders.masked(picture, frames).expand(3, -1, -1, -1, -1),
            **self.of_video(request, picture),
        ).to(self.device)
        return [replace(shared, **self.of_window(request, window)) for window in planned]

    def of_video(self, request: Request, picture: np.ndarray) -> dict[str, Tensor]:
        """Conditions that all windows share besides the reference: silence and the negative prompt, speech and the negative
        prompt, speech and the prompt."""
        negative = self.negative_prompt()
        return {
            "text": torch.stack([negative, negative, self.prompt(request)]),
            "silent": torch.tensor([True, False, False]),
        }

    def of_window(self, request: Request, window: Window) -> dict[str, Tensor]:
        """Conditions of one window, on the device: its speech."""
        return {"vocal": self.encoders.vocal(window_audio(request, window)).expand(3, -1, -1).to(self.device)}

    # -- what goes in and out -----------------------------------------------------------------------------------------

    def prompt(self, request: Request) -> Tensor:
        """States of the text encoder, float32 (L, text_dim)."""
        if self.config.prompt_embedding:
            return self.encoders.read_embedding(self.config.prompt_embedding)
        return self.encoders.text(self.config.prompt or request.prompt)

    def negative_prompt(self) -> Tensor:
        """Likewise."""
        if self.config.negative_embedding:
            return self.encoders.read_embedding(self.config.negative_embedding)
        return self.encoders.negative_text(self.config.negative_prompt)

    def picture(self, request: Request) -> np.ndarray:
        """The reference as the networks see it, uint8 (H, W, 3).

        Raises:
            GenerationError: no face in it, or several.
        """
        image = request.reference
        if self.config.crop:
            image = crop(image, self.encoders.locate_face(image))
        picture = resized(image, *self.config.size(self.encoders.size))
        self.encoders.require_one_face(picture)
        return picture

    def start_noise(self, request: Request, length: int) -> Tensor:
        """What denoising starts from, float32 (1, c, L, h, w), drawn on the CPU so that every device starts from the same."""
        height, width = (pixels // self.encoders.vae_scale for pixels in self.config.size(self.encoders.size))
        generator = torch.Generator("cpu").manual_seed(request.seed)
        noise = torch.randn((length, self.encoders.latent_channels, height, width), generator=generator)
        return noise.transpose(0, 1)[None].to(self.device)

    def decoded(self, latents: Tensor, request: Request) -> Iterator[np.ndarray]:
        """The frames asked for of latents (c, L, h, w), piece by piece."""
        left = request.num_frames
        for frames in self.clock.each("decode", self.encoders.decode(latents)):
            yield np.stack([resized(frame, request.height, request.width) for frame in frames[:left]])
            left -= len(frames)


def window_audio(request: Request, window: Window) -> np.ndarray:
    """Speech of a window, float32 (S,) mono 16 kHz, silence after its end."""
    start, stop = (samples_for(frame, request.fps) for frame in (window.frames.start, window.frames.stop))
    heard = request.audio[start:stop]
    return np.pad(heard, (0, stop - start - len(heard)))
