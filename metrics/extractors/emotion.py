"""`emotion_fan`, `hsemotion`: emotion probabilities of the faces of a clip.

`emotion_fan`: emotion-FAN (Meng et al., Frame Attention Networks, ICIP 2019), a ResNet-18 with self- and
relation-attention over frames, as yuangan/evaluation_eat uses it (code/_acc_test.py,
emotionfan_basiccode/networks.py) with its checkpoint fine-tuned on MEAD. With f_t the 512 pooled features of frame t
and s a sigmoid layer:

    alpha_t = s_1(f_t)                          self-attention
    m       = sum alpha_t f_t / sum alpha_t
    beta_t  = s_2([f_t, m])                     relation-attention
    p       = softmax(W sum alpha_t [f_t, m] / sum alpha_t beta_t + b)

The paper and the training code also have beta_t in the last numerator. The published evaluation code has not, in
Open-Debin/Emotion-FAN as in evaluation_eat, and is what published accuracies come from; it is followed here.

Faces: evaluation_eat cuts dlib's 5-point chip (224x224, padding 0.25) after dlib's detectors. Here the same template
and similarity are used on the same five points (eye corners and the base of the nose), but they come from mediapipe,
the largest face is taken instead of the first, and frames are neither stored as JPEG nor equalised when no face is
found.

`hsemotion`: HSEmotion (Savchenko 2022), EfficientNet-B0 trained on AffectNet (enet_b0_8_best_vgaf.onnx), on the box
around all mediapipe points, as av-savchenko/hsemotion-onnx does in demo/recognize_emotions_video.py. That demo
averages logits over recent frames; here each frame gives probabilities, so that every frame has the same say in their
mean.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from bench.media.clip import Clip
from bench.media.errors import Undefined
from bench.media.landmarks import EYE_INNER_CORNERS, EYE_OUTER_CORNERS, similarity
from bench.media.onnx_session import onnx_session
from metrics.extractor import Extractor, Features
from metrics.functional.acc_emo import EMOTION_FAN_CLASSES, HSEMOTION_CLASSES

FACE_SIZE = 224
CHIP_PADDING = 0.25
NOSE_BASE = 2
"""mediapipe point; iBUG 33."""
CHIP_POINTS = (EYE_OUTER_CORNERS[1], EYE_INNER_CORNERS[1], EYE_OUTER_CORNERS[0], EYE_INNER_CORNERS[0], NOSE_BASE)
"""The points of dlib's shape_predictor_5_face_landmarks, in its order, as mediapipe points."""
CHIP_TEMPLATE = np.array(
    [
        [0.8595674595992, 0.2134981538014],
        [0.6460604764104, 0.2289674387677],
        [0.1205750620789, 0.2137274526848],
        [0.3340850613712, 0.2290642403242],
        [0.4901123135679, 0.6277975316475],
    ]
)
"""Where they go in the unpadded unit chip: constants of dlib's get_face_chip_details
(image_transforms/interpolation.h)."""
IMAGENET_MEAN, IMAGENET_STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


def face_chip(frame: np.ndarray, xy: np.ndarray) -> np.ndarray:
    """The upright face in dlib's 5-point frame.

    As in dlib, a frame with more than two pixels per pixel of the chip is halved first, so that it does not alias.

    Args:
        frame: uint8 (H, W, 3) RGB.
        xy: float (478, 2) mediapipe points in pixels of the frame.

    Returns:
        uint8 (224, 224, 3) RGB; black where it lies outside the frame.
    """
    import cv2

    chip_points = (CHIP_TEMPLATE + CHIP_PADDING) / (1 + 2 * CHIP_PADDING) * FACE_SIZE
    to_frame = similarity(chip_points, xy[list(CHIP_POINTS)])
    halvings = max(0, int(np.log2(np.linalg.norm(to_frame[:, 0]))))
    if halvings:
        height, width = (max(1, round(side / 2**halvings)) for side in frame.shape[:2])
        ratio = np.array([[width / frame.shape[1]], [height / frame.shape[0]]])
        to_frame = to_frame * ratio
        to_frame[:, 2:] += (ratio - 1) / 2  # pixel centres: x -> ratio (x + 1/2) - 1/2
        frame = cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(frame, to_frame, (FACE_SIZE, FACE_SIZE), flags=flags, borderValue=0.0)


def face_box(frame: np.ndarray, xy: np.ndarray) -> np.ndarray:
    """The part of a frame (H, W, 3) inside the box around float (478, 2) points, edges cut to whole pixels."""
    height, width = frame.shape[:2]
    left, top = (int(max(0.0, edge)) for edge in xy.min(0))
    right, bottom = (int(min(edge, limit)) for edge, limit in zip(xy.max(0), (width, height), strict=True))
    return frame[top : max(top, bottom), left : max(left, right)]


