"""`synth_std`, `synth_disentangle`, `synth_generalise`, `synth_stage1`: the published protocols in small, on rendered people.

| here | mirrors | reference image | drives |
|---|---|---|---|
| synth_std | mead_std, mead_std_iuface | first frame of the target | the target's speech and AUs |
| synth_disentangle | mead_disentangle | first frame of a neutral clip of the same person | an expressive clip |
| synth_stage1 | mead_stage1, crema_stage1 | none | the target's speech; AUs at 5 fps are asked for |
| synth_generalise | hdtf_generalise | first frame of the target | unseen people before unseen backgrounds |

Clips are rendered when a run first needs them (under --data, by default in the cache). Cases are ordered in rounds over
the people, with another expression for each, so that the first N of them are balanced.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar, Literal

from bench.media.errors import UserError
from protocols.protocol import AUSource, Case, Protocol
from protocols.synth.emotions import EXPRESSIONS
from protocols.synth.world import VERSION, ClipSpec, Family, Split, identities, sentences

SYNTH_METRICS = (
    "psnr", "ssim", "lpips@synth", "fid@synth", "kid@synth", "fvd@synth", "efid@synth", "lse_c@synth", "lse_d@synth",
    "av_offset@synth", "m_lmd@synth", "f_lmd@synth", "acc_emo@synth", "au_f1@synth", "au_precision@synth",
    "au_recall@synth", "au_accuracy@synth", "au_mae@synth", "au_pcc@synth", "au_f1@synth_b", "au_mae@synth_b",
    "au_following@synth", "reference_leak@synth", "csim@synth",
)  # fmt: skip
"""Every metric there is, by the synthetic experts where it takes a network; AU scores by both AU experts."""

STAGE1_METRICS = (
    "au_recall@answer", "au_precision@answer", "au_accuracy@answer", "au_f1@answer", "au_mae@answer", "acc_emo@answer",
    "au_pcc@answer",
)  # fmt: skip
"""Those of AUHead's Table 1, and the correlation over time."""

EXPRESSION_STEP, PERSON_STEP = 17, 8
"""Round r gives person j expression 17 r + 8 j of the 22, or of the 21 that are not neutral: 17 shares no factor with
either, so as many rounds give each person all of them; of all such pairs these balance the first three rounds best."""

TRAINING_PEOPLE = 1600
"""People to train video methods on, one clip each; who they are decides faces and voices, so many beat long clips."""
OUTDOOR_EVERY = 4
"""Of the people to train on, one in so many stands before an outdoor background."""


