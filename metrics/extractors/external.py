"""Programs outside this suite that read a folder of frames: argument lists, no shell, a timeout, the log in the error.

A program sees exactly the frames of the view (rate, size, length), as PNG files; a second decoder would choose others.
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

import numpy as np

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
    try:
        result = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=timeout,
            check=False,
        )
    except OSError as error:
        raise MissingPrerequisite(f"could not {what}: {command[0]} does not start ({error})") from error
    except subprocess.TimeoutExpired as error:
        raise MissingPrerequisite(
            f"could not {what}: {command[0]} did not end within {timeout:.0f} s; its log ends with:\n"
            f"{log_tail(error.output)}"
        ) from error
    if result.returncode:
        raise MissingPrerequisite(
            f"could not {what}: {command[0]} ended with status {result.returncode}; its log ends with:\n"
            f"{log_tail(result.stdout)}"
        )


def log_tail(output: bytes | None) -> str:
    """The last lines of what a program printed, indented."""
    lines = [line for line in (output or b"").decode(errors="replace").splitlines() if line.strip()]
    return "\n".join(f"    {line}" for line in lines[-LOG_LINES:]) or "    (nothing)"
