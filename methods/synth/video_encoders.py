"""SynthVideoEncoders: the video transformer's encoders of the rendered world, see `methods.conditioning.video_encoders`.

The autoencoder is a small AutoencoderKLWan and the speech encoder the small wav2vec2. The small face reader stands for both
image encoders: the cells of its last feature map for CLIP's tokens, its identity embedding for ArcFace's. There is no text
encoder: words have fixed vectors.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar
from zlib import crc32

import numpy as np

from methods.conditioning.video_encoders import VideoEncoders
from methods.synth.wan_vae import LATENT_CHANNELS

if TYPE_CHECKING:
    from diffusers import AutoencoderKLWan
    from torch import Tensor
    from transformers import Wav2Vec2Model

    from methods.synth.face import SynthFaceReader

VOCABULARY = 512
"""Vectors; words share them."""


class SynthVideoEncoders(VideoEncoders):
    """Small networks that ship with the suite, for frames of 128 x 128 px."""

    name: ClassVar[str] = "synth"
    weights = ("synth_wan_vae", "synth_face_reader", "synth_speech")
    text_weights = ()
    face_weights = ("synth_face_reader",)
    arcface_weights = ("synth_face_reader",)
    _parts = ("_vae", "_speech", "_face")
    size = 128
    latent_channels = LATENT_CHANNELS
    text_tokens, text_dim = 16, 32
    image_tokens, image_dim = 16, 128
    vocal_dim = 96
    identity_dims: ClassVar[Mapping[str, int]] = {"clip": 128, "arcface": 64}

    def load_vae(self) -> AutoencoderKLWan:
        from methods.synth.wan_vae import load_wan_vae

        return load_wan_vae(self.files["synth_wan_vae"])

    def load_speech(self) -> Wav2Vec2Model:
        from methods.synth.speech import load_speech_network

        return load_speech_network(self.files["synth_speech"]).wav2vec2

    @cached_property
    def _face(self) -> SynthFaceReader:
        from methods.synth.face import SynthFaceReader

        return SynthFaceReader(self.files["synth_face_reader"], self.device)

    def images(self, references: np.ndarray) -> Tensor:
        return self._face.cells(references)

    def require_one_face(self, image: np.ndarray) -> None:
        self._face(image)

    def locate_face(self, image: np.ndarray) -> np.ndarray:
        return self._face(image).face_box

    def arcface(self, image: np.ndarray) -> np.ndarray:
        return self._face(image).embedding

    def encode_text(self, words: str) -> Tensor:
        """A vector for each of the first L words, the same in every process."""
        import torch

        table = np.random.default_rng(0).standard_normal((VOCABULARY, self.text_dim)).astype(np.float32)
        rows = [crc32(word.encode()) % VOCABULARY for word in re.findall(r"\w+", words.lower())[: self.text_tokens]]
        return torch.from_numpy(table[rows])
