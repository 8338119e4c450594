"""Plan: which cases, which metrics, under which fingerprint. Made before any work, so that mistakes cost seconds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError

from bench import registry
from bench.device import CORES_PER_WORKER
from bench.media.clip import Clip
from bench.media.errors import MediaError, UserError
from bench.weights import Weights
from methods.generator import Generator, GeneratorConfig
from metrics.metric import Metric
from protocols.protocol import Case, Protocol

DEFAULT_OUT = Path("results") / "runs"


@dataclass(frozen=True)
class Plan:
    """A run before it starts. Pickles, so that workers get it whole."""

    method: str
    """Name in the registry, or the label of finished videos."""
    config: dict[str, Any]
    """The method's settings, all of them."""
    protocol_name: str
    protocol: Protocol
    all_cases: tuple[Case, ...]
    """Every case of the protocol: controls take another case's speech from here, whatever the limit."""
    cases: tuple[Case, ...]
    """The cases of this run, after --limit, before --shard."""
    metrics: dict[str, Metric]
    """Result key -> metric, in the order of the table."""
    seed: int
    videos: Path | None
    """Folder with finished videos named by case id, for `score`; None where the method generates."""
    fingerprint: str
    """Digest of everything that decides the frames: method, version, settings, protocol, inputs, seed."""
    data_digest: str
    """Digest of the protocol's inputs: two runs with the same one saw the same cases."""
    incomplete: str | None = None
    """What the data set on this machine lacks of the published protocol; None if nothing."""

    @property
    def name(self) -> str:
        """The method with its speed profile, `method@profile`; the bare name is the exact one."""
        profile = self.config.get("profile", "exact")
        return self.method if profile == "exact" else f"{self.method}@{profile}"

    @property
    def label(self) -> str:
        """Name of the row: the method, where it takes its AUs from, and every setting that differs from its default."""
        if self.videos is not None:
            return self.method
        generator = registry.method(self.method)
        defaults = _default_config(generator, self.protocol).model_dump(mode="json")
        shown = [
            f"{name}={Path(value).name if name in file_settings(generator.Config) else value}"
            for name, value in self.config.items()
            if name != "profile" and (defaults.get(name) != value or name == "au_source")
        ]
        return f"{self.name} ({', '.join(shown)})" if shown else self.name

    @property
    def cores_per_worker(self) -> int:
        """Processor cores per worker where there is no GPU: small networks gain little from a second one."""
        return 1 if self.config.get("model") == "synth" else CORES_PER_WORKER

    def __getstate__(self) -> dict:
        """Metrics travel by name: their functions may be closures, which do not pickle."""
        return vars(self) | {"metrics": list(self.metrics)}

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state | {"metrics": resolve_metrics(state["metrics"])})

    def default_out(self) -> Path:
        return DEFAULT_OUT / self.protocol_name / f"{self.name}-{self.fingerprint[:8]}"


def make_plan(
    *,
    method: str,
    protocol: str,
    data: Path | None,
    weights: Weights,
    limit: int | None = None,
    metrics: list[str] | None = None,
    seed: int = 0,
    settings: dict[str, str] | None = None,
    videos: Path | None = None,
) -> Plan:
    """Resolve names, read the case list, hash the inputs.

    Args:
        method: name in the registry, or `name@profile` for its speed profile; the label of finished videos.

    Raises:
        UserError: an unknown name, a bad setting, no data, or a method that needs what the protocol does not have.
    """
    specification = registry.protocol(protocol)()
    if specification.synthetic and data is None:
        data = weights.cache / "synth"
    chosen = resolve_metrics(metrics or list(specification.metrics))
    config: dict[str, Any] = {}
    inputs: dict[str, str] = {}
    version = 0
    if videos is None:
        method, _, profile = method.partition("@")
        settings = (settings or {}) | ({"profile": profile} if profile else {})
        generator = registry.method(method)
        chosen_config = configure(method, generator, settings, specification)
        config = chosen_config.model_dump(mode="json")
        version = generator.version
        inputs = _method_files(method, generator, chosen_config, weights)
    elif settings:
        raise UserError("--set changes a method's settings; finished videos have none")
    elif specification.output != "video":
        raise UserError(f"protocol {protocol} asks for {_MAKES[specification.output]}, not for videos")
    cases = tuple(specification.cases(data))
    if videos is None:
        _refuse_unmet_needs(method, registry.method(method), protocol, specification, cases)
        _refuse_au_source(method, config, protocol, specification)
    if len({case.id for case in cases}) != len(cases):
        raise UserError(f"protocol {protocol}: two cases have the same id; ids must be unique")
    data_digest = digest_of_cases(cases, weights)
    identity = {
        "method": method, "version": version, "config": config | inputs, "protocol": protocol,
        "settings": deciding_settings(specification), "data": data_digest, "seed": seed,
        "videos": videos is not None,
    }  # fmt: skip
    count = specification.default_limit if limit is None else limit
    return Plan(
        method,
        config,
        protocol,
        specification,
        cases,
        cases[:count],
        chosen,
        seed,
        videos,
        _digest(identity),
        data_digest,
        specification.incomplete(data),
    )


