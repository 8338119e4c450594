"""`bench train memo | hallo | auhead_memo | auhead_hallo`: features of a protocol's training clips, the training, validation
videos, and a file of weights that the methods load.

The training itself is in `methods`: `methods.training` (loop, windows, recipes), `methods/*/train.py` (what learns, losses).
"""

from __future__ import annotations

import importlib
import json
import shlex
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from bench import registry
from bench.driving import driving_aus
from bench.features import FeatureExtraction
from bench.media.clip import Clip, samples_for
from bench.media.errors import UserError
from bench.media.write import write_video
from bench.prepare_features import Base, FeatureSource, prepare_features
from bench.progress import Progress, counted
from bench.training import Trained, Training
from bench.weights import SHIPPED_ROOT, Weights
from methods.conditioning.encoders import encoders_class, load_encoders
from methods.generator import Request
from methods.training.recipes import AUHeadHalloRecipe, AUHeadMemoRecipe, HalloRecipe, MemoRecipe, Recipe
from protocols.protocol import Case, Protocol
from protocols.synth.world import VERSION

if TYPE_CHECKING:
    from torch import nn

    from methods.auhead.train import AUHeadLearner
    from methods.hallo.train import HalloLearner
    from methods.memo.train import MemoLearner

SHIPPED = SHIPPED_ROOT / "methods" / "synth" / "weights"
HELD_OUT = 2
"""Training clips, the last ones, that nothing learns from: validation videos show them."""
WINDOWS_SHOWN = 3
"""Length of a validation video in windows."""
SYNTH = {
    "model": "synth", "steps": None, "minutes": 50, "batch": 4, "frames": 16, "learning_rate": 2e-3,
    "schedule": "cosine", "warmup": 0.02, "average": 0.995, "precision": "no", "gradient_checkpointing": False,
    "from_scratch": True, "uncond": 0.1, "first_window": 0.3, "log_every": 20, "validate_every": 300,
}  # fmt: skip
"""What the shipped small networks were trained with; they have no published base, so everything learns."""
SYNTH_MEMO = SYNTH | {"past_frames": 4, "robust_loss": None, "drop_emotion": 0.1, "null_audio": "after projection"}
SYNTH_HALLO = SYNTH | {"snr_gamma": None, "betas": "linear"}
SYNTH_ADAPTER = {"from_scratch": False, "minutes": 20, "learning_rate": 2e-3}


class MethodTraining(Training):
    """A training of a video method on the training clips of a protocol."""

    name: ClassVar[str]
    """Of the method."""
    base: ClassVar[Base]
    shown: ClassVar[Mapping[str, Any]] = {}
    """Settings of the method for validation videos."""

    def run(
        self,
        settings: Recipe,
        *,
        weights: Weights,
        progress: Progress,
        data: Path | None,
        out: Path | None,
        seed: int,
    ) -> Trained:
        """Train; go on from the last checkpoint if there is one.

        Args:
            settings: the recipe; its `protocol` decides the clips.
            weights: gives encoders and bases.
            progress: where to report to.
            data: the prepared data set; None takes, for a synthetic protocol, the cache.
            out: file for the weights; its name without suffix is the folder of checkpoint, log and validation videos. None
                replaces the shipped weights of the synthetic world.
            seed: decides initial weights, windows and noise.
        """
        from methods.training.loop import seed_everything, train
        from methods.training.windows import Windows

        protocol = self._protocol(settings)
        path = out or self._shipped(settings)
        source = FeatureSource(self.base, settings.model)
        cases, files = _material(protocol, data, source, weights, progress)
        seed_everything((seed,))
        learner = self.learner(settings, weights)
        windows = Windows(files, source.encoders, settings, self.au_context(learner))
        learns = sum(parameter.numel() for parameter in learner.parameters() if parameter.requires_grad)
        progress.say(f"{self.name}: {len(windows.clips)} clips, {learns / 1e6:.2f} M parameters learn")
        validate = Validation(self, learner, settings, cases[-HELD_OUT:], path.with_suffix(""), weights)
        outcome = train(
            learner, lambda rng, count: learner.prepare(windows.draw(rng, count)), settings, path.with_suffix(""),
            seed=seed, log=progress.say, validate=validate,
        )  # fmt: skip
        figures = {"steps": outcome.steps, "minutes": round(outcome.seconds / 60, 1), "loss": round(outcome.loss, 5)}
        notes = {"command": self.command(settings, seed), **figures}
        if protocol.synthetic:
            notes["world"] = f"synth-v{VERSION}"
        self.save(learner, path, {key: str(value) for key, value in notes.items()})
        return Trained([path], figures)

    @abstractmethod
    def learner(self, settings: Recipe, weights: Weights) -> nn.Module:
        """What is trained, with `prepare`."""

    @abstractmethod
    def save(self, learner: nn.Module, path: Path, notes: dict[str, str]) -> None:
        """Write what was trained, with notes as metadata."""

    @abstractmethod
    def pipeline(self, learner: nn.Module, config, encoders) -> Callable:
        """Makes videos with the networks as they are now; from a request, frames clip by clip."""

    def au_context(self, learner: nn.Module) -> int:
        """Frames on either side whose AUs a window needs."""
        return 0

    def command(self, settings: Recipe, seed: int) -> str:
        """The command that trains with these settings; files are named without their folders."""
        given = {"stage": settings.stage, "protocol": settings.protocol, "seed": seed}
        defaults = self.Settings(**(self.synth if _is_synthetic(settings.protocol) else {}), stage=settings.stage)
        changed = settings.model_dump(mode="json", exclude={"stage", "protocol"})
        options = [part for key, value in given.items() for part in (f"--{key}", str(value))]
        for key, value in changed.items():
            if value != defaults.model_dump(mode="json")[key]:
                value = value if isinstance(value, str) else json.dumps(value)
                options += ["--set", f"{key}={Path(value).name if isinstance(getattr(settings, key), Path) else value}"]
        return shlex.join(["python", "-m", "bench", "train", self.name, *options])

    def _protocol(self, settings: Recipe) -> Protocol:
        if settings.protocol is None:
            raise UserError(f"train {self.name}: say what to learn from, for example --protocol synth_std")
        protocol = registry.protocol(settings.protocol)()
        if protocol.output != "video":
            raise UserError(f"train {self.name}: protocol {settings.protocol} shows no videos")
        return protocol

    def _shipped(self, settings: Recipe) -> Path:
        if settings.model == "full":
            raise UserError(f"train {self.name}: name the file for the weights: --out FILE.safetensors")
        return SHIPPED / f"synth_{self.name}.safetensors"


