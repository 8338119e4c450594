"""Contact sheet of the synthetic world: people down, expressions across, each at its apex.

python -m protocols.synth.sheet docs/synthetic_world.png
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from protocols.synth.emotions import EMOTIONS
from protocols.synth.world import ClipSpec, Family, make_clip, sentences

PEOPLE = ("T01", "T02", "T04", "T05", "G02", "G07")
CELL = 112
MARGIN = 16
"""Pixels above the pictures, for the words."""


def apex(clip) -> int:
    """The frame in which the brows, lids and mouth corners move most together: the mouth also speaks, so jaw and lips
    count little."""
    weights = np.ones(24)
    weights[[8, 15, 16, 18, 19, 20, 21]] = 0.2
    weights[[0, 1]] = -2.0  # No picture of a blink.
    return int(np.argmax(clip.aus.values @ weights))


def contact_sheet(people: tuple[str, ...] = PEOPLE, cell: int = CELL) -> np.ndarray:
    """uint8 (MARGIN + people * cell, emotions * cell, 3) RGB: every emotion at level 3, its word above."""
    import cv2

    rows = []
    for j, who in enumerate(people):
        family: Family = "outdoor" if who.startswith("G") else "studio"
        clips = [
            make_clip(ClipSpec(who, emotion, 3 if i else 1, (3 * j + i) % len(sentences(who)), family))
            for i, emotion in enumerate(EMOTIONS)
        ]
        frames = [clip.frames[apex(clip)] if i else clip.frames[0] for i, clip in enumerate(clips)]
        rows.append(np.hstack([cv2.resize(frame, (cell, cell), interpolation=cv2.INTER_AREA) for frame in frames]))
    words = np.full((MARGIN, cell * len(EMOTIONS), 3), 255, np.uint8)
    for i, emotion in enumerate(EMOTIONS):
        cv2.putText(words, emotion, (i * cell + 4, 12), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 0), 1, cv2.LINE_AA)
    return np.vstack([words, *rows])


def main() -> None:
    import cv2

    path = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/synthetic_world.png")
    path.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(path), contact_sheet()[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 9]):
        raise SystemExit(f"{path}: cannot be written")


if __name__ == "__main__":
    main()
