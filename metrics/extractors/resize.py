"""Resize as PIL does it on float images: the filter widens when it shrinks (antialias), nothing is rounded to uint8.

Parmar et al. (clean-fid, arXiv 2104.11222) show that the resize alone moves FID more than many methods differ.
"""

from __future__ import annotations

import numpy as np


def pil_bicubic(frames: np.ndarray, size: int) -> np.ndarray:
    """Frames uint8 (t, H, W, 3) to float32 (t, size, size, 3) in [0, 255], each channel on its own, bicubic."""
    from PIL import Image

    resized = np.empty((len(frames), size, size, 3), np.float32)
    for frame, out in zip(frames, resized, strict=True):
        for channel in range(3):
            plane = Image.fromarray(frame[:, :, channel].astype(np.float32))
            out[:, :, channel] = np.asarray(plane.resize((size, size), Image.Resampling.BICUBIC))
    return resized.clip(0, 255, out=resized)
