"""Deep3DFaceRecon expression coefficients of every frame (Deng et al., arXiv 1903.08527), for E-FID.

Follows sicxu/Deep3DFaceRecon_pytorch: five points -> scale and translation of a weak perspective camera by least
squares against a standard 3D face -> resize and 224x224 crop -> ResNet-50 with seven heads, 257 coefficients in the
order identity 80, expression 64, texture 80, angles 3, lighting 27, translation 3. No face model file is needed: the 64
numbers are the network's output. The repository has two networks (2022 and 2023-04-25), which give different values.

Known difference: the five points come from mediapipe's mesh instead of MTCNN or dlib. They are taken as the repository
takes them from 68 points: each eye is the mean of its two corners, then the nose tip and the mouth corners.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bench.media.clip import Clip
from bench.media.errors import Undefined
from metrics.extractor import Extractor, Features

SIZE = 224
RESCALE_FACTOR = 102.0
BATCH = 32

EYE_LEFT, EYE_RIGHT = (33, 133), (362, 263)
"""Corner points of the eye on the left and on the right of the image, mediapipe face mesh."""
NOSE_TIP, MOUTH_LEFT, MOUTH_RIGHT = 1, 61, 291
"""Of the mesh's two candidates for the nose tip, 1 fits STANDARD_FACE better than 4: residual 0.020 against 0.031 after
the best similarity transform of mediapipe's canonical face."""

STANDARD_FACE = np.array(
    [
        [-0.31148657, 0.29036078, 0.13377953],
        [0.30979887, 0.28972036, 0.13179526],
        [0.0032535, -0.04617932, 0.55244243],
        [-0.25216928, -0.38133916, 0.22405732],
        [0.24846619, -0.38128236, 0.22235769],
    ]
)
"""Eyes, nose tip, mouth corners of the standard face, y up: the five points which `load_lm3d` of
sicxu/Deep3DFaceRecon_pytorch makes from the 68 of its BFM/similarity_Lm3D_all.mat."""

HEADS = (80, 64, 80, 3, 27, 2, 1)
"""Outputs of the seven heads; the last two are the translation in x, y and in z."""
EXPRESSION = slice(80, 144)


class Deep3D(Extractor):
    """`exp` float32 (T, 64); NaN rows where no face was found."""

    name = "deep3d"
    weights = ("deep3d",)
    packages = ("torch", "torchvision", "PIL")
    after = ("landmarks",)

    def __init__(self, files, device="cpu"):
        super().__init__(files, device)
        import torch

        self._network = recon_network()
        state = torch.load(self.files["deep3d"], map_location="cpu", weights_only=True)
        self._network.load_state_dict(state["net_recon"])
        self._network.eval().requires_grad_(False).to(device)

    def begin(self, clip: Clip, features: Mapping[str, Features]) -> None:
        self._points = five_points(features["landmarks"]["xy"])
        self._rows: list[np.ndarray] = []
        self._seen = 0

    def update(self, frames: np.ndarray) -> None:
        points = self._points[self._seen : self._seen + len(frames)]
        self._seen += len(frames)
        rows = np.full((len(frames), EXPRESSION.stop - EXPRESSION.start), np.nan, np.float32)
        found = np.flatnonzero(np.isfinite(points).all(axis=(1, 2)))
        for start in range(0, len(found), BATCH):
            batch = found[start : start + BATCH]
            crops = np.stack([align(frames[i], points[i]) for i in batch])
            rows[batch] = self._coefficients(crops)[:, EXPRESSION]
        self._rows.append(rows)

    def finish(self) -> Features:
        """Raises Undefined if no frame has a face."""
        exp = np.concatenate(self._rows)
        if np.isnan(exp).all():
            raise Undefined(f"no face in {len(exp)} of {len(exp)} frames")
        return {"exp": exp}

    def _coefficients(self, crops: np.ndarray) -> np.ndarray:
        """float32 (n, 257) of crops uint8 (n, 224, 224, 3) RGB."""
        import torch

        with torch.inference_mode():
            images = torch.from_numpy(crops).to(self.device).permute(0, 3, 1, 2).float() / 255
            pooled = self._network.backbone(images)[:, :, None, None]
            return torch.cat([head(pooled) for head in self._network.final_layers], dim=1).flatten(1).cpu().numpy()


def recon_network():
    """Container with the reference's parameter names: `backbone`, a ResNet-50 without fc, and `final_layers.0` to 6."""
    from torch import nn
    from torchvision.models import resnet50

    network = nn.Module()
    network.backbone = resnet50(weights=None)
    network.backbone.fc = nn.Identity()
    network.final_layers = nn.ModuleList(nn.Conv2d(2048, outputs, 1) for outputs in HEADS)
    return network


def five_points(xy: np.ndarray) -> np.ndarray:
    """Mesh points float32 (T, 478, 2) px to float64 (T, 5, 2) px: eyes, nose tip, mouth corners; NaN stays NaN."""
    xy = np.asarray(xy, np.float64)
    eyes = [xy[:, list(eye)].mean(axis=1) for eye in (EYE_LEFT, EYE_RIGHT)]
    return np.stack([*eyes, xy[:, NOSE_TIP], xy[:, MOUTH_LEFT], xy[:, MOUTH_RIGHT]], axis=1)


def weak_perspective(points: np.ndarray) -> tuple[np.ndarray, float]:
    """Translation float64 (2,) and scale of the camera that sees STANDARD_FACE at points (5, 2), y up.

    Each image coordinate is fitted as an affine function of the 3D points; the scale is the mean of the two gradients'
    lengths.
    """
    design = np.column_stack([STANDARD_FACE, np.ones(len(STANDARD_FACE))])
    solution = np.linalg.lstsq(design, points, rcond=None)[0]
    scale = float(np.linalg.norm(solution[:3], axis=0).mean())
    return solution[3], scale


def align(frame: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Face crop uint8 (224, 224, 3) RGB of a frame uint8 (H, W, 3) RGB with five points (5, 2) px; black outside."""
    from PIL import Image

    height, width = frame.shape[:2]
    flipped = np.column_stack([points[:, 0], height - 1 - points[:, 1]])
    centre, scale = weak_perspective(flipped)
    scale = RESCALE_FACTOR / scale
    new_width, new_height = int(width * scale), int(height * scale)
    left = int(new_width / 2 - SIZE / 2 + (centre[0] - width / 2) * scale)
    top = int(new_height / 2 - SIZE / 2 + (height / 2 - centre[1]) * scale)
    image = Image.fromarray(frame).resize((new_width, new_height), Image.Resampling.BICUBIC)
    return np.asarray(image.crop((left, top, left + SIZE, top + SIZE)))
