"""Trained weights of the first stage as one safetensors file: a small model whole, or LoRA weights and what they belong to."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from transformers import AutoProcessor, Qwen2AudioConfig, Qwen2AudioForConditionalGeneration

from bench.media.errors import UserError
from methods.auhead.stage1 import tiny
from methods.auhead.stage1.config import CHECKPOINTS, Stage1Config
from methods.auhead.stage1.grammar import AnswerTokens, Grammar
from methods.auhead.stage1.orders import ORDERS
from methods.auhead.stage1.predictor import Stage1
from methods.auhead.stage1.prompt import read_prompt
from methods.auhead.stage1.qwen2_audio import Qwen2Audio

LORA_TARGETS = r".*language_model.*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)"
"""Every linear layer of the language model; the speech encoder and its projector stay as they are."""
TOKENS_PER_VECTOR = {"synth": 50, "full": 240}
"""Room for all 24 pairs: two tokens each in small, about nine in Qwen's vocabulary."""
_KEY = "auhead_stage1"


@dataclass(frozen=True)
class Description:
    """What a file of weights is of; it stands in the file."""

    order: str
    emotions: tuple[str, ...]
    """The words it has learnt."""
    instructions: str
    """In front of the question, in training and afterwards."""
    checkpoint: str | None
    """Language model that the LoRA weights belong to; None: the file holds all."""
    lora: dict | None
    """rank and alpha."""
    training: dict
    """Settings, steps and data."""


def load_trained(config: Stage1Config, path: Path, device: str) -> Stage1:
    """The first stage with trained weights.

    Raises:
        UserError: the file holds something else, or another order, or its language model is not here.
    """
    description, metadata = _described(path)
    if description.order != config.order:
        raise UserError(f"{path} was trained for order {description.order}; set order={description.order}")
    if description.checkpoint is None:
        model = _whole(path, metadata)
    else:
        model = load_qwen2_audio(config.checkpoint or description.checkpoint, config.dtype)
        model.model = with_lora(model.model, **description.lora)
        _fill_lora(model.model, path)
    model.model.eval().requires_grad_(False).to(device)
    instructions = read_prompt(config.prompt) if config.prompt else description.instructions
    order = ORDERS[config.order]
    grammar = Grammar(order, description.emotions)
    return Stage1(
        model,
        order,
        instructions,
        window=config.window,
        tokens_per_vector=TOKENS_PER_VECTOR["full" if description.checkpoint else "synth"],
        tokens=AnswerTokens(grammar, model.tokenizer) if config.constrained else None,
        batch=config.batch,
    )


def load_qwen2_audio(checkpoint: str | None, dtype: str) -> Qwen2Audio:
    """The published language model, from the Hugging Face cache or a folder; nothing is downloaded.

    Raises:
        UserError: it is not here.
    """
    name = checkpoint or CHECKPOINTS["qwen2-audio"]
    try:
        processor = AutoProcessor.from_pretrained(name, local_files_only=True)
        model = Qwen2AudioForConditionalGeneration.from_pretrained(
            name, dtype=getattr(torch, dtype), local_files_only=True
        )
    except OSError as error:
        raise UserError(
            f"the language model {name} is not on this machine: `hf download {name}` (17 GB, Apache-2.0), or name the "
            f"folder that holds it with --set checkpoint=DIR ({str(error).splitlines()[0]})"
        ) from error
    return Qwen2Audio(model, processor)


def build_small() -> Qwen2Audio:
    """The model of the synthetic world with random weights from torch's global generator."""
    processor = tiny.build_processor(tiny.build_tokenizer())
    return Qwen2Audio(tiny.build_model(processor), processor)


def with_lora(model: Qwen2AudioForConditionalGeneration, rank: int, alpha: int, dropout: float = 0.0) -> PeftModel:
    """LoRA on the language model; everything else is frozen."""
    return get_peft_model(
        model, LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules=LORA_TARGETS)
    )


def save_trained(path: Path, model: Qwen2Audio, description: Description) -> None:
    """Write the LoRA weights, or all of a small model in bfloat16, with what is needed to load them."""
    metadata = {_KEY: json.dumps(asdict(description))}
    if description.checkpoint is None:
        tensors = model.model.state_dict()
        metadata |= {"config": model.model.config.to_json_string(use_diff=False)}
        metadata |= {"tokenizer": model.tokenizer.backend_tokenizer.to_str()}
    else:
        tensors = get_peft_model_state_dict(model.model)
    tensors = {name: value.to(torch.bfloat16).contiguous() for name, value in tensors.items()}
    part = path.with_name(path.name + ".part")
    part.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, part, metadata)
    os.replace(part, path)


def _described(path: Path) -> tuple[Description, dict[str, str]]:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path}: no safetensors file of AUHead's first stage ({error})") from error
    if _KEY not in metadata:
        raise UserError(
            f"{path}: not weights of AUHead's first stage; `python -m bench train auhead_stage1` makes them"
        )
    return Description(**json.loads(metadata[_KEY])), metadata


def _whole(path: Path, metadata: dict[str, str]) -> Qwen2Audio:
    processor = tiny.build_processor(tiny.dressed(Tokenizer.from_str(metadata["tokenizer"])))
    model = Qwen2AudioForConditionalGeneration(Qwen2AudioConfig(**json.loads(metadata["config"])))
    model.load_state_dict({name: value.float() for name, value in load_file(path).items()})
    return Qwen2Audio(model, processor)


def _fill_lora(model: PeftModel, path: Path) -> None:
    outcome = set_peft_model_state_dict(model, load_file(path))
    lacking = [name for name in outcome.missing_keys if "lora_" in name]
    if outcome.unexpected_keys or lacking:
        wrong = (*outcome.unexpected_keys, *lacking)[0]
        raise UserError(f"{path}: its LoRA weights do not fit the language model (for example {wrong})")
