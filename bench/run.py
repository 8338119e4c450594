"""Run: a plan, brought up to date. What is done is kept, what is missing is made, the summary is written at the end."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean

from bench import registry
from bench.aggregate import Rows, aggregate, entries
from bench.estimate import estimate, record_speed
from bench.features import Unavailable, extractor_closure, extractor_identity, unavailable
from bench.media.clip import Clip
from bench.media.errors import BenchError, Undefined, UserError
from bench.plan import Plan, resolve_metrics
from bench.pool import work
from bench.progress import Progress, counted
from bench.provenance import environment
from bench.store import Record, RunStore, write_atomically
from bench.weights import Weights
from bench.worker import Task, Worker, find_video
from metrics.metric import Metric
from protocols.protocol import Case

SCHEMA = 1
AGGREGATE_VERSION = 1
"""Raised when `bench.aggregate` or `bench.statistics` would give another block for the same features."""


@dataclass(frozen=True)
class Outcome:
    """What a run came to."""

    folder: Path
    summary: dict | None
    """None while other shards are still missing."""
    waiting: int
    """Cases other shards have not delivered yet."""

    @property
    def exit_code(self) -> int:
        return 1 if self.summary and self.summary["n_failed"] else 0


def run(
    plan: Plan,
    folder: Path,
    *,
    weights: Weights,
    progress: Progress,
    devices: list[str],
    shard: tuple[int, int] | None = None,
    retry_failed: bool = False,
) -> Outcome:
    """Bring a run folder up to date with a plan and write its summary.

    Args:
        plan: what to do.
        folder: run folder; a folder that holds another run is refused.
        weights: where weights and the cache are.
        progress: where to report to.
        devices: torch devices of this machine, each a worker.
        shard: (i, n), 1 <= i <= n: do every n-th case from the i-th on.
        retry_failed: make failed cases again.
    """
    store = RunStore(folder, shard)
    manifest = _open_manifest(store, plan)
    plan = _with_earlier_metrics(plan, manifest)
    tasks = _tasks(plan, folder, store.records(), weights, shard, retry_failed)
    if tasks:
        _make_ready(plan, tasks, progress)
        new = [task.case for task in tasks if task.known is None]
        if new:
            progress.say(estimate(plan, new, weights, devices, folder))
        manifest["invocations"].append(_work(plan, store, weights, progress, devices, shard, tasks))
    manifest["cases"] = [case.model_dump(mode="json") for case in plan.cases]
    manifest["metrics"] = {key: {"variant": m.variant, "version": m.version} for key, m in plan.metrics.items()}
    manifest["weights"] = _weights_used(plan, weights)
    store.write_json("run.json", manifest)
    return _finish(plan, store, weights)


# -- what is to be done ---------------------------------------------------------------------------------------------


def _open_manifest(store: RunStore, plan: Plan) -> dict:
    """The folder's run.json, or a new one; refused if it belongs to another run."""
    known = store.read_json("run.json")
    if known is not None and known["fingerprint"] != plan.fingerprint:
        raise UserError(
            f"{store.folder} holds another run ({known['label']} on {known['protocol']}, fingerprint "
            f"{known['fingerprint'][:8]}, this one has {plan.fingerprint[:8]}): its settings, seed or input files differ. "
            "Choose another --out, or delete that folder"
        )
    if known is not None and "submitted" in known:
        raise UserError(f"{store.folder} holds a run that others made and handed in; choose another --out")
    if known is not None:
        return known
    manifest = {
        "schema": SCHEMA, "fingerprint": plan.fingerprint, "data": plan.data_digest, "label": plan.label,
        "method": plan.method, "config": plan.config, "protocol": plan.protocol_name,
        "protocol_settings": plan.protocol.model_dump(mode="json"), "incomplete": plan.incomplete, "seed": plan.seed,
        "videos": plan.videos and str(plan.videos), "metrics": {}, "weights": {}, "invocations": [],
    }  # fmt: skip
    store.write_json("run.json", manifest)
    return manifest


def _with_earlier_metrics(plan: Plan, manifest: dict) -> Plan:
    """The plan with the metrics the folder was scored with before, so that its summary only grows."""
    earlier = resolve_metrics([key for key in manifest["metrics"] if key not in plan.metrics])
    return Plan(**(vars(plan) | {"metrics": plan.metrics | earlier}))


