"""The runner: resume, shards, devices, coverage. Oracle: an undisturbed run of the same plan, byte for byte."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from bench.media.clip import Clip
from bench.media.errors import UserError
from bench.store import load_cases, read_records
from tests.bench.conftest import moving_clip
from tests.videos import numbered_frames, write


def test_ground_truth_scores_the_cap_and_stores_what_it_scored(bench_run, clips):
    """Oracle: PSNR of equal frames is the cap of 100 dB, SSIM is 1; stored frames and speech equal the source's."""
    outcome = bench_run("ground_truth", clips)
    assert outcome.summary["n"] == 5
    assert outcome.summary["n_failed"] == 0
    assert outcome.summary["metrics"]["psnr"]["value"] == 100
    assert outcome.summary["metrics"]["ssim"]["value"] == 1
    stored, source = Clip(outcome.folder / "videos/sub dir é/e.mkv"), Clip(clips / "sub dir é/e.mp4")
    assert np.array_equal(stored.frames, source.frames)
    assert np.array_equal(stored.audio, source.audio[: 12 * 640])
    assert (outcome.folder / "viewer/a.mp4").exists()


def test_summary_has_the_documented_shape(bench_run, clips):
    """Oracle: the schema of the design: these keys, and nothing that changes from run to run."""
    outcome = bench_run("reencoded", clips)
    summary = json.loads((outcome.folder / "summary.json").read_text())
    assert {"schema", "protocol", "method", "fingerprint", "n", "n_failed", "failures", "metrics"} <= set(summary)
    cell = summary["metrics"]["psnr"]
    assert {"value", "ci95", "n", "n_failed", "unit", "higher_is_better", "variant", "missing"} <= set(cell)
    assert (cell["unit"], cell["variant"], cell["higher_is_better"], cell["missing"]) == ("dB", "@frame", True, None)
    assert cell["ci95"][0] <= cell["value"] <= cell["ci95"][1]
    assert str(outcome.folder) not in (outcome.folder / "summary.json").read_text()
    manifest = json.loads((outcome.folder / "run.json").read_text())
    assert manifest["invocations"][0]["environment"]["packages"]["numpy"] == np.__version__
    assert manifest["config"] == {"crf": 32}


def test_a_finished_run_is_not_run_again(bench_run, clips):
    """Oracle: modification times of the videos, and the number of lines."""
    first = bench_run("still_image", clips)
    before = {path: path.stat().st_mtime_ns for path in first.folder.rglob("*.mkv")}
    lines = (first.folder / "cases.jsonl").read_text()
    again = bench_run("still_image", clips)
    assert {path: path.stat().st_mtime_ns for path in first.folder.rglob("*.mkv")} == before
    assert (first.folder / "cases.jsonl").read_text() == lines
    assert again.summary == first.summary


def test_one_more_metric_generates_nothing(bench_run, clips, monkeypatch):
    """Oracle: a generator that refuses to be called twice; the summary keeps the earlier metrics."""
    from methods.sanity.still_image import StillImage

    first = bench_run("still_image", clips, metrics=["psnr"])

    def refuse(self, request):
        raise AssertionError("generated again")

    monkeypatch.setattr(StillImage, "generate", refuse)
    second = bench_run("still_image", clips, metrics=["ssim@skimage7"])
    assert list(second.summary["metrics"]) == ["ssim@skimage7", "psnr"]
    assert second.summary["metrics"]["psnr"] == first.summary["metrics"]["psnr"]


def test_a_video_that_changed_is_scored_again(bench_run, clips):
    """Oracle: the score after overwriting a stored video with the target equals a perfect one."""
    first = bench_run("still_image", clips, metrics=["psnr"], limit=1)
    from bench.media.write import write_video

    source = Clip(clips / "a.mp4")
    write_video(first.folder / "videos/a.mkv", source.chunks(), 25.0, source.audio)
    second = bench_run("still_image", clips, metrics=["psnr", "ssim"], limit=1)
    assert second.summary["metrics"]["ssim"]["value"] == 1


