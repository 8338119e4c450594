"""schedulers_diffusers_*.json: tables of the noise schedules, and steps taken along them.

A file holds the results of steps but not the sample and the model output they began with, which were the same in all of
a backbone's records. Every recorded vector is linear in those two, with coefficients that our schedulers give; so they
are what fits all records best, and the records are compared with what follows from them. One wrong coefficient leaves
no pair that fits.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from bench.parity.files import parse_json
from bench.parity.report import Report

GROUPS = {"hallo": ("hallo_ddim", "hallo_train"), "memo": ("memo_flow",), "wan_vocal": ("sa_infer", "sa_train")}


def check(folder: Path, report: Report) -> None:
    paths = sorted(folder.glob("schedulers_diffusers_*.json"))
    if not paths:
        report.unchecked.append("no schedulers_diffusers_*.json: noise schedules")
    for path in paths:
        document = parse_json(path.read_text("utf-8"), str(path))
        groups = [name for name in GROUPS[report.backbone] if name in document]
        if not groups:
            report.unchecked.append(f"{path.name}: has none of {', '.join(GROUPS[report.backbone])}")
        vectors: dict = {}
        for group in groups:
            _check_tables(f"{path.name}:{group}/", _scheduler(group), document[group], vectors, report)
        if vectors:
            _check_vectors(vectors, report)


def _scheduler(group: str):
    from diffusers import DDIMScheduler, FlowMatchEulerDiscreteScheduler

    from methods.hallo import pipeline, train
    from methods.stableavatar.config import StableAvatarConfig

    def shifted() -> FlowMatchEulerDiscreteScheduler:
        return FlowMatchEulerDiscreteScheduler(shift=StableAvatarConfig().shift)

    return {
        "hallo_ddim": lambda: DDIMScheduler(**pipeline.SCHEDULE),
        "hallo_train": lambda: DDIMScheduler(**train.TRAINING_SCHEDULE),
        "memo_flow": FlowMatchEulerDiscreteScheduler,
        "sa_infer": shifted,
        "sa_train": shifted,
    }[group]()


def _check_tables(prefix: str, scheduler, records: dict, vectors: dict, report: Report) -> None:
    """Compare tables at once; collect recorded vectors as name -> (coefficients of sample and output, values)."""
    if "timesteps" in records:
        scheduler.set_timesteps(len(records["timesteps"]))
    for name, values in records.items():
        if name == "n":
            report.compare(prefix + name, len(scheduler.timesteps), values)
        elif table := re.fullmatch(r"(\w+)(?:\[(.*)\])?", name):
            whole = np.asarray(getattr(scheduler, table[1]))
            report.compare(prefix + name, whole[_index(table[2])] if table[2] else whole, values)
        elif match := re.match(r"(velocity|add_noise) t=(\d+) ", name):
            vectors[prefix + name] = _mixed(scheduler, match[1], int(match[2])), values
        elif match := re.match(r"(\d+) steps ", name):
            for number, coefficients in enumerate(_steps(scheduler, int(match[1]))):
                vectors[f"{prefix}{name}[{number}]"] = coefficients, values[number]
        else:
            report.unchecked.append(f"{prefix}{name}: of unknown meaning")


def _index(text: str) -> int | slice:
    """What stands between brackets: "-1" or "::111"."""
    return slice(*(int(part) if part else None for part in text.split(":"))) if ":" in text else int(text)


def _basis() -> tuple:
    import torch

    return torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])


def _mixed(scheduler, what: str, time: int) -> np.ndarray:
    """Coefficients of sample and noise in the velocity or the noisy sample at a time."""
    import torch

    mix = {
        "velocity": lambda *args: scheduler.get_velocity(*args),
        "add_noise": lambda *args: scheduler.add_noise(*args),
    }
    return mix[what](*_basis(), torch.tensor([time])).double().numpy()


def _steps(scheduler, count: int) -> list[np.ndarray]:
    """Coefficients of the sample and of the model output, always the same, after each of the first steps."""
    sample, output = _basis()
    rows = []
    for time in scheduler.timesteps[:count]:
        sample = scheduler.step(output, time, sample).prev_sample
        rows.append(sample.double().numpy())
    return rows


def _check_vectors(vectors: dict, report: Report) -> None:
    """Compare every vector with what follows from the sample and output that fit all of them best."""
    coefficients = np.stack([row for row, _ in vectors.values()])
    values = np.array([values for _, values in vectors.values()], np.float64)
    best = np.linalg.lstsq(coefficients, values, rcond=None)[0]
    for name, ours, reference in zip(vectors, coefficients @ best, values, strict=True):
        report.compare(name, ours, reference)
