"""IUFace as a method: Action Units, speech and a picture in, frames out."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from bench.media.errors import UserError
from methods.generator import Frames, Request
from methods.iuface.authoring import VOCABULARY
from methods.iuface.config import IUFaceConfig
from methods.iuface.sources import request_aus
from methods.stableavatar.generator import SYNTH, StableAvatar

if TYPE_CHECKING:
    from methods.conditioning.video_encoders import IdentityEncoder, VideoEncoders
    from methods.iuface.pipeline import IUFacePipeline
    from methods.talking_dit.transformer import TalkingDiT


class IUFace(StableAvatar):
    """IUFace of Tables 1, 4 and 8, and with their checkpoints the rows of Tables 2, 5 and 7."""

    Config = IUFaceConfig
    title = "IUFace: Action Units, fitted to the person, and speech drive one neutral picture"
    paper = (
        "Expressively Controllable Talking Face Generation via Identity-Aware AU Conditioning and "
        "Neutral-Reference Debiasing"
    )
    au_vocabulary = VOCABULARY
    synth = SYNTH

    config: IUFaceConfig

    def make_pipeline(self, transformer: TalkingDiT, encoders: VideoEncoders) -> IUFacePipeline:
        from methods.iuface.pipeline import IUFacePipeline

        if transformer.config.aus is None and self.config.au_source != "none":
            raise UserError("these weights were trained without AUs; set au_source=none")
        return IUFacePipeline(transformer, encoders, self.config, self.device)

    @classmethod
    def transformer_weights(cls, config: IUFaceConfig) -> str:
        if config.model == "full":
            raise UserError(
                "iuface has no published weights; train it with `python -m bench train iuface` and give the file with "
                "--set checkpoint=FILE, or take --set model=synth for the rendered world"
            )
        return f"synth_iuface_{config.preset}" if config.preset else "synth_iuface"

    @classmethod
    def identity_encoder(cls, config: IUFaceConfig) -> IdentityEncoder:
        if config.checkpoint is None:
            return {"wo_ida": "none", "wo_ia": "none", "arcface": "arcface"}.get(config.preset, "clip")
        from methods.tensor_files import read_metadata

        aus = json.loads(read_metadata(config.checkpoint).get("sizes", "{}")).get("aus")
        return aus["identity_encoder"] if aus else "none"

    def generate(self, request: Request) -> Frames:
        return self.pipeline(replace(request, aus=request_aus(self.config, request)))
