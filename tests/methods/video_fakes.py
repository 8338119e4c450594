"""Small stand-ins with random weights for the video methods: a transformer, encoders without networks."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from methods.generator import GenerationError
from methods.talking_dit.transformer import TalkingDiT
from tests.methods.fakes import SIZE, randomised

SIZES = {
    "num_attention_heads": 2,
    "attention_head_dim": 12,
    "in_channels": 12,
    "out_channels": 4,
    "text_dim": 5,
    "freq_dim": 8,
    "ffn_dim": 16,
    "num_layers": 2,
    "image_dim": 6,
    "vocal": {"vocal_dim": 3, "heads": 2, "layers": 1},
}
AUS = {"au_dim": 35, "identity_encoder": "clip", "identity_dim": 6, "width": 8, "attention": "latent"}


def tiny_transformer(aus: dict | None = AUS, seed: int = 0) -> TalkingDiT:
    return randomised(TalkingDiT(**SIZES, aus=aus), seed)


class FakeVideoEncoders:
    """Encoders without networks: a latent is the mean colour of 8 x 8 pixels and its brightness. Keeps a record."""

    name = "fake"
    version = 1
    size = SIZE
    vae_scale = 8
    latent_channels = 4
    num_parameters = 1000

    def __init__(self):
        self.heard: list[np.ndarray] = []
        """Audio of every call of `vocal`."""

    def load(self, identity_encoder: str, *, text: bool) -> None:
        self.loaded = (identity_encoder, text)

    def require_one_face(self, picture: np.ndarray) -> None:
        if not picture.any():
            raise GenerationError("no face in the reference picture")

    def locate_face(self, image: np.ndarray) -> np.ndarray:
        return np.array([0.5, 0.25, 0.75, 0.75], np.float32)

    def masked(self, picture: np.ndarray, num_frames: int) -> Tensor:
        latents = (num_frames - 1) // 4 + 1
        known = torch.zeros(8, latents, picture.shape[0] // 8, picture.shape[1] // 8)
        squares = picture.reshape(known.shape[2], 8, known.shape[3], 8, 3).mean((1, 3), dtype=np.float32) / 127.5 - 1
        known[:4, 0] = 1
        known[4:7, 0] = torch.from_numpy(squares).permute(2, 0, 1)
        return known

    def image(self, picture: np.ndarray) -> Tensor:
        return torch.from_numpy(picture.reshape(4, 6, -1).mean(2, dtype=np.float32) / 127.5 - 1)

    def identity(self, picture: np.ndarray, encoder: str) -> Tensor | None:
        return None if encoder == "none" else self.image(picture).mean(0) * {"clip": 1, "arcface": -1}[encoder]

    def text(self, prompt: str | None) -> Tensor:
        return _letters(prompt or "a person")

    def negative_text(self, prompt: str | None) -> Tensor:
        return _letters(prompt or "blurred")

    def vocal(self, audio: np.ndarray) -> Tensor:
        self.heard.append(audio)
        tokens = audio[: len(audio) // 320 * 320].reshape(-1, 320)
        loud = np.stack([tokens.std(1), tokens.mean(1), np.abs(tokens).max(1)], axis=1)
        return torch.from_numpy(10 * loud.astype(np.float32))

    def decode(self, latents: Tensor) -> Iterator[np.ndarray]:
        for number, latent in enumerate(latents.unbind(1)):
            pixels = ((latent[:3] + 1) * 127.5).round().clamp(0, 255).byte().permute(1, 2, 0).numpy()
            frame = pixels.repeat(8, axis=0).repeat(8, axis=1)
            yield np.stack([frame] * (4 if number else 1))


def _letters(text: str) -> Tensor:
    """Four tokens that differ from text to text."""
    codes = np.frombuffer((text + 20 * " ").encode()[:20], np.uint8).reshape(4, 5)
    return torch.from_numpy(codes.astype(np.float32) / 64 - 1)
