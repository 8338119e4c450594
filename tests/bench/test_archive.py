"""Runs as archives. Oracle: the run that went in, and a list of ways in which an archive may lie."""

import hashlib
import json
import sys
import zipfile
from pathlib import Path

import pytest

import bench.run
from bench.archive import export_archive, import_archive
from bench.cli.app import main
from bench.leaderboard import Comparison, leaderboard_text, open_run
from bench.media.clip import hash_file
from bench.media.errors import UserError
from bench.plan import make_plan
from bench.store import load_cases
from bench.submission import is_safe_name
from bench.weights import Weights
from tests.bench.conftest import Quiet, moving_clip


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for seed, name in enumerate("abc"):
        moving_clip(folder / f"{name}.mp4", seed=seed)
    return folder


@pytest.fixture(scope="module")
def run(data, tmp_path_factory) -> Path:
    """A run of three cases, made once."""
    weights = Weights(tmp_path_factory.mktemp("cache"))
    plan = make_plan(method="reencoded", protocol="folder", data=data, weights=weights, metrics=["psnr", "ssim"])
    return bench.run.run(
        plan, tmp_path_factory.mktemp("run"), weights=weights, progress=Quiet(), devices=["cpu"]
    ).folder


@pytest.fixture(scope="module")
def archive(run, tmp_path_factory) -> Path:
    return export_archive(run, tmp_path_factory.mktemp("archive") / "run.zip")


def changed(archive: Path, folder: Path, changes: dict, *, listed: bool = True) -> Path:
    """The archive with other texts: name -> a function of the old bytes, or bytes. Sizes and digests are listed anew, as
    somebody would who wants to deceive, unless `listed` is False."""
    with zipfile.ZipFile(archive) as source:
        texts = {name: source.read(name) for name in source.namelist()}
    for name, change in changes.items():
        texts[name] = change(texts[name]) if callable(change) else change
    if listed:
        index = json.loads(texts["archive.json"])
        index["files"] = {name: {"sha256": hashlib.sha256(text).hexdigest(), "bytes": len(text)}
                          for name, text in texts.items() if name != "archive.json"}  # fmt: skip
        texts["archive.json"] = json.dumps(index).encode()
    out = folder / "changed.zip"
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as target:
        for name, text in texts.items():
            target.writestr(name, text)
    return out


def edit(**values):
    """A function that sets values in a JSON text: psnr__value=3 sets ["psnr"]["value"]; metrics are found anywhere."""

    def change(text: bytes) -> bytes:
        content = json.loads(text)
        for path, value in values.items():
            *way, last = path.split("__")
            inner = content
            for part in way:
                inner = inner[int(part) if part.isdigit() else part]
            inner[last] = value
        return json.dumps(content).encode()

    return change


def edit_first_case(**values):
    """The same in the first line of cases.jsonl."""
    return lambda text: b"\n".join([edit(**values)(text.split(b"\n")[0]), *text.split(b"\n")[1:]])


def test_a_run_comes_back_as_it_went(run, archive, tmp_path, weights):
    """Oracle: the run's own cases and summary."""
    taken = import_archive(archive, weights, root=tmp_path / "runs")
    assert taken.folder == tmp_path / "runs" / "folder" / f"{run_name(run)}-submitted"
    assert load_cases(taken.folder).equals(load_cases(run))
    assert (taken.folder / "summary.json").read_bytes() == (run / "summary.json").read_bytes()
    assert "computed again from the cases: psnr, ssim" in taken.checked
    assert any("--data" in line for line in taken.unchecked)
    with pytest.raises(UserError, match="holds this run already"):
        import_archive(archive, weights, root=tmp_path / "runs")
    with pytest.raises(UserError, match="hand on the archive it came from"):
        export_archive(taken.folder, tmp_path / "again.zip")


