"""Faces and their identity by insightface's models: SCRFD finds boxes and five points, ArcFace embeds.

The chain of insightface's FaceAnalysis, on its own model classes and explicit files: SCRFD finds boxes and five
points (eyes, nose tip, mouth corners), a similarity moves these onto the ArcFace template in a 112x112 crop, the
network maps the RGB crop, (x - 127.5) / 127.5, to 512 numbers. Detection runs at 640x640 with threshold 0.5 and NMS
0.4, the defaults of insightface 0.7.3; from 1.0 on FaceAnalysis merges detections at 128 and 640.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bench.media.landmarks import similarity
from bench.media.onnx_session import onnx_session

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


class ArcFace:
    """A detector and a recogniser.

    Args:
        detector: SCRFD with points, an ONNX file.
        recogniser: ArcFace, an ONNX file.
        device: torch's name of the device.
    """

    def __init__(self, detector: Path, recogniser: Path, device: str = "cpu"):
        from insightface.model_zoo.arcface_onnx import ArcFaceONNX
        from insightface.model_zoo.scrfd import SCRFD

        self._detector = SCRFD(str(detector), session=onnx_session(detector, device))
        # ctx_id 0 leaves the providers of the session as they are.
        self._detector.prepare(0, input_size=DETECTION_SIZE, det_thresh=DETECTION_THRESHOLD, nms_thresh=NMS_THRESHOLD)
        self._recogniser = ArcFaceONNX(str(recogniser), session=onnx_session(recogniser, device))

    def find(self, frame: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Faces of a frame, the largest first.

        Args:
            frame: uint8 (H, W, 3) RGB.

        Returns:
            boxes float32 (N, 4), x0, y0, x1, y1, and points float32 (N, 5, 2), x and y, in pixels.
        """
        boxes, points = self._detector.detect(_bgr(frame))
        areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
        order = np.argsort(-areas, kind="stable")
        return boxes[order, :4], points[order]

    def embed(self, frame: np.ndarray, points: np.ndarray) -> np.ndarray:
        """float32 (512,), not normalised, of the face with these five points."""
        # One crop per run: the batch size of a recognition file may be fixed, and the result must not depend on it.
        return self._recogniser.get_feat(align(_bgr(frame), points))[0].astype(np.float32)


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


def _bgr(frame: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(frame[..., ::-1])  # insightface takes BGR and swaps it
