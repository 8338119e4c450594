"""Mesh rendering against cv2's camera, a rasteriser written in numpy, closed forms, and ICT-FaceKit's face."""

import time
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest

from bench.media.au import FEAFA_UNITS
from bench.media.au_maps import ARKIT_TO_FEAFA
from bench.media.errors import UserError
from bench.media.landmarks import ibug68
from bench.media.mesh import (
    ICT_LANDMARKS68,
    ICT_SHAPES,
    MAP_CAMERA,
    Camera,
    Light,
    draw_landmarks,
    ict_face,
    render,
    render_face,
    vertex_normals,
)
from bench.media.raster import compiled, rasterise

NAMES = [unit.name for unit in FEAFA_UNITS]
FRONTAL = Light(key_direction=(0, 0, 1), fill=(0, 0, 0), ambient=(0.1, 0.1, 0.1))
"""Light that is the same from the left and from the right."""


def sphere(rings: int = 32, segments: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Unit sphere with a small hole at each pole: vertices float32 (V, 3), triangles int32 (F, 3)."""
    polar = np.linspace(0.05, np.pi - 0.05, rings)[:, None]
    around = np.linspace(0, 2 * np.pi, segments, endpoint=False)[None]
    points = np.broadcast_arrays(np.sin(polar) * np.cos(around), np.cos(polar), np.sin(polar) * np.sin(around))
    row, column = np.arange(rings - 1)[:, None] * segments, np.arange(segments)[None]
    after = (column + 1) % segments
    a, b, c, d = row + column, row + after, row + segments + column, row + segments + after
    triangles = np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([b, d, c], -1).reshape(-1, 3)])
    return np.stack(points, -1).reshape(-1, 3).astype(np.float32), triangles.astype(np.int32)


def draw_sphere(size=(128, 128), light=FRONTAL, **options) -> np.ndarray:
    vertices, triangles = sphere()
    normals = vertex_normals(vertices, triangles)
    colours = np.full_like(vertices, 0.7)
    return render(vertices, triangles, normals, colours, Camera(), size, light=light, **options)


def reference_raster(points, colours, triangles, size) -> tuple[np.ndarray, np.ndarray]:
    """float64 RGB (H, W, 3) at the pixel centres by barycentric coordinates of every triangle at every pixel, and
    where it is certain: no sample within rounding of an edge or of a second surface at the same depth."""
    y, x = np.mgrid[: size[0], : size[1]] + 0.5
    depths, layers = [np.full(size, 1e9)], [np.zeros((*size, 3))]
    certain = np.ones(size, bool)
    for triangle in triangles:
        corners = points[triangle].astype(np.float64)
        inverse = np.linalg.inv(np.column_stack([corners[:, :2], np.ones(3)]).T)
        share = np.einsum("ij,jhw->hwi", inverse, np.stack([x, y, np.ones_like(x)]))
        counter_clockwise = np.linalg.det(inverse) < 0  # y points down
        inside = (share > 0).all(-1) & counter_clockwise
        certain &= (np.abs(share) > 1e-9).all(-1)
        weight = share / corners[:, 2]
        depth = 1 / weight.sum(-1)
        depths.append(np.where(inside, depth, np.inf))
        layers.append(np.einsum("hwi,ic->hwc", weight * depth[..., None], colours[triangle].astype(np.float64)))
    depths, layers = np.array(depths), np.array(layers)
    first, second = np.sort(depths, 0)[:2]
    certain &= second / first > 1 + 1e-5
    return np.take_along_axis(layers, depths.argmin(0)[None, ..., None], 0)[0], certain


def soup(seed: int, count: int = 40, side: int = 48) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Random triangles across a frame, of either winding, that pierce each other. Corners on the subpixel grid."""
    rng = np.random.default_rng(seed)
    points = np.empty((3 * count, 3), np.float32)
    points[:, :2] = np.round(rng.uniform(-0.2 * side, 1.2 * side, (3 * count, 2)) * 256) / 256
    points[:, 2] = rng.uniform(1, 9, 3 * count)
    colours = rng.uniform(0, 255, points.shape).astype(np.float32)
    return points, colours, np.arange(3 * count, dtype=np.int32).reshape(-1, 3)


# -- camera ---------------------------------------------------------------------------------------------------------


def test_projection_is_cv2s_pinhole():
    """cv2.projectPoints with the same intrinsics; cv2 counts pixel centres from 0, this from 0.5."""
    camera, size = Camera(distance=7.0, focal=2.2, centre=(0.45, 0.6)), (120, 200)
    points = np.random.default_rng(0).uniform(-1.5, 1.5, (5, 20, 3))
    focal = camera.focal * size[0]
    matrix = np.array([[focal, 0, 0.45 * 200 - 0.5], [0, focal, 0.6 * 120 - 0.5], [0, 0, 1]])
    half_turn = np.array([np.pi, 0, 0])  # cv2's y points down and its z away from the camera
    expected, _ = cv2.projectPoints(points.reshape(-1, 1, 3), half_turn, np.array([0, 0, 7.0]), matrix, None)
    projected = camera.project(points, size)
    np.testing.assert_allclose(projected[..., :2], expected.reshape(5, 20, 2) + 0.5, atol=1e-9)
    np.testing.assert_allclose(projected[..., 2], 7 - points[..., 2])


def test_a_drawn_thing_is_where_it_is_projected():
    """Centroid of a small bright sphere's coverage against the projection of its middle."""
    vertices, triangles = sphere()
    centre = np.array([0.31, -0.47, 0.2], np.float32)
    frame = render(vertices * 0.05 + centre, triangles, vertices, np.ones_like(vertices), Camera(), (128, 160))
    weight = (frame.sum(-1) > 0).astype(float)
    y, x = np.mgrid[:128, :160] + 0.5
    expected = Camera().project(centre, (128, 160))[:2]
    np.testing.assert_allclose(
        [(weight * x).sum() / weight.sum(), (weight * y).sum() / weight.sum()], expected, atol=0.2
    )


# -- rasteriser -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_rasteriser_is_the_numpy_one(seed):
    """Coverage, culling, nearest surface, perspective-correct colour: numpy's barycentric coordinates, per pixel."""
    points, colours, triangles = soup(seed)
    expected, certain = reference_raster(points, colours, triangles, (48, 48))
    frame = rasterise(points, colours, triangles, np.zeros((48, 48, 3), np.uint8), 1)
    assert certain.mean() > 0.95 and (frame > 0).any(-1).mean() > 0.5
    assert np.abs(frame - expected)[certain].max() <= 0.51


def test_supersampling_is_the_mean_of_a_larger_frame():
    """Three samples a side: the box mean of the frame three times as large, to one rounding each."""
    points, colours, triangles = soup(7)
    small = rasterise(points, colours, triangles, np.full((48, 48, 3), 90, np.uint8), 3)
    larger = points * np.float32([3, 3, 1])
    large = rasterise(larger, colours, triangles, np.full((144, 144, 3), 90, np.uint8), 1)
    assert np.abs(small - large.reshape(48, 3, 48, 3, 3).mean((1, 3))).max() <= 1


def test_neighbours_cover_every_pixel_once():
    """A triangulated square whose edges run through pixel centres: coverages of its triangles, each drawn alone,
    add up to 1 in the square and 0 outside. Also at the sides, where half of the pixels on the edge belong to it."""
    rng = np.random.default_rng(3)
    inner = rng.integers(9, 56, (60, 2)) / 2
    xy = np.unique(np.concatenate([inner, [[4.5, 4.5], [4.5, 28.5], [28.5, 4.5], [28.5, 28.5]]]), axis=0)
    subdivision = cv2.Subdiv2D((0, 0, 40, 40))
    subdivision.insert(xy.astype(np.float32))
    corners = subdivision.getTriangleList().reshape(-1, 2)
    points = np.column_stack([corners, np.ones(len(corners))]).astype(np.float32)
    triangles = np.arange(len(points), dtype=np.int32).reshape(-1, 3)
    total = np.zeros((32, 32), int)
    for triangle in triangles:
        for winding in (triangle, triangle[::-1]):  # whichever of the two is not culled
            white = np.full_like(points, 255)
            drawn = rasterise(points, white, winding[None], np.zeros((32, 32, 3), np.uint8), 1)
            total += drawn[..., 0] == 255
    expected = np.zeros((32, 32), int)
    expected[4:28, 4:28] = 1  # centres 4.5 to 27.5: the left and top sides belong to it, the others do not
    np.testing.assert_array_equal(total, expected)


def test_the_nearer_wins_in_any_order_and_of_equals_the_first():
    points, colours, triangles = soup(11)
    black = np.zeros((48, 48, 3), np.uint8)
    shuffled = np.random.default_rng(0).permutation(triangles)
    frames = [rasterise(points, colours, order, black, 2) for order in (triangles, shuffled)]
    np.testing.assert_array_equal(*frames)
    corners = np.float32([[0, 0, 2], [0, 48, 2], [48, 48, 2]])
    flat = np.repeat(np.float32([[200, 0, 0], [0, 200, 0]]), 3, axis=0)
    frame = rasterise(np.tile(corners, (2, 1)), flat, np.int32([[0, 1, 2], [3, 4, 5]]), black, 1)
    assert (frame[40, 10] == [200, 0, 0]).all() and not frame[..., 1].any()


def test_what_cannot_be_projected_is_left_out():
    """A triangle that reaches behind the camera or very far outside draws nothing, and one beside it is drawn."""
    background = np.full((16, 16, 3), 50, np.uint8)
    points = np.float32([[2, 2, 1], [2, 14, 1], [14, 2, 1], [9, 9, -1], [9, 9, 0], [np.inf, 9, 1], [3e9, 9, 1]])
    white = np.full_like(points, 255)
    for bad in (3, 4, 5, 6):
        triangles = np.int32([[0, 1, bad], [bad, 1, 2]])
        np.testing.assert_array_equal(rasterise(points, white, triangles, background, 1), background)
    assert rasterise(points, white, np.int32([[0, 1, 6], [0, 1, 2]]), background, 1)[4, 4, 0] == 255


def test_compiled_without_a_place_for_the_cache():
    """Code that numba cannot cache (here: without a file) still compiles, as on a machine with read-only folders."""
    scope = {}
    exec("def double(x):\n    return 2 * x", scope)
    assert compiled(scope["double"])(21) == 42


# -- normals and light ----------------------------------------------------------------------------------------------


def test_normals_of_a_sphere_are_its_points():
    vertices, triangles = sphere()
    normals = vertex_normals(vertices + [3, 0, -2], triangles)
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-6)
    assert np.degrees(np.arccos((normals * vertices).sum(1).clip(-1, 1))).max() < 3