def _is_synthetic(protocol: str | None) -> bool:
    return protocol is not None and registry.protocol(protocol)().synthetic


def _material(
    protocol: Protocol, data: Path | None, source: FeatureSource, weights: Weights, progress: Progress
) -> tuple[list[Case], Sequence[Path]]:
    """The training clips, and the features of all but the last HELD_OUT. One process makes them, the others wait."""
    from accelerate import PartialState

    if protocol.synthetic:
        data = data or weights.cache / "synth"
    cases = protocol.training_cases(data)
    if len(cases) <= HELD_OUT:
        raise UserError(f"{data}: {len(cases)} clips to train on; at least {HELD_OUT + 1} are needed")
    with PartialState().main_process_first():
        with counted(progress, "render") as step:
            protocol.make_ready(cases, step)
        prepared = prepare_features(
            cases[:-HELD_OUT], data, source, weights=weights, progress=progress, fps=protocol.fps
        )
    return cases, prepared.files


class Validation:
    """Makes videos of clips nothing was learnt from, beside the clips: WORK/validation/step_000300/ID.mkv."""

    def __init__(
        self,
        training: MethodTraining,
        learner: nn.Module,
        settings: Recipe,
        cases: Sequence[Case],
        folder: Path,
        weights: Weights,
    ):
        self.training, self.learner, self.settings = training, learner, settings
        self.cases, self.folder, self.weights = cases, folder / "validation", weights

    def __call__(self, step: int) -> None:
        import numpy as np

        from methods.training.learner import spatial_only

        pipeline = self._pipeline
        for case in self.cases:
            clip = Clip(case.driving, size=(pipeline.encoders.size,) * 2)
            count = min(clip.num_frames, WINDOWS_SHOWN * pipeline.config.frames_per_clip)
            with spatial_only(pipeline.modules.denoiser, self.settings.stage == 1):
                made = np.concatenate(list(pipeline(self._request(case, clip, count))))
            beside = np.concatenate([made, clip.frames[:count]], axis=2)
            path = self.folder / f"step_{step:06d}" / f"{case.id.replace('/', '_')}.mkv"
            write_video(path, [beside], clip.fps, clip.audio[: samples_for(count, clip.fps)])

    @cached_property
    def _pipeline(self):
        method = registry.method(self.training.name)
        values = (dict(method.synth) if self.settings.model == "synth" else {}) | self.training.shown
        config = method.Config(**values | {"dtype": "float32"})
        source = FeatureSource(self.training.base, self.settings.model)
        files = self.weights.require(source.weights)
        device = str(next(self.learner.parameters()).device)
        return self.training.pipeline(self.learner, config, load_encoders(self.settings.model, files, device))

    def _request(self, case: Case, clip: Clip, count: int) -> Request:
        vocabulary, aus = registry.method(self.training.name).au_vocabulary, None
        if vocabulary:
            aus = driving_aus(case, vocabulary, clip, FeatureExtraction(self.weights))[:count]
        return Request(
            case=case.id, reference=clip.first_frame(), audio=clip.audio, num_frames=count, fps=clip.fps,
            height=clip.height, width=clip.width, seed=0, aus=aus,
        )  # fmt: skip


class _BaseTraining(MethodTraining):
    """Networks of a base learn."""

    def save(self, learner: nn.Module, path: Path, notes: dict[str, str]) -> None:
        from methods.talking_unet.checkpoints import save_trained

        save_trained(path, learner.modules_, notes=notes)


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


class _AdapterTraining(MethodTraining):
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

    def au_context(self, learner: AUHeadLearner) -> int:
        return learner.adapter.config.context

    def save(self, learner: AUHeadLearner, path: Path, notes: dict[str, str]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        learner.adapter.save(path, notes=notes)

    def _shipped(self, settings: AUHeadMemoRecipe | AUHeadHalloRecipe) -> Path:
        path = super()._shipped(settings)
        return path.with_stem(f"{path.stem}_{settings.au_representation}")


class AUHeadMemoTraining(_AdapterTraining):
    """AUHead on MEMO."""

    name, base = "auhead_memo", "memo"
    Settings = AUHeadMemoRecipe
    title = "AUHead's second stage on MEMO: the AU adapter"
    synth = SYNTH_MEMO | SYNTH_ADAPTER

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
