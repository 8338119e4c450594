"""Worker: one case from request to record. The same code runs in this process or in one of several."""

from __future__ import annotations

import hashlib
import time
import traceback
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench import registry
from bench.answers import answer_features, true_features, write_answer
from bench.device import resolve_device
from bench.driving import driving_aus
from bench.features import FeatureExtraction, Unavailable, metric_label
from bench.media.clip import VIDEO_SUFFIXES, Clip, samples_for
from bench.media.errors import BenchError, MediaError, MissingPrerequisite, Undefined, UserError
from bench.media.write import write_video, write_viewer_copy
from bench.plan import Plan, view
from bench.provenance import peak_memory_bytes
from bench.store import Record, RunStore
from bench.weights import Weights
from methods.generator import AUAnswer, ControlRequest, GenerationError, Generator, Request
from metrics.extractor import Features
from metrics.metric import Metric, needed_extractors
from protocols.protocol import Case


class CaseFailed(BenchError):
    """A case has no video to score; the message is its recorded reason."""


@dataclass(frozen=True)
class Task:
    """One case to bring up to date."""

    case: Case
    known: Record | None
    """What the store has for it, if anything."""
    keys: tuple[str, ...]
    """Metrics to compute; those the record has already are left out."""


class Worker:
    """Generates, stores, extracts and scores cases on one device."""

    def __init__(self, plan: Plan, folder: Path, weights: Weights, device: str = "auto"):
        self.plan = plan
        self.store = RunStore(folder)
        self.weights = weights
        self.device = device
        self.extraction = FeatureExtraction(self.weights, device, log=self.store.errors)
        self._generator: Generator | None = None
        self._load_seconds: float | None = None

    def facts(self) -> dict:
        """What this worker has seen: the method's parameters, how long it took to load, the peak memory of the device, clips
        decoded for scoring."""
        return {
            "parameters": self._generator.num_parameters if self._generator else None,
            "load_seconds": self._load_seconds,
            "peak_memory_bytes": peak_memory_bytes(self._generator.device if self._generator else "cpu"),
            "decoded_clips": self.extraction.decoded_clips,
        }

    def process(self, task: Task) -> Record:
        """Bring one case up to date. Always returns a record: what fails is in it, with its reason."""
        case = task.case
        record: Record = {"case": case.id, "identity": case.identity, "emotion": case.emotion, "level": case.level}
        try:
            made = self._known_video(task) or self._make_video(case)
            record |= {"status": "ok", "reason": None, **made}
            record["metrics"], record["notes"] = self._score(case, made, task.keys)
        except (CaseFailed, MediaError, GenerationError) as error:
            record |= {"status": "failed", "reason": self._portable(case, str(error)), "metrics": {}}
        return record

    def _portable(self, case: Case, text: str) -> str:
        """A reason with file names in place of this machine's paths: summaries of equal runs are equal bytes."""
        folders = {path.parent for path in (case.reference, case.driving, case.target, case.aus) if path}
        folders |= {self.store.video(case.id).parent, self.store.folder}
        folders |= {self.plan.videos} if self.plan.videos else set()
        for folder in sorted(map(str, folders), key=len, reverse=True):
            text = text.replace(folder + "/", "")
        return text

    # -- the video ----------------------------------------------------------------------------------------------------

    def _known_video(self, task: Task) -> dict | None:
        """What the store says of the case's video, if the file is still the one it speaks of."""
        known = task.known
        if known is None or known["status"] != "ok":
            return None
        path = self._video_path(task.case)
        if path is None or not path.exists() or self.weights.hashes.sha256(path) != known["video_sha256"]:
            return None
        return {name: known.get(name) for name in _MADE}

    def _video_path(self, case: Case) -> Path | None:
        if self.plan.protocol.output == "aus":
            return self.store.answer(case.id)
        return self.store.video(case.id) if self.plan.videos is None else find_video(self.plan.videos, case.id)

    def _make_video(self, case: Case) -> dict:
        target, num_frames, height, width = self._geometry(case)
        path = self._video_path(case)
        seconds, by_part = None, {}
        notes = []
        if self.plan.videos is not None:
            if path is None:
                raise CaseFailed(f"no video named {case.id} in the folder of finished videos")
            num_frames, notes = self._check(case, path, num_frames, height, width)
        elif not path.exists():
            seconds = self._generate(case, target, num_frames, height, width, path)
            by_part = {part: round(value, 3) for part, value in self._generator.seconds.items()}
        to_view = self.plan.videos is None and self.plan.protocol.output == "video"
        if to_view and not self.store.viewer_copy(case.id).exists():
            write_viewer_copy(Clip(path, fps=self.plan.protocol.fps), self.store.viewer_copy(case.id))
        return {
            "notes": notes, "frames": num_frames, "height": height, "width": width, "seconds": seconds,
            "seconds_by_part": by_part,
            "video_sha256": self.weights.hashes.sha256(path),
            "target_sha256": target and target.sha256,
        }  # fmt: skip

    def _geometry(self, case: Case) -> tuple[Clip | None, int, int, int]:
        """The target's view, and how many frames of which size are asked for."""
        protocol = self.plan.protocol
        target = case.target and view(case.target, protocol, self.weights, None, protocol.size)
        shape = target or view(case.reference, protocol, self.weights, None, protocol.size)
        available = (target or view(case.driving, protocol, self.weights, None, None)).num_frames
        wanted = case.num_frames or protocol.frames or available
        if wanted > available:
            raise CaseFailed(
                f"{case.target or case.driving}: has {available} frames at {protocol.fps:g} fps, {wanted} asked for"
            )
        return target, wanted, shape.height, shape.width

    def _check(self, case: Case, path: Path, wanted: int, height: int, width: int) -> tuple[int, list[str]]:
        """Frames to score of a finished video (what was asked for, or a few less where it is a little short), and how
        it differs from what was asked for."""
        clip = view(path, self.plan.protocol, self.weights, None, None)
        available, notes = clip.num_frames, []
        if wanted - available > self.plan.protocol.missing_frames:
            raise CaseFailed(
                f"{path}: has {available} frames at {self.plan.protocol.fps:g} fps, case {case.id} asks for {wanted}; "
                f"at most {self.plan.protocol.missing_frames} may be missing"
            )
        if available != wanted:
            notes.append(
                f"has {available} frames, {wanted} were asked for: the first {min(wanted, available)} are scored"
            )
        if (clip.height, clip.width) != (height, width):
            notes.append(f"is {clip.width}x{clip.height}, scored at {width}x{height}")
        return min(wanted, available), notes

    def _generate(self, case: Case, target: Clip | None, num_frames: int, height: int, width: int, path: Path) -> float:
        """Generate and store one case's video; return the seconds it took."""
        generator = self._generator = self._generator or self._construct()
        request = self._request(case, generator, target, num_frames, height, width)
        started = time.perf_counter()
        try:
            made = generator.generate(request)
            if isinstance(made, AUAnswer):
                write_answer(path, made, request)
            else:
                sound = generator.soundtrack(request)
                if sound is not None:
                    sound = sound[: samples_for(num_frames, request.fps)]
                write_video(path, _checked(made, request), request.fps, sound, self.plan.protocol.storage)
        except (BenchError, GenerationError):
            raise
        except Exception as error:
            with open(self.store.errors, "a", encoding="utf-8") as file:
                file.write(f"method {self.plan.method} on case {case.id}\n{traceback.format_exc()}\n")
            raise CaseFailed(
                f"method {self.plan.method} crashed: {type(error).__name__}: {error}; traceback in {self.store.errors.name}"
            ) from error
        return round(time.perf_counter() - started, 3)

    def _construct(self) -> Generator:
        generator = registry.method(self.plan.method)
        device = resolve_device(self.device) if not generator.control else "cpu"
        config = generator.Config(**self.plan.config)
        files = self.weights.require(generator.required_weights(config))
        started = time.perf_counter()
        made = generator(config, device, files)
        made.logs = self.store.folder / "logs"
        self._load_seconds = round(time.perf_counter() - started, 3)
        return made

    def _request(
        self, case: Case, generator: Generator, target: Clip | None, num_frames: int, height: int, width: int
    ) -> Request:
        protocol = self.plan.protocol
        driving = view(case.driving, protocol, self.weights, num_frames, None)
        audio = driving.audio if driving.has_audio else None
        if audio is None and "audio" in generator.needs:
            raise CaseFailed(f"{case.driving}: has no audio stream, and {self.plan.method} needs speech")
        common = {
            "case": case.id, "reference": Clip(case.reference).first_frame(), "audio": audio, "num_frames": num_frames,
            "fps": protocol.fps, "height": height, "width": width, "seed": case_seed(self.plan.seed, case.id),
            "emotion": case.emotion,
        }  # fmt: skip
        if generator.au_vocabulary is not None and getattr(generator.config, "au_source", "driving") == "driving":
            common["aus"] = driving_aus(case, generator.au_vocabulary, driving, self.extraction)
        if not generator.needs & {"target", "other_audio"}:
            return Request(**common)
        if "target" in generator.needs and target is None:
            raise CaseFailed(f"control {self.plan.method} needs a target, and case {case.id} has none")
        cut = target and view(case.target, protocol, self.weights, num_frames, protocol.size)
        other = self._other_audio(case) if "other_audio" in generator.needs else None
        return ControlRequest(**common, target=cut, other_audio=other)

    def _other_audio(self, case: Case) -> np.ndarray | None:
        """Speech of the next case with different content, round the end of the protocol's list."""
        cases = self.plan.all_cases
        place = next(i for i, candidate in enumerate(cases) if candidate.id == case.id)
        own = self.weights.hashes.sha256(case.driving)
        for other in (*cases[place + 1 :], *cases[:place]):
            try:
                clip = view(other.driving, self.plan.protocol, self.weights, None, None)
                if clip.sha256 != own and clip.has_audio:
                    return clip.audio
            except MediaError:
                continue  # A damaged neighbour fails as a case of its own.
        return None

    # -- the scores ---------------------------------------------------------------------------------------------------

    def _score(self, case: Case, made: dict, keys: Iterable[str]) -> tuple[dict[str, dict], list[str]]:
        """The metrics' entries of the record, and what a person should know about the clips."""
        metrics = {key: self.plan.metrics[key] for key in keys}
        needs = self.case_features(case, made, list(metrics.values()))
        entries = {key: _evaluate(metric, needs) for key, metric in metrics.items()}
        for entry in entries.values():
            entry.update({name: self._portable(case, entry[name]) for name in ("failed", "missing") if name in entry})
        return entries, [*made["notes"], *_crowds(needs)]

    def case_features(self, case: Case, made: dict, metrics: list[Metric]) -> dict:
        """Everything these metrics need of a case: "role:extractor" -> features, or the reason there are none."""
        wanted = needed_extractors(metrics)
        clips = self._clips(case, made)
        needs = {f"case:{name}": self._of_case(name, case, clips) for name in wanted.pop("case", ())}
        for role in [role for role in wanted if role not in clips and not (role == "pair" and "target" in clips)]:
            absent = Undefined(f"the case has no {'target' if role == 'pair' else role}")
            needs |= {f"{role}:{name}": absent for name in wanted.pop(role)}
        return needs | self.extraction.features(wanted, clips)

    def _of_case(self, name: str, case: Case, clips: dict[str, Clip]) -> Features | BenchError:
        """What the case itself says: its emotion label, its own AUs, a method's answer to it."""
        if name == "label":
            return metric_label(case.emotion)
        if name == "answer":
            return answer_features(self.store.answer(case.id))
        try:
            return true_features(case, clips.get("target", clips["driving"]), self.extraction)
        except BenchError as error:
            return error

    def _clips(self, case: Case, made: dict) -> dict[str, Clip]:
        protocol, size, count = self.plan.protocol, (made["height"], made["width"]), made["frames"]
        if (path := self._video_path(case)) is None:
            raise MediaError(f"{self.plan.videos}: no video of case {case.id}")
        prediction = view(path, protocol, self.weights, count, size)
        clips = {"prediction": prediction, "reference": view(case.reference, protocol, self.weights, 1, size)}
        clips["driving"] = view(case.driving, protocol, self.weights, count, size)
        if case.target is not None:
            clips["target"] = view(case.target, protocol, self.weights, count, size)
        return clips


