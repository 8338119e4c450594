"""`bench train memo | hallo | auhead_memo | auhead_hallo`."""

from __future__ import annotations

import importlib
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from bench import registry
from bench.prepare_features import Base, FeatureSource, prepare_features
from bench.train_methods import Material, MethodTraining
from bench.weights import Weights
from methods.conditioning.encoders import encoders_class, load_encoders
from methods.generator import Request
from methods.training.recipes import AUHeadHalloRecipe, AUHeadMemoRecipe, HalloRecipe, MemoRecipe, Recipe, UNetRecipe

if TYPE_CHECKING:
    from torch import nn

    from methods.auhead.train import AUHeadLearner
    from methods.conditioning.encoders import Encoders
    from methods.hallo.train import HalloLearner
    from methods.memo.train import MemoLearner
    from methods.training.windows import Windows

SYNTH = {
    "model": "synth", "steps": None, "minutes": 50, "batch": 4, "frames": 16, "learning_rate": 2e-3,
    "schedule": "cosine", "warmup": 0.02, "average": 0.995, "precision": "no", "gradient_checkpointing": False,
    "from_scratch": True, "uncond": 0.1, "first_window": 0.3, "log_every": 20, "validate_every": 300,
    "stored": "int8",
}  # fmt: skip
"""What the shipped small networks were trained with; they have no published base, so everything learns."""
SYNTH_MEMO = SYNTH | {"past_frames": 4, "robust_loss": None, "drop_emotion": 0.1, "null_audio": "after projection"}
SYNTH_HALLO = SYNTH | {"snr_gamma": None, "betas": "linear"}
SYNTH_ADAPTER = {
    "from_scratch": False, "minutes": None, "steps": 800, "learning_rate": 3e-3, "face_weight": 4.0, "lip_weight": 4.0,
    "slow_aus": 0.5,
}  # fmt: skip


class _UNetTraining(MethodTraining):
    """A training on the features of Hallo and MEMO."""

    base: ClassVar[Base]
    deciding = ("stage",)

    def features(self, material: Material) -> Sequence[Path]:
        material.make_ready([*material.cases, *material.held_out])
        return prepare_features(
            material.cases, material.data, self._source(material.settings), weights=material.weights,
            progress=material.progress, fps=material.protocol.fps,
        ).files  # fmt: skip

    def windows(self, features: Sequence[Path], learner: nn.Module) -> Windows:
        from methods.training.windows import Windows

        return Windows(features, encoders_class(learner.recipe.model), learner.recipe)

    def encoders(self, settings: UNetRecipe, weights: Weights, device: str) -> Encoders:
        return load_encoders(settings.model, weights.require(self._source(settings).weights), device)

    def frames_per_window(self, config) -> int:
        return config.frames_per_clip

    def make(self, learner: nn.Module, pipeline: Callable, request: Request) -> np.ndarray:
        from methods.training.learner import spatial_only

        with spatial_only(pipeline.modules.denoiser, learner.recipe.stage == 1):
            return super().make(learner, pipeline, request)

    def _source(self, settings: UNetRecipe) -> FeatureSource:
        return FeatureSource(self.base, settings.model)


class _BaseTraining(_UNetTraining):
    """Networks of a base learn."""

    def save(self, learner: nn.Module, path: Path, notes: dict[str, str]) -> None:
        from methods.talking_unet.checkpoints import save_trained

        save_trained(path, learner.modules_, notes, learner.recipe.stored)


class MemoTraining(_BaseTraining):
    """MEMO."""

    name, base = "memo", "memo"
    Settings = MemoRecipe
    title = "MEMO: its published fine-tuning, or the small one of the synthetic world from random weights"
    synth = SYNTH_MEMO

    def learner(self, settings: MemoRecipe, weights: Weights) -> MemoLearner:
        from methods.memo.train import MemoLearner

        return MemoLearner(_modules("memo", settings, weights), settings)

    def pipeline(self, learner: MemoLearner, config, encoders) -> Callable:
        from methods.memo.pipeline import MemoPipeline

        return MemoPipeline(learner.modules_, encoders, config)


class HalloTraining(_BaseTraining):
    """Hallo."""

    name, base = "hallo", "hallo"
    Settings = HalloRecipe
    title = "Hallo: either published stage, or the small one of the synthetic world from random weights"
    synth = SYNTH_HALLO

    def learner(self, settings: HalloRecipe, weights: Weights) -> HalloLearner:
        from methods.hallo.train import HalloLearner

        return HalloLearner(_modules("hallo", settings, weights), settings, encoders_class(settings.model).size)

    def pipeline(self, learner: HalloLearner, config, encoders) -> Callable:
        from methods.hallo.pipeline import HalloPipeline

        return HalloPipeline(learner.modules_, encoders, config)