def test_another_run_in_the_same_folder_is_refused(bench_run, clips):
    """Oracle: the message."""
    bench_run("reencoded", clips)
    with pytest.raises(UserError, match=r"holds another run \(reencoded on folder.*Choose another --out"):
        bench_run("reencoded", clips, settings={"crf": "40"})


def test_two_shards_equal_one_run(bench_run, clips):
    """Oracle: the unsharded run's summary, byte for byte."""
    whole = bench_run("reencoded", clips, out="whole")
    first = bench_run("reencoded", clips, out="parts", shard=(1, 2))
    assert first.summary is None
    assert first.waiting == 2
    second = bench_run("reencoded", clips, out="parts", shard=(2, 2))
    assert (second.folder / "summary.json").read_bytes() == (whole.folder / "summary.json").read_bytes()


@pytest.mark.slow  # Starts four worker processes.
def test_two_devices_equal_one(bench_run, clips):
    """Oracle: the single-device run's summary, byte for byte; every case is done once."""
    one = bench_run("reencoded", clips, out="one")
    two = bench_run("reencoded", clips, out="two", devices=["cpu", "cpu"])
    assert (two.folder / "summary.json").read_bytes() == (one.folder / "summary.json").read_bytes()
    assert len((two.folder / "cases.jsonl").read_text().splitlines()) == 5


@pytest.mark.slow  # Starts worker processes, one of which dies.
def test_a_worker_that_dies_fails_its_case_only(bench_run, clips, monkeypatch, tmp_path):
    """Oracle: one recorded failure that names the signal; the other four cases are done."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "deadly.py").write_text(
        "import os, signal\n"
        "from methods.generator import Generator\n"
        "class Deadly(Generator):\n"
        "    title = 'dies on case b'\n"
        "    def generate(self, request):\n"
        "        if request.case == 'b':\n"
        "            os.kill(os.getpid(), signal.SIGKILL)\n"
        "        return (request.reference[None] for _ in range(request.num_frames))\n"
    )
    info = site / "deadly-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: deadly\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[au_talking_head_bench.methods]\ndeadly = deadly:Deadly\n")
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("PYTHONPATH", str(site))
    from bench import registry

    registry._plugins.cache_clear()
    try:
        outcome = bench_run("deadly", clips, devices=["cpu", "cpu"])
    finally:
        registry._plugins.cache_clear()
    assert outcome.summary["n_failed"] == 1
    assert outcome.exit_code == 1
    assert outcome.summary["failures"][0]["case"] == "b"
    assert "died (killed by signal 9" in outcome.summary["failures"][0]["reason"]


@pytest.mark.slow  # Ten runs are killed and continued, each in a process of its own.
def test_killed_ten_times_the_summary_is_the_same(tmp_path, clips):
    """Oracle: an undisturbed run. SIGKILL at ten random moments (stated seed), then finished: byte-identical summary."""
    base = [
        sys.executable, "-m", "bench", "run", "--method", "reencoded", "--protocol", "folder", "--data", str(clips),
        "--metrics", "psnr,ssim,psnr@global", "--device", "cpu",
    ]  # fmt: skip
    environment = os.environ | {"AU_BENCH_CACHE": str(tmp_path / "cache")}
    started = time.monotonic()
    subprocess.run([*base, "--out", str(tmp_path / "calm")], env=environment, check=True, capture_output=True)
    lasts = time.monotonic() - started
    environment["AU_BENCH_CACHE"] = str(tmp_path / "other cache")
    moments = random.Random(7)
    for _ in range(10):
        process = subprocess.Popen(
            [*base, "--out", str(tmp_path / "killed")],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(moments.uniform(0.3, 0.9) * lasts)
        process.send_signal(signal.SIGKILL)
        process.wait()
    subprocess.run([*base, "--out", str(tmp_path / "killed")], env=environment, check=True, capture_output=True)
    assert (tmp_path / "killed/summary.json").read_bytes() == (tmp_path / "calm/summary.json").read_bytes()


def test_a_line_torn_by_a_kill_is_dropped_and_redone(bench_run, clips):
    """Oracle: the summary before the log was cut in the middle of its last line."""
    first = bench_run("reencoded", clips)
    log = first.folder / "cases.jsonl"
    whole = log.read_bytes()
    log.write_bytes(whole[: -len(whole.splitlines()[-1]) // 2])
    assert len(read_records(first.folder)) == 4
    again = bench_run("reencoded", clips)
    assert again.summary == first.summary
    assert len(log.read_text().splitlines()) == 5


def test_load_cases_is_a_table(bench_run, clips):
    """Oracle: the summary's mean."""
    outcome = bench_run("reencoded", clips)
    frame = load_cases(outcome.folder)
    assert list(frame["case"]) == ["a", "b", "c", "d", "sub dir é/e"]
    assert frame["psnr"].mean() == pytest.approx(outcome.summary["metrics"]["psnr"]["value"])
    assert load_cases(outcome.folder / "cases.jsonl").equals(frame)


