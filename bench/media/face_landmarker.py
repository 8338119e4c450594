"""mediapipe's FaceLandmarker: 478 points and 52 blendshapes of every face in an image.

Model: face_landmarker_v2_with_blendshapes.task (Apache-2.0) through the Tasks API on the CPU, so the results are the
same with and without a GPU. It runs in *image* mode, every frame on its own: video mode tracks and smooths from frame
to frame, which hides jitter, and makes a frame's points depend on the frames before it.
"""

from __future__ import annotations

import atexit
import os
import sys
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

MAX_FACES = 5
"""Faces looked for in a frame. More than one costs nothing where there is one (measured: equal points and equal time
for 1, 2 and 5 on the seven test clips)."""


class LandmarkedFace(NamedTuple):
    """One face."""

    xy: np.ndarray
    """float32 (478, 2), x and y in pixels of the frame (0 is its left or upper edge; points may lie outside it)."""
    blendshapes: np.ndarray
    """float32 (52,) in [0, 1], order `bench.media.landmarks.BLENDSHAPES`."""


class FaceLandmarker:
    """The model of one .task file."""

    def __init__(self, path: Path):
        from mediapipe.tasks.python import BaseOptions, vision

        options = vision.FaceLandmarkerOptions(
            base_options=BaseOptions(model_asset_path=str(path)),
            running_mode=vision.RunningMode.IMAGE,
            num_faces=MAX_FACES,
            output_face_blendshapes=True,
        )
        with _stderr_held_back():
            self._landmarker = vision.FaceLandmarker.create_from_options(options)
            # The delegates report themselves at the first inference, not at creation.
            self.find(np.zeros((64, 64, 3), np.uint8))
        atexit.register(_leave_open, weakref.ref(self._landmarker))

    def find(self, frame: np.ndarray) -> list[LandmarkedFace]:
        """Faces of uint8 (H, W, 3) RGB, at most MAX_FACES, that with the largest bounding box of points first."""
        import mediapipe

        # mediapipe reads the memory behind the pointer: it must be contiguous and live until the call returns (frames
        # that broke this were seen to give 0 faces in 75 frames).
        pixels = np.ascontiguousarray(frame)
        image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=pixels)
        result = self._landmarker.detect(image)
        size = np.array([frame.shape[1], frame.shape[0]], np.float32)
        faces = [
            LandmarkedFace(
                np.array([(p.x, p.y) for p in points], np.float32) * size,
                np.array([shape.score for shape in shapes], np.float32),
            )
            for points, shapes in zip(result.face_landmarks, result.face_blendshapes, strict=True)
        ]
        return sorted(faces, key=lambda face: -np.prod(np.ptp(face.xy, axis=0)))


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
