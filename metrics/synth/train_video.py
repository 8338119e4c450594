"""Training of `synth_video`, and whether its Fréchet distance grows with what is done to clips of unseen people."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench.media.landmarks import ibug68
from metrics.functional.frechet import frechet_distance
from metrics.synth.arrays import Clips, clips, split
from metrics.synth.decorrelate import decorrelate
from metrics.synth.degradations import blurred, noisy
from metrics.synth.fit import fit
from metrics.synth.frame_expert import resized
from metrics.synth.video import FEATURES, SIZE, WINDOW, video_network

if TYPE_CHECKING:
    import torch
    from torch import nn

WINDOWS = 24
"""Windows in a batch."""
AUS = 24
CHANGES = ("shuffle", "freeze", "speed", "jitter", "flicker", "blur", "noise")
"""What is done to windows; strengths run from 0 to 1, of speed from -1 to 1."""
SHARE = 0.25
"""Chance of each change."""
LEVELS = (0.25, 0.5, 1.0)
"""Strengths that are checked."""


def train_video(
    data: Path,
    out: Path,
    *,
    minutes: float | None = None,
    steps: int | None = None,
    seed: int = 0,
    log: Callable[[str], None] = print,
) -> dict[str, float]:
    """Train on the clips of `data`, save the weights to `out`.

    Returns:
        As `video_sensitivity`, on the identities left for validation.
    """
    import torch

    from metrics.synth.training import Budget, Recipe, seed_everything

    performances = clips(data)
    rows, held = split(performances.identity)
    seed_everything(seed)
    network = video_network()
    head = video_head()
    return fit(
        torch.nn.ModuleDict({"network": network, "head": head}),
        network,
        video_loss(network, head, performances, rows),
        lambda: _figures(network, performances, held),
        settle=lambda: settle(network, performances, rows),
        data=data,
        out=out,
        recipe=Recipe(seed=seed),
        budget=Budget(minutes=minutes, steps=steps),
        log=log,
    )


def video_sensitivity(weights: Path, data: Path) -> dict[str, float]:
    """FVD of the clips of `data` against changed copies.

    Returns:
        `fvd_shuffle_0.25` ... `fvd_noise_1`: of every change at LEVELS; `fvd_halves`: between the clips of one half of the
        people and the other.
    """
    from metrics.synth.training import load_weights

    performances = clips(data)
    return _figures(load_weights(video_network(), weights), performances, np.arange(len(performances.identity)))


def video_head() -> nn.Linear:
    """What is regressed from the features: mean and speed of the AUs, speed of the head, strength of the changes."""
    from torch import nn

    return nn.Linear(FEATURES, 2 * AUS + 2 + len(CHANGES))


def played(length: int, start: int, strengths: dict[str, float], rng: np.random.Generator) -> np.ndarray:
    """Which frames of a clip of `length` a window shows, int64 (16,): in order from `start` but for `speed` (from 1/2 to 2
    times as fast), `shuffle` (frames change places over up to 4 frames) and `freeze` (a frame is shown again with the
    chance `strength`)."""
    speed = 2.0 ** strengths.get("speed", 0.0)
    start = min(start, max(0, length - int(np.ceil(speed * WINDOW))))
    order = np.minimum(start + np.rint(speed * np.arange(WINDOW)).astype(int), length - 1)
    if shuffle := strengths.get("shuffle", 0.0):
        order = order[np.argsort(np.arange(WINDOW) + 4 * shuffle * rng.standard_normal(WINDOW))]
    if freeze := strengths.get("freeze", 0.0):
        shown = np.where(rng.random(WINDOW) < freeze, 0, np.arange(WINDOW))
        order = order[np.maximum.accumulate(shown)]
    return order


def shown(frames: np.ndarray, strengths: dict[str, float], rng: np.random.Generator) -> np.ndarray:
    """Frames uint8 (16, H, W, 3) under `jitter` (each moved by up to about 3 % of its size), `flicker` (brightness by up to
    about 20 %), `blur` (sigma up to 2 % of the size) and `noise` (sigma up to 24 grey levels)."""
    if jitter := strengths.get("jitter", 0.0):
        frames = moved(frames, 0.015 * jitter * frames.shape[1] * rng.standard_normal((len(frames), 2)))
    if flicker := strengths.get("flicker", 0.0):
        gain = 1 + 0.1 * flicker * rng.standard_normal(len(frames))
        frames = np.clip(np.rint(frames * gain[:, None, None, None]), 0, 255).astype(np.uint8)
    frames = blurred(frames, 0.02 * strengths.get("blur", 0.0) * frames.shape[1])
    noise = strengths.get("noise", 0.0)
    return noisy(frames, 24 * noise, rng) if noise else frames


def moved(frames: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Frames uint8 (t, H, W, 3), each moved by float (t, 2) pixels x, y, bilinear, edges repeated."""
    import cv2

    size = frames.shape[2], frames.shape[1]
    matrices = (np.array([[1.0, 0.0, x], [0.0, 1.0, y]]) for x, y in shift)
    return np.stack(
        [
            cv2.warpAffine(frame, matrix, size, borderMode=cv2.BORDER_REPLICATE)
            for frame, matrix in zip(frames, matrices, strict=True)
        ]
    )


