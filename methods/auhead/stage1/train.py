"""Training of the first stage (AUHead, section 3.4): next-token prediction with cross-entropy on the answer alone.

The paper fine-tunes with LoRA at a learning rate of 1e-4 on 4 A100 for 24 GPU-hours; its rank, batch and steps are not
given: rank 8, alpha 32 and 16 recordings a step are those of ms-swift, the usual recipe for Qwen's audio models. On the
synthetic world a small model is trained whole, from random weights.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from bench.media.clip import SAMPLE_RATE
from bench.media.errors import UserError
from methods.auhead.stage1.config import CHECKPOINTS
from methods.auhead.stage1.orders import ORDERS, OrderName
from methods.auhead.stage1.predictor import Question, Speech, Stage1
from methods.auhead.stage1.prompt import read_prompt
from methods.auhead.stage1.recordings import Example
from methods.auhead.stage1.scores import acc_emo, au_scores, baseline_scores
from methods.auhead.stage1.text import downsampled, sparse

if TYPE_CHECKING:
    from methods.auhead.stage1.weights import Description


class Stage1Recipe(BaseModel):
    """What the training is told; the defaults are for the full model."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    protocol: str | None = None
    """Protocol whose training clips are learnt from; `--protocol` sets it."""
    stage: Literal[1] = 1
    """Of AUHead; `--stage` sets it."""
    model: Literal["full", "synth"] = "full"
    """LoRA on Qwen2-Audio, or the small model of the synthetic world, trained whole."""
    order: OrderName = "a-e-au"
    """What it is given and what it writes (Table 1): audio (a), emotion (e), AUs (au)."""
    checkpoint: str | None = None
    """Folder or Hugging Face name of the language model; None takes Qwen2-Audio-7B-Instruct."""
    prompt: Path | None = None
    """Text file with other instructions than ours."""
    threshold: float = Field(default=0.0, ge=0, lt=1)
    """lambda of Eq. 3: AUs above it are written (section 4.1)."""
    lora_rank: int = Field(default=8, ge=1)
    """Of the LoRA matrices."""
    lora_alpha: int = Field(default=32, ge=1)
    """Their scale times their rank."""
    lora_dropout: float = Field(default=0.05, ge=0, lt=1)
    """On their input."""
    excerpts: float = Field(default=0.0, ge=0, le=1)
    """Share of batches that learn from stretches of recordings, at random and alike in length, from EXCERPT_SECONDS on; the
    others learn from whole ones."""

    steps: int | None = Field(default=2_000, ge=1)
    """Steps of the optimizer; None leaves the end to `minutes`."""
    minutes: float | None = Field(default=None, gt=0)
    """Minutes of wall clock over all sessions; the first of the two limits ends the training."""
    batch: int = Field(default=2, ge=1)
    """Recordings per process and forward pass."""
    accumulate: int = Field(default=8, ge=1)
    """Forward passes per step."""
    learning_rate: float = Field(default=1e-4, gt=0)
    """Of AdamW (section 4.1)."""
    schedule: Literal["constant", "cosine"] = "cosine"
    """Learning rate after the warm-up: as it is, or half a cosine down to 0 at the end of the training."""
    warmup: float = Field(default=0.05, ge=0, lt=1)
    """Share of the training in which the learning rate rises from 0."""
    weight_decay: float = 0.1
    """Of AdamW."""
    epsilon: float = Field(default=1e-8, gt=0)
    """Of AdamW."""
    clip_norm: float = 1.0
    """Largest norm of the gradient."""
    average: float | None = Field(default=None, gt=0, lt=1)
    """Decay of a moving average of the weights, which is then what the training returns; None keeps none."""
    eight_bit_adam: bool = False
    """AdamW with 8-bit states; needs the package bitsandbytes and a GPU."""
    precision: Literal["bf16", "no"] = "bf16"
    """Mixed precision of the forward pass."""
    gradient_checkpointing: bool = True
    """Compute activations twice to hold fewer."""
    compile: bool = False
    """torch.compile the forward pass."""
    log_every: int = Field(default=50, ge=1)
    """Steps between lines of the log."""
    checkpoint_minutes: float = Field(default=5.0, ge=0)
    """Minutes between checkpoints."""
    validate_every: int | None = Field(default=None, ge=1)
    """Steps between measurements on recordings that are not learnt from; None measures at the end only."""
    validate_on: int = Field(default=200, ge=1)
    """Recordings that are measured on at the end; 32 in between."""

    @model_validator(mode="after")
    def _has_an_end(self) -> Stage1Recipe:
        if self.steps is None and self.minutes is None:
            raise ValueError("a training needs steps or minutes")
        return self

    def progress(self, step: int, seconds: float) -> float:
        """Share of the training that is done, 1 at its end."""
        by_steps = step / self.steps if self.steps else 0.0
        by_clock = seconds / (60 * self.minutes) if self.minutes else 0.0
        return min(1.0, max(by_steps, by_clock))


EXCERPT_SECONDS = 0.8
VALIDATED = 32
"""Recordings that are measured on while the training goes on."""
SYNTH_RECIPE = {
    "model": "synth", "steps": 2000, "batch": 8, "accumulate": 1, "learning_rate": 1e-3, "warmup": 0.04,
    "weight_decay": 0.05, "excerpts": 0.6, "precision": "no", "gradient_checkpointing": False, "average": 0.99,
    "checkpoint_minutes": 2.0,
}  # fmt: skip
"""What the shipped weights of the synthetic world were trained with."""