class _AdapterTraining(_UNetTraining):
    """An AU adapter learns on a frozen base."""

    shown = {"au_source": "driving"}

    @abstractmethod
    def base_learner(self, settings: Recipe, weights: Weights) -> MemoLearner | HalloLearner:
        """The base, as it is trained itself."""

    def learner(self, settings: AUHeadMemoRecipe | AUHeadHalloRecipe, weights: Weights) -> AUHeadLearner:
        from methods.auhead.adapter import FULL, SMALL, AUAdapter
        from methods.auhead.train import AUHeadLearner

        base = self.base_learner(settings, weights)
        sizes = replace(FULL if settings.model == "full" else SMALL, representation=settings.au_representation)
        return AUHeadLearner(base, AUAdapter(base.denoiser.au_sites, sizes), settings)

    def windows(self, features: Sequence[Path], learner: AUHeadLearner) -> Windows:
        from methods.auhead.windows import AUWindows

        recipe, protocol = learner.recipe, self._protocol(learner.recipe)
        return AUWindows(features, encoders_class(recipe.model), recipe, learner.adapter.config.context, protocol.fps)

    def save(self, learner: AUHeadLearner, path: Path, notes: dict[str, str]) -> None:
        learner.adapter.save(path, learner.recipe.stored, notes)

    def _shipped(self, settings: AUHeadMemoRecipe | AUHeadHalloRecipe) -> Path:
        path = super()._shipped(settings)
        return path.with_stem(f"{path.stem}_{settings.au_representation}")


class AUHeadMemoTraining(_AdapterTraining):
    """AUHead on MEMO."""

    name, base = "auhead_memo", "memo"
    Settings = AUHeadMemoRecipe
    title = "AUHead's second stage on MEMO: the AU adapter"
    synth = SYNTH_MEMO | SYNTH_ADAPTER | {"loss": "velocity"}

    def base_learner(self, settings: AUHeadMemoRecipe, weights: Weights) -> MemoLearner:
        from methods.memo.train import MemoLearner

        return MemoLearner(_modules("memo", settings, weights), settings)

    def pipeline(self, learner: AUHeadLearner, config, encoders) -> Callable:
        from methods.auhead.memo import AUHeadMemoPipeline

        return AUHeadMemoPipeline(learner.base.modules_, encoders, config, learner.adapter)


class AUHeadHalloTraining(_AdapterTraining):
    """AUHead on Hallo."""

    name, base = "auhead_hallo", "hallo"
    Settings = AUHeadHalloRecipe
    title = "AUHead's second stage on Hallo: the AU adapter"
    synth = SYNTH_HALLO | SYNTH_ADAPTER

    def base_learner(self, settings: AUHeadHalloRecipe, weights: Weights) -> HalloLearner:
        from methods.hallo.train import HalloLearner

        return HalloLearner(_modules("hallo", settings, weights), settings, encoders_class(settings.model).size)

    def pipeline(self, learner: AUHeadLearner, config, encoders) -> Callable:
        from methods.auhead.hallo import AUHeadHalloPipeline

        return AUHeadHalloPipeline(learner.base.modules_, encoders, config, learner.adapter)


def _modules(base: Base, settings: Recipe, weights: Weights) -> nn.Module:
    """Networks with the weights to begin with, float32 on the CPU: random, the user's, or the lock's.

    Raises:
        UserError: the weights are not here; the message says how to get them.
    """
    if settings.from_scratch:
        from methods.talking_unet import sizes
        from methods.training.start import begin_with, look_at_the_like, share_image_weights

        classes = importlib.import_module(f"methods.{base}.modules")
        modules = getattr(classes, f"{base.title()}Modules")(getattr(sizes, f"{base}_{settings.model}".upper()))
        look_at_the_like(modules)
        share_image_weights(modules)
        if settings.base:
            begin_with(modules, settings.base)
        return modules
    method = importlib.import_module(f"methods.{base}.generator")
    names = method.PUBLISHED if settings.model == "full" else (f"synth_{base}",)
    config = registry.method(base).Config(model=settings.model, checkpoint=settings.base, dtype="float32")
    return method.load_modules(config, weights.require(() if settings.base else names), "cpu")