def test_normals_are_weighted_by_area():
    """np.cross and np.add.at on random triangles; a vertex of no triangle has none."""
    rng = np.random.default_rng(5)
    vertices, triangles = rng.normal(size=(31, 3)), rng.integers(0, 30, (50, 3))
    a, b, c = vertices[triangles].transpose(1, 0, 2)
    expected = np.zeros_like(vertices)
    np.add.at(expected, triangles.ravel(), np.repeat(np.cross(b - a, c - a), 3, axis=0))
    expected[:30] /= np.linalg.norm(expected[:30], axis=1, keepdims=True)
    np.testing.assert_allclose(vertex_normals(vertices, triangles), expected, atol=1e-5)


def wall(normal, albedo, **options) -> np.ndarray:
    """Colour of a triangle that fills the frame, seen from so far that all of it is seen along z: float (3,)."""
    vertices = np.float32([[-90, -90, 0], [90, -90, 0], [0, 90, 0]])
    normals, colours = np.tile(np.float32(normal), (3, 1)), np.tile(np.float32(albedo), (3, 1))
    frame = render(vertices, np.int32([[0, 1, 2]]), normals, colours, Camera(1e5, 1e4), (8, 8), **options)
    assert (frame == frame[0, 0]).all()
    return frame[0, 0].astype(float)


