"""Training of `synth_image`, and whether its distances grow with what is done to frames of unseen people."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench.media.landmarks import ibug68
from metrics.functional.frechet import frechet_distance
from metrics.synth.arrays import Stills, split, stills
from metrics.synth.decorrelate import decorrelate
from metrics.synth.degradations import blurred, compressed, noisy, recoloured
from metrics.synth.fit import fit
from metrics.synth.frame_expert import resized
from metrics.synth.image import FEATURES, PAIRS, SIZE, image_network, map_distances
from metrics.synth.people import People, supervised_contrastive

if TYPE_CHECKING:
    import torch
    from torch import nn

PEOPLE, EACH = 24, 2
"""People in a batch and frames of each."""
TEMPERATURE = 0.1
POINTS68 = (8, 19, 24, 30, 36, 39, 42, 45, 48, 51, 54, 57)
"""Points that are told: chin, brows, nose tip, eye corners, mouth."""
AUS = 24
DEGRADATIONS = 7
LEVELS: dict[str, tuple[float, ...]] = {
    "blur": (0.5, 1.0, 2.0, 4.0),
    "noise": (4.0, 8.0, 16.0, 32.0),
    "jpeg": (60.0, 30.0, 15.0, 7.0),
}
"""Strengths that are checked, each worse than the one before: sigma in pixels, sigma in grey levels, quality."""


def train_image(
    data: Path,
    out: Path,
    *,
    minutes: float | None = None,
    steps: int | None = None,
    seed: int = 0,
    log: Callable[[str], None] = print,
) -> dict[str, float]:
    """Train on the stills of `data`, save the weights to `out`.

    Returns:
        As `image_sensitivity`, on the identities left for validation.
    """
    import torch

    from metrics.synth.training import Budget, Recipe, seed_everything

    shots = stills(data)
    rows, held = split(shots.identity)
    seed_everything(seed)
    network = image_network()
    heads = image_heads()
    return fit(
        torch.nn.ModuleDict({"network": network, "heads": heads}),
        network,
        image_loss(network, heads, shots, rows),
        lambda: _figures(network, shots, held),
        settle=lambda: settle(network, shots, rows),
        data=data,
        out=out,
        recipe=Recipe(seed=seed),
        budget=Budget(minutes=minutes, steps=steps),
        log=log,
    )


def image_sensitivity(weights: Path, data: Path) -> dict[str, float]:
    """FID and LPIPS of the stills of `data` against spoilt copies.

    Returns:
        `fid_blur_0.5` ... `lpips_jpeg_7`: of every strength of LEVELS; `fid_same`, `lpips_same`: between different frames of
        the same people; `fid_swap`, `lpips_swap`: between frames of different people.
    """
    from metrics.synth.training import load_weights

    shots = stills(data)
    return _figures(load_weights(image_network(), weights), shots, np.arange(len(shots.identity)))


def image_heads() -> nn.ModuleDict:
    """Linear maps of the features: `told`, what is regressed, and `identity`, what is contrasted."""
    from torch import nn

    told = AUS + 2 * len(POINTS68) + DEGRADATIONS
    return nn.ModuleDict({"told": nn.Linear(FEATURES, told), "identity": nn.Linear(FEATURES, 32)})


def spoilt(frames: np.ndarray, kind: str, strength: float) -> np.ndarray:
    """Frames uint8 (t, H, W, 3) RGB with one of LEVELS."""
    if kind == "blur":
        return blurred(frames, strength)
    if kind == "noise":
        return noisy(frames, strength, np.random.default_rng(0))
    return compressed(frames, int(strength))


def degraded(frame: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A frame uint8 (H, W, 3) RGB with random changes, and how strong they are.

    Returns:
        uint8 (H, W, 3), and float32 (7,): blur, noise, compression, gain of red, green and blue, lift; each about 0 to 2.
    """
    strengths = np.zeros(DEGRADATIONS, np.float32)
    view = frame[None]
    if rng.random() < 0.4:
        strengths[3:6], strengths[6] = rng.standard_normal(3), rng.standard_normal()
        view = recoloured(view, 1 + 0.1 * strengths[3:6], 10 * strengths[6])
    if rng.random() < 0.4:
        strengths[0] = rng.uniform(0, 2)
        view = blurred(view, 0.3 * 4 ** strengths[0])
    if rng.random() < 0.4:
        strengths[1] = rng.uniform(0, 2)
        view = noisy(view, 2 * 4 ** strengths[1], rng)
    if rng.random() < 0.3:
        strengths[2] = rng.uniform(0, 2)
        view = compressed(view, round(80 / 4 ** strengths[2]))
    return view[0], strengths


