"""Reading a face: identity embedding, and the boxes of face and lips (fudan-generative-vision/hallo, image_processor.py).

Identity is the embedding of antelopev2 (SCRFD at 640x640, glintr100), not normalised. The boxes hold mediapipe's
silhouette points and outer-lip points. Both work on the whole picture as it is given.

Difference: the originals go on with a zero embedding where there is no face and take the largest of several; here a
picture without a face, with a second face that could be meant, or with a face too small for the model is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench.media.landmarks import OUTER_LIPS, SILHOUETTE
from methods.generator import GenerationError

if TYPE_CHECKING:
    from bench.media.arcface import ArcFace
    from bench.media.face_landmarker import FaceLandmarker

SECOND_FACE = 1 / 3
"""Height from which a second face, relative to the largest, could be the one that is meant; smaller ones are bystanders."""
SMALLEST_FACE = 0.15
"""Height of the face relative to the picture's: at 512 x 512 about ten latents from hair to chin. Hallo was trained on
0.5 to 0.7."""
FACE_SHARE = 0.6
"""Of the side of a portrait crop: the middle of what Hallo was trained on, and the rule of `bench prepare`."""
ADVICE = "give a portrait of one person, or cut the picture to a square around the face (--set crop=true)"


@dataclass(frozen=True)
class FaceReading:
    """What a method needs to know of the face in a picture."""

    embedding: np.ndarray
    """float32 (face_channels,), not normalised."""
    face_box: np.ndarray
    """float32 (4,) x0, y0, x1, y1 in [0, 1] of the picture: bounding box of the face's silhouette."""
    lip_box: np.ndarray
    """The same of the outer lips."""


class FaceReader:
    """antelopev2 and mediapipe's FaceLandmarker."""

    def __init__(self, arcface: ArcFace, landmarker: FaceLandmarker):
        self._arcface = arcface
        self._landmarker = landmarker

    @classmethod
    def load(cls, files: Mapping[str, Path], device: str = "cpu") -> FaceReader:
        """From the lock's files scrfd_10g_bnkps, glintr100 and face_landmarker."""
        from bench.media.arcface import ArcFace
        from bench.media.face_landmarker import FaceLandmarker

        arcface = ArcFace(files["scrfd_10g_bnkps"], files["glintr100"], device)
        return cls(arcface, FaceLandmarker(files["face_landmarker"]))

    def __call__(self, image: np.ndarray) -> FaceReading:
        """Read uint8 (H, W, 3) RGB.

        Raises:
            GenerationError: no face, a second one, or one too small; the message says what to do.
        """
        boxes, points = self._arcface.find(image)
        require_one_face(boxes, image.shape[0])
        regions = self.boxes(image[None])[0]
        if np.isnan(regions).any():
            raise GenerationError(f"the face's landmarks cannot be found; {ADVICE}")
        return FaceReading(self._arcface.embed(image, points[0]), *regions)

    def boxes(self, frames: Iterable[np.ndarray]) -> np.ndarray:
        """float32 (T, 2, 4): face box and lip box of the largest face of every uint8 (H, W, 3) RGB frame; NaN without."""
        return np.stack([self._boxes(frame) for frame in frames])

    def locate(self, image: np.ndarray) -> np.ndarray:
        """float32 (4,) x0, y0, x1, y1 in [0, 1]: the largest face of uint8 (H, W, 3) RGB however small, for `crop`.

        Raises:
            GenerationError: no face, or a second one.
        """
        boxes, _ = self._arcface.find(image)
        require_one_face(boxes, image.shape[0], smallest=0.0)
        return boxes[0] / np.tile(image.shape[1::-1], 2).astype(np.float32)

    def _boxes(self, frame: np.ndarray) -> np.ndarray:
        faces = self._landmarker.find(frame)
        if not faces:
            return np.full((2, 4), np.nan, np.float32)
        return landmark_boxes(faces[0].xy / np.array(frame.shape[1::-1], np.float32))


def landmark_boxes(xy: np.ndarray) -> np.ndarray:
    """float32 (2, 4), face box and lip box, of float (478, 2) mediapipe points; parts outside [0, 1] are cut off."""
    regions = [xy[list(ring)] for ring in (SILHOUETTE, OUTER_LIPS)]
    boxes = np.array([np.concatenate([points.min(0), points.max(0)]) for points in regions], np.float32)
    return boxes.clip(0, 1)


def require_one_face(boxes: np.ndarray, height: int, smallest: float = SMALLEST_FACE) -> None:
    """Refuse pictures that do not show one face.

    Args:
        boxes: (N, 4) x0, y0, x1, y1 in pixels, the largest first.
        height: of the picture in pixels.
        smallest: height of the face relative to the picture's.

    Raises:
        GenerationError: no face, a second one, or one too small.
    """
    if not len(boxes):
        raise GenerationError(f"no face in the reference picture; {ADVICE}")
    heights = boxes[:, 3] - boxes[:, 1]
    rivals = int((heights[1:] >= SECOND_FACE * heights[0]).sum())
    if rivals:
        raise GenerationError(f"{1 + rivals} faces in the reference picture, and none is named; {ADVICE}")
    if heights[0] < smallest * height:
        raise GenerationError(
            f"the face is too small: {heights[0]:.0f} of {height} pixels high, {smallest:.0%} are needed; {ADVICE}"
        )


def crop(image: np.ndarray, face_box: np.ndarray, share: float = FACE_SHARE) -> np.ndarray:
    """A square around a face.

    It is centred on the box, with a side of the box's longer side / share; one that sticks out is moved inside the
    picture, and one larger than the picture is as large as the picture allows.

    Args:
        image: uint8 (H, W, 3).
        face_box: (4,) x0, y0, x1, y1 in [0, 1].

    Returns:
        uint8 (S, S, 3), a view.
    """
    height, width = image.shape[:2]
    x0, y0, x1, y1 = np.asarray(face_box, np.float64) * (width, height, width, height)
    side = min(round(max(x1 - x0, y1 - y0) / share), height, width)
    left = round(np.clip((x0 + x1 - side) / 2, 0, width - side))
    top = round(np.clip((y0 + y1 - side) / 2, 0, height - side))
    return image[top : top + side, left : left + side]
