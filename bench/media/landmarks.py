"""Facts about face points: mediapipe's 478 points, the 68-point iBUG order, and the geometry shared by both.

mediapipe (https://ai.google.dev/edge/mediapipe/solutions/vision/face_landmarker) numbers 468 mesh points and 10 iris
points; most of the literature counts in the 68 points of iBUG 300-W (Sagonas et al., 2016), as dlib and FAN predict.
The correspondence `IBUG68` follows PeizhiYan/Mediapipe_2_Dlib_Landmarks, where a point that falls between two mesh
points is their mean, with two changes. Its point 13 is made the mirror image of point 3. Points 55 and 59 are mesh
points 405 and 181, as in the list of single indices that is in wide use (`landmark_points_68`): they lie half way
between their neighbours on the lower lip, as in iBUG, where 321 and 91 sit next to the mouth corner.
The map was drawn on frames of six of the seven real test clips and looked at: eyes, brows, nose and lips fall where
300-W puts them. The jaw does not quite: mediapipe's contour is a fixed line on the face surface, dlib's is the
visible outline, so the two part on a turned head.

Names say left and right as seen in the image unless "of the person" is written.
"""

from __future__ import annotations

import numpy as np

NUM_POINTS = 478
"""Points of mediapipe's FaceLandmarker: 468 of the mesh, 10 of the irises (468 to 477)."""

# fmt: off
IBUG68: tuple[tuple[int, int], ...] = (
    # 0 to 16: jaw, from the temple at the left of the image over the chin (8) to the other temple
    (127, 127), (234, 234), (93, 93), (132, 58), (58, 172), (136, 136), (150, 150), (176, 176), (152, 152),
    (400, 400), (379, 379), (365, 365), (397, 288), (361, 288), (323, 323), (454, 454), (356, 356),
    # 17 to 26: brows
    (70, 70), (63, 63), (105, 105), (66, 66), (107, 107), (336, 336), (296, 296), (334, 334), (293, 293), (300, 300),
    # 27 to 35: bridge of the nose, then its base
    (168, 6), (197, 195), (5, 5), (4, 4), (98, 98), (97, 97), (2, 2), (326, 326), (327, 327),
    # 36 to 47: eyes, each from its corner at the left of the image over the upper lid
    (33, 33), (160, 160), (158, 158), (133, 133), (153, 153), (144, 144),
    (362, 362), (385, 385), (387, 387), (263, 263), (373, 373), (380, 380),
    # 48 to 59: outer lips, from the corner at the left of the image over the upper lip
    (61, 61), (39, 39), (37, 37), (0, 0), (267, 267), (269, 269), (291, 291), (405, 405), (314, 314), (17, 17),
    (84, 84), (181, 181),
    # 60 to 67: inner lips
    (78, 78), (82, 82), (13, 13), (312, 312), (308, 308), (317, 317), (14, 14), (87, 87),
)
"""For each of the 68 iBUG points the two mediapipe points whose mean it is (equal where one point is meant)."""

OUTER_LIPS = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185)
"""Ring of mediapipe points around the lips, from the corner at the left of the image over the lower lip."""
INNER_LIPS = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191)
"""Ring of mediapipe points around the mouth opening, in the same order."""
SILHOUETTE = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
    152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)
"""Ring of mediapipe points around the face, clockwise in the image from the top of the forehead."""

BLENDSHAPES = (
    "_neutral", "browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight", "cheekPuff",
    "cheekSquintLeft", "cheekSquintRight", "eyeBlinkLeft", "eyeBlinkRight", "eyeLookDownLeft", "eyeLookDownRight",
    "eyeLookInLeft", "eyeLookInRight", "eyeLookOutLeft", "eyeLookOutRight", "eyeLookUpLeft", "eyeLookUpRight",
    "eyeSquintLeft", "eyeSquintRight", "eyeWideLeft", "eyeWideRight", "jawForward", "jawLeft", "jawOpen", "jawRight",
    "mouthClose", "mouthDimpleLeft", "mouthDimpleRight", "mouthFrownLeft", "mouthFrownRight", "mouthFunnel",
    "mouthLeft", "mouthLowerDownLeft", "mouthLowerDownRight", "mouthPressLeft", "mouthPressRight", "mouthPucker",
    "mouthRight", "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper", "mouthSmileLeft",
    "mouthSmileRight", "mouthStretchLeft", "mouthStretchRight", "mouthUpperUpLeft", "mouthUpperUpRight",
    "noseSneerLeft", "noseSneerRight",
)
"""Order of the 52 scores of FaceLandmarker; ARKit's names, with `_neutral` in place of `tongueOut`. Left and right
are
those of the person."""
# fmt: on

EYE_OUTER_CORNERS = (33, 263)
"""mediapipe points; iBUG 36 and 45. Their distance is the inter-ocular distance of 300-W."""
EYE_INNER_CORNERS = (133, 362)
"""mediapipe points; iBUG 39 and 42."""

FACE68 = slice(0, 68)
MOUTH68 = slice(48, 68)
"""The 20 mouth points of the 68."""
EYE_OUTER_CORNERS68 = (36, 45)


def ibug68(xy: np.ndarray) -> np.ndarray:
    """The 68 iBUG points of mediapipe's 478.

    Args:
        xy: float (..., 478, 2) pixels.

    Returns:
        float (..., 68, 2) pixels, dtype of the input; NaN where the input is NaN.
    """
    first, second = np.array(IBUG68).T
    return (xy[..., first, :] + xy[..., second, :]) / 2


def similarity(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Rotation, uniform scale and shift that bring `source` nearest to `target` in least squares, without reflection.

    With centred points written as complex numbers a and b, the best a -> z a has z = sum(conj(a) b) / sum(|a|^2); it
    equals Umeyama's (1991) solution for two dimensions.

    Args:
        source, target: float (..., N, 2), N >= 2 distinct points.

    Returns:
        float64 (..., 2, 3): matrix M with target ~ M[:, :2] @ point + M[:, 2].
    """
    source, target = np.asarray(source, np.float64), np.asarray(target, np.float64)
    source_centre, target_centre = source.mean(-2), target.mean(-2)
    a = (source - source_centre[..., None, :]) @ [1, 1j]
    b = (target - target_centre[..., None, :]) @ [1, 1j]
    z = (a.conj() * b).sum(-1) / (np.abs(a) ** 2).sum(-1)
    rows = np.stack([np.stack([z.real, -z.imag], -1), np.stack([z.imag, z.real], -1)], -2)
    shift = target_centre - (rows @ source_centre[..., None])[..., 0]
    return np.concatenate([rows, shift[..., None]], -1)


def transform(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Points (..., N, 2) moved by the matrix (..., 2, 3) of `similarity`."""
    return points @ np.swapaxes(matrix[..., :2], -1, -2) + matrix[..., None, :, 2]
