"""`arcface_w600k_r50`, `arcface_antelopev2`: ArcFace embedding of the largest face of every frame.

The chain of insightface's FaceAnalysis, on its own model classes and explicit files: SCRFD finds boxes and five
points (eyes, nose tip, mouth corners), a similarity moves these onto the ArcFace template in a 112x112 crop, the
network maps the RGB crop, (x - 127.5) / 127.5, to 512 numbers. Detection runs at 640x640 with threshold 0.5 and NMS
0.4, the defaults of insightface 0.7.3 under which published CSIM was measured; from 1.0 on FaceAnalysis merges
detections at 128 and 640. Models: buffalo_l (det_10g, w600k_r50: R50 on WebFace600K) and antelopev2 (scrfd_10g_bnkps,
glintr100: R100 on Glint360K). The detectors of the two packs are the same file (sha256 5838f7fe...), so the variants
differ in the embedding alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from bench.media.clip import Clip
from bench.media.landmarks import similarity
from metrics.extractor import Extractor, Features
from metrics.extractors.onnx_session import onnx_session

DETECTION_SIZE = (640, 640)
DETECTION_THRESHOLD = 0.5
NMS_THRESHOLD = 0.4
CROP_SIZE = 112
EMBEDDING_SIZE = 512

TEMPLATE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)
"""Where the five points go in the 112x112 crop, as (x, y) pixels: eye and eye, nose tip, mouth corners, left to right
in the image. A constant of the ArcFace training data (insightface.utils.face_align.arcface_dst)."""


def align(frame: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The 112x112 ArcFace crop.

    Args:
        frame: uint8 (H, W, 3).
        points: float (5, 2), x and y of the five points in pixels of the frame.

    Returns:
        uint8 (112, 112, 3), colour order of the frame; black where it lies outside the frame.
    """
    import cv2

    return cv2.warpAffine(frame, similarity(points, TEMPLATE), (CROP_SIZE, CROP_SIZE), borderValue=0.0)


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
        from insightface.model_zoo.arcface_onnx import ArcFaceONNX
        from insightface.model_zoo.scrfd import SCRFD

        detector, recogniser = (str(files[name]) for name in self.weights)
        self._detector = SCRFD(detector, session=onnx_session(files[self.weights[0]], device))
        # ctx_id 0 leaves the providers of the session as they are.
        self._detector.prepare(0, input_size=DETECTION_SIZE, det_thresh=DETECTION_THRESHOLD, nms_thresh=NMS_THRESHOLD)
        self._recogniser = ArcFaceONNX(recogniser, session=onnx_session(files[self.weights[1]], device))

    def begin(self, clip: Clip, features: Mapping[str, Features]) -> None:
        self._embeddings: list[np.ndarray] = []

    def update(self, frames: np.ndarray) -> None:
        self._embeddings.extend(self._embed(frame) for frame in frames)

    def finish(self) -> Features:
        return {"embedding": np.stack(self._embeddings)}

    def _embed(self, frame: np.ndarray) -> np.ndarray:
        """float32 (512,) of one uint8 (H, W, 3) RGB frame."""
        bgr = np.ascontiguousarray(frame[..., ::-1])  # insightface takes BGR and swaps it
        boxes, points = self._detector.detect(bgr)
        if not len(boxes):
            return np.full(EMBEDDING_SIZE, np.nan, np.float32)
        largest = int(np.argmax((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])))
        # One crop per run: the batch size of a recognition file may be fixed, and the result must not depend on it.
        return self._recogniser.get_feat(align(bgr, points[largest]))[0].astype(np.float32)


class ArcFaceAntelopeV2(ArcFaceW600kR50):
    """As ArcFaceW600kR50 with the models of antelopev2."""

    name = "arcface_antelopev2"
    weights = ("scrfd_10g_bnkps", "glintr100")
