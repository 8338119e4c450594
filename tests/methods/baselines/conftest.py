"""Stand-ins for official repositories."""

import subprocess
import sys

import pytest

from tests.methods.baselines.stand_in import StandIn


@pytest.fixture(scope="session")
def bare_environment(tmp_path_factory):
    """A virtual environment with nothing in it."""
    folder = tmp_path_factory.mktemp("bare") / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    return folder


@pytest.fixture
def stand_in(tmp_path, weights, bare_environment):
    """Sets up a stand-in in the cache of `weights`: stand_in(mishap="...", frames=..., rate=..., call={...}, ...)."""
    return lambda **changes: StandIn(tmp_path, bare_environment, **changes)
