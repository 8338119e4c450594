"""The parametric head: topology, what each Action Unit does, identities, landmarks."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial import cKDTree

from bench.media.au import FEAFA_UNITS
from bench.media.head import AUStyle, Head, HeadShape, Palette
from bench.media.head_layout import EYE, layout
from bench.media.landmarks import IBUG68, ibug68
from bench.media.mesh import Camera, Light, render, vertex_normals

NAMES = [unit.name for unit in FEAFA_UNITS]
CAMERA = Camera(distance=5.0, focal=5.0 / 2.6)
FRONTAL = Light(key_direction=(0.0, 0.4, 1.0), fill_direction=(0.0, -0.2, 1.0))
GREEN, MAGENTA = (0.0, 1.0, 0.0), (1.0, 0.0, 1.0)


def aus(**values: float) -> np.ndarray:
    """float32 (24,) from names; a name without its side sets both."""
    vector = np.zeros(24, np.float32)
    for name, value in values.items():
        for full in (name, f"{name}_left", f"{name}_right"):
            if full in NAMES:
                vector[NAMES.index(full)] = value
    return vector


def random_shape(seed: int) -> HeadShape:
    rng = np.random.default_rng(seed)
    return HeadShape(**{name: float(rng.uniform(-1.9, 1.9)) for name in HeadShape.__dataclass_fields__})


def picture(head: Head, vector: np.ndarray, colours: np.ndarray | None = None, size: int = 160) -> np.ndarray:
    vertices = head.vertices(vector)
    if colours is None:
        colours = head.colours(Palette()) * head.folds(vector)
    normals = vertex_normals(vertices, head.triangles)
    return render(vertices, head.triangles, normals, colours, CAMERA, (size, size), light=FRONTAL)


def painted(head: Head, part: str) -> np.ndarray:
    """A black head with one part pure green, so that its pixels can be counted."""
    colours = np.zeros((len(head.rest), 3), np.float32)
    colours[layout().parts[part].ravel()] = GREEN
    return colours


def green(image: np.ndarray) -> int:
    return int(((image[..., 1] > 60) & (image[..., 0] < 40)).sum())


@pytest.fixture(scope="module")
def average() -> Head:
    return Head()


# -- topology -------------------------------------------------------------------------------------------------------


def test_skin_is_one_surface_open_only_at_eyes_and_mouth():
    """By counting: every edge has two triangles, but the 16 + 16 + 20 edges around the three openings have one."""
    base = layout()
    skin = base.triangles[base.triangles.max(1) < len(base.parts["skin"])]
    edges = np.sort(np.concatenate([skin[:, [0, 1]], skin[:, [1, 2]], skin[:, [2, 0]]]), axis=1)
    unique, counts = np.unique(edges, axis=0, return_counts=True)
    assert counts.max() == 2
    rim = set(base.eye_rings[:, 0].ravel().tolist()) | set(base.lip_rings[0].tolist())
    border = unique[counts == 1]
    assert len(border) == 52 and set(border.ravel().tolist()) == rim
    euler = len(base.parts["skin"]) - len(unique) + len(skin)
    assert euler == 2 - 3  # a sphere with three holes


def test_average_head_is_its_own_mirror_image():
    """By reflection: every vertex has a partner at -x."""
    skin = layout().neutral[: len(layout().parts["skin"])]
    distance, _ = cKDTree(skin).query(skin * [-1, 1, 1])
    assert distance.max() < 1e-9


def test_triangles_are_few_enough():
    """Against the budget the drawing speed rests on."""
    base = layout()
    assert len(base.triangles) <= 3600


# -- Action Units ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [n.removesuffix("_left") for n in NAMES if n.endswith("_left")])
def test_sides_mirror_each_other(average, name):
    """By reflection: the left unit's picture, flipped, is the right unit's."""
    left, right = picture(average, aus(**{f"{name}_left": 1})), picture(average, aus(**{f"{name}_right": 1}))
    rest = picture(average, aus())
    # Triangulation and glints are not symmetric, so compare with what the unit changes at all.
    changed = np.abs(left.astype(float) - rest).mean()
    assert np.abs(left[:, ::-1].astype(float) - right).mean() < 0.35 * changed + 0.3
    points = average.landmarks68(average.vertices(aus(**{f"{name}_left": 1})))
    moved = np.linalg.norm(points - average.landmarks68(average.rest), axis=1)
    side = np.abs(points[:, 0]) > 0.1
    left_of_face, right_of_face = side & (points[:, 0] > 0), side & (points[:, 0] < 0)
    assert name == "jaw" or moved[left_of_face].max() > 3 * moved[right_of_face].max()


UPPER = range(17, 27), range(36, 48)
"""Brows and eyes of the 68 points."""
MOUTH = range(48, 68)


@pytest.mark.parametrize("unit", FEAFA_UNITS, ids=NAMES)
def test_unit_moves_its_own_region_only(average, unit):
    """By the unit's name: eyes and brows leave the mouth alone, mouth and jaw eyes and brows (a smile lifts the lid)."""
    vector = np.zeros(24, np.float32)
    vector[unit.index] = 1
    moved = np.linalg.norm(average.landmarks68(average.vertices(vector)) - average.landmarks68(average.rest), axis=1)
    eyes, mouth = moved[[*UPPER[0], *UPPER[1]]].max(), moved[MOUTH].max()
    if unit.name.startswith(("eye", "lid", "brow")):
        assert eyes > 0.05 and mouth < 1e-3
    elif unit.name == "nose_wrinkle":
        assert moved[31:36].max() > 0.02 and moved[[21, 22]].min() > 0.02
    else:
        assert mouth > 0.02 and eyes < 0.025