def _tasks(
    plan: Plan,
    folder: Path,
    records: Mapping[str, Record],
    weights: Weights,
    shard: tuple[int, int] | None,
    retry_failed: bool,
) -> list[Task]:
    first, count = (shard[0] - 1, shard[1]) if shard else (0, 1)
    available: dict[str, bool] = {}
    tasks = []
    for case in plan.cases[first::count]:
        known = records.get(case.id)
        if known and known["status"] == "failed":
            if not retry_failed:
                continue
            known = None
        entries = known["metrics"] if known else {}
        keys = tuple(
            key
            for key, metric in plan.metrics.items()
            if _is_due(metric, entries.get(key), weights, available)
            and _can_change(metric, entries.get(key), case, plan, folder)
        )
        if known is None or keys:
            tasks.append(Task(case, known, keys))
    return tasks


def _is_due(metric: Metric, entry: dict | None, weights: Weights, available: dict[str, bool]) -> bool:
    """Whether a case lacks this metric, has it from an older version, or missed a weight that is here now."""
    if entry is None or entry["version"] != metric.version:
        return True
    if "missing" not in entry:
        return False
    if metric.key not in available:
        names = {need.split(":")[1] for need in metric.needs if not need.startswith("case:")}
        available[metric.key] = all(unavailable(name, weights) is None for name in names)
    return available[metric.key]


def _can_change(metric: Metric, entry: dict | None, case: Case, plan: Plan, folder: Path) -> bool:
    """Whether a metric that missed something beside its clips (an OpenFace CSV) would find it now."""
    if entry is None or "missing" not in entry:
        return True
    video = find_video(plan.videos, case.id) if plan.videos else RunStore(folder).video(case.id)
    paths = {"prediction": video, "target": case.target, "driving": case.driving, "reference": case.reference}
    asked = ((paths.get(role), name) for role, name in (need.split(":") for need in metric.needs))
    return all(registry.extractor(name).lacks(Clip(path)) is None for path, name in asked if path)


def _make_ready(plan: Plan, tasks: list[Task], progress: Progress) -> None:
    """Let the protocol make the files these cases read, and those of each next one, whose speech a control may take."""
    places = {case.id: place for place, case in enumerate(plan.all_cases)}
    after = {(places[task.case.id] + 1) % len(plan.all_cases) for task in tasks}
    needed = dict.fromkeys([places[task.case.id] for task in tasks] + sorted(after))
    with counted(progress, "render") as step:
        plan.protocol.make_ready([plan.all_cases[place] for place in needed], step)


# -- doing it -------------------------------------------------------------------------------------------------------


def _work(plan, store: RunStore, weights: Weights, progress: Progress, devices, shard, tasks: list[Task]) -> dict:
    """Process the tasks, appending each record as it comes; return what run.json says about this invocation."""
    began, started = datetime.now(UTC), time.perf_counter()
    known = {task.case.id: task.known for task in tasks}
    facts: list[dict] = []
    parts: dict[str, list[float]] = {}
    frames = 0
    progress.start(len(tasks), "score" if all(known.values()) else "run")
    try:
        for answer in work(plan, store.folder, weights, devices, tasks):
            if "facts" in answer:
                facts.append(answer["facts"])
                continue
            if not _says_nothing_new(answer, known[answer["case"]]):
                store.append(answer)
            frames += answer.get("frames", 0)
            for part, taken in answer.get("seconds_by_part", {}).items() if known[answer["case"]] is None else ():
                parts.setdefault(part, []).append(taken)
            progress.step(
                answer["case"] if answer["status"] == "ok" else f"{answer['case']} FAILED: {answer['reason']}"
            )
    finally:
        progress.stop()
    seconds = time.perf_counter() - started
    if not any(known.values()):
        record_speed(plan, devices[0], weights, frames, seconds * len(devices))
    return {
        "started": began.isoformat(timespec="seconds"), "seconds": round(seconds, 3), "cases": len(tasks),
        "frames": frames, "devices": devices, "shard": shard and f"{shard[0]}/{shard[1]}",
        "parameters": next((f["parameters"] for f in facts if f.get("parameters")), None),
        "peak_memory_bytes": max((f.get("peak_memory_bytes", 0) for f in facts), default=0),
        "load_seconds": max((f["load_seconds"] for f in facts if f.get("load_seconds") is not None), default=None),
        "seconds_per_clip": {part: round(fmean(taken), 3) for part, taken in parts.items()},
        "environment": environment(),
    }  # fmt: skip


