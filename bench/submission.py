"""What must hold of a run that others made before it may stand in a table here.

It must be whole, of this version of suite, protocol, metrics and metric networks, and its summary must follow from its cases.
What it cannot prove is that its frames were made by the method it names: that takes the videos, or running it again.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bench import registry
from bench.aggregate import aggregate, entries, in_order
from bench.features import extractor_closure
from bench.media.clip import hash_file
from bench.media.errors import BenchError, UserError
from bench.plan import DESCRIPTIVE, deciding_settings, digest_of_cases, resolve_metrics
from bench.run import SCHEMA
from bench.weights import Weights
from metrics.metric import Metric
from protocols.protocol import Case, Protocol

TOLERANCE = 1e-6
"""Relative; scores are stored with 10 digits, and bootstraps draw the same everywhere."""


@dataclass(frozen=True)
class Submission:
    """A run that may stand in a table."""

    manifest: dict[str, Any]
    """run.json, with this machine's paths where it has the data."""
    checked: list[str]
    unchecked: list[str]


class _Open(BaseModel):
    """A document others wrote: what is read here has these types, what else is in it stays."""

    model_config = ConfigDict(extra="allow")


class _Version(_Open):
    variant: str
    version: int


class _Environment(_Open):
    commit: str | None
    dirty: bool | None
    python: str
    platform: str
    packages: dict[str, str]


class _Invocation(_Open):
    started: str
    seconds: float
    cases: int
    devices: list[str]
    shard: str | None
    parameters: int | None
    peak_memory_bytes: int
    environment: _Environment


class _Manifest(_Open):
    schema_: int = Field(alias="schema")
    fingerprint: str = Field(pattern="^[0-9a-f]{64}$")
    data: str = Field(pattern="^[0-9a-f]{64}$")
    label: str
    method: str
    config: dict[str, Any]
    protocol: str
    protocol_settings: dict[str, Any]
    incomplete: str | None
    seed: int
    videos: str | None
    metrics: dict[str, _Version]
    weights: dict[str, str]
    invocations: list[_Invocation]
    cases: list[Case] = Field(min_length=1)


class _Note(_Open):
    case: str
    note: str


class _Summary(_Open):
    schema_: int = Field(alias="schema")
    protocol: str
    method: str
    label: str
    fingerprint: str
    data: str
    control: bool
    synthetic: bool
    incomplete: str | None
    n: int
    n_failed: int
    failures: list[dict[str, str]]
    notes: list[_Note]
    metrics: dict[str, dict[str, Any]]


class _Record(_Open):
    model_config = ConfigDict(
        extra="allow", strict=True
    )  # The file stays as it came: nothing may be read as what it is not.

    case: str
    identity: str
    emotion: str | None
    level: int | None
    status: Literal["ok", "failed"]
    reason: str | None
    seconds: float | None = None
    metrics: dict[str, dict[str, Any]]


def check_submission(folder: Path, weights: Weights, data: Path | None = None) -> Submission:
    """Check a run folder that came from elsewhere.

    Args:
        folder: with run.json, cases.jsonl, summary.json and perhaps videos/.
        weights: where weights and the cache are.
        data: prepared data set of this machine, to check the cases against.

    Raises:
        UserError: the first thing that does not hold, and what to do.
    """
    manifest, summary = _read(folder / "run.json", _Manifest), _read(folder / "summary.json", _Summary)
    records = _records(folder / "cases.jsonl")
    for document in (manifest, summary):
        if document.schema_ != SCHEMA:
            raise UserError(
                f"made with run schema {document.schema_}, this suite has {SCHEMA}: run it again with this one"
            )
    for name in ("fingerprint", "data", "label", "method", "protocol", "incomplete"):
        if getattr(manifest, name) != getattr(summary, name):
            raise UserError(f"run.json and summary.json are not of one run: {name} differs")
    protocol = _protocol(manifest)
    _check_role(manifest, summary, protocol)
    metrics = _metrics(manifest, summary, records, weights)
    _check_cases(manifest.cases, records)
    _check_summary(summary, records, metrics)
    submission = Submission(
        manifest.model_dump(mode="json", by_alias=True) | {"protocol_settings": protocol.model_dump(mode="json")},
        ["sizes and digests", "versions of protocol, metrics and metric networks", "counts and failures"],
        [],
    )
    pooled = [key for key, metric in metrics.items() if metric.kind != "set"]
    submission.checked.append(f"computed again from the cases: {', '.join(pooled) or 'no metric'}")
    if fixed := [key for key in metrics if key not in pooled]:
        submission.unchecked.append(f"taken as they are: {', '.join(fixed)}")
    _compare_with_data(submission, manifest, protocol, weights, data)
    _check_videos(submission, folder, records)
    return submission


