"""Official systems in the runner and on the command line: logs, failures, fingerprints, and setting one up."""

import hashlib
import json
import subprocess
import sys
import types

import pytest

from bench import baselines, registry
from bench.baselines import install
from bench.cli.fetching import fetch_files
from bench.cli.listing import method_lacks, show_method
from bench.media.errors import MissingPrerequisite, UserError
from bench.plan import make_plan
from methods.baselines import system as systems
from methods.baselines.place import Place
from methods.generator import Generator
from tests.bench.conftest import moving_clip
from tests.methods.baselines.conftest import bare_environment, stand_in  # noqa: F401
from tests.methods.baselines.stand_in import NAME, commit_repository, system_of
from tests.videos import numbered_frames

# -- in the runner --------------------------------------------------------------------------------------------------


@pytest.fixture
def registered(stand_in, monkeypatch):  # noqa: F811
    """Sets up a stand-in and puts it into the registry."""

    def call(**changes):
        made = stand_in(square=False, **changes)
        monkeypatch.setattr(sys.modules[__name__], "Registered", made.method, raising=False)
        monkeypatch.setitem(registry.METHODS, NAME, f"{__name__}:Registered")
        return made

    return call


@pytest.fixture
def clip(tmp_path):
    """A folder with one clip of 10 frames, 64x48."""
    moving_clip(tmp_path / "data" / "a b" / "1.mp4", seed=0, frames=10, size=(48, 64))
    return tmp_path / "data"


def test_a_run_keeps_the_log_and_what_it_was_made_from(registered, bench_run, clip):
    """Oracle: the run folder; sha256 of the checkpoint and the commit in run.json."""
    made = registered(frames=numbered_frames(10))
    outcome = bench_run(NAME, clip)
    assert (outcome.summary["n"], outcome.summary["n_failed"]) == (1, 0)
    assert (outcome.folder / "logs" / "a b" / "1.log").read_text() == "done with everything\n"
    manifest = json.loads((outcome.folder / "run.json").read_text())
    assert manifest["weights"]["checkpoints/model.pth"] == hashlib.sha256(b"weights").hexdigest()
    assert manifest["config"] == {"commit": made.system.commit, "arguments": [], "time_limit": None}


def test_a_failure_is_recorded_in_words_of_every_machine(registered, bench_run, clip):
    """Oracle: the reason holds no path of this machine and no time, so equal runs have equal summaries."""
    registered(mishap="raise ValueError('no face in au_bench/reference.png')")
    outcome = bench_run(NAME, clip)
    assert outcome.summary["failures"] == [
        {
            "case": "a b/1",
            "reason": "Stand-in failed: python ended with status 1; its last line: ValueError: no face in "
            "au_bench/reference.png (log: logs/a b/1.log)",
        }
    ]


def test_a_checkpoint_or_a_commit_makes_another_run(registered, weights, clip):
    """Oracle: the fingerprint changes with the bytes that decide the frames, and with nothing else."""
    made = registered()

    def fingerprint(**settings):
        return make_plan(method=NAME, protocol="folder", data=clip, weights=weights, settings=settings).fingerprint

    first = fingerprint()
    assert first == fingerprint() != fingerprint(arguments='["--steps", "9"]')
    (made.place.repository / "checkpoints" / "model.pth").write_text("other weights")
    second = fingerprint()
    assert second != first
    made.place.git(
        "-c", "user.name=n", "-c", "user.email=n@example.org", "commit", "--quiet", "--allow-empty", "-m", "patch"
    )
    patched = made.place.git("rev-parse", "HEAD").stdout.strip()
    assert fingerprint(commit=patched) not in (first, second)


def test_what_is_missing_stops_a_run_before_any_work(registered, weights, clip):
    """Oracle: the message of the listing."""
    made = registered()
    (made.place.repository / "checkpoints" / "model.pth").unlink()
    with pytest.raises(UserError, match=f"method {NAME} needs 1 of 1 checkpoints .*python -m bench fetch {NAME}"):
        make_plan(method=NAME, protocol="folder", data=clip, weights=weights)
    assert method_lacks(made.method).startswith("needs 1 of 1 checkpoints")


