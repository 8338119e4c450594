"""Recipes: what decides a training of a video method. Defaults are those of the papers and the published code, cited at
each value; what the small checkpoints of the synthetic world were trained with stands in `SYNTH_...`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Recipe(BaseModel):
    """What any training of a video method is told."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    protocol: str | None = None
    """Protocol whose training clips are learnt from; `--protocol` sets it."""
    model: Literal["full", "synth"] = "full"
    """Sizes: the published ones, or those of the synthetic world."""
    base: Path | None = None
    """Weights of the base to begin with, a file that this command wrote; None takes the lock's. With from_scratch: of
    either base, for what both have; None begins with random ones."""

    steps: int | None = Field(default=20_000, ge=1)
    """Steps of the optimizer; None leaves the end to `minutes`."""
    minutes: float | None = Field(default=None, gt=0)
    """Minutes of wall clock over all sessions; the first of the two limits ends the training."""
    batch: int = Field(default=1, ge=1)
    """Windows per process and forward pass."""
    accumulate: int = Field(default=1, ge=1)
    """Forward passes per step."""
    learning_rate: float = Field(default=1e-5, gt=0)
    """Of AdamW."""
    schedule: Literal["constant", "cosine"] = "constant"
    """Learning rate after the warm-up: as it is, or half a cosine down to 0 at the end of the training."""
    warmup: float = Field(default=0.0, ge=0, lt=1)
    """Share of the training in which the learning rate rises from 0."""
    weight_decay: float = 0.01
    """Of AdamW, on all weights."""
    epsilon: float = Field(default=1e-8, gt=0)
    """Of AdamW."""
    clip_norm: float = 1.0
    """Largest norm of the gradient."""
    average: float | None = Field(default=None, gt=0, lt=1)
    """Decay of a moving average of the weights, which is then what the training returns; None keeps none."""
    eight_bit_adam: bool = False
    """AdamW with 8-bit states; needs the package bitsandbytes and a GPU."""
    precision: Literal["bf16", "no"] = "bf16"
    """Mixed precision of the forward pass; trained weights stay float32."""
    gradient_checkpointing: bool = True
    """Compute activations twice to hold fewer: about a quarter slower, several times less memory."""
    compile: bool = False
    """torch.compile the forward pass."""
    face_weight: float = Field(default=0.0, ge=0)
    """Added to the loss's weight, 1, of latents in the face; small models learn sooner."""
    lip_weight: float = Field(default=0.0, ge=0)
    """The same in the lips."""
    from_scratch: bool = False
    """Begin with random weights and train every parameter: for small models, which have no published base."""

    stored: Literal["bfloat16", "float16", "float32", "int8"] = "bfloat16"
    """How the trained weights are written; int8, with a scale for every row of a matrix, halves the file."""
    log_every: int = Field(default=50, ge=1)
    """Steps between lines of the log."""
    checkpoint_minutes: float = Field(default=5.0, ge=0)
    """Minutes between checkpoints."""
    validate_every: int | None = Field(default=None, ge=1)
    """Steps between validation videos; None makes none."""

    @model_validator(mode="after")
    def _has_an_end(self) -> Recipe:
        if self.steps is None and self.minutes is None:
            raise ValueError("a training needs steps or minutes")
        return self

    def progress(self, step: int, seconds: float) -> float:
        """Share of the training that is done, 1 at its end."""
        by_steps = step / self.steps if self.steps else 0.0
        by_clock = seconds / (60 * self.minutes) if self.minutes else 0.0
        return min(1.0, max(by_steps, by_clock))


class UNetRecipe(Recipe):
    """What a training of Hallo or MEMO is told besides: both have two stages, windows with past frames, and a reference net."""

    stage: Literal[1, 2] = 2
    """Stage of the method's training; `--stage` sets it."""
    frames: int = Field(default=16, ge=1)
    """F: frames of a window; 1 in stage 1."""
    past_frames: int = Field(default=16, ge=0)
    """P: frames before it; 0 in stage 1."""
    uncond: float = Field(default=0.0, ge=0, le=1)
    """Share of windows without any condition, as the unconditional half of guidance has none."""
    uncond_image: float = Field(default=0.05, ge=0, le=1)
    """Share of windows without reference features."""
    uncond_audio: float = Field(default=0.05, ge=0, le=1)
    """Share of windows with zeroed speech."""
    start_ratio: float = Field(default=0.05, ge=0, le=1)
    """Share of windows with zeroed past frames."""
    drop_audio_context: float = Field(default=0.0, ge=0, le=1)
    """Share of windows whose speech before the first frame is replaced by that of the first."""
    drop_past_context: float = Field(default=0.0, ge=0, le=1)
    """Share of windows whose past frames are replaced by the first frame."""
    first_window: float = Field(default=0.0, ge=0, le=1)
    """Share of windows at a clip's beginning with its first frame as reference and, repeated, as past frames: how every
    video begins when it is generated."""

    @model_validator(mode="before")
    @classmethod
    def _of_stage(cls, values: dict[str, Any]) -> dict[str, Any]:
        return (FIRST_STAGE | values | SINGLE_FRAMES) if str(values.get("stage")) == "1" else values


