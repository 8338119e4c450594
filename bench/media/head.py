"""A parametric head: identities as smooth warps of one average head, moved by FEAFA's 24 Action Units.

vertices = rest(shape) + sum over units of intensity * movement(shape, style), and then two corrections: lips do not pass
through each other, and lids slide over the eyeball. A movement is taken along with the warp by the warp's derivative,
so that lids meet and lips close on every face. `bench.media.head_layout` holds the average head, `head_motion` the
units, `head_colours` its
colours. Drawn by `bench.media.mesh`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from bench.media.au import FEAFA_UNITS
from bench.media.head_colours import Palette, colours, specular
from bench.media.head_layout import (
    BROW_HEIGHTS,
    EYE,
    EYE_RADIUS,
    LIP_Y,
    MOUTH_HALF_WIDTH,
    Layout,
    bump,
    layout,
    lip_line,
    ramp,
)
from bench.media.head_motion import AUStyle, creases, displacements
from bench.media.landmarks import ibug68

__all__ = ["AUStyle", "Head", "HeadShape", "Palette"]


@dataclass(frozen=True)
class HeadShape:
    """What a head looks like at rest; 0 is the average, people vary about as N(0, 1). 1 moves things by a few percent."""

    face_width: float = 0.0
    face_length: float = 0.0
    forehead: float = 0.0
    """Its height."""
    jaw_width: float = 0.0
    chin_width: float = 0.0
    chin_length: float = 0.0
    chin_forward: float = 0.0
    cheekbones: float = 0.0
    cheeks: float = 0.0
    """Their fullness."""
    eye_size: float = 0.0
    eye_spacing: float = 0.0
    eye_height: float = 0.0
    eye_tilt: float = 0.0
    """Outer corners high."""
    eye_opening: float = 0.0
    nose_length: float = 0.0
    nose_width: float = 0.0
    nose_bridge: float = 0.0
    nose_tip: float = 0.0
    """Turned up."""
    mouth_width: float = 0.0
    mouth_height: float = 0.0
    upper_lip: float = 0.0
    lower_lip: float = 0.0
    brow_height: float = 0.0
    brow_arch: float = 0.0
    brow_tilt: float = 0.0
    """Outer ends high."""
    brow_thickness: float = 0.0
    ear_size: float = 0.0


# -- identity -------------------------------------------------------------------------------------------------------


def _eye_share(points: np.ndarray) -> np.ndarray:
    """(N,): 1 around an eye, which warps as one piece, 0 away from it."""
    across = np.abs(points[:, 0])
    away = np.hypot(across - EYE[0], points[:, 1] - EYE[1])
    return ramp((0.42 - away) / 0.20) * ramp((across - 0.02) / 0.09)


def _anchored(points: np.ndarray) -> np.ndarray:
    """The points, those around an eye moved to its centre: what is a function of this moves the eye as one piece."""
    share = _eye_share(points)[:, None]
    centre = EYE * np.stack([np.sign(points[:, 0]), np.ones(len(points)), np.ones(len(points))], 1)
    return points * (1 - share) + centre * share


def warp(points: np.ndarray, shape: HeadShape) -> np.ndarray:
    """Points of the average head on the head of this shape: float64 (N, 3) to (N, 3)."""
    s = shape
    x, y, z = _anchored(points).T
    a = np.abs(x)
    front = ramp((z + 0.2) / 0.5)
    jaw, chin = ramp((-0.20 - y) / 0.5), ramp((-0.62 - y) / 0.33)
    dx = x * (
        0.035 * s.face_width
        + 0.070 * s.jaw_width * jaw
        + 0.110 * s.chin_width * chin
        + 0.050 * s.cheekbones * bump(a, y, 0.55, -0.02, 0.25, 0.18)
        + 0.045 * s.cheeks * bump(a, y, 0.55, -0.42, 0.25, 0.20)
        + 0.060 * s.mouth_width * bump(a, y, 0.15, LIP_Y, 0.22, 0.14) * front
        + 0.150 * s.nose_width * bump(a, y, 0.06, -0.17, 0.12, 0.12) * front
    )
    brow = bump(a, y, 0.32, 0.42, 0.26, 0.13) * front
    dy = (
        0.045 * s.face_length * np.minimum(y - 0.2, 0)
        + 0.070 * s.forehead * np.maximum(y - 0.42, 0)
        - 0.050 * s.chin_length * chin
        - 0.032 * s.nose_length * bump(a, y, 0, -0.19, 0.16, 0.13) * front
        + 0.030 * s.nose_tip * bump(a, y, 0, -0.14, 0.07, 0.08) * front
        + 0.020 * s.mouth_height * ramp(0.62 - np.abs(y - LIP_Y - 0.1) * 2) * ramp((0.55 - a) / 0.25) * front
        + 0.022 * s.brow_height * brow
        + 0.024 * s.brow_arch * bump(a, y, 0.38, 0.45, 0.12, 0.12) * front
        + 0.060 * s.brow_tilt * (a - 0.3) * brow
    )
    dz = (
        0.050 * s.chin_forward * bump(a, y, 0, -0.85, 0.30, 0.22) * front
        + 0.030 * s.cheekbones * bump(a, y, 0.45, -0.05, 0.16, 0.14)
        + 0.040 * s.nose_bridge * bump(a, y, 0, 0.06, 0.06, 0.15)
        + 0.030 * s.nose_tip * bump(a, y, 0, -0.14, 0.08, 0.07)
        + 0.022 * s.nose_length * bump(a, y, 0, -0.14, 0.08, 0.09)
    )
    return points + np.stack([dx, dy, dz], 1) + _eye_share(points)[:, None] * _around_eyes(points, shape)


def _around_eyes(points: np.ndarray, shape: HeadShape) -> np.ndarray:
    """Movement (N, 3) of what belongs to an eye: its size, tilt and place."""
    sign = np.sign(points[:, 0])
    from_eye = points - EYE * np.stack([np.where(sign == 0, 1, sign), np.ones_like(sign), np.ones_like(sign)], 1)
    tilt = 0.075 * shape.eye_tilt * sign
    turned = np.stack([-from_eye[:, 1], from_eye[:, 0], 0 * sign], 1)
    place = np.stack([0.018 * shape.eye_spacing * sign, np.full_like(sign, 0.020 * shape.eye_height), 0 * sign], 1)
    return 0.085 * shape.eye_size * from_eye + tilt[:, None] * turned + place


def _fuller_lips(base: Layout, shape: HeadShape) -> np.ndarray:
    """The average head (N, 3) with the lips of this shape: scaled in height from the line where they meet."""
    points = base.neutral.copy()
    x, y, z = points.T
    height = y - lip_line(np.clip(np.abs(x) / MOUTH_HALF_WIDTH, 0, 1))
    near = np.exp(-((np.maximum(np.abs(y - LIP_Y) - 0.12, 0) / 0.05) ** 2))
    near *= ramp((0.36 - np.abs(x)) / 0.1) * ramp((z + 0.1) / 0.3)
    near[len(base.parts["skin"]) :] = 0
    points[:, 1] += near * np.where(height > 0, _LIP_STEP * shape.upper_lip, _LIP_STEP * shape.lower_lip) * height
    return points


_LIP_STEP = 0.20
"""Change of a lip's height per unit of HeadShape's lips."""
_SCALING = ("face_width", "face_length", "mouth_width", "eye_size", "eye_tilt")
"""What makes movements larger or turns them; the rest of the shape only shifts what moves."""
_STEP = 1e-3
"""Step over which the warp's derivative is taken."""


