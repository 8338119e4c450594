"""How the 24 Action Units of FEAFA move the average head, and where they crease its skin.

Each unit is a displacement of every vertex at intensity 1 and a darkening of the skin in its folds. The fields are
written for the person's left side (x > 0) and mirrored for the right. What a unit means follows FEAFA (Yan et al.,
2019) and AUHead, Fig. 8. `AUStyle` says how the movement looks on one face: mostly where it goes, hardly how far.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from bench.media.au import FEAFA_UNITS
from bench.media.head_layout import (
    EYE,
    EYE_RINGS,
    LID_ALONG,
    LIP_ALONG,
    LIP_RINGS,
    LIP_Y,
    MOUTH_HALF_WIDTH,
    Layout,
    bump,
    lid_curves,
    lip_line,
    ramp,
)


@dataclass(frozen=True)
class AUStyle:
    """How Action Units look on one face; 0 is the average, people vary about as N(0, 1)."""

    smile_up: float = 0.0
    """The corners of a smile go up rather than out."""
    smile_cheek: float = 0.0
    """A smile lifts the cheeks."""
    stretch_down: float = 0.0
    """Stretched lips go down rather than straight out."""
    brow_inner: float = 0.0
    """The brow is raised at its inner rather than its outer end."""
    brow_knit: float = 0.0
    """Lowered brows draw together rather than down."""
    lid_low: float = 0.0
    """Closed lids meet low, with little help of the lower lid."""
    jaw_back: float = 0.0
    """The jaw swings back as it drops."""
    lip_square: float = 0.0
    """A raised or lowered lip opens the mouth square rather than round."""
    pucker_forward: float = 0.0
    """Puckered lips come forward rather than narrow."""
    puff_low: float = 0.0
    """Cheeks puff low."""
    nose_up: float = 0.0
    """A wrinkled nose is drawn up rather than wide."""
    chin_dimple: float = 0.0
    """A raised chin dimples."""
    crease: float = 0.0
    """Folds are deep."""
    lopsided: float = 0.0
    """Smile and brows go higher on the person's left and wider on the right."""
    gains: tuple[float, ...] = (1.0,) * len(FEAFA_UNITS)
    """Reach of each unit, near 1."""


@dataclass(frozen=True, eq=False)
class _Face:
    """Coordinates in which one side's fields are written: x > 0 on that side. Arrays of N, one per vertex."""

    x: np.ndarray
    y: np.ndarray
    z: np.ndarray
    jaw: np.ndarray
    """How far the vertex belongs to the lower jaw, [0, 1]."""
    skin: np.ndarray
    """1 on the skin, 0 elsewhere."""
    lip: np.ndarray
    """Number of the vertex's lip ring, -1 for none."""
    lip_along: np.ndarray
    """LIP_ALONG, positive on this side."""
    lip_side: np.ndarray
    """1 on the upper, -1 on the lower lip, 0 at the corners and elsewhere."""
    lid: np.ndarray
    """Number of the vertex's ring around this side's eye, -1 for none."""
    lid_along: np.ndarray
    """LID_ALONG."""
    lid_side: np.ndarray
    """1 on the upper, -1 on the lower lid, 0 at the corners and elsewhere."""
    side: float
    """1 at the person's left, -1 at the right."""

    @property
    def own(self) -> np.ndarray:
        """1 on this side, 0 on the other, a soft border between."""
        return ramp(0.5 + self.x / 0.14)


Field = tuple[np.ndarray | float, np.ndarray | float, np.ndarray | float]


def jaw_share(layout: Layout) -> np.ndarray:
    """(N,) how far each vertex follows the lower jaw: 0 to 1."""
    a, y = np.abs(layout.plan[:, 0]), layout.plan[:, 1]
    line = lip_line(np.clip(a / MOUTH_HALF_WIDTH, 0, 1))
    soft = 0.06 + 0.9 * np.maximum(0, a - 0.7 * MOUTH_HALF_WIDTH)
    share = ramp(0.5 + (line - y) / soft) * ramp((layout.neutral[:, 2] + 0.30) / 0.45)
    opening = np.clip(1 - np.abs(LIP_ALONG) ** 2.2, 0, 1) ** 0.6 * np.where(np.arange(20) > 10, -1, 1)
    for ring, blend in enumerate((1, 1, 1, 1, 1, 0.8, 0.5, 0.2)):
        ids = layout.lip_rings[ring]
        share[ids] += blend * (0.5 + 0.5 * opening - share[ids])
    parts = layout.parts
    for name in ("upper_teeth", "ears", "eyes", "glints", "cavity"):
        share[parts[name].ravel()] = 0
    share[parts["lower_teeth"]] = share[parts["tongue"]] = 1
    share[parts["cavity"]] = np.repeat([0, 0.3, 0.7, 1], 5)
    return share


