"""Inception features of frames, for FID and KID, the three ways the field computes them.

| extractor | network | a frame reaches it as | frames |
|---|---|---|---|
| `inception` | pytorch-fid's port of the TF FID network | [0, 1], bilinear 299 without antialias, to [-1, 1] | all |
| `inception_clean` | NVlabs TorchScript of the same network | PIL bicubic 299 in float, (x - 128) / 128 | all |
| `inception_eat` | torchvision's ImageNet Inception v3 | BGR 128x128 crop, cv2 bilinear 299, to [-1, 1], rescaled | 5 |

pytorch-fid dumps frames to PNG first; that changes no pixel, so it is left out here. evaluation_eat intends RGB, but
its reader already returned RGB and a flip made it BGR; it also applies torchvision's `transform_input`, which expects
ImageNet-normalised input, to input in [-1, 1]. Both are kept, because its published numbers contain them. It picks the
5 frames among those in which both clips have a face; here each clip picks among its own.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping

import numpy as np

from bench.media.clip import Clip
from bench.media.errors import Undefined
from metrics.extractor import Extractor, Features
from metrics.extractors.cores import for_inference, map_batches
from metrics.extractors.resize import pil_bicubic

INPUT_SIZE = 299
EAT_FRAMES = 5
BATCH = 8
"""Small, so that a chunk of 64 frames keeps eight cores busy."""


class _FrameFeatures(Extractor):
    """Feeds frames to a network in batches and collects one 2048-d row per frame."""

    packages = ("torch", "torchvision")

    def begin(self, clip: Clip, features: Mapping[str, Features]) -> None:
        self._rows: list[np.ndarray] = []

    def update(self, frames: np.ndarray) -> None:
        batches = (frames[start : start + BATCH] for start in range(0, len(frames), BATCH))
        self._rows += [rows.float().cpu().numpy() for rows in map_batches(self.device, self._embed, batches)]

    def finish(self) -> Features:
        return {"pool": np.concatenate(self._rows)}

    @abstractmethod
    def _embed(self, frames: np.ndarray):
        """Tensor (t, 2048) of uint8 (t, H, W, 3) RGB."""

    def _tensor(self, frames: np.ndarray):
        """(t, H, W, 3) to a float tensor (t, 3, H, W) on the device, same values."""
        import torch

        return torch.from_numpy(np.ascontiguousarray(frames)).to(self.device).permute(0, 3, 1, 2).float()


class Inception(_FrameFeatures):
    """`pool` float32 (T, 2048): pool3 of the FID network, as mseitzer/pytorch-fid computes it."""

    name = "inception"
    weights = ("inception_fid",)
    packages = ("torch", "torchvision", "pytorch_fid")

    def __init__(self, files, device="cpu"):
        super().__init__(files, device)
        import torch

        network = fid_inception()
        network.load_state_dict(torch.load(self.files["inception_fid"], map_location="cpu", weights_only=True))
        self._network = for_inference(pool_layers(network), device)

    def _embed(self, frames: np.ndarray):
        from torch.nn.functional import interpolate

        images = self._tensor(frames) / 255
        images = interpolate(images, size=(INPUT_SIZE, INPUT_SIZE), mode="bilinear", align_corners=False)
        return self._network(2 * images - 1)


class InceptionClean(_FrameFeatures):
    """`pool` float32 (T, 2048): features of clean-fid's mode `clean`."""

    name = "inception_clean"
    weights = ("inception_clean",)
    packages = ("torch", "PIL")

    def __init__(self, files, device="cpu"):
        super().__init__(files, device)
        import torch

        # The archive's own forward resizes in the TF1 way; its submodule `layers` takes an image that is 299 already.
        self._network = torch.jit.load(str(self.files["inception_clean"]), map_location=device).eval()

    def _embed(self, frames: np.ndarray):
        images = self._tensor(pil_bicubic(frames, INPUT_SIZE))
        return self._network.layers((images - 128) / 128).reshape(len(frames), -1)