def test_white_light_from_everywhere_shows_the_albedo():
    dark = (0.0, 0.0, 0.0)
    albedo = np.array([0.0, 51, 204]) / 255
    np.testing.assert_array_equal(
        wall((0, 0, 1), albedo, light=Light(key=dark, fill=dark, ambient=(1, 1, 1))), [0, 51, 204]
    )


def test_light_follows_lamberts_law_in_linear_light():
    """The sRGB transfer curve of IEC 61966-2-1 (here without its toe) around albedo * (cosines + ambient)."""
    light = Light((0, 0, 2), (0.6, 0.5, 0.4), (3, 0, 0), (0.2, 0.2, 0.1), (0.05, 0.1, 0.15))
    angle = np.radians(40)
    linear = np.full(3, ((0.7 + 0.055) / 1.055) ** 2.4)
    linear *= np.cos(angle) * np.array(light.key) + np.sin(angle) * np.array(light.fill) + np.array(light.ambient)
    expected = 255 * (1.055 * linear ** (1 / 2.4) - 0.055)
    np.testing.assert_allclose(wall((np.sin(angle), 0, np.cos(angle)), (0.7,) * 3, light=light), expected, atol=0.6)


def test_highlight_is_blinn_and_phongs():
    """Key light's colour times the cosine between the normal and the half vector to the 24th power, added to black."""
    light = Light((0.6, 0, 0.8), (0.9, 0.6, 0.3), fill=(0, 0, 0), ambient=(0, 0, 0))
    normal, half = np.array([0.1, 0.2, 0.9]) / np.sqrt(0.86), np.array([0.6, 0, 1.8]) / np.sqrt(3.6)
    linear = 0.7 * np.array(light.key) * (normal @ half) ** 24
    linear += (0.055 / 1.055) ** 2.4 * np.array(light.key) * (normal @ [0.6, 0, 0.8])
    expected = 255 * (1.055 * linear ** (1 / 2.4) - 0.055)
    np.testing.assert_allclose(wall(normal, (0, 0, 0), specular=0.7, light=light), expected, atol=0.6)


