"""Settings of MEMO. Defaults are the published ones (configs/inference.yaml of memoavatar/memo) unless said otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from bench.media.errors import UserError
from methods.conditioning.emotion import emotion_class
from methods.generator import GeneratorConfig


class MemoConfig(GeneratorConfig):
    """The rate of the frames is the request's: it decides the number of audio features and nothing else. The published
    configuration makes 30 frames a second, AUHead runs it at 25."""

    model: Literal["full", "synth"] = "full"
    """Sizes: the published ones, or those of the synthetic world."""
    checkpoint: Path | None = None
    """Weights to use instead of the lock's: a file that `bench train memo` wrote."""
    steps: int = Field(default=20, ge=1)
    """Denoising steps per clip."""
    guidance_scale: float = Field(default=3.5, ge=0)
    """s_H: weight of all conditions against none; 1 is no guidance."""
    frames_per_clip: int = Field(default=16, ge=1, le=32)
    """F: frames that are denoised together."""
    past_frames: int = Field(default=16, ge=1)
    """Frames before a clip that enter the memory."""
    emotion: str | None = None
    """Emotion of the whole video, in emotion2vec's words; None hears it in the speech of every clip."""
    separate_vocals: bool = False
    """Take music and noise out of the speech first, as published; needs audio-separator."""
    crop: bool = False
    """Cut the reference to a square around the face; the video shows that square."""
    dtype: Literal["bfloat16", "float16", "float32"] = "bfloat16"
    """Of the networks; latents and guidance are float32."""

    @field_validator("emotion")
    @classmethod
    def _is_known(cls, emotion: str | None) -> str | None:
        if emotion is not None:
            try:
                emotion_class(emotion)
            except UserError as error:
                raise ValueError(str(error)) from error
        return emotion