def video_loss(network, head, performances: Clips, rows: np.ndarray) -> Callable[[np.random.Generator], torch.Tensor]:
    """The loss of a batch of WINDOWS, drawn from these rows."""
    import torch

    from metrics.synth.convnet import pixels

    network.to(memory_format=torch.channels_last)

    def loss(rng: np.random.Generator) -> torch.Tensor:
        windows, truth = zip(*(_example(performances, row, rng) for row in rng.choice(rows, WINDOWS)), strict=True)
        with torch.autocast("cpu", torch.bfloat16):
            features = network(pixels(np.stack(windows))).float()
        return (head(features) - torch.from_numpy(np.stack(truth))).square().mean(0).sum()

    return loss


def _example(performances: Clips, row: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A changed window uint8 (16, 64, 64, 3), and what is to be told of it, float32 (57,)."""
    strengths = {change: rng.random() for change in CHANGES if rng.random() < SHARE}
    if "speed" in strengths:
        strengths["speed"] = 2 * strengths["speed"] - 1
    length = performances.frames.shape[1]
    order = played(length, int(rng.integers(length - WINDOW + 1)), strengths, rng)
    frames = shown(resized(performances.frames[row][order], SIZE), strengths, rng)
    aus = performances.aus[row][order]
    place = ibug68(performances.landmarks[row][order]).mean(1) / performances.frames.shape[2]
    speeds = 10 * np.abs(np.diff(aus, axis=0)).mean(0), 100 * np.abs(np.diff(place, axis=0)).mean(0)
    told = np.concatenate([aus.mean(0), *speeds, [strengths.get(change, 0.0) for change in CHANGES]])
    return frames, told.astype(np.float32)


def settle(network: nn.Module, performances: Clips, rows: np.ndarray, count: int = 1000) -> None:
    """Decorrelate the features over `count` changed windows, drawn from these rows."""
    from metrics.synth.convnet import applied

    rng = np.random.default_rng(0)
    windows = np.stack([_example(performances, row, rng)[0] for row in rng.choice(rows, count)])
    decorrelate(network.head[-2], network.head[-1], applied(network, windows, batch=8))


def _figures(network: nn.Module, performances: Clips, rows: np.ndarray, most: int = 200) -> dict[str, float]:
    rows = rows[np.argsort(performances.identity[rows], kind="stable")][:most]
    clean = _features(network, performances, rows, {})
    figures = {
        f"fvd_{change}_{level:g}": frechet_distance(_features(network, performances, rows, {change: level}), clean)
        for change in CHANGES
        for level in LEVELS
    }
    half = len(clean) // 2
    return figures | {"fvd_halves": frechet_distance(clean[:half], clean[half:])}


def _features(network: nn.Module, performances: Clips, rows: np.ndarray, strengths: dict[str, float]) -> np.ndarray:
    """float32 (w, 64) of all whole windows of these clips, changed alike."""
    from metrics.synth.convnet import applied

    rng = np.random.default_rng(0)
    length = performances.frames.shape[1]
    windows = []
    for row in rows:
        frames = resized(performances.frames[row], SIZE)
        for start in range(0, length - WINDOW + 1, WINDOW):
            windows.append(shown(frames[played(length, start, strengths, rng)], strengths, rng))
    return applied(network, np.stack(windows), batch=8)
