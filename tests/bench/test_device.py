"""Devices of a run. Oracle: the rule as written, counted by hand."""

import pytest

from bench import device
from bench.device import expand_devices
from bench.plan import configure
from bench.registry import method, protocol


@pytest.fixture
def eight_cores(monkeypatch):
    monkeypatch.setattr(device, "resolve_device", lambda name: "cpu")
    monkeypatch.setattr(device.os, "cpu_count", lambda: 8)


def test_devices_as_written_are_taken():
    assert expand_devices("cuda:0, cuda:1,,cpu") == ["cuda:0", "cuda:1", "cpu"]


@pytest.mark.parametrize("cores, workers", [(4, 2), (1, 8), (3, 2), (16, 1)])
def test_the_processor_is_shared_among_workers(eight_cores, cores, workers):
    assert expand_devices("auto", cores) == ["cpu"] * workers


@pytest.mark.parametrize("name", ["memo", "hallo", "auhead_memo", "auhead_hallo", "stableavatar", "iuface"])
def test_small_networks_work_side_by_side_and_published_ones_do_not(name):
    """Four clips with small networks on two cores: 81 s side by side, 120 s one after the other."""
    generator = method(name)
    assert generator.cores(configure(name, generator, {}, protocol("synth_std")())) == 1
    assert generator.cores(generator.Config()) == 4


def test_methods_that_do_not_say_have_the_cores_of_one_clip():
    assert method("reencoded").cores(method("reencoded").Config()) == device.CORES_PER_WORKER
