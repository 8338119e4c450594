"""`bench prepare synth` and runs on the synthetic world. Oracles: the manifest's own digests, and the world's names."""

import json
from pathlib import Path

import pytest
from pydantic import Field

from bench import registry
from bench.cli.app import main
from bench.media.errors import UserError
from bench.plan import make_plan
from bench.run import run
from bench.synth_world import clip_specs, prepare_synth
from methods.generator import Generator, GeneratorConfig
from protocols.manifest import read_manifest, verify
from protocols.protocol import Case, Protocol
from protocols.synth.protocols import SynthStd
from tests.bench.conftest import Quiet


def prepared(out, **options):
    return prepare_synth(out, progress=Quiet(), people=2, clips_per_person=2, size=(64, 64), workers=1, **options)


def test_manifest_holds_what_is_there(tmp_path):
    manifest = prepared(tmp_path)
    assert read_manifest(tmp_path, "synth") == manifest and verify(tmp_path, manifest) == []
    assert [clip.id for clip in manifest.clips] == sorted(spec.id for spec in clip_specs("test", 2, 2))
    assert {clip.identity for clip in manifest.clips} == {"T01", "T02"} and manifest.complete


def test_a_second_call_makes_nothing_and_says_the_same(tmp_path):
    first = prepared(tmp_path)
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.mkv")}
    assert prepared(tmp_path) == first
    assert times == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.mkv")}


def test_a_lost_clip_is_made_again(tmp_path):
    first = prepared(tmp_path)
    (tmp_path / first.clips[1].file).unlink()
    assert prepared(tmp_path) == first


def test_another_size_is_refused_even_without_a_manifest(tmp_path):
    prepared(tmp_path)
    (tmp_path / "manifest.json").unlink()
    with pytest.raises(UserError, match="holds clips of 64x64, asked for is 96x96; choose another --out"):
        prepare_synth(tmp_path, progress=Quiet(), people=2, clips_per_person=2, size=(96, 96), workers=1)


@pytest.mark.parametrize(
    "options", [{"size": (16, 16)}, {"size": (4096, 4096)}, {"people": 0}, {"clips_per_person": 0}]
)
def test_numbers_that_make_no_sense_are_refused(tmp_path, options):
    with pytest.raises(UserError):
        prepare_synth(tmp_path, progress=Quiet(), **options)
    assert not any(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="file: cannot be written .* choose another"):
        prepare_synth(tmp_path / "file", progress=Quiet(), people=1, clips_per_person=1, size=(64, 64))


@pytest.mark.parametrize(
    "line",
    [
        "synth --out x --root y",
        "synth --out x --storage h264-crf30",
        "mead --out x --root y --identities 3",
        "hdtf --out x --root y --split train",
    ],
)
def test_options_of_the_other_data_sets_are_refused(line, capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["bench", "prepare", *line.split()])
    assert main() == 2
    assert "prepare synth" in capsys.readouterr().err


def test_splits_have_their_own_people():
    people = {split: {spec.identity for spec in clip_specs(split, None, 1)} for split in ("train", "test", "general")}
    assert [len(people[split]) for split in ("train", "test", "general")] == [48, 12, 12]
    assert not people["train"] & people["test"] and not people["test"] & people["general"]


def test_a_run_renders_only_its_cases_and_says_that_they_are_synthetic(tmp_path, weights):
    plan = make_plan(
        method="shuffled_audio", protocol="synth_std", data=None, weights=weights, limit=2, metrics=["psnr"]
    )
    outcome = run(plan, tmp_path / "run", weights=weights, progress=Quiet(), devices=["cpu"])
    # The third is there for its speech, which the second case takes.
    clips = list((weights.cache / "synth").rglob("*.mkv"))
    assert len(clips) == 3 and {plan.all_cases[i].target for i in range(3)} == set(clips)
    assert outcome.summary["synthetic"] is True and outcome.summary["n"] == 2
    assert outcome.summary["metrics"]["psnr"]["value"] == 100.0
    assert json.loads((tmp_path / "run" / "run.json").read_text())["protocol_settings"]["synthetic"] is True


class Stage1(Generator):
    """Stands in for a method that answers with AUs."""

    title = "AUs from speech"
    makes = "aus"

    def generate(self, request):
        raise AssertionError("never asked")


class Driven(Generator):
    """Stands in for a method with a choice of AU sources."""

    class Config(GeneratorConfig):
        au_source: str = Field(default="driving")
        steps: int = Field(default=40)
        aus: str | Path | None = Field(default=None)
        adapter: Path | None = Field(default=None)

    title = "AUs from where it is told"
    synth = {"steps": 10}

    @classmethod
    def required_weights(cls, config):
        return ("syncnet_v2",) if config.steps > 10 else ("synth_face",)

    def generate(self, request):
        raise AssertionError("never asked")


