"""Identity-aware AU conditioning of IUFace (Sec. 2, Eq. 1): c_a = phi1(a) + phi2(f_id)."""

from __future__ import annotations

from torch import Tensor, nn


def _two_layers(inputs: int, width: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, width), nn.SiLU(), nn.Linear(width, outputs))


class AUConditioning(nn.Module):
    """AU values and an identity embedding as tokens of the video transformer.

    The paper gives neither the width of the two MLPs nor their activation; its parameter count (1.89 B) leaves room for a
    width of about 512.
    """

    def __init__(self, au_dim: int, identity_dim: int | None, width: int, dim: int):
        """identity_dim: None = without phi2, AUs are not modulated by identity (ablation "w/o IA")."""
        super().__init__()
        self.phi1 = _two_layers(au_dim, width, dim)
        self.phi2 = _two_layers(identity_dim, width, dim) if identity_dim else None

    def forward(self, aus: Tensor, identity: Tensor | None = None) -> Tensor:
        """aus (B, N, A) in their vocabulary's own units, identity (B, E) -> c_a (B, N, D)."""
        tokens = self.phi1(aus)
        return tokens if self.phi2 is None else tokens + self.phi2(identity)[:, None]
