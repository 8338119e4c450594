"""Reading a face.

Oracles: the metrics' own chain of the same models; real pictures with a known number of faces; geometry by hand.
"""

import cv2
import numpy as np
import pytest

from bench.media.arcface import ArcFace
from bench.media.clip import ArrayClip, Clip
from bench.media.face_landmarker import FaceLandmarker
from bench.media.landmarks import OUTER_LIPS, SILHOUETTE
from methods.conditioning.face import FaceReader, crop, landmark_boxes, require_one_face
from methods.generator import GenerationError
from metrics.extractors.arcface import ArcFaceAntelopeV2
from metrics.extractors.landmarks import Landmarks
from tests.metrics.test_csim import detection_model, recognition_model


class YuNetFaces:
    """Stands in for ArcFace, whose files cannot be had here: real boxes by another detector; the embedding says which
    face it was asked for."""

    def __init__(self, path):
        self._path = str(path)

    def find(self, frame):
        height, width = frame.shape[:2]
        detector = cv2.FaceDetectorYN.create(self._path, "", (width, height))
        found = detector.detect(np.ascontiguousarray(frame[..., ::-1]))[1]
        found = np.zeros((0, 15), np.float32) if found is None else found
        found = found[np.argsort(-found[:, 2] * found[:, 3])]
        boxes = np.concatenate([found[:, :2], found[:, :2] + found[:, 2:4]], 1)
        return boxes, found[:, 4:14].reshape(-1, 5, 2)

    def embed(self, frame, points):
        return points.ravel().astype(np.float32)


@pytest.fixture(scope="module")
def landmarker_file(assets):
    return assets / "models" / "face_landmarker_v2_with_blendshapes.task"


@pytest.fixture(scope="module")
def landmarker(landmarker_file):
    return FaceLandmarker(landmarker_file)


@pytest.fixture(scope="module")
def reader(assets, landmarker):
    return FaceReader(YuNetFaces(assets / "models" / "yunet_n_320_320.onnx"), landmarker)


@pytest.fixture(scope="module")
def pictures(grid_clips):
    """Seven people, each alone, 288 x 360."""
    return [Clip(path).first_frame() for path in grid_clips]


def test_embedding_equals_the_metric(tmp_path, pictures, landmarker):
    """Oracle: metrics.extractors.arcface on the same random models, which insightface itself confirms there. Their
    detector reports a large face and a bystander a fifth as high."""
    files = {name: tmp_path / name for name in ArcFaceAntelopeV2.weights}
    detection_model(files["scrfd_10g_bnkps"])
    recognition_model(files["glintr100"])
    reader = FaceReader(ArcFace(files["scrfd_10g_bnkps"], files["glintr100"]), landmarker)
    metric = ArcFaceAntelopeV2(files)
    metric.begin(ArrayClip(pictures[0][None]), {})
    metric.update(pictures[0][None])
    embedding = reader(pictures[0]).embedding
    assert embedding.shape == (512,) and embedding.dtype == np.float32
    np.testing.assert_array_equal(embedding, metric.finish()["embedding"][0])
    assert np.linalg.norm(embedding) > 2  # Not normalised.


def test_boxes_hold_the_points(reader, pictures, landmarker_file):
    """Oracle: the metrics' landmarks of the same pictures; bounding boxes over loops of the points."""
    landmarks = Landmarks({"face_landmarker": landmarker_file})
    clip = ArrayClip(np.stack(pictures))
    landmarks.begin(clip, {})
    landmarks.update(clip.frames)
    points = landmarks.finish()["xy"]
    boxes = reader.boxes(pictures)
    assert boxes.shape == (7, 2, 4) and boxes.dtype == np.float32
    for picture, xy, pair in zip(pictures, points, boxes, strict=True):
        for box, ring in zip(pair, (SILHOUETTE, OUTER_LIPS), strict=True):
            xs, ys = [xy[i][0] / 360 for i in ring], [xy[i][1] / 288 for i in ring]
            np.testing.assert_allclose(box, [min(xs), min(ys), max(xs), max(ys)], atol=1e-6)
        face, lips = pair
        assert (face[:2] < lips[:2]).all() and (lips[2:] < face[2:]).all()
        reading = reader(picture)
        np.testing.assert_array_equal([reading.face_box, reading.lip_box], pair)


