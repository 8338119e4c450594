"""Features: what extractors say about clips, from the cache, or by decoding each clip once for all of them.

The cache is keyed by the content of the view (sha256 of the file, rate, size, length) and by the extractor (name,
version, sha256 of its weights), so a feature is computed once per machine, whatever run asks for it.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import queue
import threading
import traceback
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from bench import registry
from bench.device import resolve_device
from bench.media.clip import Clip
from bench.media.errors import BenchError, MissingPrerequisite, Undefined, UserError
from bench.weights import Weights
from metrics.extractor import Extractor, Features
from metrics.metric import Metric

BUFFER_BYTES = 256 << 20
"""A clip whose frames fit is kept decoded while its extractors run; a longer one is decoded again for a second pass."""


class Unavailable(BenchError):
    """An extractor cannot run on this machine; the message says what is missing and how to get it."""


class ExtractorCrash(Undefined):
    """An extractor raised something unexpected: recorded for this case, not cached, its traceback kept."""


class FeatureCache:
    """Features on disk, one safetensors file per clip view and extractor."""

    def __init__(self, weights: Weights):
        self._weights = weights
        self._root = weights.cache / "features"
        self._identities: dict[str, str] = {}

    def path(self, name: str, key: str) -> Path:
        if name not in self._identities:
            self._identities[name] = extractor_identity(name, self._weights)
        return self._root / self._identities[name] / key[:2] / f"{key}.safetensors"

    def load(self, name: str, key: str) -> Features | Undefined | None:
        """The features, or why there are none; None where nothing is cached."""
        from safetensors import safe_open

        path = self.path(name, key)
        if not path.exists():
            return None
        with safe_open(path, framework="np") as file:
            if reason := (file.metadata() or {}).get("undefined"):
                return Undefined(reason)
            return {array: file.get_tensor(array) for array in file.keys()}  # noqa: SIM118 (not a dict)

    def save(self, name: str, key: str, result: Features | Undefined) -> None:
        from safetensors.numpy import save

        if isinstance(result, Undefined):
            content = save({}, metadata={"undefined": str(result)})
        else:
            content = save({array: np.ascontiguousarray(values) for array, values in result.items()})
        path = self.path(name, key)
        temporary = path.with_suffix(f".{os.getpid()}.tmp")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(content)
            os.replace(temporary, path)
        except OSError as error:
            raise UserError(
                f"feature cache {self._root}: {error.strerror}; free the disk or set AU_BENCH_CACHE"
            ) from error
        finally:
            temporary.unlink(missing_ok=True)


def extractor_identity(name: str, weights: Weights) -> str:
    """Name, version and a digest of the weights of an extractor and of all it builds on."""
    extractor = registry.extractor(name)
    parts = [weights.hashes.sha256(path) for path in weights.require(extractor.weights).values()]
    parts += [extractor_identity(dependency, weights) for dependency in extractor.after]
    return f"{name}-v{extractor.version}-{hashlib.sha256(' '.join(parts).encode()).hexdigest()[:8]}"


_EXTRAS = {"dlib": "eat", "face_alignment": "eat"}
"""Packages outside the extra `all`."""


def unavailable(name: str, weights: Weights) -> str | None:
    """What an extractor (or one it builds on) lacks on this machine and how to get it; None if it can run."""
    extractor = registry.extractor(name)
    for dependency in extractor.after:
        if message := unavailable(dependency, weights):
            return message
    for package in extractor.packages:
        if importlib.util.find_spec(package) is None:
            return f"needs the Python package {package}: pip install -e '.[{_EXTRAS.get(package, 'all')}]'"
    return weights.missing(extractor.weights) or extractor.missing()


def metric_lacks(metric: Metric, weights: Weights) -> str | None:
    """What a metric lacks on this machine for a video that has nothing beside it; None if it is ready."""
    for name in {need.split(":")[1]: None for need in metric.needs if not need.startswith("case:")}:
        if message := unavailable(name, weights) or registry.extractor(name).lacks(Clip("a video")):
            return message
    return None


class FeatureExtraction:
    """Gets features for clips. Networks are loaded at first use and kept."""

    def __init__(self, weights: Weights, device: str = "auto", log: Path | None = None):
        self._weights = weights
        self._cache = FeatureCache(weights)
        self._device = device
        self._log = log
        self._extractors: dict[str, Extractor] = {}
        self._lacking: dict[str, str | None] = {}
        self._threads = ThreadPoolExecutor(max_workers=os.cpu_count(), thread_name_prefix="extract")
        self.decoded_clips = 0

    def features(
        self, wanted: Mapping[str, Iterable[str]], clips: Mapping[str, Clip]
    ) -> dict[str, Features | BenchError]:
        """Features of a case's clips.

        Args:
            wanted: role -> extractor names; role `pair` means prediction and target together.
            clips: role -> clip, at least of every role in `wanted`; `pair` needs `prediction` and `target`.

        Returns:
            "role:extractor" -> features, or Undefined with the reason, or Unavailable with what is missing.
        """
        results: dict[str, Features | BenchError] = {}
        sources = {role: _Source(clip) for role, clip in clips.items()}
        by_key: dict[tuple[str, str], Features | BenchError] = {}
        pairs = list(wanted.get("pair", ()))
        singles = {role: set(names) for role, names in wanted.items() if role != "pair"}
        for name in pairs:
            for role in ("prediction", "target"):
                singles.setdefault(role, set()).update(registry.extractor(name).after)
        for role, names in singles.items():
            self._extract_clip(sources[role], names, by_key)
            results.update({f"{role}:{name}": by_key[clips[role].key, name] for name in names})
        if pairs:
            results.update(self._extract_pairs(sources["prediction"], sources["target"], pairs, by_key))
        self.decoded_clips += sum(source.decodes for source in sources.values())
        return results

    def _extract_clip(self, source: _Source, names: set[str], done: dict) -> None:
        """Fill done[clip key, name] for names and what they build on, stage by stage, one pass over frames per stage."""
        key = source.clip.key
        stored = {name: _stored_key(name, source.clip) for name in extractor_closure(names)}
        for name in stored:
            if (key, name) not in done and (lacking := registry.extractor(name).lacks(source.clip)):
                done[key, name] = Unavailable(lacking)
        todo = [name for name in stored if not self._recall(name, key, stored[name], done)]
        while todo:
            stage = [name for name in todo if not set(registry.extractor(name).after) & set(todo)]
            started = {}
            for name in stage:
                inherited = self._inherit(name, key, done)
                if isinstance(inherited, BenchError):
                    done[key, name] = inherited
                    continue
                begun = self._guard(name, source.clip.path, lambda e, i=inherited: e.begin(source.clip, i))
                if isinstance(begun, BenchError):
                    done[key, name] = begun
                else:
                    started[name] = self._extractor(name)
            for name, result in self._pass(started, [source]).items():
                done[key, name] = result
            for name in stage:
                self._keep(name, stored[name], done[key, name])
            todo = [name for name in todo if name not in stage]

    def _extract_pairs(self, source: _Source, target: _Source, names: list[str], done: dict) -> dict:
        key = hashlib.sha256(f"{source.clip.key};{target.clip.key}".encode()).hexdigest()
        started = {}
        for name in names:
            if self._recall(name, key, key, done):
                continue
            ours, theirs = (self._inherit(name, clip.key, done) for clip in (source.clip, target.clip))
            failed = next((one for one in (ours, theirs) if isinstance(one, BenchError)), None)
            if failed is None:
                failed = self._guard(
                    name, source.clip.path, lambda e, a=ours, b=theirs: e.begin(source.clip, target.clip, a, b)
                )
            if isinstance(failed, BenchError):
                done[key, name] = failed
            else:
                started[name] = self._extractor(name)
        for name, result in self._pass(started, [source, target]).items():
            done[key, name] = result
            self._keep(name, key, result)
        return {f"pair:{name}": done[key, name] for name in names}

    def _pass(self, started: dict[str, Extractor], sources: list[_Source]) -> dict[str, Features | BenchError]:
        """Feed every chunk of the sources to every extractor, extractors side by side; return what each made of it."""
        results: dict[str, Features | BenchError] = {}
        live = dict(started)
        path = sources[0].clip.path
        if live:
            for chunks in zip(*(source.chunks() for source in sources), strict=True):
                outcomes = self._threads.map(
                    lambda name, c=chunks: self._guard(name, path, lambda e: e.update(*c)), live
                )
                for name, outcome in zip(list(live), list(outcomes), strict=True):
                    if isinstance(outcome, BenchError):
                        results[name] = outcome
                        del live[name]
        for name in live:
            results[name] = self._guard(name, path, lambda e: e.finish())
        return results

    def _recall(self, name: str, key: str, stored: str, done: dict) -> bool:
        """Whether the result is known: from this call, from the cache, or because it cannot be made here."""
        if (key, name) in done:
            return True
        if name not in self._lacking:
            self._lacking[name] = unavailable(name, self._weights)
        if message := self._lacking[name]:
            done[key, name] = Unavailable(message)
            return True
        cached = self._cache.load(name, stored)
        if cached is not None:
            done[key, name] = cached
        return cached is not None

    def _keep(self, name: str, key: str, result: Features | BenchError) -> None:
        if isinstance(result, ExtractorCrash | Unavailable):
            return
        self._cache.save(name, key, result)

    def _inherit(self, name: str, key: str, done: dict) -> dict[str, Features] | BenchError:
        inherited = {dependency: done[key, dependency] for dependency in registry.extractor(name).after}
        return next((result for result in inherited.values() if isinstance(result, BenchError)), inherited)

    def _extractor(self, name: str) -> Extractor:
        if name not in self._extractors:
            extractor = registry.extractor(name)
            self._extractors[name] = extractor(self._weights.require(extractor.weights), resolve_device(self._device))
        return self._extractors[name]

    def _guard(self, name: str, path: Path, call) -> Features | BenchError | None:
        try:
            return call(self._extractor(name))
        except Undefined as reason:
            return reason
        except MissingPrerequisite as reason:
            return Unavailable(str(reason))
        except BenchError:
            raise
        except Exception as error:
            self._note_crash(f"extractor {name} on {path}")
            return ExtractorCrash(f"extractor {name} crashed: {type(error).__name__}: {error}")

    def _note_crash(self, what: str) -> None:
        if self._log is None:
            raise
        with open(self._log, "a", encoding="utf-8") as file:
            file.write(f"{what}\n{traceback.format_exc()}\n")


class _Source:
    """The chunks of a clip, decoded ahead in a thread, and kept if they fit the buffer."""

    def __init__(self, clip: Clip):
        self.clip = clip
        self.decodes = 0
        self._kept: list[np.ndarray] | None = None

    def chunks(self) -> Iterator[np.ndarray]:
        if self._kept is not None:
            yield from self._kept
            return
        self.decodes += 1
        fits = self.clip.num_frames * self.clip.height * self.clip.width * 3 <= BUFFER_BYTES
        kept = []
        for chunk in _ahead(self.clip.chunks()):
            if fits:
                kept.append(chunk)
            yield chunk
        self._kept = kept if fits else None


def _ahead(chunks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """The same chunks, the next one being decoded while this one is used."""
    ready: queue.Queue = queue.Queue(maxsize=1)
    stop = threading.Event()

    def offer(item) -> bool:
        while not stop.is_set():
            try:
                ready.put(item, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def decode() -> None:
        try:
            for chunk in chunks:
                if not offer(chunk):
                    return
            offer(None)
        except BaseException as error:
            offer(error)

    thread = threading.Thread(target=decode, name="decode", daemon=True)
    thread.start()
    try:
        while (item := ready.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stop.set()
        thread.join()


def _stored_key(name: str, clip: Clip) -> str:
    """The clip's key, together with what the extractor reads beside the clip."""
    beside = registry.extractor(name).beside(clip)
    return hashlib.sha256(f"{clip.key};{beside}".encode()).hexdigest() if beside else clip.key


def extractor_closure(names: Iterable[str]) -> list[str]:
    """The names and everything they build on, what is built on first."""
    ordered: dict[str, None] = {}

    def visit(name: str) -> None:
        for dependency in registry.extractor(name).after:
            visit(dependency)
        ordered[name] = None

    for name in sorted(names):
        visit(name)
    return list(ordered)


def metric_label(emotion: str | None) -> Features:
    """The emotion label as a feature: {"emotion": uint8 (n,) utf-8 bytes}, empty where the case has none."""
    return {"emotion": np.frombuffer((emotion or "").encode(), np.uint8)}
