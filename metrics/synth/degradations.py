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
    levels = np.arange(256)[:, None] * np.asarray(gain) + lift
    table = np.clip(np.rint(levels), 0, 255).astype(np.uint8)
    return np.stack([table[:, channel].take(frames[..., channel]) for channel in range(3)], -1)
