"""Pretraining of the small speech encoder: to name the sound at every moment, and the emotion of the recording.

Qwen2-Audio's encoder comes from Whisper, which has been trained to transcribe; the small one learns to hear from the phonemes
of the synthetic world before a language model is put behind it. All orders of Table 1 begin from the same encoder.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from transformers.masking_utils import create_bidirectional_mask

from bench.media.clip import SAMPLE_RATE
from methods.auhead.stage1.qwen2_audio import IGNORED, Qwen2Audio
from methods.auhead.stage1.recordings import Sounding
from methods.auhead.stage1.weights import build_small
from methods.training.loop import seed_everything, train

RECIPE = {"steps": 1200, "batch": 24, "learning_rate": 2e-3, "average": 0.99}
"""What differs from the recipe of the language model."""
SOUNDS = 2
"""Moments in one vector of the encoder, each named: its pooling takes the mean of two."""


class Hearing(nn.Module):
    """The encoder with two heads that only its pretraining has.

    Args:
        encoder: of Qwen2-Audio.
        phonemes, emotions: how many there are.
    """

    def __init__(self, encoder: nn.Module, phonemes: int, emotions: int):
        super().__init__()
        width = encoder.config.d_model
        self.encoder = encoder
        self.phoneme = nn.Linear(width, SOUNDS * phonemes)
        self.emotion = nn.Linear(width, emotions)

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """Cross-entropy of the phonemes and of the emotion.

        Args:
            batch: input_features float32 (B, mel bands, frames); feature_attention_mask (B, frames); phonemes int64
                (B, frames / 2), IGNORED behind the end; emotion int64 (B,).
        """
        heard, there = self.states(batch["input_features"], batch["feature_attention_mask"])
        named = self.phoneme(heard).unflatten(-1, (SOUNDS, -1)).flatten(1, 2)
        whole = (heard * there[..., None]).sum(1) / there.sum(1, keepdim=True)
        phonemes = cross_entropy(named.flatten(0, 1), batch["phonemes"].flatten(), ignore_index=IGNORED)
        return phonemes + cross_entropy(self.emotion(whole), batch["emotion"])

    def states(self, features: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """What the language model is given, (B, frames / 4, width), and which of it is there, float (B, frames / 4)."""
        strided = mask[:, ::2]
        attention = create_bidirectional_mask(
            config=self.encoder.config, inputs_embeds=features.new_zeros(*strided.shape, 1), attention_mask=strided
        )
        return self.encoder(features, attention_mask=attention).last_hidden_state, mask[:, ::4].float()


def pretrain_hearing(
    soundings: Sequence[Sounding],
    recipe,
    out: Path,
    *,
    phonemes: int,
    emotions: int,
    seed: int,
    log: Callable[[str], None],
) -> None:
    """Train the encoder of the small model and write it to `out`; checkpoint and log lie in a folder beside it.

    Args:
        soundings: what is learnt from.
        recipe: with RECIPE in it.
        out: safetensors file.
        phonemes, emotions: how many there are.
    """
    seed_everything((seed, 0))
    model = build_small()
    hearing = Hearing(model.model.model.audio_tower, phonemes, emotions)

    def draw(rng: np.random.Generator, count: int) -> dict[str, Tensor]:
        return sounding_batch(model, [soundings[int(n)] for n in rng.integers(len(soundings), size=count)])

    train(hearing, draw, recipe, out.with_suffix(""), seed=seed, log=log)
    save_file({name: value.contiguous() for name, value in hearing.encoder.state_dict().items()}, out)


def load_hearing(model: Qwen2Audio, path: Path) -> None:
    """Put a pretrained encoder into the small model."""
    model.model.model.audio_tower.load_state_dict(load_file(path))


def sounding_batch(model: Qwen2Audio, soundings: Sequence[Sounding]) -> dict[str, Tensor]:
    """A batch of Hearing."""
    extractor = model.processor.feature_extractor
    encoded = extractor(
        [one.audio for one in soundings], sampling_rate=SAMPLE_RATE, padding="max_length", return_attention_mask=True,
        return_tensors="pt",
    )  # fmt: skip
    step = 2 * extractor.hop_length / SAMPLE_RATE
    names = np.full((len(soundings), encoded["input_features"].shape[-1] // 2), IGNORED)
    for row, one in zip(names, soundings, strict=True):
        there = min(len(row), round(len(one.audio) / SAMPLE_RATE / step))
        row[:there] = one.phonemes[np.searchsorted(one.starts, step * np.arange(there), side="right") - 1]
    return {
        "input_features": encoded["input_features"],
        "feature_attention_mask": encoded["attention_mask"],
        "phonemes": torch.from_numpy(names),
        "emotion": torch.tensor([one.emotion for one in soundings]),
    }
