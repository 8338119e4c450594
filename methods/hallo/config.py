"""Settings of Hallo. Defaults are the published ones (configs/inference/default.yaml of fudan-generative-vision/hallo)
unless said otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from methods.generator import GeneratorConfig


class HalloConfig(GeneratorConfig):
    """The rate of the frames is the request's: it decides the number of audio features and nothing else. Hallo was trained
    at 25 frames a second."""

    model: Literal["full", "synth"] = "full"
    """Sizes: the published ones, or those of the synthetic world."""
    checkpoint: Path | None = None
    """Weights to use instead of the lock's: a file that `bench train hallo` wrote."""
    steps: int = Field(default=40, ge=1)
    """Denoising steps per clip."""
    guidance_scale: float = Field(default=3.5, ge=0)
    """s_H: weight of all conditions against none; 1 is no guidance."""
    frames_per_clip: int = Field(default=16, ge=1, le=30)
    """F: frames that are denoised together; with the motion frames at most 32."""
    motion_frames: int = Field(default=2, ge=1, le=2)
    """Frames before a clip that its motion modules see."""
    motion_scale: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Weights of what the speech does to pose (the whole picture), face and lips."""
    separate_vocals: bool = False
    """Take music and noise out of the speech first, as published; needs audio-separator."""
    crop: bool = False
    """Cut the reference to a square around the face; the video shows that square."""
    dtype: Literal["bfloat16", "float16", "float32"] = "float16"
    """Of the networks; latents and guidance are float32."""
