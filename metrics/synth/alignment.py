"""Where the eyes are, and the upright crop of a face that they define.

Both face experts look twice: a small network finds the two eyes in the whole frame, then the expert sees the face turned
upright, at one size and place. That leaves it the differences that Action Units make.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from bench.media.landmarks import similarity, transform
from metrics.synth.convnet import convolution

FRAME = 128
"""Side in px of the frames that crops are cut from; other sizes are brought to it first."""
SPAN = 2.75
"""Side of the crop in distances between the eyes: from above the raised brows to below the dropped jaw."""
EYE_LINE = 0.36
"""How far down in the crop the eyes are, as a share of its side."""


def eye_centres(xy: np.ndarray) -> np.ndarray:
    """Middle of the corners of the left and right eye (of the image), float (n, 2, 2) of 68 points (n, 68, 2)."""
    return np.stack([xy[:, [36, 39]].mean(1), xy[:, [42, 45]].mean(1)], axis=1)


def crop_matrices(eyes: np.ndarray, size: int) -> np.ndarray:
    """float64 (n, 2, 3): similarities that take points of the frame to points of the crop.

    Args:
        eyes: float (n, 2, 2) px of the frame.
        size: side of the crop in px.
    """
    places = size * (np.array([[-0.5, 0.0], [0.5, 0.0]]) / SPAN + (0.5, EYE_LINE))
    return similarity(eyes, np.broadcast_to(places, np.shape(eyes)))


def crops(frames: np.ndarray, matrices: np.ndarray, size: int) -> np.ndarray:
    """Crops uint8 (n, size, size, 3) of frames uint8 (n, H, W, 3); beyond the frame its edge is repeated."""
    import cv2

    # OpenCV counts from the centre of the first pixel, landmarks from its corner.
    shifted = matrices.copy()
    shifted[:, :, 2] += matrices[:, :, :2] @ (0.5, 0.5) - 0.5
    return np.stack(
        [
            cv2.warpAffine(frame, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            for frame, matrix in zip(frames, shifted, strict=True)
        ]
    )


def back(matrices: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Points (n, N, 2) of crops as points of their frames."""
    inverse = np.linalg.inv(matrices[:, :, :2])
    return transform(np.concatenate([inverse, -inverse @ matrices[:, :, 2:]], axis=2), points)


class EyeLocator(nn.Module):
    """The eyes in a whole frame at 64x64 px: four convolutions of stride 2 and a linear layer."""

    SIZE = 64
    WIDTHS = (12, 24, 48, 64)

    def __init__(self, channels: int = 3):
        super().__init__()
        widths = (channels, *self.WIDTHS)
        layers = [
            convolution(a, b, 5 if a == channels else 3, stride=2) for a, b in zip(widths, self.WIDTHS, strict=False)
        ]
        self.layers = nn.Sequential(*layers, nn.Flatten())
        self.eyes = nn.Linear(self.WIDTHS[-1] * (self.SIZE // 16) ** 2, 4)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """float32 (n, 2, 2), eye centres in units of the frame's sides, of images float (n, channels, 64, 64)."""
        features = self.layers(images)
        with torch.autocast(features.device.type, enabled=False):
            return 0.5 + 0.25 * self.eyes(features.float()).unflatten(1, (2, 2))
