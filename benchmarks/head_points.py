"""Place mediapipe's 478 points on the head of bench/media/head.py: makes bench/media/head_points.csv.

    python benchmarks/head_points.py canonical_face_model.obj

Lips, eyes, brows, irises, the middle of the nose and the silhouette are named: they are vertices of the head, or places
on its plan. The other points follow by a thin-plate spline through the named ones, from mediapipe's canonical face
(https://github.com/google-ai-edge/mediapipe, Apache-2.0) to the head's plan, and are kept as a triangle of the head's
skin and weights. To be run again when the vertices of bench/media/head_layout.py change.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np
from scipy.interpolate import RBFInterpolator

from bench.media.head_layout import (
    BROW_COLUMNS,
    EYE_COLUMNS,
    EYEBALL_RINGS,
    IRIS_RADIUS,
    Layout,
    bind,
    half_width,
    layout,
)
from bench.media.landmarks import INNER_LIPS, NUM_POINTS, OUTER_LIPS, SILHOUETTE

Place = list[tuple[int, float]]
"""At most three vertices and their weights."""

# fmt: off
LIPS = {
    4: OUTER_LIPS,
    3: (76, 77, 90, 180, 85, 16, 315, 404, 320, 307, 306, 408, 304, 303, 302, 11, 72, 73, 74, 184),
    2: (62, 96, 89, 179, 86, 15, 316, 403, 319, 325, 292, 407, 272, 271, 268, 12, 38, 41, 42, 183),
    1: INNER_LIPS,
}
"""Lip ring of the head -> mediapipe's points around it."""
EYES = (
    (
        (33, 246, 161, 160, 159, 158, 157, 173, 133, 155, 154, 153, 145, 144, 163, 7),
        (130, 247, 30, 29, 27, 28, 56, 190, 243, 112, 26, 22, 23, 24, 110, 25),
        (226, 113, 225, 224, 223, 222, 221, 189, 244, 233, 232, 231, 230, 229, 228, 31),
    ),
    (
        (263, 466, 388, 387, 386, 385, 384, 398, 362, 382, 381, 380, 374, 373, 390, 249),
        (359, 467, 260, 259, 257, 258, 286, 414, 463, 341, 256, 252, 253, 254, 339, 255),
        (446, 342, 445, 444, 443, 442, 441, 413, 464, 453, 452, 451, 450, 449, 448, 261),
    ),
)
"""Points around the eye at the left of the image and the other, on the head's eye rings 1 to 3."""
BROWS = (((107, 66, 105, 63, 70), (55, 65, 52, 53, 46)), ((336, 296, 334, 293, 300), (285, 295, 282, 283, 276)))
"""Upper and lower edge of either brow, from the inner end."""
ALONG_BROW = (0.0, 0.28, 0.52, 0.76, 0.97)
MIDDLE = {
    168: (0, 0.20), 6: (0, 0.13), 197: (0, 0.05), 195: (0, -0.02), 5: (0, -0.085), 4: (0, -0.15), 1: (0, -0.175),
    19: (0, -0.215), 94: (0, -0.24), 2: (0, -0.262), 98: (-0.098, -0.25), 97: (-0.05, -0.258), 326: (0.05, -0.258),
    327: (0.098, -0.25), 129: (-0.15, -0.20), 358: (0.15, -0.20), 10: (0, 0.86), 151: (0, 0.62), 9: (0, 0.46),
    8: (0, 0.34), 164: (0, -0.33), 152: (0, -0.985), 18: (0, -0.635), 200: (0, -0.70), 199: (0, -0.82), 175: (0, -0.93),
}
"""Nose and the middle of the face, on the plan."""
OUTLINE_Y = (.84, .80, .72, .60, .46, .32, .18, .02, -.14, -.30, -.43, -.56, -.68, -.78, -.855, -.92, -.965)
"""Heights of SILHOUETTE's points 1 to 17."""
# fmt: on


