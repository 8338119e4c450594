"""`bench train stableavatar | iuface`: the video transformer's two methods."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.media.clip import Clip
from bench.media.errors import UserError
from bench.prepare_video_features import VideoFeatureSource, prepare_video_features
from bench.train_methods import Material, MethodTraining
from bench.weights import Weights
from methods.conditioning.video_encoders import load_video_encoders, video_encoders_class
from methods.generator import Request
from methods.training.video_recipes import IUFaceRecipe, StableAvatarRecipe, VideoRecipe
from protocols.protocol import Case

if TYPE_CHECKING:
    from torch import nn

    from methods.conditioning.video_encoders import IdentityEncoder, VideoEncoders
    from methods.iuface.train import IUFaceLearner
    from methods.stableavatar.train import StableAvatarLearner, VideoLearner
    from methods.talking_dit.transformer import TalkingDiT
    from methods.training.video_windows import VideoClip, VideoWindows

SYNTH = {
    "model": "synth", "steps": 10_000, "batch": 4, "learning_rate": 2e-3, "schedule": "cosine", "warmup": 0.02,
    "weight_decay": 0.01, "epsilon": 1e-8, "clip_norm": 1.0, "average": 0.995, "precision": "no",
    "gradient_checkpointing": False, "learns": "all", "face_only": 0.0, "lips_only": 0.0, "face_weight": 1.0,
    "lip_weight": 6.0, "log_every": 20, "validate_every": 1000, "stored": "int8",
}  # fmt: skip
"""What the shipped small networks were trained with."""


class _VideoTraining(MethodTraining):
    """A training of a video transformer, on windows with references."""

    windows_shown = 2

    def features(self, material: Material) -> Sequence[VideoClip]:
        from accelerate import PartialState

        settings: Any = material.settings
        protocol, data = material.protocol, material.data
        cases = [case for case in material.cases if self._learnt_from(case, settings)]
        if not cases:
            raise UserError(f"{data}: no clip of level {', '.join(map(str, settings.levels))} to train on")
        neutral: Sequence[Case] = ()
        if settings.reference == "neutral":
            people = {case.identity for case in (*cases, *material.held_out)}
            neutral = [case for case in protocol.neutral_cases(data) if case.identity in people]
        material.make_ready([*cases, *material.held_out, *neutral])
        return prepare_video_features(
            cases, neutral, data, self._source(settings), settings.reference, weights=material.weights,
            progress=material.progress, device=str(PartialState().device), fps=protocol.fps, prompts=settings.prompts,
        ).clips  # fmt: skip

    def windows(self, features: Sequence[VideoClip], learner: VideoLearner) -> VideoWindows:
        from methods.training.video_windows import VideoWindows

        recipe = learner.recipe
        return VideoWindows(
            features, video_encoders_class(recipe.model), reference=recipe.reference,
            identity_encoder=self.identity_encoder(recipe),
        )  # fmt: skip

    @abstractmethod
    def sizes(self, settings: VideoRecipe) -> dict[str, Any]:
        """Arguments of the transformer."""

    @abstractmethod
    def start(self, settings: VideoRecipe) -> str:
        """Name in the weights lock of the transformer that training begins with."""

    def identity_encoder(self, settings: VideoRecipe) -> IdentityEncoder:
        """What makes the identity embedding that the transformer reads."""
        return "none"

    def transformer(self, settings: VideoRecipe, weights: Weights) -> TalkingDiT:
        """With the weights to begin with, float32 on the CPU: random, the user's, or the lock's.

        Raises:
            UserError: the weights are not here, the message says how to get them; or they are of another network.
        """
        from methods.talking_dit.checkpoints import load_official, load_trained
        from methods.talking_dit.transformer import TalkingDiT
        from methods.tensor_files import read_state
        from methods.training.start import adopt, let_aus_pass, let_latents_pass, look_at_the_own_place

        sizes = self.sizes(settings)
        if settings.from_scratch:
            transformer = TalkingDiT(**sizes)
            let_latents_pass(transformer)
            look_at_the_own_place(transformer)
            if transformer.au_conditioning is not None:
                let_aus_pass(transformer.au_conditioning)
            if settings.base:
                adopt(transformer, read_state(settings.base))
            return transformer
        name = self.start(settings)
        load = load_trained if settings.base or settings.model == "synth" else load_official
        path = settings.base or weights.require([name])[name]
        transformer = load(path)
        for part, add in (("vocal", transformer.add_vocal), ("aus", transformer.add_aus)):
            wanted, found = sizes.get(part), transformer.sizes[part]
            if wanted and not found:
                add(wanted)
                if part == "aus" and settings.model == "synth":
                    let_aus_pass(transformer.au_conditioning)
            elif wanted != found:
                raise UserError(f"{path}: begins with {part} path {found}, these settings train {wanted or 'none'}")
        return transformer

    def save(self, learner: VideoLearner, path: Path, notes: dict[str, str]) -> None:
        from methods.talking_dit.checkpoints import save_trained

        save_trained(path, learner.transformer, notes, learner.recipe.stored)

    def encoders(self, settings: VideoRecipe, weights: Weights, device: str) -> VideoEncoders:
        names = video_encoders_class(settings.model).weights_for(self.identity_encoder(settings))
        return load_video_encoders(settings.model, weights.require(names), device)

    def frames_per_window(self, config) -> int:
        return config.window_frames

    def reference(self, case: Case, clip: Clip, material: Material) -> np.ndarray:
        """In neutral-reference training, the first frame of a neutral clip of the person if there is one."""
        if material.settings.reference == "neutral":
            for neutral in material.protocol.neutral_cases(material.data):
                if neutral.identity == case.identity:
                    return Clip(neutral.driving, size=(clip.height, clip.width)).first_frame()
        return super().reference(case, clip, material)

    def make(self, learner: nn.Module, pipeline: Callable, request: Request) -> np.ndarray:
        import torch

        with torch.autocast(pipeline.device.type, torch.bfloat16, enabled=learner.recipe.precision == "bf16"):
            return super().make(learner, pipeline, request)

    def _learnt_from(self, case: Case, settings: VideoRecipe) -> bool:
        return True

    def _source(self, settings: VideoRecipe) -> VideoFeatureSource:
        chosen = {"arcface": True} if self.identity_encoder(settings) == "arcface" else {}
        return VideoFeatureSource.of(settings.model, separate_vocals=settings.separate_vocals, **chosen)


class StableAvatarTraining(_VideoTraining):
    """StableAvatar."""

    name = "stableavatar"
    Settings = StableAvatarRecipe
    title = (
        "StableAvatar: its published training on Wan2.1, or the small one of the synthetic world from random weights"
    )
    synth = SYNTH | {"from_scratch": True, "drop_text": 0.1}

    def sizes(self, settings: StableAvatarRecipe) -> dict[str, Any]:
        from methods.talking_dit import sizes

        return sizes.STABLEAVATAR_FULL if settings.model == "full" else sizes.STABLEAVATAR_SYNTH

    def start(self, settings: StableAvatarRecipe) -> str:
        return "wan21_fun_inp"

    def learner(self, settings: StableAvatarRecipe, weights: Weights) -> StableAvatarLearner:
        from methods.stableavatar.train import StableAvatarLearner

        return StableAvatarLearner(self.transformer(settings, weights), settings)

    def pipeline(self, learner: StableAvatarLearner, config, encoders) -> Callable:
        from methods.stableavatar.pipeline import StableAvatarPipeline

        return StableAvatarPipeline(learner.transformer, encoders, config, encoders.device)


class IUFaceTraining(_VideoTraining):
    """IUFace and its ablations."""

    name = "iuface"
    Settings = IUFaceRecipe
    title = "IUFace on StableAvatar, or an ablation of it: --set preset=wo_ida | wo_ia | wo_dbe | level3 | arcface"
    synth = SYNTH | {"steps": 3500, "learning_rate": 1e-3}  # It begins with the small StableAvatar, 10,000 steps old.
    deciding = ("preset",)

    def sizes(self, settings: IUFaceRecipe) -> dict[str, Any]:
        from methods.talking_dit import sizes

        whole = sizes.IUFACE_FULL if settings.model == "full" else sizes.IUFACE_SYNTH
        if settings.au_attention == "none":
            return whole | {"aus": None}
        encoder = settings.identity_encoder
        identity_dim = video_encoders_class(settings.model).identity_dims.get(encoder)
        changed = {"identity_encoder": encoder, "identity_dim": identity_dim, "attention": settings.au_attention}
        return whole | {"aus": whole["aus"] | changed}

    def start(self, settings: IUFaceRecipe) -> str:
        return "stableavatar_square" if settings.model == "full" else "synth_stableavatar"

    def identity_encoder(self, settings: IUFaceRecipe) -> IdentityEncoder:
        return "none" if settings.au_attention == "none" else settings.identity_encoder

    def learner(self, settings: IUFaceRecipe, weights: Weights) -> IUFaceLearner:
        from methods.iuface.train import IUFaceLearner

        return IUFaceLearner(self.transformer(settings, weights), settings)

    def pipeline(self, learner: IUFaceLearner, config, encoders) -> Callable:
        from methods.iuface.pipeline import IUFacePipeline

        return IUFacePipeline(learner.transformer, encoders, config, encoders.device)

    def make(self, learner: nn.Module, pipeline: Callable, request: Request) -> np.ndarray:
        from methods.iuface.sources import request_aus

        return super().make(learner, pipeline, replace(request, aus=request_aus(pipeline.config, request)))

    def settings_shown(self, settings: IUFaceRecipe) -> dict[str, Any]:
        shown = super().settings_shown(settings)
        return shown | ({"au_source": "none"} if settings.au_attention == "none" else {})

    def _learnt_from(self, case: Case, settings: IUFaceRecipe) -> bool:
        return settings.levels is None or case.level in settings.levels

    def _shipped(self, settings: IUFaceRecipe) -> Path:
        path = super()._shipped(settings)
        return path.with_stem(f"{path.stem}_{settings.preset}") if settings.preset else path
