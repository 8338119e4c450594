"""The `libreface` extractor, its environment and the program that runs inside it, with a stand-in for LibreFace."""

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from bench.cache import cache_dir
from bench.media.clip import ArrayClip
from bench.media.errors import MissingPrerequisite
from metrics.extractors import libreface_env
from metrics.extractors.libreface import LibreFace

# The functions of libreface 0.2.0 that the program calls, with their arguments, what they return and how they fail.
ALIGN = """
import cv2
def get_aligned_image(image_path, temp_dir="./tmp", verbose=False):
    blue = cv2.imread(image_path)[0, 0, 0]
    if blue == 0:
        raise RuntimeError("No face landmarks")
    if blue == 1:
        raise AttributeError("'numpy.ndarray' object has no attribute 'append'")
    if blue == 2:
        raise AttributeError("module 'PIL.Image' has no attribute 'ANTIALIAS'")
    return image_path, {"pitch": 0.0}, {}
"""
RECOGNISE = """
import os
import cv2
import pandas as pd
DETECTED, INTENSE = (1, 2, 4, 6, 7, 10, 12, 14, 15, 17, 23, 24), (1, 2, 4, 5, 6, 9, 12, 15, 17, 20, 25, 26)
def get_au_intensities_and_detect_aus_video(aligned_frames_path, device="cpu", batch_size=256, num_workers=2,
                                            weights_download_dir="./weights_libreface"):
    assert os.environ["TORCH_HOME"] == os.path.join(weights_download_dir, "torch")
    os.makedirs(weights_download_dir, exist_ok=True)
    red = [cv2.imread(path)[0, 0, 2] for path in aligned_frames_path]
    detected = pd.DataFrame([[int(r >= n) for n in DETECTED] for r in red], columns=[f"au_{n}" for n in DETECTED])
    intense = pd.DataFrame([[r / 51 for n in INTENSE] for r in red], columns=[f"au_{n}_intensity" for n in INTENSE])
    return detected, intense
"""


@pytest.fixture
def environment(tmp_path, monkeypatch) -> Path:
    """An environment with the stand-in instead of LibreFace, where the extractor looks for it."""
    monkeypatch.setenv("AU_BENCH_CACHE", str(tmp_path / "a cache"))
    prefix = libreface_env.default_prefix()
    package = tmp_path / "stand_in" / "libreface"
    (package / "AU_Recognition").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "AU_Recognition" / "__init__.py").touch()
    (package / "detect_mediapipe_image.py").write_text(ALIGN)
    (package / "AU_Recognition" / "inference.py").write_text(RECOGNISE)
    python = libreface_env.python_of(prefix)
    python.parent.mkdir(parents=True)
    # A Python whose isolated mode still finds the stand-in.
    bootstrap = tmp_path / "bootstrap.py"
    bootstrap.write_text(
        "import runpy, sys\n"
        f"sys.path.insert(0, {str(package.parent)!r})\n"
        "assert sys.argv[1] == '-I'\n"
        "sys.argv = sys.argv[2:]\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')\n"
    )
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{bootstrap}" "$@"\n')
    python.chmod(0o755)
    (prefix / libreface_env.READY).write_text(json.dumps({"package": libreface_env.PACKAGE}))
    return prefix


def clip(red, blue) -> ArrayClip:
    frames = np.zeros((len(red), 16, 16, 3), np.uint8)
    frames[..., 0] = np.array(red)[:, None, None]
    frames[..., 2] = np.array(blue)[:, None, None]
    return ArrayClip(frames)


def extract(source: ArrayClip) -> dict[str, np.ndarray]:
    extractor = LibreFace({})
    extractor.begin(source, {})
    for frames in source.chunks():
        extractor.update(frames)
    return extractor.finish()


def test_features_by_frame(environment):
    """Oracle: by hand; the stand-in detects AU n from red >= n on and gives red / 51. Frames without a face, or with
    two (LibreFace fails there), keep their place as NaN."""
    features = extract(clip([255, 13, 100, 0, 51], [255, 255, 0, 255, 1]))
    np.testing.assert_array_equal(features["success"], [True, True, False, True, False])
    assert features["detection"].shape == features["intensity"].shape == (5, 12)
    assert features["detection"].dtype == features["intensity"].dtype == np.float32
    np.testing.assert_array_equal(features["detection"][1], [1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0])
    np.testing.assert_allclose(features["intensity"][[0, 1, 3], 0], [5, 13 / 51, 0], atol=1e-6)
    assert np.isnan(features["detection"][[2, 4]]).all() and np.isnan(features["intensity"][[2, 4]]).all()


def test_no_face_at_all(environment):
    """Oracle: the definition: NaN throughout, success False; which value that has is the metric's matter."""
    features = extract(clip([10, 20], [0, 0]))
    assert not features["success"].any() and np.isnan(features["detection"]).all()
    assert features["intensity"].shape == (2, 12)


