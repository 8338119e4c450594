"""Make the environment of its own that LibreFace 0.2.0 needs.

libreface 0.2.0 pins torch 2.0.0, torchvision 0.15.1, mediapipe 0.10.5 and pandas 2.0.3 and cannot share an environment
with this suite. Its dependencies are installed here at its own pins, with three differences that its Action Unit path
needs or allows: dlib is left out (only its gaze training scripts import it, and it has to be compiled); Pillow is held
below 10, because its face alignment asks for `Image.ANTIALIAS`, which Pillow 10 removed, and it takes the error for a
frame without a face; numpy is held below 2, which torch 2.0.0 was built for.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

from bench.media import environment
from bench.media.cache import cache_dir
from bench.media.environment import python_of
from bench.media.errors import MissingPrerequisite
from metrics.extractors.external import run_program

PYTHONS = ((3, 11), (3, 10), (3, 9))
"""Python versions for which libreface 0.2.0 and its pins have wheels, best first."""
PACKAGE = "libreface==0.2.0"
DEPENDENCIES = (
    "torch==2.0.0",
    "torchvision==0.15.1",
    "mediapipe==0.10.5",
    "pandas==2.0.3",
    "opencv-python==4.10.0.84",
    "timm==1.0.9",
    "scikit-learn==1.3.2",
    "gdown==5.2.0",
    "requests==2.32.3",
    "pyyaml==6.0.2",
    "tqdm==4.66.5",
    "scipy",
    "numpy<2",
    "pillow<10",
)
PROGRAM = Path(__file__).with_name("libreface_program.py")
"""What runs inside the environment; it is handed to the environment's own Python and imports nothing of this suite."""
READY = "ready.json"
"""Written last: an environment without it is unfinished."""


def default_prefix() -> Path:
    """Where `bench fetch libreface` puts it."""
    return cache_dir() / "envs" / "libreface"


def create(prefix: Path) -> None:
    """Make the environment in `prefix`: a virtual environment, LibreFace, its weights (about 5 GB). If it is ready,
    nothing happens.

    Raises:
        MissingPrerequisite: no suitable Python, or a step failed; the message ends with what the step printed.
    """
    if is_ready(prefix):
        return
    interpreter = find_python()
    shutil.rmtree(prefix, ignore_errors=True)
    prefix.parent.mkdir(parents=True, exist_ok=True)
    python = str(python_of(prefix))
    pip = [python, "-m", "pip", "install", "--no-input", "--disable-pip-version-check"]
    run_program("make a virtual environment", [str(interpreter), "-m", "venv", str(prefix)])
    run_program("install LibreFace's dependencies", [*pip, *DEPENDENCIES])
    run_program("install LibreFace", [*pip, "--no-deps", PACKAGE])
    run_program("fetch LibreFace's weights", [python, "-I", str(PROGRAM), "prepare", str(weights_of(prefix))])
    content = {"package": PACKAGE, "dependencies": DEPENDENCIES}
    (prefix / READY).write_text(json.dumps(content, indent=1), encoding="utf-8")


def is_ready(prefix: Path) -> bool:
    """Whether `create` finished there, for this version of LibreFace."""
    try:
        content = json.loads((prefix / READY).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return content.get("package") == PACKAGE and python_of(prefix).exists()


def weights_of(prefix: Path) -> Path:
    """Folder of LibreFace's weights (USC research licence, non-commercial)."""
    return prefix / "weights"


def find_python() -> Path:
    """A Python that LibreFace runs on: the one running now if it fits, else the newest one on PATH.

    Raises:
        MissingPrerequisite: there is none.
    """
    if found := environment.find_python(PYTHONS):
        return found
    versions = " or ".join(f"{major}.{minor}" for major, minor in PYTHONS)
    raise MissingPrerequisite(
        f"LibreFace 0.2.0 needs Python {versions}, and none is on PATH (this is {sys.version_info[0]}."
        f"{sys.version_info[1]}); install one, then run: python -m bench fetch libreface"
    )