def resolve_metrics(names: list[str]) -> dict[str, Metric]:
    """Result key -> metric for names such as `psnr` or `psnr@global`, each once, in their order."""
    found = {}
    for name in names:
        metric = registry.metric(name)
        found[registry.metric_key(metric)] = metric
    return found


def _default_config(generator: type[Generator], protocol: Protocol) -> GeneratorConfig:
    """The method's settings where none are given."""
    return generator.Config(**(generator.synth if protocol.synthetic else {}))


def configure(name: str, generator: type[Generator], settings: dict[str, str], protocol: Protocol) -> GeneratorConfig:
    """A method's settings as a run on this protocol has them.

    Raises:
        UserError: a setting it does not have, or a value it does not take.
    """
    unknown = set(settings) - set(generator.Config.model_fields)
    if unknown:
        known = ", ".join(generator.Config.model_fields) or "none"
        raise UserError(f"method {name} has no setting {', '.join(sorted(unknown))}; it has: {known}")
    values = {key: _literal(text) for key, text in settings.items()}
    try:
        return generator.Config(**(dict(generator.synth) if protocol.synthetic else {}) | values)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise UserError(f"method {name}: {problems}") from error


def file_settings(config: type[GeneratorConfig]) -> set[str]:
    """Settings of a method that name a file of the user's (`Path`), or may (`str | Path`)."""
    return {
        name for name, field in config.model_fields.items() if Path in (field.annotation, *get_args(field.annotation))
    }


def _method_files(name: str, generator: type[Generator], config: GeneratorConfig, weights: Weights) -> dict[str, str]:
    """Digest of every file that decides what the method makes: its weights, and what its settings name.

    Raises:
        UserError: one is not here; before any work.
    """
    required = generator.required_weights(config)
    if message := weights.missing(required) or generator.missing(config):
        raise UserError(f"method {name} {message}")
    files = weights.require(required) | dict(generator.own_files(config))
    digests = {f"weights {key}": weights.hashes.sha256(path) for key, path in files.items()}
    for key in sorted(file_settings(generator.Config)):
        if (value := getattr(config, key)) is None:
            continue
        if Path(value).is_file():
            digests[key] = weights.hashes.sha256(Path(value))
        elif isinstance(value, Path):
            raise UserError(f"method {name}: {key}={value}: no such file")
    return digests


def deciding_settings(protocol: Protocol) -> dict[str, Any]:
    """The settings of a protocol that decide what is generated and how it is scored: two runs share a table only if these
    are the same."""
    return protocol.model_dump(mode="json", exclude=DESCRIPTIVE)


DESCRIPTIVE = {"metrics", "clip_length", "default_limit", "default_subset", "au_sources"}
"""Settings of a protocol that change no frame of a case."""


def digest_of_cases(cases: Sequence[Case], weights: Weights) -> str:
    """Digest of a protocol's inputs by content: two runs with the same one saw the same cases."""
    return _digest([_case_identity(case, weights) for case in cases])


_MAKES = {"video": "frames", "aus": "an emotion and an AU track"}


def _refuse_unmet_needs(
    name: str, generator: type[Generator], protocol: str, specification: Protocol, cases: tuple[Case, ...]
) -> None:
    """Before any work: a method that needs what no case of the protocol has, or makes something else than it asks for."""
    if generator.makes != specification.output:
        raise UserError(
            f"method {name} makes {_MAKES[generator.makes]}, protocol {protocol} asks for {_MAKES[specification.output]}"
        )
    has = {"audio", "aus"}  # Every case has a driving file; one without a face or speech fails alone.
    has |= {"target"} if any(case.target for case in cases) else set()
    has |= {"emotion"} if any(case.emotion for case in cases) else set()
    has |= {"other_audio"} if len(cases) > 1 else set()
    if lacking := sorted(generator.needs - has):
        raise UserError(f"method {name} needs {' and '.join(lacking)}, which protocol {protocol} does not have")


def _refuse_au_source(name: str, config: dict[str, Any], protocol: str, specification: Protocol) -> None:
    """A method set to take its AUs from where the protocol does not let it."""
    source = config.get("au_source")
    if source is not None and source not in specification.au_sources:
        raise UserError(
            f"protocol {protocol} lets a method take its AUs from {', '.join(specification.au_sources)}, "
            f"{name} is set to au_source={source}"
        )


def _literal(text: str) -> Any:
    """A --set value: JSON where it is JSON (numbers, true, lists), else the text itself."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _case_identity(case: Case, weights: Weights) -> list:
    """What a case is made of, by content: paths do not count."""
    if case.content is not None:
        return [case.id, case.identity, case.emotion, case.level, case.num_frames, case.content]
    files = []
    for path in (case.reference, case.driving, case.target, case.aus):
        try:
            files.append(path and weights.hashes.sha256(path))
        except MediaError:
            files.append("unreadable")
    return [case.id, case.identity, case.emotion, case.level, case.num_frames, *files]


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def view(
    path: Path, protocol: Protocol, weights: Weights, num_frames: int | None, size: tuple[int, int] | None
) -> Clip:
    """A file as the protocol sees it: at its rate, at `size`, cut to `num_frames`."""
    return Clip(path, fps=protocol.fps, size=size, num_frames=num_frames, sha256=weights.hashes.sha256(path))
