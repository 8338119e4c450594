"""Recipes of the video transformer's two methods. Defaults are StableAvatar's script (train_1B_square.sh of
Francis-Rings/StableAvatar) and IUFace's section 2 and supplement B; what neither says is ours and marked so.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from methods.conditioning.video_encoders import IdentityEncoder
from methods.training.recipes import Recipe

Reference = Literal["neutral", "first", "random"]
Preset = Literal["wo_ida", "wo_ia", "wo_dbe", "level3", "arcface"]


class VideoRecipe(Recipe):
    """What both methods share: flow matching at uniform steps of the shifted schedule, a loss that picks regions."""

    base: Path | None = None
    """Weights of the transformer to begin with, a file that this command wrote; None takes the lock's."""
    steps: int | None = Field(default=40_000, ge=1)
    """Steps of the optimizer; None leaves the end to `minutes`. IUFace's, on four GPUs with one window each."""
    learning_rate: float = Field(default=2e-5, gt=0)
    """Of AdamW."""
    warmup: float = Field(default=0.0025, ge=0, lt=1)
    """Share of the training in which the learning rate rises from 0: 100 of 40,000 steps."""
    weight_decay: float = 3e-2
    """Of AdamW, on all weights."""
    epsilon: float = Field(default=1e-10, gt=0)
    """Of AdamW."""
    clip_norm: float = 0.05
    """Largest norm of the gradient."""
    learns: Literal["blocks", "all"] = "blocks"
    """Which parameters learn: blocks, vocal projector and AU path, as published; or every one, for small models."""
    from_scratch: bool = False
    """Begin with random weights, of which `base` replaces those that it has too: for small models."""

    reference: Reference
    """Where reference images come from: a neutral clip of the same person (Eq. 3), the target clip's first frame, or any of
    its frames."""
    shift: float = Field(default=5.0, gt=0)
    """Of the schedule whose 1000 steps are drawn from, all alike."""
    face_only: float = Field(default=0.1, ge=0, le=1)
    """Share of windows whose loss counts the face alone."""
    lips_only: float = Field(default=0.5, ge=0, le=1)
    """Share of windows whose loss counts the lips alone."""
    uncond_audio: float = Field(default=0.1, ge=0, le=1)
    """Share of windows with the null audio."""
    clip_level_vocal: float = Field(default=0.0, ge=0, le=1)
    """Share of steps in which every latent frame looks at the speech of the whole window."""
    prompts: Path | None = None
    """JSON file, clip id or identity -> prompt that says what the person and the scene look like, and nothing else
    (supplement B); None has one general prompt for all."""
    separate_vocals: bool = False
    """Whether speech is separated from other sound first."""

    @model_validator(mode="after")
    def _shares_fit(self) -> VideoRecipe:
        if self.face_only + self.lips_only > 1:
            raise ValueError("face_only and lips_only are shares of all windows; together they are more than 1")
        return self


class StableAvatarRecipe(VideoRecipe):
    """StableAvatar's training on Wan2.1-Fun-V1.1-1.3B-InP."""

    reference: Reference = "first"
    """Where reference images come from; published is the first frame of the window, which this takes in windows that begin
    the clip."""
    face_weight: float = Field(default=1.0, ge=0)
    """Added to the loss's weight, 1, of latents in the face, in windows that count all of the picture."""
    lip_weight: float = Field(default=1.0, ge=0)
    """The same in the lips."""
    clip_level_vocal: float = Field(default=0.3, ge=0, le=1)
    """Share of steps in which every latent frame looks at the speech of the whole window."""
    drop_text: float = Field(default=0.0, ge=0, le=1)
    """Share of windows with an empty prompt; ours, for models that learn what no prompt is from nothing else."""


class IUFaceRecipe(VideoRecipe):
    """IUFace's training on StableAvatar. The paper does not say how often conditions are dropped."""

    preset: Preset | None = None
    """An ablation of Tables 2, 5 and 7; None is the whole method. Names as in `methods.iuface.config`."""
    reference: Reference = "neutral"
    """Where reference images come from: a neutral clip of the same person (Eq. 3), or the target clip (w/o DBE)."""
    identity_encoder: IdentityEncoder = "clip"
    """Whose embedding phi2 reads; none has no phi2 (w/o IA)."""
    au_attention: Literal["latent", "clip", "none"] = "latent"
    """AUs that a latent frame looks at: its own, those of the whole window, or no AU path at all (w/o IDA)."""
    levels: tuple[int, ...] | None = None
    """Intensity levels to learn from; None takes all. References stay neutral ones."""
    uncond: float = Field(default=0.1, ge=0, le=1)
    """Share of windows with null AUs and null audio, v_uncond of Eq. 4; ours."""
    uncond_audio: float = Field(default=0.1, ge=0, le=1)
    """Share of windows with AUs and null audio, v_au of Eq. 4; ours."""

    @model_validator(mode="before")
    @classmethod
    def _of_preset(cls, values: dict[str, Any]) -> dict[str, Any]:
        return PRESETS.get(values.get("preset"), {}) | values

    @model_validator(mode="after")
    def _is_the_preset(self) -> IUFaceRecipe:
        for name, value in PRESETS.get(self.preset, {}).items():
            if getattr(self, name) != value:
                raise ValueError(f"preset={self.preset} has {name}={value}; leave out one of the two")
        if self.uncond + self.uncond_audio > 1:
            raise ValueError("uncond and uncond_audio are shares of all windows; together they are more than 1")
        return self


PRESETS: Mapping[Preset | None, Mapping[str, Any]] = {
    "wo_ida": {"au_attention": "none", "identity_encoder": "none"},
    "wo_ia": {"identity_encoder": "none"},
    "wo_dbe": {"reference": "random"},
    "level3": {"levels": (3,)},
    "arcface": {"identity_encoder": "arcface"},
}
"""Ablation -> what it changes. Without IDA there is no AU path at all: the paper calls it an audio-driven model."""
