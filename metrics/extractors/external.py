"""Programs outside this suite that read a folder of frames: argument lists, no shell, a timeout, the log in the error.

A program sees exactly the frames of the view (rate, size, length), as PNG files; a second decoder would choose others.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from bench.media import program
from bench.media.errors import MissingPrerequisite

LOG_LINES = 15
"""Lines of a failed program's output that go into the message."""


class FrameFolder:
    """A temporary folder of PNG files named by frame number; it goes with the object, or with `close`."""

    def __init__(self) -> None:
        self._root = tempfile.TemporaryDirectory(prefix="au-bench-")
        self.path = Path(self._root.name) / "frames"
        self.path.mkdir()
        self.out = Path(self._root.name) / "out"
        """Empty folder for what the program writes."""
        self.out.mkdir()
        self.count = 0

    def write(self, frames: np.ndarray) -> None:
        """Append frames, uint8 (t, H, W, 3) RGB."""
        import cv2

        for frame in frames:
            # Level 1: the files are read once, and three times faster to write than at OpenCV's default.
            cv2.imwrite(str(self.path / f"{self.count:06d}.png"), frame[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 1])
            self.count += 1

    def close(self) -> None:
        self._root.cleanup()


def run_program(what: str, command: list[str], timeout: float | None = None) -> None:
    """Run a program to its end.

    Args:
        what: what it does, for messages: "could not <what>".
        command: program and arguments.
        timeout: seconds after which it is killed; None waits.

    Raises:
        MissingPrerequisite: it cannot be started, failed or ran out of time; the message ends with its last lines.
    """
    with tempfile.TemporaryDirectory(prefix="au-bench-") as folder:
        log = Path(folder) / "log.txt"
        try:
            program.run_program(command, log, timeout)
        except program.ProgramFailed as error:
            tail = "\n".join(f"    {line}" for line in program.log_tail(log, LOG_LINES)) or "    (nothing)"
            raise MissingPrerequisite(f"could not {what}: {error}; its log ends with:\n{tail}") from error
