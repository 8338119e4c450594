"""Colours and highlights of a head: skin, lips, lids, brows, eyes, teeth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.media.head_layout import Layout, bump, ramp

Colour = tuple[float, float, float]
"""Red, green, blue; sRGB [0, 1]."""


@dataclass(frozen=True)
class Palette:
    """Colours of a face."""

    skin: Colour = (0.86, 0.66, 0.56)
    lips: Colour = (0.72, 0.38, 0.36)
    brows: Colour = (0.22, 0.14, 0.10)
    iris: Colour = (0.35, 0.45, 0.50)
    blush: float = 0.5
    """Redness of the cheeks, [0, 1]."""
    stubble: float = 0.0
    """Shadow of a beard in the colour of the brows, [0, 1]."""


def colours(base: Layout, palette: Palette) -> np.ndarray:
    """Colours of the face at rest: float32 (V, 3) RGB [0, 1], sRGB albedo."""
    painted = _skin(base, palette)
    _paint_lips_and_lids(painted, base, palette)
    parts, skin, iris = base.parts, np.array(palette.skin), np.array(palette.iris)
    painted[parts["upper_teeth"]] = (0.95, 0.94, 0.90)
    painted[parts["lower_teeth"]] = (0.88, 0.86, 0.82)
    upper, lower = (parts[f"{row}_teeth"].reshape(4, -1) for row in ("upper", "lower"))
    painted[upper[:2]] = painted[lower[2:]] = (0.68, 0.36, 0.36)  # gums
    painted[parts["tongue"]] = (0.70, 0.33, 0.33)
    painted[parts["cavity"]] = np.array([0.22, 0.07, 0.07]) * np.linspace(1.0, 0.6, 4).repeat(5)[:, None]
    painted[parts["glints"]] = 1.0
    painted[parts["ears"]] = skin * [0.98, 0.90, 0.88]
    painted[parts["brows"]] = palette.brows
    pupil, white = [[0.03] * 3] * 2, [[0.93, 0.92, 0.91], [0.95] * 3, [0.90] * 3, [0.8] * 3]
    rings = np.clip(np.array([*pupil, iris * 1.25, iris * 0.75, *white]), 0, 1)
    painted[parts["eyes"]] = np.repeat(rings, len(base.eye_directions) // len(rings), 0)
    return np.clip(painted, 0, 1).astype(np.float32)


def _skin(base: Layout, palette: Palette) -> np.ndarray:
    """(N, 3): skin with blush, shaded sockets, stubble and nostrils."""
    x, y, z = base.neutral.T
    a = np.abs(x)
    painted = np.tile(np.array(palette.skin), (len(x), 1))
    red = palette.blush * (bump(a, y, 0.42, -0.13, 0.16, 0.13) + 0.6 * bump(a, y, 0, -0.17, 0.10, 0.09))
    painted *= 1 - (red * (z > 0))[:, None] * np.array([0.02, 0.20, 0.18])
    painted *= 1 - (0.08 * bump(a, y, 0.28, 0.31, 0.17, 0.07) * (z > 0))[:, None] * np.array([0.8, 1, 1])
    beard = ramp((-0.20 - y) / 0.2) * ramp((z + 0.05) / 0.3) * ramp((a + 0.5 - y - 0.66) / 0.25)
    beard = np.maximum(beard * (y < -0.24), bump(a, y, 0.08, -0.345, 0.16, 0.045) * (z > 0))
    painted += (0.7 * palette.stubble * beard)[:, None] * (np.array(palette.brows) - painted)
    nostril = (bump(a, y, 0.05, -0.245, 0.028, 0.022) * (z > 0.5))[:, None]
    return painted * (1 - 0.72 * nostril)


def _paint_lips_and_lids(painted: np.ndarray, base: Layout, palette: Palette) -> None:
    skin, lips = np.array(palette.skin), np.array(palette.lips)
    for ring, shade in enumerate((0.35, 0.70, 1.0, 1.0, 0.94)):
        painted[base.lip_rings[ring]] = lips * shade
    painted[base.lip_rings[4, [0, 10]]] = 0.5 * lips + 0.3 * skin
    for eye in base.eye_rings:
        painted[eye[0, :9]] = 0.07  # lashes
        painted[eye[1, 1:8]] = 0.42 * skin
        painted[eye[0, 9:]] = np.array([0.72, 0.50, 0.47]) * (0.4 + 0.6 * skin[0])
        painted[eye[1, 9:]] *= 0.72
        painted[eye[2, 1:8]] *= 0.94


def specular(base: Layout) -> np.ndarray:
    """Strength of highlights: float32 (V,) [0, 1]."""
    x, y, _ = base.neutral.T
    strength = 0.06 + 0.10 * bump(x, y, 0, -0.12, 0.06, 0.1)
    strength[base.lip_rings[1:4]] = 0.16
    for name, value in _SPECULAR.items():
        strength[base.parts[name]] = value
    return strength.astype(np.float32)


_SPECULAR = {"brows": 0.0, "upper_teeth": 0.3, "lower_teeth": 0.3, "eyes": 0.10, "cavity": 0.0}
