"""Masks of lips and face. Oracles: rectangles counted by hand, the renderer's pixels, brute force."""

import numpy as np
import pytest

from bench.media.landmarks import INNER_LIPS, SILHOUETTE
from methods.conditioning.regions import per_latent, region_masks


def landmarks(**boxes) -> np.ndarray:
    """(478, 2): the ring of each region around a box x0, y0, x1, y1, its corners among the points."""
    points = np.zeros((478, 2))
    for name, ring in (("lips", INNER_LIPS), ("face", SILHOUETTE)):
        x0, y0, x1, y1 = boxes[name]
        corners = np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])
        points[list(ring)] = corners[np.arange(len(ring)) * 4 // len(ring)]
    return points


def test_boxes():
    """Oracle: which 8 x 8 cells the rectangles share a pixel with."""
    points = landmarks(lips=(17, 33, 30, 38), face=(8, 8, 40, 48))
    masks = region_masks(points[None], 64, 48)
    lips, face = masks["lips"][0], masks["face"][0]
    assert lips.shape == face.shape == (8, 6) and lips.dtype == bool
    expected = np.zeros((8, 6), bool)
    expected[4, 2:4] = True
    np.testing.assert_array_equal(lips, expected)
    expected = np.zeros((8, 6), bool)
    expected[1:6, 1:5] = True
    np.testing.assert_array_equal(face[1:6, 1:5], expected[1:6, 1:5])
    assert face.sum() <= 6 * 5  # An edge on the border of two cells may touch both.


def test_a_closed_mouth_has_a_row():
    points = landmarks(lips=(10, 20, 30, 20), face=(0, 0, 47, 47))
    lips = region_masks(points[None], 48, 48)["lips"][0]
    assert lips[2, 1:4].all() and lips.sum() == 3


def test_no_face_no_region():
    points = np.stack([landmarks(lips=(10, 20, 30, 25), face=(0, 0, 47, 47)), np.full((478, 2), np.nan)])
    masks = region_masks(points, 48, 48)
    assert all(mask[0].any() and not mask[1].any() for mask in masks.values())


def test_frames_of_a_latent_are_joined():
    """Oracle: the rule, frame by frame: latent frame 0 is frame 0, latent frame t is frames 4t-3 to 4t."""
    masks = np.random.default_rng(0).random((9, 2, 3)) < 0.3
    joined = per_latent(masks)
    assert joined.shape == (3, 2, 3)
    for t, frames in enumerate([[0], [1, 2, 3, 4], [5, 6, 7, 8]]):
        np.testing.assert_array_equal(joined[t], masks[frames].any(0))
    with pytest.raises(ValueError, match="8 frames"):
        per_latent(masks[:8])


def test_rendered_face():
    """Oracle: the lips lie in the face, and both lie where the renderer put their points."""
    from protocols.synth.world import ClipSpec, make_clip

    clip = make_clip(ClipSpec("T01", "happy", 3, 0), num_frames=3)
    masks = region_masks(clip.landmarks, 128, 128)
    assert (masks["face"] | ~masks["lips"]).all()
    for frame, points in enumerate(clip.landmarks):
        for name, ring in (("lips", INNER_LIPS), ("face", SILHOUETTE)):
            columns, rows = (points[list(ring)].clip(0, 127).mean(0) // 8).astype(int)
            assert masks[name][frame, rows, columns]
    assert masks["lips"].sum((1, 2)).min() >= 1 and masks["lips"].sum((1, 2)).max() <= 12
    assert masks["face"].sum((1, 2)).min() >= 20 and masks["face"].sum((1, 2)).max() <= 150
