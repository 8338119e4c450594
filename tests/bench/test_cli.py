"""The command line as scripts see it. Oracle: exit codes, stdout and stderr of real processes."""

import json
import os
import subprocess
import sys

import pytest

from tests.bench.conftest import moving_clip

COMMAND = [sys.executable, "-m", "bench"]


@pytest.fixture
def call(tmp_path):
    """Run a command in a process of its own with an empty cache: call("list", "methods") -> CompletedProcess."""

    def run(*arguments, **environment):
        variables = os.environ | {"AU_BENCH_CACHE": str(tmp_path / "cache")} | environment
        return subprocess.run([*COMMAND, *map(str, arguments)], capture_output=True, text=True, env=variables)

    return run


def test_help_answers_at_once(call):
    """Oracle: the processor's clock, best of five: what a machine with nothing else to do would take."""
    times = []
    for _ in range(5):
        started = os.times()
        done = call("--help")
        ended = os.times()
        times.append(ended.children_user + ended.children_system - started.children_user - started.children_system)
    assert done.returncode == 0
    for command in ("run", "score", "metric", "list", "fetch", "prepare", "train", "calibrate", "tables", "doctor"):
        assert command in done.stdout
    assert min(times) < 0.5


@pytest.mark.parametrize(
    "module", ["bench.cli", "bench.registry", "protocols.folder", "methods.generator", "bench.plan"]
)
def test_nothing_heavy_at_module_level(module):
    """Oracle: sys.modules of a fresh interpreter after the import."""
    heavy = {"torch", "torchmetrics", "cv2", "av", "mediapipe", "scipy", "pandas", "onnxruntime", "matplotlib"}
    program = f"import sys, {module}; print(*sorted({heavy!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_lists(call):
    """Oracle: the registry's names; --json is one document."""
    assert "ground_truth" in call("list", "methods").stdout
    metrics = json.loads(call("list", "metrics", "--json").stdout)["metrics"]
    by_key = {row["key"]: row for row in metrics}
    assert by_key["psnr"]["variant"] == "@frame"
    assert by_key["fid"]["missing"].startswith("needs pt_inception")
    assert "python -m bench fetch inception_fid" in by_key["fid"]["missing"]
    weights = json.loads(call("fetch", "--list", "--json").stdout)["weights"]
    assert all(row["licence"] and (row["url"] or row["how"]) for row in weights)
    assert call("list", "protocols").returncode == 0
    assert call("doctor").returncode == 0


def test_json_is_alone_on_stdout(call, clips, tmp_path):
    """Oracle: the JSON parser, and the file the run wrote."""
    out = tmp_path / "run"
    done = call("run", "--method", "still_image", "--protocol", "folder", "--data", clips, "--out", out,
                "--metrics", "psnr,fid", "--json")  # fmt: skip
    assert done.returncode == 0
    summary = json.loads(done.stdout)
    assert summary == json.loads((out / "summary.json").read_text())
    assert summary["metrics"]["fid"]["value"] is None
    assert "bench fetch inception_fid" in summary["metrics"]["fid"]["missing"]


def test_tables_of_several_runs(call, clips, tmp_path):
    """Oracle: every label and the paired differences are in the Markdown."""
    folders = []
    for method in ("ground_truth", "reencoded", "still_image"):
        folders += ["--runs", tmp_path / method]
        call(
            "run",
            "--method",
            method,
            "--protocol",
            "folder",
            "--data",
            clips,
            "--out",
            tmp_path / method,
            "--metrics",
            "psnr,ssim",
        )
    done = call("tables", "folder", *folders, "--baseline", "reencoded")
    assert done.returncode == 0, done.stderr
    assert all(
        name in done.stdout for name in ("ground_truth", "reencoded", "still_image", "still_image minus reencoded")
    )
    assert json.loads(call("tables", "folder", *folders, "--format", "json").stdout)


def test_one_pair_one_metric(call, clips):
    """Oracle: equal files score the cap; other sizes, lengths and files say what to do."""
    same = call("metric", "psnr", "--pred", clips / "a.mp4", "--target", clips / "a.mp4", "--json")
    assert json.loads(same.stdout) == {
        "value": 100.0, "ci95": None, "n": 1, "n_failed": 0, "unit": "dB", "higher_is_better": True,
        "variant": "@frame", "missing": None,
    }  # fmt: skip
    small = moving_clip(clips / "small.mp4", seed=1, size=(48, 80))
    other = call("metric", "psnr", "--pred", small, "--target", clips / "a.mp4")
    assert other.returncode == 2
    assert "small.mp4 is 80x48 and" in other.stderr
    assert "--resize" in other.stderr
    assert call("metric", "psnr", "--pred", small, "--target", clips / "a.mp4", "--resize").returncode == 0
    gone = call("metric", "psnr", "--pred", clips / "gone.mp4", "--target", clips / "a.mp4")
    assert (gone.returncode, "gone.mp4: no such file" in gone.stderr) == (2, True)
    missing = call("metric", "fid", "--pred", clips / "a.mp4", "--target", clips / "a.mp4", "--json")
    assert missing.returncode == 2
    assert "bench fetch inception_fid" in json.loads(missing.stdout)["missing"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--method", "stil_image"], "unknown method 'stil_image'; did you mean still_image"),
        (["--protocol", "foldr"], "unknown protocol 'foldr'; did you mean folder"),
        (["--metrics", "psnr,lpps"], "unknown metric 'lpps'; did you mean lpips"),
        (["--data", "nowhere"], "--data nowhere: no such folder"),
        (["--set", "crf"], "--set crf: write --set key=value"),
        (["--shard", "5/4"], "--shard 5/4: write i/n with 1 <= i <= n"),
    ],
)
def test_mistakes_exit_with_2_and_say_what_to_do(call, clips, arguments, message):
    """Oracle: the message on stderr, nothing on stdout."""
    options = {"--method": "still_image", "--protocol": "folder", "--data": str(clips)}
    options[arguments[0]] = arguments[1]
    done = call("run", *[part for pair in options.items() for part in pair])
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stdout == ""