class InceptionEAT(_FrameFeatures):
    """`pool` float32 (n, 2048), n = min(5, frames with a face): features of evaluation_eat's test_fid.py."""

    name = "inception_eat"
    weights = ("inception_torchvision",)
    packages = ("torch", "torchvision", "cv2")
    after = ("eat_crop",)

    def __init__(self, files, device="cpu"):
        super().__init__(files, device)
        import torch
        from torchvision.models import inception_v3

        network = inception_v3(weights=None, transform_input=True, aux_logits=True, init_weights=False)
        network.load_state_dict(torch.load(self.files["inception_torchvision"], map_location="cpu", weights_only=True))
        self._transform_input = network._transform_input
        self._network = for_inference(pool_layers(network), device)

    def begin(self, clip: Clip, features: Mapping[str, Features]) -> None:
        super().begin(clip, features)
        crops = features["eat_crop"]["crop"]
        with_face = np.flatnonzero(features["eat_crop"]["found"])
        if not len(with_face):
            raise Undefined(f"no face in {len(crops)} of {len(crops)} frames")
        picked = np.linspace(0, len(with_face), min(len(with_face), EAT_FRAMES), endpoint=False).astype(int)
        super().update(crops[with_face[picked]])

    def update(self, frames: np.ndarray) -> None:
        """The crops hold all that is needed."""

    def _embed(self, frames: np.ndarray):
        import cv2

        bgr = frames[..., ::-1].astype(np.float32) / 255
        images = self._tensor(np.stack([cv2.resize(image, (INPUT_SIZE, INPUT_SIZE)) for image in bgr]))
        return self._network(self._transform_input(images * 2 - 1))


def fid_inception():
    """The FID network with its 1008-class head, weights not loaded: torchvision's Inception v3 with the blocks that
    pytorch-fid replaced (average pooling without counting the padding, one max pooling in the last block).
    """
    from pytorch_fid.inception import FIDInceptionA, FIDInceptionC, FIDInceptionE_1, FIDInceptionE_2
    from torchvision.models import inception_v3

    network = inception_v3(weights=None, num_classes=1008, aux_logits=False, init_weights=False)
    network.Mixed_5b = FIDInceptionA(192, pool_features=32)
    network.Mixed_5c = FIDInceptionA(256, pool_features=64)
    network.Mixed_5d = FIDInceptionA(288, pool_features=64)
    network.Mixed_6b = FIDInceptionC(768, channels_7x7=128)
    network.Mixed_6c = FIDInceptionC(768, channels_7x7=160)
    network.Mixed_6d = FIDInceptionC(768, channels_7x7=160)
    network.Mixed_6e = FIDInceptionC(768, channels_7x7=192)
    network.Mixed_7b = FIDInceptionE_1(1280)
    network.Mixed_7c = FIDInceptionE_2(2048)
    return network


def pool_layers(network):
    """The layers of an Inception v3 from the image (n, 3, 299, 299) to the pooled features (n, 2048), in eval mode.

    Batch normalisation is folded into the convolution before it (relative change of the features 1e-7).
    """
    from torch import nn
    from torch.nn.utils.fusion import fuse_conv_bn_eval
    from torchvision.models.inception import BasicConv2d

    for layer in network.eval().modules():
        if isinstance(layer, BasicConv2d):
            layer.conv, layer.bn = fuse_conv_bn_eval(layer.conv, layer.bn), nn.Identity()

    stem = [network.Conv2d_1a_3x3, network.Conv2d_2a_3x3, network.Conv2d_2b_3x3, nn.MaxPool2d(3, stride=2)]
    stem += [network.Conv2d_3b_1x1, network.Conv2d_4a_3x3, nn.MaxPool2d(3, stride=2)]
    names = ("5b", "5c", "5d", "6a", "6b", "6c", "6d", "6e", "7a", "7b", "7c")
    mixed = [getattr(network, f"Mixed_{name}") for name in names]
    return nn.Sequential(*stem, *mixed, nn.AdaptiveAvgPool2d(1), nn.Flatten())