_MADE = ("notes", "frames", "height", "width", "seconds", "seconds_by_part", "video_sha256", "target_sha256")


def _crowds(needs: dict) -> list[str]:
    """Notes on clips that show more than one face."""
    notes = []
    for role in ("prediction", "target"):
        landmarks = needs.get(f"{role}:landmarks")
        if isinstance(landmarks, dict) and (crowded := int((landmarks["faces"] > 1).sum())):
            notes.append(
                f"{role}: more than one face in {crowded} of {len(landmarks['faces'])} frames, the largest is scored"
            )
    return notes


def _value_of_one(metric: Metric, statistics: np.ndarray) -> dict:
    """A pooled metric's value for one case alone, where it has one: a clip may lack what the pool has."""
    if metric.per_case is None:
        return {}
    try:
        return {"value": float(metric.per_case(statistics))}
    except Undefined:
        return {}


def find_video(folder: Path, case: str) -> Path | None:
    """The video of a case in a folder of finished ones: named by case id, with `/` kept or written as `__`."""
    for name in (case, case.replace("/", "__")):
        candidate = folder / name
        matches = sorted(path for path in candidate.parent.glob(f"{_literal_glob(candidate.name)}.*") if path.is_file())
        matches = [path for path in matches if path.stem == candidate.name and path.suffix.lower() in VIDEO_SUFFIXES]
        if len(matches) > 1:
            raise CaseFailed(
                f"{len(matches)} files for case {case}: {', '.join(path.name for path in matches)}; keep one"
            )
        if matches:
            return matches[0]
        if candidate.is_file():
            return candidate
    return None


