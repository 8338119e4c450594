"""AU representations. Oracles: the geometry of the head (which vertices an AU moves), and the arrays themselves."""

import numpy as np
import pytest

from bench.media.au import FEAFA_UNITS
from methods.auhead.au_map import FACE_CAMERA, au_maps, load_face

REST_AND_UNITS = np.eye(25, 24, -1).astype(np.float32)
"""Row 0 at rest, row i + 1 with AU i at 1."""
NAMES = [unit.name for unit in FEAFA_UNITS]


@pytest.fixture(scope="module", params=["average", "ict"])
def face(request):
    return load_face() if request.param == "average" else load_face(_ict(request))


def _ict(request):
    return request.getfixturevalue("assets") / "mesh" / "ict_face9409_expr.npz"


def test_seq_is_the_aus():
    aus = np.random.default_rng(0).random((5, 24), np.float32)
    assert au_maps(aus, "seq") is aus


@pytest.mark.parametrize("representation", ["lmk", "rom"])
@pytest.mark.parametrize("size", [64, 256])
def test_every_au_changes_the_image_where_it_moves_the_face(face, representation, size):
    maps = au_maps(REST_AND_UNITS, representation, size, face).astype(int)
    assert maps.shape == (25, size, size)
    rest = face.vertices(REST_AND_UNITS[0])
    for name, row, drawn in zip(NAMES, REST_AND_UNITS[1:], maps[1:], strict=True):
        changed = np.abs(drawn - maps[0])
        assert changed.max() > 30, f"{name} cannot be seen"
        moved = np.linalg.norm(face.vertices(row) - rest, axis=1)
        where = FACE_CAMERA.project(rest[moved > 0.02 * moved.max()], (size, size))[:, :2]
        low = (where.min(0) - 0.1 * size).clip(0).astype(int)
        high = (where.max(0) + 0.1 * size).astype(int)
        inside = changed[low[1] : high[1], low[0] : high[0]].sum()
        assert inside > 0.9 * changed.sum(), f"{name} changes the image beside what it moves"


@pytest.mark.parametrize("representation", ["lmk", "rom"])
def test_no_two_aus_look_alike(face, representation):
    maps = au_maps(REST_AND_UNITS, representation, 64, face).astype(float)
    change = (maps[1:] - maps[0]).reshape(24, -1)
    change /= np.linalg.norm(change, axis=1, keepdims=True)
    alike = np.abs(change @ change.T) - np.eye(24)
    first, second = divmod(int(alike.argmax()), 24)
    assert alike.max() < 0.97, f"{NAMES[first]} looks like {NAMES[second]}"


def test_sides_are_mirror_images():
    for i, name in enumerate(NAMES):
        if name.endswith("_left"):
            right = NAMES.index(name.replace("_left", "_right"))
            drawn, other = au_maps(REST_AND_UNITS[[i + 1, right + 1]], "lmk", 64).astype(int)
            assert np.abs(drawn - other[:, ::-1]).max() <= 60, name  # lines snap to sixteenths of a pixel
            assert np.abs(drawn - other).max() > 120, name


def test_keypoints_stay_in_the_image(face):
    aus = np.concatenate([REST_AND_UNITS, np.random.default_rng(0).random((40, 24), np.float32)])
    points = np.stack([FACE_CAMERA.project(face.landmarks68(face.vertices(row)), (1, 1))[:, :2] for row in aus])
    assert points.min() > 0 and points.max() < 1


def test_intensity_shows_step_by_step():
    aus = np.zeros((5, 24), np.float32)
    aus[:, NAMES.index("jaw_drop")] = np.linspace(0, 1, 5)
    maps = au_maps(aus, "lmk", 64)
    lowest = [np.nonzero(drawn.max(1) > 100)[0].max() for drawn in maps]
    assert sorted(set(lowest)) == lowest, f"the chin does not go down: {lowest}"
