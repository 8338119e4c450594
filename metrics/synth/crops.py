"""Fixed parts of the frames of the synthetic world, whose heads all sit alike: no detector is needed."""

from __future__ import annotations

import numpy as np

from metrics.synth.degradations import blurred, noisy, recoloured
from metrics.synth.frame_expert import resized

Box = tuple[float, float, float, float]
"""Top, bottom, left, right, in shares of the frame's height and width."""
FACE: Box = (0.05, 0.95, 0.15, 0.85)
"""Head and hair without most of the clothes."""
MOUTH: Box = (0.53, 0.91, 0.3, 0.7)
"""Mouth and chin; at 128x128 about 50 pixels wide."""


def cropped(frames: np.ndarray, box: Box, size: int) -> np.ndarray:
    """A part of frames uint8 (t, H, W, 3) as uint8 (t, size, size, 3), same colour order."""
    height, width = frames.shape[1:3]
    top, bottom = (round(share * height) for share in box[:2])
    left, right = (round(share * width) for share in box[2:])
    return resized(frames[:, top : max(bottom, top + 1), left : max(right, left + 1)], size)


def varied(frames: np.ndarray, box: Box, size: int, rng: np.random.Generator) -> np.ndarray:
    """A random view of frames uint8 (t, H, W, 3) as uint8 (t, size, size, 3), the same for all of them: the box moved by up
    to 3 % of the frame and zoomed by up to 6 %, mirrored in half of the cases, slightly recoloured, in a third of the cases
    each blurred, noisy."""
    view = cropped(frames, _moved(box, rng), size)
    if rng.random() < 0.5:
        view = view[:, :, ::-1]
    view = recoloured(view, 1 + 0.06 * rng.standard_normal(3), 6 * rng.standard_normal())
    if rng.random() < 1 / 3:
        view = blurred(view, rng.uniform(0.3, 1.0))
    if rng.random() < 1 / 3:
        view = noisy(view, rng.uniform(2, 10), rng)
    return view


def _moved(box: Box, rng: np.random.Generator) -> Box:
    top, bottom, left, right = box
    down, across = rng.uniform(-0.03, 0.03, 2)
    height, width = (length * rng.uniform(-0.06, 0.06) / 2 for length in (bottom - top, right - left))
    moved = top + down - height, bottom + down + height, left + across - width, right + across + width
    return tuple(min(max(edge, 0.0), 1.0) for edge in moved)
