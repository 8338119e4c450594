"""`fan68`: the 68 iBUG points by FAN (Bulat and Tzimiropoulos, 2017), for the crop of evaluation_eat.

The package face_alignment does the work: its S3FD, the most certain face, 2D-FAN-4, heat maps of the image and of its
mirror image added. Its constructor downloads weights, so the object is put together here from files of the weights
lock. evaluation_eat finds the points on JPEG copies of the frames; here they are found on the frames.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from bench.media.clip import Clip
from bench.media.errors import Undefined
from metrics.extractor import Extractor, Features
from metrics.extractors.at_25_fps import At25Fps


class Fan68(Extractor):
    """Features:

    xy: float32 (T, 68, 2), x and y in pixels of the T frames at 25 fps; NaN where no face was found.
    """

    name = "fan68"
    version = 1
    weights = ("fan_s3fd", "fan_2d4")
    packages = ("face_alignment",)

    def __init__(self, files: Mapping[str, Path], device: str = "cpu"):
        super().__init__(files, device)
        import torch
        from face_alignment import FaceAlignment, LandmarksType
        from face_alignment.detection.sfd import FaceDetector

        self._fan = FaceAlignment.__new__(FaceAlignment)
        self._fan.__dict__.update(
            device=device,
            flip_input=True,
            landmarks_type=LandmarksType.TWO_D,
            verbose=False,
            dtype=torch.float32,
            max_batch_size=1,
            face_detector=FaceDetector(device=device, path_to_detector=str(self.files["fan_s3fd"])),
            face_alignment_net=torch.jit.load(self.files["fan_2d4"], map_location=device).eval(),
        )

    def begin(self, clip: Clip, features: Mapping[str, Features]) -> None:
        self._at_25_fps = At25Fps(clip)
        self._xy: list[np.ndarray] = []

    def update(self, frames: np.ndarray) -> None:
        self._xy.extend(self._points(frame) for frame in self._at_25_fps(frames))

    def finish(self) -> Features:
        xy = np.stack(self._xy)
        if np.isnan(xy).all():
            raise Undefined(f"no face in {len(xy)} of {len(xy)} frames (S3FD of face_alignment)")
        return {"xy": xy}

    def _points(self, frame: np.ndarray) -> np.ndarray:
        """float32 (68, 2) of the most certain face in uint8 (H, W, 3) RGB."""
        faces = self._fan.face_detector.detect_from_image(frame)
        if not len(faces):
            return np.full((68, 2), np.nan, np.float32)
        return np.asarray(self._fan.get_landmarks_from_image(frame, detected_faces=faces[:1])[0], np.float32)
