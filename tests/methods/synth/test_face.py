"""The small face reader on people it has not seen. Oracle: the renderer's landmarks."""

import numpy as np
import pytest
import torch

from bench.media.landmarks import OUTER_LIPS, SILHOUETTE
from methods.generator import GenerationError
from methods.synth.face import shifted, supervised_contrastive, two_faces, without_face
from methods.synth.faces import Faces, mirror


def test_boxes_hold_face_and_lips(encoders, rendered):
    """Goal: sides within 3 px of 128 on average, none further off than 10: masks are blurred over more."""
    errors = []
    for clip in rendered:
        reading = encoders.read_face(clip.frames[0])
        for box, ring in ((reading.face_box, SILHOUETTE), (reading.lip_box, OUTER_LIPS)):
            points = clip.landmarks[0, list(ring)] / 128
            truth = np.concatenate([points.min(0), points.max(0)])
            errors.append(128 * np.abs(box - truth))
    assert np.mean(errors) < 3 and np.max(errors) < 10
    boxes = encoders.face_boxes(rendered[0].frames[:3])
    assert boxes.shape == (3, 2, 4) and np.allclose(boxes[0], encoders.face_boxes(rendered[0].frames[:1])[0], atol=1e-5)


def test_one_person_is_recognised(encoders, rendered):
    one, same, other = (encoders.read_face(clip.frames[0]).embedding for clip in rendered)
    cosine = lambda a, b: a @ b / np.linalg.norm(a) / np.linalg.norm(b)  # noqa: E731
    assert one.shape == (encoders.face_channels,)
    assert cosine(one, same) > 0.8 > 0.5 > cosine(one, other)


def test_other_sizes_are_read(encoders, frames):
    large = frames[0].repeat(3, axis=0).repeat(3, axis=1)
    np.testing.assert_allclose(encoders.read_face(large).face_box, encoders.read_face(frames[0]).face_box, atol=0.03)


def test_pictures_without_one_face_are_refused(encoders, frames):
    noise = np.random.default_rng(0).integers(0, 255, (128, 128, 3)).astype(np.uint8)
    for picture in (noise, np.full((128, 128, 3), 90, np.uint8)):
        with pytest.raises(GenerationError, match="no face"):
            encoders.read_face(picture)
        assert np.isnan(encoders.face_boxes(picture[None])).all()
    with pytest.raises(GenerationError, match="more than one face"):
        encoders.read_face(two_faces(frames[0], frames[-1]))


def test_landmarks_move_with_the_picture(rendered):
    clip, rng = rendered[0], np.random.default_rng(0)
    marked = np.zeros((1, 128, 128, 3), np.uint8)
    marked[0, 70, 40] = 255
    points = np.tile(np.float32([40.5, 70.5]), (1, 478, 1))  # The middle of that pixel.
    moved = shifted(Faces(marked, points), rng)
    x, y = moved.landmarks[0, 0].astype(int)
    assert (x, y) != (40, 70) and moved.frames[0, y, x, 0] == 255
    frame, flipped = mirror(marked[0], points[0])
    x, y = flipped[0].astype(int)
    assert frame[y, x, 0] == 255
    assert without_face(clip.frames[0], rng).shape == clip.frames[0].shape


def test_contrastive_loss_is_least_where_people_agree():
    who = torch.tensor([0, 0, 1, 1])
    together = torch.tensor([[1.0, 0], [1, 0], [0, 1], [0, 1]])
    apart = torch.tensor([[1.0, 0], [0, 1], [1, 0], [0, 1]])
    # Against two others at similarity 0, with a temperature of 0.1: log(1 + 2 exp(-10)).
    assert supervised_contrastive(together, who).item() == pytest.approx(np.log(1 + 2 * np.exp(-10)), abs=1e-5)
    assert supervised_contrastive(apart, who).item() > 5