def _faces(layout: Layout) -> tuple[_Face, _Face]:
    """The head as seen from the person's left and right side."""
    none = np.zeros(len(layout.neutral))
    skin, lip, lip_along, lip_side = none.copy(), np.full(len(none), -1), none.copy(), none.copy()
    skin[layout.parts["skin"]] = 1
    lip[layout.lip_rings] = np.arange(LIP_RINGS)[:, None]
    lip_along[layout.lip_rings] = LIP_ALONG
    slots = np.arange(20)
    lip_side[layout.lip_rings] = np.where(slots > 10, 1, -1) * (slots % 10 > 0)
    jaw = jaw_share(layout)
    x, y, z = layout.neutral.T
    faces = []
    for side, rings in zip((-1.0, 1.0), layout.eye_rings, strict=True):
        lid, lid_along, lid_side = np.full(len(none), -1), none.copy(), none.copy()
        lid[rings] = np.arange(EYE_RINGS)[:, None]
        lid_along[rings] = LID_ALONG
        slots = np.arange(16)
        lid_side[rings] = np.where(slots < 9, 1, -1) * (slots % 8 > 0)
        face = _Face(x * side, y, z, jaw, skin, lip, lip_along * side, lip_side, lid, lid_along, lid_side, side)
        faces.append(face)
    return faces[1], faces[0]


# -- eyes and brows -------------------------------------------------------------------------------------------------


def _eye_close(f: _Face, s: AUStyle) -> Field:
    upper, lower = lid_curves(f.lid_along)
    meet = upper + (lower - upper) * (0.84 + 0.05 * np.tanh(s.lid_low))
    follow = np.select([f.lid == 0, f.lid == 1, f.lid == 2, f.lid == 3], [1, 1, 0.62, 0.15], 0.0)
    down = np.where(f.lid_side > 0, meet + 0.004 - upper, (meet - 0.004 - lower)) * follow * (f.lid_side != 0)
    brow = -0.014 * bump(f.x, f.y, 0.3, 0.42, 0.2, 0.08) * f.own
    return 0.0, down + brow, 0.0


def _lid_raise(f: _Face, s: AUStyle) -> Field:
    follow = np.select([f.lid == 0, f.lid == 1, f.lid == 2, f.lid == 3], [1, 1, 0.85, 0.3], 0.0)
    arch = (1 - np.abs(f.lid_along) ** 2.5) * (f.lid_side != 0)
    return 0.0, follow * arch * np.where(f.lid_side > 0, 0.066, -0.026), 0.0


def _off_lids(f: _Face) -> np.ndarray:
    """1, but little on the lids' margins, which only their own units move."""
    return np.select([(f.lid == 0) | (f.lid == 1), f.lid == 2, f.lid == 3], [0.15, 0.4, 0.8], 1.0)


def _brow_lower(f: _Face, s: AUStyle) -> Field:
    weight = bump(f.x, f.y, 0.20, 0.41, 0.25, 0.14) * f.own * _off_lids(f) * f.skin
    inner = np.clip(1.25 - f.x / 0.55, 0.4, 1.25)
    knit = np.tanh(s.brow_knit)
    return -(0.045 + 0.016 * knit) * weight, -(0.100 - 0.012 * knit) * weight * inner, 0.025 * weight


def _brow_raise(f: _Face, s: AUStyle) -> Field:
    centre = 0.33 - 0.07 * np.tanh(s.brow_inner)
    weight = (
        np.exp(-((np.abs(f.x - centre) / 0.36) ** 3)) * bump(0, f.y, 0, 0.47, 1, 0.17) * f.own * _off_lids(f) * f.skin
    )
    high = 0.125 * (1 + 0.06 * np.tanh(s.lopsided) * f.side)
    return 0.01 * weight, high * weight, 0.0


# -- jaw ------------------------------------------------------------------------------------------------------------


