"""`frames`: what PSNR and SSIM need of a pair of clips, in one pass and with one frame of floats in memory.

All variants are always computed: together they took 10 ms for a 360x288 frame and 23 ms for a 512x512 frame on two
cores, of which the default ones are half.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bench.media.clip import Clip
from metrics.extractor import Features, PairExtractor
from metrics.functional.psnr import squared_errors
from metrics.functional.ssim import GAUSSIAN_WINDOW, UNIFORM_WINDOW, ssim, ssim_gray, ssim_skimage7


class Frames(PairExtractor):
    """Per-frame errors of a prediction against its target.

    Features:
        sse: float64 (T,), sum of squared differences over all pixels and channels.
        samples: int64 (T,), number of differences in it, H * W * 3.
        size: int64 (2,), H and W.
        ssim_wang, ssim_skimage7, ssim_gray: float64 (T,); NaN where the frame is smaller than the window.
    """

    name = "frames"
    version = 1

    def begin(
        self,
        clip: Clip,
        target: Clip,
        features: Mapping[str, Features],
        target_features: Mapping[str, Features],
    ) -> None:
        self._size = (clip.height, clip.width)
        self._parts: dict[str, list[np.ndarray]] = {}

    def update(self, frames: np.ndarray, target: np.ndarray) -> None:
        self._add("sse", squared_errors(frames, target))
        self._add("samples", np.full(len(frames), frames[0].size, np.int64))
        variants = (("ssim_wang", ssim, GAUSSIAN_WINDOW), ("ssim_gray", ssim_gray, GAUSSIAN_WINDOW))
        for name, formula, window in (*variants, ("ssim_skimage7", ssim_skimage7, UNIFORM_WINDOW)):
            fits = min(self._size) >= window
            self._add(name, formula(frames, target) if fits else np.full(len(frames), np.nan))

    def finish(self) -> Features:
        features = {name: np.concatenate(parts) for name, parts in self._parts.items()}
        return {**features, "size": np.array(self._size, np.int64)}

    def _add(self, name: str, values: np.ndarray) -> None:
        self._parts.setdefault(name, []).append(values)
