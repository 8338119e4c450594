"""A person in a setting, drawn frame by frame: head, hair, neck, shoulders and background, with exact landmarks."""

from __future__ import annotations

import numpy as np

from bench.media.head import Head
from bench.media.head_layout import TOP, bump, egg, ellipsoid, grid_triangles, ramp
from protocols.synth.person import Person, Setting, generator

DISTANCE = 5.0
"""Of the camera, in model units."""
SPAN = 2.92
"""Model units from the top to the bottom of the image at the origin: the face takes 70 % of the height."""
CENTRE = (0.5, 0.475)
"""Where the head's origin appears, in shares of the image."""
FACE_HEIGHT = 2.0
"""Model units of pose's shifts."""

Part = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Vertices float (V, 3), triangles int (F, 3), colours float (V, 3)."""


def rotation(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """float32 (3, 3) that turns the head: yaw to the image's right, pitch up, roll clockwise in the image."""
    (sy, sp, sr), (cy, cp, cr) = np.sin([yaw, pitch, roll]), np.cos([yaw, pitch, roll])
    turn = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    nod = np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])
    lean = np.array([[cr, sr, 0], [-sr, cr, 0], [0, 0, 1]])
    return (lean @ turn @ nod).astype(np.float32)


class Figure:
    """A person in a setting.

    Attributes:
        person, setting: who is drawn, and where.
        head: their head, whose vertices the landmarks lie on.
        size: height and width of the frames.
        background: uint8 (H, W, 3) RGB.
    """

    def __init__(self, person: Person, setting: Setting, size: tuple[int, int] = (128, 128)) -> None:
        from bench.media.mesh import Camera, Light

        self.person, self.setting, self.size = person, setting, size
        self.head = Head(person.shape, person.style)
        self.background = draw_background(setting, size)
        self._camera = Camera(distance=DISTANCE, focal=DISTANCE / SPAN, centre=CENTRE)
        self._light = Light(
            key_direction=setting.key_direction,
            key=setting.key,
            fill_direction=(-setting.key_direction[0] or 1.0, 0.1, 0.5),
            fill=setting.fill,
            ambient=setting.ambient,
        )
        parts = [_hair(person, self.head), _body(person, setting)]
        colours = [self.head.colours(person.palette), *(painted for _, _, painted in parts)]
        self._colours = np.concatenate(colours).astype(np.float32)
        starts = np.cumsum([len(self.head.rest), *(len(vertices) for vertices, _, _ in parts)])
        triangles = [self.head.triangles, *(t + start for (_, t, _), start in zip(parts, starts, strict=False))]
        self._triangles = np.concatenate(triangles).astype(np.int32)
        self._hair, self._body = (vertices.astype(np.float32) for vertices, _, _ in parts)
        self._follow = ramp((self._body[:, 1] + 1.30) / 0.65)[:, None].astype(np.float32)
        self._specular = np.zeros(len(self._colours), np.float32)
        self._specular[: starts[0]] = self.head.specular
        self._specular[starts[0] : starts[1]] = 0.10

    def draw(
        self,
        aus: np.ndarray,
        pose: np.ndarray | tuple[float, ...] = (0.0, 0.0, 0.0, 0.0, 0.0),
        gaze: np.ndarray | tuple[float, float] = (0.0, 0.0),
    ) -> tuple[np.ndarray, np.ndarray]:
        """One frame.

        Args:
            aus: float (24,) in [0, 1], order FEAFA_UNITS.
            pose: yaw (positive to the image's right), pitch (positive up), roll (positive clockwise in the image), in
                radians, and shifts to the right and up, in face heights.
            gaze: yaw and pitch of the eyes in the head, radians, signs as pose.

        Returns:
            The frame, uint8 (H, W, 3) RGB, and mediapipe's 478 points in it, float32 (478, 2) pixels, x then y; the
            centre of the top-left pixel is (0.5, 0.5).
        """
        from bench.media.mesh import render, vertex_normals

        turn = rotation(*pose[:3])
        shift = np.array([pose[3], pose[4], 0], np.float32) * FACE_HEIGHT
        face = self.head.vertices(aus, gaze)
        body = self._body + self._follow * (self._body @ turn.T - self._body)
        vertices = np.concatenate([face @ turn.T, self._hair @ turn.T, body]) + shift
        colours = self._colours.copy()
        colours[: len(face)] *= self.head.folds(aus)
        frame = render(
            vertices,
            self._triangles,
            vertex_normals(vertices, self._triangles),
            np.clip(colours, 0, 1),
            self._camera,
            self.size,
            background=self.background,
            light=self._light,
            specular=self._specular,
        )
        points = self.head.landmarks478(face) @ turn.T + shift
        return frame, self._camera.project(points, self.size)[:, :2].astype(np.float32)


