"""Which frames of a clip count where some of them have no face.

Public code skips such frames silently, or scores them 0. Here they are left out of the mean as long as they are the
minority; a clip in which more than MAX_MISSING of the frames have no face has no value, and the reason gives the
counts.
"""

from __future__ import annotations

import numpy as np

from bench.media.errors import Undefined

MAX_MISSING = 0.5
"""Largest share of frames without a face with which a clip still has a value."""


def usable_frames(**has_face: np.ndarray) -> np.ndarray:
    """Frames in which every clip shows a face.

    Args:
        has_face: bool (T,) by the role of the clip, for example prediction=..., target=...

    Returns:
        bool (T,).

    Raises:
        Undefined: the clips differ in length, or more than MAX_MISSING of the frames cannot be used.
    """
    if len({len(frames) for frames in has_face.values()}) > 1:
        lengths = ", ".join(f"{role} {len(frames)}" for role, frames in has_face.items())
        raise Undefined(f"the clips differ in their number of frames: {lengths}")
    usable = np.logical_and.reduce(list(has_face.values()))
    if np.count_nonzero(~usable) > MAX_MISSING * len(usable) or not len(usable):
        counts = [
            f"{np.count_nonzero(~frames)} of {len(frames)} frames of the {role}" for role, frames in has_face.items()
        ]
        raise Undefined(f"no face in {' and '.join(counts)}; at most {MAX_MISSING:.0%} may have none")
    return usable