# -- coverage: what fails is recorded with its reason, and nothing else is lost ------------------------------------------


def test_every_kind_of_bad_file_fails_alone(bench_run, clips):
    """Oracle: one message per kind of file; the five good clips keep the scores they have alone."""
    alone = bench_run("still_image", clips, out="alone")
    (clips / "zero.mp4").touch()
    (clips / "text.mp4").write_text("no video at all " * 64)
    cut = moving_clip(clips / "cut.mp4", seed=9, frames=40)
    cut.write_bytes(cut.read_bytes()[:2000])
    write(clips / "silent.mp4", numbered_frames(12, 64, 80))
    write(clips / "one.mp4", numbered_frames(1, 64, 80))
    write(clips / "gray.mkv", numbered_frames(12, 64, 80), pixels="gray", codec="ffv1")
    import av

    with av.open(str(clips / "speech.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=16_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 16_000), np.int16), format="s16", layout="mono")
        frame.sample_rate = 16_000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    outcome = bench_run("still_image", clips, out="mixed")
    reasons = {failure["case"]: failure["reason"] for failure in outcome.summary["failures"]}
    assert set(reasons) == {"zero", "text", "cut", "speech"}
    assert str(clips) not in (outcome.folder / "summary.json").read_text()
    assert "file is empty" in reasons["zero"]
    assert "not a readable video" in reasons["text"]
    assert "may be truncated" in reasons["cut"]
    assert "has no video stream" in reasons["speech"]
    assert (outcome.summary["n"], outcome.summary["n_failed"], outcome.exit_code) == (12, 4, 1)
    good = load_cases(outcome.folder).set_index("case")["psnr"]
    for case, value in load_cases(alone.folder).set_index("case")["psnr"].items():
        assert good[case] == value
    assert good["one"] == 100
    assert outcome.summary["metrics"]["psnr"]["n"] == 8


def test_a_method_that_needs_speech_fails_silent_clips(bench_run, clips):
    """Oracle: the message."""
    write(clips / "silent.mp4", numbered_frames(12, 64, 80))
    outcome = bench_run("shifted_audio", clips, settings={"frames": "2"})
    assert outcome.summary["failures"] == [
        {"case": "silent", "reason": "silent.mp4: has no audio stream, and shifted_audio needs speech"}
    ]


def test_failed_cases_are_kept_until_retry_is_asked_for(bench_run, clips):
    """Oracle: a file that is repaired after the first run."""
    good = (clips / "b.mp4").read_bytes()
    first = bench_run("still_image", clips)
    assert first.summary["n_failed"] == 0
    (first.folder / "videos/b.mkv").unlink()
    log = first.folder / "cases.jsonl"
    lines = [line for line in log.read_text().splitlines() if '"case": "b"' not in line]
    lines.append(
        json.dumps(
            {
                "case": "b",
                "identity": "b",
                "emotion": None,
                "level": None,
                "status": "failed",
                "reason": "x",
                "metrics": {},
            }
        )
    )
    log.write_text("\n".join(lines) + "\n")
    assert (clips / "b.mp4").read_bytes() == good
    assert bench_run("still_image", clips).summary["n_failed"] == 1
    assert bench_run("still_image", clips, retry=True).summary == first.summary


def test_a_generator_that_breaks_its_promise_fails_the_case(bench_run, clips, monkeypatch):
    """Oracle: the messages for a wrong count, a wrong shape and a crash; the traceback is kept."""
    from methods.sanity.still_image import StillImage

    def generate(self, request):
        if request.case == "a":
            return request.reference[None]
        if request.case == "b":
            return np.zeros((12, 8, 8, 3), np.uint8)
        if request.case == "c":
            raise RuntimeError("out of ideas")
        return np.stack([request.reference] * request.num_frames)

    monkeypatch.setattr(StillImage, "generate", generate)
    outcome = bench_run("still_image", clips)
    reasons = {failure["case"]: failure["reason"] for failure in outcome.summary["failures"]}
    assert reasons["a"] == "the method returned 1 frames, 12 were asked for"
    assert "uint8 (t, 64, 80, 3) was asked for" in reasons["b"]
    assert "crashed: RuntimeError: out of ideas; traceback in errors.log" in reasons["c"]
    assert "out of ideas" in (outcome.folder / "errors.log").read_text()
    assert outcome.summary["metrics"]["psnr"]["n"] == 2


def test_a_full_disk_stops_the_run_and_the_next_one_continues(bench_run, clips, monkeypatch):
    """Oracle: the message; after room is made the summary equals an undisturbed one."""
    import errno

    from bench.media import write as writing

    calm = bench_run("reencoded", clips, out="calm")
    real, calls = os.fsync, []

    def full(descriptor):
        calls.append(descriptor)
        if len(calls) > 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(descriptor)

    monkeypatch.setattr(writing.os, "fsync", full)
    with pytest.raises(UserError, match="No space left on device"):
        bench_run("reencoded", clips, out="full")
    monkeypatch.setattr(writing.os, "fsync", real)
    assert bench_run("reencoded", clips, out="full").summary == calm.summary


# -- finished videos -----------------------------------------------------------------------------------------------------


def test_finished_videos_are_scored_by_case_id(bench_run, clips, tmp_path):
    """Oracle: the same frames scored as a generated run; short, missing and doubled files are named."""
    made = bench_run("reencoded", clips, out="made")
    videos = tmp_path / "videos"
    for name in ("a", "b", "c"):
        clip = Clip(made.folder / f"videos/{name}.mkv")
        write(videos / f"{name}.mkv", clip.frames, codec="ffv1", pixels="bgr0")
    clip = Clip(made.folder / "videos/sub dir é/e.mkv")
    write(videos / "sub dir é__e.mkv", clip.frames[:-2], codec="ffv1", pixels="bgr0")
    write(videos / "b.avi", clip.frames, codec="ffv1", pixels="bgr0")
    write(videos / "c.mkv", clip.frames[:4], codec="ffv1", pixels="bgr0")
    outcome = bench_run("mine", clips, out="scored", videos=videos)
    reasons = {failure["case"]: failure["reason"] for failure in outcome.summary["failures"]}
    assert set(reasons) == {"b", "c", "d"}
    assert "2 files for case b: b.avi, b.mkv; keep one" in reasons["b"]
    assert "has 4 frames at 25 fps, case c asks for 12; at most 5 may be missing" in reasons["c"]
    assert "no video named d" in reasons["d"]
    scored, generated = (load_cases(folder).set_index("case")["psnr"] for folder in (outcome.folder, made.folder))
    assert scored["a"] == generated["a"]
    assert read_records(outcome.folder)["sub dir é/e"]["frames"] == 10
    assert outcome.summary["notes"] == [
        {"case": "sub dir é/e", "note": "has 10 frames, 12 were asked for: the first 10 are scored"}
    ]


def test_unknown_names_suggest_the_nearest(bench_run, clips):
    """Oracle: the messages."""
    with pytest.raises(UserError, match="unknown method 'stil_image'; did you mean still_image"):
        bench_run("stil_image", clips)
    with pytest.raises(UserError, match="unknown metric 'psnrr'; did you mean psnr"):
        bench_run("still_image", clips, metrics=["psnrr"])
    with pytest.raises(UserError, match="metric psnr has no variant @globe; it has psnr@frame"):
        bench_run("still_image", clips, metrics=["psnr@globe"])
    with pytest.raises(UserError, match="method reencoded has no setting qp; it has: crf"):
        bench_run("reencoded", clips, settings={"qp": "1"})
    with pytest.raises(UserError, match="crf: Input should be less than or equal to 51"):
        bench_run("reencoded", clips, settings={"crf": "99"})


def test_what_a_user_puts_beside_the_videos_is_found_on_the_next_run(bench_run, clips):
    """Oracle: OpenFace CSVs (official column names) that appear between two runs: missing, then perfect agreement."""
    from bench.media.au import VOCABULARIES

    first = bench_run("ground_truth", clips, metrics=["psnr", "au_mae"])
    assert "needs OpenFace 2 or its CSV" in first.summary["metrics"]["au_mae"]["missing"]
    log = (first.folder / "cases.jsonl").read_text()
    assert bench_run("ground_truth", clips, metrics=["psnr", "au_mae"]).summary == first.summary
    assert (first.folder / "cases.jsonl").read_text() == log
    header = ["frame", "face_id", "timestamp", "confidence", "success", *VOCABULARIES["openface35"].names]
    rows = [[t + 1, 0, t / 25, 0.98, 1, *np.full(35, t % 2)] for t in range(12)]
    text = "\n".join(", ".join(map(str, row)) for row in [header, *rows]) + "\n"
    for path in [*clips.rglob("*.mp4"), *(first.folder / "videos").rglob("*.mkv")]:
        path.with_name(path.name + ".openface.csv").write_text(text)
    second = bench_run("ground_truth", clips, metrics=["psnr", "au_mae"])
    assert (second.summary["metrics"]["au_mae"]["value"], second.summary["metrics"]["au_mae"]["n"]) == (0, 5)


def test_the_estimate_comes_before_the_work(bench_run, clips):
    """Oracle: 5 cases of 12 frames; the second run of the method knows its speed."""
    said = bench_run("still_image", clips).said
    assert said[0].startswith("still_image: 5 cases, 60 frames, time not known before its first run here, ")
    again = bench_run("still_image", clips, out="again").said
    assert re.search(r"60 frames, about \d+ s, \d+ MB of video in ", again[0])


def test_no_face_and_two_faces(bench_run, tmp_path, grid_clips):
    """Oracle: a clip without a face fails the face metrics alone, with the reason; of two faces the larger is scored,
    and the summary says so."""
    import cv2

    data = tmp_path / "faces"
    moving_clip(data / "nobody.mp4", seed=3, size=(96, 96))
    frames = Clip(grid_clips[0]).frames[:6]
    small = np.stack([cv2.resize(frame, (240, 192), interpolation=cv2.INTER_AREA) for frame in frames])
    pair = np.zeros((6, 288, 600, 3), np.uint8)
    pair[:, :, :360], pair[:, 48:240, 360:] = frames, small
    write(data / "pair.mkv", pair, codec="ffv1", pixels="bgr0")
    outcome = bench_run("ground_truth", data, metrics=["psnr", "m_lmd"])
    assert outcome.summary["n_failed"] == 0
    assert outcome.summary["metrics"]["psnr"]["n"] == 2
    cell = outcome.summary["metrics"]["m_lmd"]
    assert (cell["value"], cell["n"], cell["n_failed"]) == (0, 1, 1)
    entry = read_records(outcome.folder)["nobody"]["metrics"]["m_lmd"]
    assert "no face in 12 of 12 frames" in entry["failed"]
    assert outcome.summary["notes"] == [
        {"case": "pair", "note": f"{role}: more than one face in 6 of 6 frames, the largest is scored"}
        for role in ("prediction", "target")
    ]
