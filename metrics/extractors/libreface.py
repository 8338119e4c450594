"""`libreface`: Action Units by LibreFace 0.2.0 (Chang et al., WACV 2024), in an environment of its own.

LibreFace detects 12 AUs of BP4D (sigmoid output of at least 0.5) and estimates the intensity of 12 AUs of DISFA, with
one ResNet-18 on faces aligned by mediapipe's FaceMesh. Its pins fit no other environment, so it runs as a subprocess in
one that `python -m bench fetch libreface` makes, on the frames of the view, and answers with a CSV. It always runs on
the CPU: its torch 2.0.0 has no kernels for newer GPUs, and alignment takes most of the time. Licence: USC research,
non-commercial.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bench.media.au import read_table, vocabulary
from bench.media.clip import Clip
from bench.media.errors import MissingPrerequisite
from metrics.extractor import Extractor, Features
from metrics.extractors.external import FrameFolder, run_program
from metrics.extractors.libreface_env import PROGRAM, default_prefix, is_ready, python_of, weights_of

SECONDS_TO_START = 300.0
SECONDS_PER_FRAME = 10.0
"""Time limit of the program, far above what it needs (measured: 0.5 s per frame of 360x288 on one loaded core)."""


class LibreFace(Extractor):
    """Features:

    detection: float32 (T, 12) in {0, 1}, order of `libreface12`; NaN where LibreFace found no face, or more than one.
    intensity: float32 (T, 12) in [0, 5], order of `libreface12_intensity`; NaN there too.
    success: bool (T,), whether it found one.
    """

    name = "libreface"
    version = 1

    @classmethod
    def missing(cls) -> str | None:
        prefix = default_prefix()
        if is_ready(prefix):
            return None
        return f"needs LibreFace in an environment of its own ({prefix}): run python -m bench fetch libreface"

    def begin(self, clip: Clip, features: Mapping[str, Features]) -> None:
        if message := self.missing():
            raise MissingPrerequisite(message)
        self._clip = clip
        self._frames = FrameFolder()

    def update(self, frames: np.ndarray) -> None:
        self._frames.write(frames)

    def finish(self) -> Features:
        prefix = default_prefix()
        table = self._frames.out / "aus.csv"
        command = [str(python_of(prefix)), "-I", str(PROGRAM), "run", str(self._frames.path), str(table)]
        limit = SECONDS_TO_START + SECONDS_PER_FRAME * self._frames.count
        run_program(f"run LibreFace on {self._clip.path}", [*command, str(weights_of(prefix))], limit)
        columns = read_table(table)
        self._frames.close()
        return features_of(columns)


def features_of(columns: Mapping[str, np.ndarray]) -> Features:
    """Features from the program's table; it has no AU columns where no frame shows a face."""
    success = columns["success"] == 1
    absent = np.full(len(success), np.nan)
    parts = {}
    for key, name in (("detection", "libreface12"), ("intensity", "libreface12_intensity")):
        names = vocabulary(name).names
        values = [columns[column] if success.any() else absent for column in names]
        parts[key] = np.stack(values, axis=1).astype(np.float32)
    return {**parts, "success": success}