def _carried(points: np.ndarray, moves: np.ndarray, shape: HeadShape) -> np.ndarray:
    """Movements (K, N, 3) of the average head on the head of this shape: the derivative of _SCALING along them."""
    scaling = HeadShape(**{name: getattr(shape, name) for name in _SCALING})
    start = warp(points, scaling)
    axes = np.stack([(warp(points + _STEP * axis, scaling) - start) / _STEP for axis in np.eye(3)], -1)
    return np.einsum("nij,knj->kni", axes, moves)


# -- the head -------------------------------------------------------------------------------------------------------


class Head:
    """One person's head.

    Attributes:
        triangles: int32 (F, 3), counter-clockwise seen from outside.
        rest: float32 (V, 3), the vertices with every unit at 0 and gaze straight ahead.
    """

    def __init__(self, shape: HeadShape = HeadShape(), style: AUStyle = AUStyle()) -> None:  # noqa: B008 (frozen)
        base = layout()
        self.shape, self.style = shape, style
        self.triangles = base.triangles
        moves = displacements(base, style)
        # A wide or narrow resting eye is a share of its closing; a closed eye is closed on every face.
        opening = 0.11 * np.tanh(shape.eye_opening)
        neutral = _fuller_lips(base, shape) - opening * (moves[0] + moves[1])
        moves[:2] *= 1 + opening
        moves[_UPPER_LIP_SUCK, :, 1] *= 1 + _LIP_STEP * shape.upper_lip
        moves[_LOWER_LIP_SUCK, :, 1] *= 1 + _LIP_STEP * shape.lower_lip
        rest = warp(neutral, shape)
        moves = _carried(base.neutral, moves, shape)
        self._eyes = warp(_EYES, shape).astype(np.float32)
        self._eye_radius = np.float32(EYE_RADIUS * (1 + 0.085 * shape.eye_size))
        self._lay_brows(rest, moves)
        self._scale_ears_and_glints(rest)
        moves[:, base.parts["eyes"].ravel()] = moves[:, base.parts["glints"]] = 0
        self._moves = moves.reshape(len(moves), -1).astype(np.float32)
        self._base = rest.astype(np.float32)
        self._folds = creases(base, style).astype(np.float32)
        self.rest = self.vertices(np.zeros(len(FEAFA_UNITS), np.float32))

    def _scale_ears_and_glints(self, rest: np.ndarray) -> None:
        parts, neutral = layout().parts, layout().neutral
        glints = parts["glints"].reshape(2, -1)
        scale = self._eye_radius / EYE_RADIUS
        rest[glints] = self._eyes[:, None] + (neutral[glints] - _EYES[:, None]) * scale
        ears = rest[parts["ears"]].reshape(2, -1, 3)
        centre = ears.mean(1, keepdims=True)
        rest[parts["ears"]] = (centre + (ears - centre) * (1 + 0.12 * self.shape.ear_size)).reshape(-1, 3)

    def _lay_brows(self, rest: np.ndarray, moves: np.ndarray) -> None:
        """Brows lie on the skin of this face and move with it; thick ones reach further from their middle."""
        base = layout()
        ids, weights = base.bound
        brows = np.einsum("kc,kcd->kd", weights, rest[ids]).reshape(2, 3, -1, 3)
        brows = brows[:, 1:2] + (brows - brows[:, 1:2]) * (1 + 0.18 * self.shape.brow_thickness)
        brows[..., 2] += BROW_HEIGHTS[:, None]
        rest[base.parts["brows"]] = brows.reshape(-1, 3)
        moves[:, base.parts["brows"]] = np.einsum("kc,ukcd->ukd", weights, moves[:, ids])

    def warp(self, points: np.ndarray) -> np.ndarray:
        """Points (N, 3) beside the average head (hair, a neck) moved as this head's shape asks: float32."""
        return warp(np.asarray(points, np.float64), self.shape).astype(np.float32)

    def vertices(self, aus: np.ndarray, gaze: np.ndarray | tuple[float, float] = (0.0, 0.0)) -> np.ndarray:
        """Where the vertices are.

        Args:
            aus: float (24,) in [0, 1], order FEAFA_UNITS.
            gaze: yaw (positive to the image's right) and pitch (positive up) of the eyes, radians.

        Returns:
            float32 (V, 3).
        """
        aus = _balanced(np.asarray(aus, np.float32))
        vertices = self._base + (aus @ self._moves).reshape(-1, 3)
        self._part_lips(vertices, aus)
        self._turn_eyes(vertices, gaze)
        self._slide_lids(vertices)
        return vertices

    def _part_lips(self, vertices: np.ndarray, aus: np.ndarray) -> None:
        """Where the lips have passed through each other both give way. A thrust jaw may overlap the upper lip."""
        lower, upper = layout().lip_rings[:7, 1:10], layout().lip_rings[:7, 19:10:-1]
        overlap = vertices[lower[1], 1] - vertices[upper[1], 1] - 0.05 * aus[_JAW_THRUST]
        shift = 0.5 * np.maximum(overlap, 0) * _LIP_GIVE[:, None]
        vertices[lower, 1] -= shift
        vertices[upper, 1] += shift

    def _turn_eyes(self, vertices: np.ndarray, gaze: np.ndarray | tuple[float, float]) -> None:
        base = layout()
        (sy, sp), (cy, cp) = np.sin(gaze), np.cos(gaze)
        turn = np.array([[cy, -sy * sp, sy * cp], [0, cp, sp], [-sy, -cy * sp, cy * cp]], np.float32)
        ball = (base.eye_directions.astype(np.float32) @ turn.T) * self._eye_radius
        vertices[base.parts["eyes"]] = self._eyes[:, None] + ball

    def _slide_lids(self, vertices: np.ndarray) -> None:
        rings = layout().eye_rings[:, :3]
        across = vertices[rings] - self._eyes[:, None, None]
        radius = np.linalg.norm(across, axis=-1, keepdims=True)
        least = self._eye_radius * _LID_RADII[None, :, None, None]
        scale = np.maximum(radius, least) / radius
        scale[:, 0] = least[:, 0] / radius[:, 0]  # the inner rim dips into the eyeball, so that no gap shows
        vertices[rings] = self._eyes[:, None, None] + across * scale

    def landmarks478(self, vertices: np.ndarray) -> np.ndarray:
        """mediapipe's 478 points on these vertices: float32 (478, 3)."""
        ids, weights = _points478()
        return np.einsum("pk,pkc->pc", weights, vertices[ids])

    def landmarks68(self, vertices: np.ndarray) -> np.ndarray:
        """The 68 iBUG points on these vertices: float32 (68, 3)."""
        return ibug68(self.landmarks478(vertices))

    def colours(self, palette: Palette) -> np.ndarray:
        """Colours of the face at rest: float32 (V, 3) RGB [0, 1], sRGB albedo."""
        return colours(layout(), palette)

    def folds(self, aus: np.ndarray) -> np.ndarray:
        """Factors for the colours: the folds that Action Units (24,) draw in the skin. float32 (V, 3)."""
        dark = np.clip(np.asarray(aus, np.float32) @ self._folds, -0.3, 0.8)
        return 1 - dark[:, None] * _FOLD_TINT

    @property
    def specular(self) -> np.ndarray:
        """float32 (V,) [0, 1]: strength of highlights."""
        return specular(layout())


