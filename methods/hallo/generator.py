"""Hallo as a method: speech and a portrait in, frames out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from methods.conditioning.encoders import encoders_class, load_encoders
from methods.generator import Frames, Generator, Request
from methods.hallo.config import HalloConfig

if TYPE_CHECKING:
    from methods.hallo.modules import HalloModules

PUBLISHED = ("hallo_net",)
"""Names of the networks in the weights lock."""
VOCAL_SEPARATOR = "kim_vocal_2"


class Hallo(Generator):
    """The base of AUHead (Hallo), without Action Units."""

    Config = HalloConfig
    title = "Hallo: speech and one picture, with attention of its own for lips, face and pose"
    paper = "Hallo: Hierarchical Audio-Driven Visual Synthesis for Portrait Image Animation, arXiv 2406.08801"
    needs = frozenset({"audio"})
    # 12 cases of synth_std at 2 and at the published 3.5: 23.9 and 23.5 dB, F-LMD 3.65 and 3.83 %, AU-MAE 0.162 and 0.173.
    synth = {"model": "synth", "steps": 10, "guidance_scale": 2.0, "dtype": "float32"}

    config: HalloConfig

    def __init__(self, config: HalloConfig, device: str = "cpu", files: Mapping[str, Path] | None = None):
        from methods.hallo.pipeline import HalloPipeline

        super().__init__(config, device, files)
        encoders = load_encoders(config.model, self.files, device, config.dtype)
        modules = load_modules(config, self.files, device)
        self.pipeline = HalloPipeline(modules, encoders, config, self.files.get(VOCAL_SEPARATOR))

    @classmethod
    def required_weights(cls, config: HalloConfig) -> tuple[str, ...]:
        networks = PUBLISHED if config.model == "full" else ("synth_hallo",)
        return (
            *(() if config.checkpoint else networks),
            *encoders_class(config.model).weights,
            *((VOCAL_SEPARATOR,) if config.separate_vocals else ()),
        )

    def generate(self, request: Request) -> Frames:
        return self.pipeline(request)

    @property
    def num_parameters(self) -> int:
        networks = sum(parameter.numel() for parameter in self.pipeline.modules.parameters())
        return networks + self.pipeline.encoders.num_parameters


def load_modules(config: HalloConfig, files: Mapping[str, Path], device: str) -> HalloModules:
    """The networks that the settings name, in eval mode and without gradients."""
    from methods.hallo.modules import HalloModules
    from methods.talking_unet.checkpoints import load_hallo, load_trained

    if config.model == "full" and config.checkpoint is None:
        return load_hallo(files, device, config.dtype)
    return load_trained(config.checkpoint or files["synth_hallo"], HalloModules, device, config.dtype)
