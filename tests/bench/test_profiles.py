"""Speed profiles in names, and what a run records of speed. Oracle: a method made for this test."""

import json
from typing import Literal

import numpy as np
import pytest

from bench import registry
from bench.leaderboard import find_runs, leaderboard_text
from bench.media.errors import UserError
from bench.plan import make_plan
from methods.generator import Generator, GeneratorConfig


class Config(GeneratorConfig):
    profile: Literal["exact", "cached"] = "exact"
    """Speed profile."""
    shade: int = 0
    """Of the frames."""


class Timed(Generator):
    Config = Config
    title = "for this test"
    seconds = {"encode": 0.25, "denoise": 2.0, "decode": 0.12345}

    def generate(self, request):
        return np.full((request.num_frames, request.height, request.width, 3), 20 + self.config.shade, np.uint8)


@pytest.fixture(autouse=True)
def timed(monkeypatch):
    monkeypatch.setitem(registry.METHODS, "timed", f"{__name__}:Timed")


def plan(method, clips, weights, **settings):
    return make_plan(method=method, protocol="folder", data=clips, weights=weights, metrics=["psnr"], settings=settings)


def test_the_profile_is_part_of_the_name(clips, weights):
    assert plan("timed", clips, weights).label == "timed"
    assert plan("timed@exact", clips, weights).label == "timed"
    for made in (plan("timed@cached", clips, weights), plan("timed", clips, weights, profile="cached")):
        assert (made.label, made.method, made.config["profile"]) == ("timed@cached", "timed", "cached")
        assert made.default_out().name.startswith("timed@cached-")
    assert plan("timed@cached", clips, weights, shade="3").label == "timed@cached (shade=3)"


def test_profiles_are_runs_of_their_own(clips, weights):
    exact, cached = (plan(name, clips, weights).fingerprint for name in ("timed", "timed@cached"))
    assert exact != cached and plan("timed@exact", clips, weights).fingerprint == exact


@pytest.mark.parametrize(
    ("name", "says"), [("timed@fast", "profile.*'exact' or 'cached'"), ("still_image@cached", "profile")]
)
def test_a_profile_that_is_none_is_refused(clips, weights, name, says):
    with pytest.raises(UserError, match=says):
        plan(name, clips, weights)


def test_rows_of_a_table_carry_it(bench_run, clips):
    folders = [bench_run(name, clips, out=name, limit=2).folder for name in ("timed", "timed@cached")]
    table = leaderboard_text(find_runs("folder", folders), ["psnr"], None, "md")
    assert "| timed " in table and "| timed@cached " in table


def test_seconds_of_a_clip_are_recorded_by_part(bench_run, clips):
    folder = bench_run("timed", clips, limit=2).folder
    parts = {"encode": 0.25, "denoise": 2.0, "decode": 0.123}
    records = [json.loads(line) for line in (folder / "cases.jsonl").read_text("utf-8").splitlines()]
    assert [record["seconds_by_part"] for record in records] == [parts, parts]
    (work,) = json.loads((folder / "run.json").read_text("utf-8"))["invocations"]
    assert work["seconds_per_clip"] == parts
    assert 0 <= work["load_seconds"] < 60 and work["peak_memory_bytes"] > 1e7
    assert "seconds" not in json.loads((folder / "summary.json").read_text("utf-8"))
