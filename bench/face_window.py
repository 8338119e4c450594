"""Face window: the fixed square that shows a clip's face, as `bench prepare` crops MEAD and CREMA-D.

Neither AUHead nor IUFace says how faces were cropped. The rule here: face boxes are found five times a second, boxes
that do not touch the median box are dropped (another person, a false find), the rest are united, and the square is
centred on the union with a side of union / 0.6: Hallo asks for faces that fill 50 to 70 % of a square picture. A
square that sticks out is moved inside the picture; one larger than the picture is as large as the picture allows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from bench.media.clip import Clip
from bench.media.errors import Undefined

LOOKS = 5.0
"""Frames per second that are looked at."""
FACE_SHARE = 0.6
LEAST_SEEN = 0.5
"""Share of the frames looked at that must show a face."""
RULE = (
    f"side = union of the face boxes / {FACE_SHARE:g}, centred on the union and moved inside the picture; "
    f"boxes of 478 landmarks {LOOKS:g} times a second"
)


class Faces(NamedTuple):
    """Faces of K frames: `boxes` int64 (K, 4), left, top, right, bottom of the largest, right and bottom exclusive, all
    zero where there is none; `counts` int (K,), how many there are."""

    boxes: np.ndarray
    counts: np.ndarray


FaceFinder = Callable[[Clip], Faces]


class LandmarkFaces:
    """Faces of every frame of a clip by the suite's landmark extractor, mediapipe's FaceLandmarker."""

    def __init__(self):
        from bench.registry import extractor
        from bench.weights import Weights

        landmarks = extractor("landmarks")
        self._landmarks = landmarks(Weights().require(landmarks.weights), "cpu")

    def __call__(self, clip: Clip) -> Faces:
        from metrics.extractors.face_box import landmark_boxes

        self._landmarks.begin(clip, {})
        for chunk in clip.chunks():
            self._landmarks.update(chunk)
        features = self._landmarks.finish()
        return Faces(landmark_boxes(features["xy"], clip.height, clip.width), features["faces"])


def face_window(faces: Faces, height: int, width: int) -> tuple[int, int, int, int]:
    """The square by the module's rule.

    Args:
        faces: of the frames looked at.
        height, width: of the picture.

    Returns:
        left, top, right, bottom in pixels, right and bottom exclusive.

    Raises:
        Undefined: fewer than half of the frames show a face.
    """
    seen = faces.boxes[faces.boxes[:, 2] > faces.boxes[:, 0]]
    if len(seen) < max(1, LEAST_SEEN * len(faces.boxes)):
        raise Undefined(f"no face found in {len(faces.boxes) - len(seen)} of the {len(faces.boxes)} frames looked at")
    middle = np.median(seen, axis=0)
    near = seen[(seen[:, :2] < middle[2:]).all(axis=1) & (seen[:, 2:] > middle[:2]).all(axis=1)]
    if not len(near):
        raise Undefined("the faces found share no place; several people take turns")
    low, high = near[:, :2].min(axis=0), near[:, 2:].max(axis=0)
    side = min(round(int((high - low).max()) / FACE_SHARE), height, width)
    left, top = np.clip((low + high - side) // 2, 0, [width - side, height - side]).tolist()
    return left, top, left + side, top + side