FIRST_STAGE = {"batch": 8, "uncond": 0.1, "uncond_image": 0.0}
"""Defaults of stage 1, Hallo's; MEMO's paper gives none."""
SINGLE_FRAMES = {"frames": 1, "past_frames": 0}
"""What stage 1 is, whatever else the settings say."""


class MemoRecipe(UNetRecipe):
    """MEMO's fine-tuning (finetune.py): motion and audio modules learn, on windows of 16 frames."""

    stage: Literal[1, 2] = 2
    """1: single frames (the paper's face domain adaptation), 2: the published fine-tuning."""
    loss: Literal["latents", "velocity"] = "latents"
    """Squared error of the latents that a predicted velocity says, as published, or of the velocity itself, which weighs
    little noise, where details are made, as much as much noise."""
    robust_loss: float | None = 0.1
    """Windows with a larger loss are left out (robust training); None keeps all."""
    drop_emotion: float = Field(default=0.3, ge=0, le=1)
    """Share of the null emotion, in every norm that reads it and every window independently, as published."""
    drop_audio_context: float = Field(default=0.05, ge=0, le=1)
    """Share of windows whose speech before the first frame is replaced by that of the first."""
    drop_past_context: float = Field(default=0.05, ge=0, le=1)
    """Share of windows whose past frames are replaced by the first frame."""
    null_audio: Literal["before projection", "after projection"] = "before projection"
    """Where zeroed speech is zeroed; the published training does it before, the published inference after."""


class HalloRecipe(UNetRecipe):
    """Hallo's training: stage 1 on single frames, stage 2 on clips of 14 with 2 past ones."""

    batch: int = Field(default=4, ge=1)
    """Windows per process and forward pass; in stage 1 the paper's is 8."""
    steps: int | None = Field(default=30_000, ge=1)
    """Steps of the optimizer; None leaves the end to `minutes`."""
    frames: int = Field(default=14, ge=1)
    """F: frames of a window; 1 in stage 1."""
    past_frames: int = Field(default=2, ge=0)
    """P: frames before it; 0 in stage 1."""
    uncond: float = Field(default=0.0, ge=0, le=1)
    """Share of windows without any condition; in stage 1 the paper's is 0.1."""
    noise_offset: float = Field(default=0.0, ge=0)
    """A constant per frame and channel is added to the noise, this times as large; in stage 1 the paper's is 0.05."""
    betas: Literal["scaled_linear", "linear"] = "scaled_linear"
    """Noise schedule learnt on. The published training has another than its inference, which is "linear"; networks that
    learn from random weights take the one they will be used with."""
    snr_gamma: float | None = 5.0
    """Loss weight min(SNR, gamma) / (SNR + 1) (Min-SNR for velocities); None weighs all time steps alike."""

    @model_validator(mode="before")
    @classmethod
    def _noise_of_stage(cls, values: dict[str, Any]) -> dict[str, Any]:
        return ({"noise_offset": 0.05} | values) if str(values.get("stage")) == "1" else values


class AUAdapterRecipe(BaseModel):
    """AUHead's stage 2 (section 3.4) on either base: the AU adapter and its embedding learn, all else is frozen."""

    stage: Literal[2] = 2
    """Stage 1 is another network: `bench train auhead_stage1`."""
    au_representation: Literal["lmk", "seq", "rom"] = "lmk"
    """What the adapter sees: 2D landmarks (the paper's choice), the 24 numbers, or a rendered mesh."""
    slow_aus: float = Field(default=1.0, ge=0, le=1)
    """Share of windows whose AUs are taken five times a second and interpolated, as those that stage 1 writes (Eq. 4); the
    others have the AUs of every frame, as `au_source=driving` has."""
    drop_aus: float = Field(default=0.1, ge=0, le=1)
    """Share of windows with the null AU, independently of `uncond`: all four terms of Eq. 6 are trained."""
    uncond: float = Field(default=0.1, ge=0, le=1)
    """Share of windows without any condition of the base: Eq. 6 takes H as a whole or not at all."""
    uncond_image: float = Field(default=0.0, ge=0, le=1)
    """Share of windows without reference features alone, which Eq. 6 never is."""
    uncond_audio: float = Field(default=0.0, ge=0, le=1)
    """Share of windows with zeroed speech alone."""


class AUHeadMemoRecipe(AUAdapterRecipe, MemoRecipe):
    """Section 4.1: learning rate 1e-5 on MEMO."""


class AUHeadHalloRecipe(AUAdapterRecipe, HalloRecipe):
    """Section 4.1: learning rate 5e-6 on Hallo."""

    learning_rate: float = Field(default=5e-6, gt=0)
    """Of AdamW."""