def test_equal_runs_give_equal_archives_without_this_machines_paths(run, archive, tmp_path):
    """Oracle: bytes; the folder of the test is in none of them."""
    assert export_archive(run, tmp_path / "again.zip").read_bytes() == archive.read_bytes()
    with zipfile.ZipFile(archive) as bundle:
        assert bundle.namelist() == ["archive.json", "run.json", "cases.jsonl", "summary.json"]
        assert all(str(tmp_path).encode() not in bundle.read(name) for name in bundle.namelist())
        cases = json.loads(bundle.read("run.json"))["cases"]
    assert [case["target"] for case in cases] == ["target/a.mp4", "target/b.mp4", "target/c.mp4"]


def test_videos_and_data_make_the_check_complete(bench_run, clips, tmp_path, weights):
    """Oracle: nothing is left unchecked; another folder of clips is found out; so is another video."""
    folder = bench_run("mine", clips, videos=clips, limit=2).folder
    archive = export_archive(folder, tmp_path / "run.zip", with_videos=True)
    taken = import_archive(archive, weights, clips, root=tmp_path / "runs")
    assert taken.unchecked == []
    assert hash_file(taken.folder / "videos" / "b.mp4") == hash_file(clips / "b.mp4")
    assert open_run(taken.folder).plan.videos == taken.folder / "videos"
    assert {case.target.parent for case in open_run(taken.folder).plan.cases} == {clips}
    other = changed(archive, tmp_path, {"videos/b.mp4": (clips / "c.mp4").read_bytes()})
    with pytest.raises(UserError, match="not the video that was scored for case b"):
        import_archive(other, weights, root=tmp_path / "other")
    (clips / "a.mp4").unlink()
    with pytest.raises(UserError, match="made on other clips"):
        import_archive(archive, weights, clips, root=tmp_path / "other")


LIES = {
    "a byte": ({"cases.jsonl": lambda text: text.replace(b'"ok"', b'"OK"', 1)}, False, "cases.jsonl was changed"),
    "a size": ({"summary.json": lambda text: text + b" "}, False, "more than the"),
    "a score of the table": ({"summary.json": edit(metrics__psnr__value=99.0)}, True, "value of psnr is 99.0, the cases give"),
    "an interval": ({"summary.json": edit(metrics__psnr__ci95=[1, 2])}, True, "ci95 of psnr"),
    "a score of a case": ({"cases.jsonl": edit_first_case(metrics__psnr__value=60.0)}, True, "does not follow from cases"),
    "no number": ({"cases.jsonl": lambda text: text.replace(b'"value": ', b'"value": NaN, "x": ', 1)}, True, "NaN is no score"),
    "a failure left out": ({"summary.json": edit(n_failed=1)}, True, "number of cases or failures"),
    "a case less": ({"cases.jsonl": lambda text: text.split(b"\n", 1)[1]}, True, "3 cases, cases.jsonl 2 lines"),
    "another person": ({"cases.jsonl": edit_first_case(identity="z")}, True, "another person"),
    "no control": ({"summary.json": edit(control=False)}, True, "reencoded is one"),
    "real faces": ({"summary.json": edit(synthetic=True)}, True, "says otherwise"),
    "another run": ({"summary.json": edit(fingerprint="0" * 64)}, True, "fingerprint differs"),
    "another protocol version": (
        {"run.json": edit(protocol_settings__fps=30.0)}, True, "another version of protocol folder: fps is 30.0, here 25.0",
    ),
    "a setting no protocol has": ({"run.json": edit(protocol_settings__x=None)}, True, "version of protocol folder: x is"),
    "a video without a size": ({"cases.jsonl": edit_first_case(height=None)}, True, "nothing of the size"),
    "an unknown protocol": (
        {"run.json": edit(protocol="mine"), "summary.json": edit(protocol="mine")}, True, "mine is not known here",
    ),
    "another metric version": ({"run.json": edit(metrics__psnr__version=0)}, True, "psnr was scored with version 0, here"),
    "another run schema": ({"run.json": edit(schema=2)}, True, "run schema 2, this suite has 1"),
    "another archive schema": ({"archive.json": edit(schema=2)}, False, "archive schema 2, this suite reads 1"),
    "an escaping case": (
        {"run.json": edit(cases__0__id="../../x"), "cases.jsonl": edit_first_case(case="../../x")}, True, "no plain relative",
    ),
    "an escaping method": (
        {"run.json": edit(method="../../../x", videos="videos"), "summary.json": edit(method="../../../x", control=False)},
        True, None,
    ),
    "an escaping file": ({"../evil": b"x"}, True, "'../evil' is not one of a run"),
    "an absolute file": ({"/tmp/evil.mp4": b"x"}, True, "is not one of a run"),
    "a video that climbs": ({"videos/../../evil.mp4": b"x"}, True, "is not one of a run"),
    "a video of no case": ({"videos/z.mp4": b"x"}, True, "does not hold one video of every case"),
    "a file more": ({"videos/a.mp4": b"x"}, False, "do not hold the same files"),
    "too large": ({"run.json": lambda text: text + b" " * (65 << 20)}, True, "at most 67108864 are taken"),
    "work of another form": (
        {"run.json": edit(invocations=[{"devices": 3}])}, True, "run.json is not one of a run: invocations.0.started",
    ),
    "a note on nothing": (
        {"summary.json": edit(notes=[{"text": "x"}])}, True, "summary.json is not one of a run: notes.0.case",
    ),
    "a time that is none": (
        {"cases.jsonl": edit_first_case(seconds="3")}, True, "cases.jsonl is not one of a run: seconds",
    ),
    "no run": ({"run.json": b"{}"}, True, "run.json is not one of a run"),
    "no JSON": ({"run.json": b"\xff"}, True, "run.json is not one of a run"),
}  # fmt: skip


