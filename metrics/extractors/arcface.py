"""`arcface_w600k_r50`, `arcface_antelopev2`: ArcFace embedding of the largest face of every frame.

`bench.media.arcface` with the models of insightface's packs buffalo_l (det_10g, w600k_r50: R50 on WebFace600K) and
antelopev2 (scrfd_10g_bnkps, glintr100: R100 on Glint360K). Its detection settings are those under which published CSIM
was measured. The detectors of the two packs are the same file (sha256 5838f7fe...), so the variants differ in the
embedding alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from bench.media.arcface import EMBEDDING_SIZE, ArcFace
from bench.media.clip import Clip
from metrics.extractor import Extractor, Features


class ArcFaceW600kR50(Extractor):
    """Features:

    embedding: float32 (T, 512), not normalised; NaN where no face was found.
    """

    name = "arcface_w600k_r50"
    version = 1
    weights = ("det_10g", "w600k_r50")
    packages = ("insightface", "onnxruntime")

    def __init__(self, files: Mapping[str, Path], device: str = "cpu"):
        super().__init__(files, device)
        self._arcface = ArcFace(*(files[name] for name in self.weights), device)

    def begin(self, clip: Clip, features: Mapping[str, Features]) -> None:
        self._embeddings: list[np.ndarray] = []

    def update(self, frames: np.ndarray) -> None:
        self._embeddings.extend(self._embed(frame) for frame in frames)

    def finish(self) -> Features:
        return {"embedding": np.stack(self._embeddings)}

    def _embed(self, frame: np.ndarray) -> np.ndarray:
        """float32 (512,) of one uint8 (H, W, 3) RGB frame."""
        _, points = self._arcface.find(frame)
        if not len(points):
            return np.full(EMBEDDING_SIZE, np.nan, np.float32)
        return self._arcface.embed(frame, points[0])


class ArcFaceAntelopeV2(ArcFaceW600kR50):
    """As ArcFaceW600kR50 with the models of antelopev2."""

    name = "arcface_antelopev2"
    weights = ("scrfd_10g_bnkps", "glintr100")