# -- hair -----------------------------------------------------------------------------------------------------------

_COLUMNS, _ROWS = 40, 9
_HANGING = ("bob", "long")


def _hairline(style: str, theta: np.ndarray) -> np.ndarray:
    """Height of the hair's lower edge at each angle around the head."""
    a = np.abs(theta)
    front = {"receding": 0.97, "fringe": 0.62, "bob": 0.80, "long": 0.80, "curly": 0.74, "crop": 0.80}.get(style, 0.82)
    if style == "fringe":
        front = front + 0.03 * np.cos(5 * theta)
    elif style == "parted":
        front = front - 0.16 * ramp((theta + 0.5) / 1.1) * ramp((1.3 - a) / 0.5)
    elif style == "receding":
        front = front - 0.14 * np.exp(-((theta / 0.25) ** 2))
    side = {"crop": 0.20, "bob": -0.66, "long": -1.28, "bun": 0.30, "short": 0.02, "receding": 0.16}.get(style, 0.0)
    back = {"bob": -0.70, "long": -1.35}.get(style, -0.45)
    temple = ramp((a - 0.75) / 0.55)
    behind = ramp((a - 1.75) / 0.5)
    return (front + (side - front) * temple) + (back - side) * behind


_THICKNESS = {"crop": 0.03, "receding": 0.035, "bun": 0.045, "curly": 0.17, "short": 0.085, "long": 0.085, "bob": 0.095}


def _hair(person: Person, head: Head) -> Part:
    """A shell over the skull from the crown to the hairline, and a knot for a bun."""
    style = person.hair_style
    if style == "bald":
        return np.zeros((0, 3)), np.zeros((0, 3), np.int32), np.zeros((0, 3))
    rng = generator("hair", person.id)
    theta = np.linspace(-np.pi, np.pi, _COLUMNS, endpoint=False)[None]
    down = np.linspace(0, 1, _ROWS)[:, None]
    vertices = _shell(style, theta, down, rng).reshape(-1, 3)
    triangles = grid_triangles(_ROWS, _COLUMNS, wrap=True)
    strands = 1 + 0.22 * rng.uniform(-1, 1, (1, _COLUMNS)) + 0.05 * rng.uniform(-1, 1, (_ROWS, _COLUMNS))
    if style == "parted":
        strands = strands * (1 - 0.4 * np.exp(-(((theta + 0.5) / 0.12) ** 2)) * (down < 0.95))
    colours = np.array(person.hair) * strands.reshape(-1, 1)
    if style == "bun":
        knot, knot_triangles = ellipsoid(np.array([0, 1.17, -0.30]), np.array([0.25, 0.22, 0.25]), 8, 12)
        triangles = np.concatenate([triangles, knot_triangles + len(vertices)])
        vertices = np.concatenate([vertices, knot])
        colours = np.concatenate([colours, np.array(person.hair) * (1 + 0.2 * rng.uniform(-1, 1, (len(knot), 1)))])
    if style in _HANGING:
        # What hangs is seen from inside too, in its own shadow.
        triangles = np.concatenate([triangles, triangles[:, ::-1] + len(vertices)])
        vertices = np.concatenate([vertices, vertices * [0.985, 1, 0.985]])
        colours = np.concatenate([colours, 0.45 * colours])
    return head.warp(vertices), triangles, np.clip(colours, 0.02, 1)