def case_seed(seed: int, case: str) -> int:
    """A case's own seed, so that its noise does not depend on what ran before it or where."""
    return int.from_bytes(hashlib.sha256(f"{seed};{case}".encode()).digest()[:4], "big")


def _literal_glob(name: str) -> str:
    import glob

    return glob.escape(name)


def _checked(frames, request: Request):
    """The generator's frames as chunks, refused unless they are exactly what was asked for."""
    count = 0
    for chunk in [frames] if isinstance(frames, np.ndarray) else frames:
        if chunk.dtype != np.uint8 or chunk.shape[1:] != (request.height, request.width, 3):
            raise GenerationError(
                f"the method returned {chunk.dtype} {chunk.shape}, uint8 (t, {request.height}, {request.width}, 3) was asked for"
            )
        count += len(chunk)
        yield chunk
    if count != request.num_frames:
        raise GenerationError(f"the method returned {count} frames, {request.num_frames} were asked for")


def _evaluate(metric: Metric, needs: dict) -> dict:
    """One metric's entry of a case's record."""
    entry: dict = {"version": metric.version}
    for need in metric.needs:
        result = needs[need]
        if isinstance(result, Unavailable | MissingPrerequisite):
            return entry | {"missing": str(result)}
        if isinstance(result, BenchError):
            return entry | {"failed": f"{need.split(':')[0]}: {result}"}
    try:
        value = metric.case({need: needs[need] for need in metric.needs})
        if metric.kind == "mean":
            return entry | ({"value": float(value)} if np.isfinite(value) else {"failed": f"the value is {value}"})
        if metric.kind == "set":
            return entry | {"rows": [len(rows) for rows in value]}
        statistics = np.asarray(value, np.float64)
        return entry | _value_of_one(metric, statistics) | {"statistics": statistics.tolist()}
    except Undefined as reason:
        return entry | {"failed": str(reason)}
    except UserError as reason:
        return entry | {"missing": str(reason)}
