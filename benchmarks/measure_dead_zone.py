"""Measure the resting level of every FEAFA AU in clips of neutral speech: the table `REST` of bench/media/au_maps.py.

    python benchmarks/measure_dead_zone.py CLIP ... --model face_landmarker.task

Prints the table as Python, ready to paste, the dead zone each row gives, and how many of the 24 AUs are active with it.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bench.media.au import FEAFA_UNITS
from bench.media.au_maps import ARKIT_TO_FEAFA, Rest, base_name, dead_zone_of
from bench.media.clip import Clip
from metrics.extractors.landmarks import Landmarks

RESTING = 10
"""Percentile over a clip's frames that is its resting level."""


def blendshapes(clip: Clip, landmarks: Landmarks) -> np.ndarray:
    """Blendshapes of the frames with a face, float32 (t, 52)."""
    landmarks.begin(clip, {})
    for frames in clip.chunks():
        landmarks.update(frames)
    values = landmarks.finish()["blendshapes"]
    return values[np.isfinite(values).all(1)]


def measure(clips: Sequence[np.ndarray]) -> dict[str, Rest]:
    """AU without its side -> readings.

    Args:
        clips: blendshapes per clip, float (t, 52) in [0, 1].
    """
    readings = [ARKIT_TO_FEAFA.combine(values) for values in clips]
    resting = np.stack([np.percentile(clip, RESTING, axis=0) for clip in readings])
    peaks = np.stack([clip.max(0) for clip in readings])
    table = {}
    for name in dict.fromkeys(base_name(unit.name) for unit in FEAFA_UNITS):
        sides = [unit.index for unit in FEAFA_UNITS if base_name(unit.name) == name]
        levels = resting[:, sides]
        row = levels.min(), np.median(levels), levels.max(), peaks[:, sides].max()
        table[name] = Rest(*(round(float(value), 4) for value in row))
    return table


def active_counts(clips: Sequence[np.ndarray], zones: dict[str, float]) -> list[float]:
    """Mean number of AUs above their dead zone, per clip."""
    zone = np.array([zones[base_name(unit.name)] for unit in FEAFA_UNITS])
    return [float((ARKIT_TO_FEAFA.combine(values) > zone).sum(1).mean()) for values in clips]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="+", type=Path, help="videos of neutral speech")
    parser.add_argument("--model", type=Path, required=True, help="face_landmarker.task of mediapipe")
    arguments = parser.parse_args()
    landmarks = Landmarks({"face_landmarker": arguments.model})
    clips = [blendshapes(Clip(path), landmarks) for path in arguments.clips]
    table = measure(clips)
    print("REST: dict[str, Rest] = {")
    for name, rest in table.items():
        print(f'    "{name}": Rest({", ".join(f"{value:g}" for value in rest)}),  # dead zone {dead_zone_of(rest):g}')
    print("}")
    counts = active_counts(clips, {name: dead_zone_of(rest) for name, rest in table.items()})
    for path, count in zip(arguments.clips, counts, strict=True):
        print(f"{path.name}: {count:.2f} of 24 active")
    print(f"mean {np.mean(counts):.2f} over {len(clips)} clips, {sum(map(len, clips))} frames")


if __name__ == "__main__":
    main()
