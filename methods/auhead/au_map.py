"""AU representations (section 3.3, Table 2): the vector itself, or an image of a face that the AUs move.

| name | what | array |
|---|---|---|
| `seq` | the 24 numbers | float32 (T, 24) |
| `lmk` | contours through 68 keypoints, white on black | uint8 (T, S, S) |
| `rom` | rendering of the mesh, one skin colour on black | uint8 (T, S, S) |

Images are grey: a face of one colour says the same in three channels. The face is the same for every speaker, frontal
and still. The paper names neither its face nor the image size; here it is the suite's average head, or ICT-FaceKit's
where its file is given, seen from eyebrows to chin at 256 pixels (the small configurations take 64).
On one core a frame takes 0.2 ms (`lmk`) or 4.5 ms (`rom`, 1.2 ms at 64 pixels), so nothing is stored.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np

from bench.media.au import FEAFA_UNITS
from bench.media.head import Head
from bench.media.mesh import Camera, Face, draw_landmarks, ict_face, render_face
from methods.auhead.config import Representation

NUM_AUS = len(FEAFA_UNITS)

FACE_CAMERA = Camera(focal=3.4, centre=(0.5, 0.4))
"""Keypoints of either face stay inside for any AUs: they span 0.12 above to 0.18 below the origin at focal length 1."""


@lru_cache(maxsize=2)
def load_face(path: Path | None = None) -> Face:
    """The face that AUs move: the suite's average head, or ICT-FaceKit's from its file (`bench.media.mesh.ict_face`)."""
    return Head() if path is None else ict_face(path)


def au_maps(aus: np.ndarray, representation: Representation, size: int = 256, face: Face | None = None) -> np.ndarray:
    """AUs as the representation of this name.

    Args:
        aus: float32 (T, 24) FEAFA AUs in [0, 1].
        representation: "seq", "lmk" or "rom".
        size: S, height and width of the images in pixels; `seq` has none.
        face: what is drawn; None is the average head.

    Returns:
        float32 (T, 24) for "seq", uint8 (T, S, S) for the others.
    """
    if representation == "seq":
        return aus
    face = face or load_face()
    if representation == "rom":
        return render_face(face, aus, (size, size), FACE_CAMERA)[..., 1]
    maps = np.empty((len(aus), size, size), np.uint8)
    for drawn, row in zip(maps, aus, strict=True):
        points = FACE_CAMERA.project(face.landmarks68(face.vertices(row)), (size, size))
        drawn[:] = draw_landmarks(points[:, :2], (size, size))[..., 1]
    return maps
