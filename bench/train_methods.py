"""What every `bench train METHOD` does: features of a protocol's training clips, the training, validation videos, and a file
of weights that the method loads.

`bench.train_unets` and `bench.train_video` say it for the methods; the training itself is in `methods`: `methods.training`
(loop, windows, recipes), `methods/*/train.py` (what learns, losses).
"""

from __future__ import annotations

import json
import shlex
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from bench import registry
from bench.driving import driving_aus
from bench.features import FeatureExtraction
from bench.media.clip import Clip, samples_for
from bench.media.errors import BenchError, UserError
from bench.media.write import write_video
from bench.progress import Progress, counted
from bench.training import Trained, Training, require_weights_file
from bench.weights import SHIPPED_ROOT, Weights
from methods.generator import Request
from methods.training.recipes import Recipe
from protocols.protocol import Case, Protocol
from protocols.synth.world import VERSION

if TYPE_CHECKING:
    from torch import nn

SHIPPED = SHIPPED_ROOT / "methods" / "synth" / "weights"
PATIENCE = timedelta(days=1)
"""Of processes that wait while the main one computes features or makes validation videos; of its own, NCCL gives up after ten
minutes."""
HELD_OUT = 2
"""Training clips, the last ones, that nothing learns from: validation videos show them."""


class MethodTraining(Training):
    """A training of a video method on the training clips of a protocol."""

    name: ClassVar[str]
    """Of the method."""
    shown: ClassVar[Mapping[str, Any]] = {}
    """Settings of the method for validation videos."""
    windows_shown: ClassVar[int] = 3
    """Length of a validation video in windows."""
    deciding: ClassVar[tuple[str, ...]] = ()
    """Settings that defaults of others depend on."""

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
        from accelerate import PartialState
        from accelerate.utils import parse_flag_from_env

        from methods.training.loop import seed_everything, train

        protocol = self._protocol(settings)
        path = out or self._shipped(settings)
        require_weights_file(self.name, path)
        data = data or (weights.cache / "synth" if protocol.synthetic else None)
        cases = protocol.training_cases(data)
        if len(cases) <= HELD_OUT:
            raise UserError(f"{data}: {len(cases)} clips to train on; at least {HELD_OUT + 1} are needed")
        material = Material(protocol, data, cases[:-HELD_OUT], cases[-HELD_OUT:], settings, weights, progress)
        # Left to find out for itself, accelerate sees one process in each of several on a CPU.
        with PartialState(cpu=parse_flag_from_env("ACCELERATE_USE_CPU"), timeout=PATIENCE).main_process_first():
            features = self.features(material)
        seed_everything((seed,))
        learner = self.learner(settings, weights)
        windows = self.windows(features, learner)
        learns = sum(parameter.numel() for parameter in learner.parameters() if parameter.requires_grad)
        progress.say(f"{self.name}: {len(windows.clips)} clips, {learns / 1e6:.2f} M parameters learn")
        validate = Validation(self, learner, material, path.with_suffix(""))
        outcome = train(
            learner, lambda rng, count: learner.prepare(windows.draw(rng, count)), settings, path.with_suffix(""),
            seed=seed, log=progress.say, validate=validate,
        )  # fmt: skip
        figures = {"steps": outcome.steps, "minutes": round(outcome.seconds / 60, 1), "loss": round(outcome.loss, 5)}
        notes = {"command": self.command(settings, seed), **figures}
        if protocol.synthetic:
            notes["world"] = f"synth-v{VERSION}"
        if (processes := PartialState().num_processes) > 1:
            notes["processes"] = processes  # Each draws `batch` windows.
        if PartialState().is_main_process:
            self.save(learner, path, {key: str(value) for key, value in notes.items()})
        return Trained([path], figures)

    @abstractmethod
    def features(self, material: Material) -> Any:
        """Compute what training reads, and is not there yet, of the clips; one process does it, then the others."""

    @abstractmethod
    def learner(self, settings: Recipe, weights: Weights) -> nn.Module:
        """What is trained, with `recipe` and `prepare`."""

    @abstractmethod
    def windows(self, features: Any, learner: nn.Module) -> Any:
        """What draws windows for the learner, with `clips` and `draw`, of what `features` returned."""

    @abstractmethod
    def save(self, learner: nn.Module, path: Path, notes: dict[str, str]) -> None:
        """Write what was trained, with notes as metadata."""

    @abstractmethod
    def encoders(self, settings: Recipe, weights: Weights, device: str) -> Any:
        """Those of a pipeline."""

    @abstractmethod
    def pipeline(self, learner: nn.Module, config, encoders) -> Callable:
        """Makes videos with the networks as they are now; from a request, frames clip by clip."""

    @abstractmethod
    def frames_per_window(self, config) -> int:
        """Of a pipeline with these settings."""

    def settings_shown(self, settings: Recipe) -> dict[str, Any]:
        """Settings of the method for validation videos, in a training with these settings."""
        return dict(self.shown)

    def reference(self, case: Case, clip: Clip, material: Material) -> np.ndarray:
        """The reference image of a validation video, uint8 (H, W, 3), given the view of the case's clip."""
        return clip.first_frame()

    def make(self, learner: nn.Module, pipeline: Callable, request: Request) -> np.ndarray:
        """A validation video, uint8 (T, H, W, 3)."""
        return np.concatenate(list(pipeline(request)))

    def command(self, settings: Recipe, seed: int) -> str:
        """The command that trains with these settings; files are named without their folders."""
        deciding = {name: getattr(settings, name) for name in self.deciding}
        defaults = self.Settings(**(self.synth if _is_synthetic(settings.protocol) else {}) | deciding)
        plain, chosen = defaults.model_dump(mode="json"), settings.model_dump(mode="json", exclude={"protocol"})
        options = ["--stage", str(chosen.pop("stage"))] if "stage" in chosen else []
        options += ["--protocol", str(settings.protocol), "--seed", str(seed)]
        for key, value in chosen.items():
            if value != plain[key] or (value is not None and key in deciding):
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