def test_empty_folder_and_unwritable_output(call, clips, tmp_path):
    """Oracle: the messages."""
    (tmp_path / "empty").mkdir()
    empty = call("run", "--method", "still_image", "--protocol", "folder", "--data", tmp_path / "empty")
    assert (empty.returncode, "holds no video file" in empty.stderr) == (2, True)
    (tmp_path / "file").touch()
    blocked = call(
        "run", "--method", "still_image", "--protocol", "folder", "--data", clips, "--out", tmp_path / "file/run"
    )
    assert blocked.returncode == 2
    assert "cannot be written (Not a directory); choose another folder" in blocked.stderr
    cache = call("list", "weights", AU_BENCH_CACHE=str(tmp_path / "file/cache"))
    assert (cache.returncode, "set AU_BENCH_CACHE" in cache.stderr) == (2, True)


def test_failed_cases_exit_with_1_and_the_table_is_written(call, clips, tmp_path):
    """Oracle: exit code, the failure in the table."""
    (clips / "zero.mp4").touch()
    done = call(
        "run",
        "--method",
        "still_image",
        "--protocol",
        "folder",
        "--data",
        clips,
        "--out",
        tmp_path / "r",
        "--metrics",
        "psnr",
    )
    assert done.returncode == 1
    assert "zero: " in done.stdout
    assert "file is empty" in (tmp_path / "r/table.md").read_text()


def test_a_broken_plugin_breaks_only_itself(call, clips, tmp_path):
    """Oracle: a distribution whose module raises at import: lists and runs work, using it says who is to blame."""
    site = tmp_path / "site"
    info = site / "brokenpkg-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "brokenpkg.py").write_text("raise RuntimeError('cannot find libfoo')\n")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: brokenpkg\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[au_talking_head_bench.methods]\nbroken_method = brokenpkg:Method\n")
    listed = call("list", "methods", PYTHONPATH=str(site))
    assert "broken_method" in listed.stdout
    assert "from brokenpkg" in listed.stdout
    used = call("run", "--method", "broken_method", "--protocol", "folder", "--data", clips, PYTHONPATH=str(site))
    assert used.returncode == 2
    assert (
        "comes from brokenpkg (brokenpkg:Method), which fails to load: RuntimeError: cannot find libfoo" in used.stderr
    )
    fine = call("run", "--method", "still_image", "--protocol", "folder", "--data", clips, "--out", tmp_path / "r",
                "--metrics", "psnr", PYTHONPATH=str(site))  # fmt: skip
    assert fine.returncode == 0
    assert "cannot find libfoo" in call("doctor", PYTHONPATH=str(site)).stdout


def test_scoring_again_from_the_cache_imports_no_torch(call, clips, tmp_path):
    """Oracle: sys.modules at the end of the process; one more metric is computed from cached features."""
    out = tmp_path / "run"
    call("run", "--method", "reencoded", "--protocol", "folder", "--data", clips, "--out", out, "--metrics", "psnr")
    program = (
        "import sys\n"
        "from bench.cli import main\n"
        "code = main()\n"
        "print(code, *sorted({'torch', 'torchmetrics', 'av', 'cv2'} & set(sys.modules)), file=sys.stderr)"
    )
    arguments = [
        "run",
        "--method",
        "reencoded",
        "--protocol",
        "folder",
        "--data",
        clips,
        "--out",
        out,
        "--metrics",
        "psnr,ssim",
    ]
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)], capture_output=True, text=True,
        env=os.environ | {"AU_BENCH_CACHE": str(tmp_path / "cache")},
    )  # fmt: skip
    assert done.stderr.splitlines()[-1] == "0"
    assert "ssim@wang" in done.stdout


def test_a_package_that_shadows_ours_is_named(tmp_path):
    """Oracle: a foreign package `metrics` earlier on the path."""
    foreign = tmp_path / "metrics"
    foreign.mkdir()
    (foreign / "__init__.py").touch()
    program = "import sys; sys.path.insert(0, sys.argv.pop(1)); from bench.__main__ import main; main()"
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path), "--help"], capture_output=True, text=True)
    assert done.returncode == 1
    assert "another package named 'metrics' shadows this suite's" in done.stderr
