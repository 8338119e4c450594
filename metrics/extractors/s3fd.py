"""`s3fd_track`: the face track SyncNet's crop follows, found by S3FD (Zhang et al., 2017) as in joonson/syncnet_python.

Every frame is resized to a quarter (bilinear), the channel means are subtracted, boxes with a score above 0.9 are
thinned twice (overlap 0.3, then 0.1), linked over time and, of the tracks that pass `Limits`, the one with the most
detections is kept. Network and box decoding are the package's own; frames go through it in batches, and boxes under 0.9
are dropped before they are compared with each other, which changes nothing in the outcome because a box is removed by
boxes of a higher score only.

Differences from the reference: one track per clip is scored (there all are, and syncnet-python reports the best value
of each score); no scene detection, since a cut breaks the overlap that links boxes (`@exact` has it); frames are not
re-encoded.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench.media.clip import Clip
from bench.media.errors import Undefined
from metrics.extractor import Extractor, Features
from metrics.extractors.at_25_fps import At25Fps
from metrics.extractors.cores import for_inference, map_batches
from metrics.extractors.face_track import Limits, Track, link, smooth

if TYPE_CHECKING:
    import torch

SCALE = 0.25
MIN_SCORE = 0.9
OVERLAPS = (0.3, 0.1)
"""The network's own thinning, then the detector's."""
MOST_BOXES = (5000, 750)
"""Boxes that enter and leave the network's own thinning."""
MEAN_RGB = (123.0, 117.0, 104.0)
PIXELS_PER_BATCH = 1 << 16
"""Of resized frames; 10 frames of 360x288. Two feature maps of 64 channels then take 34 MB."""


def load_network(path: Path, device: str = "cpu") -> torch.nn.Module:
    """S3FD whose output is every decoded box with its score, (B, P, 5), instead of the thinned ones of each frame."""
    import torch
    from syncnet_python.detectors.s3fd.nets import S3FDNet

    network = S3FDNet(device=device)
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    network.detect = _Decoded()
    return for_inference(network, device)


class _Decoded:
    """Stands in for the package's Detect, which thins frame by frame in Python."""

    def forward(self, loc: torch.Tensor, confidence: torch.Tensor, priors: torch.Tensor) -> torch.Tensor:
        import torch
        from syncnet_python.detectors.s3fd.box_utils import decode

        boxes = [decode(one, priors, [0.1, 0.2]) for one in loc]
        return torch.cat([torch.stack(boxes), confidence[..., 1:]], -1)