@pytest.mark.parametrize("lie", LIES)
def test_an_archive_that_lies_is_refused_and_leaves_nothing(archive, tmp_path, weights, lie):
    """Oracle: the reason given, and an empty folder of runs; an escaping method name becomes a harmless folder."""
    changes, listed, reason = LIES[lie]
    file = changed(archive, tmp_path, changes, listed=listed)
    root = tmp_path / "deep" / "runs"
    if reason is None:
        assert import_archive(file, weights, root=root).folder.parent == root / "folder"
        return
    with pytest.raises(UserError, match=f"changed.zip is refused: .*{reason}"):
        import_archive(file, weights, root=root)
    assert list(root.rglob("*")) == []
    assert not list(tmp_path.rglob("evil*"))


def test_what_is_no_archive(run, archive, tmp_path, weights):
    """Oracle: the reasons."""
    (tmp_path / "text.zip").write_text("text")
    with zipfile.ZipFile(tmp_path / "bare.zip", "w") as bundle:
        bundle.writestr("run.json", "{}")
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(tmp_path / "twice.zip", "w") as bundle:
        bundle.writestr("run.json", "{}")
        bundle.writestr("run.json", "{}")
    reasons = {
        "text.zip": "no zip archive",
        "bare.zip": "holds no archive.json",
        "twice.zip": "the same name",
        "gone.zip": "no zip",
    }
    for name, reason in reasons.items():
        with pytest.raises(UserError, match=reason):
            import_archive(tmp_path / name, weights, root=tmp_path / "runs")
    with pytest.raises(UserError, match="run it to its end first"):
        export_archive(tmp_path)


