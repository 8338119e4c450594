"""Python environments beside this one, for programs whose pins fit no other."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path


def python_of(prefix: Path) -> Path:
    """The Python of an environment."""
    return prefix / "Scripts" / "python.exe" if os.name == "nt" else prefix / "bin" / "python"


def find_python(versions: Iterable[tuple[int, int]]) -> Path | None:
    """A Python of one of these versions: the one running now if it fits, else the first found on PATH; None if there is none."""
    versions = list(versions)
    if sys.version_info[:2] in versions:
        return Path(sys.executable)
    for major, minor in versions:
        found = shutil.which(f"python{major}.{minor}")
        if found and _runs(found):
            return Path(found)
    return None


def _runs(interpreter: str) -> bool:
    """Whether it starts: a version manager puts names on PATH of Pythons that are not installed."""
    return subprocess.run([interpreter, "-c", ""], capture_output=True, check=False).returncode == 0
