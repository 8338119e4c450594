"""Fit: train one expert, round it to what is stored, measure that, and save it with the measured figures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from metrics.synth.arrays import world_version

if TYPE_CHECKING:
    from torch import nn

    from metrics.synth.training import Budget, Loss, Recipe


def fit(
    model: nn.Module,
    shipped: nn.Module,
    loss: Loss,
    figures: Callable[[], dict[str, float]],
    *,
    settle: Callable[[], None] = lambda: None,
    data: Path,
    out: Path,
    recipe: Recipe,
    budget: Budget,
    log: Callable[[str], None],
) -> dict[str, float]:
    """Train `model` and save its part `shipped`, both in eval mode at the end.

    Args:
        model: all that is trained, made after `seed_everything(recipe.seed)`.
        shipped: the part of it that the extractor needs; heads that only serve the training are left out.
        loss: draws a batch and returns the loss.
        figures: measures `shipped` on identities it has not seen; called once, after rounding.
        settle: what is done to `shipped` after the training, before rounding.
        data: folder of the training arrays, for the version of the world.
        out: weight file to write; its checkpoint lies beside it while the training runs.

    Returns:
        What `figures` returned, which the weight file notes too.
    """
    from metrics.synth.training import round_weights, save_weights, train

    checkpoint = Path(out).with_suffix(".checkpoint")
    outcome = train(model, loss, recipe=recipe, budget=budget, checkpoint=checkpoint, log=log)
    settle()
    round_weights(shipped)
    measured = figures()
    save_weights(out, shipped, {"steps": outcome.steps, "world": world_version(data), **measured})
    checkpoint.unlink(missing_ok=True)
    return measured
