"""Rendered people: framing, pose, landmarks on the pixels they name, and the speed the issue asks for."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest

from bench.media.au import FEAFA_UNITS
from bench.media.head import Palette
from bench.media.landmarks import OUTER_LIPS, SILHOUETTE, ibug68
from protocols.synth.figure import Figure
from protocols.synth.person import person, setting

NAMES = [unit.name for unit in FEAFA_UNITS]
REST = np.zeros(24, np.float32)


def unit(name: str) -> np.ndarray:
    vector = REST.copy()
    vector[[i for i, n in enumerate(NAMES) if n in (name, f"{name}_left", f"{name}_right")]] = 1
    return vector


def figure(name: str = "a", family: str = "studio", size: tuple[int, int] = (128, 128)) -> Figure:
    return Figure(person(name), setting(name, family), size)


@pytest.fixture(scope="module")
def someone() -> Figure:
    return figure()


def test_same_names_same_bytes():
    """Against a second figure of the same names; other names give other faces and places."""
    frame, points = figure().draw(unit("jaw_drop"), (0.1, 0.05, -0.1, 0.01, 0.0), (0.1, 0.0))
    again, same = figure().draw(unit("jaw_drop"), (0.1, 0.05, -0.1, 0.01, 0.0), (0.1, 0.0))
    assert frame.dtype == np.uint8 and frame.shape == (128, 128, 3) and points.dtype == np.float32
    assert frame.tobytes() == again.tobytes() and points.tobytes() == same.tobytes()
    other, elsewhere = figure("b").draw(REST)
    assert np.abs(other.astype(int) - figure().draw(REST)[0]).mean() > 5
    assert np.abs(elsewhere - figure().draw(REST)[1]).max() > 1


@pytest.mark.parametrize("size", [(64, 64), (256, 256), (512, 512), (128, 160)])
def test_any_size_shows_the_same_picture(someone, size):
    """Against the 128 x 128 frame: landmarks scale with the height, and the picture looks alike when shrunk."""
    import cv2

    frame, points = figure(size=size).draw(unit("lip_corner"))
    small, reference = someone.draw(unit("lip_corner"))
    scale = size[0] / 128
    offset = (size[1] - size[0]) / 2
    np.testing.assert_allclose(points, reference * scale + [offset, 0], atol=0.01 * scale)
    assert frame.shape == (*size, 3)
    if size[0] == size[1]:
        shrunk = cv2.resize(frame, (64, 64), interpolation=cv2.INTER_AREA).astype(float)
        assert np.abs(shrunk - cv2.resize(small, (64, 64), interpolation=cv2.INTER_AREA)).mean() < 4


@pytest.mark.parametrize("name", ["a", "b", "c", "d"])
def test_face_is_framed_head_and_shoulders(name):
    """By landmarks: centred, the silhouette 50 to 80 % of the height, all of the face in the picture, mouth wide open."""
    drawn = figure(name)
    _, points = drawn.draw(REST)
    outline = points[list(SILHOUETTE)]
    assert 0.5 * 128 < np.ptp(outline[:, 1]) < 0.8 * 128
    assert abs(outline[:, 0].mean() - 64) < 3
    _, points = drawn.draw(unit("jaw_drop"))
    assert points.min() > 0 and points.max() < 128


def test_pose_turns_and_shifts_as_documented(someone):
    """By the tip of the nose against the silhouette, for each of the five numbers."""
    _, rest = someone.draw(REST)

    def nose(*pose: float) -> np.ndarray:
        return someone.draw(REST, pose)[1][4] - rest[4]

    assert nose(0.3, 0, 0, 0, 0)[0] > 4
    assert nose(0, 0.3, 0, 0, 0)[1] < -4
    _, rolled = someone.draw(REST, (0, 0, 0.3, 0, 0))
    assert (rolled[10] - rest[10])[0] > 4 > -1 > (rolled[152] - rest[152])[0]
    assert nose(0, 0, 0, 0.05, 0) == pytest.approx([0.05 * np.ptp(rest[[10, 152], 1]) * 1.1, 0], abs=1.5)
    assert nose(0, 0, 0, 0, 0.05)[1] < -2


def test_only_the_face_moves_with_its_units(someone):
    """By pixels: a raised brow changes the upper half of the face, a dropped jaw nothing above the nose."""
    still, points = someone.draw(REST)
    nose = int(points[4, 1])
    brow = np.abs(someone.draw(unit("brow_raise"))[0].astype(int) - still).max(-1)
    jaw = np.abs(someone.draw(unit("jaw_drop"))[0].astype(int) - still).max(-1)
    eyes = int(points[[33, 263], 1].min()) - 4
    assert brow[:nose].max() > 30 and brow[nose + 4 :].max() <= 2
    assert jaw[nose:].max() > 30 and jaw[:eyes].max() <= 2


def test_expressions_of_a_unit_grow_with_it(someone):
    """By distance from the resting frame: monotone in the intensity, for every unit."""
    still = someone.draw(REST)[0].astype(float)
    for index, name in enumerate(NAMES):
        away = []
        for value in (0.25, 0.5, 1.0):
            vector = REST.copy()
            vector[index] = value
            away.append(np.sqrt(((someone.draw(vector)[0] - still) ** 2).sum()))
        assert 0 < away[0] < away[1] < away[2], name


@pytest.mark.parametrize("name", ["a", "b", "c", "d", "e"])
def test_landmarks_lie_on_the_pixels_they_name(name):
    """By colour: lips painted green are green at lip points, irises painted blue are blue at iris centres."""
    who = person(name)
    plain = Palette(skin=(0.6, 0.6, 0.6), lips=(0.0, 1.0, 0.0), iris=(0.0, 0.0, 1.0), brows=(1, 0, 0), blush=0)
    drawn = Figure(replace(who, palette=plain, hair_style="bald"), setting(name, "studio"), (256, 256))
    for pose in ((0, 0, 0, 0, 0), (0.3, 0.1, 0.1, 0.02, 0.02), (-0.3, -0.1, -0.1, 0, 0)):
        frame, points = drawn.draw(REST, pose)
        frame = frame.astype(int)

        def at(*numbers: int, frame=frame, points=points) -> np.ndarray:
            x, y = points[list(numbers)].mean(0).astype(int)
            return frame[y - 1 : y + 2, x - 1 : x + 2].reshape(-1, 3).mean(0)

        for upper, lower in ((0, 13), (14, 17), (37, 82), (314, 317)):
            assert at(upper, lower)[1] > at(upper, lower)[[0, 2]].max() + 40
        for centre, edge in ((468, 472), (473, 477)):
            between = at(centre, edge)
            assert between[2] > between[:2].max() + 10
        for upper, lower in ((105, 52), (334, 282)):
            assert at(upper, lower)[0] > at(upper, lower)[1:].max() + 40


def test_nothing_behind_shows_through_eyes_and_mouth():
    """By drawing over two backgrounds: within lips and lids of 120 random faces in motion no pixel differs."""
    import cv2

    openings = OUTER_LIPS, (33, 160, 158, 133, 153, 144), (362, 385, 387, 263, 373, 380)
    for i in range(24):
        drawn = figure(f"holes-{i}")
        for k in range(5):
            rng = np.random.default_rng(1000 * i + k)
            vector = rng.uniform(0, 1, 24) * (rng.random(24) < 0.4)
            pose, gaze = (*rng.uniform(-0.15, 0.15, 3), 0, 0), rng.uniform(-0.3, 0.3, 2)
            frames = []
            for colour in ((255, 0, 255), (0, 255, 0)):
                drawn.background = np.full((128, 128, 3), colour, np.uint8)
                frame, points = drawn.draw(vector, pose, gaze)
                frames.append(frame.astype(int))
            mask = np.zeros((128, 128), np.uint8)
            for opening in openings:
                cv2.fillPoly(mask, [points[list(opening)].astype(np.int32)], 1)
            inside = cv2.erode(mask, np.ones((3, 3))) > 0
            assert inside.sum() > 20
            assert np.abs(frames[0] - frames[1])[inside].max() < 10


def test_outdoors_looks_unlike_the_studio():
    """By detail: local contrast of outdoor backgrounds, taken together, exceeds that of studios."""

    def detail(family: str) -> float:
        backgrounds = [figure(f"d{i}", family).background.astype(float) for i in range(12)]
        return float(np.mean([np.abs(np.diff(b, axis=1)).mean() for b in backgrounds]))

    assert detail("outdoor") > 2 * detail("studio")


def test_draws_fast_enough(someone):
    """Against the issue's 60 frames per second with encoding: at least 80 here, the best of three runs on one core."""
    someone.draw(REST)
    best = np.inf
    for _ in range(3):
        start = time.perf_counter()
        for _ in range(40):
            someone.draw(unit("jaw_drop"), (0.1, 0, 0, 0, 0))
        best = min(best, (time.perf_counter() - start) / 40)
    assert best < 1 / 80


def test_mediapipe_finds_the_same_points(assets):
    """Against mediapipe's FaceLandmarker on the rendered frames: within 6 % of the eye distance, brows up when raised."""
    from bench.media.landmarks import BLENDSHAPES
    from metrics.extractors.landmarks import Landmarks

    landmarks = Landmarks({"face_landmarker": assets / "models" / "face_landmarker_v2_with_blendshapes.task"})
    for name in ("m0", "m1", "m3"):
        drawn = figure(name, size=(384, 384))
        frame, points = drawn.draw(REST)
        landmarks.begin(None, {})
        landmarks.update(np.stack([frame, drawn.draw(unit("jaw_drop"))[0], drawn.draw(unit("lip_pucker"))[0]]))
        found = landmarks.finish()
        distance = np.linalg.norm(points[33] - points[263])
        assert (found["faces"] == 1).all()
        assert np.linalg.norm(ibug68(found["xy"][0]) - ibug68(points), axis=1).mean() < 0.06 * distance
        scores = found["blendshapes"][:, [BLENDSHAPES.index("jawOpen"), BLENDSHAPES.index("mouthPucker")]]
        assert scores[1, 0] > scores[0, 0] + 0.4 and scores[2, 1] > scores[0, 1] + 0.3
