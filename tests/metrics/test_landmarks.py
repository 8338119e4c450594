"""`landmarks` and the facts of bench.media.landmarks.

Oracles: mediapipe called directly; mediapipe's own connection tables; the canonical mesh's mirror symmetry;
skimage's SimilarityTransform.
"""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.media import landmarks as facts
from bench.media.clip import ArrayClip, Clip
from metrics.extractors.landmarks import Landmarks


@pytest.fixture(scope="module")
def model(assets):
    return assets / "models" / "face_landmarker_v2_with_blendshapes.task"


@pytest.fixture(scope="module")
def extractor(model):
    return Landmarks({"face_landmarker": model})


def extract(extractor, clip, max_frames=64):
    extractor.begin(clip, {})
    for frames in clip.chunks(max_frames):
        extractor.update(frames)
    return extractor.finish()


@pytest.fixture(scope="module")
def real(extractor, grid_clips):
    """Name -> (frames, features) of the seven real clips."""
    return {path.stem: (Clip(path).frames, extract(extractor, Clip(path))) for path in grid_clips}


def test_every_frame_of_the_real_clips_has_one_face(real):
    """Oracle: the clips themselves, each shows one speaker throughout."""
    assert len(real) == 7
    for frames, features in real.values():
        assert features["xy"].shape == (75, 478, 2) and features["xy"].dtype == np.float32
        assert features["blendshapes"].shape == (75, 52) and features["blendshapes"].dtype == np.float32
        assert features["faces"].dtype == np.int32
        assert len(frames) == 75 and np.all(features["faces"] == 1)
        assert np.isfinite(features["xy"]).all() and np.isfinite(features["blendshapes"]).all()
        assert features["blendshapes"].min() >= 0 and features["blendshapes"].max() <= 1


def test_equals_mediapipe_called_directly(model, real):
    """Oracle: a FaceLandmarker with default options on the same frame, loaded from the file's bytes."""
    import mediapipe
    from mediapipe.tasks.python import BaseOptions, vision

    options = vision.FaceLandmarkerOptions(
        base_options=BaseOptions(model_asset_buffer=model.read_bytes()), output_face_blendshapes=True
    )
    with vision.FaceLandmarker.create_from_options(options) as landmarker:
        for frames, features in real.values():
            for t in (0, 40):
                pixels = frames[t].copy()
                found = landmarker.detect(mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=pixels))
                for k in (0, 33, 152, 291, 477):
                    point = found.face_landmarks[0][k]
                    np.testing.assert_allclose(features["xy"][t, k], [point.x * 360, point.y * 288], rtol=1e-6)
                scores = found.face_blendshapes[0]
                assert tuple(shape.category_name for shape in scores) == facts.BLENDSHAPES
                np.testing.assert_array_equal(features["blendshapes"][t], np.float32([s.score for s in scores]))


def test_frames_are_independent(extractor, real):
    """Oracle: the features of the whole clip; reversed order, chunks of 7 and a second use give the same rows."""
    frames, features = real["bbaf2n"]
    backwards = extract(extractor, ArrayClip(frames[19::-1]), max_frames=7)
    for name in ("xy", "blendshapes", "faces"):
        np.testing.assert_array_equal(backwards[name][::-1], features[name][:20])


def test_frame_of_any_memory_layout(extractor, real):
    """Oracle: the contiguous frame. A strided view of the same pixels must not lose the face."""
    frames, features = real["lwbsza"]
    strided = np.repeat(frames[:2], 2, axis=2)[:, :, ::2]
    assert not strided[0].flags.c_contiguous
    extractor.begin(ArrayClip(frames[:2]), {})
    extractor.update(strided)
    np.testing.assert_array_equal(extractor.finish()["xy"], features["xy"][:2])


def test_largest_of_two_faces_and_their_count(extractor, real):
    """Oracle: the larger face alone, at the same size and place."""
    import cv2

    large = real["bbaf2n"][0][0]
    small = cv2.resize(real["pwij3p"][0][0], (180, 144), interpolation=cv2.INTER_AREA)
    canvas = np.full((288, 540, 3), 128, np.uint8)
    canvas[:144, :180], canvas[:, 180:] = small, large
    alone = np.full_like(canvas, 128)
    alone[:, 180:] = large
    both, single = extract(extractor, ArrayClip(canvas[None])), extract(extractor, ArrayClip(alone[None]))
    assert both["faces"].tolist() == [2] and single["faces"].tolist() == [1]
    # Measured 0.08 px; half a pixel is allowed because the detector sees another picture.
    assert np.abs(both["xy"] - single["xy"]).max() < 0.5
    assert both["xy"][0, :468, 0].min() > 180


def test_no_face_is_nan_and_counted(extractor, real):
    """Oracle: construction; a grey frame between two faces."""
    frames, features = real["lbax4n"]
    shown = np.stack([frames[0], np.full_like(frames[0], 90), frames[1]])
    found = extract(extractor, ArrayClip(shown))
    assert found["faces"].tolist() == [1, 0, 1]
    assert np.isnan(found["xy"][1]).all() and np.isnan(found["blendshapes"][1]).all()
    np.testing.assert_array_equal(found["xy"][[0, 2]], features["xy"][:2])


