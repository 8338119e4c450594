"""EAT's crop: its geometry against scikit-image, the extractor against a scripted detector and against dlib itself."""

import sys
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import transform

from bench.media.clip import ArrayClip, Clip
from bench.media.errors import Undefined
from metrics.extractors.eat_crop import ANCHORS, EatCrop, eyes_open, similarity, warp_crop

GEOMETRY = settings(max_examples=40, deadline=None)


def face_points() -> np.ndarray:
    """Whole-pixel stand-in for a 68-point face in a 128 crop: jaw, brows, nose, eyes, mouth as arcs and lines."""
    x = np.linspace(0, 1, 17)
    jaw = np.stack([8 + 112 * x, 40 + 85 * np.sin(np.pi * x)], 1)
    brows = np.stack([np.r_[np.linspace(22, 55, 5), np.linspace(73, 106, 5)], np.full(10, 24)], 1)
    nose = np.r_[
        np.stack([np.full(4, 64), np.linspace(38, 68, 4)], 1),
        np.stack([np.linspace(54, 75, 5), [75, 77, 78, 77, 75]], 1),
    ]
    eye = np.array([[-11, 0], [-4, -5], [4, -5], [11, 1], [4, 3], [-4, 3]])
    turn = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    mouth = np.stack([64 - 20 * np.cos(turn), 98 - 8 * np.sin(turn)], 1)
    return np.rint(np.r_[jaw, brows, nose, eye + np.array([39, 39]), eye + np.array([89, 39]), mouth])


def moved(points: np.ndarray, a: complex, b: complex) -> np.ndarray:
    w = a * (points[:, 0] + 1j * points[:, 1]) + b
    return np.stack([w.real, w.imag], 1)


def reference_crop(frame: np.ndarray, matrix: transform.SimilarityTransform) -> np.ndarray:
    """What evaluation_eat does once it has the transform, with scikit-image."""
    seen = transform.warp(frame, matrix, output_shape=(163, 163))
    return np.array(seen * 255, dtype=np.uint8)[1:129, 1:129]


def as_transform(a: complex, b: complex) -> transform.SimilarityTransform:
    return transform.SimilarityTransform(
        matrix=np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag], [0, 0, 1]])
    )


# Geometry ------------------------------------------------------------------------------------------------------------


@GEOMETRY
@given(st.floats(0.3, 3), st.floats(-3, 3), st.floats(-200, 200), st.floats(-200, 200))
def test_similarity_is_found_again(scale, angle, x, y):
    a, b = scale * np.exp(1j * angle), complex(x, y)
    found = similarity(face_points(), moved(face_points(), a, b))
    np.testing.assert_allclose(found, (a, b), rtol=0, atol=1e-9)


def test_similarity_equals_scikit_image_on_noisy_points():
    """Oracle: Umeyama's estimate in float64; points that no similarity fits exactly."""
    rng = np.random.default_rng(0)
    source = face_points()[ANCHORS]
    for _ in range(10):
        a, b = rng.uniform(0.5, 2) * np.exp(1j * rng.uniform(-1, 1)), complex(*rng.uniform(-50, 50, 2))
        destination = moved(source, a, b) + rng.normal(0, 3, source.shape)
        oracle = transform.SimilarityTransform.from_estimate(source, destination).params
        found = similarity(source, destination)
        np.testing.assert_allclose(as_transform(*found).params, oracle, rtol=0, atol=1e-9)


def test_crop_equals_scikit_image_bit_for_bit(grid_clips):
    """Oracle: scikit-image's warp of the whole frame, times 255, truncated, cut; faces turned, small, half outside.

    Agreement in the last bit of a float is not promised across builds, hence one level in at most 0.1 % of values.
    """
    rng = np.random.default_rng(1)
    for path in grid_clips[:3]:
        frame = Clip(path).first_frame()
        for shift in (0, 0, -150, 170):
            a = rng.uniform(0.6, 1.6) * np.exp(1j * rng.uniform(-0.4, 0.4))
            b = complex(*rng.uniform(60, 110, 2)) + shift
            ours, oracle = warp_crop(frame, a, b), reference_crop(frame, as_transform(a, b))
            assert ours.shape == (128, 128, 3) and ours.any()
            difference = np.abs(ours.astype(int) - oracle)
            assert difference.max() <= 1 and (difference > 0).mean() < 1e-3