class Synth(Protocol):
    """A protocol on the synthetic world."""

    split: ClassVar[Split] = "test"
    family: ClassVar[Family] = "studio"
    neutral_targets: ClassVar[bool] = True

    metrics: tuple[str, ...] = SYNTH_METRICS
    size: tuple[int, int] | None = (128, 128)
    frames: int | None = 48
    clip_length: str = "the first 48 frames (1.92 s at 25 fps) of a sentence of two to three seconds"
    default_limit: int | None = 24
    default_subset: str = "two expressions of each of the 12 people: half a minute on two cores for a control"
    au_sources: tuple[AUSource, ...] = ("stage1", "driving", "file", "none")
    synthetic: bool = True

    def cases(self, data: Path | None) -> list[Case]:
        """All cases of the world's split. Files appear with `make_ready`."""
        if data is None:
            raise UserError("a synthetic protocol needs a folder to render into: --data DIR")
        people = identities(self.split)
        shown = [k for k, (emotion, _) in enumerate(EXPRESSIONS) if self.neutral_targets or emotion != "neutral"]
        chosen = [
            self._target(people, j, shown[(EXPRESSION_STEP * r + PERSON_STEP * j) % len(shown)])
            for r in range(len(shown))
            for j in range(len(people))
        ]
        return [self._case(data, spec, self._reference(spec)) for spec in chosen]

    def training_cases(self, data: Path | None) -> list[Case]:
        """One clip of each of TRAINING_PEOPLE, the same for every synthetic protocol."""
        people = identities("train", TRAINING_PEOPLE)
        rounds = len(identities("test"))
        expressions = [
            (EXPRESSION_STEP * (j // rounds) + PERSON_STEP * j) % len(EXPRESSIONS) for j in range(len(people))
        ]
        return self._of_training_people(data, expressions)

    def neutral_cases(self, data: Path | None) -> list[Case]:
        """A neutral clip of each of them, before the same background, with another sentence than any of `training_cases`
        that is neutral itself."""
        return self._of_training_people(data, [EXPRESSIONS.index(("neutral", 1))] * TRAINING_PEOPLE, sentence=1)

    def _of_training_people(self, data: Path | None, expressions: Sequence[int], sentence: int = 0) -> list[Case]:
        """The clip of each person with these expressions; `sentence` counts on from the one that goes with them."""
        if data is None:
            raise UserError("a synthetic protocol needs a folder to render into: --data DIR")
        people = identities("train", TRAINING_PEOPLE)
        specs = [
            self._target(people, j, expression, "outdoor" if j % OUTDOOR_EVERY == 0 else "studio", sentence)
            for j, expression in enumerate(expressions)
        ]
        return [self._case(data, spec, spec) for spec in specs]

    def folder(self, data: Path, family: Family | None = None) -> Path:
        """Where clips of this world version and size lie below `data`."""
        assert self.size is not None
        return data / f"v{VERSION}-{self.size[1]}x{self.size[0]}-{family or self.family}"

    def make_ready(self, cases: Sequence[Case], step: Callable[[int], None] = lambda total: None) -> None:
        from protocols.synth.files import make_ready

        paths = {path for case in cases for path in (case.reference, case.driving, case.target) if path}
        by_folder: dict[Path, list[ClipSpec]] = {}
        for path in sorted(paths):
            by_folder.setdefault(path.parents[3], []).append(self._spec(path))
        for folder, specs in by_folder.items():
            make_ready(folder, specs, self.size or (128, 128), step)

    def _reference(self, spec: ClipSpec) -> ClipSpec:
        """The clip whose first frame is the reference image."""
        return spec

    def _target(
        self, people: Sequence[str], j: int, expression: int, family: Family | None = None, sentence: int = 0
    ) -> ClipSpec:
        emotion, level = EXPRESSIONS[expression]
        number = (7 * j + 3 * expression + sentence) % len(sentences(people[j]))
        return ClipSpec(people[j], emotion, level, number, family or self.family)

    def _case(self, data: Path, spec: ClipSpec, reference: ClipSpec) -> Case:
        from protocols.synth.files import clip_path

        folder = self.folder(data, spec.family)
        path = clip_path(folder, spec)
        return Case(
            id=spec.id,
            identity=spec.identity,
            emotion=spec.emotion,
            level=spec.level,
            reference=clip_path(folder, reference),
            driving=path,
            target=path,
            aus=path.with_suffix(".csv"),
            content=hashlib.sha256(f"{reference.digest};{spec.digest}".encode()).hexdigest(),
        )

    def _spec(self, path: Path) -> ClipSpec:
        identity, emotion, level, sentence = (*path.parts[-4:-1], path.stem)
        family = path.parents[3].name.rpartition("-")[2]
        return ClipSpec(identity, emotion, int(level.removeprefix("level_")), int(sentence) - 1, family)


class SynthStd(Synth):
    """First frame of the target as reference, its own speech and AUs."""

    name: ClassVar[str] = "synth_std"
    title: ClassVar[str] = "rendered people, standard setting: the target's first frame, speech and AUs"
    paper: ClassVar[str] = "mirrors AUHead section 4.1 and IUFace suppl. F, in small and synthetic"


class SynthStage1(Synth):
    """Speech in, an emotion and AU vectors out; nothing is drawn."""

    name: ClassVar[str] = "synth_stage1"
    title: ClassVar[str] = "rendered people, first stage of AUHead: speech in, emotion and AUs at 5 fps out"
    paper: ClassVar[str] = "mirrors AUHead section 3.2 and Table 1, in small and synthetic"

    metrics: tuple[str, ...] = STAGE1_METRICS
    fps: float = 5.0
    frames: int | None = None
    clip_length: str = "each sentence as long as it is, two to three seconds"
    default_limit: int | None = 96
    default_subset: str = "eight expressions of each of the 12 people; --limit 264 is all"
    au_sources: tuple[AUSource, ...] = ("stage1", "none")
    output: Literal["video", "aus"] = "aus"


class SynthDisentangle(Synth):
    """A neutral reference image; speech and AUs of an expressive clip of the same person."""

    name: ClassVar[str] = "synth_disentangle"
    title: ClassVar[str] = "rendered people, disentanglement: a neutral reference, driven by an expressive clip"
    paper: ClassVar[str] = "mirrors IUFace section 3, in small and synthetic"

    neutral_targets: ClassVar[bool] = False

    frames: int | None = 49
    clip_length: str = "the first 49 frames of a sentence, 4k+1 as a video VAE with four frames to a latent takes"
    default_subset: str = "24 cases, two expressions of each of the 12 people; --limit 252 is all"

    def _reference(self, spec: ClipSpec) -> ClipSpec:
        people = identities(self.split)
        return self._target(people, people.index(spec.identity), EXPRESSIONS.index(("neutral", 1)))


class SynthGeneralise(Synth):
    """People nobody has learnt from, before a kind of background that methods have not seen."""

    name: ClassVar[str] = "synth_generalise"
    title: ClassVar[str] = "rendered people, generalisation: unseen people before unseen backgrounds"
    paper: ClassVar[str] = "mirrors IUFace suppl. D, in small and synthetic"

    split: ClassVar[Split] = "general"
    family: ClassVar[Family] = "outdoor"
