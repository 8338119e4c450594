"""`landmarks`: 478 face points, 52 blendshapes and the number of faces per frame, by mediapipe's FaceLandmarker.

See `bench.media.face_landmarker`. Of several faces the one with the largest bounding box of points is taken.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from bench.media.clip import Clip
from bench.media.face_landmarker import FaceLandmarker
from bench.media.landmarks import BLENDSHAPES, NUM_POINTS
from metrics.extractor import Extractor, Features


class Landmarks(Extractor):
    """Features:

    xy: float32 (T, 478, 2), x and y in pixels of the frame (0 is its left or upper edge; points may lie outside it);
        NaN where no face was found.
    blendshapes: float32 (T, 52) in [0, 1], order `bench.media.landmarks.BLENDSHAPES`; NaN where no face was found.
    faces: int32 (T,), faces found, at most `bench.media.face_landmarker.MAX_FACES`.
    """

    name = "landmarks"
    version = 1
    weights = ("face_landmarker",)
    packages = ("mediapipe",)

    def __init__(self, files: Mapping[str, Path], device: str = "cpu"):
        super().__init__(files, device)
        self._landmarker = FaceLandmarker(files["face_landmarker"])

    def begin(self, clip: Clip, features: Mapping[str, Features]) -> None:
        self._rows: list[tuple[np.ndarray, np.ndarray, int]] = []

    def update(self, frames: np.ndarray) -> None:
        self._rows.extend(self._largest(frame) for frame in frames)

    def finish(self) -> Features:
        xy, blendshapes, faces = zip(*self._rows, strict=True)
        return {"xy": np.stack(xy), "blendshapes": np.stack(blendshapes), "faces": np.array(faces, np.int32)}

    def _largest(self, frame: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
        """xy (478, 2), blendshapes (52,) of the largest face, and how many faces there are."""
        if faces := self._landmarker.find(frame):
            return *faces[0], len(faces)
        nothing = np.full((NUM_POINTS, 2), np.nan, np.float32), np.full(len(BLENDSHAPES), np.nan, np.float32)
        return *nothing, 0
