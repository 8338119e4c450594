"""The first stage in small: Qwen2-Audio's own classes, sized for the synthetic world, with a tokenizer of its answers.

The text is that of the full model; it is cut into larger pieces. An index with the brackets before it is one token and a
value with the bracket after it another, so a pair takes two tokens and an answer of three seconds about 300. The speech
encoder sees 64 mel bands every 25 ms and gives ten vectors a second, two per AU vector.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from methods.auhead.stage1.orders import PHRASES
from methods.auhead.stage1.text import NUM_AUS

if TYPE_CHECKING:
    import torch
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast, Qwen2AudioForConditionalGeneration, Qwen2AudioProcessor

EMOTIONS = ("neutral", "angry", "contempt", "disgusted", "fear", "happy", "sad", "surprised")
"""The words of the synthetic world."""
SECONDS = 4
"""Longest speech that is heard at once."""
PAD, END, UNKNOWN = "<|endoftext|>", "<|im_end|>", "<|unknown|>"
SPECIAL = (PAD, END, UNKNOWN, "<|im_start|>", "<|AUDIO|>", "<|audio_bos|>", "<|audio_eos|>")
TEMPLATE = (
    "{% for message in messages %}<|im_start|>"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'audio' %}<|audio_bos|><|AUDIO|><|audio_eos|>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}<|im_end|>{% endfor %}{% if add_generation_prompt %}<|im_start|>{% endif %}"
)
"""ChatML without roles and system message, which would be the same in every prompt."""
_PIECES = r"\], \[\[\d+, |, \[\[\d+, |\[\[\d+, |, \[\d+, |\d\.\d+\]|\]|\[\]|, |\w+|\. "


def build_tokenizer() -> PreTrainedTokenizerFast:
    """The tokenizer of the synthetic world's answers, prompts and emotions; other words are `UNKNOWN`."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

    indices = [f"{before}{i}, " for before in ("[[", ", [", ", [[", "], [[") for i in range(NUM_AUS)]
    values = [f"{hundredths / 100}]" for hundredths in range(1, 101)]
    # Single characters, so that whatever can be written in an answer can be gone on with, as in any byte-level vocabulary.
    pieces = [*SPECIAL, *indices, *values, "[]", ", ", ". ", *EMOTIONS, *PHRASES, *"[], .0123456789"]
    core = Tokenizer(models.WordLevel({piece: i for i, piece in enumerate(pieces)}, UNKNOWN))
    core.pre_tokenizer = pre_tokenizers.Split(Regex("|".join([*map(re.escape, PHRASES), _PIECES])), "isolated")
    core.decoder = decoders.Fuse()
    return dressed(core)


def dressed(core: Tokenizer) -> PreTrainedTokenizerFast:
    """What the processor and generation expect around it."""
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token=PAD,
        eos_token=END,
        unk_token=UNKNOWN,
        additional_special_tokens=[token for token in SPECIAL if token not in (PAD, END, UNKNOWN)],
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )


def build_processor(tokenizer: PreTrainedTokenizerFast) -> Qwen2AudioProcessor:
    """Prompts and speech to tensors."""
    from transformers import Qwen2AudioProcessor, WhisperFeatureExtractor

    extractor = WhisperFeatureExtractor(feature_size=64, hop_length=400, n_fft=800, chunk_length=SECONDS)
    return Qwen2AudioProcessor(extractor, tokenizer, chat_template=TEMPLATE)


def build_model(processor: Qwen2AudioProcessor) -> Qwen2AudioForConditionalGeneration:
    """The network with random weights; the encoder's positions are sinusoids, as published ones are."""
    from transformers import Qwen2AudioConfig, Qwen2AudioForConditionalGeneration

    extractor, tokenizer = processor.feature_extractor, processor.tokenizer
    audio = {
        "model_type": "qwen2_audio_encoder", "num_mel_bins": extractor.feature_size, "d_model": 128, "encoder_layers": 3,
        "encoder_attention_heads": 4, "encoder_ffn_dim": 384, "max_source_positions": extractor.nb_max_frames // 2,
    }  # fmt: skip
    text = {
        "model_type": "qwen2", "vocab_size": len(tokenizer), "hidden_size": 160, "intermediate_size": 400,
        "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 4, "max_position_embeddings": 1024,
        "pad_token_id": tokenizer.pad_token_id, "eos_token_id": tokenizer.eos_token_id, "bos_token_id": None,
    }  # fmt: skip
    config = Qwen2AudioConfig(
        audio_config=audio, text_config=text, audio_token_index=tokenizer.convert_tokens_to_ids("<|AUDIO|>")
    )
    model = Qwen2AudioForConditionalGeneration(config)
    positions = model.model.audio_tower.embed_positions.weight
    positions.data.copy_(sinusoids(*positions.shape))
    return model


def sinusoids(length: int, channels: int) -> torch.Tensor:
    """(length, channels): sines, then cosines, of wavelengths from 2 pi to 10,000 times that (Whisper's)."""
    import torch

    rates = torch.exp(-math.log(10_000) / (channels // 2 - 1) * torch.arange(channels // 2))
    angles = torch.arange(length)[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], dim=1)
