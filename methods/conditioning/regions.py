"""Where lips and face are in the latents: the two masks of IUFace's region-weighted loss (suppl. B).

Regions are polygons of mediapipe's points: the ring inside the lips ("a precise inner-lip mask") and the silhouette ("a
broader full-face mask"). A latent belongs to a region if any of its 8 x 8 pixels does, so that a closed mouth still has the
row where the lips meet; a latent frame's region is the union over its frames (frame 0, or frames 4t-3 to 4t).

Differences: the paper does not say how pixels become latents. StableAvatar, whose loss this follows, takes the outer lips and
shrinks masks linearly in space and time. A frame without a face has empty masks here; there, all of it counts.
"""

from __future__ import annotations

import numpy as np

from bench.media.landmarks import INNER_LIPS, SILHOUETTE
from methods.conditioning.wan_vae import SCALE, whole_latents
from methods.talking_dit.alignment import FRAMES_PER_LATENT

REGIONS = {"lips": INNER_LIPS, "face": SILHOUETTE}
SUBPIXEL_BITS = 4
"""Corners of the polygons are placed to 1/16 of a pixel."""


def region_masks(landmarks: np.ndarray, height: int, width: int) -> dict[str, np.ndarray]:
    """Masks of frames at the latents' resolution.

    Args:
        landmarks: float (N, 478, 2), x and y in pixels (0 is the left or upper edge); NaN where there is no face.
        height, width: of the frames, multiples of 8.

    Returns:
        "lips" and "face", each bool (N, height / 8, width / 8).
    """
    return {
        name: np.stack([_drawn(points[list(ring)], height, width) for points in landmarks])
        for name, ring in REGIONS.items()
    }


def _drawn(polygon: np.ndarray, height: int, width: int) -> np.ndarray:
    """bool (height / 8, width / 8): latents that a polygon (k, 2) touches."""
    import cv2

    pixels = np.zeros((height, width), np.uint8)
    if not np.isnan(polygon).any():
        # OpenCV's integer coordinates are the centres of pixels.
        corners = np.round((polygon - 0.5) * 2**SUBPIXEL_BITS).astype(np.int32)
        cv2.fillPoly(pixels, [corners], 1, shift=SUBPIXEL_BITS)
    return pixels.reshape(height // SCALE, SCALE, width // SCALE, SCALE).any((1, 3))


def per_latent(masks: np.ndarray) -> np.ndarray:
    """Masks of latent frames, bool (T, h, w): unions of those of their frames, bool (N, h, w), N = 4T - 3."""
    latents = whole_latents(len(masks))
    first = np.repeat(masks[:1], FRAMES_PER_LATENT - 1, axis=0)
    return np.concatenate([first, masks]).reshape(latents, FRAMES_PER_LATENT, *masks.shape[1:]).any(1)