def image_loss(network, heads, shots: Stills, rows: np.ndarray) -> Callable[[np.random.Generator], torch.Tensor]:
    """The loss of a batch of PEOPLE with EACH frames, drawn from these rows."""
    import torch

    from metrics.synth.convnet import pixels

    network.to(memory_format=torch.channels_last)
    people = People(shots.identity, rows, EACH)

    def loss(rng: np.random.Generator) -> torch.Tensor:
        batch = people.draw(rng, PEOPLE)
        views, strengths = zip(*(degraded(shots.frames[row], rng) for row in batch), strict=True)
        points = ibug68(shots.landmarks[batch])[:, list(POINTS68)] / shots.frames.shape[1]
        truth = np.concatenate([shots.aus[batch], 5 * (points - 0.5).reshape(len(batch), -1), np.stack(strengths)], 1)
        with torch.autocast("cpu", torch.bfloat16):
            features = network(pixels(resized(np.stack(views), SIZE))).float()
        error = (heads["told"](features) - torch.from_numpy(truth.astype(np.float32))).square().mean(0)
        told = AUS * error[:AUS].mean() + error[AUS:].sum()
        identity = torch.from_numpy(shots.identity[batch])
        return told + supervised_contrastive(heads["identity"](features), identity, TEMPERATURE)

    return loss


def settle(network: nn.Module, shots: Stills, rows: np.ndarray, count: int = 2000) -> None:
    """Decorrelate the features over `count` degraded frames, drawn from these rows."""
    rng = np.random.default_rng(0)
    frames = np.stack([degraded(shots.frames[row], rng)[0] for row in rng.choice(rows, count)])
    decorrelate(network.head[-2], network.head[-1], _pool(network, frames))


def _figures(network: nn.Module, shots: Stills, rows: np.ndarray, most: int = 400) -> dict[str, float]:
    rows = rows[np.argsort(shots.identity[rows], kind="stable")][:most]
    frames, identity = shots.frames[rows], shots.identity[rows]
    clean = _pool(network, frames)
    figures = {}
    for kind, strengths in LEVELS.items():
        for strength in strengths:
            changed = spoilt(frames, kind, strength)
            figures[f"fid_{kind}_{strength:g}"] = frechet_distance(_pool(network, changed), clean)
            figures[f"lpips_{kind}_{strength:g}"] = _mean_distance(network, changed, frames)
    half = len(rows) // 2
    figures["fid_same"] = frechet_distance(clean[::2], clean[1::2])
    figures["fid_swap"] = frechet_distance(clean[:half], clean[half:])
    same = identity[1:] == identity[:-1]
    figures["lpips_same"] = _mean_distance(network, frames[1:][same], frames[:-1][same])
    figures["lpips_swap"] = _mean_distance(network, frames[:half], frames[half : 2 * half])
    return figures


def _pool(network: nn.Module, frames: np.ndarray) -> np.ndarray:
    from metrics.synth.convnet import applied

    return applied(network, resized(frames, SIZE), batch=32)


def _mean_distance(network: nn.Module, frames: np.ndarray, target: np.ndarray) -> float:
    parts = [slice(start, start + PAIRS) for start in range(0, len(frames), PAIRS)]
    return float(np.concatenate([map_distances(network, frames[part], target[part]) for part in parts]).mean())