def test_units_look_different():
    """By the cosine between what any two units change in the picture; and each changes enough to be seen."""
    head = Head(random_shape(3))
    rest = picture(head, aus(), size=128).astype(float)
    changes = np.stack([picture(head, np.eye(24, dtype=np.float32)[k], size=128) - rest for k in range(24)])
    flat = changes.reshape(24, -1)
    length = np.linalg.norm(flat, axis=1)
    assert length.min() > 300, NAMES[length.argmin()]
    cosine = np.abs(flat @ flat.T / length[:, None] / length) - np.eye(24)
    assert cosine.max() < 0.75


@pytest.mark.parametrize("seed", range(5))
def test_closed_lids_hide_the_eyes(seed):
    """By counting pixels of green eyeballs: seen at rest, more with raised lids, none when closed, on any face."""
    head = Head(random_shape(seed), AUStyle(lid_low=float(seed - 2)))
    eyes = painted(head, "eyes")
    rest, raised, closed = (green(picture(head, v, eyes)) for v in (aus(), aus(lid_raise=1), aus(eye_close=1)))
    assert closed <= 2 < 50 < rest < raised


@pytest.mark.parametrize("seed", range(5))
def test_mouth_is_closed_at_rest_and_opened_by_its_units(seed):
    """By counting pixels of green teeth and a green cavity."""
    head = Head(random_shape(10 + seed))

    def seen(part: str, **values: float) -> int:
        return green(picture(head, aus(**values), painted(head, part)))

    for part in ("upper_teeth", "lower_teeth", "tongue", "cavity"):
        assert seen(part) <= 2
    assert seen("cavity", jaw_drop=1) > 60
    assert seen("upper_teeth", upper_lip_raise=1) > 60 >= 5 > seen("lower_teeth", upper_lip_raise=1)
    assert seen("lower_teeth", lower_lip_depress=1) > 60


def test_sucked_lips_show_no_red(average):
    """By counting pixels of green lips, upper and lower apart."""
    for unit, slots in (("upper_lip_suck", slice(11, 20)), ("lower_lip_suck", slice(1, 10))):
        colours = np.zeros((len(average.rest), 3), np.float32)
        colours[layout().lip_rings[1:5, slots]] = GREEN
        rest, sucked = (green(picture(average, v, colours)) for v in (aus(), aus(**{unit: 1})))
        assert sucked < 0.35 * rest


def test_lips_stay_apart_when_units_press_them_together():
    """By geometry: with raised chin and depressed upper lip the lower lip's edge is not above the upper's."""
    head = Head(random_shape(4))
    rings = layout().lip_rings
    for values in ({"chin_raise": 1.0}, {"chin_raise": 1.0, "lip_corner": 1.0}, {"lip_pucker": 1.0}):
        vertices = head.vertices(aus(**values))
        gap = vertices[rings[1, 19:10:-1], 1] - vertices[rings[1, 1:10], 1]
        assert gap.min() > -1e-5


def test_jaw_drop_parts_the_inner_lips_by_degrees(average):
    """By iBUG points 62 and 66: closed at 0, and wider the more the jaw drops."""
    gaps = [
        float(np.diff(average.landmarks68(average.vertices(aus(jaw_drop=v)))[[66, 62], 1])[0])
        for v in (0, 0.25, 0.5, 1)
    ]
    assert abs(gaps[0]) < 0.01 and all(b > a + 0.03 for a, b in zip(gaps[:-1], gaps[1:], strict=True))


