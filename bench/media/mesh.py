"""Faces as triangle meshes: normals, a pinhole camera, light, and frames drawn by `bench.media.raster`.

Coordinates of a model: x to the image's right (the person's left has x > 0), y up, z toward the camera, the origin at
the head's centre, the face about 2 units tall. Shading is per vertex (Gouraud) in linear light: Lambert under two
directional lights and ambient light, and Blinn-Phong highlights of the first. On a sphere of 2,480 triangles this is
0.3 grey levels (0.5 with highlights) from shading every pixel.

`render_face` and `draw_landmarks` draw AUHead's two-dimensional AU representations (section 3.3 and Table 2), of which
the paper names the kind but not the face: RoM, a rendering of a mesh that the AUs move, and LMK, keypoints.
"""

from __future__ import annotations

import math
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from bench.media.au import FEAFA_UNITS
from bench.media.errors import UserError
from bench.media.landmarks import NUM_POINTS, ibug68
from bench.media.raster import compiled, rasterise

Size = tuple[int, int]
"""Height and width in pixels."""
Colour = tuple[float, float, float]
"""Red, green, blue; linear light for lights, where 1 is the light that shows an albedo as it is."""

SHININESS = 24
"""Exponent of the Blinn-Phong highlight."""
MAP_COLOUR: Colour = (0.8, 0.72, 0.66)
"""sRGB albedo of the face in a RoM map."""

CONTOURS68: tuple[tuple[range, bool], ...] = (
    (range(0, 17), False),  # jaw
    (range(17, 22), False),
    (range(22, 27), False),  # brows
    (range(27, 31), False),
    (range(31, 36), False),  # nose
    (range(36, 42), True),
    (range(42, 48), True),  # eyes
    (range(48, 60), True),
    (range(60, 68), True),  # lips
)
"""Lines through the 68 iBUG points, and whether each is closed."""

ICT_CENTIMETRES_PER_UNIT = 9.0
"""ICT-FaceKit is in centimetres with the origin between the ears; its face is about 18 cm from chin to hairline."""
ICT_SHAPES: dict[str, tuple[str, ...]] = {
    "eye_close_left": ("eyeBlink_L",),
    "eye_close_right": ("eyeBlink_R",),
    "lid_raise_left": ("eyeWide_L",),
    "lid_raise_right": ("eyeWide_R",),
    "brow_lower_left": ("browDown_L",),
    "brow_lower_right": ("browDown_R",),
    "brow_raise_left": ("browOuterUp_L",),
    "brow_raise_right": ("browOuterUp_R",),
    "jaw_drop": ("jawOpen",),
    "jaw_left": ("jawLeft",),
    "jaw_right": ("jawRight",),
    "lip_corner_left": ("mouthSmile_L",),
    "lip_corner_right": ("mouthSmile_R",),
    "lip_stretch_left": ("mouthStretch_L",),
    "lip_stretch_right": ("mouthStretch_R",),
    "upper_lip_suck": ("mouthRollUpper",),
    "lower_lip_suck": ("mouthRollLower",),
    "jaw_thrust": ("jawForward",),
    "upper_lip_raise": ("mouthUpperUp_L", "mouthUpperUp_R"),
    "lower_lip_depress": ("mouthLowerDown_L", "mouthLowerDown_R"),
    "chin_raise": ("mouthShrugLower",),
    "lip_pucker": ("mouthPucker",),
    "cheek_puff": ("cheekPuff_L", "cheekPuff_R"),
    "nose_wrinkle": ("noseSneer_L", "noseSneer_R"),
}
"""FEAFA AU -> shapes of ICT-FaceKit whose displacements add up to it at 1: `au_maps.ARKIT_TO_FEAFA` read backwards.

FEAFA's brow raiser is the outer one, so `browInnerUp` has no AU. Frown, dimple, funnel, press, squint, cheek raise,
mouth sideways and gaze have none either. AUs without sides move both sides.
"""
# fmt: off
ICT_LANDMARKS68 = (
    1225, 1888, 1052, 367, 1719, 1722, 2199, 1447, 966, 3661, 4390, 3927, 3924, 2608, 3272, 4088, 3443,
    268, 493, 1914, 2044, 1401, 3615, 4240, 4114, 2734, 2509, 978, 4527, 4942, 4857, 1140, 2075, 1147, 4269, 3360,
    1507, 1542, 1537, 1528, 1518, 1511, 3742, 3751, 3756, 3721, 3725, 3732,
    5708, 5695, 2081, 0, 4275, 6200, 6213, 6346, 6461, 5518, 5957, 5841,
    5702, 5711, 5533, 6216, 6207, 6470, 5517, 5966,
)
"""Vertices of ICT-FaceKit at the 68 iBUG points (`idx_to_landmark_verts` of its vertex_indices.json)."""
# fmt: on


