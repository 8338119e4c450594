"""Fixtures every test may use."""

import os

if workers := os.environ.get("PYTEST_XDIST_WORKER_COUNT"):  # Before torch is imported, which reads it then.
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // int(workers))))

from pathlib import Path

import pytest

from bench.weights import Weights
from protocols.synth.arrays import TESTING, write_arrays
from tests import browser


@pytest.fixture(scope="session")
def assets() -> Path:
    """The folder with real clips and models. Absent: skipped on a laptop, an error in CI."""
    folder = Path(os.environ.get("AU_BENCH_ASSETS", Path(__file__).parents[2] / "shared" / "assets"))
    if not (folder / "clips" / "grid").is_dir():
        message = (
            f"test assets not found at {folder}; set AU_BENCH_ASSETS to the folder that holds clips/, models/, metrics/"
        )
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return folder


@pytest.fixture(scope="session")
def grid_clips(assets) -> list[Path]:
    """Seven real clips: 360x288, 25 fps, 75 frames, neutral speech."""
    return sorted((assets / "clips" / "grid").glob("*.mpg"))


@pytest.fixture
def weights(tmp_path, monkeypatch) -> Weights:
    """The lock over an empty cache of its own."""
    monkeypatch.setenv("AU_BENCH_CACHE", str(tmp_path / "cache"))
    return Weights()


@pytest.fixture(scope="session")
def papers() -> Path:
    """The folder with the two papers' text, beside the assets. Absent: skipped on a laptop, an error in CI."""
    folder = Path(os.environ.get("AU_BENCH_PAPERS", Path(__file__).parents[2] / "shared" / "papers"))
    if not (folder / "auhead.md").is_file():
        message = f"papers not found at {folder}; set AU_BENCH_PAPERS to the folder that holds auhead.md and iuface.md"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return folder


@pytest.fixture(scope="session")
def golden() -> Path:
    """The folder with reference dumps of the official backbones. Absent: skipped on a laptop, an error in CI."""
    folder = Path(os.environ.get("AU_BENCH_GOLDEN", Path(__file__).parents[2] / "shared" / "golden"))
    if not (folder / "hallo_tiny_io.safetensors").is_file():
        message = f"reference dumps not found at {folder}; set AU_BENCH_GOLDEN to the folder that holds hallo_tiny_io.safetensors"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return folder


@pytest.fixture(scope="session")
def synth_test_arrays(tmp_path_factory) -> Path:
    """1,080 stills of 120 people and 110 clips of 110 others whom no expert has seen, rendered once per session."""
    folder = tmp_path_factory.mktemp("unseen")
    write_arrays(folder, TESTING)
    return folder


@pytest.fixture(scope="session")
def chromium():
    """A headless Chromium, started once."""
    yield from browser.launch()


@pytest.fixture
def page(chromium):
    """A page in a desktop window; the test fails if it complains on its console or asks the network for anything."""
    with browser.checked_page(chromium) as page:
        yield page