def test_gaze_turns_the_irises(average):
    """By direction: yaw to the image's right moves both irises right, pitch up moves them up."""
    ahead = average.landmarks478(average.vertices(aus()))[[468, 473]]
    right = average.landmarks478(average.vertices(aus(), (0.3, 0.0)))[[468, 473]] - ahead
    up = average.landmarks478(average.vertices(aus(), (0.0, 0.3)))[[468, 473]] - ahead
    assert (right[:, 0] > 0.04).all() and np.abs(right[:, 1]).max() < 0.01
    assert (up[:, 1] > 0.04).all() and np.abs(up[:, 0]).max() < 0.01
    assert np.abs(ahead[:, 0]) == pytest.approx(EYE[0], abs=0.01)


# -- identities -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", HeadShape.__dataclass_fields__)
def test_every_shape_parameter_changes_the_head(average, name):
    """Against the average head, in either direction."""
    both = [Head(HeadShape(**{name: value})).rest for value in (-1.5, 1.5)]
    assert all(np.abs(rest - average.rest).max() > 0.008 for rest in both)
    assert np.isfinite(both).all()


@pytest.mark.parametrize("name", [n for n in AUStyle.__dataclass_fields__ if n != "gains"])
def test_every_style_changes_movement_but_not_rest(average, name):
    """Against the average style: same face at rest, another look in motion (vertices or folds)."""
    styled = Head(style=AUStyle(**{name: 1.5}))
    np.testing.assert_allclose(styled.rest, average.rest, atol=1e-6)
    ones = np.eye(24, dtype=np.float32)
    moved = max(np.abs(styled.vertices(v) - average.vertices(v)).max() for v in ones)
    folded = max(np.abs(styled.folds(v) - average.folds(v)).max() for v in ones)
    assert max(moved, folded) > 0.005


# -- landmarks ------------------------------------------------------------------------------------------------------


def test_the_68_points_are_those_of_the_478(average):
    """By the map of bench.media.landmarks, before and after projection; perspective of a mean differs by little."""
    vertices = average.vertices(aus(jaw_drop=0.5, lip_corner=1))
    direct = CAMERA.project(average.landmarks68(vertices), (128, 128))[:, :2]
    mapped = ibug68(CAMERA.project(average.landmarks478(vertices), (128, 128))[:, :2])
    assert np.abs(direct - mapped).max() < 0.05


def test_named_points_lie_on_their_features(average):
    """By the mesh: lips on lip vertices, eye corners on lid margins, irises on the eyeballs."""
    base, points = layout(), average.landmarks478(average.rest)
    assert np.abs(points[[61, 17, 291, 0]] - average.rest[base.lip_rings[4, [0, 5, 10, 15]]]).max() < 1e-6
    assert np.abs(points[[33, 133]] - average.rest[base.eye_rings[0, 1, [0, 8]]]).max() < 1e-6
    assert np.abs(points[[263, 362]] - average.rest[base.eye_rings[1, 1, [0, 8]]]).max() < 1e-6
    radius = np.hypot(*(points[[469, 470, 471, 472]] - points[468])[:, :2].T)
    assert radius == pytest.approx(0.105, abs=0.008)


def test_landmarks_run_in_the_order_of_ibug(average):
    """By iBUG 300-W's figure: the jaw from left to right with the chin lowest, brows above eyes, the nose downward."""
    x, y, _ = average.landmarks68(average.rest).T
    assert (np.diff(x[:17]) > 0).all() and y[:17].argmin() == 8
    assert (np.diff(x[17:27]) > 0).all() and y[17:27].min() > y[36:48].max()
    assert (np.diff(y[27:31]) < 0).all() and (np.diff(x[31:36]) > 0).all()
    assert (np.diff(x[48:55]) > 0).all() and (np.diff(x[54:60]) < 0).all()


def test_point_table_is_the_one_its_script_makes(assets):
    """Against benchmarks/head_points.py, run again on mediapipe's canonical face."""
    path = Path(__file__).parents[2] / "benchmarks" / "head_points.py"
    spec = importlib.util.spec_from_file_location("head_points", path)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    lines = (assets / "mesh" / "canonical_face_model.obj").read_text().splitlines()
    canonical = np.array([line.split()[1:] for line in lines if line.startswith("v ")], np.float64)
    head = Head()
    made = np.array([sum(w * head.rest[v] for v, w in at) for at in script.place(canonical)])
    np.testing.assert_allclose(head.landmarks478(head.rest), made, atol=1e-3)


def test_all_points_used_by_the_68_are_named():
    """Against IBUG68: 478 rows of weights that sum to 1."""
    head = Head()
    ones = np.ones((len(head.rest), 3), np.float32)
    assert np.abs(head.landmarks478(ones) - 1).max() < 2e-3
    assert max(max(pair) for pair in IBUG68) < 468