def is_safe_name(name: str) -> bool:
    """Whether a name from outside is a plain relative path: it may become a file name below a folder of ours."""
    parts = PurePosixPath(name).parts
    plain = name.isprintable() and not any(sign in name for sign in '\\:*?"<>|') and len(name.encode()) <= 1000
    return plain and bool(parts) and name == "/".join(parts) and not name.startswith("/") and ".." not in parts


def _protocol(manifest: _Manifest) -> Protocol:
    """The protocol as it is here; refused unless its settings are those of the run."""
    if manifest.protocol not in registry.protocols():
        raise UserError(
            f"its protocol {manifest.protocol} is not known here; `bench list protocols` shows those that are"
        )
    protocol = registry.protocol(manifest.protocol)()
    theirs = {key: value for key, value in manifest.protocol_settings.items() if key not in DESCRIPTIVE}
    ours = deciding_settings(protocol)
    if different := sorted({key for key, _ in _frozen(theirs) ^ _frozen(ours)}):
        shown = "; ".join(f"{key} is {theirs.get(key)}, here {ours.get(key)}" for key in different)
        raise UserError(
            f"made with another version of protocol {manifest.protocol}: {shown}; run it again with this one"
        )
    return protocol


def _frozen(settings: Mapping[str, Any]) -> set[tuple[str, str]]:
    return {(key, json.dumps(value, sort_keys=True)) for key, value in settings.items()}


def _check_role(manifest: _Manifest, summary: _Summary, protocol: Protocol) -> None:
    """A method may not pass for a control, nor rendered faces for real ones."""
    known = manifest.videos is None and manifest.method in registry.methods()
    control = known and registry.method(manifest.method).control
    if (known or manifest.videos) and summary.control != control:
        raise UserError(
            f"summary.json says control: {summary.control}, {manifest.method} is {'' if control else 'not '}one"
        )
    if summary.synthetic != protocol.synthetic:
        raise UserError(
            f"summary.json says synthetic: {summary.synthetic}, protocol {manifest.protocol} says otherwise"
        )


def _metrics(manifest: _Manifest, summary: _Summary, records: list[dict], weights: Weights) -> dict[str, Metric]:
    """The metrics of the run; refused where one has another version here, or was scored with other networks."""
    metrics = resolve_metrics(list(summary.metrics))
    if list(metrics) != list(summary.metrics) or metrics.keys() != manifest.metrics.keys():
        raise UserError("run.json and summary.json do not list the same metrics, each once")
    for key, metric in metrics.items():
        versions = {record["metrics"][key].get("version") for record in records if key in record["metrics"]}
        for version in versions | {manifest.metrics[key].version}:
            if version != metric.version:
                raise UserError(
                    f"{key} was scored with version {version}, here it is {metric.version}: score the run again"
                )
    names = {need.split(":")[1] for metric in metrics.values() for need in metric.needs if not need.startswith("case:")}
    for file in sorted({file for name in extractor_closure(names) for file in registry.extractor(name).weights}):
        path, theirs = weights.path(file), manifest.weights.get(file)
        if path and theirs and weights.hashes.sha256(path) != theirs:
            raise UserError(
                f"scored with another {file} (sha256 {theirs[:12]}) than this suite has: score the run again"
            )
    return metrics


def _check_cases(cases: list[Case], records: list[dict]) -> None:
    """Every case once, under a harmless name, and recorded as the case it is."""
    by_id = {case.id: case for case in cases}
    if len(by_id) != len(cases):
        raise UserError("run.json lists a case twice")
    for id in by_id:
        if not is_safe_name(id):
            raise UserError(f"case id {id!r} is no plain relative path")
    recorded = [record["case"] for record in records]
    if sorted(recorded) != sorted(by_id):
        raise UserError(
            f"run.json has {len(by_id)} cases, cases.jsonl {len(recorded)} lines, and they are not the same"
        )
    for record in records:
        case = by_id[record["case"]]
        if record["status"] == "ok" and not all(
            isinstance(record.get(name), int) for name in ("frames", "height", "width")
        ):
            raise UserError(f"case {case.id} says nothing of the size of its video")
        if (record["identity"], record["emotion"], record["level"]) != (case.identity, case.emotion, case.level):
            raise UserError(f"case {case.id} is another person, emotion or level in cases.jsonl than in run.json")