class NoDriving(SynthStd):
    """A protocol in which the driving video's AUs are out of bounds."""

    au_sources: tuple = ("stage1", "none")


class Partial(SynthStd):
    """A protocol whose data set is not all there."""

    def incomplete(self, data):
        return "61 of 264 clips are here"


class Few(Protocol):
    """A protocol of one case, for its fields."""

    metrics: tuple[str, ...] = ("psnr",)

    def cases(self, data):
        return [Case(id="a", identity="a", reference=data / "a.mkv", driving=data / "a.mkv", target=data / "a.mkv")]


@pytest.fixture
def named(monkeypatch):
    """Registers the classes of this file."""
    for table, names in (
        (registry.METHODS, ("Stage1", "Driven")),
        (registry.PROTOCOLS, ("NoDriving", "Partial", "Few")),
    ):
        for name in names:
            monkeypatch.setitem(table, name.lower(), f"{__name__}:{name}")


def test_a_method_that_makes_something_else_is_refused_before_any_work(named, weights):
    with pytest.raises(UserError, match="stage1 makes an emotion and an AU track, protocol synth_std asks for frames"):
        make_plan(method="stage1", protocol="synth_std", data=None, weights=weights)
    assert not (weights.cache / "synth").exists()


def test_an_au_source_the_protocol_forbids_is_refused(named, weights):
    make_plan(method="driven", protocol="synth_std", data=None, weights=weights)
    with pytest.raises(UserError, match="take its AUs from stage1, none, driven is set to au_source=driving"):
        make_plan(method="driven", protocol="nodriving", data=None, weights=weights)
    make_plan(method="driven", protocol="nodriving", data=None, weights=weights, settings={"au_source": "stage1"})


def driven(weights, **settings):
    texts = {key: str(value) for key, value in settings.items()}
    return make_plan(method="driven", protocol="synth_std", data=None, weights=weights, settings=texts)


def test_a_label_always_says_the_au_source_and_no_setting_of_the_synthetic_checkpoint(named, weights, tmp_path):
    assert driven(weights).config["steps"] == 10
    assert driven(weights).label == "driven (au_source=driving)"
    (tmp_path / "a.csv").write_text("x")
    label = driven(weights, steps=5, au_source="file", aus=tmp_path / "a.csv").label
    assert label == "driven (au_source=file, steps=5, aus=a.csv)"


def test_files_of_a_method_are_part_of_its_fingerprint_by_content(named, weights, tmp_path):
    for name, text in (("a", "one"), ("b", "one"), ("c", "two")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "adapter").write_text(text)
    prints = [driven(weights, adapter=tmp_path / name / "adapter").fingerprint for name in "abc"]
    assert prints[0] == prints[1] != prints[2]
    assert driven(weights, aus="smile").fingerprint != driven(weights, aus="frown").fingerprint
    with pytest.raises(UserError, match="driven: adapter=.*nowhere: no such file"):
        driven(weights, adapter=tmp_path / "nowhere")


def test_weights_that_are_missing_are_said_before_any_work(named, weights, tmp_path):
    with pytest.raises(UserError, match="method driven needs syncnet_v2.model .*python -m bench fetch syncnet_v2"):
        driven(weights, steps=20)


def test_incomplete_data_is_said_in_the_summary(named, tmp_path, weights):
    plan = make_plan(method="ground_truth", protocol="partial", data=None, weights=weights, limit=1, metrics=["psnr"])
    outcome = run(plan, tmp_path / "run", weights=weights, progress=Quiet(), devices=["cpu"])
    assert outcome.summary["incomplete"] == "61 of 264 clips are here"


def test_describing_a_protocol_otherwise_makes_no_other_run(named, tmp_path, weights, monkeypatch):
    """Oracle: the fingerprint with another frames setting, which must differ."""
    (tmp_path / "a.mkv").write_bytes(b"not opened by a plan")

    def fingerprint(**fields):
        for name, value in fields.items():
            monkeypatch.setattr(Few.model_fields[name], "default", value)
        Few.model_rebuild(force=True)
        return make_plan(method="still_image", protocol="few", data=tmp_path, weights=weights).fingerprint

    first = fingerprint()
    assert fingerprint(clip_length="other words", default_limit=7, au_sources=("none",)) == first
    assert fingerprint(frames=9) != first
