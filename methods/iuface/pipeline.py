"""IUFace's inference: the windows and Euler steps of StableAvatar with Action Units and the guidance of Eq. 4.

The three evaluations of a step are unconditional (null AU, null audio), AU-only (null audio) and fully conditioned; the
reference and the prompt are the same in all three. The null AU is zeros in place of AU tokens, which add exactly nothing
because keys and values of AUs have no bias; the null audio is zeros in place of vocal tokens.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from methods.generator import Request
from methods.iuface.config import IUFaceConfig
from methods.iuface.guidance import dual_scale_guidance
from methods.stableavatar.pipeline import StableAvatarPipeline
from methods.stableavatar.windows import Window


class IUFacePipeline(StableAvatarPipeline):
    """Makes videos; see `StableAvatarPipeline`, whose loop it runs. AUs of a request are float32 (T, 35) in `openface35`;
    None is the null AU in every row."""

    config: IUFaceConfig

    def guidance(self, uncond: Tensor, au: Tensor, cond: Tensor) -> Tensor:
        return dual_scale_guidance(uncond, au, cond, self.config.au_scale, self.config.audio_scale)

    def of_video(self, request: Request, picture: np.ndarray) -> dict[str, Tensor | None]:
        """Conditions that all windows share besides the reference: nothing, AUs, AUs and speech."""
        shared = {"text": self.prompt(request).expand(3, -1, -1), "silent": torch.tensor([True, True, False])}
        if request.aus is None:
            return shared
        identity = self.encoders.identity(picture, self.transformer.config.aus["identity_encoder"])
        return shared | {
            "identity": None if identity is None else identity.expand(3, -1),
            "null_aus": torch.tensor([True, False, False]),
        }

    def of_window(self, request: Request, window: Window) -> dict[str, Tensor]:
        """Conditions of one window, on the device: its speech and AUs, which stay as they were after the video's end."""
        heard = super().of_window(request, window)
        if request.aus is None:
            return heard
        frames = np.arange(window.frames.start, window.frames.stop).clip(max=request.num_frames - 1)
        return heard | {"aus": torch.from_numpy(request.aus[frames]).expand(3, -1, -1).to(self.device)}