def test_other_failures_are_not_taken_for_missing_faces(environment):
    """Oracle: the trap: with Pillow 10 LibreFace fails with an AttributeError and counts a frame without a face."""
    with pytest.raises(MissingPrerequisite, match=r"(?s)run LibreFace.*ANTIALIAS"):
        extract(clip([10, 20], [255, 2]))


def test_missing_names_the_command(tmp_path, monkeypatch, environment):
    """Oracle: the declared message; an unfinished environment or one of another version is none."""
    assert LibreFace.missing() is None
    ready = environment / libreface_env.READY
    for content in ("", json.dumps({"package": "libreface==0.1.0"})):
        ready.write_text(content)
        assert "python -m bench fetch libreface" in LibreFace.missing()
    monkeypatch.setenv("AU_BENCH_CACHE", str(tmp_path / "nowhere"))
    with pytest.raises(MissingPrerequisite, match="bench fetch libreface"):
        extract(clip([1], [255]))


@pytest.mark.parametrize("variables", [{"AU_BENCH_CACHE": "~/c"}, {"XDG_CACHE_HOME": "/x"}, {}])
def test_it_looks_where_fetch_puts_it(monkeypatch, variables):
    """Oracle: bench.cache.cache_dir, which `fetch libreface` uses and extractors may not import."""
    for name in ("AU_BENCH_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert libreface_env.default_prefix() == cache_dir() / "envs" / "libreface"


# -- making the environment -----------------------------------------------------------------------------------------

FAKE_PYTHON = """#!/bin/sh
printf '%s\\n' "$*" >> "{log}"
case "$*" in
  "-m venv "*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
  {failing}) echo "no matching distribution"; exit 1 ;;
esac
"""


def fake_python(tmp_path: Path, monkeypatch, failing: str = "never") -> Path:
    """A Python that only writes down what it is asked; returns the file it writes to."""
    log = tmp_path / "log"
    interpreter = tmp_path / "python3.11"
    interpreter.write_text(FAKE_PYTHON.format(log=log, failing=failing))
    interpreter.chmod(0o755)
    monkeypatch.setattr(libreface_env, "find_python", lambda: interpreter)
    return log


def test_create_makes_installs_and_fetches_once(tmp_path, monkeypatch):
    """Oracle: the recorded commands: a venv, the pins, LibreFace alone, the weights; a second call runs none."""
    log = fake_python(tmp_path, monkeypatch)
    prefix = tmp_path / "envs" / "libreface"
    libreface_env.create(prefix)
    lines = log.read_text().splitlines()
    assert lines[0] == f"-m venv {prefix}"
    assert lines[1].startswith("-m pip install") and "torch==2.0.0" in lines[1] and "pillow<10" in lines[1]
    assert lines[2].startswith("-m pip install") and lines[2].endswith("--no-deps libreface==0.2.0")
    assert lines[3].endswith(f"libreface_program.py prepare {prefix / 'weights'}")
    assert libreface_env.is_ready(prefix) and len(lines) == 4
    libreface_env.create(prefix)
    assert len(log.read_text().splitlines()) == 4


def test_a_failed_step_says_which_and_is_begun_anew(tmp_path, monkeypatch):
    """Oracle: the declared error with the program's last lines; what was half made is not taken for ready."""
    prefix = tmp_path / "libreface"
    log = fake_python(tmp_path, monkeypatch, failing='"-m pip install"*')
    with pytest.raises(MissingPrerequisite, match=r"(?s)install LibreFace's dependencies.*no matching distribution"):
        libreface_env.create(prefix)
    assert not libreface_env.is_ready(prefix)
    (prefix / "left over").touch()
    fake_python(tmp_path, monkeypatch)
    libreface_env.create(prefix)
    assert libreface_env.is_ready(prefix) and not (prefix / "left over").exists()
    assert log.read_text().count("-m venv") == 2


def test_a_python_that_fits_is_found(tmp_path, monkeypatch):
    """Oracle: by hand; the running one if it fits, else one on PATH that starts, else an error that names versions."""
    monkeypatch.setattr(libreface_env, "PYTHONS", (sys.version_info[:2],))
    assert libreface_env.find_python() == Path(sys.executable)
    monkeypatch.setattr(libreface_env, "PYTHONS", ((3, 1), (3, 0)))
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/bin{os.pathsep}/usr/bin")
    with pytest.raises(MissingPrerequisite, match=r"3\.1 or 3\.0"):
        libreface_env.find_python()
    for name, body in (("python3.1", "exit 127"), ("python3.0", "exit 0")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
    assert libreface_env.find_python() == tmp_path / "python3.0"


def test_the_program_compiles_on_the_oldest_python_it_runs_on():
    """Oracle: the grammar of Python 3.9, which LibreFace's environment may have."""
    import ast

    ast.parse(libreface_env.PROGRAM.read_text(), feature_version=(3, 9))
