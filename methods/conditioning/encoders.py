"""Encoders: everything between pixels, sound and the denoiser, in one bundle with two makes.

`full` is what the published Hallo and MEMO use: sd-vae-ft-mse, wav2vec2-base-960h, antelopev2 with mediapipe's
FaceLandmarker, emotion2vec_plus_large with MEMO's classifier. `synth` has small networks for the rendered world
(methods/synth). Every part is loaded when it is first used: training on precomputed features loads none.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from methods.conditioning.face import FaceReader, FaceReading

if TYPE_CHECKING:
    import torch
    from diffusers import AutoencoderKL

    from methods.conditioning.speech import SpeechEncoder

PerFrame = Callable[[np.ndarray, int, float], np.ndarray]
"""(audio float32 (S,) mono 16 kHz, num_frames, fps) -> one row per frame."""


class Encoders(ABC):
    """Encoders on one device. A make says its sizes and how its four parts are loaded.

    Args:
        files: name in the weights lock -> file.
        device: torch device.
        dtype: of the autoencoder, by name; the other parts are float32.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    """Raised when the features of the same clip would change."""
    weights: ClassVar[tuple[str, ...]]
    """Names in the weights lock of autoencoder, speech and face."""
    emotion_weights: ClassVar[tuple[str, ...]] = ()
    """Names in the weights lock of what `emotion` needs besides."""

    vae_scale: ClassVar[int] = 8
    """Pixels per latent."""
    latent_channels: ClassVar[int] = 4
    size: ClassVar[int]
    """Side of the frames in pixels."""
    audio_blocks: ClassVar[int]
    audio_channels: ClassVar[int]
    face_channels: ClassVar[int]

    def __init__(self, files: Mapping[str, Path], device: str = "cpu", dtype: str = "float32"):
        self.files = files
        self.device = device
        self.dtype = dtype

    @abstractmethod
    def load_vae(self) -> AutoencoderKL: ...

    @abstractmethod
    def load_speech(self) -> SpeechEncoder: ...

    @abstractmethod
    def load_face(self) -> FaceReader:
        """A FaceReader, or what is called like one and has its `boxes`."""

    @abstractmethod
    def load_emotion(self) -> PerFrame: ...

    @cached_property
    def _vae(self) -> AutoencoderKL:
        import torch

        vae = self.load_vae().eval().requires_grad_(False).to(self.device)
        return vae.type(getattr(torch, self.dtype))  # `to` would warn of modules to keep in float32; there are none.

    @cached_property
    def _speech(self) -> SpeechEncoder:
        return self.load_speech()

    @cached_property
    def _face(self) -> FaceReader:
        return self.load_face()

    @cached_property
    def _emotion(self) -> PerFrame:
        return self.load_emotion()

    def encode(self, frames: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """Latents of frames, in slices.

        Args:
            frames: uint8 (T, H, W, 3) RGB; H and W multiples of `vae_scale`.

        Returns:
            mean and std, each float32 (T, latent_channels, H/8, W/8) on the CPU, times the scaling factor.
        """
        from methods.conditioning import vae

        return vae.encode(self._vae, frames)

    def decode(self, latents: torch.Tensor) -> np.ndarray:
        """Frames uint8 (T, 8h, 8w, 3) RGB of scaled latents (T, latent_channels, h, w) on any device, in slices."""
        from methods.conditioning import vae

        return vae.decode(self._vae, latents)

    def speech(self, audio: np.ndarray, num_frames: int, fps: float) -> np.ndarray:
        """Speech features per frame; `speech.windows` joins each with its neighbours.

        Args:
            audio: float32 (S,) mono 16 kHz in [-1, 1]; sample 0 is heard with frame 0. Cut, or padded with zeros, to
                the frames.
            num_frames: T.
            fps: rate of the frames.

        Returns:
            float32 (T, audio_blocks, audio_channels).

        Raises:
            GenerationError: it holds no speech.
        """
        return self._speech(audio, num_frames, fps)

    def read_face(self, image: np.ndarray) -> FaceReading:
        """Identity, and boxes of face and lips, of uint8 (H, W, 3) RGB.

        Raises:
            GenerationError: no face, a second one, or one too small.
        """
        return self._face(image)

    def locate_face(self, image: np.ndarray) -> np.ndarray:
        """float32 (4,) x0, y0, x1, y1 in [0, 1]: the face of uint8 (H, W, 3) RGB, for `face.crop`.

        Raises:
            GenerationError: no face, or a second one.
        """
        return self.read_face(image).face_box

    def face_boxes(self, frames: np.ndarray) -> np.ndarray:
        """float32 (T, 2, 4) in [0, 1]: face box and lip box of uint8 (T, H, W, 3) RGB frames; NaN without a face."""
        return self._face.boxes(frames)

    def emotion(self, audio: np.ndarray, num_frames: int, fps: float) -> np.ndarray:
        """int64 (T,): class per frame, of `emotion.EMOTIONS`, heard in float32 (S,) mono 16 kHz."""
        return self._emotion(audio, num_frames, fps)

    @property
    def num_parameters(self) -> int:
        """Parameters of autoencoder and speech encoder; the face's networks are files of other libraries."""
        networks = (self._vae, self._speech.network)
        return sum(parameter.numel() for network in networks for parameter in network.parameters())


class FullEncoders(Encoders):
    """What the published checkpoints were trained with."""

    name = "full"
    weights = ("sd_vae_ft_mse", "wav2vec2_base_960h", "scrfd_10g_bnkps", "glintr100", "face_landmarker")
    emotion_weights = ("emotion2vec_plus_large", "emotion2vec_plus_large_config", "memo_emotion_classifier")
    size = 512
    audio_blocks = 12
    audio_channels = 768
    face_channels = 512

    def load_vae(self) -> AutoencoderKL:
        from methods.conditioning.vae import load_sd_vae

        return load_sd_vae(self.files["sd_vae_ft_mse"])

    def load_speech(self) -> SpeechEncoder:
        from methods.conditioning.speech import SpeechEncoder, load_wav2vec2

        return SpeechEncoder(load_wav2vec2(self.files["wav2vec2_base_960h"]), self.device)

    def load_face(self) -> FaceReader:
        return FaceReader.load(self.files, self.device)

    def locate_face(self, image: np.ndarray) -> np.ndarray:
        return self._face.locate(image)  # Also where it is too small to be read.

    def load_emotion(self) -> PerFrame:
        from methods.conditioning.emotion import SpeechEmotion, load_classifier, load_emotion2vec

        weights, config, classifier = (self.files[name] for name in self.emotion_weights)
        return SpeechEmotion(load_emotion2vec(weights, config, self.device), load_classifier(classifier), self.device)


def encoders_class(model: Literal["full", "synth"]) -> type[Encoders]:
    """The make of a model size, for its sizes and the names of its weights."""
    if model == "full":
        return FullEncoders
    from methods.synth.encoders import SynthEncoders

    return SynthEncoders


def load_encoders(
    model: Literal["full", "synth"], files: Mapping[str, Path], device: str = "cpu", dtype: str = "float32"
) -> Encoders:
    """Encoders of a model size; see `Encoders` for the arguments."""
    return encoders_class(model)(files, device, dtype)
