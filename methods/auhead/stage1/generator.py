"""`auhead_stage1`: the first stage of AUHead as a method of its own, for Table 1."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from methods.auhead.stage1.config import Stage1Config, stage1_weights
from methods.auhead.stage1.load import load_stage1
from methods.generator import AUAnswer, GenerationError, Generator, Request


class AUHeadStage1(Generator):
    """Answers speech with an emotion and AUs."""

    Config = Stage1Config
    title: ClassVar[str] = "AUHead's first stage: an audio-language model writes the emotion and AUs it hears"
    paper: ClassVar[str] = "AUHead (ICLR 2026), section 3.2"
    needs: ClassVar[frozenset[str]] = frozenset({"audio"})
    synth: ClassVar[Mapping[str, Any]] = {"model": "synth", "constrained": True}
    """The small model hears AUs but does not know when to stop: left free, it writes more vectors than were asked for."""
    makes: ClassVar[Literal["aus"]] = "aus"
    version: ClassVar[int] = 1

    def __init__(self, config: Stage1Config, device: str = "cpu", files: Mapping[str, Path] | None = None):
        super().__init__(config, device, files)
        self.stage1 = load_stage1(config, self.files, device)

    @classmethod
    def required_weights(cls, config: Stage1Config) -> tuple[str, ...]:
        return stage1_weights(config)

    def generate(self, request: Request) -> AUAnswer:
        """The emotion and AUs at the request's rate."""
        if request.audio is None:
            raise GenerationError("the case has no audio to hear AUs in")
        return self.stage1.predict_aus(request.audio, request.num_frames, request.fps, request.emotion)

    @property
    def num_parameters(self) -> int:
        return self.stage1.num_parameters
