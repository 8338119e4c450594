"""Training of `synth_identity`, and how well it tells unseen people apart."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench.media.errors import UserError
from metrics.synth.arrays import Stills, split, stills
from metrics.synth.crops import FACE, varied
from metrics.synth.fit import fit
from metrics.synth.identity import SIZE, faces, identity_network
from metrics.synth.people import People, supervised_contrastive

if TYPE_CHECKING:
    import torch
    from torch import nn

PEOPLE, EACH = 64, 3
"""People in a batch and frames of each."""
TEMPERATURE = 0.07


def train_identity(
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
        As `identity_accuracy`, on the identities left for validation.
    """
    from metrics.synth.training import Budget, Recipe, seed_everything

    shots = stills(data)
    rows, held = split(shots.identity)
    seed_everything(seed)
    network = identity_network()
    return fit(
        network,
        network,
        identity_loss(network, shots, rows),
        lambda: _figures(network, shots, held),
        data=data,
        out=out,
        recipe=Recipe(seed=seed),
        budget=Budget(minutes=minutes, steps=steps),
        log=log,
    )


def identity_accuracy(weights: Path, data: Path) -> dict[str, float]:
    """`eer`: equal error rate, in [0, 1], of verification over all pairs of the stills of `data`."""
    from metrics.synth.training import load_weights

    shots = stills(data)
    return _figures(load_weights(identity_network(), weights), shots, np.arange(len(shots.identity)))


def identity_loss(network: nn.Module, shots: Stills, rows: np.ndarray) -> Callable[[np.random.Generator], torch.Tensor]:
    """The loss of a batch of PEOPLE with EACH frames, drawn from these rows."""
    import torch

    from metrics.synth.convnet import pixels

    network.to(memory_format=torch.channels_last)
    people = People(shots.identity, rows, EACH)

    def loss(rng: np.random.Generator) -> torch.Tensor:
        batch = people.draw(rng, PEOPLE)
        views = np.concatenate([varied(shots.frames[row][None], FACE, SIZE, rng) for row in batch])
        with torch.autocast("cpu", torch.bfloat16):
            embeddings = network(pixels(views))
        return supervised_contrastive(embeddings.float(), torch.from_numpy(shots.identity[batch]), TEMPERATURE)

    return loss


def equal_error_rate(same: np.ndarray, different: np.ndarray) -> float:
    """Share of errors at the threshold where as many pairs of one person are refused as pairs of two are accepted.

    Args:
        same, different: float (n,) and (m,), similarity of the pairs of one person and of two people.

    Raises:
        UserError: one of the two is empty.
    """
    if not len(same) or not len(different):
        raise UserError("verification needs stills of at least two people, two of one of them; render more")
    thresholds = np.unique(np.concatenate([same, different]))
    refused = np.searchsorted(np.sort(same), thresholds) / len(same)
    accepted = 1 - np.searchsorted(np.sort(different), thresholds) / len(different)
    nearest = np.argmin(np.abs(refused - accepted))
    return float((refused[nearest] + accepted[nearest]) / 2)


def _figures(network: nn.Module, shots: Stills, rows: np.ndarray) -> dict[str, float]:
    from metrics.synth.convnet import applied

    embeddings = applied(network, faces(shots.frames[rows]))
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    first, second = np.triu_indices(len(rows), 1)
    cosine = (unit @ unit.T)[first, second]
    same = shots.identity[rows][first] == shots.identity[rows][second]
    return {"eer": equal_error_rate(cosine[same], cosine[~same])}
