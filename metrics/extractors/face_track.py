"""From face boxes to SyncNet's crop: linking boxes to tracks, smoothing, geometry. Pure numpy; no network.

joonson/syncnet_python, run_pipeline.py. A track starts with the first box left over and takes in each later frame the
first box whose intersection over union with the track's last box is above 0.5, at most 25 frames after it. Missing
boxes are interpolated; half side and centre go through a median over 13 frames, which counts what lies outside the
track as 0 and so shrinks the first and last boxes towards the smallest near them. With half side s and centre (x, y)
the crop reaches from y - s to y + 1.8 s and from x - 1.4 s to x + 1.4 s, gray (110) where there is no image, and is
resized to 224x224.

Difference: the reference accepts tracks of more than 100 boxes (LatentSync and syncnet-python: 50) whose larger side is
above 100 px on average, and has no score otherwise, which excludes clips under 4 s (2 s). Here both limits fall with
the clip: half of its frames, a quarter of the shorter side of the frame. `Limits` knows both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from metrics.functional.sync import WINDOW

MIN_IOU = 0.5
MAX_GAP = 25
MEDIAN = 13
CROP_SCALE = 0.4
GRAY = 110
SIDE = 224


@dataclass(frozen=True)
class Track:
    """One face through time."""

    frames: np.ndarray
    """int64 (n,): frames in which it was detected, increasing."""
    detected: np.ndarray
    """float64 (n, 4): its box in these frames; left, top, right, bottom in pixels."""

    @property
    def start(self) -> int:
        return int(self.frames[0])

    @property
    def stop(self) -> int:
        """One past the last frame."""
        return int(self.frames[-1]) + 1

    @property
    def boxes(self) -> np.ndarray:
        """float64 (stop - start, 4): a box in every frame, linear between detections."""
        every = np.arange(self.start, self.stop)
        return np.stack([np.interp(every, self.frames, side) for side in self.detected.T], 1)

    @property
    def face_size(self) -> float:
        """Pixels: the larger of mean width and mean height."""
        boxes = self.boxes
        return float(max((boxes[:, 2:] - boxes[:, :2]).mean(0)))


@dataclass(frozen=True)
class Limits:
    """What a track must exceed to be scored."""

    detections: float
    face_size: float

    @classmethod
    def of_reference(cls) -> Limits:
        """syncnet-python and LatentSync: more than 50 detections, more than 100 px."""
        return cls(detections=50, face_size=100)

    @classmethod
    def for_clip(cls, num_frames: int, height: int, width: int) -> Limits:
        """The reference's, lowered for short clips and small frames; never so far that the median filter gives 0."""
        reference = cls.of_reference()
        detections = max(MEDIAN // 2, WINDOW, min(reference.detections, num_frames // 2))
        return cls(detections, min(reference.face_size, min(height, width) / 4))

    def accept(self, track: Track) -> bool:
        return len(track.frames) > self.detections and track.face_size > self.face_size


def iou(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two boxes, float (4,) left, top, right, bottom each."""
    inner = np.prod(np.maximum(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0))
    outer = np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - inner
    return float(inner / outer)


def link(boxes: Sequence[np.ndarray]) -> list[Track]:
    """Tracks of any length.

    Args:
        boxes: per frame float (k, 4), k >= 0, most certain first.
    """
    left = [list(range(len(frame))) for frame in boxes]
    tracks = []
    while any(left):
        chain: list[tuple[int, np.ndarray]] = []
        for t, candidates in enumerate(left):
            for i in candidates:
                box = np.asarray(boxes[t][i], np.float64)
                if not chain or (t - chain[-1][0] <= MAX_GAP and iou(box, chain[-1][1]) > MIN_IOU):
                    chain.append((t, box))
                    candidates.remove(i)
                    break
        frames, detected = zip(*chain, strict=True)
        tracks.append(Track(np.array(frames), np.stack(detected)))
    return tracks


def smooth(boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centre and half side after the median.

    Args:
        boxes: float64 (n, 4), n >= 7.

    Returns:
        centre float64 (n, 2), x then y; half side float64 (n,).
    """
    from scipy.ndimage import median_filter

    half = (boxes[:, 2:] - boxes[:, :2]).max(1) / 2
    x, y = (boxes[:, 0] + boxes[:, 2]) / 2, (boxes[:, 1] + boxes[:, 3]) / 2
    half, x, y = (median_filter(values, MEDIAN, mode="constant", cval=0.0) for values in (half, x, y))
    return np.stack([x, y], 1), half


def crop(frame: np.ndarray, centre: np.ndarray, half: float) -> np.ndarray:
    """SyncNet's view of one face.

    Args:
        frame: uint8 (H, W, 3).
        centre: float64 (2,), x then y in pixels, inside the frame.
        half: half side of the box in pixels.

    Returns:
        uint8 (224, 224, 3), bilinear, same colour order.
    """
    import cv2

    margin = int(half * (1 + 2 * CROP_SCALE))
    padded = cv2.copyMakeBorder(frame, *[margin] * 4, cv2.BORDER_CONSTANT, value=[GRAY] * 3)
    x, y = centre + margin
    top, bottom = int(y - half), int(y + half * (1 + 2 * CROP_SCALE))
    left, right = int(x - half * (1 + CROP_SCALE)), int(x + half * (1 + CROP_SCALE))
    return cv2.resize(padded[top:bottom, left:right], (SIDE, SIDE))
