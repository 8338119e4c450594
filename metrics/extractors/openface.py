"""`openface`: the 35 Action Unit columns of OpenFace 2, from a CSV beside the clip or from its FeatureExtraction.

OpenFace is an external C++ program (academic licence, patch experts downloaded separately), so it stays one:
  1. a CSV beside the clip, `<file name>.openface.csv` or `<stem>.csv` with OpenFace's columns, is read; or
  2. the program named by OPENFACE_BIN, or `FeatureExtraction` on PATH, is run on the frames of the view.
A CSV speaks of the file's own frames: every frame of the view takes the row of the nearest timestamp, the earlier of
two equally near ones, as `Clip` chooses frames. OpenFace subtracts a person's median over the sequence (Baltrusaitis et
al., 2015), so its values depend on the whole sequence it was given: compare clips that were treated alike.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from bench.media.au import read_table, vocabulary
from bench.media.clip import Clip, hash_file
from bench.media.errors import MediaError, MissingPrerequisite
from metrics.extractor import Extractor, Features
from metrics.extractors.external import FrameFolder, run_program

PROGRAM = "FeatureExtraction"
SECONDS_TO_START = 120.0
SECONDS_PER_FRAME = 10.0
"""Time limit of the program, far above what it needs: it is there for a program that hangs."""


class OpenFace(Extractor):
    """Features:

    r: float32 (T, 17) intensities in [0, 5], order of `openface17`; NaN where OpenFace did not track a face.
    c: float32 (T, 18) presences in {0, 1}, order of `openface18`; NaN where OpenFace did not track a face.
    success: bool (T,), whether it tracked a face.
    confidence: float32 (T,) in [0, 1], how sure it was.
    """

    name = "openface"
    version = 1

    @classmethod
    def lacks(cls, clip: Clip) -> str | None:
        if any(path.is_file() for path in sidecar_paths(clip)):
            return None
        try:
            find_program()
        except MissingPrerequisite as reason:
            return str(reason)
        return None

    @classmethod
    def beside(cls, clip: Clip) -> str:
        return " ".join(hash_file(path) for path in sidecar_paths(clip) if path.is_file())

    def begin(self, clip: Clip, features: Mapping[str, Features]) -> None:
        self._clip = clip
        self._frames: FrameFolder | None = None
        self._table = sidecar(clip)
        if self._table is None:
            self._program = find_program()
            self._frames = FrameFolder()

    def update(self, frames: np.ndarray) -> None:
        if self._frames is not None:
            self._frames.write(frames)

    def finish(self) -> Features:
        if self._frames is None:
            rows = rows_of_view(self._table["timestamp"], self._clip)
            return features_of(self._table, rows)
        folders = ["-fdir", str(self._frames.path), "-out_dir", str(self._frames.out)]
        command = [self._program, *folders, "-of", "clip", "-aus"]
        limit = SECONDS_TO_START + SECONDS_PER_FRAME * self._frames.count
        run_program(f"run OpenFace on {self._clip.path}", command, limit)
        table = _table_of(self._frames.out / "clip.csv")
        # OpenFace writes timestamp 0 for every image of a folder; its rows are the images in order of name.
        if table is None or len(table["success"]) != self._frames.count:
            found = "no table" if table is None else f"{len(table['success'])} rows"
            raise MissingPrerequisite(
                f"{self._program} wrote {found} for the {self._frames.count} frames of {self._clip.path}; it must be "
                "OpenFace 2's FeatureExtraction"
            )
        self._frames.close()
        return features_of(table, np.arange(self._frames.count))


def sidecar(clip: Clip) -> dict[str, np.ndarray] | None:
    """Columns of the CSV beside a clip; None if there is none.

    Raises:
        MissingPrerequisite: there is one, and it is damaged or lacks columns.
    """
    for path in sidecar_paths(clip):
        if path.is_file() and (table := _table_of(path)) is not None:
            return table
    return None


def sidecar_paths(clip: Clip) -> tuple[Path, Path]:
    """Where a CSV beside a clip is looked for."""
    return clip.path.with_name(f"{clip.path.name}.openface.csv"), clip.path.with_suffix(".csv")


def find_program() -> str:
    """OpenFace's FeatureExtraction on this machine.

    Raises:
        MissingPrerequisite: there is none; the message says what to do.
    """
    named = os.environ.get("OPENFACE_BIN")
    if named and shutil.which(named) is None:
        raise MissingPrerequisite(f"OPENFACE_BIN is {named}, which is no program that can be run; set it to {PROGRAM}")
    if program := shutil.which(named or PROGRAM):
        return program
    raise MissingPrerequisite(
        "needs OpenFace 2 or its CSV: install it (https://github.com/TadasBaltrusaitis/OpenFace) and set OPENFACE_BIN to "
        f"its {PROGRAM}, or put the CSV of `{PROGRAM} -f VIDEO -aus` beside each video as NAME.mp4.openface.csv or NAME.csv"
    )


def rows_of_view(timestamps: np.ndarray, clip: Clip) -> np.ndarray:
    """Row of the CSV for every frame of the view, int64 (T,).

    Args:
        timestamps: float64 (n,) seconds from the first frame, rising; all 0 where OpenFace read a folder of images.

    Raises:
        MissingPrerequisite: the rows do not reach the end of the clip.
    """
    count = clip.num_frames
    if len(timestamps) == count and not timestamps.any():
        return np.arange(count)
    times = timestamps - timestamps[0]
    if len(times) > 1 and not (np.diff(times) > 0).all():
        raise MissingPrerequisite(f"the OpenFace CSV beside {clip.path} has timestamps that do not rise; make it again")
    wanted = np.arange(count) / clip.fps
    step = max(1 / clip.fps, float(np.median(np.diff(times))) if len(times) > 1 else 0.0)
    # Milliseconds are all that OpenFace writes.
    if wanted[-1] > times[-1] + step + 0.002:
        raise MissingPrerequisite(
            f"the OpenFace CSV beside {clip.path} ends at {times[-1]:.2f} s, the clip at {wanted[-1]:.2f} s; it is of "
            "another file or cut off: make it again"
        )
    after = np.clip(np.searchsorted(times, wanted), 1, max(1, len(times) - 1))
    before = after - 1
    after = np.minimum(after, len(times) - 1)
    return np.where(wanted - times[before] <= times[after] - wanted + 1e-9, before, after)


def features_of(table: Mapping[str, np.ndarray], rows: np.ndarray) -> Features:
    """Features from the columns of a CSV and the row of every frame."""
    success = table["success"][rows] == 1
    parts = {}
    for key, name in (("r", "openface17"), ("c", "openface18")):
        values = np.stack([table[column][rows] for column in vocabulary(name).names], axis=1).astype(np.float32)
        values[~success] = np.nan
        parts[key] = values
    return {**parts, "success": success, "confidence": table["confidence"][rows].astype(np.float32)}


def _table_of(path: Path) -> dict[str, np.ndarray] | None:
    """Columns of OpenFace's CSV; None for a CSV of something else."""
    if not path.is_file():
        return None
    try:
        table = read_table(path)
    except MediaError as error:
        raise MissingPrerequisite(f"{error}; delete it or make it again with {PROGRAM} -aus") from error
    wanted = vocabulary("openface35").names
    if not set(wanted) & set(table):
        return None
    lacking = [column for column in ("timestamp", "confidence", "success", *wanted) if column not in table]
    if lacking:
        raise MissingPrerequisite(f"{path}: OpenFace columns {', '.join(lacking)} are missing; run {PROGRAM} with -aus")
    if "face_id" in table and len(np.unique(table["face_id"])) > 1:
        raise MissingPrerequisite(f"{path}: holds several faces; use {PROGRAM}, which follows one")
    return table
