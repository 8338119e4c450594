"""`synth_sync`: SyncNet in small, for synthetic heads: 5 frames of the mouth and 0.2 s of speech, as vectors of 64.

As SyncNet (Chung and Zisserman, 2016) it looks at windows of 5 frames at 25 fps and 20 rows of MFCC, and what belongs
together lies close; unlike it, the vectors have length 1 and the frames are 48x48 of a fixed part of the frame, without
face detection. `metrics.functional.sync` turns the vectors into scores.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from bench.media.clip import Clip
from metrics.extractor import Extractor, Features
from metrics.extractors.at_25_fps import At25Fps
from metrics.extractors.cores import for_inference
from metrics.extractors.syncnet import audio_features, require_audio
from metrics.functional.mfcc import int16_samples
from metrics.synth.crops import MOUTH, cropped

SIZE = 48
EMBEDDING = 64


def sync_network():
    """A module with the two halves of the network: `forward_lips`, `forward_aud`, both to unit vectors."""
    from metrics.synth.sync_network import SyncNetwork

    return SyncNetwork(SIZE, EMBEDDING)


def mouths(frames: np.ndarray) -> np.ndarray:
    """What the network sees of frames uint8 (t, H, W, 3): uint8 (t, 48, 48, 3), same colour order."""
    return cropped(frames, MOUTH, SIZE)


class SynthSync(Extractor):
    """Features:

    video: float32 (T - 4, 64) of the T frames at 25 fps; (0, 64) if there are fewer than 5.
    audio: float32 (A, 64), A = floor(samples / 640) - 5, at least 0. Row 0 of both belongs to the same moment.
    """

    name = "synth_sync"
    weights = ("synth_sync",)
    packages = ("torch",)

    def __init__(self, files: Mapping[str, Path], device: str = "cpu"):
        super().__init__(files, device)
        from metrics.synth.training import load_weights

        self._network = for_inference(load_weights(sync_network(), self.files["synth_sync"]), device)

    def begin(self, clip: Clip, features: Mapping[str, Features]) -> None:
        """Raises Undefined for a clip without speech."""
        require_audio(clip)
        self._clip = clip
        self._at_25_fps = At25Fps(clip)
        self._mouths: list[np.ndarray] = []

    def update(self, frames: np.ndarray) -> None:
        shown = self._at_25_fps(frames)
        if len(shown):  # At a higher rate a chunk may hold no frame that is shown.
            self._mouths.append(mouths(shown))

    def finish(self) -> Features:
        lips = lip_features(self._network, np.concatenate(self._mouths))
        return {"video": lips, "audio": audio_features(self._network, int16_samples(self._clip.audio))}


def lip_features(network, faces: np.ndarray, batch: int = 64) -> np.ndarray:
    """float32 (T - 4, 64) of the windows of `mouths` uint8 (T, 48, 48, 3); (0, 64) where T < 5."""
    import torch

    from metrics.functional.sync import WINDOW
    from metrics.synth.convnet import pixels
    from metrics.synth.sync_network import lip_windows

    count = len(faces) - WINDOW + 1
    if count < 1:
        return np.zeros((0, EMBEDDING), np.float32)
    device = next(network.parameters()).device
    with torch.inference_mode():
        images = pixels(faces, device)
        parts = [
            network.forward_lips(lip_windows(images[start : min(start + batch, count) + WINDOW - 1]))
            for start in range(0, count, batch)
        ]
    return torch.cat(parts).cpu().numpy()
