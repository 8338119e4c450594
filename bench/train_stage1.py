"""`bench train auhead_stage1`: recordings with AUs to the first stage of AUHead, whose training is in `methods.auhead.stage1`.

A data set gives the clips of its training people, AUs from their tables or read off the frames; the synthetic world gives
utterances that were never drawn. What is measured on are other people: the protocol's cases, or the test utterances.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from bench import registry
from bench.driving import driving_aus
from bench.features import FeatureExtraction
from bench.media.clip import Clip
from bench.media.errors import BenchError, UserError
from bench.progress import Progress, counted
from bench.synth_encoders import SHIPPED, test_utterances, training_utterances
from bench.training import Trained, Training, require_weights_file
from bench.weights import Weights
from methods.auhead.stage1.recordings import Example, Sounding
from methods.auhead.stage1.train import SYNTH_RECIPE, Stage1Recipe, train_stage1
from methods.synth.utterances import Utterances
from protocols.protocol import Case
from protocols.synth.emotions import EMOTIONS
from protocols.synth.utterances import PHONEMES

FPS = 25.0
"""Rate at which clips are seen and utterances stored."""
MOST_NAMED = 5
"""Clips left out that are named before the others are counted."""


class Stage1Training(Training):
    """The language model that hears AUs, then its scores."""

    Settings = Stage1Recipe
    title = "AUHead's first stage: LoRA on an audio-language model, or the small one of the synthetic world"
    synth: ClassVar[dict[str, Any]] = SYNTH_RECIPE

    def run(
        self,
        settings: Stage1Recipe,
        *,
        weights: Weights,
        progress: Progress,
        data: Path | None,
        out: Path | None,
        seed: int,
    ) -> Trained:
        """Train and measure.

        Args:
            settings: its `protocol` decides the data.
            weights: gives the cache.
            progress: where to report to.
            data: the prepared data set; on the synthetic world a folder of utterances, or None for one in the cache.
            out: file of the weights; its name without suffix is the folder of checkpoint and log. None replaces the shipped
                weights of this order on the synthetic world.
            seed: decides initial weights and batches.
        """
        if settings.protocol is None:
            raise UserError("say what to learn from: --protocol mead_stage1 --data DIR, or --protocol synth_stage1")
        synthetic = registry.protocol(settings.protocol)().synthetic
        if out is None and not synthetic:
            raise UserError("name the file for the weights: --out FILE.safetensors")
        path = out or SHIPPED / f"synth_stage1_{settings.order.replace('-', '_')}.safetensors"
        require_weights_file("auhead_stage1", path)
        if synthetic:
            examples, unseen, emotions = _utterances(weights, progress, data)
        else:
            examples, unseen, emotions = _clips(settings, weights, progress, data)
        progress.say(f"{settings.order}: {len(examples)} recordings to learn from, {len(unseen)} of other people")
        hearing = (
            _hearing(settings, examples, weights, progress, seed) if synthetic and settings.model == "synth" else None
        )
        measured = train_stage1(
            settings, examples, unseen, path, emotions=emotions, seed=seed, hearing=hearing, log=progress.say
        )
        return Trained([path], measured, scores_table(measured))


def _utterances(weights: Weights, progress: Progress, data: Path | None):
    spoken = [training_utterances(weights, progress, data), test_utterances(weights, progress)]
    return *(_UtteranceExamples(folder) for folder in spoken), EMOTIONS


def _clips(settings: Stage1Recipe, weights: Weights, progress: Progress, data: Path | None):
    protocol = registry.protocol(settings.protocol)()
    extraction = FeatureExtraction(weights, "cpu")
    examples = _ClipExamples(protocol.training_cases(data), extraction, progress)
    unseen = _ClipExamples(protocol.cases(data)[: settings.validate_on], extraction, progress)
    emotions = sorted({case.emotion for case in (*examples.cases, *unseen.cases)})
    return examples, unseen, emotions


def _hearing(
    settings: Stage1Recipe, examples: _UtteranceExamples, weights: Weights, progress: Progress, seed: int
) -> Path:
    """The pretrained encoder of the small model, trained if it is not there: one for all orders."""
    from methods.auhead.stage1.hearing import RECIPE, pretrain_hearing

    path = weights.cache / "synth" / f"stage1_hearing_{seed}.safetensors"
    if not path.is_file():
        progress.say("the speech encoder learns to hear")
        pretrain_hearing(
            _Soundings(examples.utterances), settings.model_copy(update=RECIPE), path,
            phonemes=len(PHONEMES), emotions=len(EMOTIONS), seed=seed, log=progress.say,
        )  # fmt: skip
    return path


class _UtteranceExamples(Sequence):
    """Utterances of the synthetic world."""

    def __init__(self, folder: Path):
        self.utterances = Utterances(folder)

    def __len__(self) -> int:
        return len(self.utterances)

    def __getitem__(self, n: int) -> Example:
        said = self.utterances[n]
        return Example(said.audio, said.aus, FPS, EMOTIONS[said.emotion])


class _Soundings(Sequence):
    """The same utterances with their phonemes."""

    def __init__(self, utterances: Utterances):
        self.utterances = utterances

    def __len__(self) -> int:
        return len(self.utterances)

    def __getitem__(self, n: int) -> Sounding:
        said = self.utterances[n]
        return Sounding(said.audio, said.phonemes, said.times[:, 0], said.emotion)


class _ClipExamples(Sequence):
    """Clips of a data set; those without an emotion, or without AUs in every frame, are left out and named."""

    def __init__(self, cases: Iterable[Case], extraction: FeatureExtraction, progress: Progress):
        self.cases: list[Case] = []
        self.aus: list[np.ndarray] = []
        cases, failed = list(cases), {}
        with counted(progress, "AUs") as step:
            for case in cases:
                try:
                    self.aus.append(_all_aus(case, extraction))
                    self.cases.append(case)
                except UserError:
                    raise
                except BenchError as error:
                    failed[case.id] = str(error)
                step(len(cases))
        for id, reason in list(failed.items())[:MOST_NAMED]:
            progress.say(f"left out {id}: {reason}")
        if len(failed) > MOST_NAMED:
            progress.say(f"left out {len(failed) - MOST_NAMED} clips more")

    def __len__(self) -> int:
        return len(self.cases)

    def __getitem__(self, n: int) -> Example:
        case = self.cases[n]
        return Example(_audio(case.driving), self.aus[n], FPS, case.emotion)


def _all_aus(case: Case, extraction: FeatureExtraction) -> np.ndarray:
    """float32 (T, 24) of the whole clip."""
    if case.emotion is None:
        raise BenchError("the clip has no emotion label")
    aus = driving_aus(case, "feafa24", Clip(case.driving, fps=FPS), extraction)
    if lost := int(np.isnan(aus).any(axis=1).sum()):
        raise BenchError(f"no face in {lost} of {len(aus)} frames")
    return aus


@lru_cache(maxsize=64)
def _audio(path: Path) -> np.ndarray:
    return Clip(path, fps=FPS).audio


def scores_table(measured: dict[str, dict[str, float]]) -> str:
    """Markdown: scores of the answers beside those of always answering 0 or the mean."""
    columns = ("recall", "precision", "accuracy", "f1", "mae", "mae_all", "acc_emo", "readable")
    lines = ["| |" + "".join(f" {name.replace('_', ' ')} |" for name in columns), "| :-- |" + " --: |" * len(columns)]
    for row, scores in measured.items():
        shown = [f"{scores[name]:.3f}" if name in scores else "" for name in columns]
        lines.append(f"| {row} | " + " | ".join(shown) + " |")
    return "\n".join(lines)
