"""Settings of the first stage, and the weights they need."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from bench.media.errors import UserError
from methods.auhead.stage1.orders import OrderName
from methods.generator import GeneratorConfig

CHECKPOINTS = {"qwen2-audio": "Qwen/Qwen2-Audio-7B-Instruct", "qwen-audio-chat": "Qwen/Qwen-Audio-Chat"}
"""Language model -> its published weights."""


class Stage1Config(GeneratorConfig):
    """The first stage of AUHead."""

    model: Literal["full", "synth"] = "full"
    """A published language model with trained LoRA weights, or the small one of the synthetic world."""
    order: OrderName = "a-e-au"
    """What it is given and what it writes (Table 1): audio (a), emotion (e), AUs (au)."""
    language_model: Literal["qwen2-audio", "qwen-audio-chat"] = "qwen2-audio"
    """Of model=full. The paper's is qwen-audio-chat, which runs in an environment of its own (`python`)."""
    checkpoint: str | None = None
    """Folder or Hugging Face name of the language model; None takes the published one."""
    adapter: Path | None = None
    """Trained weights that `bench train auhead_stage1` wrote; for qwen-audio-chat, adapter_model.safetensors of a PEFT folder."""
    python: str | None = None
    """Python of an environment with transformers 4.51 and Qwen-Audio's packages, for qwen-audio-chat."""
    prompt: Path | None = None
    """Text file with other instructions than ours; the question of the order follows it."""
    constrained: bool = False
    """Decode by a grammar, so that every answer can be read; the paper decodes freely."""
    window: float = Field(default=15.0, gt=0.2, le=30)
    """Longest speech of one question, seconds: 75 vectors are some 5,000 tokens of the 8,192 a model takes."""
    batch: int = Field(default=4, ge=1)
    """Questions asked at once."""
    dtype: Literal["bfloat16", "float16", "float32"] = "bfloat16"
    """Of the full model."""

    @model_validator(mode="after")
    def _chat_is_free(self) -> Stage1Config:
        if self.language_model == "qwen-audio-chat" and self.constrained:
            raise ValueError("qwen-audio-chat runs in another process, which decodes freely; set constrained=false")
        return self


def stage1_weights(config: Stage1Config) -> tuple[str, ...]:
    """Names in the weights lock.

    Raises:
        UserError: trained weights are needed that nobody has published.
    """
    if config.model == "synth":
        return (f"synth_stage1_{config.order.replace('-', '_')}",)
    if config.adapter is None and config.language_model == "qwen-audio-chat":
        raise UserError(
            "nobody has published weights of AUHead's first stage, and `python -m bench train auhead_stage1` makes them for "
            "qwen2-audio; for qwen-audio-chat fine-tune LoRA weights with a program that knows it (ms-swift does) and name "
            "the file: --set adapter=FOLDER/adapter_model.safetensors, or stage1_adapter=... for auhead_memo and auhead_hallo"
        )
    if config.adapter is None:
        raise UserError(
            "nobody has published weights of AUHead's first stage; make them with `python -m bench train auhead_stage1` "
            "and name the file: --set adapter=FILE, or stage1_adapter=FILE for auhead_memo and auhead_hallo. On synthetic "
            "protocols a small trained model stands in"
        )
    return ()
