"""The first stage in small: Qwen2-Audio's own classes, sized for the synthetic world, with a tokenizer of its answers.

The text is that of the full model; it is cut into larger pieces. An index with the brackets before it is one token and a
value with the bracket after it another, so a pair takes two tokens and an answer of three seconds about 300. What stands
between two vectors is one token as well, and another one between the first and second than between the second and third: a
model of this size learns to read a number much sooner than to count. The speech encoder sees 64 mel bands every 25 ms and
gives ten vectors a second, two per AU vector.
"""

from __future__ import annotations

import math
import re

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    PreTrainedTokenizerFast,
    Qwen2AudioConfig,
    Qwen2AudioForConditionalGeneration,
    Qwen2AudioProcessor,
    WhisperFeatureExtractor,
)

from methods.auhead.stage1.orders import PHRASES
from methods.auhead.stage1.text import NUM_AUS, RATE

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
_BETWEEN = re.compile(r"((?<=\])\], |\[\], )(?=\[)")
"""The end of a vector, full or empty, in front of another."""
_MARK = 0xE000
"""A character of no language: this and the next ones number what is between vectors."""
_PIECES = r"\[?\], [\uE000-\uE0FF]|, \[\[\d+, |\[\[\d+, |, \[\d+, |\d\.\d+\]|\]|\[\]|, |\w+|\. "


class AnswerTokenizer(PreTrainedTokenizerFast):
    """Numbers what stands between the vectors of a text before it is cut into tokens; decoding drops the numbers."""

    def __call__(self, text: str | list[str], *args, **kwargs):
        marked = _numbered(text) if isinstance(text, str) else [_numbered(one) for one in text]
        return super().__call__(marked, *args, **kwargs)


def _numbered(text: str) -> str:
    count = iter(range(len(text)))
    return _BETWEEN.sub(lambda match: match[0] + chr(_MARK + next(count)), text)


def build_tokenizer() -> AnswerTokenizer:
    """The tokenizer of the synthetic world's answers, prompts and emotions; other words are `UNKNOWN`."""
    indices = [f"{before}{i}, " for before in ("[[", ", [", ", [[") for i in range(NUM_AUS)]
    values = [f"{hundredths / 100}]" for hundredths in range(1, 101)]
    between = [f"{end}, {chr(_MARK + k)}" for end in ("]", "[]") for k in range(int(SECONDS * RATE))]
    # Single characters, so that whatever can be written in an answer can be gone on with, as in any byte-level vocabulary.
    pieces = [*SPECIAL, *indices, *values, *between, "[]", ", ", ". ", *EMOTIONS, *PHRASES, *"[], .0123456789"]
    core = Tokenizer(models.WordLevel({piece: i for i, piece in enumerate(pieces)}, UNKNOWN))
    core.pre_tokenizer = pre_tokenizers.Split(Regex("|".join([*map(re.escape, PHRASES), _PIECES])), "isolated")
    core.decoder = decoders.Sequence([decoders.Fuse(), decoders.Replace(Regex("[\ue000-\ue0ff]"), "")])
    return dressed(core)


def dressed(core: Tokenizer) -> AnswerTokenizer:
    """What the processor and generation expect around it."""
    return AnswerTokenizer(
        tokenizer_object=core,
        pad_token=PAD,
        eos_token=END,
        unk_token=UNKNOWN,
        additional_special_tokens=[token for token in SPECIAL if token not in (PAD, END, UNKNOWN)],
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )


def build_processor(tokenizer: AnswerTokenizer) -> Qwen2AudioProcessor:
    """Prompts and speech to tensors."""
    extractor = WhisperFeatureExtractor(feature_size=64, hop_length=400, n_fft=800, chunk_length=SECONDS)
    return Qwen2AudioProcessor(extractor, tokenizer, chat_template=TEMPLATE)


def build_model(processor: Qwen2AudioProcessor) -> Qwen2AudioForConditionalGeneration:
    """The network with random weights; the encoder's positions are sinusoids, as published ones are."""
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
    rates = torch.exp(-math.log(10_000) / (channels // 2 - 1) * torch.arange(channels // 2))
    angles = torch.arange(length)[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], dim=1)