class Face(Protocol):
    """A face that AUs move: ICT-FaceKit's or a parametric one."""

    @property
    def triangles(self) -> np.ndarray:
        """int32 (F, 3), counter-clockwise seen from outside."""

    def vertices(self, aus: np.ndarray) -> np.ndarray:
        """float32 (V, 3) for the 24 FEAFA AUs, float (24,) [0, 1]."""


@dataclass(frozen=True, eq=False)
class IctFace:
    """The neutral face and head of ICT-FaceKit (R. Li et al., "Learning Formation of Physically-Based Face
    Attributes", 2020) with the 24 FEAFA AUs, in the coordinates of this module."""

    neutral: np.ndarray
    """float32 (9409, 3)."""
    shapes: np.ndarray
    """float32 (24, 9409, 3), displacement of every AU at 1."""
    triangles: np.ndarray
    """int32 (18460, 3)."""

    def vertices(self, aus: np.ndarray) -> np.ndarray:
        """float32 (9409, 3): the neutral face and the displacements of the AUs, float (24,) [0, 1], added up."""
        aus = np.asarray(aus, np.float32)
        return self.neutral + (aus @ self.shapes.reshape(len(aus), -1)).reshape(self.neutral.shape)

    def landmarks68(self, vertices: np.ndarray) -> np.ndarray:
        """float32 (68, 3): the iBUG points of a face that `vertices` gave."""
        return vertices[list(ICT_LANDMARKS68)]


@dataclass(frozen=True)
class Camera:
    """Pinhole camera on the z axis that looks at the origin."""

    distance: float = 8.0
    """From the origin, in model units."""
    focal: float = 3.0
    """Focal length in image heights: a thing h tall at the origin is focal * h / distance image heights tall."""
    centre: tuple[float, float] = (0.5, 0.5)
    """Where the origin appears, as shares of the image's width and height."""

    def project(self, points: np.ndarray, size: Size) -> np.ndarray:
        """Image position of points: the centre of the top-left pixel is (0.5, 0.5).

        Args:
            points: float (..., 3) in model coordinates.
            size: height and width of the image.

        Returns:
            float (..., 3) of the same dtype: x to the right and y down in pixels, and the depth in model units, which
            is 0 or less at and behind the camera (x and y mean nothing there).
        """
        height, width = size
        depth = self.distance - points[..., 2]
        with np.errstate(divide="ignore", invalid="ignore"):
            scale = self.focal * height / depth
            x = self.centre[0] * width + scale * points[..., 0]
            y = self.centre[1] * height - scale * points[..., 1]
        return np.stack([x, y, depth], axis=-1)


@dataclass(frozen=True)
class Light:
    """A key light, a fill light and ambient light. Directions point from the head to the light, of any length."""

    key_direction: tuple[float, float, float] = (-0.6, 0.8, 0.9)
    key: Colour = (0.85, 0.85, 0.85)
    fill_direction: tuple[float, float, float] = (0.9, 0.0, 0.4)
    fill: Colour = (0.15, 0.125, 0.1)
    ambient: Colour = (0.08, 0.08, 0.09)