def _says_nothing_new(record: Record, known: Record | None) -> bool:
    """Whether a record repeats what is stored (a weight that is still missing)."""
    if known is None or known["status"] != record["status"]:
        return False
    return all(known["metrics"].get(key) == entry for key, entry in record["metrics"].items())


def _weights_used(plan: Plan, weights: Weights) -> dict[str, str]:
    """sha256 of every weight file that the plan's method and its extractors found here."""
    names = {need.split(":")[1] for m in plan.metrics.values() for need in m.needs if not need.startswith("case:")}
    files = {file for name in extractor_closure(names) for file in registry.extractor(name).weights}
    own = {}
    if plan.videos is None:
        generator = registry.method(plan.method)
        config = generator.Config(**plan.config)
        files |= set(generator.required_weights(config))
        own = generator.own_files(config)
    found = {file: path for file in sorted(files) if (path := weights.path(file))} | dict(own)
    return {file: weights.hashes.sha256(path) for file, path in found.items() if path.exists()}


# -- the end --------------------------------------------------------------------------------------------------------


def _finish(plan: Plan, store: RunStore, weights: Weights) -> Outcome:
    records = {case.id: record for case in plan.cases if (record := store.records().get(case.id))}
    waiting = len(plan.cases) - len(records)
    if waiting:
        return Outcome(store.folder, None, waiting)
    summary = summarise(plan, store, weights, records)
    store.write_json("summary.json", summary)
    return Outcome(store.folder, summary, 0)


def rows_of(plan: Plan, folder: Path, records: Mapping[str, Record], weights: Weights | None = None) -> Rows:
    """Where aggregation gets the rows of set metrics from: the feature cache, or the stored videos again."""
    worker = Worker(plan, folder, weights or Weights())
    cases: dict[str, Case] = {case.id: case for case in plan.cases}

    def rows(case: str, metric: Metric):
        needs = worker.case_features(cases[case], records[case], [metric])
        for need in metric.needs:
            if isinstance(needs[need], Unavailable):
                raise UserError(f"{metric.key} of case {case} was scored, but its features are gone and {needs[need]}")
            if isinstance(needs[need], BenchError):
                raise Undefined(str(needs[need]))
        return metric.case(needs)

    return rows


def summarise(plan: Plan, store: RunStore, weights: Weights, records: dict[str, Record]) -> dict:
    """summary.json: a function of the records (and the features of set metrics) alone, so equal runs give equal bytes."""
    ordered = [records[case] for case in sorted(records)]
    failures = [{"case": r["case"], "reason": r["reason"]} for r in ordered if r["status"] == "failed"]
    return {
        "schema": SCHEMA, "protocol": plan.protocol_name, "method": plan.method, "label": plan.label,
        "control": _is_control(plan), "fingerprint": plan.fingerprint, "data": plan.data_digest,
        "n": len(ordered), "n_failed": len(failures), "failures": failures,
        "synthetic": plan.protocol.synthetic, "incomplete": plan.incomplete,
        "notes": [{"case": r["case"], "note": note} for r in ordered for note in r.get("notes", ())],
        "metrics": {key: _aggregated(plan, key, ordered, store.folder, weights) for key in plan.metrics},
    }  # fmt: skip


def _aggregated(plan: Plan, key: str, ordered: list[Record], folder: Path, weights: Weights) -> dict:
    """One metric's block. A set metric over thousands of frames takes a minute: it is remembered by what went into it."""
    metric = plan.metrics[key]
    rows = rows_of(plan, folder, {record["case"]: record for record in ordered}, weights)
    if metric.kind != "set" or not entries(ordered, key):
        return aggregate(ordered, {key: metric}, rows)[key]
    names = sorted(need.split(":")[1] for need in metric.needs)
    scored = [(r["case"], r["identity"], r["status"], r.get("video_sha256"), r.get("target_sha256"), r["metrics"].get(key))
              for r in ordered]  # fmt: skip
    what = [AGGREGATE_VERSION, key, metric.version, [extractor_identity(name, weights) for name in names], scored]
    digest = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()
    remembered = weights.cache / "aggregates" / f"{digest}.json"
    if remembered.exists():
        return json.loads(remembered.read_text("utf-8"))
    block = aggregate(ordered, {key: metric}, rows)[key]
    write_atomically(remembered, json.dumps(block))
    return block


def _is_control(plan: Plan) -> bool:
    return plan.videos is None and registry.method(plan.method).control