def _check_summary(summary: _Summary, records: list[dict], metrics: Mapping[str, Metric]) -> None:
    """summary.json must be what these cases give; of set metrics only the counts can be told."""
    ordered = in_order(records)
    failures = [{"case": r["case"], "reason": r["reason"]} for r in ordered if r["status"] == "failed"]
    if (summary.n, summary.n_failed, summary.failures) != (len(ordered), len(failures), failures):
        raise UserError("summary.json does not follow from cases.jsonl: number of cases or failures")
    for key, metric in metrics.items():
        block = summary.metrics[key]
        try:
            expected = aggregate(ordered, {key: metric})[key]
            if metric.kind == "set":
                counts = [entry["rows"] for _, entry in entries(ordered, key)]
                expected |= {"rows": [sum(side) for side in zip(*counts, strict=True)]} if counts else {}
        except (BenchError, ArithmeticError, LookupError, TypeError, ValueError) as error:
            raise UserError(f"cases.jsonl: {key} cannot be aggregated ({error})") from error
        for name in _OF_SETS if metric.kind == "set" else _OF_CASES:
            value = expected.get(name)
            if not _same(block.get(name), value):
                raise UserError(
                    f"summary.json does not follow from cases.jsonl: {name} of {key} is {block.get(name)}, the cases give {value}"
                )


_OF_CASES, _OF_SETS = ("value", "ci95", "n", "n_failed"), ("n", "n_failed", "rows")
"""What of a metric's block follows from the records alone."""


def _same(one: Any, other: Any) -> bool:
    """Equal up to rounding, numbers and lists of them."""
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, int | float) and isinstance(other, int | float):
        return math.isclose(one, other, rel_tol=TOLERANCE, abs_tol=1e-9)
    return one == other


def _compare_with_data(
    submission: Submission, manifest: _Manifest, protocol: Protocol, weights: Weights, data: Path | None
) -> None:
    """Compare the cases with this machine's data and take its paths; rendered data need not be there yet."""
    if protocol.synthetic and data is None:
        data = weights.cache / "synth"
    if data is None:
        submission.unchecked.append("that it saw the protocol's own clips: give --data to check")
        return
    here = protocol.cases(data)
    if digest_of_cases(here, weights) != manifest.data:
        raise UserError(
            f"made on other clips than protocol {manifest.protocol} has here: another version of the data set, or of the "
            "synthetic world; run it again"
        )
    known = {case.id: case for case in here}
    said = ("identity", "emotion", "level", "num_frames", "content")
    for case in manifest.cases:
        ours = known.get(case.id)
        if ours is None or any(getattr(case, name) != getattr(ours, name) for name in said):
            raise UserError(f"case {case.id} is not the one that protocol {manifest.protocol} has here")
    submission.manifest["cases"] = [known[case.id].model_dump(mode="json") for case in manifest.cases]
    submission.checked.append("cases and clips against those of this machine")


def _check_videos(submission: Submission, folder: Path, records: list[dict]) -> None:
    """The videos that came along must be those that were scored."""
    files = {path.relative_to(folder / "videos").with_suffix("").as_posix(): path
             for path in (folder / "videos").rglob("*") if path.is_file()}  # fmt: skip
    if not files:
        submission.unchecked.append("the videos: they are not in the archive")
        return
    scored = {record["case"]: record.get("video_sha256") for record in records if record["status"] == "ok"}
    if files.keys() != scored.keys():
        raise UserError("videos/ does not hold one video of every case that was scored")
    for case, path in files.items():
        if hash_file(path) != scored[case]:
            raise UserError(f"videos/{path.name} is not the video that was scored for case {case}")
    submission.checked.append("videos are those that were scored")


def _read(path: Path, form: type[_Open]):
    try:
        return form(**_parsed(path.read_text("utf-8")))
    except (ValidationError, ValueError, TypeError) as error:
        raise UserError(f"{path.name} is not one of a run: {_short(error)}") from error


def _records(path: Path) -> list[dict]:
    try:
        return [_Record(**_parsed(line)).model_dump() for line in path.read_text("utf-8").split("\n")[:-1]]
    except (ValidationError, ValueError, TypeError) as error:
        raise UserError(f"{path.name} is not one of a run: {_short(error)}") from error


def _parsed(text: str) -> Any:
    def refuse(constant: str):
        raise ValueError(f"{constant} is no score")

    return json.loads(text, parse_constant=refuse)


def _short(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    return str(error)