def test_a_bomb_is_stopped_at_its_listed_size(archive, tmp_path, weights):
    """Oracle: 1 GB of zeros that unpack from 1 MB and are listed as 10 bytes: at most those are written."""
    with zipfile.ZipFile(archive) as source:
        texts = {name: source.read(name) for name in source.namelist()}
    index = json.loads(texts["archive.json"])
    index["files"]["videos/a.mkv"] = {"sha256": "0" * 64, "bytes": 10}
    file = tmp_path / "bomb.zip"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as target:
        for name, text in (texts | {"archive.json": json.dumps(index)}).items():
            target.writestr(name, text)
        with target.open("videos/a.mkv", "w") as entry:
            for _ in range(64):
                entry.write(bytes(1 << 20))
    with pytest.raises(UserError, match="more than the 10 bytes"):
        import_archive(file, weights, root=tmp_path / "runs")


def test_a_submitted_row_says_so_and_shares_a_table(run, archive, bench_run, data, tmp_path, weights):
    """Oracle: paired differences from the cases alone; what takes the videos is not ranked; nothing runs on into it."""
    taken = open_run(import_archive(archive, weights, root=tmp_path / "runs").folder)
    mine = open_run(bench_run("still_image", data, out="mine").folder)
    comparison = Comparison([mine, taken])
    assert list(comparison.labelled) == ["still_image", "reencoded (submitted)"]
    own = Comparison([mine, open_run(run)]).difference("still_image", "reencoded", "psnr")
    assert comparison.difference("still_image", "reencoded (submitted)", "psnr") == own
    assert "reencoded (submitted)" in leaderboard_text([mine, taken], None, None, "md")
    with pytest.raises(UserError, match="others made"):
        bench_run("reencoded", data, out=taken.folder)


def test_features_that_are_not_here(bench_run, clips, tmp_path, weights):
    """Oracle: a Fréchet distance of a run that came without its videos is shown and not compared; the digest of a shipped
    network against the one an archive names."""
    run = bench_run("reencoded", clips, limit=2, metrics=["fid@synth"]).folder
    archive = export_archive(run, tmp_path / "a.zip")
    other = changed(archive, tmp_path, {"run.json": edit(weights__synth_image="0" * 64)})
    with pytest.raises(UserError, match="another synth_image"):
        import_archive(other, weights, root=tmp_path / "runs")
    taken = import_archive(archive, weights, root=tmp_path / "runs")
    assert "taken as they are: fid@synth" in taken.unchecked
    block = Comparison([open_run(taken.folder), open_run(run)]).difference(
        "reencoded (submitted)", "reencoded", "fid@synth"
    )
    assert (block["value"], "a.mkv" in block["missing"]) == (None, True)
    assert "fid@synth is not ranked" in leaderboard_text([open_run(taken.folder), open_run(run)], None, None, "md")


@pytest.mark.parametrize(
    ("name", "safe"),
    [("a", True), ("T01/happy/level_2/003", True), ("sub dir é/e", True), ("", False), ("/a", False), ("a/../b", False),
     ("..", False), ("a//b", False), ("a/", False), ("./a", False), ("a\\b", False), ("c:a", False), ("a\nb", False),
     ("a" * 1001, False)],
)  # fmt: skip
def test_safe_names(name, safe):
    """Oracle: what a file name below a folder may look like on any system."""
    assert is_safe_name(name) == safe


def test_on_the_command_line(run, tmp_path, monkeypatch, capsys):
    """Oracle: the archive by its default name, its digest, exit code 2 with the reason."""

    def call(*arguments) -> int:
        monkeypatch.setattr(sys, "argv", ["bench", "results", *map(str, arguments)])
        return main()

    monkeypatch.chdir(tmp_path)
    assert call("export", run, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["archive"] == f"folder-{run_name(run)}.zip"
    assert told["sha256"] == hash_file(tmp_path / told["archive"])
    assert call("import", told["archive"], "--json") == 0
    assert json.loads(capsys.readouterr().out)["run"] == f"results/runs/folder/{run_name(run)}-submitted"
    assert call("import", told["archive"]) == 2
    assert "holds this run already" in capsys.readouterr().err


def run_name(run: Path) -> str:
    return f"reencoded-{open_run(run).summary['fingerprint'][:8]}"
