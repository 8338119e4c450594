"""The small wav2vec2 with its heads; imports torch and transformers."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn
from transformers import Wav2Vec2Config, Wav2Vec2Model

BLOCKS = 4
CHANNELS = 96
PHONEMES = 40
"""39 of ARPAbet; 0 is silence, and in CTC the blank."""
EMOTIONS = 9
"""MEMO's classes, see `methods.conditioning.emotion.EMOTIONS`."""
CONFIG = Wav2Vec2Config(
    hidden_size=CHANNELS,
    num_hidden_layers=BLOCKS,
    num_attention_heads=4,
    intermediate_size=4 * CHANNELS,
    conv_dim=(48, 64, 64, 64, 96, 96, 96),
    num_conv_pos_embeddings=16,
    num_conv_pos_embedding_groups=8,
    hidden_dropout=0.05,
    activation_dropout=0.05,
    attention_dropout=0.05,
    feat_proj_dropout=0.05,
    layerdrop=0.0,
    mask_time_prob=0.0,
    mask_feature_prob=0.0,
)
"""Kernels and strides of the convolutions and the order of norms are those of wav2vec2-base."""


class SpeechNetwork(nn.Module):
    """wav2vec2 with heads: CTC, the phoneme of a frame, and the emotion of a recording, from the hidden states (so that they
    know it) and from the convolutions (which is what `emotion` answers with, see `methods.synth.speech`)."""

    def __init__(self) -> None:
        super().__init__()
        self.wav2vec2 = Wav2Vec2Model(CONFIG)
        self.ctc = nn.Linear(CHANNELS, PHONEMES)
        self.phoneme = nn.Linear(CHANNELS, PHONEMES)
        self.emotion_of_states = StatesEmotion()
        self.emotion = ConvolutionsEmotion()

    def forward(self, audio: torch.Tensor, num_frames: int) -> torch.Tensor:
        """Block outputs (n, blocks, num_frames, channels) of float (n, S), normalised; as
        `methods.conditioning.speech.hidden_states`, for a batch."""
        features = self.wav2vec2.feature_extractor(audio)
        features = F.interpolate(features, num_frames, mode="linear", align_corners=True)
        hidden, _ = self.wav2vec2.feature_projection(features.transpose(1, 2))
        encoder = self.wav2vec2.encoder
        hidden = encoder.dropout(encoder.layer_norm(hidden + encoder.pos_conv_embed(hidden)))
        states = []
        for block in encoder.layers:
            hidden = block(hidden)
            states.append(hidden)
        return torch.stack(states, dim=1)


class StatesEmotion(nn.Module):
    """Emotion from all blocks: their weighted sum, pooled by attention, beside the loudness that normalising took away."""

    def __init__(self) -> None:
        super().__init__()
        self.block_weights = nn.Parameter(torch.zeros(1, BLOCKS))
        self.attention = nn.Linear(CHANNELS, 1)
        self.hidden = nn.Linear(2 * CHANNELS + 1, CHANNELS)
        self.classes = nn.Linear(CHANNELS, EMOTIONS)

    def forward(self, states: torch.Tensor, loudness: torch.Tensor) -> torch.Tensor:
        """Logits (n, 9) of states (n, blocks, t, channels) and `loudness` (n,) of the recordings."""
        mixed = torch.einsum("b,nbtc->ntc", self.block_weights[0].softmax(0), states)
        attended = (self.attention(mixed).softmax(1) * mixed).sum(1)
        joined = torch.cat([attended, mixed.std(1), loudness[:, None]], 1)
        return self.classes(F.gelu(self.hidden(joined)))


class ConvolutionsEmotion(nn.Module):
    """Emotion from mean and standard deviation of the convolutions' channels over time, and from the loudness."""

    def __init__(self) -> None:
        super().__init__()
        inputs = 2 * CONFIG.conv_dim[-1] + 1
        self.classify = nn.Sequential(
            nn.BatchNorm1d(inputs, affine=False),
            nn.Dropout(0.3),
            nn.Linear(inputs, 64),
            nn.GELU(),
            nn.Dropout(0.3),
            nn.Linear(64, EMOTIONS),
        )

    @staticmethod
    def statistics(features: torch.Tensor, loudness: torch.Tensor) -> torch.Tensor:
        """(n, inputs) of convolutions' output (n, channels, t) and `loudness` (n,) of the recordings."""
        return torch.cat([features.mean(2), features.std(2), loudness[:, None]], 1)

    def forward(self, statistics: torch.Tensor) -> torch.Tensor:
        """Logits (n, 9)."""
        return self.classify(statistics)
