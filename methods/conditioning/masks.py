"""Face and lip regions as Hallo conditions on them (fudan-generative-vision/hallo, utils/util.py and image_processor.py).

Two uses of the boxes around the face's silhouette and the outer lips. The face mask is the hard box, enlarged 1.2 times,
as a white-on-black picture: the FaceLocator's input. The region masks weigh the three branches of the audio attention:
both boxes (the lips' enlarged 2.0 times) are drawn small, blurred, stretched to the full range, and split into what is
lips, face without lips, and neither. In training the boxes are unions over a video's frames and are not enlarged.

Difference: a box that would be larger than the picture is cut to it. The original then counts negative rows from the
other end and draws a strip.
"""

from __future__ import annotations

import numpy as np

FACE_EXPANSION = 1.2
LIP_EXPANSION = 2.0
FACE_BLUR = 51
"""Side of the Gaussian kernel at REGION_SIZE."""
LIP_BLUR = 31
REGION_SIZE = 64
"""Regions are drawn at this size, whatever the picture's and the denoiser's."""


def expand_box(box: np.ndarray, ratio: float, width: int, height: int) -> tuple[int, int, int, int]:
    """A box enlarged about its centre, in whole pixels; what sticks out on one side is added on the other.

    Args:
        box: (4,) x0, y0, x1, y1 in [0, 1] of the picture.
        ratio: of the new sides to the old.
        width, height: of the picture in pixels.

    Returns:
        x0, y0, x1, y1 in pixels inside the picture, x1 and y1 exclusive.
    """
    x0, y0, x1, y1 = np.round(np.asarray(box, np.float64) * (width, height, width, height))
    left, right = _expand_side(x0, x1, ratio, width)
    top, bottom = _expand_side(y0, y1, ratio, height)
    return left, top, right, bottom


def _expand_side(low: float, high: float, ratio: float, limit: int) -> tuple[int, int]:
    middle, half = (low + high) // 2, (high - low) * ratio // 2
    low, high = middle - half, middle + half
    if low < 0:
        low, high = 0, high - low
    if high > limit:
        low, high = low - (high - limit), limit
    return max(0, round(low)), round(high)


def face_mask(face_box: np.ndarray, size: int = 512, ratio: float = FACE_EXPANSION) -> np.ndarray:
    """The FaceLocator's picture, float32 (3, size, size): 1 inside the enlarged box, 0 outside.

    Args:
        face_box: (4,) x0, y0, x1, y1 in [0, 1].
        ratio: FACE_EXPANSION for a single picture, 1 for a union over frames.
    """
    return np.repeat(_drawn(face_box, ratio, size)[None] / np.float32(255), 3, axis=0)


def region_masks(
    face_box: np.ndarray,
    lip_box: np.ndarray,
    levels: tuple[int, ...] = (64, 32, 16, 8),
    *,
    size: int = 512,
    face_ratio: float = FACE_EXPANSION,
    lip_ratio: float = LIP_EXPANSION,
) -> tuple[tuple[np.ndarray, np.ndarray, np.ndarray], ...]:
    """Soft masks of the audio attention for every UNet level.

    Args:
        face_box, lip_box: (4,) x0, y0, x1, y1 in [0, 1].
        levels: sides s of the levels, shallow to deep.
        size: side of the picture the boxes are drawn in.
        face_ratio, lip_ratio: the defaults for a single picture, 1 for unions over frames.

    Returns:
        Per level (full, face, lip), each float32 (s*s,) in [0, 1].
    """
    regions = split_regions(_drawn(face_box, face_ratio, size), _drawn(lip_box, lip_ratio, size))
    return tuple(tuple(_shrunk(region, side).reshape(-1) for region in regions) for side in levels)


def split_regions(face: np.ndarray, lip: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(full, face, lip), uint8 (64, 64), of the drawn boxes uint8 (H, W) in {0, 255}."""
    import cv2

    face_blur, lip_blur = _blurred(face, FACE_BLUR), _blurred(lip, LIP_BLUR)
    full = ((1.0 - face_blur / 255.0) * 255).astype(np.uint8)  # Cut, not rounded, as published: some are 1 lower.
    return full, cv2.subtract(face_blur, lip_blur), lip_blur


def _drawn(box: np.ndarray, ratio: float, size: int) -> np.ndarray:
    left, top, right, bottom = expand_box(box, ratio, size, size)
    mask = np.zeros((size, size), np.uint8)
    mask[top:bottom, left:right] = 255
    return mask


def _blurred(mask: np.ndarray, kernel: int) -> np.ndarray:
    import cv2

    small = cv2.resize(mask, (REGION_SIZE, REGION_SIZE))
    return cv2.normalize(cv2.GaussianBlur(small, (kernel, kernel), 0), None, 0, 255, cv2.NORM_MINMAX)


def _shrunk(region: np.ndarray, side: int) -> np.ndarray:
    """float32 (side, side) in [0, 1] by PIL's bilinear filter, which widens as it shrinks."""
    from PIL import Image

    return np.asarray(Image.fromarray(region).resize((side, side), Image.Resampling.BILINEAR), np.float32) / 255