def named(head: Layout) -> dict[int, Place]:
    """Points that are vertices of the head, or lie between two."""
    places: dict[int, Place] = {}
    for ring, points in LIPS.items():
        places |= {point: [(int(v), 1.0)] for point, v in zip(points, head.lip_rings[ring], strict=True)}
    brows = head.parts["brows"].reshape(2, 3, BROW_COLUMNS)
    for side in (0, 1):
        for ring, points in enumerate(EYES[side], 1):
            places |= {point: [(int(v), 1.0)] for point, v in zip(points, head.eye_rings[side, ring], strict=True)}
        for row, points in zip((0, 2), BROWS[side], strict=True):
            for point, along in zip(points, ALONG_BROW, strict=True):
                column, share = divmod(along * (BROW_COLUMNS - 1), 1)
                first, second = brows[side, row, int(column) : int(column) + 2]
                places[point] = [(int(first), 1 - share), (int(second), share)]
        places |= _iris(head.parts["eyes"][side].reshape(-1, EYE_COLUMNS), (468, 473)[side])
    return places


def _iris(eye: np.ndarray, centre: int) -> dict[int, Place]:
    """The pupil's centre, then the iris's edge at the right, the top, the left and the bottom in the image."""
    places: dict[int, Place] = {centre: [(int(v), 1 / 3) for v in eye[0, [0, 5, 10]]]}
    inner, outer = 3, 4
    share = (IRIS_RADIUS - EYEBALL_RINGS[inner]) / (EYEBALL_RINGS[outer] - EYEBALL_RINGS[inner])
    for k in range(4):
        column, between = divmod(-k / 4 * EYE_COLUMNS % EYE_COLUMNS, 1)
        first, second = int(column), (int(column) + 1) % EYE_COLUMNS
        places[centre + 1 + k] = [
            (int(eye[outer, first]), (1 - between) * share),
            (int(eye[outer, second]), between * share),
            (int(eye[inner, first if between < 0.5 else second]), 1 - share),
        ]
    return places


def outline() -> dict[int, tuple[float, float]]:
    """The silhouette on the plan: near the egg's edge, and along the hairline above."""
    places = {}
    for right, left, y in zip(SILHOUETTE[1:18], SILHOUETTE[:18:-1], OUTLINE_Y, strict=True):
        if y > 0.5:
            share = np.interp(y, [0.46, 0.60, 0.72, 0.80, 0.84], [0.95, 0.88, 0.74, 0.52, 0.27])
        else:
            share = np.interp(y, [-0.97, -0.9, -0.6, 0.2, 0.6], [0.50, 0.80, 0.93, 0.95, 0.86])
        x = float(half_width(np.array(y)) * share)
        places |= {right: (x, y), left: (-x, y)}
    return places


def place(canonical: np.ndarray) -> list[Place]:
    """All 478 points, from the vertices (468, 3) of mediapipe's canonical face."""
    head = layout()
    places, on_plan = named(head), MIDDLE | outline()
    known = {p: sum(w * head.neutral[v, :2] for v, w in at) for p, at in places.items() if p < 468} | on_plan
    source = canonical[list(known), :2]
    distinct = np.unique(source.round(4), axis=0, return_index=True)[1]
    target = np.array(list(known.values()))
    spline = RBFInterpolator(source[distinct], target[distinct], kernel="thin_plate_spline", smoothing=1e-3)
    others = [p for p in range(468) if p not in places]
    xy = np.array([on_plan.get(p, at) for p, at in zip(others, spline(canonical[others, :2]), strict=True)])
    edge = 0.975 * half_width(xy[:, 1])
    xy[:, 0] = np.clip(xy[:, 0], -edge, edge)
    count = len(head.parts["skin"])
    triangles = head.triangles[head.triangles.max(1) < count]
    ids, weights = bind(xy, head.neutral[:count], triangles)
    weights = np.clip(weights, 0, None) / np.clip(weights, 0, None).sum(1, keepdims=True)
    for point, vertices, shares in zip(others, ids.tolist(), weights.tolist(), strict=True):
        places[point] = list(zip(vertices, shares, strict=True))
    return [places[point] for point in range(NUM_POINTS)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("canonical", type=Path, help="mediapipe's canonical_face_model.obj")
    parser.add_argument("--out", type=Path, default=Path("bench/media/head_points.csv"))
    arguments = parser.parse_args()
    lines = arguments.canonical.read_text().splitlines()
    canonical = np.array([line.split()[1:] for line in lines if line.startswith("v ")], np.float64)
    with open(arguments.out, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([f"{kind}_{k}" for kind in ("vertex", "weight") for k in range(3)])
        for at in place(canonical):
            padded = (at + [(at[0][0], 0.0)] * 2)[:3]
            writer.writerow([v for v, _ in padded] + [f"{w:.4g}" for _, w in padded])


if __name__ == "__main__":
    main()
