"""The first stage in small: Qwen2-Audio's own classes, sized for the synthetic world, with a tokenizer of its answers.

The text is that of the full model; it is cut into larger pieces. An index with the brackets before it is one token and a
value with the bracket after it another, so a pair takes two tokens and an answer of three seconds about 300. The speech
encoder sees 64 mel bands every 25 ms and gives ten vectors a second, two per AU vector.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING

from methods.auhead.stage1.orders import ORDERS
from methods.auhead.stage1.text import NUM_AUS

if TYPE_CHECKING:
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
_PIECES = r"\], \[\[\d+, |, \[\[\d+, |\[\[\d+, |, \[\d+, |\d\.\d+\]|\]|\[\]|, |\w+|[.?]| "


def build_tokenizer() -> PreTrainedTokenizerFast:
    """The tokenizer of the synthetic world's answers, prompts and emotions; other words are `UNKNOWN`."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    indices = [f"{before}{i}, " for before in ("[[", ", [", ", [[", "], [[") for i in range(NUM_AUS)]
    values = [f"{hundredths / 100}]" for hundredths in range(1, 101)]
    words = sorted({word for order in ORDERS.values() for word in order.question.replace("{emotion}", "").split()})
    words = [word.rstrip(".?") for word in words if word.rstrip(".?")]
    pieces = dict.fromkeys([*SPECIAL, *indices, *values, "]", "[]", ", ", " ", ".", "?", *EMOTIONS, *words])
    core = Tokenizer(models.WordLevel({piece: i for i, piece in enumerate(pieces)}, UNKNOWN))
    core.pre_tokenizer = pre_tokenizers.Split(Regex(_PIECES), "isolated")
    core.decoder = decoders.Fuse()
    return _dressed(core)


def _dressed(core) -> PreTrainedTokenizerFast:
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
