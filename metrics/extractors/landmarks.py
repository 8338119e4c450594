"""`landmarks`: 478 face points, 52 blendshapes and the number of faces per frame, by mediapipe's FaceLandmarker.

Model: face_landmarker_v2_with_blendshapes.task (Apache-2.0) through the Tasks API on the CPU, so the features are the
same with and without a GPU. It runs in *image* mode, every frame on its own: video mode tracks and smooths from frame
to frame, which hides jitter of a generator, and makes a frame's points depend on the frames before it and on where a
clip was cut. Of several faces the one with the largest bounding box of points is taken.
"""

from __future__ import annotations

import atexit
import os
import sys
import tempfile
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from bench.media.clip import Clip
from bench.media.landmarks import BLENDSHAPES, NUM_POINTS
from metrics.extractor import Extractor, Features

MAX_FACES = 5
"""Faces looked for in a frame, and so the largest count in `faces`. More than one costs nothing where there is one
(measured: equal points and equal time for 1, 2 and 5 on the seven test clips)."""


class Landmarks(Extractor):
    """Features:

    xy: float32 (T, 478, 2), x and y in pixels of the frame (0 is its left or upper edge; points may lie outside it);
        NaN where no face was found.
    blendshapes: float32 (T, 52) in [0, 1], order `bench.media.landmarks.BLENDSHAPES`; NaN where no face was found.
    faces: int32 (T,), faces found, at most MAX_FACES.
    """

    name = "landmarks"
    version = 1
    weights = ("face_landmarker",)
    packages = ("mediapipe",)

    def __init__(self, files: Mapping[str, Path], device: str = "cpu"):
        super().__init__(files, device)
        from mediapipe.tasks.python import BaseOptions, vision

        options = vision.FaceLandmarkerOptions(
            base_options=BaseOptions(model_asset_path=str(files["face_landmarker"])),
            running_mode=vision.RunningMode.IMAGE,
            num_faces=MAX_FACES,
            output_face_blendshapes=True,
        )
        with _stderr_held_back():
            self._landmarker = vision.FaceLandmarker.create_from_options(options)
            # The delegates report themselves at the first inference, not at creation.
            self._detect(np.zeros((64, 64, 3), np.uint8))
        atexit.register(_leave_open, weakref.ref(self._landmarker))

    def begin(self, clip: Clip, features: Mapping[str, Features]) -> None:
        self._rows: list[tuple[np.ndarray, np.ndarray, int]] = []

    def update(self, frames: np.ndarray) -> None:
        self._rows.extend(self._largest(frame) for frame in frames)

    def finish(self) -> Features:
        xy, blendshapes, faces = zip(*self._rows, strict=True)
        return {"xy": np.stack(xy), "blendshapes": np.stack(blendshapes), "faces": np.array(faces, np.int32)}

    def _largest(self, frame: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
        """xy (478, 2), blendshapes (52,) of the largest face, and how many faces there are."""
        result = self._detect(frame)
        if not result.face_landmarks:
            nothing = np.full((NUM_POINTS, 2), np.nan, np.float32), np.full(len(BLENDSHAPES), np.nan, np.float32)
            return *nothing, 0
        size = np.array([frame.shape[1], frame.shape[0]], np.float32)
        found = [np.array([(p.x, p.y) for p in face], np.float32) * size for face in result.face_landmarks]
        largest = int(np.argmax([np.prod(np.ptp(points, axis=0)) for points in found]))
        scores = np.array([shape.score for shape in result.face_blendshapes[largest]], np.float32)
        return found[largest], scores, len(found)

    def _detect(self, frame: np.ndarray):
        import mediapipe

        # mediapipe reads the memory behind the pointer: it must be contiguous and live until the call returns (frames
        # that broke this were seen to give 0 faces in 75 frames).
        pixels = np.ascontiguousarray(frame)
        image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=pixels)
        return self._landmarker.detect(image)


def _leave_open(landmarker: weakref.ref) -> None:
    """Keep a FaceLandmarker that lives until the process ends from closing itself then: mediapipe hands the closing
    to a thread pool, which Python has already shut down by that time, and prints two tracebacks."""
    if (alive := landmarker()) is not None:
        alive.close = lambda: None


@contextmanager
def _stderr_held_back() -> Iterator[None]:
    """Hold back what native code writes to file descriptor 2; it is shown only if the block raises."""
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(saved, held.read())
            raise
        finally:
            os.dup2(saved, 2)
            os.close(saved)
