"""StableAvatar as a method: speech, a picture and a prompt in, frames out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from bench.media.errors import UserError
from methods.conditioning.video_encoders import load_video_encoders, video_encoders_class
from methods.generator import Frames, Generator, Request
from methods.stableavatar.config import StableAvatarConfig, VideoConfig

if TYPE_CHECKING:
    from methods.conditioning.video_encoders import IdentityEncoder, VideoEncoders
    from methods.stableavatar.pipeline import StableAvatarPipeline
    from methods.talking_dit.transformer import TalkingDiT

SYNTH = {"model": "synth", "steps": 10, "window_frames": 25, "overlap": 2, "dtype": "float32"}
"""Settings of the small networks. StableAvatar's has learnt what no prompt is, and no negative one."""


class StableAvatar(Generator):
    """The base of IUFace, without Action Units."""

    Config = StableAvatarConfig
    title = "StableAvatar: speech, one picture and a prompt; video of any length"
    paper = "StableAvatar: Infinite-Length Audio-Driven Avatar Video Generation, arXiv 2508.08248"
    needs = frozenset({"audio"})
    synth = SYNTH | {"negative_prompt": ""}

    config: VideoConfig

    def __init__(self, config: VideoConfig, device: str = "cpu", files: Mapping[str, Path] | None = None):
        super().__init__(config, device, files)
        encoders = load_video_encoders(
            config.model, self.files, device, config.dtype, tiling=config.vae_tiling, offload=config.offload != "none"
        )
        encoders.load(self.identity_encoder(config), text=config.reads_text)
        self.pipeline = self.make_pipeline(self.load_transformer(encoders), encoders)

    def make_pipeline(self, transformer: TalkingDiT, encoders: VideoEncoders) -> StableAvatarPipeline:
        from methods.stableavatar.pipeline import StableAvatarPipeline

        return StableAvatarPipeline(transformer, encoders, self.config, self.device)

    @classmethod
    def transformer_weights(cls, config: VideoConfig) -> str:
        """Name of the transformer in the weights lock: one was published for squares, one for other frames."""
        if config.model == "synth":
            return "synth_stableavatar"
        height, width = config.size(video_encoders_class(config.model).size)
        return "stableavatar_square" if height == width else "stableavatar_rec_vec"

    @classmethod
    def required_weights(cls, config: VideoConfig) -> tuple[str, ...]:
        networks = () if config.checkpoint else (cls.transformer_weights(config),)
        encoders = video_encoders_class(config.model)
        return networks + encoders.weights_for(cls.identity_encoder(config), text=config.reads_text)

    @classmethod
    def identity_encoder(cls, config: VideoConfig) -> IdentityEncoder:
        """What makes the identity embedding that the transformer was trained with."""
        return "none"

    def load_transformer(self, encoders: VideoEncoders) -> TalkingDiT:
        """The network that the settings name.

        Raises:
            UserError: its file cannot be used, or is of the other model size.
        """
        from methods.talking_dit.checkpoints import load_official, load_trained

        config = self.config
        path = config.checkpoint or self.files[self.transformer_weights(config)]
        load = load_trained if config.checkpoint or config.model == "synth" else load_official
        transformer = load(path, self.device if config.offload == "none" else "cpu", config.dtype)
        if transformer.config.out_channels != encoders.latent_channels:
            raise UserError(
                f"{path}: makes {transformer.config.out_channels} latent channels, and those of model={config.model} are "
                f"{encoders.latent_channels}; is it a network of the other model size?"
            )
        return transformer

    def generate(self, request: Request) -> Frames:
        return self.pipeline(request)

    @property
    def seconds(self) -> Mapping[str, float]:
        return self.pipeline.clock.seconds

    @property
    def num_parameters(self) -> int:
        """Of the transformer, which is what IUFace's Table 3 counts."""
        return sum(parameter.numel() for parameter in self.pipeline.transformer.parameters())
