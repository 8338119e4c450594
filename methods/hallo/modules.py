"""Hallo's five networks. Names of parameters are those of the published file, net.pth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from methods.talking_unet.projections import AudioProjection, FaceLocator, ImageProjection
from methods.talking_unet.reference import ReferenceNet
from methods.talking_unet.unet import TalkingUNet


class HalloModules(nn.Module):
    """Random weights until a state dict is loaded.

    Args:
        sizes: arguments of the networks by part: "denoiser", "reference", "image_projection", "audio_projection",
            "face_locator"; see methods/talking_unet/sizes.py. Plain JSON, and stored with the weights.
    """

    def __init__(self, sizes: Mapping[str, Mapping[str, Any]]):
        super().__init__()
        self.sizes = sizes
        self.reference_unet = ReferenceNet(**sizes["reference"])
        self.denoising_unet = TalkingUNet(**sizes["denoiser"])
        self.imageproj = ImageProjection(**sizes["image_projection"])
        self.audioproj = AudioProjection(**sizes["audio_projection"])
        self.face_locator = FaceLocator(**sizes["face_locator"])

    @property
    def denoiser(self) -> TalkingUNet:
        return self.denoising_unet
