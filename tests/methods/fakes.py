"""Small stand-ins with random weights: networks of the bases, encoders that keep a record, requests."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from bench.media.clip import samples_for
from methods.conditioning.face import FaceReading
from methods.conditioning.speech import require_speech
from methods.generator import Request
from methods.hallo.modules import HalloModules
from methods.memo.modules import MemoModules

SIZE = 64
UNET = {
    "sample_size": 8,
    "block_out_channels": (8, 8, 16),
    "layers_per_block": 1,
    "attention_head_dim": 2,
    "cross_attention_dim": 8,
    "norm_num_groups": 4,
}
DENOISER = {**UNET, "audio_attention_dim": 8, "motion_heads": 2}
PROJECTIONS = {
    "image_projection": {"face_channels": 8, "tokens": 2, "dim": 8},
    "audio_projection": {"window": 5, "blocks": 2, "channels": 3, "hidden": 8, "tokens": 2, "dim": 8},
}
TINY_MEMO = {
    "denoiser": {"base": "memo", **DENOISER},
    "reference": {**UNET, "plain_blocks": True, "cut_last_site": True},
    **PROJECTIONS,
}
TINY_HALLO = {
    "denoiser": {"base": "hallo", **DENOISER},
    "reference": UNET,
    **PROJECTIONS,
    "face_locator": {"channels": 8},
}


def tiny_memo(official_row_order: bool = True) -> MemoModules:
    return randomised(MemoModules(_with_row_order(TINY_MEMO, official_row_order)))


def tiny_hallo(official_row_order: bool = True) -> HalloModules:
    return randomised(HalloModules(_with_row_order(TINY_HALLO, official_row_order)))


def _with_row_order(sizes: dict, official: bool) -> dict:
    order = {"official_row_order": official}
    return {**sizes, "denoiser": {**sizes["denoiser"], **order}, "reference": {**sizes["reference"], **order}}


def randomised(module: nn.Module, seed: int = 0) -> nn.Module:
    """The module with every weight random, those that begin at zero too, so that every branch counts."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            drawn = torch.randn(parameter.shape, generator=generator)
            if parameter.ndim > 1:
                parameter.copy_(drawn / parameter[0].numel() ** 0.5)
            else:
                parameter.copy_(0.1 * drawn + name.endswith("weight"))
    return module.eval().requires_grad_(False)


class FakeEncoders:
    """Encoders without networks: a latent is the mean colour of 8 x 8 pixels and its brightness. Keeps a record."""

    name = "fake"
    version = 1
    vae_scale = 8
    latent_channels = 4
    size = SIZE
    audio_blocks = 2
    audio_channels = 3
    face_channels = 8
    num_parameters = 1000

    def __init__(self, emotions: np.ndarray | None = None):
        self.emotions = emotions
        """What `emotion` answers, repeated at its end; None = neutral."""
        self.encoded: list[np.ndarray] = []
        """Frames of every call of `encode`."""
        self.decoded: list[np.ndarray] = []
        """What every call of `decode` returned."""

    def encode(self, frames: np.ndarray) -> tuple[Tensor, Tensor]:
        self.encoded.append(frames)
        squares = frames.reshape(len(frames), SIZE // 8, 8, SIZE // 8, 8, 3).mean((2, 4), dtype=np.float32) / 127.5 - 1
        colours = torch.from_numpy(squares).permute(0, 3, 1, 2)
        mean = torch.cat([colours, colours.mean(1, keepdim=True)], dim=1)
        return mean, torch.zeros_like(mean)

    def decode(self, latents: Tensor) -> np.ndarray:
        pixels = ((latents[:, :3] + 1) * 127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1).numpy()
        frames = pixels.repeat(8, axis=1).repeat(8, axis=2)
        self.decoded.append(frames)
        return frames

    def speech(self, audio: np.ndarray, num_frames: int, fps: float) -> np.ndarray:
        require_speech(audio)
        samples = samples_for(num_frames, fps)
        frames = np.array_split(np.pad(audio[:samples], (0, max(0, samples - len(audio)))), num_frames)
        loudness = np.array([frame.std() for frame in frames], np.float32)
        return loudness[:, None, None] * np.arange(1, 7, dtype=np.float32).reshape(2, 3)

    def read_face(self, image: np.ndarray) -> FaceReading:
        embedding = image.reshape(8, -1).mean(1).astype(np.float32) / 64
        boxes = np.array([[0.2, 0.1, 0.8, 0.9], [0.4, 0.6, 0.6, 0.75]], np.float32)
        return FaceReading(embedding, *boxes)

    def emotion(self, audio: np.ndarray, num_frames: int, fps: float) -> np.ndarray:
        classes = np.array([4]) if self.emotions is None else self.emotions
        return classes[np.arange(num_frames).clip(max=len(classes) - 1)].astype(np.int64)


def request(num_frames: int = 16, seed: int = 0, **changes) -> Request:
    """A request at 25 fps with a picture and speech of its own for every seed."""
    rng = np.random.default_rng(seed)
    values = {
        "case": f"case{seed}",
        "reference": rng.integers(0, 256, (SIZE, SIZE, 3), np.uint8),
        "audio": 0.1 * rng.standard_normal(samples_for(num_frames, 25.0)).astype(np.float32),
        "num_frames": num_frames,
        "fps": 25.0,
        "height": SIZE,
        "width": SIZE,
        "seed": seed,
    }
    return Request(**values | changes)


def video(frames) -> np.ndarray:
    """uint8 (T, H, W, 3) of what a generator made, in pieces or whole."""
    return frames if isinstance(frames, np.ndarray) else np.concatenate(list(frames))