def test_other_methods_lack_what_they_lacked(weights):
    """Oracle: a method that runs no program."""
    assert Generator.missing(Generator.Config()) is None and Generator.own_files(Generator.Config()) == {}


def test_one_method_is_told_in_full(weights, capsys):
    """Oracle: the data file; the JSON holds all of it."""
    show_method("sonic", as_json=False)
    text = capsys.readouterr().out
    assert "--set commit=51a74aec" in text and "git clone https://github.com/jixiaozhong/Sonic" in text
    show_method("sonic", as_json=True)
    row = json.loads(capsys.readouterr().out)
    assert row["system"]["call"]["script"] == "demo.py" and "python -m bench fetch sonic" in row["missing"]
    show_method("still_image", as_json=False)
    assert "ready on this machine" in capsys.readouterr().out


# -- setting one up -------------------------------------------------------------------------------------------------


@pytest.fixture
def published(tmp_path, weights, monkeypatch):
    """Publishes a repository and a checkpoint on this disk: published(install=..., checkpoints=...) -> its place."""

    def call(install=(), checkpoints=None, python=f"{sys.version_info[0]}.{sys.version_info[1]}"):
        origin = tmp_path / "origin"
        commit = commit_repository(origin)
        server = tmp_path / "server"
        server.mkdir()
        (server / "model.pth").write_text("weights")
        group = {
            "into": "checkpoints", "files": ["model.pth"], "licence": "none", "url": f"file://{server}/",
            "sha256": {"model.pth": hashlib.sha256(b"weights").hexdigest()}, "size": {"model.pth": 7},
        }  # fmt: skip
        made = system_of(
            commit, tmp_path / "saw", tmp_path / "video", repository=str(origin), checkpoints=checkpoints or [group],
            environment={"python": python, "install": install},
        )  # fmt: skip
        monkeypatch.setattr(baselines, "read_system", lambda name: made)
        return Place(NAME, made)

    return call


@pytest.fixture
def quick(monkeypatch):
    """Virtual environments without pip: they take a tenth of the time."""
    plain = baselines.run_program

    def run_program(command, *arguments, **options):
        return plain([*command, "--without-pip"] if "venv" in command else command, *arguments, **options)

    monkeypatch.setattr(baselines, "run_program", run_program)


def test_a_system_is_set_up_once(published, quick, weights):
    """Oracle: git, the environment's Python and the published digest; the second time nothing is said or done."""
    place, said = published(), []
    install(NAME, weights, said.append)
    assert place.missing(place.system.commit) is None
    assert place.git("rev-parse", "HEAD").stdout.strip() == place.system.commit
    assert (place.repository / "checkpoints" / "model.pth").read_text() == "weights"
    assert subprocess.run(
        [place.python, "-c", "import sys; print(sys.prefix)"], capture_output=True, text=True
    ).stdout == (f"{place.environment}\n")
    assert [line.split(": ")[1].split(" ")[0] for line in said] == [
        str(place.system.repository),
        "an",
        "checkpoints/model.pth",
    ]
    said.clear()
    install(NAME, weights, said.append)
    assert said == []


def test_a_failed_step_says_which_and_is_begun_anew(published, quick, weights):
    """Oracle: an environment without pip cannot install."""
    place = published(install=[["nothing-of-this-name"]])
    with pytest.raises(
        MissingPrerequisite, match=r"(?s)could not install nothing-of-this-name.*No module named pip"
    ) as caught:
        install(NAME, weights, lambda line: None)
    assert str(place.folder / "setup.log") in str(caught.value)
    assert "one was begun and not finished" in place.missing(place.system.commit)
    (place.environment / "left over").touch()
    with pytest.raises(MissingPrerequisite):
        install(NAME, weights, lambda line: None)
    assert not (place.environment / "left over").exists()


def test_a_python_that_is_not_here(published, weights, monkeypatch):
    """Oracle: no Python 2.9 and no uv."""
    published(python="2.9")
    monkeypatch.setattr(baselines.shutil, "which", lambda program: None)
    with pytest.raises(MissingPrerequisite, match="needs Python 2.9, and none is on PATH: install it, or uv"):
        install(NAME, weights, lambda line: None)


