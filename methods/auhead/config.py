"""Settings that AUHead adds to those of its base, and where they take the AUs of a request from."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from bench.media.errors import UserError
from methods.auhead.authoring import expression_aus
from methods.auhead.stage1.config import Stage1Config
from methods.auhead.stage1.orders import OrderName
from methods.generator import GeneratorConfig
from methods.hallo.config import HalloConfig
from methods.memo.config import MemoConfig

Representation = Literal["lmk", "seq", "rom"]
"""Of AUs; see `au_map`."""


class AUHeadConfig(GeneratorConfig):
    """What either base gets besides its own settings."""

    model: Literal["full", "synth"] = "full"
    """Sizes: the published ones, or those of the synthetic world."""
    au_source: Literal["stage1", "driving", "file", "none"] = "stage1"
    """Where AUs come from: predicted from the speech, read off the driving video, a file (`aus`), or nowhere."""
    au_representation: Representation = "lmk"
    """What the adapter sees: keypoints (Table 3), the 24 numbers, or a rendered mesh."""
    au_scale: float = Field(default=3.5, ge=0)
    """s_AU of Eq. 6 (section 4.2, Fig. 3)."""
    adapter: Path | None = None
    """AU adapter to use instead of the lock's: a file that `bench train auhead_... --stage 2` wrote."""
    face_mesh: Path | None = None
    """ICT-FaceKit's face (.npz) for an adapter that was trained on it; None is the suite's average head."""
    aus: Path | None = None
    """AU track in feafa24 (.csv, .json) with `au_source=file`."""
    aus_length: Literal["same", "stretch"] = "same"
    """A track that does not last as long as the video: refuse it, or stretch it."""
    expression: str | None = None
    """Named expressions to lay over the AUs, `name[:intensity]` joined by "+"."""
    emotional_audio: Path | None = None
    """Another reading of the sentence whose AUs stage 1 predicts, stretched to the speech's length (appendix B)."""

    order: OrderName = "a-e-au"
    """What stage 1 is given and writes (Table 1): audio (a), emotion (e), AUs (au)."""
    stage1_adapter: Path | None = None
    """Stage 1: trained weights of the full model that `bench train auhead_stage1` wrote."""
    stage1_language_model: Literal["qwen2-audio", "qwen-audio-chat"] = "qwen2-audio"
    """Stage 1: of the full model; see the method auhead_stage1."""
    stage1_python: str | None = None
    """Stage 1: Python of an environment of its own, for qwen-audio-chat."""
    constrained: bool = False
    """Stage 1: decode by a grammar, so that every answer can be read; the paper decodes freely."""

    @property
    def stage1(self) -> Stage1Config:
        """Settings of stage 1."""
        return Stage1Config(
            model=self.model,
            order=self.order,
            adapter=self.stage1_adapter,
            language_model=self.stage1_language_model,
            python=self.stage1_python,
            constrained=self.constrained,
        )

    @field_validator("expression")
    @classmethod
    def _is_known(cls, expression: str | None) -> str | None:
        if expression is not None:
            try:
                expression_aus(expression, num_frames=1, fps=25.0)
            except UserError as error:
                raise ValueError(str(error)) from error
        return expression

    @model_validator(mode="after")
    def _agrees_with_source(self) -> AUHeadConfig:
        if self.aus is not None and self.au_source != "file":
            raise ValueError("aus is read with au_source=file")
        if self.au_source == "file" and self.aus is None and self.expression is None:
            raise ValueError("au_source=file needs aus=FILE or expression=NAME")
        if self.emotional_audio is not None and self.au_source != "stage1":
            raise ValueError("emotional_audio is heard with au_source=stage1")
        if self.expression is not None and self.au_source == "none":
            raise ValueError("expression has nothing to lie over with au_source=none; take au_source=file")
        return self


class AUHeadMemoConfig(AUHeadConfig, MemoConfig):
    """MEMO's settings and AUHead's."""


class AUHeadHalloConfig(AUHeadConfig, HalloConfig):
    """Hallo's settings and AUHead's."""
