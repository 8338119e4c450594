"""The average head: where its vertices lie, how they are joined, and what each of them belongs to.

The skin is one closed surface. Its vertices are laid out on a smooth egg: rings around eyes and mouth, a lattice for
the nose, rows for the rest; they are joined by the Delaunay triangulation of their directions from the egg's centre
(the convex hull of the directions), and the triangles across the eyes and the mouth are taken out. Only then relief is
given: sockets, nose, cheeks, lips, chin. In the layout the mouth stands open, so that its two lips stay two; in the
head it is closed. Brows, ears, eyeballs, teeth, tongue and the cavity of the mouth are meshes of their own beside it.

x to the right of the image (the person's left), y up, z toward the viewer; the face is about 2 units tall, and the
origin is where the head turns. Everything is mirrored at x = 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

EYE = np.array([0.305, 0.20, 0.400])
"""Centre of the eyeball at x > 0."""
EYE_RADIUS = 0.215
IRIS_RADIUS = 0.105
"""Distance of the iris's edge from the axis of gaze."""
LIP_Y = -0.47
"""Height of the line where the lips meet."""
MOUTH_HALF_WIDTH = 0.265
TOP, BOTTOM, WIDEST = 1.15, -1.02, 0.20
"""Heights of the crown, of the underside of the chin, and of the widest row."""

_LIP_COLUMNS = np.array([-1, -0.9, -0.7, -0.46, -0.22, 0, 0.22, 0.46, 0.7, 0.9])
LIP_ALONG = np.concatenate([_LIP_COLUMNS, -_LIP_COLUMNS])
"""x / MOUTH_HALF_WIDTH of the 20 slots of a lip ring: from the corner at x < 0 (0) over the lower lip to the other corner
(10), and back over the upper lip."""
_LID_COLUMNS = np.array([-1, -0.84, -0.58, -0.3, 0, 0.3, 0.58, 0.84])
LID_ALONG = np.concatenate([_LID_COLUMNS, -_LID_COLUMNS])
"""The same for the 16 slots of an eye ring, -1 at the outer corner (0), over the upper lid to the inner corner (8), and
back over the lower lid."""
LIP_RINGS, EYE_RINGS = 8, 5


def bump(x: np.ndarray, y: np.ndarray, cx: float, cy: float, sx: float, sy: float) -> np.ndarray:
    """Gaussian hill of height 1."""
    return np.exp(-(((x - cx) / sx) ** 2) - ((y - cy) / sy) ** 2)


def ramp(value: np.ndarray) -> np.ndarray:
    """Smooth step from 0 (at 0) to 1 (at 1)."""
    value = np.clip(value, 0, 1)
    return value * value * (3 - 2 * value)


# -- the egg --------------------------------------------------------------------------------------------------------


def _profile(y: np.ndarray, upper: tuple[float, float], lower: tuple[float, float]) -> np.ndarray:
    """(1 - s^n)^p, with s = 0 at the widest row and 1 at either pole."""
    above = np.clip((y - WIDEST) / (TOP - WIDEST), 0, 1)
    below = np.clip((WIDEST - y) / (WIDEST - BOTTOM), 0, 1)
    return np.where(y > WIDEST, (1 - above ** upper[0]) ** upper[1], (1 - below ** lower[0]) ** lower[1])


def half_width(y: np.ndarray) -> np.ndarray:
    """Half the width of the head at this height."""
    return 0.76 * _profile(y, (2.2, 1 / 2.2), (2.2, 0.58))


def _middle(y: np.ndarray) -> np.ndarray:
    """z of the widest point of a row: the jaw lies in front of the skull."""
    return -0.08 + 0.46 * ramp(-y / 1.05)


_FLATNESS = 2.3
"""Exponent of the superellipse that a row is."""


def _front(y: np.ndarray) -> np.ndarray:
    return (0.80 - 0.40 * ramp(-y / 1.05)) * _profile(y, (2.6, 0.5), (5, 0.5))


def _back(y: np.ndarray) -> np.ndarray:
    return (0.86 - 0.42 * ramp(-y / 0.9)) * _profile(y, (2.2, 1 / 2.2), (2.5, 0.5))