def test_native_logging_stays_off_stderr(model):
    """Oracle: the bytes on file descriptor 2 of a process that loads, detects and exits."""
    code = (
        "import sys, numpy as np\n"
        "from pathlib import Path\n"
        "from bench.media.clip import ArrayClip\n"
        "from metrics.extractors.landmarks import Landmarks\n"
        "extractor = Landmarks({'face_landmarker': Path(sys.argv[1])})\n"
        "frames = np.zeros((1, 64, 64, 3), np.uint8)\n"
        "extractor.begin(ArrayClip(frames), {}); extractor.update(frames); print(extractor.finish()['faces'])\n"
        "print('still heard', file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(model)], capture_output=True, text=True, check=True)
    assert done.stdout == "[0]\n"
    assert done.stderr == "still heard\n"


def test_a_damaged_model_is_an_error(tmp_path):
    """Oracle: construction; the failure is raised, not hidden with the logs."""
    (tmp_path / "bad.task").write_bytes(b"no model")
    with pytest.raises((RuntimeError, ValueError, OSError)):
        Landmarks({"face_landmarker": tmp_path / "bad.task"})


def vertices(assets) -> np.ndarray:
    lines = (assets / "mesh" / "canonical_face_model.obj").read_text().splitlines()
    return np.array([line.split()[1:] for line in lines if line.startswith("v ")], float)


MIRROR68 = [
    *range(16, -1, -1),
    *range(26, 16, -1),
    *(27, 28, 29, 30, 35, 34, 33, 32, 31),
    *(45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40),
    *(54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55),
    *(64, 63, 62, 61, 60, 67, 66, 65),
]
"""The 68-point order on a mirrored face, as data augmentation for 300-W uses it."""


def test_map_is_mirror_symmetric_on_the_canonical_face(assets):
    """Oracle: mediapipe's canonical mesh, which is symmetric in x, and the mirror order of 300-W."""
    points = vertices(assets)
    mapped = np.concatenate([points, np.zeros((10, 3))])[np.array(facts.IBUG68)].mean(1)
    np.testing.assert_allclose(mapped[MIRROR68], mapped * [-1, 1, 1], atol=1e-5)


def test_rings_are_mediapipes_own():
    """Oracle: FaceLandmarksConnections of the installed mediapipe."""
    from mediapipe.tasks.python.vision import FaceLandmarksConnections as Connections

    def edges(*rings):
        return {frozenset(pair) for ring in rings for pair in zip(ring, ring[1:] + ring[:1], strict=True)}

    def theirs(connections):
        return {frozenset((c.start, c.end)) for c in connections}

    assert edges(facts.OUTER_LIPS, facts.INNER_LIPS) == theirs(Connections.FACE_LANDMARKS_LIPS)
    assert edges(facts.SILHOUETTE) == theirs(Connections.FACE_LANDMARKS_FACE_OVAL)
    lips = {i for i, _ in facts.IBUG68[facts.MOUTH68]}
    assert lips <= {*facts.OUTER_LIPS, *facts.INNER_LIPS} and len(lips) == 20
    for corners, eye in ((0, Connections.FACE_LANDMARKS_RIGHT_EYE), (1, Connections.FACE_LANDMARKS_LEFT_EYE)):
        assert {facts.EYE_OUTER_CORNERS[corners], facts.EYE_INNER_CORNERS[corners]} <= set().union(*theirs(eye))


def test_mapped_points_lie_where_300w_puts_them(real):
    """Oracle: the definition of the 68 points (order along each contour), on all frames of seven people."""
    for _, features in real.values():
        points = facts.ibug68(features["xy"].astype(np.float64))
        assert points.shape == (75, 68, 2)
        x, y = points[..., 0].T, points[..., 1].T
        for contour in (range(0, 17), range(17, 27), range(31, 36), range(48, 55), range(60, 65)):
            steps = np.diff(x[list(contour)][slice(2, -2) if contour[0] == 0 else slice(None)], axis=0)
            assert steps.min() > 0, contour
        assert np.diff(y[27:31], axis=0).min() > 0  # down the bridge of the nose
        assert np.all(y[0:17].argmax(0) == 8)  # the chin is the lowest point of the jaw
        assert np.all(x[36] < x[39]) and np.all(x[39] < x[42]) and np.all(x[42] < x[45])
        for upper, lower in ((37, 41), (38, 40), (43, 47), (44, 46), (51, 62), (62, 66), (66, 57), (33, 51), (57, 8)):
            assert np.all(y[upper] <= y[lower] + 0.5), (upper, lower)
        for left, right in ((17, 36), (26, 45)):
            assert np.all(y[left] < y[right])  # the outer end of a brow is above the outer corner of its eye


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1), st.floats(0.1, 10), st.floats(-3.1, 3.1))
def test_similarity_equals_skimage(seed, scale, angle):
    """Oracle: skimage.transform.SimilarityTransform (Umeyama) on noisy points."""
    from skimage.transform import SimilarityTransform

    rng = np.random.default_rng(seed)
    source = rng.normal(size=(5, 2)) * 20
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    target = source @ turn.T + rng.normal(size=2) * 100 + rng.normal(size=(5, 2)) * scale
    theirs = SimilarityTransform.from_estimate(source, target).params[:2]
    ours = facts.similarity(source, target)
    np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9 * max(scale, 1) * 100)
    batch = facts.similarity(np.stack([source, target]), np.stack([target, source]))
    np.testing.assert_array_equal(batch[0], ours)
    np.testing.assert_allclose(
        facts.transform(batch, np.stack([source, target]))[0], source @ ours[:, :2].T + ours[:, 2]
    )