def test_crop_equals_the_reference_chain_from_landmarks(grid_clips):
    """Oracle: scikit-image's estimate on float32 points, as evaluation_eat calls it: one level in < 2 % of values."""
    frame = Clip(grid_clips[0]).first_frame()
    template = face_points()
    landmarks = np.rint(moved(template, 1.1 * np.exp(0.05j), 90 + 95j) + np.random.default_rng(2).normal(0, 1, (68, 2)))
    estimate = transform.SimilarityTransform.from_estimate(
        np.float32(template[ANCHORS]), np.float32(landmarks[ANCHORS])
    )
    difference = np.abs(
        warp_crop(frame, *similarity(template[ANCHORS], landmarks[ANCHORS])).astype(int)
        - reference_crop(frame, estimate)
    )
    assert difference.max() <= 1 and (difference > 0).mean() < 0.02


def test_crop_is_truncated_and_black_outside():
    """Oracle: by hand, halfway between 10 and 13 is 11.5, which is stored as 11; the first column lies outside."""
    frame = np.full((140, 140, 3), 10, np.uint8)
    frame[:, 1::2] = 13
    crop = warp_crop(frame, 1 + 0j, complex(-2.5, 0))
    assert (crop[:, 2:] == 11).all()
    assert (crop[:, 0] == 0).all()


def test_crop_of_the_identity_starts_one_pixel_in():
    frame = np.random.default_rng(0).integers(0, 256, (163, 163, 3), np.uint8)
    lost = frame[1:129, 1:129].astype(int) - warp_crop(frame, 1 + 0j, 0j)
    assert lost.min() >= 0 and lost.max() <= 1
    assert (ANCHORS.start, ANCHORS.stop) == (27, 45)


def test_eyes_are_open_below_minus_nine():
    """Oracle: by hand on points 37, 38 (upper lid) and 40, 41 (lower lid) of the first eye."""
    points = np.zeros((68, 2))
    points[[37, 38], 1] = 20
    points[[40, 41], 1] = [24, 25]
    assert not eyes_open(points)
    points[40, 1] = 25
    assert eyes_open(points)


# The extractor with a scripted detector ------------------------------------------------------------------------------


class ScriptedDlib:
    """Stands in for dlib: a frame whose first pixel is white has a face, at points set by the test.

    Notes how often frames of which height are enlarged.
    """

    def __init__(self, points: np.ndarray, on_crop: bool):
        self.points, self.on_crop, self.calls = points, on_crop, []

    def get_frontal_face_detector(self):
        def detect(gray: np.ndarray, enlarge: int) -> list[str]:
            self.calls.append((gray.shape, enlarge))
            is_crop = gray.shape == (128, 128)
            return ["most confident", "other"] if (self.on_crop if is_crop else gray[0, 0] == 255) else []

        return detect

    def shape_predictor(self, path: str):
        def predict(gray: np.ndarray, face: str) -> SimpleNamespace:
            assert face == "most confident"
            points = self.points if gray.shape != (128, 128) else self.points * 0 + 7
            return SimpleNamespace(parts=lambda: [SimpleNamespace(x=int(x), y=int(y)) for x, y in points])

        return predict


@pytest.fixture
def files(tmp_path):
    paths = {name: tmp_path / f"{name}.npy" for name in EatCrop.weights}
    np.save(paths["eat_base68"], face_points().astype(np.int64))
    np.save(paths["eat_base68_close"], (face_points() + np.array([9, 0])).astype(np.int64))
    return paths


def extract(files, monkeypatch, frames: np.ndarray, points: np.ndarray, on_crop: bool = True):
    dlib = ScriptedDlib(points, on_crop)
    monkeypatch.setitem(sys.modules, "dlib", dlib)
    extractor = EatCrop(files)
    extractor.begin(ArrayClip(frames), {})
    for start in range(0, len(frames), 2):
        extractor.update(frames[start : start + 2])
    return extractor, dlib


@pytest.fixture
def frames() -> np.ndarray:
    frames = np.random.default_rng(3).integers(0, 200, (3, 200, 240, 3), np.uint8)
    frames[[0, 2], 0, 0] = 255
    return frames