def _jaw_drop(f: _Face, s: AUStyle) -> Field:
    back = 0.08 + 0.05 * np.tanh(s.jaw_back)
    down = 0.34 * (f.z + 0.1) * ramp((f.z + 0.3) / 0.5)
    hollow = bump(np.abs(f.x), f.y, 0.48, -0.36, 0.16, 0.2) * f.skin
    corner = bump(np.abs(f.x), f.y, 0.26, LIP_Y, 0.10, 0.14) * f.skin
    narrow = -np.sign(f.x) * (0.03 * hollow + 0.025 * corner)
    return narrow, -down * f.jaw, f.jaw * back * np.minimum(f.y, 0) - 0.02 * hollow


def _jaw_left(f: _Face, s: AUStyle) -> Field:
    upper_lip = 0.30 * bump(f.x, f.y, 0, LIP_Y + 0.03, 0.3, 0.08) * (1 - f.jaw) * f.skin
    lower = f.jaw * ramp((f.z - 0.02) / 0.5)
    return 0.165 * (lower + upper_lip), 0.03 * lower * f.x, 0.0


def _jaw_thrust(f: _Face, s: AUStyle) -> Field:
    weight = f.jaw * ramp((f.z + 0.05) / 0.5)
    low = ramp((-0.62 - f.y) / 0.3) * f.skin
    lip = bump(f.x, f.y, 0, LIP_Y - 0.05, 0.30, 0.10) * f.jaw * f.skin
    wide = 0.20 * f.x * np.exp(-((f.x / 0.42) ** 2))
    return wide * weight * low, 0.055 * lip - 0.085 * weight * low, 0.17 * weight + 0.03 * lip


# -- lips -----------------------------------------------------------------------------------------------------------


def _corner(f: _Face) -> np.ndarray:
    """Weight of what follows this side's corner of the mouth."""
    inner = np.clip(f.x / MOUTH_HALF_WIDTH, 0, 1) ** 1.7
    outer = np.exp(-((np.maximum(f.x - MOUTH_HALF_WIDTH, 0) / 0.19) ** 2))
    return inner * outer * np.exp(-(((f.y - LIP_Y) / 0.19) ** 2)) * f.skin


def _thinner(f: _Face, share: float) -> np.ndarray:
    """Vertical movement that takes this share of the lips' thickness away."""
    on_lips = (f.lip >= 1) & (f.lip <= 6)
    fade = np.select([f.lip == 5, f.lip == 6], [0.8, 0.4], 1.0)
    return np.where(on_lips, -share * (f.y - lip_line(f.lip_along)) * fade, 0.0)


def _lip_corner(f: _Face, s: AUStyle) -> Field:
    turn = 0.22 * np.tanh(s.smile_up + 0.5 * s.lopsided * f.side)
    out, up = 0.165 * np.cos(0.92 + turn), 0.165 * np.sin(0.92 + turn)
    corner = _corner(f)
    cheek = bump(f.x, f.y, 0.41, -0.10, 0.17, 0.14) * f.own * f.skin * (1 + 0.25 * np.tanh(s.smile_cheek))
    lid = np.where(f.lid_side < 0, 0.010, 0.0) + 0.02 * bump(f.x, f.y, 0.3, 0.05, 0.15, 0.07) * f.own * f.skin
    dy = up * corner + 0.075 * cheek + lid + _thinner(f, 0.18) * f.own
    return out * corner + 0.015 * cheek, dy, -0.075 * corner + 0.07 * cheek


def _lip_stretch(f: _Face, s: AUStyle) -> Field:
    corner = _corner(f)
    below = bump(f.x, f.y, 0.36, -0.66, 0.16, 0.16) * f.own * f.skin
    down = 0.055 + 0.022 * np.tanh(s.stretch_down)
    dy = -down * corner - 0.03 * below + _thinner(f, 0.40) * f.own
    return 0.172 * corner + 0.04 * below, dy, -0.09 * corner


_ROLLED_HEIGHT = np.array([0, 0, 0.002, 0.004, 0.007, 0.018, 0, 0])
_ROLLED_FOLLOW = np.array([0, 0, 0, 0, 0, 0, -0.060, -0.032])
_ROLLED_BACK = np.array([-0.02, -0.05, -0.085, -0.08, -0.05, -0.028, -0.01, -0.01])
"""Per lip ring: height left above the line of a rolled-in lip, how far the skin beyond follows, and movement in z."""