def egg(theta: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Point of the egg at an angle around the vertical (0 in front, positive at the person's left): (..., 3)."""
    side, ahead = np.sin(theta), np.cos(theta)
    x = half_width(y) * np.sign(side) * np.abs(side) ** (2 / _FLATNESS)
    depth = np.where(ahead > 0, _front(y), _back(y))
    return np.stack([x, y, _middle(y) + depth * np.sign(ahead) * np.abs(ahead) ** (2 / _FLATNESS)], -1)


def _front_z(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    share = np.clip(np.abs(x) / np.maximum(half_width(y), 1e-6), 0, 1)
    return _middle(y) + _front(y) * (1 - share**_FLATNESS) ** (1 / _FLATNESS)


# -- relief ---------------------------------------------------------------------------------------------------------


def relief(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """How far the face stands out of the egg at (x, y)."""
    a = np.abs(x)
    along = np.clip((0.24 - y) / 0.40, 0, 1)
    dorsum = 0.02 + 0.24 * along**1.25
    under = 1 - ramp((-0.155 - y) / 0.12)
    nose = dorsum * np.exp(-((a / (0.062 + 0.035 * along)) ** 2.4)) * under * ramp((0.36 - y) / 0.3)
    height = (
        nose
        + 0.115 * bump(a, y, 0.098, -0.185, 0.052, 0.055)  # wings of the nose
        - 0.035 * bump(a, y, 0.045, -0.245, 0.03, 0.03)  # nostrils
        + 0.045 * bump(a, y, 0.22, 0.41, 0.26, 0.09)  # ridge of the brows
        - 0.090 * bump(a, y, 0.28, 0.18, 0.17, 0.14)  # sockets
        + 0.045 * bump(a, y, 0.43, -0.06, 0.17, 0.15)  # cheekbones
        + 0.060 * bump(a, y, 0, -0.45, 0.30, 0.24)  # the teeth behind the lips
        - 0.030 * bump(a, y, 0, -0.66, 0.20, 0.055)  # below the lower lip
        + 0.060 * bump(a, y, 0, -0.83, 0.19, 0.13)  # chin
        - 0.030 * bump(a, y, 0.50, -0.42, 0.15, 0.20)  # hollow of the cheek
        - 0.010 * bump(a, y, 0, -0.31, 0.035, 0.05)  # philtrum
    )
    return height * ramp((half_width(y) - a) / 0.2)


def face_z(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """z of the face in front, lids laid over the eyeballs, without the lips' own thickness."""
    z = _front_z(x, y) + relief(x, y)
    lid = EYE_RADIUS * 1.09
    ball = EYE[2] + np.sqrt(np.clip(lid**2 - (np.abs(x) - EYE[0]) ** 2 - (y - EYE[1]) ** 2, 0, None))
    sharp = 60.0
    return np.where(ball > EYE[2], np.logaddexp(sharp * z, sharp * ball) / sharp, z)


# -- rings ----------------------------------------------------------------------------------------------------------


def lid_curves(fraction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Heights above the eye's centre of the upper and the lower lid's margin; fraction -1 is the outer corner."""
    slant = -0.012 * fraction
    arch = np.clip(1 - np.abs(fraction) ** 2.2, 0, 1)
    return slant + 0.104 * arch**0.8, slant - 0.080 * arch**0.85


_EYE_HALF_WIDTH = 0.176
_LID_OUT = np.array([[-0.018, 0.0, 0.040, 0.098, 0.150], [-0.014, 0.0, 0.030, 0.072, 0.135]])
_LID_SIDE = np.array([[-0.012, 0.0, 0.028, 0.062, 0.105], [-0.012, 0.0, 0.020, 0.042, 0.066]])
"""How far a ring lies outside the lid margin: above and below the eye, and beside its outer and inner corner."""


def _eye_rings() -> np.ndarray:
    """Plan (5, 16, 2) of the rings of the eye at x > 0, from the inside: inner rim, lid margin, fold, two on the skin."""
    is_upper = np.arange(16) <= 8
    margin = np.where(is_upper, *lid_curves(LID_ALONG))
    out = np.where(is_upper, _LID_OUT[0][:, None], -_LID_OUT[1][:, None]) * (1 - np.abs(LID_ALONG) ** 4)
    aside = np.where(LID_ALONG < 0, _LID_SIDE[0][:, None], _LID_SIDE[1][:, None])
    return np.stack([EYE[0] - LID_ALONG * (_EYE_HALF_WIDTH + aside), EYE[1] + margin + out], -1)


def lip_line(fraction: np.ndarray) -> np.ndarray:
    """Height of the closed mouth's line."""
    return LIP_Y + 0.024 * np.abs(fraction) ** 1.8 - 0.010 * np.exp(-((fraction / 0.25) ** 2))


def _lip_rings() -> tuple[np.ndarray, np.ndarray]:
    """Plan (8, 20, 2) with the mouth open, and closed positions (8, 20, 3) whose z is the thickness of the lips.

    Rings from the inside: 0 the lining behind the lips, 1 where they touch, 2 and 3 on them, 4 their border, 5 close
    beyond it, 6 and 7 on the skin.
    """
    upper = np.arange(20) > 10
    arch = np.clip(1 - np.abs(LIP_ALONG) ** 2.2, 0, 1)
    bow = 1 - 0.16 * np.exp(-((LIP_ALONG / 0.13) ** 2))
    thick = np.where(upper, 0.078 * arch**0.75 * bow, 0.092 * arch**0.62)
    share = np.array([0.0, 0.0, 0.36, 0.74, 1.0, 1.0, 1.0, 1.0])
    beyond = np.array([0.0, 0.0, 0.0, 0.0, 0.0, 0.022, 0.062, 0.115])
    aside = np.array([-0.03, 0.0, 0.006, 0.012, 0.020, 0.042, 0.085, 0.145])
    bulge = np.array([-0.085, 0.010, 0.048, 0.046, 0.014, 0.002, 0.0, 0.0])
    parted = 0.085 * np.array([0.75, 1, 1, 0.9, 0.8, 0.72, 0.5, 0.2])
    away = np.where(upper, 1, -1) * (arch > 0)
    x = LIP_ALONG * (MOUTH_HALF_WIDTH + aside[:, None])
    y = lip_line(LIP_ALONG) + away * (share[:, None] * thick + beyond[:, None] * arch**0.4)
    plan = np.stack([x, y + away * parted[:, None] * arch**0.6], -1)
    # Both linings rise behind the upper lip, so that closed lips show no gap from above.
    y[0] += np.where(upper, 0.010, 0.016) * arch
    return plan, np.stack([x, y, bulge[:, None] * (0.35 + 0.65 * arch)], -1)


def _nose_lattice() -> np.ndarray:
    rows = np.concatenate([np.linspace(0.14, -0.16, 8), [-0.195, -0.225, -0.25, -0.285]])
    columns = np.array([0, 0.036, 0.072, 0.108, 0.148])
    points = [(s * c * (1 if y < -0.1 else 0.9), y) for y in rows for c in columns for s in (1, -1) if c or s > 0]
    return np.array(points)


def _rows() -> np.ndarray:
    """(K, 2) angles and heights of the lattice that fills what the rings leave: fine in front, coarse behind."""
    points = []
    heights = np.concatenate([[-1.015, -0.985, -0.94], np.arange(-0.88, 0.92, 0.07), [1.0, 1.08, 1.13]])
    for i, y in enumerate(heights):
        width = float(half_width(np.array(y)))
        front = max(3, round(np.pi / 2 * width / 0.073))
        angles = (np.arange(front + 1) - 0.5 * (i % 2)) / front * np.pi / 2
        behind = max(1, round(np.pi / 2 * width / 0.2))
        angles = np.concatenate([angles[angles >= 0], np.pi / 2 * (1 + (np.arange(behind) + 1) / (behind + 0.5))])
        for angle in angles:
            points += [(angle, y), (-angle, y)] if angle > 0 else [(angle, y)]
    return np.array([*points, (0, TOP), (0, BOTTOM)])


# -- the skin -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Layout:
    """The average head at rest: N vertices, those of the skin first."""

    neutral: np.ndarray
    """float64 (N, 3)."""
    plan: np.ndarray
    """float64 (N, 2): x and y with the mouth open, which tells the upper from the lower lip."""
    triangles: np.ndarray
    """int32 (F, 3), counter-clockwise seen from outside."""
    parts: dict[str, np.ndarray]
    """Vertex numbers of: skin, brows, ears, upper_teeth, lower_teeth, tongue, cavity, eyes (2, E), glints."""
    eye_rings: np.ndarray
    """int (2, 5, 16): the eye at x < 0, then the one at x > 0; rings from the inside (0 the inner rim, 1 the margin);
    slots from the outer corner over the upper lid and the inner corner (8)."""
    lip_rings: np.ndarray
    """int (8, 20): rings from the inside (1 where the lips touch, 4 their border); slots from the corner at x < 0 over
    the lower lip and the other corner (10)."""
    bound: tuple[np.ndarray, np.ndarray]
    """The brows lie on the skin: skin vertices (B, 3) and weights (B, 3) of each of their vertices."""
    eye_directions: np.ndarray
    """float64 (E, 3): vertices of an eyeball from its centre, gaze straight ahead, in eyeball radii."""


def _inside(points: np.ndarray, polygon: np.ndarray) -> np.ndarray:
    """Whether points (K, 2) lie within a polygon (M, 2): rays that cross its edges an odd number of times."""
    (ax, ay), (bx, by) = polygon.T[:, :, None], np.roll(polygon, -1, 0).T[:, :, None]
    x, y = points.T
    with np.errstate(divide="ignore", invalid="ignore"):
        crosses = ((ay > y) != (by > y)) & (x < ax + (y - ay) * (bx - ax) / (by - ay))
    return crosses.sum(0) % 2 == 1


def _spread(points: np.ndarray, taken: np.ndarray, distance: np.ndarray) -> np.ndarray:
    """Which of the points (K, 3) keep their distance (K,) from the taken ones (M, 3) and from those kept before."""
    kept = np.empty((0, 3))
    keep = np.zeros(len(points), bool)
    for i, point in enumerate(points):
        others = np.concatenate([taken, kept])
        if np.linalg.norm(others - point, axis=1).min() > distance[i]:
            kept, keep[i] = np.concatenate([kept, point[None]]), True
    return keep


def _on_egg(plan: np.ndarray) -> np.ndarray:
    return np.column_stack([plan, _front_z(*plan.T)])


def _mirrored(points: np.ndarray) -> np.ndarray:
    return points * np.array([-1.0] + [1.0] * (points.shape[-1] - 1))


_EYE_IDS = np.arange(2 * EYE_RINGS * 16).reshape(2, EYE_RINGS, 16)
_LIP_IDS = _EYE_IDS.size + np.arange(LIP_RINGS * 20).reshape(LIP_RINGS, 20)
_NUM_RING_POINTS = _EYE_IDS.size + _LIP_IDS.size


def _skin() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Closed positions (S, 3), plan (S, 2) and triangles of the skin; the rings are its first vertices."""
    eye = _eye_rings()
    lips, lips_closed = _lip_rings()
    eyes = np.stack([_mirrored(eye), eye])
    rings = np.concatenate([eyes.reshape(-1, 2), lips.reshape(-1, 2)])
    nose, rows, is_front = _filling(rings, [eyes[0, -1], eyes[1, -1], lips[-1]])
    closed = np.concatenate([_closed(rings, eyes, lips_closed), np.column_stack([nose, face_z(*nose.T)]), rows])
    ahead = np.flatnonzero(is_front) + len(rings) + len(nose)
    closed[ahead, 2] = face_z(closed[ahead, 0], closed[ahead, 1])
    triangles = _joined(np.concatenate([_on_egg(rings), _on_egg(nose), rows]))
    return closed, np.concatenate([rings, nose, rows[:, :2]]), triangles


def _filling(rings: np.ndarray, outlines: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What lies between and beyond the rings: plan of the nose (K, 2), points of the egg (M, 3), which are in front."""

    def free(plan: np.ndarray) -> np.ndarray:
        return ~np.any([_inside(plan, outline) for outline in outlines], 0)

    nose = _nose_lattice()
    nose = nose[free(nose)]
    taken = _on_egg(rings)
    nose = nose[_spread(_on_egg(nose), taken, np.full(len(nose), 0.02))]
    taken = np.concatenate([taken, _on_egg(nose)])
    angles, heights = _rows().T
    points, is_front = egg(angles, heights), np.abs(angles) <= np.pi / 2
    keep = ~is_front | free(points[:, :2])
    points, is_front = points[keep], is_front[keep]
    keep = _spread(points, taken, np.where(is_front, 0.042, 0.08))
    return nose, points[keep], is_front[keep]


def _joined(points: np.ndarray) -> np.ndarray:
    """Triangles of the skin's points on the egg (S, 3).

    The hull joins the outermost rings with what lies beyond; within them the rings are joined one to the next.
    """
    outermost = _EYE_IDS[0, -1], _EYE_IDS[1, -1], _LIP_IDS[-1]
    hull = np.concatenate([*outermost, np.arange(_NUM_RING_POINTS, len(points))])
    triangles = hull[_hull(points[hull] - np.array([0, 0.1, 0.02]))]
    across = np.any([np.isin(triangles, ids).all(1) for ids in outermost], 0)
    belts = [
        _toward_viewer(points, ids[0, 0] + grid_triangles(*ids.shape, wrap=True))
        for ids in (_EYE_IDS[0], _EYE_IDS[1], _LIP_IDS)
    ]
    return np.concatenate([triangles[~across], *belts])


def _closed(rings: np.ndarray, eyes: np.ndarray, lips: np.ndarray) -> np.ndarray:
    """Resting positions of the rings (K, 3): lids on the eyeballs, lips closed and full."""
    positions = np.column_stack([rings, face_z(*rings.T)])
    mouth = lips.reshape(-1, 3)
    positions[_LIP_IDS.ravel(), :2] = mouth[:, :2]
    positions[_LIP_IDS.ravel(), 2] = face_z(mouth[:, 0], mouth[:, 1]) + mouth[:, 2]
    for side, sign in enumerate((-1, 1)):
        for ring, radius in ((0, 0.985 * EYE_RADIUS), (1, 1.07 * EYE_RADIUS)):
            across = eyes[side, ring] - EYE[:2] * [sign, 1]
            positions[_EYE_IDS[side, ring], 2] = EYE[2] + np.sqrt(radius**2 - (across**2).sum(1))
    return positions


def _hull(directions: np.ndarray) -> np.ndarray:
    """Delaunay triangles of directions (K, 3): their convex hull on the unit sphere, counter-clockwise from outside."""
    from scipy.spatial import ConvexHull

    points = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    triangles = ConvexHull(points).simplices.astype(np.int32)
    a, b, c = points[triangles].transpose(1, 0, 2)
    inward = np.einsum("ij,ij->i", np.cross(b - a, c - a), a + b + c) < 0
    triangles[inward] = triangles[inward][:, ::-1]
    return triangles[np.lexsort(triangles.T)]


# -- what lies beside the skin --------------------------------------------------------------------------------------


def grid_triangles(rows: int, columns: int, wrap: bool = False) -> np.ndarray:
    """int (F, 3) of a grid numbered row by row; counter-clockwise where rows run down and columns to the right."""
    ids = np.arange(rows * columns).reshape(rows, columns)
    if wrap:
        ids = np.concatenate([ids, ids[:, :1]], 1)
    a, b, c, d = ids[:-1, :-1].ravel(), ids[:-1, 1:].ravel(), ids[1:, :-1].ravel(), ids[1:, 1:].ravel()
    return np.concatenate([np.stack([a, c, b], 1), np.stack([b, c, d], 1)])


def ellipsoid(centre: np.ndarray, radii: np.ndarray, rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (rows * columns, 3) and triangles of an ellipsoid in rings from top to bottom."""
    down = np.linspace(0.004, np.pi - 0.004, rows)[:, None]
    around = np.linspace(0, 2 * np.pi, columns, endpoint=False)[None]
    shape = np.stack([np.sin(down) * np.sin(around), np.cos(down) + 0 * around, np.sin(down) * np.cos(around)], -1)
    return (centre + radii * shape).reshape(-1, 3), grid_triangles(rows, columns, wrap=True)


EYEBALL_RINGS = np.array([0.004, 0.042, 0.053, 0.093, 0.111, 0.15, 0.19, 0.2149])
"""Rings of the eyeball, by their distance from the axis of gaze: pupil, iris, white."""
EYE_COLUMNS = 14


def _eyeball() -> tuple[np.ndarray, np.ndarray]:
    sine = (EYEBALL_RINGS / EYE_RADIUS)[:, None]
    around = -np.linspace(0, 2 * np.pi, EYE_COLUMNS, endpoint=False)[None]
    x, y = sine * np.cos(around), sine * np.sin(around)
    directions = np.stack([x, y, np.sqrt(1 - sine**2) + 0 * x], -1).reshape(-1, 3)
    rings = grid_triangles(len(EYEBALL_RINGS), EYE_COLUMNS, wrap=True)
    pupil = [(0, EYE_COLUMNS - 1 - i, EYE_COLUMNS - 2 - i) for i in range(EYE_COLUMNS - 2)]
    return directions, np.concatenate([_toward_viewer(directions, rings), _toward_viewer(directions, np.array(pupil))])


def _toward_viewer(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Triangles of a surface that is seen from +z, turned so that they are counter-clockwise there."""
    a, b, c = points[triangles].transpose(1, 0, 2)
    away = np.cross(b - a, c - a)[:, 2] < 0
    triangles = triangles.copy()
    triangles[away] = triangles[away][:, ::-1]
    return triangles


def _arch(y: np.ndarray, half: float, columns: int, behind: float, smile: float) -> tuple[np.ndarray, np.ndarray]:
    """A row of teeth at heights y, from one side to the other, `behind` the face; its ends are higher by `smile`."""
    x = np.linspace(-1, 1, columns)[None] * half
    z = _front_z(0 * x, LIP_Y + 0 * x) + relief(0 * x, LIP_Y + 0 * x) - behind - 0.9 * (x / 0.24) ** 2 * 0.14
    points = np.stack(np.broadcast_arrays(x, y[:, None] + smile * (x / half) ** 2, z), -1).reshape(-1, 3)
    return points, grid_triangles(len(y), columns)


BROW_COLUMNS = 9
BROW_HEIGHTS = np.array([0.012, 0.034, 0.012])
"""How far the rows of a brow stand out of the skin."""


def brow_plan() -> np.ndarray:
    """(3, 9, 2): upper edge, middle and lower edge of the brow at x > 0, from its inner end."""
    t = np.linspace(0, 1, BROW_COLUMNS)
    x = 0.085 + 0.455 * t
    middle = 0.415 + 0.055 * np.sin(np.pi * t**1.2) - 0.025 * t**2
    half = 0.040 * np.minimum(1, 0.35 + 3 * t) * (1 - t**3) + 0.005
    return np.stack([np.stack([x, middle + s * half], -1) for s in (1, 0, -1)])


def bind(points: np.ndarray, skin: np.ndarray, triangles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The skin's triangle in front of each point (K, 2), as vertices (K, 3) and weights (K, 3)."""
    a, b, c = skin[triangles].transpose(1, 0, 2)
    edges = np.stack([(b - a)[:, :2], (c - a)[:, :2]], -1)
    facing = np.cross(b - a, c - a)[:, 2] > 1e-9
    inverse = np.linalg.inv(np.where(facing[:, None, None], edges, np.eye(2)))
    uv = np.einsum("fij,kfj->kfi", inverse, points[:, None] - a[:, :2])
    weights = np.concatenate([1 - uv.sum(-1, keepdims=True), uv], -1)
    z = np.einsum("kfc,fc->kf", weights, skin[triangles][:, :, 2])
    score = np.where(facing, np.minimum(weights.min(-1), 0) * 1e3 + z, -np.inf)
    best = score.argmax(1)
    return triangles[best], weights[np.arange(len(points)), best]


def _glint() -> np.ndarray:
    """A reflection on the eyeball, from its centre: (6, 3)."""
    angle = np.linspace(0, 2 * np.pi, 6, endpoint=False)
    spot = np.stack([0.021 * np.cos(angle) - 0.034, 0.021 * np.sin(angle) + 0.04], -1)
    return np.column_stack([spot, np.sqrt((1.02 * EYE_RADIUS) ** 2 - (spot**2).sum(1))])


def _cavity() -> np.ndarray:
    """The dark behind the teeth: (20, 3), four rows of five."""
    y, x = np.meshgrid(LIP_Y + np.array([0.32, 0.0, -0.18, -0.42]), np.linspace(-1, 1, 5), indexing="ij")
    z = 0.28 + 0.12 * x**4
    return np.stack([x * np.array([0.48, 0.52, 0.46, 0.28])[:, None], y, z], -1).reshape(-1, 3)


def _pieces(skin: np.ndarray, triangles: np.ndarray, brows: np.ndarray) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Name of the part, vertices (V, 3) and triangles of every piece of the head."""
    strip = grid_triangles(3, BROW_COLUMNS)
    half = len(brows) // 2
    directions, ball = _eyeball()
    ear, ear_triangles = ellipsoid(np.array([0.745, 0.06, -0.12]), np.array([0.065, 0.19, 0.12]), 7, 8)
    fan = np.array([(0, i, i + 1) for i in range(1, 5)])
    left, right = EYE, EYE * [-1, 1, 1]
    return [
        ("skin", skin, triangles),
        ("brows", brows[:half], _toward_viewer(brows[:half], strip)),
        ("brows", brows[half:], _toward_viewer(brows[half:], strip)),
        ("ears", ear, ear_triangles),
        ("ears", _mirrored(ear), ear_triangles[:, ::-1]),
        ("upper_teeth", *_arch(LIP_Y + np.array([0.26, 0.115, 0.10, -0.05]), 0.29, 13, 0.16, 0.03)),
        ("lower_teeth", *_arch(LIP_Y + np.array([-0.022, -0.10, -0.115, -0.24]), 0.25, 13, 0.18, -0.02)),
        ("tongue", *ellipsoid(np.array([0, LIP_Y - 0.11, 0.41]), np.array([0.15, 0.05, 0.15]), 6, 10)),
        ("cavity", _cavity(), grid_triangles(4, 5)),
        ("eyes", directions * EYE_RADIUS + right, ball),
        ("eyes", directions * EYE_RADIUS + left, ball),
        ("glints", _glint() + right, fan),
        ("glints", _glint() + left, fan),
    ]


@lru_cache(maxsize=1)
def layout() -> Layout:
    """The average head, made once per process (about 0.2 s)."""
    skin, plan, skin_triangles = _skin()
    brow = brow_plan().reshape(-1, 2)
    bound = bind(np.concatenate([_mirrored(brow), brow]), skin, skin_triangles)
    brows = np.einsum("kc,kcd->kd", bound[1], skin[bound[0]])
    brows[:, 2] += np.tile(np.repeat(BROW_HEIGHTS, BROW_COLUMNS), 2)
    pieces = _pieces(skin, skin_triangles, brows)
    starts = np.cumsum([0, *(len(vertices) for _, vertices, _ in pieces)])
    parts: dict[str, np.ndarray] = {}
    for (name, vertices, _), start in zip(pieces, starts, strict=False):
        parts[name] = np.concatenate([parts.get(name, np.empty(0, int)), start + np.arange(len(vertices))])
    parts["eyes"] = parts["eyes"].reshape(2, -1)
    neutral = np.concatenate([vertices for _, vertices, _ in pieces])
    triangles = [piece + start for (_, _, piece), start in zip(pieces, starts, strict=False)]
    return Layout(
        neutral=neutral,
        plan=np.concatenate([plan, neutral[len(skin) :, :2]]),
        triangles=np.concatenate(triangles).astype(np.int32),
        parts=parts,
        eye_rings=_EYE_IDS,
        lip_rings=_LIP_IDS,
        bound=bound,
        eye_directions=_eyeball()[0],
    )