def test_extractor_crops_where_the_landmarks_are(files, monkeypatch, frames):
    """Oracle: the geometry functions on the scripted landmarks; frame 1 has no face."""
    points = np.rint(moved(face_points(), 1.2 + 0.1j, 50 + 30j))
    extractor, dlib = extract(files, monkeypatch, frames, points)
    features = extractor.finish()
    expected = warp_crop(frames[2], *similarity(face_points()[ANCHORS], points[ANCHORS]))
    np.testing.assert_array_equal(features["crop"][2], expected)
    assert features["found"].tolist() == [True, False, True]
    assert not features["crop"][1].any() and features["crop"].dtype == np.uint8
    assert np.isnan(features["xy68"][1]).all() and (features["xy68"][[0, 2]] == 7).all()
    assert features["xy68"].dtype == np.float32
    assert dlib.calls == [((200, 240), 1), ((128, 128), 0), ((200, 240), 1), ((200, 240), 1), ((128, 128), 0)]


def test_closed_eyes_take_the_other_template(files, monkeypatch, frames):
    points = np.rint(moved(face_points(), 0.9 + 0j, 60 + 40j))
    points[[40, 41], 1] = points[[37, 38], 1] + 2
    features = extract(files, monkeypatch, frames, points)[0].finish()
    expected = warp_crop(frames[0], *similarity(face_points()[ANCHORS] + np.array([9, 0]), points[ANCHORS]))
    np.testing.assert_array_equal(features["crop"][0], expected)


def test_a_crop_without_landmarks_keeps_its_place(files, monkeypatch, frames):
    """PSNR and SSIM still count the crop; only the landmark metrics lose it."""
    features = extract(files, monkeypatch, frames, face_points() + 40, on_crop=False)[0].finish()
    assert features["found"].tolist() == [True, False, True]
    assert features["crop"][0].any() and np.isnan(features["xy68"]).all()


def test_no_face_is_undefined(files, monkeypatch, frames):
    extractor, _ = extract(files, monkeypatch, frames * 0, face_points())
    with pytest.raises(Undefined, match="no face in 3 of 3 frames"):
        extractor.finish()


# The extractor with dlib ---------------------------------------------------------------------------------------------


def test_with_dlib_on_real_faces(files, grid_clips, tmp_path):
    """Oracle: the crop itself. A predictor taught to put the template into dlib's box must give crops in which dlib
    finds the face again, close to where the template has it, whatever the size and place of the face in the frame.
    """
    dlib = pytest.importorskip("dlib", reason="dlib is not installed; dlib-bin has wheels")
    files["dlib68"] = tmp_path / "predictor.dat"
    teach_predictor(dlib, [Clip(path).first_frame() for path in grid_clips], files["dlib68"])
    extractor = EatCrop(files)
    clip = Clip(grid_clips[1])
    frames = clip.frames[:30:10]
    frames = np.concatenate([frames, [cv2.resize(frames[0], None, fx=1.5, fy=1.5)[50:338, 60:420]], frames[:1] * 0])
    extractor.begin(ArrayClip(frames), {})
    extractor.update(frames)
    features = extractor.finish()
    assert features["found"].tolist() == [True] * 4 + [False]
    assert np.isfinite(features["xy68"][:4]).all()
    centres = features["xy68"][:4, ANCHORS].mean(axis=1)
    np.testing.assert_allclose(centres, np.tile(face_points()[ANCHORS].mean(axis=0), (4, 1)), atol=12)


def teach_predictor(dlib, images: list[np.ndarray], path) -> None:
    """Train a small dlib shape predictor whose points are the template scaled into the detector's box."""
    detector = dlib.get_frontal_face_detector()
    boxes = [detector(image, 1)[0] for image in images]
    shapes = []
    for box in boxes:
        points = np.rint(
            face_points() * (box.width() / 95) + [box.left() - box.width() * 0.13, box.top() - box.width() * 0.26]
        )
        shapes.append([dlib.full_object_detection(box, [dlib.point(int(x), int(y)) for x, y in points])])
    options = dlib.shape_predictor_training_options()
    options.tree_depth, options.cascade_depth, options.num_trees_per_cascade_level = 2, 4, 20
    options.oversampling_amount, options.be_verbose = 5, False
    dlib.train_shape_predictor(images, shapes, options).save(str(path))
