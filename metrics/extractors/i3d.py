"""I3D logits of a clip, for FVD.

Two extractors, because they serve different definitions and the second one's memory grows with the clip:

* `i3d`: every non-overlapping window of 16 frames, squashed to 224x224 bilinear (aspect not kept, as in the original
  FVD), scaled to [-1, 1]. Frames after the last whole window are not used. The network is the one published with the
  weight file (VideoGPT, TATS, cd-fvd, JunyaoHu's common_metrics): batch norm eps 1e-5, pooling over 2 time steps.
* `i3d_full`: the whole video as one sample, as Wangt-CN/DisCo tool/metrics (FVD-3DInception) does it: frames squashed
  by PIL bicubic in float, batch norm eps 1e-3, pooling over 1 time step.

Known difference: the graph on TF hub (deepmind/i3d-kinetics-400/1) and piergiaj/pytorch-i3d use eps 1e-3, the code
published with the weight file uses 1e-5. Which of the two the file was converted for would show in the value for black
against white videos (8 of 30 frames at 64x64: 151.39 with TF hub).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bench.media.clip import Clip
from bench.media.errors import Undefined
from metrics.extractor import Extractor, Features
from metrics.extractors.resize import pil_bicubic

WINDOW = 16
BATCH_WINDOWS = 4
MIN_FRAMES = 10
"""Shortest video `i3d_full` takes; the floor of the published implementations."""
SIZE = 224


class I3D(Extractor):
    """`logits16` float32 (w, 400): one row per non-overlapping 16-frame window, in order; w = T // 16."""

    name = "i3d"
    weights = ("i3d_400",)
    packages = ("torch",)

    def __init__(self, files, device="cpu"):
        super().__init__(files, device)
        self._network = _load(self.files["i3d_400"], device, eps=1e-5, pool_frames=2)

    def begin(self, clip: Clip, features: Mapping[str, Features]) -> None:
        self._frames = 0
        self._pending: list = []
        self._windows: list = []
        self._rows: list[np.ndarray] = []

    def update(self, frames: np.ndarray) -> None:
        self._frames += len(frames)
        self._pending.extend(squash(frames, self.device))
        while len(self._pending) >= WINDOW:
            self._windows.append(self._pending[:WINDOW])
            del self._pending[:WINDOW]
            if len(self._windows) == BATCH_WINDOWS:
                self._run()

    def finish(self) -> Features:
        """Raises Undefined for a clip shorter than one window."""
        if self._frames < WINDOW:
            raise Undefined(f"{self._frames} frames; a window of I3D needs {WINDOW}")
        if self._windows:
            self._run()
        return {"logits16": np.concatenate(self._rows)}

    def _run(self) -> None:
        import torch

        with torch.inference_mode():
            clips = torch.stack([torch.stack(window, dim=1) for window in self._windows])
            self._rows.append(self._network(clips).float().cpu().numpy())
        self._windows.clear()


class I3DFull(Extractor):
    """`full` float32 (1, 400): the whole video as one sample."""

    name = "i3d_full"
    weights = ("i3d_400",)
    packages = ("torch", "PIL")

    def __init__(self, files, device="cpu"):
        super().__init__(files, device)
        self._network = _load(self.files["i3d_400"], device, eps=1e-3, pool_frames=1)

    def begin(self, clip: Clip, features: Mapping[str, Features]) -> None:
        self._frames: list[np.ndarray] = []

    def update(self, frames: np.ndarray) -> None:
        self._frames.append(pil_bicubic(frames, SIZE))

    def finish(self) -> Features:
        """Raises Undefined for a video shorter than 10 frames."""
        import torch

        video = np.concatenate(self._frames) if self._frames else np.zeros((0, SIZE, SIZE, 3), np.float32)
        self._frames = []
        if len(video) < MIN_FRAMES:
            raise Undefined(f"{len(video)} frames; a video needs {MIN_FRAMES} for I3D")
        with torch.inference_mode():
            clip = torch.from_numpy(video).to(self.device).permute(3, 0, 1, 2)[None]
            return {"full": self._network(clip / 127.5 - 1).float().cpu().numpy()}


def squash(frames: np.ndarray, device: str = "cpu"):
    """Frames uint8 (t, H, W, 3) RGB to a tensor (t, 3, 224, 224) in [-1, 1]: bilinear, not antialiased."""
    import torch
    from torch.nn.functional import interpolate

    with torch.inference_mode():
        video = torch.from_numpy(np.ascontiguousarray(frames)).to(device).permute(0, 3, 1, 2).float()
        video = interpolate(video, size=(SIZE, SIZE), mode="bilinear", align_corners=False)
        return 2 * video / 255 - 1


def _load(path, device: str, eps: float, pool_frames: int):
    import torch

    from metrics.extractors.i3d_network import InceptionI3d

    network = InceptionI3d(eps=eps, pool_frames=pool_frames)
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return network.eval().requires_grad_(False).to(device)
