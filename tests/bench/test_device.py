"""Devices of a run. Oracle: the rule as written, counted by hand."""

import pytest

from bench import device
from bench.device import expand_devices
from bench.plan import make_plan
from bench.weights import Weights


@pytest.fixture
def eight_cores(monkeypatch):
    monkeypatch.setattr(device, "resolve_device", lambda name: "cpu")
    monkeypatch.setattr(device.os, "cpu_count", lambda: 8)


def test_devices_as_written_are_taken():
    assert expand_devices("cuda:0, cuda:1,,cpu") == ["cuda:0", "cuda:1", "cpu"]


@pytest.mark.parametrize("cores, workers", [(4, 2), (1, 8), (3, 2), (16, 1)])
def test_the_processor_is_shared_among_workers(eight_cores, cores, workers):
    assert expand_devices("auto", cores) == ["cpu"] * workers


@pytest.mark.parametrize("name", ["memo", "hallo", "auhead_memo", "auhead_hallo"])
def test_small_networks_work_side_by_side(name, tmp_path):
    """Four clips with small networks on two cores: 81 s side by side, 120 s one after the other."""
    plan = make_plan(method=name, protocol="synth_std", data=None, weights=Weights(cache=tmp_path), limit=1)
    assert plan.config["model"] == "synth" and plan.cores_per_worker == 1


def test_other_methods_have_the_cores_of_one_clip(tmp_path):
    plan = make_plan(method="reencoded", protocol="synth_std", data=None, weights=Weights(cache=tmp_path), limit=1)
    assert plan.cores_per_worker == device.CORES_PER_WORKER
