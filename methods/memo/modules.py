"""MEMO's four networks. Names of parameters are those of the published files, each behind its folder's name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from methods.talking_unet.projections import AudioProjection, ImageProjection
from methods.talking_unet.reference import ReferenceNet
from methods.talking_unet.unet import TalkingUNet


class MemoModules(nn.Module):
    """Random weights until a state dict is loaded.

    Args:
        sizes: arguments of the networks by part: "denoiser", "reference", "image_projection", "audio_projection"; see
            methods/talking_unet/sizes.py. Plain JSON, and stored with the weights.
    """

    def __init__(self, sizes: Mapping[str, Mapping[str, Any]]):
        super().__init__()
        self.sizes = sizes
        self.reference_net = ReferenceNet(**sizes["reference"])
        self.diffusion_net = TalkingUNet(**sizes["denoiser"])
        self.image_proj = ImageProjection(**sizes["image_projection"])
        self.audio_proj = AudioProjection(**sizes["audio_projection"])

    @property
    def denoiser(self) -> TalkingUNet:
        return self.diffusion_net