def _suck(f: _Face, sign: float) -> Field:
    """The upper (sign 1) or lower lip (-1) rolled in behind the line."""
    mine = (f.lip_side == sign) & (f.lip >= 0)
    ring = np.maximum(f.lip, 0)
    height = sign * (f.y - lip_line(f.lip_along))
    arch = np.clip(1 - np.abs(f.lip_along) ** 2.2, 0, 1) ** 0.5
    roll = np.where(ring <= 5, _ROLLED_HEIGHT[ring] * arch - height, _ROLLED_FOLLOW[ring] * arch)
    up = np.where(ring == 0, 0.02 * arch, sign * roll)
    corners = bump(f.x, f.y, 0, LIP_Y, 0.34, 0.10) * f.skin
    return -0.07 * f.x * corners, np.where(mine, up, 0.0), np.where(mine, _ROLLED_BACK[ring], 0.0)


def _upper_lip_suck(f: _Face, s: AUStyle) -> Field:
    dx, dy, dz = _suck(f, 1.0)
    return dx, dy - 0.02 * bump(f.x, f.y, 0, -0.30, 0.16, 0.06) * f.skin * (f.lip < 0), dz


def _lower_lip_suck(f: _Face, s: AUStyle) -> Field:
    dx, dy, dz = _suck(f, -1.0)
    chin = bump(f.x, f.y, 0, -0.70, 0.26, 0.12) * f.skin * (f.lip < 0)
    return dx, dy + 0.045 * chin, dz + 0.02 * chin


def _square(f: _Face, s: AUStyle) -> np.ndarray:
    return 1 + (0.10 + 0.14 * np.tanh(s.lip_square)) * ((f.x / 0.15) ** 2 - 0.6)


def _upper_lip_raise(f: _Face, s: AUStyle) -> Field:
    across = np.exp(-((np.abs(f.x) / 0.235) ** 4)) * np.clip(_square(f, s), 0.6, 1.4)
    upper = (1 - f.jaw) * f.skin * across * np.exp(-((np.maximum(0, f.y + 0.37) / 0.12) ** 2)) * (f.y < 0)
    wing = bump(np.abs(f.x), f.y, 0.12, -0.20, 0.07, 0.07) * f.skin
    fold = bump(np.abs(f.x), f.y, 0.27, -0.22, 0.10, 0.10) * f.skin
    return 0.0, 0.118 * upper + 0.02 * wing + 0.03 * fold, 0.02 * upper + 0.045 * fold


def _lower_lip_depress(f: _Face, s: AUStyle) -> Field:
    across = np.exp(-((np.abs(f.x) / 0.225) ** 4)) * np.clip(_square(f, s), 0.6, 1.4)
    lower = f.jaw * f.skin * across * np.exp(-((np.maximum(0, -0.58 - f.y) / 0.12) ** 2))
    return 0.0, -0.122 * lower, 0.015 * lower


def _chin_raise(f: _Face, s: AUStyle) -> Field:
    chin = bump(f.x, f.y, 0, -0.78, 0.25, 0.16) * f.skin * (f.z > 0)
    lip = f.jaw * f.skin * np.exp(-((f.x / 0.25) ** 4)) * np.exp(-((np.maximum(0, -0.60 - f.y) / 0.12) ** 2))
    upper = (1 - f.jaw) * f.skin * bump(f.x, f.y, 0, LIP_Y + 0.03, 0.18, 0.10)
    corner = bump(np.abs(f.x), f.y, MOUTH_HALF_WIDTH, LIP_Y - 0.03, 0.10, 0.11) * f.skin
    dz = 0.075 * chin + 0.06 * lip * bump(f.x, f.y, 0, LIP_Y, 1, 0.2) + 0.02 * upper
    return 0.0, 0.085 * chin + 0.055 * lip + 0.045 * upper - 0.055 * corner, dz


def _lip_pucker(f: _Face, s: AUStyle) -> Field:
    forward = np.tanh(s.pucker_forward)
    around = np.exp(-((np.abs(f.x) / 0.42) ** 4) - (np.abs(f.y - LIP_Y) / 0.26) ** 4) * f.skin
    tip = bump(f.x, f.y, 0, LIP_Y, 0.20, 0.17) * f.skin
    hollow = bump(np.abs(f.x), f.y, 0.47, -0.40, 0.14, 0.18) * f.skin
    thicker = _thinner(f, -0.26)
    return -(0.47 - 0.04 * forward) * f.x * around, thicker, (0.14 + 0.03 * forward) * tip - 0.03 * hollow


