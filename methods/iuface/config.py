"""Settings of IUFace. Defaults are the paper's (section 2, suppl. B); what it does not say is the base's."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from bench.media.errors import UserError
from methods.iuface.authoring import expression_aus
from methods.stableavatar.config import VideoConfig


class IUFaceConfig(VideoConfig):
    """Frames follow Action Units, speech and a picture."""

    preset: Literal["wo_ida", "wo_ia", "wo_dbe", "level3", "arcface"] | None = None
    """Whose weights: an ablation's of Tables 2, 5 and 7, which was trained without AUs, without the identity in them, with
    references from the target, on level 3 alone, or with ArcFace; None is the whole method's."""
    au_scale: float = Field(default=3.0, ge=0)
    """w_au of Eq. 4."""
    audio_scale: float = Field(default=5.0, ge=0)
    """w_a of Eq. 4."""
    au_source: Literal["driving", "file", "none"] = "driving"
    """Where AUs come from: read off the driving video, a file (`aus`) or expressions alone, or nowhere."""
    aus: Path | None = None
    """AU track with `au_source=file` (.csv, .json): openface35, or another vocabulary that maps to it."""
    aus_length: Literal["same", "stretch"] = "same"
    """A track that does not last as long as the video: refuse it, or stretch it."""
    expression: str | None = None
    """Named expressions to lay over the AUs, `name[:intensity]` joined by "+"."""

    @model_validator(mode="before")
    @classmethod
    def _without_aus(cls, values: dict[str, Any]) -> dict[str, Any]:
        return {"au_source": "none"} | values if values.get("preset") == "wo_ida" else values

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
    def _agrees_with_source(self) -> IUFaceConfig:
        if self.preset == "wo_ida" and self.au_source != "none":
            raise ValueError("preset=wo_ida was trained without AUs; leave au_source out")
        if self.aus is not None and self.au_source != "file":
            raise ValueError("aus is read with au_source=file")
        if self.au_source == "file" and self.aus is None and self.expression is None:
            raise ValueError("au_source=file needs aus=FILE or expression=NAME")
        if self.expression is not None and self.au_source == "none":
            raise ValueError("expression has nothing to lie over with au_source=none; take au_source=file")
        return self