STUDIO_LIGHT = Light()
MAP_CAMERA = Camera(focal=2.8)
"""The whole head in the image, with the mouth wide open too."""


def vertex_normals(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Outward unit normals of a smooth surface: the mean of the triangles at a vertex, weighted by their area.

    Args:
        vertices: float (V, 3).
        triangles: int (F, 3), counter-clockwise seen from outside.

    Returns:
        float32 (V, 3); 0 at a vertex of no triangle.

    Raises:
        ValueError: shapes that do not fit together, indices outside the vertices, values that are not finite.
    """
    vertices = np.ascontiguousarray(vertices, np.float32)
    triangles = np.ascontiguousarray(triangles, np.int32)
    _check(vertices, triangles)
    return _vertex_normals(vertices, triangles)


def render(
    vertices: np.ndarray,
    triangles: np.ndarray,
    normals: np.ndarray,
    colours: np.ndarray,
    camera: Camera,
    size: Size,
    *,
    background: np.ndarray | tuple[int, int, int] = (0, 0, 0),
    light: Light = STUDIO_LIGHT,
    specular: np.ndarray | float = 0.0,
    supersample: int = 2,
) -> np.ndarray:
    """Draw a mesh over a background.

    Args:
        vertices: float (V, 3); triangles that reach behind the camera are left out.
        triangles: int (F, 3), counter-clockwise seen from outside; only what faces the camera is drawn.
        normals: float (V, 3), unit length, outward.
        colours: float (V, 3) RGB [0, 1], sRGB albedo.
        camera: where from.
        size: height and width in pixels.
        background: uint8 (H, W, 3) RGB, or one colour.
        light: what shines on it.
        specular: float (V,) or one number, [0, 1], strength of the highlight.
        supersample: samples per pixel along each side.

    Returns:
        uint8 (H, W, 3) RGB.

    Raises:
        ValueError: shapes that do not fit together, indices outside the vertices, values that are not finite, a
            background that is not of whole numbers from 0 to 255.
    """
    vertices, normals, colours = (np.ascontiguousarray(a, np.float32) for a in (vertices, normals, colours))
    triangles = np.ascontiguousarray(triangles, np.int32)
    _check(vertices, triangles, normals, colours)
    if supersample < 1:
        raise ValueError(f"supersample must be 1 or more, got {supersample}")
    specular = np.ascontiguousarray(np.broadcast_to(np.asarray(specular, np.float32), len(vertices)))
    canvas = _canvas(background, size)
    points = camera.project(vertices, size)
    shaded = _shade(vertices, normals, colours, specular, camera.distance, *_arrays(light))
    return rasterise(points, shaded, triangles, canvas, supersample)


def ict_face(path: str | Path) -> IctFace:
    """Load ICT-FaceKit's face with its expressions.

    Args:
        path: an .npz with `neutral` float (9409, 3) in ICT-FaceKit's centimetres, `delta` float (N, 9409, 3), `names`
            of the N expressions as in ICT-FaceKit, and `tri` int (F, 3): what its .obj files hold, the expressions as
            differences from the neutral face, cut to the first 9409 vertices (face, head and neck).

    Raises:
        UserError: the file is absent or is no such file, or lacks an expression that an AU needs.
    """
    wanted = "an .npz with neutral, delta, names and tri made from ICT-FaceKit (github.com/ICT-VGL/ICT-FaceKit)"
    try:
        with np.load(path) as file:
            neutral, delta, names, triangles = (file[key] for key in ("neutral", "delta", "names", "tri"))
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file; give {wanted}") from error
    except (OSError, EOFError, KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: cannot be read as ICT-FaceKit's face ({error}); give {wanted}") from error
    rows = {str(name): row for row, name in enumerate(names)}
    lacking = [name for shapes in ICT_SHAPES.values() for name in shapes if name not in rows]
    if lacking:
        raise UserError(f"{path}: lacks the expressions {', '.join(lacking)}; give {wanted}")
    if neutral.ndim != 2 or delta.shape != (len(rows), *neutral.shape) or len(neutral) <= max(ICT_LANDMARKS68):
        raise UserError(f"{path}: neutral {neutral.shape} and delta {delta.shape} do not fit together; give {wanted}")
    shapes = [delta[[rows[name] for name in ICT_SHAPES[unit.name]]].sum(0) for unit in FEAFA_UNITS]
    neutral, shapes = (np.float32(array) / np.float32(ICT_CENTIMETRES_PER_UNIT) for array in (neutral, shapes))
    return IctFace(neutral, shapes, triangles.astype(np.int32))


def render_face(face: Face, aus: np.ndarray, size: Size, camera: Camera = MAP_CAMERA) -> np.ndarray:
    """Rendering of mesh (RoM): the face in one skin colour on black, frontal and still, moved by its AUs alone.

    Args:
        face: what is drawn; the identity is the same for every speaker.
        aus: float (T, 24) FEAFA AUs.
        size: height and width in pixels.
        camera: where from; by default the whole head is in the image.

    Returns:
        uint8 (T, H, W, 3) RGB.

    Raises:
        ValueError: `aus` has another shape or holds values that are not finite.
    """
    aus = np.asarray(aus, np.float32)
    if aus.ndim != 2 or aus.shape[1] != len(FEAFA_UNITS) or not np.isfinite(aus).all():
        raise ValueError(f"aus must be finite (T, {len(FEAFA_UNITS)}), got {aus.shape}; fill frames without a face")
    frames = np.empty((len(aus), *size, 3), np.uint8)
    for frame, row in zip(frames, aus, strict=True):
        vertices = face.vertices(row)
        normals = vertex_normals(vertices, face.triangles)
        colours = np.broadcast_to(MAP_COLOUR, vertices.shape)
        frame[:] = render(vertices, face.triangles, normals, colours, camera, size)
    return frames


def draw_landmarks(xy: np.ndarray, size: Size) -> np.ndarray:
    """Landmark map (LMK): white on black, 68 iBUG points as the contours of the face, others as points.

    Args:
        xy: float (N, 2), x to the right and y down in pixels, (0.5, 0.5) the centre of the top-left pixel; the 478
            points of mediapipe are drawn as the 68 (`landmarks.ibug68`). Points may lie outside the image.
        size: height and width in pixels.

    Returns:
        uint8 (H, W, 3) RGB.

    Raises:
        ValueError: `xy` has another shape or holds values that are not finite.
    """
    xy = np.asarray(xy, np.float64)
    if xy.ndim != 2 or xy.shape[1] != 2 or not np.isfinite(xy).all():
        raise ValueError(f"landmarks must be finite (N, 2), got {xy.shape}; leave out frames without a face")
    points = ibug68(xy) if len(xy) == NUM_POINTS else xy
    bits = 4  # cv2 takes integers, here sixteenths of a pixel; its pixel centres are whole
    fixed = np.round((points - 0.5) * 2**bits).astype(np.int32)
    canvas = np.zeros((*size, 3), np.uint8)
    white, thickness = (255, 255, 255), max(1, round(min(size) / 256))
    if len(fixed) == 68:
        for indices, closed in CONTOURS68:
            cv2.polylines(canvas, [fixed[list(indices)]], closed, white, thickness, cv2.LINE_AA, bits)
    else:
        for x, y in fixed:
            cv2.circle(canvas, (int(x), int(y)), thickness << bits, white, cv2.FILLED, cv2.LINE_AA, bits)
    return canvas


def _check(vertices: np.ndarray, triangles: np.ndarray, *per_vertex: np.ndarray) -> None:
    """What compiled code relies on: it would read beyond its arrays, or draw noise, without a word."""
    if vertices.ndim != 2 or vertices.shape[1] != 3 or any(array.shape != vertices.shape for array in per_vertex):
        shapes = ", ".join(str(array.shape) for array in (vertices, *per_vertex))
        raise ValueError(f"vertices, normals and colours must all be (V, 3), got {shapes}")
    if triangles.ndim != 2 or triangles.shape[1] != 3:
        raise ValueError(f"triangles must be (F, 3), got {triangles.shape}")
    if len(triangles) and not (triangles.min() >= 0 and triangles.max() < len(vertices)):
        raise ValueError(
            f"triangles must hold rows of the {len(vertices)} vertices, got {triangles.min()} to {triangles.max()}"
        )
    if not all(np.isfinite(array).all() for array in (vertices, *per_vertex)):
        raise ValueError("vertices, normals and colours must be finite")


def _canvas(background: np.ndarray | tuple[int, int, int], size: Size) -> np.ndarray:
    """uint8 (H, W, 3)."""
    given = np.asarray(background)
    if given.dtype.kind not in "iu" or given.min() < 0 or given.max() > 255:
        raise ValueError(f"background must be RGB of whole numbers from 0 to 255, got {given.dtype}")
    return np.ascontiguousarray(np.broadcast_to(given.astype(np.uint8), (*size, 3)))


def _arrays(light: Light) -> tuple[np.ndarray, ...]:
    """Directions of unit length and colours, float32 (3,) each: key, its colour, fill, its colour, ambient."""
    directions = [np.array(d, np.float32) / math.hypot(*d) for d in (light.key_direction, light.fill_direction)]
    key, fill, ambient = (np.array(c, np.float32) for c in (light.key, light.fill, light.ambient))
    return directions[0], key, directions[1], fill, ambient


@compiled
def _vertex_normals(p, triangles):
    """Sums of the cross products of two sides, which are as long as twice the triangle's area, to unit length."""
    normals = np.zeros_like(p)
    for f in range(len(triangles)):
        a, b, c = triangles[f, 0], triangles[f, 1], triangles[f, 2]
        ux, uy, uz = p[b, 0] - p[a, 0], p[b, 1] - p[a, 1], p[b, 2] - p[a, 2]
        vx, vy, vz = p[c, 0] - p[a, 0], p[c, 1] - p[a, 1], p[c, 2] - p[a, 2]
        x, y, z = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        for v in (a, b, c):
            normals[v, 0] += x
            normals[v, 1] += y
            normals[v, 2] += z
    for v in range(len(normals)):
        length = math.sqrt(normals[v, 0] ** 2 + normals[v, 1] ** 2 + normals[v, 2] ** 2)
        if length > 0:
            normals[v] /= length
    return normals


@compiled
def _shade(vertices, normals, colours, specular, distance, key_direction, key, fill_direction, fill, ambient):
    """Light that comes from every vertex to the camera: float32 (V, 3) RGB, sRGB [0, 255]."""
    shaded = np.empty_like(colours)
    for v in range(len(vertices)):
        nx, ny, nz = normals[v, 0], normals[v, 1], normals[v, 2]
        lit_key = max(0.0, nx * key_direction[0] + ny * key_direction[1] + nz * key_direction[2])
        lit_fill = max(0.0, nx * fill_direction[0] + ny * fill_direction[1] + nz * fill_direction[2])
        highlight = 0.0
        if specular[v] > 0:
            x, y, z = -vertices[v, 0], -vertices[v, 1], distance - vertices[v, 2]
            length = math.sqrt(x * x + y * y + z * z)
            hx, hy, hz = x / length + key_direction[0], y / length + key_direction[1], z / length + key_direction[2]
            cosine = (nx * hx + ny * hy + nz * hz) / math.sqrt(hx * hx + hy * hy + hz * hz)
            highlight = specular[v] * max(0.0, cosine) ** SHININESS
        for channel in range(3):
            albedo = ((colours[v, channel] + 0.055) / 1.055) ** 2.4  # sRGB (IEC 61966-2-1) without its linear toe
            light = albedo * (lit_key * key[channel] + lit_fill * fill[channel] + ambient[channel])
            light = min(1.0, light + highlight * key[channel])
            shaded[v, channel] = 255 * max(0.0, 1.055 * light ** (1 / 2.4) - 0.055)
    return shaded