def test_highlight_only_where_it_mirrors_the_key_light():
    """A sphere under frontal light is brighter with specular at its middle, unchanged toward its rim."""
    plain, shiny = draw_sphere().astype(int), draw_sphere(specular=0.4).astype(int)
    assert (shiny[64, 64] - plain[64, 64] > 20).all()
    gain = (shiny - plain).sum(-1)
    y, x = np.mgrid[:128, :128] + 0.5 - 64
    assert gain.min() >= 0 and gain[np.hypot(x, y) > 30].max() <= 3


def test_mirrored_mesh_and_light_give_the_mirrored_frame():
    """Up to samples on an edge, which belong to the left triangle before and after the mirror."""
    vertices, triangles = sphere()
    vertices = vertices * np.float32([0.8, 1.1, 0.9]) + np.float32([0.2, 0.1, 0])
    colours = np.random.default_rng(2).uniform(0.2, 1, vertices.shape)
    flip, light = np.float32([-1, 1, 1]), Light(key_direction=(-0.4, 0.2, 1), fill_direction=(1, 0, 0))
    mirrored_light = Light(key_direction=(0.4, 0.2, 1), fill_direction=(-1, 0, 0))
    frames = []
    for points, winding, lamps in ((vertices, triangles, light), (vertices * flip, triangles[:, ::-1], mirrored_light)):
        normals = vertex_normals(points, winding)
        frames.append(render(points, winding, normals, colours, Camera(), (96, 96), light=lamps).astype(int))
    difference = np.abs(frames[0] - frames[1][:, ::-1])
    assert difference.mean() < 0.05 and (difference > 2).mean() < 0.002