def detect(network: torch.nn.Module, frames: np.ndarray) -> list[np.ndarray]:
    """Faces of every frame.

    Args:
        network: of `load_network`.
        frames: uint8 (T, H, W, 3) RGB.

    Returns:
        Per frame float64 (k, 5): left, top, right, bottom in pixels and score, the highest score first.
    """
    import cv2

    height, width = frames.shape[1:3]
    small = np.stack([cv2.resize(frame, (0, 0), fx=SCALE, fy=SCALE) for frame in frames]).astype(np.float32)
    small -= np.array(MEAN_RGB, np.float32)
    step = max(1, PIXELS_PER_BATCH // (small.shape[1] * small.shape[2]))
    batches = (small[start : start + step] for start in range(0, len(small), step))
    certain = map_batches(str(network.device), partial(_certain, network), batches)
    return [_thin_twice(boxes * [width, height, width, height, 1.0]) for batch in certain for boxes in batch]


def _certain(network: torch.nn.Module, frames: np.ndarray) -> list[np.ndarray]:
    """Boxes above MIN_SCORE of float32 (B, h, w, 3) without means: per frame float64 (k, 5), sides as shares."""
    import torch

    boxes = network(torch.from_numpy(frames).permute(0, 3, 1, 2).to(network.device))
    return [one[one[:, 4] > MIN_SCORE].double().cpu().numpy() for one in boxes]


def _thin_twice(boxes: np.ndarray) -> np.ndarray:
    boxes = boxes[np.argsort(-boxes[:, 4], kind="stable")][: MOST_BOXES[0]]
    boxes = boxes[thin(boxes, OVERLAPS[0])][: MOST_BOXES[1]]
    return boxes[thin(boxes, OVERLAPS[1])]


def thin(boxes: np.ndarray, overlap: float) -> np.ndarray:
    """Non-maximum suppression: which boxes overlap no kept earlier one by more than `overlap`.

    Args:
        boxes: float64 (k, >= 4) left, top, right, bottom, the best first.
        overlap: largest intersection over union that is let through.

    Returns:
        int64 (m,), increasing.
    """
    corner, far = boxes[:, :2], boxes[:, 2:4]
    areas = np.prod(far - corner, axis=1)
    keep: list[int] = []
    left = np.arange(len(boxes))
    while left.size:
        best, left = left[0], left[1:]
        keep.append(int(best))
        inner = np.prod(
            np.maximum(np.minimum(far[best], far[left]) - np.maximum(corner[best], corner[left]), 0.0), axis=1
        )
        left = left[inner / (areas[best] + areas[left] - inner) <= overlap]
    return np.array(keep, np.int64)


class S3fdTrack(Extractor):
    """The face track of a clip at 25 fps.

    Features (T frames at 25 fps):
        box: float64 (T, 4), left, top, right, bottom in pixels, interpolated where it was not detected; NaN outside the
            track.
        centre: float64 (T, 2), x and y after the median over 13 frames; NaN outside the track.
        half: float64 (T,), half of the larger side after the median; NaN outside the track.
        range: int64 (2,), first frame of the track and one past its last.
        faces: int32 (T,), faces detected in the frame.
        tracks: int64 (1,), tracks that pass the limits.
        detections: int64 (1,), frames of the track in which it was detected.
        reference_rejects: bool (1,), whether it is too short or too small for syncnet-python and LatentSync.
    """

    name = "s3fd_track"
    version = 1
    weights = ("s3fd",)
    packages = ("syncnet_python",)

    def __init__(self, files: Mapping[str, Path], device: str = "cpu"):
        super().__init__(files, device)
        self._network = load_network(self.files["s3fd"], device)

    def begin(self, clip: Clip, features: Mapping[str, Features]) -> None:
        self._at_25_fps = At25Fps(clip)
        self._limits = Limits.for_clip(self._at_25_fps.num_frames, clip.height, clip.width)
        self._found: list[np.ndarray] = []

    def update(self, frames: np.ndarray) -> None:
        frames = self._at_25_fps(frames)
        if len(frames):
            self._found.extend(detect(self._network, frames))

    def finish(self) -> Features:
        tracks = link([boxes[:, :4] for boxes in self._found])
        track = choose_track(tracks, self._limits, len(self._found))
        total = len(self._found)
        box, centre, half = np.full((total, 4), np.nan), np.full((total, 2), np.nan), np.full(total, np.nan)
        inside = slice(track.start, track.stop)
        box[inside] = track.boxes
        centre[inside], half[inside] = smooth(track.boxes)
        return {
            "box": box,
            "centre": centre,
            "half": half,
            "range": np.array([track.start, track.stop]),
            "faces": np.array([len(boxes) for boxes in self._found], np.int32),
            "tracks": np.array([sum(map(self._limits.accept, tracks))]),
            "detections": np.array([len(track.frames)]),
            "reference_rejects": np.array([not Limits.of_reference().accept(track)]),
        }


def choose_track(tracks: list[Track], limits: Limits, num_frames: int) -> Track:
    """The accepted track with the most detections, the larger face of equally long ones.

    Raises:
        Undefined: none is accepted; the message says which limit the longest misses.
    """
    if not tracks:
        raise Undefined(f"no face in {num_frames} of {num_frames} frames (S3FD, score above {MIN_SCORE})")
    accepted = [track for track in tracks if limits.accept(track)]
    best = max(accepted or tracks, key=lambda track: (len(track.frames), track.face_size))
    if accepted:
        return best
    if len(best.frames) > limits.detections:
        what = f"is {best.face_size:.0f} px large, more than {limits.face_size:.0f} px are needed"
    else:
        what = f"is in {len(best.frames)} of {num_frames} frames, more than {limits.detections:.0f} are needed"
    raise Undefined(f"the face that is seen longest {what}; the @nocrop variants score whole frames")
