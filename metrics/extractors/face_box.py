"""`face_box`: squared errors inside the face of the target, for `psnr@face`.

Rule: the box of a frame is the smallest upright rectangle of whole pixels that holds all 478 landmarks of the target's
face in that frame, cut at the frame's border; no margin. It runs from the upper forehead to the chin, without hair. The
target decides for both clips, so a prediction whose face is elsewhere is scored on what it shows where the face should
be. Frames whose target has no face have no box and are left out.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bench.media.clip import Clip
from metrics.extractor import Features, PairExtractor
from metrics.functional.psnr import squared_errors_in_boxes


def landmark_boxes(xy: np.ndarray, height: int, width: int) -> np.ndarray:
    """Boxes around landmarks.

    Args:
        xy: float32 (T, N, 2) pixels, x then y; a frame without a face holds NaN.
        height, width: of the frames.

    Returns:
        int64 (T, 4): left, top, right, bottom with right and bottom exclusive; all zero where there is no face or it
        lies outside the frame.
    """
    boxes = np.zeros((len(xy), 4), np.int64)
    found = np.isfinite(xy).all(axis=(1, 2))
    limits = np.array([width, height])
    boxes[found, :2] = np.clip(np.floor(xy[found].min(axis=1)), 0, limits)
    boxes[found, 2:] = np.clip(np.floor(xy[found].max(axis=1)) + 1, 0, limits)
    boxes[(boxes[:, 2] <= boxes[:, 0]) | (boxes[:, 3] <= boxes[:, 1])] = 0
    return boxes


class FaceBox(PairExtractor):
    """Per-frame errors inside the target's face.

    Features:
        sse: float64 (T,), sum of squared differences inside the box over the three channels; 0 without a box.
        samples: int64 (T,), number of differences in it; 0 without a box.
        box: int64 (T, 4), left, top, right, bottom in pixels, right and bottom exclusive; zeros without a box.
    """

    name = "face_box"
    version = 1
    after = ("landmarks",)

    def begin(
        self,
        clip: Clip,
        target: Clip,
        features: Mapping[str, Features],
        target_features: Mapping[str, Features],
    ) -> None:
        self._boxes = landmark_boxes(target_features["landmarks"]["xy"], target.height, target.width)
        self._errors: list[tuple[np.ndarray, np.ndarray]] = []
        self._seen = 0

    def update(self, frames: np.ndarray, target: np.ndarray) -> None:
        boxes = self._boxes[self._seen : self._seen + len(frames)]
        self._errors.append(squared_errors_in_boxes(frames, target, boxes))
        self._seen += len(frames)

    def finish(self) -> Features:
        sums, samples = (np.concatenate(parts) for parts in zip(*self._errors, strict=True))
        return {"sse": sums, "samples": samples, "box": self._boxes}