def test_background_is_kept_where_nothing_is():
    background = np.random.default_rng(4).integers(0, 256, (128, 128, 3), np.uint8)
    drawn, on_black = draw_sphere(background=background), draw_sphere()
    outside = np.hypot(*(np.mgrid[:128, :128] + 0.5 - 64)) > 50
    np.testing.assert_array_equal(drawn[outside], background[outside])
    inside = np.hypot(*(np.mgrid[:128, :128] + 0.5 - 64)) < 40
    np.testing.assert_array_equal(drawn[inside], on_black[inside])
    assert (draw_sphere(background=(10, 20, 30))[0, 0] == [10, 20, 30]).all()


def test_same_bytes_again_and_in_two_threads():
    first = draw_sphere(specular=0.3).tobytes()
    with ThreadPoolExecutor(2) as pool:
        frames = [future.result() for future in [pool.submit(draw_sphere, specular=0.3) for _ in range(8)]]
    assert {frame.tobytes() for frame in frames} == {first}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"triangles": np.int32([[0, 1, 3]])}, "rows of the 3 vertices, got 0 to 3"),
        ({"triangles": np.int32([[0, 1, -1]])}, "rows of the 3 vertices, got -1 to 1"),
        ({"triangles": np.int32([0, 1, 2])}, r"\(F, 3\)"),
        ({"vertices": np.full((3, 3), np.nan)}, "finite"),
        ({"normals": np.zeros((2, 3))}, r"must all be \(V, 3\)"),
        ({"colours": np.zeros((3, 4))}, r"must all be \(V, 3\)"),
        ({"specular": np.zeros(2)}, "broadcast"),
        ({"background": np.zeros((4, 4, 3), np.uint8)}, "broadcast"),
        ({"background": (0.5, 0.5, 0.5)}, "whole numbers from 0 to 255, got float64"),
        ({"background": (0, 0, 256)}, "whole numbers from 0 to 255"),
        ({"supersample": 0}, "1 or more, got 0"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(change, message):
    arguments = {"vertices": np.eye(3), "triangles": np.int32([[0, 1, 2]]), "normals": np.eye(3), "colours": np.eye(3)}
    with pytest.raises(ValueError, match=message):
        render(**(arguments | {"camera": Camera(), "size": (8, 8)} | change))


def best_seconds(function, repeats: int = 20) -> float:
    """Least processor time of a call, after one that compiles: other programs on the machine do not count."""
    function()
    times = []
    for _ in range(repeats):
        start = time.process_time()
        function()
        times.append(time.process_time() - start)
    return min(times)


def test_a_head_takes_a_fraction_of_a_60th_of_a_second():
    """2,480 triangles with their normals at 128x128: 1 ms here; 5 ms leave 60 frames per second for the rest."""
    assert best_seconds(draw_sphere) < 0.005


# -- ICT-FaceKit ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ict(assets):
    return ict_face(assets / "mesh" / "ict_face9409_expr.npz")


@pytest.fixture(scope="module")
def ict_frames(ict) -> np.ndarray:
    """The neutral face, then every AU at 1: float (25, 192, 192, 3)."""
    return render_face(ict, np.concatenate([np.zeros((1, 24)), np.eye(24)]), (192, 192)).astype(float)


def test_ict_shapes_are_the_arkit_map_read_backwards():
    """`au_maps.ARKIT_TO_FEAFA` with ARKit's Left and Right written as ICT-FaceKit does."""
    for rule in ARKIT_TO_FEAFA.rules:
        sources = [s if s.startswith("jaw") else s.replace("Left", "_L").replace("Right", "_R") for s in rule.sources]
        sources = ["cheekPuff_L", "cheekPuff_R"] if sources == ["cheekPuff"] else sources
        assert ICT_SHAPES[rule.target] == tuple(sources)
    assert list(ICT_SHAPES) == NAMES


def test_ict_face_stands_in_the_common_coordinates(ict):
    """Nose toward the camera, person's left at x > 0, surface outward, and about 2 units from the chin to the hairline:
    the nasion is 65 % of the way up (menton to sellion 12 of 18.5 cm in adults)."""
    points = ict.landmarks68(ict.neutral)
    nasion, tip, chin = points[[27, 30, 8]]
    assert abs(ict.neutral[:, 0].max() + ict.neutral[:, 0].min()) < 0.01
    assert points[16, 0] > 0 > points[0, 0] and nasion[1] > tip[1] > chin[1]
    assert tip[2] > ict.neutral[:, 2].max() - 0.01
    assert 1.8 < (nasion[1] - chin[1]) / 0.65 < 2.2
    assert vertex_normals(ict.neutral, ict.triangles)[ICT_LANDMARKS68[30], 2] > 0.7


def test_every_au_changes_the_ict_face_in_its_own_way(ict_frames):
    """Each leaves a mark, and no two the same: correlation of their difference images below 0.95."""
    change = np.abs(ict_frames[1:] - ict_frames[0]).mean(-1).reshape(24, -1)
    assert (change.max(1) > 25).all(), dict(zip(NAMES, change.max(1), strict=True))
    correlation = np.corrcoef(change) - np.eye(24)
    assert correlation.max() < 0.95


@pytest.mark.parametrize("name", [n for n in NAMES if n.endswith(("_left", "_right")) and not n.startswith("jaw")])
def test_sided_aus_change_their_side(ict_frames, name):
    """The person's left is the image's right; at least four fifths of the change is there."""
    change = np.abs(ict_frames[1 + NAMES.index(name)] - ict_frames[0]).sum((0, 2))
    left_of_person = change[96:].sum() / change.sum()
    assert left_of_person > 0.8 if name.endswith("_left") else left_of_person < 0.2


@pytest.mark.parametrize("index", range(24))
def test_aus_change_the_part_of_the_face_they_are_named_after(ict, ict_frames, index):
    """Rows of the change's centre against the landmarks: eyes and brows above the nose's base, the rest below its
    bridge, the mouth and the jaw below its tip."""
    rows = np.abs(ict_frames[1 + index] - ict_frames[0]).sum((1, 2))
    centre = (rows * (np.arange(192) + 0.5)).sum() / rows.sum()
    points = MAP_CAMERA.project(ict.landmarks68(ict.neutral), (192, 192))
    bridge, tip, base = points[28, 1], points[30, 1], points[33, 1]
    if NAMES[index].startswith(("eye", "lid", "brow")):
        assert centre < bridge
    elif NAMES[index] == "nose_wrinkle":
        assert bridge < centre < base
    else:
        assert centre > tip


def test_jaw_moves_to_the_side_it_is_named_after(ict):
    chin = [ict.landmarks68(ict.vertices(np.eye(24)[NAMES.index(name)]))[8] for name in ("jaw_left", "jaw_right")]
    assert chin[0][0] > 0.03 and chin[1][0] < -0.03


def test_ict_aus_add_up(ict):
    """vertices() against the sum of the single displacements in float64, at random values."""
    aus = np.random.default_rng(8).uniform(size=24)
    expected = ict.neutral + sum(value * shape.astype(float) for value, shape in zip(aus, ict.shapes, strict=True))
    np.testing.assert_allclose(ict.vertices(aus), expected, atol=1e-5)
    assert ict.vertices(aus).dtype == np.float32


def test_ict_face_is_fast_enough_to_draw_maps(ict):
    """18,460 triangles at 256x256: 6 ms here, 15 ms asked for."""
    aus = np.full((1, 24), 0.3)
    assert best_seconds(lambda: render_face(ict, aus, (256, 256))) < 0.015


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file"),
        (b"not a zip file", "cannot be read"),
        (b"", "cannot be read"),
        ({"neutral": np.zeros((9409, 3))}, "cannot be read"),
        ({"names": np.array(["jawOpen"])}, "lacks the expressions eyeBlink_L, eyeBlink_R"),
        ({"delta": np.zeros((57, 12, 3))}, "do not fit together"),
    ],
)
def test_a_file_that_is_no_ict_face_is_refused(tmp_path, content, message):
    path = tmp_path / "face.npz"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        names = [name for shapes in ICT_SHAPES.values() for name in shapes]
        whole = {"delta": np.zeros((len(names), 7000, 3)), "names": names, "tri": np.zeros((1, 3), int)}
        np.savez(path, **(content if "neutral" in content else {"neutral": np.zeros((7000, 3))} | whole | content))
    with pytest.raises(UserError, match=message) as caught:
        ict_face(path)
    assert str(path) in str(caught.value) and "ICT-FaceKit" in str(caught.value)