def test_pictures_without_one_face_are_refused(reader, pictures):
    """Oracle: construction; a grey picture, two people of one size, a person far away."""
    grey = np.full((288, 360, 3), 127, np.uint8)
    with pytest.raises(GenerationError, match="no face in the reference picture; give a portrait"):
        reader(grey)
    with pytest.raises(GenerationError, match="2 faces in the reference picture"):
        reader(np.hstack(pictures[:2]))
    far = grey.copy()
    far[100:172, 100:190] = cv2.resize(pictures[0], (90, 72), interpolation=cv2.INTER_AREA)
    far = cv2.resize(far, (720, 576), interpolation=cv2.INTER_CUBIC)
    with pytest.raises(GenerationError, match="the face is too small: .* of 576 pixels high"):
        reader(far)
    assert np.isnan(reader.boxes([grey])).all()


def test_a_bystander_is_no_second_face(reader, pictures):
    """Oracle: construction; a person a quarter as large behind the other changes neither identity nor boxes."""
    group = np.hstack([pictures[0], np.full((288, 120, 3), 127, np.uint8)])
    group[20:92, 365:455] = cv2.resize(pictures[1], (90, 72), interpolation=cv2.INTER_AREA)
    alone = reader(np.hstack([pictures[0], np.full((288, 120, 3), 127, np.uint8)]))
    both = reader(group)
    np.testing.assert_allclose(both.embedding, alone.embedding, atol=2)  # Its points, in pixels.
    np.testing.assert_allclose(both.face_box, alone.face_box, atol=0.01)


def test_thresholds():
    """Oracle: boxes at either side of the two limits, by hand."""
    require_one_face(np.array([[0, 0, 50, 90], [100, 0, 120, 29]]), 500)
    with pytest.raises(GenerationError, match="2 faces"):
        require_one_face(np.array([[0, 0, 50, 90], [100, 0, 120, 30]]), 500)
    require_one_face(np.array([[0, 0, 50, 75]]), 500)
    with pytest.raises(GenerationError, match="74 of 500 pixels high, 15% are needed"):
        require_one_face(np.array([[0, 0, 50, 74]]), 500)
    require_one_face(np.array([[0, 0, 50, 74]]), 500, smallest=0.0)


def test_crop_makes_a_far_face_readable(reader, pictures):
    """Oracle: the box of the same face in the picture it was taken from, moved by where it was put."""
    far = np.full((1440, 1800, 3), 127, np.uint8)
    far[600:888, 700:1060] = pictures[2]
    with pytest.raises(GenerationError, match="too small"):
        reader(far)
    at = reader.locate(far)
    square = crop(far, at)
    assert square.shape[0] == square.shape[1]
    box = reader(square).face_box
    assert 0.4 < box[3] - box[1] < 0.75
    top, left = crop(np.moveaxis(np.mgrid[:1440, :1800], 0, -1), at)[0, 0]
    expected = reader(pictures[2]).face_box * (360, 288, 360, 288) + (700, 600, 700, 600)
    np.testing.assert_allclose(box * len(square) + (left, top, left, top), expected, atol=3)


def test_crop_by_hand():
    """Oracle: numbers; a picture whose pixels say where they are."""
    rows, columns = np.mgrid[:100, :200]
    image = np.stack([rows, columns, rows], axis=-1).astype(np.uint8)
    middle = crop(image, np.array([80 / 200, 0.3, 110 / 200, 0.6]))
    assert middle.shape == (50, 50, 3)  # 30 / 0.6
    assert middle[0, 0].tolist() == [20, 70, 20]
    corner = crop(image, np.array([0, 0, 30 / 200, 0.3]))
    assert corner[0, 0].tolist() == [0, 0, 0] and corner.shape == (50, 50, 3)
    large = crop(image, np.array([100 / 200, 0.1, 180 / 200, 0.9]))
    assert large.shape == (100, 100, 3) and large[0, 0].tolist() == [0, 90, 0]


def test_boxes_are_cut_at_the_border():
    """Oracle: by hand; a face half outside."""
    xy = np.zeros((478, 2), np.float32)
    xy[list(SILHOUETTE)] = 0.5
    xy[SILHOUETTE[0]], xy[SILHOUETTE[1]] = (-0.3, 0.1), (0.4, 1.2)
    np.testing.assert_allclose(landmark_boxes(xy)[0], [0, 0.1, 0.5, 1])
