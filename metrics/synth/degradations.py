"""Known ways to spoil frames: what training adds so that experts stay sane on generated frames, and what checks use.

Strengths are in pixels and grey levels of the frame that is given, so they mean less on a larger one.
"""

from __future__ import annotations

import numpy as np


def blurred(frames: np.ndarray, sigma: float) -> np.ndarray:
    """Frames uint8 (t, H, W, 3) under a Gaussian of `sigma` pixels."""
    import cv2

    return np.stack([cv2.GaussianBlur(frame, (0, 0), sigma) for frame in frames]) if sigma > 0 else frames


def noisy(frames: np.ndarray, sigma: float, rng: np.random.Generator) -> np.ndarray:
    """Frames uint8 (t, H, W, 3) with Gaussian noise of `sigma` grey levels in every sample."""
    noise = rng.standard_normal(frames.shape, np.float32) * sigma
    return np.clip(np.rint(frames + noise), 0, 255).astype(np.uint8)


def compressed(frames: np.ndarray, quality: int) -> np.ndarray:
    """Frames uint8 (t, H, W, 3) RGB through JPEG of quality 1 to 100, chroma at half size."""
    import cv2

    files = (cv2.imencode(".jpg", frame[..., ::-1], (cv2.IMWRITE_JPEG_QUALITY, quality))[1] for frame in frames)
    return np.stack([cv2.imdecode(file, cv2.IMREAD_COLOR)[..., ::-1] for file in files])


def recoloured(frames: np.ndarray, gain: np.ndarray, lift: float) -> np.ndarray:
    """Frames uint8 (t, H, W, 3) times gain float (3,), plus `lift` grey levels."""
    table = np.arange(256)[:, None] * np.asarray(gain) + lift
    table = np.clip(np.rint(table), 0, 255).astype(np.uint8)
    return np.stack([table[frames[..., channel], channel] for channel in range(3)], -1)


def varied(frames: np.ndarray, rng: np.random.Generator, zoom: float = 0.1) -> np.ndarray:
    """One random view, the same for all frames uint8 (t, H, W, 3) of a moment or a clip: mirrored in half of the cases,
    cut by up to `zoom` of the size, slightly recoloured, in a third of the cases each blurred, noisy.

    Returns:
        uint8 (t, h, w, 3) with (1 - zoom) H <= h <= H.
    """
    side = 1 - zoom * rng.random()
    height, width = (round(side * length) for length in frames.shape[1:3])
    top, left = rng.integers(frames.shape[1] - height + 1), rng.integers(frames.shape[2] - width + 1)
    view = frames[:, top : top + height, left : left + width]
    if rng.random() < 0.5:
        view = view[:, :, ::-1]
    view = recoloured(view, 1 + 0.06 * rng.standard_normal(3), 6 * rng.standard_normal())
    if rng.random() < 1 / 3:
        view = blurred(view, rng.uniform(0.4, 1.6))
    if rng.random() < 1 / 3:
        view = noisy(view, rng.uniform(2, 12), rng)
    return view