_UPPER_LIP_SUCK, _LOWER_LIP_SUCK, _JAW_THRUST = 15, 16, 17
_EYES = EYE * np.array([[-1.0, 1, 1], [1, 1, 1]])
"""Centres of the average head's eyeballs."""
_LIP_GIVE = np.array([1, 1, 0.9, 0.75, 0.6, 0.45, 0.2], np.float32)
"""Share of the overlap that each lip ring gives way by."""
_LID_RADII = np.array([0.985, 1.055, 1.06], np.float32)
"""Least distance of the inner rings of an eye from its centre, in eyeball radii."""
_FOLD_TINT = np.array([0.85, 1.0, 1.05], np.float32)


def _balanced(aus: np.ndarray) -> np.ndarray:
    """Intensities as they act together: a closed lid is not raised, and corners that go up and aside do not add up."""
    aus = aus.copy()
    eyes_closed, lids_raised, corners_up, corners_aside = aus[0:2], aus[2:4], aus[11:13], aus[13:15]
    lids_raised *= 1 - eyes_closed
    together = 1 / (1 + 0.35 * corners_up * corners_aside)
    corners_up *= together
    corners_aside *= together
    return aus


# -- landmarks ------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def _points478() -> tuple[np.ndarray, np.ndarray]:
    """Vertices (478, 3) and weights (478, 3) of mediapipe's points on the head; benchmarks/head_points.py made them."""
    table = np.loadtxt(Path(__file__).with_name("head_points.csv"), delimiter=",", skiprows=1)
    return table[:, :3].astype(np.int64), table[:, 3:].astype(np.float32)
