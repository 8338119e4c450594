"""Encoders of the video transformer: everything between pixels, sound, words and it, in one bundle with two makes.

`full` is what Wan2.1-Fun-V1.1-1.3B-InP and StableAvatar were trained with: Wan2.1's VAE, CLIP ViT-H/14, umT5-XXL and
wav2vec2-base-960h; for IUFace's ablation antelopev2's ArcFace besides. `synth` has small networks for the rendered world
(methods/synth). Every part is loaded when it is first used: a prompt whose states are given loads no text encoder.

Letters: B videos, N = 4T - 3 frames, T latent frames of c x h x w, L text tokens, I image tokens. What goes to the transformer
is float32 on the CPU.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, TypeVar

import numpy as np

from methods.conditioning import clip_image, prompt, vocal, wan_vae
from methods.conditioning.face import FaceReader, require_one_face

if TYPE_CHECKING:
    import torch
    from diffusers import AutoencoderKLWan
    from torch import Tensor
    from transformers import CLIPVisionModel, Wav2Vec2Model

IdentityEncoder = Literal["clip", "arcface", "none"]
Network = TypeVar("Network", bound="torch.nn.Module")


class VideoEncoders(ABC):
    """Encoders on one device.

    Args:
        files: name in the weights lock -> file, of the parts that will be used (`weights_for`).
        device: torch device.
        dtype: of autoencoder and image encoder, by name; the speech encoder is float32, the text encoder as it is stored.
        tiling: take pictures larger than a tile in tiles; needs less memory and more time.
        offload: keep every network in the CPU's memory while it is not used.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    """Raised when the features of the same clip would change."""
    weights: ClassVar[tuple[str, ...]]
    """Names in the weights lock of autoencoder, image encoder and speech encoder."""
    text_weights: ClassVar[tuple[str, ...]]
    face_weights: ClassVar[tuple[str, ...]]
    """Of what `require_one_face` looks with."""
    arcface_weights: ClassVar[tuple[str, ...]]
    _parts: ClassVar[tuple[str, ...]]
    """Attributes that load what is always used, and what prompts and ArcFace need."""
    _text_parts: ClassVar[tuple[str, ...]] = ()
    _arcface_parts: ClassVar[tuple[str, ...]] = ()

    vae_scale: ClassVar[int] = wan_vae.SCALE
    """Pixels per latent."""
    size: ClassVar[int]
    """Side of the frames in pixels."""
    latent_channels: ClassVar[int]
    text_tokens: ClassVar[int]
    text_dim: ClassVar[int]
    image_tokens: ClassVar[int]
    image_dim: ClassVar[int]
    vocal_dim: ClassVar[int]
    identity_dims: ClassVar[Mapping[str, int]]

    def __init__(
        self,
        files: Mapping[str, Path],
        device: str = "cpu",
        dtype: str = "float32",
        *,
        tiling: bool = False,
        offload: bool = False,
    ):
        self.files = files
        self.device = device
        self.dtype = dtype
        self._tiling = wan_vae.Tiling() if tiling else None
        self._offload = offload
        self._texts: dict[str, Tensor] = {}

    @classmethod
    def weights_for(cls, identity_encoder: IdentityEncoder = "clip", *, text: bool = True) -> tuple[str, ...]:
        """Names in the weights lock for making videos.

        Args:
            identity_encoder: of the model.
            text: False where the states of the prompts are given.
        """
        names = cls.weights + cls.face_weights
        names += cls.text_weights if text else ()
        names += cls.arcface_weights if identity_encoder == "arcface" else ()
        return tuple(dict.fromkeys(names))

    def load(self, identity_encoder: IdentityEncoder = "clip", *, text: bool = True) -> None:
        """Load the parts that `weights_for` of the same arguments names, which otherwise happens when they are first used."""
        names = (*self._parts, *(self._text_parts if text else ()))
        for name in names + (self._arcface_parts if identity_encoder == "arcface" else ()):
            getattr(self, name)

    # -- what a make says ---------------------------------------------------------------------------------------------

    @abstractmethod
    def load_vae(self) -> AutoencoderKLWan: ...

    @abstractmethod
    def load_speech(self) -> Wav2Vec2Model: ...

    @abstractmethod
    def images(self, references: np.ndarray) -> Tensor:
        """Penultimate states of the image encoder, float32 (B, I, image_dim), of uint8 (B, H, W, 3) RGB."""

    @abstractmethod
    def require_one_face(self, image: np.ndarray) -> None:
        """Refuse uint8 (H, W, 3) RGB that does not show one face.

        Raises:
            GenerationError: no face, a second one, or one too small; the message says what to do.
        """

    @abstractmethod
    def locate_face(self, image: np.ndarray) -> np.ndarray:
        """float32 (4,) x0, y0, x1, y1 in [0, 1]: the face of uint8 (H, W, 3) RGB, for `face.crop`.

        Raises:
            GenerationError: no face, or a second one.
        """

    @abstractmethod
    def arcface(self, image: np.ndarray) -> np.ndarray:
        """float32 (E,), not normalised: face recognition's embedding of the face in uint8 (H, W, 3) RGB.

        Raises:
            GenerationError: as `require_one_face`.
        """

    @abstractmethod
    def encode_text(self, prompt: str) -> Tensor:
        """States of a prompt's tokens, float32 (n, text_dim), n <= L."""

    # -- frames -------------------------------------------------------------------------------------------------------

    def encode(self, frames: np.ndarray) -> Tensor:
        """Latents float32 (c, T, h, w) of uint8 (N, H, W, 3) RGB: means of the posteriors, normalised."""
        return self.posterior(frames[None])[0][0]

    def posterior(self, videos: np.ndarray) -> tuple[Tensor, Tensor]:
        """Mean and std, each float32 (B, c, T, h, w), normalised, of uint8 (B, N, H, W, 3) RGB."""
        with self._used(self._vae) as vae:
            return wan_vae.encode(vae, videos, self._tiling)

    def decode(self, latents: Tensor) -> Iterator[np.ndarray]:
        """Frames of latents (c, T, h, w), in pieces as they are made: uint8 (1, 8h, 8w, 3), then (4, 8h, 8w, 3) RGB."""
        with self._used(self._vae) as vae:
            yield from wan_vae.decode(vae, latents, self._tiling)

    # -- reference ----------------------------------------------------------------------------------------------------

    def masked(self, reference: np.ndarray, num_frames: int) -> Tensor:
        """What the transformer is told of a video of which frame 0 is known, float32 (4 + c, T, h, w): the mask, then the
        latents of uint8 (H, W, 3) RGB followed by grey.

        Args:
            num_frames: N.
        """
        return wan_vae.with_mask(self.known(reference[None], num_frames)[0])

    def known(self, references: np.ndarray, num_frames: int) -> Tensor:
        """`masked` without the mask, float32 (B, c, T, h, w), of uint8 (B, H, W, 3) RGB."""
        with self._used(self._vae) as vae:
            return wan_vae.encode_known(vae, references, num_frames, self._tiling)

    def image(self, reference: np.ndarray) -> Tensor:
        """float32 (I, image_dim): penultimate states of the image encoder, of uint8 (H, W, 3) RGB."""
        return self.images(reference[None])[0]

    def identity(self, reference: np.ndarray, encoder: IdentityEncoder) -> Tensor | None:
        """Identity embedding of uint8 (H, W, 3) RGB for phi2: float32 (identity_dims[encoder],), not normalised; None for
        the encoder `none`."""
        import torch

        if encoder == "none":
            return None
        if encoder == "clip":
            return clip_image.mean_pooled(self.image(reference))
        return torch.from_numpy(self.arcface(reference))

    # -- words and sound ----------------------------------------------------------------------------------------------

    def text(self, words: str | None = None) -> Tensor:
        """States of a prompt, float32 (L, text_dim), zeros after its end; None takes DEFAULT_PROMPT."""
        words = prompt.DEFAULT_PROMPT if words is None else words
        if words not in self._texts:
            self._texts[words] = self.encode_text(words)
        return prompt.padded(self._texts[words], self.text_tokens)

    def negative_text(self, words: str | None = None) -> Tensor:
        """The same of a negative prompt; None takes Wan2.1's."""
        return self.text(prompt.NEGATIVE_PROMPT if words is None else words)

    def read_embedding(self, path: Path) -> Tensor:
        """The same from a file of states.

        Raises:
            UserError: not such a file, or states of another encoder.
        """
        return prompt.padded(prompt.read_embedding(path, self.text_dim), self.text_tokens)

    def vocal(self, audio: np.ndarray) -> Tensor:
        """float32 (tokens, vocal_dim), 50 a second, of one window's samples float32 (S,) mono 16 kHz."""
        with self._used(self._speech) as network:
            return vocal.vocal_states(network, audio)

    # -- networks -----------------------------------------------------------------------------------------------------

    @cached_property
    def _vae(self) -> AutoencoderKLWan:
        return self._placed(self.load_vae(), self.dtype)

    @cached_property
    def _speech(self) -> Wav2Vec2Model:
        return self._placed(self.load_speech())

    def _placed(self, network: Network, dtype: str | None = None) -> Network:
        import torch

        network = network.eval().requires_grad_(False)
        if dtype:
            # diffusers' own `to` would warn of modules to keep in float32; there are none.
            network = torch.nn.Module.to(network, getattr(torch, dtype))
        return network.to("cpu" if self._offload else self.device)

    @contextmanager
    def _used(self, network: Network) -> Iterator[Network]:
        """The network on the device."""
        if not self._offload:
            yield network
            return
        try:
            yield network.to(self.device)
        finally:
            network.to("cpu")