def _cheek_puff(f: _Face, s: AUStyle) -> Field:
    height = -0.40 - 0.05 * np.tanh(s.puff_low)
    cheek = bump(np.abs(f.x), f.y, 0.50, height, 0.22, 0.24) * f.skin * ramp((f.z + 0.35) / 0.5)
    rim = bump(f.x, f.y, 0, LIP_Y, 0.24, 0.20) * f.skin
    return np.sign(f.x) * 0.105 * cheek, _thinner(f, 0.22), 0.15 * cheek + 0.035 * rim


def _nose_wrinkle(f: _Face, s: AUStyle) -> Field:
    a, up = np.abs(f.x), 0.012 * np.tanh(s.nose_up)
    wing = bump(a, f.y, 0.10, -0.19, 0.08, 0.09) * f.skin
    brow = bump(a, f.y, 0.13, 0.38, 0.13, 0.10) * f.skin * _off_lids(f)
    under_eye = bump(a, f.y, 0.21, 0.02, 0.12, 0.09) * f.skin * _off_lids(f)
    lip = bump(f.x, f.y, 0, LIP_Y + 0.10, 0.20, 0.10) * (1 - f.jaw) * f.skin
    dx = np.sign(f.x) * ((0.030 - up) * wing - 0.012 * brow)
    dy = (0.065 + up) * wing - 0.050 * brow + 0.04 * under_eye + 0.038 * lip
    return dx, dy, 0.02 * wing + 0.035 * under_eye + 0.012 * brow


# In the order of FEAFA_UNITS, sides merged.
_FIELDS: dict[str, Callable[[_Face, AUStyle], Field]] = {
    "eye_close": _eye_close,
    "lid_raise": _lid_raise,
    "brow_lower": _brow_lower,
    "brow_raise": _brow_raise,
    "jaw_drop": _jaw_drop,
    "jaw": _jaw_left,
    "lip_corner": _lip_corner,
    "lip_stretch": _lip_stretch,
    "upper_lip_suck": _upper_lip_suck,
    "lower_lip_suck": _lower_lip_suck,
    "jaw_thrust": _jaw_thrust,
    "upper_lip_raise": _upper_lip_raise,
    "lower_lip_depress": _lower_lip_depress,
    "chin_raise": _chin_raise,
    "lip_pucker": _lip_pucker,
    "cheek_puff": _cheek_puff,
    "nose_wrinkle": _nose_wrinkle,
}


def displacements(layout: Layout, style: AUStyle) -> np.ndarray:
    """Movement of every vertex of the average head at intensity 1 of each unit: float64 (24, N, 3)."""
    left, right = _faces(layout)
    moves = np.zeros((len(FEAFA_UNITS), len(layout.neutral), 3))
    for unit in FEAFA_UNITS:
        name, _, side = unit.name.rpartition("_") if unit.name.endswith(("_left", "_right")) else (unit.name, "", "")
        face = right if side == "right" else left
        for axis, move in enumerate(_FIELDS[name](face, style)):
            moves[unit.index, :, axis] = move
        moves[unit.index, :, 0] *= face.side
        moves[unit.index] *= style.gains[unit.index]
    return moves


# -- folds ----------------------------------------------------------------------------------------------------------


def _line(f: _Face, width: float, *points: tuple[float, float]) -> np.ndarray:
    """1 on a line through points, falling off over `width`."""
    nearest = np.full(len(f.x), np.inf)
    p = np.stack([f.x, f.y], -1)
    for start, end in zip(np.array(points[:-1]), np.array(points[1:]), strict=True):
        along = np.clip((p - start) @ (end - start) / ((end - start) @ (end - start)), 0, 1)
        nearest = np.minimum(nearest, np.linalg.norm(p - start - along[:, None] * (end - start), axis=1))
    return np.exp(-((nearest / width) ** 2))


def _rolled(f: _Face, sign: float) -> np.ndarray:
    """The red of a rolled-in lip lies in its own shadow, and the skin before it is stretched."""
    inside = (f.lip >= 0) & (f.lip <= 4)
    return (f.lip_side == sign) * np.select(
        [inside, f.lip == 5, f.lip == 6, f.lip == 7], [0.50, 0.15, -0.14, -0.10], 0.0
    )


