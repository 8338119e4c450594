"""Fixed parts of the frames of the synthetic world, whose heads all sit alike: no detector is needed."""

from __future__ import annotations

import numpy as np

from metrics.synth.frame_expert import resized

Box = tuple[float, float, float, float]
"""Top, bottom, left, right, in shares of the frame's height and width."""
FACE: Box = (0.03, 0.91, 0.155, 0.845)
"""Head and hair without most of the clothes."""
MOUTH: Box = (0.45, 0.86, 0.295, 0.705)
"""Mouth and chin; at 128x128 about 52 pixels wide."""


def cropped(frames: np.ndarray, box: Box, size: int) -> np.ndarray:
    """A part of frames uint8 (t, H, W, 3) as uint8 (t, size, size, 3), same colour order."""
    height, width = frames.shape[1:3]
    top, bottom = (round(share * height) for share in box[:2])
    left, right = (round(share * width) for share in box[2:])
    return resized(frames[:, top : max(bottom, top + 1), left : max(right, left + 1)], size)