class FullVideoEncoders(VideoEncoders):
    """What the published checkpoints were trained with."""

    name = "full"
    weights = ("wan21_vae", "wan21_clip", "wav2vec2_base_960h")
    text_weights = ("umt5_xxl", "umt5_xxl_tokenizer")
    face_weights = ("face_landmarker",)
    arcface_weights = ("scrfd_10g_bnkps", "glintr100", "face_landmarker")
    _parts = ("_vae", "_clip", "_speech", "_landmarker")
    _text_parts = ("_text",)
    _arcface_parts = ("_face",)
    size = 512
    latent_channels = 16
    text_tokens, text_dim = prompt.TOKENS, 4096
    image_tokens, image_dim = 257, 1280
    vocal_dim = 768
    identity_dims: ClassVar[Mapping[str, int]] = {"clip": 1280, "arcface": 512}

    def load_vae(self) -> AutoencoderKLWan:
        return wan_vae.load_wan_vae(self.files["wan21_vae"])

    def load_speech(self) -> Wav2Vec2Model:
        from methods.conditioning.speech import load_wav2vec2

        return load_wav2vec2(self.files["wav2vec2_base_960h"])

    @cached_property
    def _clip(self) -> CLIPVisionModel:
        return self._placed(clip_image.load_clip(self.files["wan21_clip"]), self.dtype)

    @cached_property
    def _text(self) -> prompt.TextEncoder:
        text = prompt.load_text_encoder(self.files["umt5_xxl"], self.files["umt5_xxl_tokenizer"])
        self._placed(text.network)
        return text

    @cached_property
    def _face(self) -> FaceReader:
        return FaceReader.load(self.files, self.device)

    @cached_property
    def _landmarker(self):
        from bench.media.face_landmarker import FaceLandmarker

        return FaceLandmarker(self.files["face_landmarker"])

    def images(self, references: np.ndarray) -> Tensor:
        with self._used(self._clip) as clip:
            return clip_image.image_states(clip, references)

    def require_one_face(self, image: np.ndarray) -> None:
        require_one_face(self._face_boxes(image), image.shape[0])

    def locate_face(self, image: np.ndarray) -> np.ndarray:
        boxes = self._face_boxes(image)
        require_one_face(boxes, image.shape[0], smallest=0.0)
        return boxes[0] / np.tile(image.shape[1::-1], 2).astype(np.float32)

    def _face_boxes(self, image: np.ndarray) -> np.ndarray:
        """float32 (n, 4) x0, y0, x1, y1 in pixels, the largest face first."""
        points = [face.xy for face in self._landmarker.find(image)]
        return np.array([[*xy.min(0), *xy.max(0)] for xy in points], np.float32).reshape(-1, 4)

    def arcface(self, image: np.ndarray) -> np.ndarray:
        return self._face(image).embedding

    def encode_text(self, words: str) -> Tensor:
        with self._used(self._text.network):
            return self._text(words)


def video_encoders_class(model: Literal["full", "synth"]) -> type[VideoEncoders]:
    """The make of a model size, for its sizes and the names of its weights."""
    if model == "full":
        return FullVideoEncoders
    from methods.synth.video_encoders import SynthVideoEncoders

    return SynthVideoEncoders


def load_video_encoders(
    model: Literal["full", "synth"],
    files: Mapping[str, Path],
    device: str = "cpu",
    dtype: str = "float32",
    *,
    tiling: bool = False,
    offload: bool = False,
) -> VideoEncoders:
    """Encoders of a model size; see `VideoEncoders` for the arguments."""
    return video_encoders_class(model)(files, device, dtype, tiling=tiling, offload=offload)
