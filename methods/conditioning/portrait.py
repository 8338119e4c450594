"""A request as the encoders read it: what all clips of one video share, computed once.

The denoisers make clips of a fixed number of frames. A video of any length is whole clips of which the last is cut; the
speech behind its last frame is silence. Pictures are stretched to the encoders' square and the frames back to the size
asked for, so geometry is kept where the two agree in shape.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from methods.conditioning.encoders import Encoders
from methods.conditioning.face import FaceReading, crop
from methods.conditioning.speech import WINDOW_MARGIN, windows
from methods.generator import GenerationError, Request

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Portrait:
    """Letters: T frames asked for, F frames of a clip, T' the frames of whole clips, S the encoders' size."""

    num_frames: int
    """T."""
    height: int
    """Of the frames asked for."""
    width: int
    frames_per_clip: int
    """F."""
    picture: np.ndarray
    """uint8 (S, S, 3) RGB: the reference."""
    face: FaceReading
    """Of `picture`."""
    audio: np.ndarray
    """float32 (samples,) mono 16 kHz: the speech, as long as it was given."""
    speech: np.ndarray
    """float32 (T', blocks, channels) features of the speech, one row a frame."""

    @property
    def clips(self) -> Iterator[slice]:
        """Frames of every clip, each F long; the last may reach beyond T."""
        for start in range(0, self.num_frames, self.frames_per_clip):
            yield slice(start, start + self.frames_per_clip)

    def speech_windows(self, clip: slice) -> np.ndarray:
        """float32 (1, F, 5, blocks, channels): features of a clip's frames and of their neighbours."""
        low = max(0, clip.start - WINDOW_MARGIN)
        around = windows(self.speech[low : clip.stop + WINDOW_MARGIN])
        return around[None, clip.start - low : clip.stop - low]

    def finished(self, frames: np.ndarray, clip: slice) -> np.ndarray:
        """What of a clip's frames uint8 (F, S, S, 3) was asked for, uint8 (t, height, width, 3)."""
        return np.stack([resized(frame, self.height, self.width) for frame in frames[: self.num_frames - clip.start]])


def read_portrait(
    request: Request,
    encoders: Encoders,
    frames_per_clip: int,
    *,
    crop_face: bool = False,
    vocal_separator: Path | None = None,
) -> Portrait:
    """Encode what a video is made from.

    Args:
        request: with audio.
        encoders: of the model.
        frames_per_clip: F.
        crop_face: cut the reference to a square around the face first; the video then shows this square.
        vocal_separator: Kim_Vocal_2.onnx, to take the vocals out of the audio first; None takes it as it is.

    Raises:
        GenerationError: no face or more than one in the reference, no audio or no speech in it.
    """
    if request.audio is None:
        raise GenerationError("there is no audio, and the lips are driven by it")
    image, audio = request.reference, request.audio
    if crop_face:
        image = crop(image, encoders.locate_face(image))
    if vocal_separator:
        from methods.conditioning.vocals import separate_vocals

        audio = separate_vocals(audio, vocal_separator)
    picture = resized(image, encoders.size, encoders.size)
    whole = -(-request.num_frames // frames_per_clip) * frames_per_clip
    return Portrait(
        num_frames=request.num_frames,
        height=request.height,
        width=request.width,
        frames_per_clip=frames_per_clip,
        picture=picture,
        face=encoders.read_face(picture),
        audio=audio,
        speech=encoders.speech(audio, whole, request.fps),
    )


def start_noise(generator: torch.Generator, num_frames: int, encoders: Encoders) -> torch.Tensor:
    """What the denoising of a clip starts from, float32 (1, F, c, h, w) on the CPU, so that every device starts from the same.

    Drawn as (1, c, F, h, w), the published order.
    """
    import torch

    side = encoders.size // encoders.vae_scale
    noise = torch.randn((1, encoders.latent_channels, num_frames, side, side), generator=generator)
    return noise.transpose(1, 2)


def resized(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """uint8 (H, W, 3) at another size; itself where it has that size."""
    import cv2

    if image.shape[:2] == (height, width):
        return image
    shrinks = height * width < image.shape[0] * image.shape[1]
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