# -- maps -----------------------------------------------------------------------------------------------------------


def test_rom_frames_stand_alone(ict):
    """Frame t depends on row t alone, and no AUs give the neutral face on black."""
    aus = np.random.default_rng(9).uniform(size=(3, 24)).astype(np.float32)
    aus[1] = 0
    frames = render_face(ict, aus, (64, 80))
    assert frames.shape == (3, 64, 80, 3) and frames.dtype == np.uint8
    np.testing.assert_array_equal(frames[2], render_face(ict, aus[2:], (64, 80))[0])
    np.testing.assert_array_equal(frames[1], render_face(ict, np.zeros((1, 24)), (64, 80))[0])
    assert not frames[:, :, [0, -1]].any() and frames[1, 32, 40].min() > 60


@pytest.mark.parametrize("aus", [np.zeros(24), np.zeros((2, 17)), np.full((1, 24), np.nan)])
def test_rom_refuses_what_is_no_au_sequence(ict, aus):
    with pytest.raises(ValueError, match="aus must be finite"):
        render_face(ict, aus, (32, 32))


def test_a_landmark_is_drawn_where_it_is():
    """Centre of mass of one point, also between pixels: the centre of the top-left pixel is (0.5, 0.5)."""
    y, x = np.mgrid[:64, :64] + 0.5
    for at in ([20.5, 40.5], [33.25, 17.75]):
        weight = draw_landmarks(np.array([at]), (64, 64))[..., 0].astype(float)
        centre = [(weight * x).sum() / weight.sum(), (weight * y).sum() / weight.sum()]
        np.testing.assert_allclose(centre, at, atol=0.15)


def test_contours_pass_through_the_68_points(ict):
    """Every one of the 68 is on a line; the 478 points of mediapipe are drawn as their 68."""
    xy = MAP_CAMERA.project(ict.landmarks68(ict.neutral), (256, 256))[:, :2]
    drawn = draw_landmarks(xy, (256, 256))
    row, column = np.floor(xy[:, ::-1]).astype(int).T
    assert (drawn[row, column] > 60).all() and 0.01 < (drawn > 0).mean() < 0.06
    many = np.random.default_rng(1).uniform(20, 236, (478, 2))
    np.testing.assert_array_equal(draw_landmarks(many, (256, 256)), draw_landmarks(ibug68(many), (256, 256)))


def test_landmarks_may_lie_outside_but_not_be_absent():
    assert not draw_landmarks(np.full((68, 2), -50.0), (32, 32)).any()
    for xy in (np.full((68, 2), np.nan), np.zeros((68, 3))):
        with pytest.raises(ValueError, match=r"finite \(N, 2\)"):
            draw_landmarks(xy, (32, 32))