def _sided_folds(f: _Face) -> dict[str, np.ndarray]:
    """Folds of the units that have sides, on this side."""
    forehead = sum(_line(f, 0.026, (0.02, y), (0.30, y + 0.02), (0.50, y - 0.03)) for y in (0.60, 0.70, 0.80))
    glabella = _line(f, 0.028, (0.045, 0.33), (0.055, 0.44)) + 0.5 * _line(f, 0.03, (0.0, 0.27), (0.03, 0.30))
    nasolabial = _line(f, 0.034, (0.15, -0.16), (0.27, -0.27), (0.37, -0.40), (0.39, -0.50))
    crows_feet = sum(_line(f, 0.022, (0.50, 0.19 + d), (0.62, 0.19 + 3 * d)) for d in (-0.03, 0.01, 0.05))
    bracket = _line(f, 0.032, (0.40, -0.36), (0.45, -0.47), (0.42, -0.60))
    return {
        "brow_raise": 0.34 * forehead * f.own,
        "brow_lower": 0.50 * glabella * f.own,
        "lip_corner": (0.42 * nasolabial + 0.28 * crows_feet) * f.own,
        "lip_stretch": 0.46 * bracket * f.own,
        "eye_close": 0.06 * bump(f.x, f.y, EYE[0], EYE[1], 0.16, 0.10) * f.own,
    }


_DIMPLES = ((0, -0.80), (0.075, -0.75), (0.09, -0.87), (0.15, -0.80), (0.03, -0.91))


def _middle_folds(f: _Face, s: AUStyle) -> dict[str, np.ndarray]:
    """Folds of the units without sides; x of the face is its distance from the middle."""
    nose = sum(_line(f, 0.020, (0, y), (0.10, y + 0.02)) for y in (0.14, 0.05, -0.04))
    upper_fold = _line(f, 0.032, (0.15, -0.13), (0.23, -0.24), (0.28, -0.34))
    below_lip = _line(f, 0.034, (0, -0.655), (0.14, -0.645), (0.22, -0.62))
    dimples = sum(_line(f, 0.020, (x, y), (x + 0.001, y)) for x, y in _DIMPLES)
    chin_arc = _line(f, 0.028, (0, -0.68), (0.14, -0.70), (0.22, -0.80))
    radial = sum(_line(f, 0.016, (x, LIP_Y + 0.11), (x * 1.2, LIP_Y + 0.17)) for x in (0.0, 0.08, 0.16))
    rim = _line(f, 0.03, (0.30, -0.24), (0.28, -0.42), (0.30, -0.60))
    pad = bump(f.x, f.y, 0, -0.85, 0.17, 0.11)
    cheek = bump(f.x, f.y, 0.46, -0.40, 0.16, 0.17)
    return {
        "nose_wrinkle": 0.50 * nose + 0.34 * upper_fold,
        "upper_lip_raise": 0.34 * upper_fold,
        "chin_raise": 0.34 * dimples * (1 + 0.35 * np.tanh(s.chin_dimple)) + 0.30 * chin_arc,
        "jaw_thrust": 0.36 * below_lip - 0.14 * pad,
        "lip_pucker": 0.34 * radial,
        "cheek_puff": 0.14 * rim - 0.14 * cheek,
        "upper_lip_suck": _rolled(f, 1.0),
        "lower_lip_suck": _rolled(f, -1.0) + 0.25 * below_lip,
        "lower_lip_depress": 0.30 * _line(f, 0.03, (0.19, -0.60), (0.21, -0.72)),
    }


def creases(layout: Layout, style: AUStyle) -> np.ndarray:
    """Darkening of the skin's folds at intensity 1 of each unit: float64 (24, N), negative where skin is stretched."""
    left, right = _faces(layout)
    folds = _middle_folds(replace(left, x=np.abs(left.x)), style)
    for side, face in (("left", left), ("right", right)):
        folds |= {f"{name}_{side}": value for name, value in _sided_folds(face).items()}
    none = np.zeros(len(layout.neutral))
    dark = np.stack([folds.get(unit.name, none) for unit in FEAFA_UNITS])
    return dark * (left.skin * (left.z > 0) * (1 + 0.30 * np.tanh(style.crease)))
