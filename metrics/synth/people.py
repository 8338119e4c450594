"""People in batches: who is in a set of frames, several frames of each, and the loss that brings them together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


class People:
    """The rows of each person.

    Args:
        identity: int (N,), of all rows.
        rows: int (n,), those to draw from.
        each: frames of a person in a batch; who has fewer is left out.
    """

    def __init__(self, identity: np.ndarray, rows: np.ndarray, each: int):
        order = rows[np.argsort(identity[rows], kind="stable")]
        groups = np.split(order, np.flatnonzero(np.diff(identity[order])) + 1)
        self._groups = [group for group in groups if len(group) >= each]
        self._each = each

    def draw(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """Rows int64 (count * each,) of `count` people, or of all where there are fewer, each person's together."""
        chosen = rng.choice(len(self._groups), min(count, len(self._groups)), replace=False)
        return np.concatenate([rng.choice(self._groups[person], self._each, replace=False) for person in chosen])


def supervised_contrastive(embeddings: torch.Tensor, identity: torch.Tensor, temperature: float) -> torch.Tensor:
    """Mean over frames and their partners of -log softmax of the cosine with the partner among all other frames (Khosla
    et al., 2020, eq. 2).

    Args:
        embeddings: float (n, D), not normalised.
        identity: int (n,), every person at least twice.
        temperature: what cosines are divided by.
    """
    import torch

    unit = torch.nn.functional.normalize(embeddings, dim=1)
    own = torch.eye(len(unit), dtype=torch.bool)
    log_share = (unit @ unit.T / temperature).masked_fill(own, -torch.inf).log_softmax(1)
    partners = (identity[:, None] == identity[None]) & ~own
    return -(log_share.masked_fill(~partners, 0.0).sum(1) / partners.sum(1)).mean()