def emotion_fan_network():
    """emotion-FAN with the parameter names of the published code.

    Its backbone is torchvision's ResNet-18 (conv1 ... layer4.1.bn2); the heads are alpha.0 (512 -> 1), beta.0 (1024
    -> 1), pred_fc1 (512 -> 8, used by the self-attention model only) and pred_fc2 (1024 -> 8). forward gives f_t, (n,
    512).
    """
    from torch import nn
    from torchvision.models import resnet18

    network = resnet18(weights=None)
    network.fc = nn.Identity()
    network.alpha = nn.Sequential(nn.Linear(512, 1), nn.Sigmoid())
    network.beta = nn.Sequential(nn.Linear(1024, 1), nn.Sigmoid())
    network.pred_fc1 = nn.Linear(512, len(EMOTION_FAN_CLASSES))
    network.pred_fc2 = nn.Linear(1024, len(EMOTION_FAN_CLASSES))
    return network


def frame_attention(network, features):
    """Logits of a clip and the self-attention of its frames; see the module docstring for the formulas.

    Args:
        network: of `emotion_fan_network`.
        features: torch float (n, 512), f_t.

    Returns:
        torch float (8,) and (n,).
    """
    import torch

    alpha = network.alpha(features)
    mean = (alpha * features).sum(0) / alpha.sum()
    both = torch.cat([features, mean.expand_as(features)], dim=1)
    beta = network.beta(both)
    return network.pred_fc2((alpha * both).sum(0) / (alpha * beta).sum()), alpha[:, 0]


class EmotionFAN(Extractor):
    """Features:

    probabilities: float32 (8,) of the clip, order `metrics.functional.acc_emo.EMOTION_FAN_CLASSES`.
    alpha: float32 (T,) in [0, 1], self-attention of each frame; NaN where no face was found.
    """

    name = "emotion_fan"
    version = 1
    weights = ("emotion_fan_mead8",)
    packages = ("torch", "torchvision")
    after = ("landmarks",)

    def __init__(self, files: Mapping[str, Path], device: str = "cpu"):
        super().__init__(files, device)
        import torch

        checkpoint = torch.load(files["emotion_fan_mead8"], map_location="cpu", weights_only=True)
        state = {name.removeprefix("module."): value for name, value in checkpoint["state_dict"].items()}
        self._network = emotion_fan_network()
        # fc is the 1000-class layer of the pretrained backbone; the published loader drops it too.
        self._network.load_state_dict({name: value for name, value in state.items() if not name.startswith("fc.")})
        self._network.eval().to(device)

    def begin(self, clip: Clip, features: Mapping[str, Features]) -> None:
        self._xy = features["landmarks"]["xy"]
        self._has_face = np.isfinite(self._xy).all((1, 2))
        self._seen = 0
        self._frames: list = []

    def update(self, frames: np.ndarray) -> None:
        import torch

        rows = range(self._seen, self._seen + len(frames))
        self._seen += len(frames)
        chips = [face_chip(frame, self._xy[t]) for t, frame in zip(rows, frames, strict=True) if self._has_face[t]]
        if not chips:
            return
        with torch.inference_mode():
            images = torch.from_numpy(np.stack(chips)).to(self.device).permute(0, 3, 1, 2).float() / 255
            self._frames.append(self._network(images))

    def finish(self) -> Features:
        import torch

        if not self._frames:
            raise Undefined(f"no face in {self._seen} of {self._seen} frames")
        with torch.inference_mode():
            logits, attention = frame_attention(self._network, torch.cat(self._frames))
            probabilities = torch.softmax(logits, dim=0).cpu().numpy()
        alpha = np.full(self._seen, np.nan, np.float32)
        alpha[self._has_face] = attention.cpu().numpy()
        return {"probabilities": probabilities, "alpha": alpha}


class HSEmotion(Extractor):
    """Features:

    probabilities: float32 (T, 8), order `metrics.functional.acc_emo.HSEMOTION_CLASSES`; NaN where no face was found.
    """

    name = "hsemotion"
    version = 1
    weights = ("hsemotion_b0_8",)
    packages = ("onnxruntime",)
    after = ("landmarks",)

    def __init__(self, files: Mapping[str, Path], device: str = "cpu"):
        super().__init__(files, device)
        self._session = onnx_session(files["hsemotion_b0_8"], device)
        self._input = self._session.get_inputs()[0].name

    def begin(self, clip: Clip, features: Mapping[str, Features]) -> None:
        self._xy = features["landmarks"]["xy"]
        self._rows: list[np.ndarray] = []

    def update(self, frames: np.ndarray) -> None:
        faces = self._xy[len(self._rows) :][: len(frames)]
        self._rows += [self._classify(frame, xy) for frame, xy in zip(frames, faces, strict=True)]

    def finish(self) -> Features:
        return {"probabilities": np.stack(self._rows)}

    def _classify(self, frame: np.ndarray, xy: np.ndarray) -> np.ndarray:
        """float32 (8,) of one frame; NaN without a face or where the face lies outside the frame."""
        import cv2

        face = face_box(frame, xy) if np.isfinite(xy).all() else np.zeros((0, 0, 3), np.uint8)
        if not face.size:
            return np.full(len(HSEMOTION_CLASSES), np.nan, np.float32)
        image = (cv2.resize(face, (FACE_SIZE, FACE_SIZE)) / 255 - IMAGENET_MEAN) / IMAGENET_STD
        logits = self._session.run(None, {self._input: image.transpose(2, 0, 1)[None].astype(np.float32)})[0][0]
        weights = np.exp(logits.astype(np.float64) - logits.max())
        return (weights / weights.sum()).astype(np.float32)
