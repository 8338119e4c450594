"""What a run will cost, said before it starts: frames, time from the method's recorded speed, disk."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from bench.media.errors import MediaError
from bench.plan import Plan, view
from bench.progress import duration
from bench.store import write_atomically
from bench.weights import Weights

SAMPLED_CASES = 20
"""Cases opened for the estimate; the others are taken to be like them."""
LOSSLESS_RATIO = 0.3
"""Stored bytes per raw byte, libx264rgb qp 0: 0.27 measured on 360x288 speech clips."""


def estimate(plan: Plan, cases: Sequence, weights: Weights, devices: list[str], folder: Path) -> str:
    """One line: cases, frames, time, disk; with a warning where the disk is too small.

    Args:
        plan: the run.
        cases: the cases still to be made.
        weights: gives the cache, where speeds are recorded.
        devices: devices it runs on.
        folder: run folder, for free space.
    """
    step = max(1, len(cases) // SAMPLED_CASES)
    sampled = [shape for case in cases[::step] if (shape := _shape(plan, case, weights))]
    frames = sum(count for count, _ in sampled) / max(1, len(sampled)) * len(cases)
    raw = sum(count * pixels * 3 for count, pixels in sampled) / max(1, len(sampled)) * len(cases)
    stored = raw * LOSSLESS_RATIO if plan.videos is None and plan.protocol.output == "video" else 0
    speed = _speeds(weights).get(_key(plan, devices[0]))
    time = f"about {duration(frames * speed / len(devices))}" if speed else "time not known before its first run here"
    line = f"{plan.label}: {len(cases)} cases, {frames:.0f} frames, {time}, {stored / 1e6:.0f} MB of video in {folder}"
    free = shutil.disk_usage(folder).free
    if stored > free:
        line += f"\nwarning: only {free / 1e6:.0f} MB are free there; choose --out on a larger disk or --limit"
    return line


def record_speed(plan: Plan, device: str, weights: Weights, frames: int, seconds: float) -> None:
    """Remember seconds per frame, generation and scoring together, for the next estimate."""
    if frames:
        speeds = _speeds(weights) | {_key(plan, device): seconds / frames}
        write_atomically(weights.cache / "speeds.json", json.dumps(speeds, indent=1, sort_keys=True))


def _shape(plan: Plan, case, weights: Weights) -> tuple[int, int] | None:
    try:
        clip = view(case.target or case.driving, plan.protocol, weights, None, plan.protocol.size)
        return case.num_frames or plan.protocol.frames or clip.num_frames, clip.height * clip.width
    except MediaError:
        return None


def _speeds(weights: Weights) -> dict[str, float]:
    path = weights.cache / "speeds.json"
    return json.loads(path.read_text()) if path.exists() else {}


def _key(plan: Plan, device: str) -> str:
    what = "score" if plan.videos else plan.name
    return f"{what} on {device} with {len(plan.metrics)} metrics"
