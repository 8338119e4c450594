"""`syncnet_crop`, `syncnet_nocrop`, `syncnet_eat`: SyncNet's features of a clip, by how the face gets into its view.

SyncNet v2 (Chung and Zisserman, 2016) as in joonson/syncnet_python: BGR in [0, 255] as it is, 224x224, 25 fps; windows
of 5 frames at every frame, and of 20 MFCC rows (0.2 s) at every fourth row, so both at 25 per second. Only the first
layer of the visual network looks at more than one frame (5, no padding), so the frames go through it once, in chunks
that overlap by 4, in place of windows: the same numbers with a fifth of the input.

- `syncnet_crop`: the face track of `s3fd_track`, and the speech during it.
- `syncnet_nocrop`: the whole frame resized (bilinear, aspect ratio lost), as Wav2Lip's scores on LRS.
- `syncnet_eat`: the crop of yuangan/evaluation_eat (code/scripts/align_68.py): one similarity for the whole clip takes
  the mean centres of both eyes and of the inner lips to fixed places; then every frame is shifted so that its mouth
  stays at (112, 120), the shift blended 0.2 / 0.8 with the one before.

Differences from the references: frames are not written to JPEG or video files in between (`syncnet_exact` does that);
evaluation_eat blends shifts in the order in which the file system lists the frames, here it is the order in time.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench.media.clip import Clip
from bench.media.errors import Undefined
from bench.media.landmarks import similarity, transform
from metrics.extractor import Extractor, Features
from metrics.extractors.at_25_fps import At25Fps
from metrics.extractors.cores import submit
from metrics.extractors.face_track import SIDE, crop
from metrics.functional.mfcc import int16_samples, mfcc
from metrics.functional.sync import SAMPLES_PER_FRAME, WINDOW, audio_windows

if TYPE_CHECKING:
    import torch

FEATURES = 1024
BLOCK = 8
"""Windows computed at once on a core; the first feature maps of 8 take 37 MB, and so do their temporaries. More are not
faster (24 took 0.34 s, 8 took 0.34 s for 8 windows on one core) and leave cores idle at the end of a clip."""
BLOCKS_AHEAD = 48
"""Blocks of faces that may wait for a core; each takes 2 MB as bytes."""
MFCC_WINDOW = 20
MFCC_STEP = 4
AUDIO_BATCH = 256
EAT_POINTS = ((87.0, 59.0), (137.0, 59.0), (112.0, 120.0))
"""Where evaluation_eat puts the centres of the eyes and the mouth in 224x224; x, y in pixels."""
EAT_NEW, EAT_OLD = 0.8, 0.2


def load_network(path: Path, device: str = "cpu") -> torch.nn.Module:
    """SyncNet in eval mode, from a plain state dict."""
    import torch
    from syncnet_python.SyncNetModel import S

    network = S()
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    if device == "cpu":
        # The frames arrive with channels last; keeping them so takes 30 % off the visual half (relative change 2e-6).
        network.netcnnlip.to(memory_format=torch.channels_last_3d)
    return network.eval().to(device)


class LipStream:
    """Visual features of one clip, face by face; a core holds at most BLOCK + 4 faces as floats at a time."""

    def __init__(self, network: torch.nn.Module):
        self._network = network
        self._faces: list[np.ndarray] = []
        self._features: list[Future[np.ndarray]] = []

    def push(self, face: np.ndarray) -> None:
        """Take the next face, uint8 (224, 224, 3) RGB."""
        self._faces.append(face)
        if len(self._faces) == BLOCK + WINDOW - 1:
            self._run()
            del self._faces[:BLOCK]

    def finish(self) -> np.ndarray:
        """float32 (T - 4, 1024) of the T faces taken; (0, 1024) if there were fewer than 5."""
        if len(self._faces) >= WINDOW:
            self._run()
        return np.concatenate([np.zeros((0, FEATURES), np.float32), *(block.result() for block in self._features)])

    def _run(self) -> None:
        if len(self._features) >= BLOCKS_AHEAD:
            self._features[-BLOCKS_AHEAD].result()
        device = next(self._network.parameters()).device
        self._features.append(submit(str(device), _lip_features, self._network, np.stack(self._faces)))


def _lip_features(network: torch.nn.Module, faces: np.ndarray) -> np.ndarray:
    """float32 (T - 4, 1024) of uint8 (T, 224, 224, 3) RGB."""
    import torch

    device = next(network.parameters()).device
    bgr = torch.from_numpy(faces).to(device).flip(-1).permute(3, 0, 1, 2)[None].float()
    maps = network.netcnnlip(bgr)[0, :, :, 0, 0].T
    return network.netfclip(maps).cpu().numpy()


def audio_features(network: torch.nn.Module, samples: np.ndarray) -> np.ndarray:
    """Features of speech.

    Args:
        network: of `load_network`.
        samples: int16 (S,) mono 16 kHz.

    Returns:
        float32 (A, 1024), A = floor(S / 640) - 5, at least 0.
    """
    import torch

    count = audio_windows(len(samples))
    if not count:
        return np.zeros((0, FEATURES), np.float32)
    rows = np.lib.stride_tricks.sliding_window_view(mfcc(samples).T.astype(np.float32), MFCC_WINDOW, axis=1)
    windows = rows[:, ::MFCC_STEP].swapaxes(0, 1)[:count, None]
    device = next(network.parameters()).device
    with torch.inference_mode():
        parts = [
            network.forward_aud(torch.from_numpy(np.ascontiguousarray(windows[start : start + AUDIO_BATCH])).to(device))
            for start in range(0, count, AUDIO_BATCH)
        ]
    return torch.cat(parts).cpu().numpy()


class _SyncNet(Extractor):
    """Features:

    video: float32 (T - 4, 1024) of the T faces at 25 fps; (0, 1024) if there are fewer than 5.
    audio: float32 (A, 1024), A = floor(samples / 640) - 5, at least 0. Row 0 of both belongs to the same moment.
    """

    version = 1
    weights = ("syncnet_v2",)
    packages = ("syncnet_python",)

    def __init__(self, files: Mapping[str, Path], device: str = "cpu"):
        super().__init__(files, device)
        self._network = load_network(self.files["syncnet_v2"], device)

    def begin(self, clip: Clip, features: Mapping[str, Features]) -> None:
        require_audio(clip)
        self._clip = clip
        self._at_25_fps = At25Fps(clip)
        self._lips = LipStream(self._network)
        self._seen = 0

    def update(self, frames: np.ndarray) -> None:
        for frame in self._at_25_fps(frames):
            face = self._face(frame, self._seen)
            if face is not None:
                self._lips.push(face)
            self._seen += 1

    def finish(self) -> Features:
        speech = int16_samples(self._clip.audio)[self._heard()]
        return {"video": self._lips.finish(), "audio": audio_features(self._network, speech)}

    @abstractmethod
    def _face(self, frame: np.ndarray, t: int) -> np.ndarray | None:
        """uint8 (224, 224, 3) RGB out of uint8 (H, W, 3) RGB, the t-th frame at 25 fps; None to leave it out."""

    def _heard(self) -> slice:
        """Samples during the faces."""
        return slice(None)


class SyncnetCrop(_SyncNet):
    """SyncNet on the face track of the clip. Features as the other extractors of this file."""

    name = "syncnet_crop"
    after = ("s3fd_track",)

    def begin(self, clip: Clip, features: Mapping[str, Features]) -> None:
        super().begin(clip, features)
        self._track = features["s3fd_track"]
        self._start, self._stop = map(int, self._track["range"])

    def _face(self, frame: np.ndarray, t: int) -> np.ndarray | None:
        if not self._start <= t < self._stop:
            return None
        return crop(frame, self._track["centre"][t], float(self._track["half"][t]))

    def _heard(self) -> slice:
        return slice(self._start * SAMPLES_PER_FRAME, self._stop * SAMPLES_PER_FRAME)


class SyncnetNocrop(_SyncNet):
    """SyncNet on whole frames. Features as the other extractors of this file."""

    name = "syncnet_nocrop"

    def _face(self, frame: np.ndarray, t: int) -> np.ndarray:
        import cv2

        return cv2.resize(frame, (SIDE, SIDE))


class SyncnetEat(_SyncNet):
    """SyncNet on evaluation_eat's crop. Features as the other extractors of this file."""

    name = "syncnet_eat"
    after = ("fan68",)

    def begin(self, clip: Clip, features: Mapping[str, Features]) -> None:
        super().begin(clip, features)
        xy = features["fan68"]["xy"]
        lost = int(np.isnan(xy).any((1, 2)).sum())
        if lost:
            raise Undefined(
                f"no face in {lost} of {len(xy)} frames; the crop of evaluation_eat needs one in every frame"
            )
        self._matrices = eat_matrices(xy)

    def _face(self, frame: np.ndarray, t: int) -> np.ndarray:
        import cv2

        return cv2.warpAffine(frame, self._matrices[t], (SIDE, SIDE))


def eat_matrices(xy: np.ndarray) -> np.ndarray:
    """Where evaluation_eat's crop lies in every frame.

    Args:
        xy: float (T, 68, 2) pixels, x then y.

    Returns:
        float64 (T, 2, 3): frame to crop coordinates.
    """
    points = np.asarray(xy, np.float64)
    centres = np.stack([points[:, part].mean(1) for part in (slice(36, 42), slice(42, 48), slice(60, 68))], 1)
    common = similarity(centres.mean(0), np.array(EAT_POINTS))
    shifts = np.array(EAT_POINTS[2]) - transform(common, centres)[:, 2]
    for t in range(1, len(shifts)):
        shifts[t] = EAT_OLD * shifts[t - 1] + EAT_NEW * shifts[t]
    matrices = np.repeat(common[None], len(points), axis=0)
    matrices[:, :, 2] += shifts
    return matrices


def require_audio(clip: Clip) -> None:
    """Raise Undefined if the clip has no audio stream."""
    if not clip.has_audio:
        raise Undefined("no audio")
