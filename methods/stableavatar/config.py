"""Settings of the video transformer's methods, and those of StableAvatar. Defaults are the published ones (inference.sh of
Francis-Rings/StableAvatar) unless said otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from methods.generator import GeneratorConfig
from methods.stableavatar.windows import Blend
from methods.talking_dit.alignment import latent_frames

PROFILE_SETTINGS = {
    "cache": "cached",
    "cache_threshold": "cached",
    "mag_ratios": "cached",
    "guidance_interval": "guidance_interval",
}
"""Setting -> the only profile that reads it."""
PIXELS = 16
"""Sides of a frame are multiples of this: 8 pixels a latent, 2 x 2 latents a token."""


class VideoConfig(GeneratorConfig):
    """What StableAvatar and IUFace share. Both were trained at 25 frames a second."""

    model: Literal["full", "synth"] = "full"
    """Sizes: the published ones, or those of the synthetic world."""
    checkpoint: Path | None = None
    """Weights of the transformer to use instead of the lock's: a file that `bench train` wrote."""
    steps: int = Field(default=50, ge=1)
    """Denoising steps."""
    shift: float = Field(default=5.0, gt=0)
    """Of the noise schedule; as published it acts on the schedule's ends and again on the schedule."""
    window_frames: int = Field(default=81, ge=5)
    """Frames the transformer sees together, 4 k + 1; longer videos are made in windows."""
    overlap: int = Field(default=5, ge=1)
    """Latent frames, of four frames each, that neighbouring windows share at the least."""
    blend: Blend = "linear"
    """Course of the weights over shared latent frames."""
    height: int | None = None
    """Of the frames the transformer makes, stretched to the size asked for; None is the model's own (512, synth 128)."""
    width: int | None = None
    """Likewise."""
    crop: bool = False
    """Cut the reference to a square around the face; the video shows that square."""
    prompt: str | None = None
    """What the person and the scene look like; None takes the case's prompt or else a general one."""
    prompt_embedding: Path | None = None
    """Encoder states of a prompt (.safetensors), in place of the text encoder's."""

    profile: Literal["exact", "compiled", "cached", "guidance_interval"] = "exact"
    """Speed profile, part of the method's name (`iuface@cached`): plain, compiled blocks, blocks skipped where little has
    changed since the last step, guidance in some of the steps only."""
    cache: Literal["first_block", "mag"] = "first_block"
    """With profile cached: First-Block Cache, or MagCache, which needs `mag_ratios`."""
    cache_threshold: float = Field(default=0.05, gt=0)
    """With profile cached: change from which blocks are computed again; larger is faster and less exact."""
    mag_ratios: Path | None = None
    """With cache mag: JSON list of the transformer's magnitude ratios, one a step (methods/stableavatar/mag_ratios.py)."""
    guidance_interval: tuple[float, float] = (0.5, 0.98)
    """With profile guidance_interval: noise levels in [0, 1] between which guidance acts (Kynkaanniemi et al., 2024)."""
    evaluations: Literal["batched", "single"] = "batched"
    """The three evaluations of a step: in one batch, or one after the other in a third of the memory."""
    dtype: Literal["bfloat16", "float16", "float32"] = "bfloat16"
    """Of the networks; latents and guidance are float32."""
    offload: Literal["none", "model", "group"] = "none"
    """What stays in the CPU's memory: nothing, networks that are not at work, blocks that are not at work."""
    vae_tiling: bool = False
    """Encode and decode frames in tiles, for less memory."""

    @property
    def reads_text(self) -> bool:
        """Whether the text encoder is needed."""
        return self.prompt_embedding is None

    def size(self, side: int) -> tuple[int, int]:
        """Height and width of the frames the transformer makes, given the side of the model's own."""
        return self.height or side, self.width or side

    @field_validator("window_frames")
    @classmethod
    def _is_whole_latents(cls, frames: int) -> int:
        if frames % 4 != 1:
            raise ValueError(f"must be 4 k + 1 frames, such as {frames - (frames - 1) % 4}, not {frames}")
        return frames

    @field_validator("height", "width")
    @classmethod
    def _is_whole_tokens(cls, pixels: int | None) -> int | None:
        if pixels is not None and (pixels < PIXELS or pixels % PIXELS):
            near = max(PIXELS, PIXELS * round(pixels / PIXELS))
            raise ValueError(f"must be a multiple of {PIXELS}, such as {near}, not {pixels}")
        return pixels

    @field_validator("guidance_interval")
    @classmethod
    def _is_interval(cls, interval: tuple[float, float]) -> tuple[float, float]:
        if not 0 <= interval[0] < interval[1] <= 1:
            raise ValueError(f"must be two rising noise levels from 0 to 1, not {list(interval)}")
        return interval

    @model_validator(mode="after")
    def _agrees(self) -> VideoConfig:
        if self.overlap >= latent_frames(self.window_frames):
            raise ValueError(
                f"overlap={self.overlap} must be less than the {latent_frames(self.window_frames)} latent frames of a window"
            )
        if (self.mag_ratios is None) == (self.cache == "mag"):
            raise ValueError("cache=mag needs mag_ratios=FILE, and only it reads them")
        for name, profile in PROFILE_SETTINGS.items():
            if self.profile != profile and getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{name} is read with profile={profile}, and this is profile={self.profile}")
        if self.prompt is not None and self.prompt_embedding is not None:
            raise ValueError("give prompt or prompt_embedding, not both")
        return self


class StableAvatarConfig(VideoConfig):
    """Frames follow speech, a picture and a prompt."""

    text_scale: float = Field(default=3.0, ge=0)
    """s_t: weight of the prompt against the negative prompt, both with speech."""
    audio_scale: float = Field(default=5.0, ge=0)
    """s_a: weight of the speech against silence, both with the negative prompt."""
    negative_prompt: str | None = None
    """What the video shall not look like; None is Wan's own."""
    negative_embedding: Path | None = None
    """Encoder states of a negative prompt (.safetensors), in place of the text encoder's."""

    @property
    def reads_text(self) -> bool:
        return not (self.prompt_embedding and self.negative_embedding)