def test_other_bytes_are_refused(published, quick, weights, tmp_path):
    """Oracle: the published digest, for a download and for a file that a person put there."""
    place = published()
    (tmp_path / "server" / "model.pth").write_text("WEIGHTS")
    with pytest.raises(UserError, match="pinned is model.pth"):
        install(NAME, weights, lambda line: None)
    (place.repository / "checkpoints").mkdir(exist_ok=True)
    (place.repository / "checkpoints" / "model.pth").write_text("WEIGHTS")
    with pytest.raises(UserError, match="published is .* delete it and run"):
        install(NAME, weights, lambda line: None)


def test_a_clone_with_changes_is_left_alone(published, quick, weights):
    """Oracle: the change is still there."""
    place = published()
    install(NAME, weights, lambda line: None)
    (place.repository / "helper.py").write_text("WHAT = 'mine'\n")
    with pytest.raises(UserError, match="has local changes"):
        install(NAME, weights, lambda line: None)
    assert (place.repository / "helper.py").read_text() == "WHAT = 'mine'\n"


def hub_of(monkeypatch, download):
    module = types.ModuleType("huggingface_hub")
    module.snapshot_download = download
    monkeypatch.setitem(sys.modules, "huggingface_hub", module)


def test_files_of_the_hub(published, quick, weights, monkeypatch):
    """Oracle: what huggingface_hub is asked for."""
    asked = []

    def download(repository, *, revision, allow_patterns, local_dir):
        asked.append((repository, revision, allow_patterns, local_dir))
        (local_dir / "unet").mkdir(parents=True)
        (local_dir / "unet" / "model.bin").write_text("weights")

    hub_of(monkeypatch, download)
    group = {"into": "ckpt", "files": ["unet/*.bin"], "licence": "none", "hub": "a/b", "revision": "c" * 40}
    place = published(checkpoints=[group])
    install(NAME, weights, lambda line: None)
    assert asked == [("a/b", "c" * 40, ["unet/*.bin"], place.repository / "ckpt")]


def test_a_hub_that_refuses(published, quick, weights, monkeypatch):
    """Oracle: the error of a page that asks for an account, and --offline."""

    def download(*arguments, **options):
        raise OSError("403 Client Error: gated")

    hub_of(monkeypatch, download)
    published(checkpoints=[{"files": ["x.bin"], "licence": "none", "hub": "a/b"}])
    with pytest.raises(MissingPrerequisite, match=r"huggingface.co/a/b \(403 Client Error: gated\).*hf auth login"):
        install(NAME, weights, lambda line: None)
    monkeypatch.setenv("AU_BENCH_OFFLINE", "1")
    with pytest.raises(UserError, match="forbids the download"):
        install(NAME, weights, lambda line: None)


def test_what_only_a_person_can_download_is_said_at_the_end(published, quick, weights):
    """Oracle: everything else is there."""
    place = published(checkpoints=[{"files": ["x.bin"], "licence": "none", "page": "https://example.org/form"}])
    with pytest.raises(MissingPrerequisite, match="by hand from https://example.org/form") as caught:
        install(NAME, weights, lambda line: None)
    assert "repository" not in str(caught.value).split(":")[0] and place.environment_problem() is None


def test_fetch_takes_the_name_of_a_method(weights, monkeypatch, capsys):
    """Oracle: what it hands over to: the set-up of an official system, the files of another method."""
    asked = []
    monkeypatch.setattr(baselines, "install", lambda name, weights, say: asked.append(name) or weights.cache)
    fetch_files(["wav2lip"], None, as_json=True)
    assert asked == ["wav2lip"] and list(json.loads(capsys.readouterr().out)["fetched"]) == ["wav2lip"]
    monkeypatch.setenv("AU_BENCH_OFFLINE", "1")
    with pytest.raises(UserError, match="memo_reference_net: not in .*forbids the download"):
        fetch_files(["memo"], None, as_json=True)
    assert set(systems.SYSTEMS) >= set(asked)
