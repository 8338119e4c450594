"""`eat_crop`: the aligned 128x128 face crop on which EAT, and so AUHead, score, and the landmarks found on it.

Follows yuangan/evaluation_eat (code/utils_crop.py, preprocess.py, test_lmd.py): dlib's frontal HOG detector on the
frame enlarged once, first face, dlib's 68 landmarks in whole pixels; the similarity transform that takes the template's
nose and eyes (points 27 to 44) to them; the frame seen through it, bilinear with black outside, 163x163, of which rows
and columns 1 to 128 are kept; values cut, not rounded, to 8 bits. Landmarks for M-LMD and F-LMD are found anew on the
crop, which the detector does not enlarge. The template is chosen by how far the eyes are open.

Kept on purpose: the gray the detector sees gives blue the weight of red, because the reference hands RGB to a BGR
conversion. Kept but without effect: in the reference base_68.npy and base_68_close.npy are the same file.

Differences: the reference writes the crops to an MPEG-4 file and scores what it reads back, and a frame without a face
is absent from that file, so all later frames are compared with another moment of the target; here crops are not
re-encoded and frame t is compared with frame t. The reference fits the similarity in float32, which moves about 1 % of
the crop's values by one grey level.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from bench.media.clip import Clip
from bench.media.errors import Undefined
from metrics.extractor import Extractor, Features

SIZE = 128
ANCHORS = slice(27, 45)
"""Nose (27 to 35) and eyes (36 to 44; the reference stops one point into the second eye)."""
OPEN_EYE = -9


def eyes_open(points: np.ndarray) -> bool:
    """Whether the first eye is open: upper lid minus lower lid, summed over two columns, is under -9 pixels.

    Args:
        points: float (68, 2), x then y in pixels of the frame; the rule is not scaled with the face.
    """
    return bool((points[37:39, 1] - points[40:42, 1]).sum() < OPEN_EYE)


def similarity(source: np.ndarray, destination: np.ndarray) -> tuple[complex, complex]:
    """Least-squares similarity without reflection, as (a, b) of z -> a z + b with z = x + iy.

    Equals Umeyama's solution (scikit-image SimilarityTransform) wherever that is not a reflection.

    Args:
        source, destination: float (N, 2) points, x then y.
    """
    z, w = (points[:, 0] + 1j * points[:, 1] for points in (source, destination))
    centred = z - z.mean()
    a = (centred.conj() @ (w - w.mean())) / (centred.conj() @ centred)
    return complex(a), complex(w.mean() - a * z.mean())


def warp_crop(frame: np.ndarray, a: complex, b: complex) -> np.ndarray:
    """The crop: pixel (x, y) shows the frame at a (x + 1 + i (y + 1)) + b, bilinear, black outside.

    Args:
        frame: uint8 (H, W, 3).
        a, b: similarity from template to frame coordinates.

    Returns:
        uint8 (128, 128, 3), truncated. Products and sums are in the order of scikit-image's warp, because truncation
        turns a difference in the last bit into a whole grey level.
    """
    y, x = np.mgrid[1 : SIZE + 1, 1 : SIZE + 1].astype(np.float64)
    column = a.real * x + -a.imag * y + b.real
    row = a.imag * x + a.real * y + b.imag
    left, top = np.floor(column).astype(np.int64), np.floor(row).astype(np.int64)
    right, bottom = np.ceil(column).astype(np.int64), np.ceil(row).astype(np.int64)
    dc, dr = (column - left)[..., None], (row - top)[..., None]
    upper = (1 - dc) * _pixels(frame, top, left) + dc * _pixels(frame, top, right)
    lower = (1 - dc) * _pixels(frame, bottom, left) + dc * _pixels(frame, bottom, right)
    return (((1 - dr) * upper + dr * lower) * 255).astype(np.uint8)


def _pixels(frame: np.ndarray, row: np.ndarray, column: np.ndarray) -> np.ndarray:
    """float64 (..., 3) in [0, 1] of the frame at whole coordinates, 0 outside it."""
    height, width = frame.shape[:2]
    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    values = frame[np.clip(row, 0, height - 1), np.clip(column, 0, width - 1)] * (1.0 / 255.0)
    return np.where(inside[..., None], values, 0.0)


class EatCrop(Extractor):
    """Aligned crops and landmarks of one clip.

    Features:
        crop: uint8 (T, 128, 128, 3) RGB; black where no face was found in the frame.
        found: bool (T,), whether a face was found in the frame, so that `crop` holds one.
        xy68: float32 (T, 68, 2), landmarks found on the crop in whole pixels, x then y; NaN where none were.
    """

    name = "eat_crop"
    version = 1
    weights = ("dlib68", "eat_base68", "eat_base68_close")
    packages = ("dlib",)

    def __init__(self, files: Mapping[str, Path], device: str = "cpu"):
        super().__init__(files, device)
        import dlib

        self._detector = dlib.get_frontal_face_detector()
        self._predictor = dlib.shape_predictor(str(self.files["dlib68"]))
        self._template = np.load(self.files["eat_base68"]).astype(np.float64)
        self._template_close = np.load(self.files["eat_base68_close"]).astype(np.float64)

    def begin(self, clip: Clip, features: Mapping[str, Features]) -> None:
        self._crops: list[np.ndarray] = []
        self._found: list[bool] = []
        self._points: list[np.ndarray] = []

    def update(self, frames: np.ndarray) -> None:
        for frame in frames:
            points = self._detect(frame, enlarge=1)
            crop = np.zeros((SIZE, SIZE, 3), np.uint8) if points is None else self._crop(frame, points)
            on_crop = None if points is None else self._detect(crop, enlarge=0)
            self._found.append(points is not None)
            self._crops.append(crop)
            self._points.append(np.full((68, 2), np.nan) if on_crop is None else on_crop)

    def finish(self) -> Features:
        if not any(self._found):
            raise Undefined(f"dlib finds no face in {len(self._found)} of {len(self._found)} frames")
        points = np.stack(self._points).astype(np.float32)
        return {"crop": np.stack(self._crops), "found": np.array(self._found), "xy68": points}

    def _detect(self, image: np.ndarray, enlarge: int) -> np.ndarray | None:
        """float64 (68, 2) landmarks of the most confident face of a uint8 (H, W, 3) RGB image, or None."""
        import cv2

        # RGB into BGR2GRAY: the reference's own mistake, see the module docstring.
        gray = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        faces = self._detector(gray, enlarge)
        if not len(faces):
            return None
        return np.array([(point.x, point.y) for point in self._predictor(gray, faces[0]).parts()], np.float64)

    def _crop(self, frame: np.ndarray, points: np.ndarray) -> np.ndarray:
        template = self._template if eyes_open(points) else self._template_close
        return warp_crop(frame, *similarity(template[ANCHORS], points[ANCHORS]))
