"""MEMO as a method: speech and a portrait in, frames out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from methods.conditioning.encoders import encoders_class, load_encoders
from methods.generator import Frames, Generator, Request
from methods.memo.config import MemoConfig

if TYPE_CHECKING:
    from methods.memo.modules import MemoModules

PUBLISHED = ("memo_reference_net", "memo_diffusion_net", "memo_image_proj", "memo_audio_proj")
"""Names of the networks in the weights lock."""
VOCAL_SEPARATOR = "kim_vocal_2"


class Memo(Generator):
    """The base of AUHead (MEMO), without Action Units."""

    Config = MemoConfig
    title = "MEMO: speech and one picture, with a memory over clips and the emotion of the speech"
    paper = "MEMO: Memory-Guided Diffusion for Expressive Talking Video Generation, arXiv 2412.04448"
    needs = frozenset({"audio"})
    synth = {"model": "synth", "steps": 10, "past_frames": 4, "dtype": "float32"}

    config: MemoConfig

    def __init__(self, config: MemoConfig, device: str = "cpu", files: Mapping[str, Path] | None = None):
        from methods.memo.pipeline import MemoPipeline

        super().__init__(config, device, files)
        encoders = load_encoders(config.model, self.files, device, config.dtype)
        modules = load_modules(config, self.files, device)
        self.pipeline = MemoPipeline(modules, encoders, config, self.files.get(VOCAL_SEPARATOR))

    @classmethod
    def required_weights(cls, config: MemoConfig) -> tuple[str, ...]:
        encoders = encoders_class(config.model)
        networks = PUBLISHED if config.model == "full" else ("synth_memo",)
        return (
            *(() if config.checkpoint else networks),
            *encoders.weights,
            *(() if config.emotion else encoders.emotion_weights),
            *((VOCAL_SEPARATOR,) if config.separate_vocals else ()),
        )

    def generate(self, request: Request) -> Frames:
        return self.pipeline(request)

    @property
    def num_parameters(self) -> int:
        networks = sum(parameter.numel() for parameter in self.pipeline.modules.parameters())
        return networks + self.pipeline.encoders.num_parameters


def load_modules(config: MemoConfig, files: Mapping[str, Path], device: str) -> MemoModules:
    """The networks that the settings name, in eval mode and without gradients."""
    from methods.memo.modules import MemoModules
    from methods.talking_unet.checkpoints import load_memo, load_trained

    if config.model == "full" and config.checkpoint is None:
        return load_memo(files, device, config.dtype)
    return load_trained(config.checkpoint or files["synth_memo"], MemoModules, device, config.dtype)