@dataclass(frozen=True)
class Material:
    """The clips of a training, before anything is computed of them."""

    protocol: Protocol
    data: Path
    """Folder of the data set."""
    cases: Sequence[Case]
    """To train on."""
    held_out: Sequence[Case]
    """For validation videos."""
    settings: Recipe
    weights: Weights
    progress: Progress

    def make_ready(self, cases: Sequence[Case]) -> None:
        """Render clips that are not there yet."""
        with counted(self.progress, "render") as step:
            self.protocol.make_ready(cases, step)


class Validation:
    """Makes videos of clips nothing was learnt from, beside the clips: WORK/validation/step_000300/ID.mkv. One that cannot
    be made is said and left out. Every process that calls it takes part, the main one writes."""

    def __init__(self, training: MethodTraining, learner: nn.Module, material: Material, folder: Path):
        self.training, self.learner, self.material = training, learner, material
        self.folder = folder / "validation"

    def __call__(self, step: int) -> None:
        for case in self.material.held_out:
            try:
                self._show(case, self.folder / f"step_{step:06d}" / f"{case.id.replace('/', '_')}.mkv")
            except BenchError as error:
                self.material.progress.say(f"no validation video of {case.id}: {error}")

    def _show(self, case: Case, path: Path) -> None:
        from accelerate import PartialState

        pipeline, training = self._pipeline, self.training
        clip = Clip(case.driving, size=(pipeline.encoders.size,) * 2)
        count = min(clip.num_frames, training.windows_shown * training.frames_per_window(pipeline.config))
        made = training.make(self.learner, pipeline, self._request(case, clip, count))
        beside = np.concatenate([made, clip.frames[:count]], axis=2)
        if PartialState().is_main_process:
            write_video(path, [beside], clip.fps, clip.audio[: samples_for(count, clip.fps)])

    @cached_property
    def _pipeline(self):
        training, settings, weights = self.training, self.material.settings, self.material.weights
        method = registry.method(training.name)
        values = (dict(method.synth) if settings.model == "synth" else {}) | training.settings_shown(settings)
        config = method.Config(**values | {"dtype": "float32"})
        device = str(next(self.learner.parameters()).device)
        return training.pipeline(self.learner, config, training.encoders(settings, weights, device))

    def _request(self, case: Case, clip: Clip, count: int) -> Request:
        vocabulary, aus = registry.method(self.training.name).au_vocabulary, None
        if vocabulary:
            aus = driving_aus(case, vocabulary, clip, FeatureExtraction(self.material.weights))[:count]
        return Request(
            case=case.id, reference=self.training.reference(case, clip, self.material), audio=clip.audio,
            num_frames=count, fps=clip.fps, height=clip.height, width=clip.width, seed=0, aus=aus,
        )  # fmt: skip