def _shell(style: str, theta: np.ndarray, down: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Points (R, C, 3) of the hair at angles around the head (1, C) and shares of the way to the hairline (R, 1)."""
    low = _hairline(style, theta)
    y = TOP - 0.002 - (TOP - low) * (1 - np.cos(down * np.pi / 2)) ** 0.9
    # Hair that hangs below the widest row falls straight instead of following the jaw.
    on_skull = egg(np.broadcast_to(theta, y.shape), np.maximum(y, 0.05))
    outward = on_skull - np.array([0, 0.15, -0.05])
    outward /= np.linalg.norm(outward, axis=-1, keepdims=True)
    thick = _THICKNESS.get(style, 0.075) * (1 + 0.10 * rng.normal())
    if style == "curly":
        waves = 0.25 * np.sin(7 * theta + 9 * down + rng.uniform(0, 6))
        taper = (1 - down**5) ** 0.5 * (1 + waves)
    elif style in _HANGING or style == "fringe":
        taper = 1 - 0.9 * (down == 1) * ((np.abs(theta) < 1.1) | (style == "fringe"))
    else:
        taper = (1 - ramp((down - 0.6) / 0.4)) * 0.75 + 0.25 * (1 - 0.9 * (down == 1))
    points = on_skull + outward * (thick * taper)[..., None] + np.array([0.0, 0.004, 0.0])
    hang = np.minimum(y - 0.05, 0)
    points[..., 1] += hang
    points[..., 0] *= 1 + (0.10 if style == "long" else 0.04) * ramp(-hang / 0.8)
    points[..., 2] -= 0.10 * ramp(-hang / 0.6) * (style in _HANGING)
    return points


# -- body -----------------------------------------------------------------------------------------------------------

_BODY = np.array(
    [  # height, half width, half depth, z of the middle
        (-0.45, 0.40, 0.33, -0.17),
        (-0.75, 0.385, 0.32, -0.18),
        (-1.00, 0.385, 0.33, -0.18),
        (-1.16, 0.41, 0.37, -0.18),
        (-1.26, 0.50, 0.40, -0.18),
        (-1.33, 0.66, 0.43, -0.18),
        (-1.40, 0.90, 0.45, -0.18),
        (-1.50, 1.12, 0.47, -0.17),
        (-1.64, 1.27, 0.50, -0.15),
        (-1.85, 1.35, 0.54, -0.12),
        (-2.30, 1.38, 0.60, -0.08),
    ]
)


def _body(person: Person, setting: Setting) -> Part:
    """Neck and shoulders, and over them a shell of clothes from the neckline down."""
    around = np.linspace(-np.pi, np.pi, 36, endpoint=False)
    skin = _body_surface(person, np.broadcast_to(_BODY[:, :1], (len(_BODY), 36)), around, 0.0)
    near = np.abs(np.sin(around)) * 0.5
    front = ramp((np.cos(around) + 0.2) / 0.8)
    edge = -1.17 - 0.11 * front - setting.neckline * np.clip(1 - near / 0.33, 0, 1) ** 0.8 * (np.cos(around) > 0)
    share = np.array([0, 0.0, 0.075, 0.09, 0.2, 0.32, 0.46, 0.62, 0.8, 1])[:, None]
    cloth = _body_surface(person, edge + (-2.3 - edge) * share, around, 0.022)
    cloth[:36] = _body_surface(person, edge[None], around, -0.01)
    colours = np.array(setting.clothes) * np.ones((len(cloth), 1))
    colours[: 3 * 36] = setting.collar
    shadow = 0.35 * bump(*skin.T[:2], 0, -0.95, 0.5, 0.22)[:, None]
    grids = grid_triangles(len(_BODY), 36, wrap=True), grid_triangles(len(share), 36, wrap=True)
    return (
        np.concatenate([skin, cloth]),
        np.concatenate([grids[0], grids[1] + len(skin)]),
        np.concatenate([np.array(person.palette.skin) * 0.93 * (1 - shadow), colours]),
    )


def _body_surface(person: Person, y: np.ndarray, around: np.ndarray, out: float) -> np.ndarray:
    """Points of neck and shoulders at heights y (R, C) and angles (C,), moved outward: (R * C, 3)."""
    width, depth, z = (np.interp(-y, -_BODY[:, 0], _BODY[:, column]) for column in (1, 2, 3))
    neck = ramp((y + 1.3) / 0.25)
    width = width * (person.neck_width * neck + person.shoulders * (1 - neck))
    x = (width + out) * np.sin(around)
    front = ramp((np.cos(around) + 0.2) / 0.8)
    sink = 0.10 * front * np.exp(-((x / 0.35) ** 2)) * ramp((-1.1 - y) / 0.2)
    z = z + (depth + out) * np.cos(around)
    return np.stack([x, y - sink + 0.5 * max(out, 0), z], -1).reshape(-1, 3)


# -- backgrounds ----------------------------------------------------------------------------------------------------


def _clouds(rng: np.random.Generator, size: tuple[int, int], cells: int) -> np.ndarray:
    """Smooth noise in [-1, 1], (H, W); the same picture at every size."""
    import cv2

    coarse = rng.uniform(-1, 1, (cells, cells)).astype(np.float32)
    return cv2.resize(coarse, (size[1], size[0]), interpolation=cv2.INTER_CUBIC)


def draw_background(setting: Setting, size: tuple[int, int]) -> np.ndarray:
    """The picture behind the person: uint8 (H, W, 3) RGB."""
    rng = np.random.default_rng(setting.seed)
    y, x = np.meshgrid(*((np.arange(n) + 0.5) / n for n in size), indexing="ij")
    first, second, third = np.array(setting.colours)
    image = _BACKGROUNDS[setting.background](rng, size, x[..., None], y[..., None], first, second, third)
    return np.round(255 * np.clip(image, 0, 1)).astype(np.uint8)


def _plain(rng, size, x, y, first, second, third):
    glow = np.exp(-((x - rng.uniform(0.3, 0.7)) ** 2 + (y - 0.4) ** 2) / 0.25)
    return first * (0.78 + 0.30 * glow)


def _gradient(rng, size, x, y, first, second, third):
    angle = rng.uniform(0, 2 * np.pi)
    share = ramp(0.5 + (x - 0.5) * np.cos(angle) + (y - 0.5) * np.sin(angle))
    return first * (1 - share) + second * share


def _spots(rng, size, x, y, first, second, third):
    image = np.broadcast_to(first * (1.05 - 0.3 * y), (*size, 3)).copy()
    for colour in (second, third, second, third, second):
        cx, cy, radius = rng.uniform(0, 1), rng.uniform(0, 0.9), rng.uniform(0.10, 0.22)
        disc = ramp((radius * 1.25 - np.hypot(x - cx, y - cy)) / (0.5 * radius))
        image += 0.55 * disc * (colour - image)
    return image


def _stripes(rng, size, x, y, first, second, third):
    angle, count = rng.uniform(-0.5, 0.5), rng.uniform(3, 7)
    wave = np.sin(2 * np.pi * count * (x * np.cos(angle) + y * np.sin(angle)) + rng.uniform(0, 6))
    share = ramp(0.5 + 1.2 * wave)
    return first + (0.5 * first + 0.5 * second - first) * share


def _meadow(rng, size, x, y, first, second, third):
    horizon = rng.uniform(0.42, 0.60) + 0.04 * _clouds(rng, size, 4)[..., None]
    sky = first + (second - first) * np.clip(y / horizon, 0, 1)
    sky = sky + 0.35 * ramp(_clouds(rng, size, 5)[..., None] * 1.6) * (1 - sky)
    grass = third * (1 + 0.22 * _clouds(rng, size, 22)[..., None] + 0.25 * (y - 0.7))
    return np.where(y < horizon, sky, grass)


def _forest(rng, size, x, y, first, second, third):
    leaves = 0.55 * _clouds(rng, size, 9)[..., None] + 0.6 * _clouds(rng, size, 26)[..., None]
    image = first + (second - first) * ramp(0.5 + 0.7 * leaves)
    return image + 0.75 * ramp(_clouds(rng, size, 14)[..., None] * 1.7 - 0.55) * (third - image)


def _sunset(rng, size, x, y, first, second, third):
    horizon = rng.uniform(0.50, 0.64)
    sky = first + (second - first) * np.clip(y / horizon, 0, 1) ** 1.3
    sun = ramp((0.10 - np.hypot(x - rng.uniform(0.1, 0.9), y - horizon + 0.08)) / 0.03)
    sky = sky + sun * (np.array([1.0, 0.93, 0.70]) - sky)
    hills = horizon + 0.10 * _clouds(rng, size, 6)[..., None]
    return np.where(y < hills, sky, third * (1.2 - 0.5 * y + 0.1 * _clouds(rng, size, 18)[..., None]))


def _city(rng, size, x, y, first, second, third):
    image = np.broadcast_to(first * (1.05 - 0.25 * y), (*size, 3)).copy()
    edges = np.cumsum(rng.uniform(0.10, 0.24, 12)) - 0.1
    for left, right in zip(edges[:-1], edges[1:], strict=True):
        top, shade = rng.uniform(0.08, 0.55), rng.uniform(0.75, 1.15)
        house = (x >= left) & (x < right) & (y > top)
        window = (np.sin(60 * (x - left)) > 0.2) & (np.sin(70 * (y - top)) > 0.1)
        image = np.where(house, np.where(window, third, second * shade), image)
    return image


_BACKGROUNDS = {
    "plain": _plain,
    "gradient": _gradient,
    "spots": _spots,
    "stripes": _stripes,
    "meadow": _meadow,
    "forest": _forest,
    "sunset": _sunset,
    "city": _city,
}
