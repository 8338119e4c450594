"""Features of clips to train StableAvatar and IUFace on, computed once: files per clip, next to the data.

    DATA/features/windows-full-1-3f2a90c1/M003/angry/level_1/001.safetensors       encoded stretches of the clip
    DATA/features/references-full-1-77ab01d2/M003/neutral/level_1/012.safetensors  pictures that stand for the person
    DATA/features/texts-full-1-9c0d1e55/5d41402a.safetensors                       states of a prompt

Folders are named after the encoders, their version and a digest of weights and settings: others write elsewhere. What is
there already is kept, so interrupted work continues; what was made of a clip that has been prepared again is made again. What
they hold: `methods.conditioning.video_features`.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from bench.driving import driving_aus
from bench.features import FeatureExtraction
from bench.media.clip import Clip
from bench.media.errors import BenchError, UserError
from bench.prepare_features import are_of_clip, compute, say_failures
from bench.progress import Progress
from bench.weights import Weights
from methods.conditioning.prompt import DEFAULT_PROMPT, save_embedding
from methods.conditioning.video_encoders import VideoEncoders, load_video_encoders, video_encoders_class
from methods.conditioning.video_features import clip_references, clip_windows, save_video_features
from methods.generator import GenerationError
from protocols.protocol import Case

if TYPE_CHECKING:
    from methods.training.video_windows import Reference, VideoClip

VOCABULARY = "openface35"


@dataclass(frozen=True)
class VideoFeatureSource:
    """Which encoders read how much of a clip."""

    model: Literal["full", "synth"]
    frames: int
    """N of a window."""
    windows: int
    """Of a clip, at the most."""
    references: int
    """Of a clip, at the most; each takes half the room of a window at full size (2.8 MB)."""
    arcface: bool = False
    """Whether references have an ArcFace embedding, for `identity_encoder=arcface`."""
    separate_vocals: bool = False
    """Whether speech is separated from other sound first."""

    @classmethod
    def of(cls, model: Literal["full", "synth"], **changes) -> VideoFeatureSource:
        """The defaults of a model size: 81 frames (suppl. B), and where ArcFace costs nothing, ArcFace."""
        sizes = {"full": {"frames": 81, "windows": 2, "references": 4},
                 "synth": {"frames": 25, "windows": 4, "references": 3, "arcface": True}}  # fmt: skip
        return cls(**{"model": model, **sizes[model], **changes})

    @property
    def encoders(self) -> type[VideoEncoders]:
        return video_encoders_class(self.model)

    def weights_of(self, kind: Literal["windows", "references", "texts"]) -> tuple[str, ...]:
        """Names in the weights lock of what a kind of file is made with."""
        vae, image, speech = self.encoders.weights
        arcface = self.encoders.arcface_weights if self.arcface else ()
        names = {
            "windows": (vae, speech) + (("kim_vocal_2",) if self.separate_vocals else ()),
            "references": (vae, image, *self.encoders.face_weights, *arcface),
            "texts": self.encoders.text_weights,
        }
        return tuple(dict.fromkeys(names[kind]))

    def folder(self, kind: Literal["windows", "references", "texts"], data: Path, weights: Weights) -> Path:
        """Where a kind of file lies below a data folder."""
        settings = {
            "windows": (self.frames, self.windows),
            "references": (self.frames, self.references),
            "texts": (),
        }
        digests = [weights.hashes.sha256(path) for path in weights.require(self.weights_of(kind)).values()]
        digest = hashlib.sha256(" ".join([*digests, *map(str, settings[kind])]).encode()).hexdigest()[:8]
        return data / "features" / f"{kind}-{self.encoders.name}-{self.encoders.version}-{digest}"


@dataclass(frozen=True)
class PreparedVideos:
    """What came of it."""

    clips: tuple[VideoClip, ...]
    """Those that can be trained on."""
    failed: dict[str, str]
    """Case id -> why it cannot."""


def prepare_video_features(
    cases: Sequence[Case],
    neutral_cases: Sequence[Case],
    data: Path,
    source: VideoFeatureSource,
    reference: Reference,
    *,
    weights: Weights,
    progress: Progress,
    device: str = "cpu",
    fps: float = 25.0,
    prompts: Path | None = None,
) -> PreparedVideos:
    """Compute what is not there yet of what training on the driving clips of these cases needs.

    Args:
        cases: to train on, each with its AU table or a driving video to read the AUs off.
        neutral_cases: neutral clips of the same people; used with reference `neutral`.
        data: folder below which `features/` lies.
        source: with which encoders.
        reference: where references come from: the neutral clips of the person, or the clip itself.
        weights: gives the encoders.
        progress: where to report to.
        device: torch device.
        fps: rate of the views.
        prompts: JSON file, clip id or identity -> prompt; a clip that it does not name has the default prompt.

    Raises:
        UserError: weights are missing, the prompts cannot be read, or not one clip can be trained on.
    """
    from methods.training.video_windows import VideoClip

    work = _Work(data, source, weights, progress, device, fps)
    texts = work.texts(cases, _read_prompts(prompts))
    windows, failed = work.files("windows", cases)
    usable = [case for case in cases if case.id in windows]
    people = {case.identity for case in usable}
    shown = [case for case in neutral_cases if case.identity in people] if reference == "neutral" else usable
    references, unshown = work.files("references", shown)
    of_person: dict[str, list[Path]] = defaultdict(list)
    for case in shown:
        if case.id in references:
            of_person[case.identity].append(references[case.id])
    clips = []
    for case in usable:
        if reference == "neutral":
            # A neutral clip is trained on too, and then stands for the person in other clips only.
            found = [path for path in of_person[case.identity] if path != references.get(case.id)]
        else:
            found = [references[case.id]] if case.id in references else []
        if found:
            clips.append(VideoClip(windows[case.id], texts[case.id], tuple(found)))
        else:
            failed[case.id] = unshown.get(case.id, f"no other neutral clip of {case.identity} to take a reference from")
    say_failures(failed | unshown, progress)
    if not clips:
        raise UserError(f"none of the {len(cases)} clips can be trained on; the reasons are above")
    return PreparedVideos(tuple(clips), failed)


class _Work:
    """Files of each kind, made with encoders that are loaded when the first one lacks."""

    def __init__(
        self, data: Path, source: VideoFeatureSource, weights: Weights, progress: Progress, device: str, fps: float
    ):
        self._data, self._source, self._weights = data, source, weights
        self._progress, self._device, self._fps = progress, device, fps
        self._extraction = FeatureExtraction(weights, device)

    def texts(self, cases: Iterable[Case], prompts: Mapping[str, str]) -> dict[str, Path]:
        """Case id -> states of its prompt."""
        words = {case.id: prompts.get(case.id) or prompts.get(case.identity) or DEFAULT_PROMPT for case in cases}
        folder = self._folder("texts")
        paths = {
            text: folder / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.safetensors" for text in words.values()
        }
        if absent := [text for text, path in paths.items() if not path.exists()]:
            encoders = self._load("texts")
            for text in absent:
                save_embedding(paths[text], encoders.encode_text(text), text)
        return {id: paths[text] for id, text in words.items()}

    def files(
        self, kind: Literal["windows", "references"], cases: Sequence[Case]
    ) -> tuple[dict[str, Path], dict[str, str]]:
        """Case id -> its file, and case id -> why it has none."""
        folder = self._folder(kind)
        paths = {case.id: folder / f"{case.id}.safetensors" for case in cases}
        failed: dict[str, str] = {}
        if todo := [case for case in cases if not are_of_clip(paths[case.id], case, self._weights)]:
            encoders = self._load(kind)
            make = {"windows": self._windows, "references": self._references}[kind]

            def write(case: Case) -> None:
                clip = Clip(case.driving, fps=self._fps, size=(encoders.size, encoders.size))
                save_video_features(paths[case.id], make(case, clip, encoders), encoders, clip.sha256)

            failed = compute(todo, write, self._progress, kind)
        return {id: path for id, path in paths.items() if id not in failed}, failed

    def _windows(self, case: Case, clip: Clip, encoders: VideoEncoders) -> dict[str, np.ndarray]:
        return clip_windows(
            clip, driving_aus(case, VOCABULARY, clip, self._extraction), self._landmarks(case, clip), encoders,
            num_frames=self._source.frames, windows=self._source.windows, vocals=self._vocals(encoders),
        )  # fmt: skip

    def _references(self, case: Case, clip: Clip, encoders: VideoEncoders) -> dict[str, np.ndarray]:
        return clip_references(
            clip, encoders, num_frames=self._source.frames, references=self._source.references,
            arcface=self._source.arcface,
        )  # fmt: skip

    def _landmarks(self, case: Case, clip: Clip) -> np.ndarray:
        """float (F, 478, 2) in pixels of the view: the rendered world's own, or mediapipe's."""
        if self._source.model == "synth":
            with np.load(case.driving.with_suffix(".npz")) as truth:
                return truth["landmarks"] * (clip.width / Clip(case.driving).width)
        found = self._extraction.features({"driving": ["landmarks"]}, {"driving": clip})["driving:landmarks"]
        if isinstance(found, BenchError):
            raise GenerationError(f"landmarks: {found}") from found
        return found["xy"]

    def _vocals(self, encoders: VideoEncoders) -> Callable[[np.ndarray], np.ndarray] | None:
        if not self._source.separate_vocals:
            return None
        from methods.conditioning.vocals import separate_vocals

        return lambda audio: separate_vocals(audio, encoders.files["kim_vocal_2"])

    def _folder(self, kind: Literal["windows", "references", "texts"]) -> Path:
        if message := self._weights.missing(self._source.weights_of(kind)):
            raise UserError(f"{kind} to train on: {message}")
        return self._source.folder(kind, self._data, self._weights)

    def _load(self, kind: Literal["windows", "references", "texts"]) -> VideoEncoders:
        files = self._weights.require(self._source.weights_of(kind))
        return load_video_encoders(self._source.model, files, self._device)


def _read_prompts(path: Path | None) -> dict[str, str]:
    """Clip id or identity -> prompt.

    Raises:
        UserError: no such file, or something else in it.
    """
    if path is None:
        return {}
    try:
        prompts = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: prompts cannot be read ({error})") from error
    if not isinstance(prompts, dict) or not all(isinstance(text, str) for text in prompts.values()):
        raise UserError(f'{path}: prompts are a JSON object of clip ids or identities: {{"M003": "A woman with ..."}}')
    return prompts
