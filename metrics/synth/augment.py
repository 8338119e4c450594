"""Random changes of a training frame: mirroring, and the damage that generated and coded video shows.

Mirroring exchanges left and right in the names of AUs and in the numbers of landmarks. The damage (blur, lower
resolution, noise, JPEG, light and colour) keeps an expert sane on frames that are worse than those of the world.
"""

from __future__ import annotations

import numpy as np

from bench.media.au import FEAFA_UNITS

_OTHER_SIDE = {"left": "right", "right": "left"}


def _mirrored_name(name: str) -> str:
    stem, _, side = name.rpartition("_")
    return f"{stem}_{_OTHER_SIDE[side]}" if side in _OTHER_SIDE else name


_NAMES = [unit.name for unit in FEAFA_UNITS]
MIRROR_AUS = np.array([_NAMES.index(_mirrored_name(name)) for name in _NAMES])
"""int64 (24,): the AU that a mirrored face shows in place of each."""


def mirror_order(points: np.ndarray) -> np.ndarray:
    """int64 (N,): the point that lies there in a mirrored face, by the best matching of a mean face with its mirror image.

    Args:
        points: float (N, 2), the mean of upright faces about x = 0.5.
    """
    from scipy.optimize import linear_sum_assignment

    image = points * (-1, 1) + (1, 0)
    return linear_sum_assignment(np.linalg.norm(image[:, None] - points, axis=-1))[1]


def mirror(
    frame: np.ndarray, xy: np.ndarray, aus: np.ndarray, order: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The face seen in a mirror.

    Args:
        frame: uint8 (H, W, 3).
        xy: float (N, 2) px of the frame.
        aus: float (24,).
        order: of the points, see `mirror_order`.
    """
    flipped = xy[order] * (-1, 1) + (frame.shape[1], 0)
    return np.ascontiguousarray(frame[:, ::-1]), flipped.astype(xy.dtype), aus[MIRROR_AUS]


def damage(frame: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The frame, uint8 (H, W, 3), in other light and, in about half of the draws, worse than it was."""
    import cv2

    height, width = frame.shape[:2]
    if rng.random() < 0.2:
        frame = cv2.GaussianBlur(frame, (0, 0), rng.uniform(0.3, 1.2) * width / 128)
    if rng.random() < 0.15:
        share = rng.uniform(0.4, 0.9)
        small = cv2.resize(frame, (round(share * width), round(share * height)), interpolation=cv2.INTER_AREA)
        frame = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
    if rng.random() < 0.8:
        frame = _relight(frame, rng)
    if rng.random() < 0.2:
        noise = rng.standard_normal(frame.shape, np.float32) * np.float32(rng.uniform(1, 8))
        frame = np.clip(frame + noise, 0, 255).astype(np.uint8)
    if rng.random() < 0.2:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(40, 95))]
        frame = cv2.imdecode(cv2.imencode(".jpg", frame, quality)[1], cv2.IMREAD_COLOR)
    return frame


def _relight(frame: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Gain and offset of each channel and a common gamma, through a table of 256 values."""
    import cv2

    gain = rng.uniform(0.8, 1.25) * rng.uniform(0.93, 1.07, 3)
    offset = rng.uniform(-12, 12) + rng.uniform(-4, 4, 3)
    level = 255 * (np.arange(256) / 255) ** rng.uniform(0.8, 1.25)
    table = np.clip(level[:, None] * gain + offset, 0, 255).astype(np.uint8)
    return cv2.LUT(frame, table[None])