def train_stage1(
    recipe: Stage1Recipe,
    examples: Sequence[Example],
    unseen: Sequence[Example],
    out: Path,
    *,
    emotions: Sequence[str],
    seed: int,
    hearing: Path | None = None,
    log: Callable[[str], None] = print,
) -> dict[str, dict[str, float]]:
    """Train, write the weights to `out`, and measure. Checkpoint and log lie in a folder beside it, `out` without suffix.

    Args:
        recipe: settings.
        examples: what is learnt from.
        unseen: recordings of other people, to measure on.
        out: file for the weights, see `methods.auhead.stage1.weights`.
        emotions: every word that `emotion` of an example may be.
        seed: decides initial weights, batches and dropout.
        hearing: encoder that the small model begins with, of `methods.auhead.stage1.hearing`.
        log: takes lines.

    Returns:
        "answers": recall, precision, accuracy, f1, mae, mae_all, acc_emo (where the order has it), readable; "zero" and
        "mean": the scores of always answering 0 or the mean.

    Raises:
        UserError: no example, the language model is not here, or the checkpoint is of another training.
    """
    from methods.auhead.stage1.learner import Stage1Learner
    from methods.auhead.stage1.weights import save_trained
    from methods.training.loop import seed_everything, train

    if not examples:
        raise UserError("there is no recording with AUs to learn from; give --data a prepared data set")
    seed_everything((seed, 0))
    stage1 = _untrained(recipe, hearing)
    model = stage1.model

    def draw(rng: np.random.Generator, count: int) -> dict:
        seconds = rng.uniform(EXCERPT_SECONDS, stage1.window) if rng.random() < recipe.excerpts else stage1.window
        chosen = [examples[int(n)] for n in rng.integers(len(examples), size=count)]
        pairs = [lesson(one, stage1, seconds, recipe.threshold, rng) for one in chosen]
        return model.training_batch([question for question, _ in pairs], [answer for _, answer in pairs])

    def validate(step: int) -> None:
        found = measure(stage1, _first(unseen, VALIDATED))["answers"]
        log(f"step {step}, unseen: " + ", ".join(f"{name} {value:.3g}" for name, value in found.items()))

    learner, folder = Stage1Learner(model.model), out.with_suffix("")
    outcome = train(learner, draw, recipe, folder, seed=seed, log=log, validate=validate)
    facts = {"steps_done": outcome.steps, "seed": seed, "recordings": len(examples)}
    save_trained(out, model, _description(recipe, stage1, emotions, facts))
    return measure(stage1, _first(unseen, recipe.validate_on))


def lesson(
    example: Example, stage1: Stage1, seconds: float, threshold: float, rng: np.random.Generator
) -> tuple[Question, str]:
    """Question and answer of a recording, or, if it is longer than `seconds`, of so much of it from anywhere."""
    frames = len(example.aus)
    length = min(frames, int(seconds * example.fps))
    start = int(rng.integers(frames - length + 1))
    first, last = (round(frame / example.fps * SAMPLE_RATE) for frame in (start, start + length))
    vectors = sparse(downsampled(example.aus[start : start + length], example.fps), threshold)
    question = Question(example.audio[first:last], stage1.question(example.emotion))
    return question, stage1.order.answer(example.emotion, vectors)


def measure(stage1: Stage1, examples: Sequence[Example]) -> dict[str, dict[str, float]]:
    """Scores of answers to recordings, and of answers that need no model; see `train_stage1`."""
    speeches = [Speech(one.audio, len(one.aus), one.fps, one.emotion) for one in examples]
    answers = stage1.predict_many(speeches)
    truth = np.concatenate([downsampled(one.aus, one.fps) for one in examples])
    found = np.concatenate([downsampled(a.aus, one.fps) for a, one in zip(answers, examples, strict=True)])
    scores = au_scores(found, truth)
    if stage1.order.emotion in ("first", "last"):
        scores["acc_emo"] = acc_emo([answer.emotion for answer in answers], [one.emotion for one in examples])
    scores["readable"] = float(np.mean([not answer.problems for answer in answers]))
    return {"answers": scores} | baseline_scores(truth)


def _first(examples: Sequence[Example], count: int) -> list[Example]:
    return [examples[n] for n in range(min(count, len(examples)))]


def _untrained(recipe: Stage1Recipe, hearing: Path | None) -> Stage1:
    """The first stage as training begins."""
    from methods.auhead.stage1.weights import TOKENS_PER_VECTOR, build_small, load_qwen2_audio, with_lora

    if recipe.model == "synth":
        model, instructions = build_small(), read_prompt(recipe.prompt) if recipe.prompt else ""
    else:
        model = load_qwen2_audio(recipe.checkpoint, "bfloat16" if recipe.precision == "bf16" else "float32")
        instructions = read_prompt(recipe.prompt)
        if recipe.gradient_checkpointing:
            model.model.gradient_checkpointing_enable()
            model.model.enable_input_require_grads()
        model.model = with_lora(model.model, recipe.lora_rank, recipe.lora_alpha, recipe.lora_dropout)
    if hearing:
        from methods.auhead.stage1.hearing import load_hearing

        load_hearing(model, hearing)
    tokens_per_vector = TOKENS_PER_VECTOR[recipe.model]
    return Stage1(model, ORDERS[recipe.order], instructions, window=15.0, tokens_per_vector=tokens_per_vector, batch=16)


def _description(recipe: Stage1Recipe, stage1: Stage1, emotions: Sequence[str], facts: dict) -> Description:
    from methods.auhead.stage1.weights import Description

    full = recipe.model == "full"
    return Description(
        order=recipe.order,
        emotions=tuple(emotions),
        instructions=stage1.instructions,
        checkpoint=(recipe.checkpoint or CHECKPOINTS["qwen2-audio"]) if full else None,
        lora={"rank": recipe.lora_rank, "alpha": recipe.lora_alpha} if full else None,
        training=recipe.model_dump(mode="json") | facts,
    )
