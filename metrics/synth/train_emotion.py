"""Training of `synth_emotion`, and how often it recognises the emotion of unseen people."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from metrics.synth.arrays import Clips, Stills, clips, split, stills
from metrics.synth.crops import FACE, varied
from metrics.synth.emotion import SIZE, emotion_network, faces
from metrics.synth.fit import fit

if TYPE_CHECKING:
    import torch
    from torch import nn

CLIPS, MOMENTS = 12, 10
"""Clips in a batch, and frames of each, spread over it."""
STILLS = 40
"""Stills in a batch: of many more people than the clips show, for the AUs alone."""
AUS = 24
AU_WEIGHT = 10.0


def train_emotion(
    data: Path,
    out: Path,
    *,
    minutes: float | None = None,
    steps: int | None = None,
    seed: int = 0,
    log: Callable[[str], None] = print,
) -> dict[str, float]:
    """Train on the clips and stills of `data`, save the weights to `out`.

    Returns:
        As `emotion_accuracy`, on the identities left for validation.
    """
    import torch

    from metrics.synth.training import Budget, Recipe, seed_everything

    performances, shots = clips(data), stills(data)
    rows, held = split(performances.identity)
    seed_everything(seed)
    network = emotion_network()
    head = au_head()
    return fit(
        torch.nn.ModuleDict({"network": network, "head": head}),
        network,
        emotion_loss(network, head, performances, rows, shots),
        lambda: _figures(network, performances, held),
        data=data,
        out=out,
        recipe=Recipe(seed=seed),
        budget=Budget(minutes=minutes, steps=steps),
        log=log,
    )


def emotion_accuracy(weights: Path, data: Path) -> dict[str, float]:
    """`accuracy`: share of the clips of `data` whose emotion is recognised; `level_1` ... `level_3`: of those of a level."""
    from metrics.synth.training import load_weights

    performances = clips(data)
    return _figures(load_weights(emotion_network(), weights), performances, np.arange(len(performances.identity)))


def au_head() -> nn.Linear:
    """The AUs of a frame from its features: what helps the network to look at faces as such."""
    from torch import nn

    from metrics.synth.emotion_network import FEATURES

    return nn.Linear(FEATURES, AUS)


def emotion_loss(
    network: nn.Module, head: nn.Module, performances: Clips, rows: np.ndarray, shots: Stills
) -> Callable[[np.random.Generator], torch.Tensor]:
    """The loss of a batch of CLIPS, drawn from these rows, and of STILLS: cross entropy of the emotion of the clips, and
    squared error of the AUs of all frames."""
    import torch

    from metrics.synth.convnet import pixels

    network.to(memory_format=torch.channels_last)
    length = performances.frames.shape[1]
    people = split(shots.identity)[0]

    def loss(rng: np.random.Generator) -> torch.Tensor:
        chosen = rng.choice(rows, CLIPS)
        times = [moments(length, rng) for _ in chosen]
        views = [varied(performances.frames[row][at], FACE, SIZE, rng) for row, at in zip(chosen, times, strict=True)]
        single = rng.choice(people, STILLS)
        views += [varied(shots.frames[row][None], FACE, SIZE, rng) for row in single]
        images = np.concatenate(views)
        aus = np.concatenate(
            [*(performances.aus[row][at] for row, at in zip(chosen, times, strict=True)), shots.aus[single]]
        )
        with torch.autocast("cpu", torch.bfloat16):
            features = network.frames(pixels(images)).float()
        logits = network.clip(features[: CLIPS * MOMENTS].unflatten(0, (CLIPS, MOMENTS)))
        emotion = torch.from_numpy(performances.emotion[chosen].astype(np.int64))
        error = (head(features) - torch.from_numpy(aus)).square().mean()
        return torch.nn.functional.cross_entropy(logits, emotion, label_smoothing=0.05) + AU_WEIGHT * error

    return loss


def moments(length: int, rng: np.random.Generator) -> np.ndarray:
    """int64 (MOMENTS,): one frame from each of as many equal parts of a clip."""
    edges = np.linspace(0, length, MOMENTS + 1)
    return np.minimum(rng.uniform(edges[:-1], edges[1:]).astype(int), length - 1)


def _figures(network: nn.Module, performances: Clips, rows: np.ndarray) -> dict[str, float]:
    import torch

    from metrics.synth.convnet import applied

    told = []
    for row in rows:
        features = applied(network.frames, faces(performances.frames[row]))
        with torch.inference_mode():
            told.append(int(network.clip(torch.from_numpy(features)[None])[0].argmax()))
    right, level = np.array(told) == performances.emotion[rows], performances.level[rows]
    figures = {"accuracy": float(right.mean())}
    return figures | {f"level_{own}": float(right[level == own].mean()) for own in np.unique(level)}
