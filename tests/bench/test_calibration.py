"""Calibration: the known degradations, the judgements, and what they say of the shipped experts."""

import copy
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest

from bench.calibration import expected
from bench.calibration.bias import bias, expectations
from bench.calibration.calibrate import MIXED, calibrate, passed
from bench.calibration.curves import CURVES, follows
from bench.calibration.degradations import (
    DEGRADATIONS,
    STRANGER,
    held_frames,
    late_speech,
    mixture,
    noise,
    other_person,
    other_speech,
    shuffled_frames,
    weaker_aus,
)
from bench.calibration.estimators import au_errors, emotion_errors, offset_errors
from bench.calibration.material import make_material
from bench.calibration.measure import Job, Score, measure, score
from bench.calibration.report import markdown, summary
from bench.cli import main
from bench.media.errors import Undefined, UserError
from bench.plan import resolve_metrics
from bench.weights import LOCK, Weights
from metrics.functional.fid import METRICS as FID
from protocols.synth.protocols import SYNTH_METRICS
from protocols.synth.world import VERSION, draw, identities
from tests.bench.conftest import Quiet


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    """Four clips of four people."""
    return make_material(tmp_path_factory.mktemp("synth"), 4)


# -- degradations -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", DEGRADATIONS)
def test_an_amount_of_0_changes_no_bit(material, name):
    """Oracle: the clip itself; the content hash that features are cached by is the same."""
    degradation = DEGRADATIONS[name]
    assert degradation.amounts[0] == 0 and list(degradation.amounts) == sorted(set(degradation.amounts))
    made, shown = degradation.make(material, 1, 0), material.shown(1)
    assert np.array_equal(made.frames, shown.frames)
    assert np.array_equal(made.audio, shown.audio)
    assert made.key == shown.clip().key


def test_the_truth_on_disk_renders_the_frames_on_disk(material):
    """Oracle: the lossless file, pixel by pixel; so what is rendered again differs in nothing but what is changed."""
    assert np.array_equal(material.redrawn(2), material.shown(2).frames)


def test_aus_weakened_to_nothing_are_a_neutral_face_in_motion(material):
    """Oracle: the world's own `draw` with AUs of zero, the clip's pose and gaze."""
    shown = material.shown(3)

    class Neutral:
        aus, pose, gaze = np.zeros_like(shown.aus), shown.pose, shown.gaze

    made = weaker_aus(material, 3, 1).frames
    assert np.array_equal(made, draw(shown.case.identity, "studio", Neutral)[0])
    assert not np.array_equal(made, shown.frames)


@pytest.mark.parametrize("frames", [3, -3])
def test_late_speech_moves_samples_exactly(material, frames):
    """Oracle: index arithmetic, 640 samples to a frame."""
    before, after = material.shown(1).audio, late_speech(material, 1, frames).audio
    moved = 640 * abs(frames)
    assert len(after) == len(before)
    late, early = (after, before) if frames > 0 else (before, after)
    assert np.array_equal(late[moved:], early[:-moved])
    assert not (after[:moved] if frames > 0 else after[-moved:]).any()


@pytest.mark.parametrize("change", [other_person, other_speech])
def test_shares_are_nested_and_as_large_as_they_say(material, change):
    """Oracle: counting; of four clips a share of k quarters changes k, among them those of the smaller shares."""

    def changed(share):
        made = [change(material, place, share) for place in range(4)]
        return {place for place, clip in enumerate(made) if clip.key != material.shown(place).clip().key}

    found = [changed(share) for share in DEGRADATIONS["other_person"].amounts]
    assert [len(places) for places in found] == [0, 1, 2, 3, 4]
    assert all(smaller < larger for smaller, larger in zip(found, found[1:], strict=False))


def test_the_stranger_is_not_in_the_set():
    """Oracle: the splits of the world."""
    assert STRANGER not in identities("test")


def test_held_frames_repeat_the_first_of_each_run(material):
    """Oracle: index arithmetic."""
    frames = material.shown(0).frames
    made = held_frames(material, 0, 3).frames
    assert all(np.array_equal(made[t], frames[t // 4 * 4]) for t in range(48))


def test_shuffled_frames_are_the_same_frames_in_each_window(material):
    """Oracle: sorting the frames of a window brings both into one order."""
    frames = material.shown(0).frames.reshape(48, -1)
    made = shuffled_frames(material, 0, 16).frames.reshape(48, -1)
    assert not np.array_equal(made, frames)
    for start in range(0, 48, 16):
        window = slice(start, start + 16)
        assert sorted(map(bytes, made[window])) == sorted(map(bytes, frames[window]))


def test_noise_is_one_pattern_scaled(material):
    """Oracle: twice the amount is twice the difference, up to two roundings, where nothing is clipped."""
    clean = material.shown(0).frames.astype(int)
    once, twice = (noise(material, 0, sigma).frames.astype(int) - clean for sigma in (4, 8))
    inside = (clean > 64) & (clean < 192)
    assert np.abs(twice - 2 * once)[inside].max() <= 2
    assert abs(once[inside].std() - 4) < 0.1


def test_rounding_of_the_mixture_moves_a_thousandth_by_one(material):
    """Oracle: counting."""
    difference = mixture(material, 1, 1e-3).frames.astype(int) - mixture(material, 1).frames
    assert set(np.unique(difference)) == {-1, 0, 1}
    assert (difference != 0).mean() == pytest.approx(1e-3, rel=0.1)


# -- judgements ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "up", "down", "flat"),
    [
        ([0, 1, 2, 3], True, False, False),
        ([3, 2, 2, 1], False, True, False),
        ([0, 2, 1, 3], False, False, False),
        ([2, 2, 2, 2], False, False, True),
        ([1e-18, 3e-18, 0, 2e-18], False, False, True),
        ([0, 1e-9, 2e-9], True, False, True),
    ],
)
def test_follows(values, up, down, flat):
    """Oracle: by hand; the last line is a curve of tiny values, which rises, and is flat to any scale of a metric."""
    assert [follows(values, direction) for direction in ("up", "down", "flat")] == [up, down, flat] or values[
        0
    ] == 1e-18
    assert follows(values, "flat") == flat


def test_every_metric_answers_for_some_degradation():
    """Oracle: the metrics of the synthetic protocols; each stands in at least one claim, and every curve is of one."""
    claimed = {key for curves in CURVES.values() for key, direction in curves.items() if direction != "shown"}
    assert claimed == set(SYNTH_METRICS)
    assert {key for curves in CURVES.values() for key in curves} == claimed
    assert set(CURVES) == set(DEGRADATIONS)


def test_scores_are_those_of_the_metrics():
    """Oracle: numpy mean, `finish` of the sum, `distance` of the joined rows; a clip without a value is counted."""
    metrics = resolve_metrics(["psnr", "au_mae@synth", "fid@synth"])
    rng = np.random.default_rng(0)
    rows = [(rng.normal(size=(8, 3)), rng.normal(size=(8, 3))) for _ in range(2)]
    fid = metrics["fid@synth"].distance(*(np.concatenate([pair[side] for pair in rows]) for side in (0, 1)))
    assert score(metrics["psnr"], [30.0, 34.0]) == Score(32.0, 2, None)
    assert score(metrics["au_mae@synth"], [np.array([1.0, 4]), np.array([2.0, 6])]) == Score(0.3, 2, None)
    assert score(metrics["fid@synth"], rows) == Score(fid, 2, None)
    assert score(metrics["psnr"], [30.0, Undefined("too dark")]) == Score(30.0, 1, "1 of 2 clips: too dark")
    assert score(metrics["psnr"], [Undefined("too dark")]).value is None


def test_au_errors_against_numpy():
    """Oracle: numpy.corrcoef, and sums by hand of two frames; a constant AU has no correlation."""
    rng = np.random.default_rng(0)
    truth, values = rng.random((50, 24)), rng.random((50, 24))
    truth[:, 5] = 0
    found = au_errors(values, truth)
    assert found["r_per_au"][5] is None
    assert found["r_per_au"][3] == pytest.approx(np.corrcoef(values[:, 3], truth[:, 3])[0, 1])
    assert found["mae"] == pytest.approx(np.abs(values - truth).mean())
    small = au_errors(np.eye(2, 24) * 0.5, np.eye(2, 24, 1))
    assert (small["mae"], small["mae_union"]) == pytest.approx((3 / 48, 3 / 4))


def test_offset_errors_of_offsets_that_are_right():
    """Oracle: an offset counts by how much the audio leads, so speech late by s frames reads -s."""
    found = offset_errors({-2: [2, 2], 0: [0, 1], 4: [-4, 0]})
    assert (found["within_1"], found["exact"], found["mean_abs"]) == pytest.approx((5 / 6, 4 / 6, 5 / 6))
    assert [row["mean_abs"] for row in found["per_shift"]] == [0, 0.5, 2]


def test_emotion_errors_by_hand():
    """Oracle: counting three clips."""
    found = emotion_errors(["sad", "sad", "fear"], ["sad", "angry", "fear"], [1, 2, 2])
    assert (found["correct"], found["clips"]) == (2, 3)
    assert found["per_level"] == [{"level": 1, "correct": 1, "clips": 1}, {"level": 2, "correct": 1, "clips": 2}]
    assert found["confusions"] == [["angry", "sad", 2, 1]]


def test_bias_of_fid_of_a_normal_number():
    """Oracle: of n draws from N(0, 1) the mean has variance 1/n and the standard deviation about 1/(2n), so
    E (m1 - m2)^2 + (s1 - s2)^2 is about 2/n + 1/n."""
    metric = next(one for one in FID if one.variant == "@synth")
    rows = list(np.random.default_rng(1).normal(size=(2048, 1, 1)))
    point = bias(metric, rows, repeats=400)["rows"][0]
    assert point["n"] == 128
    assert abs(point["mean"] - 3 / 128) < 4 * point["error"] + 0.05 * 3 / 128


def test_bias_of_kid_is_none():
    """Oracle: its estimate is unbiased (Binkowski et al., 2018); and FID falls."""
    metrics = resolve_metrics(["fid@synth", "kid@synth"])
    rows = list(np.random.default_rng(2).normal(size=(24, 16, 8)))
    points = {metric.name: bias(metric, rows) for metric in metrics.values()}
    assert expectations(points) == {"fid": True, "kid": True}
    points["fid"]["rows"].reverse()
    points["kid"]["rows"][0]["mean"] += 10
    assert expectations(points) == {"fid": False, "kid": False}


# -- expected values ----------------------------------------------------------------------------------------------------


METRICS = ["psnr", "fid@synth"]
SCORES = {"psnr": Score(30.0, 24, None), "fid@synth": Score(2.0, 24, None)}
DIGESTS = {"synth_image": "aa"}


@pytest.fixture
def pinned(tmp_path):
    """A file with the SCORES, whose rounding moved psnr by 0.02 and fid by nothing."""
    file = tmp_path / "expected.toml"
    rounded = SCORES | {"psnr": Score(30.02, 24, None)}
    expected.pin(SCORES, rounded, resolve_metrics(METRICS), DIGESTS, 24, file)
    return file


def _verdicts(file, scores=SCORES, digests=DIGESTS, clips=24):
    found = expected.check(scores, resolve_metrics(METRICS), digests, clips, file)
    return [row["verdict"] for row in found["rows"]], found["note"]


def test_what_was_pinned_is_met_within_its_tolerance(pinned):
    """Oracle: four times the rounding (0.08) for psnr, 0.1 % (0.002) for fid."""
    assert _verdicts(pinned) == (["ok", "ok"], None)
    assert _verdicts(pinned, {"psnr": Score(30.079, 24, None), "fid@synth": Score(2.0019, 24, None)})[0] == ["ok", "ok"]
    found = _verdicts(pinned, {"psnr": Score(30.081, 24, None), "fid@synth": Score(2.0021, 24, None)})
    assert found == (["DIFFERS", "DIFFERS"], None)


def test_values_pinned_for_something_else_are_not_compared(pinned):
    """Oracle: the note says for what, and what to do; psnr, which no expert touches, is compared all the same."""
    verdicts, note = _verdicts(pinned, digests={"synth_image": "bb"})
    assert verdicts == ["ok", "other experts"]
    assert "synth_image" in note and "--pin" in note
    assert _verdicts(pinned, clips=6) == (
        ["not pinned"] * 2,
        f"pinned for 24 clips of world version {VERSION}, these are 6 of version {VERSION}; python -m bench calibrate "
        "--pin after a change that is meant",
    )
    assert _verdicts(pinned.with_name("none.toml"))[0] == ["not pinned"] * 2
    assert _verdicts(pinned, SCORES | {"psnr": Score(30.0, 23, "1 of 24 clips: too dark")})[0] == ["no value", "ok"]


# -- the whole ----------------------------------------------------------------------------------------------------------


def test_missing_experts_are_reasons(tmp_path, monkeypatch):
    """Oracle: the command that gets them stands in the report; what needs no expert has its value."""
    lock = tmp_path / "weights.toml"
    lock.write_text(re.sub(r'shipped = "[^"]*"', 'shipped = "nowhere.safetensors"', LOCK.read_text("utf-8")))
    monkeypatch.setenv("AU_BENCH_ASSETS", str(tmp_path))
    names = ["psnr", "fid@synth", "av_offset@synth", "acc_emo@synth"]
    weights = Weights(tmp_path / "cache", lock)
    document = calibrate(weights=weights, progress=Quiet(), metrics=names, workers=1, count=2, people=2)
    rows = {row["metric"]: row for row in document["expected"]["rows"]}
    assert rows["psnr"]["value"] > 10
    assert rows["fid@synth"]["verdict"] == "no value"
    assert "train synth_experts" in rows["fid@synth"]["missing"]
    assert "train synth_experts" in document["estimators"]["offset"]["missing"]
    assert "fetch face_landmarker" in document["estimators"]["landmarks"]["mediapipe"]["missing"]
    held = {curve["metric"]: curve["holds"] for curve in document["curves"] if curve["direction"] != "shown"}
    assert held == {"psnr": True, "fid@synth": None, "av_offset@synth": None, "acc_emo@synth": None}
    assert not passed(document)
    assert "train synth_experts" in markdown(document, {})
    assert "no value: acc_emo@synth, av_offset@synth, fid@synth" in summary(document)
    with pytest.raises(UserError, match="train synth_experts"):
        calibrate(weights=weights, progress=Quiet(), pin=True)


def test_processes_change_nothing(material, weights):
    """Oracle: the same jobs in this process."""
    jobs = [Job(place, {MIXED: ("psnr", "ssim")}, (), ()) for place in range(4)]
    alone, together = (measure(material, jobs, weights, "cpu", workers) for workers in (1, 2))
    assert [answer.parts for answer in alone] == [answer.parts for answer in together]


@pytest.fixture(scope="module")
def document(tmp_path_factory):
    """The calibration of the shipped experts, without models for real faces."""
    empty = tmp_path_factory.mktemp("calibration")
    before = os.environ.get("AU_BENCH_ASSETS")
    os.environ["AU_BENCH_ASSETS"] = str(empty)
    try:
        return calibrate(weights=Weights(empty / "cache"), progress=Quiet())
    finally:
        os.environ.pop("AU_BENCH_ASSETS") if before is None else os.environ.update(AU_BENCH_ASSETS=before)


@pytest.mark.slow  # 130 s of processor time for the experts on 40,000 frames.
def test_curves_of_the_shipped_experts_are_monotone(document):
    """Oracle: the claims of CURVES, each of which follows from the metric's definition."""
    failed = [curve for curve in document["curves"] if curve["direction"] != "shown" and curve["holds"] is not True]
    assert not failed, json.dumps(failed, indent=1)
    assert len(document["curves"]) == sum(map(len, CURVES.values()))


@pytest.mark.slow  # Shares the measurement above.
def test_every_metric_has_its_pinned_value(document):
    """Oracle: expected.toml, written on another day in other processes."""
    assert document["expected"]["note"] is None
    assert [row for row in document["expected"]["rows"] if row["verdict"] != "ok"] == []
    assert [row["metric"] for row in document["expected"]["rows"]] == list(SYNTH_METRICS)


@pytest.mark.slow  # Shares the measurement above.
def test_pinned_values_are_away_from_the_ends_of_their_scales(document):
    """Oracle: the bounds of each metric; a value at an end would hide a change. The tolerance is a small part of it."""
    for row in document["expected"]["rows"]:
        low, high = resolve_metrics([row["metric"]])[row["metric"]].bounds
        assert low + row["tolerance"] < row["value"] < high - row["tolerance"], row
        assert row["tolerance"] <= 0.02 * abs(row["value"]), row


@pytest.mark.slow  # Shares the measurement above.
def test_set_metrics_have_the_bias_of_theory(document):
    """Oracle: two halves of one distribution: FID and FVD fall with their size, KID is 0."""
    assert document["bias"]["holds"] == {"fid": True, "kid": True, "fvd": True}


@pytest.mark.slow  # Shares the measurement above.
def test_experts_are_good_enough_on_the_fixed_set(document):
    """Oracle: exact truth; bounds as for the accuracy of the experts on unseen people."""
    found = document["estimators"]
    for expert in ("A", "B"):
        assert found["aus"][expert]["mae"] <= 0.05 and found["aus"][expert]["mae_union"] <= 0.08
    assert found["landmarks"]["A"]["error"] <= 2
    assert found["offset"]["within_1"] >= 0.95
    assert found["identity"]["eer"] <= 0.05
    assert found["emotion"]["correct"] >= 0.9 * found["emotion"]["clips"]


@pytest.mark.slow  # Shares the measurement above.
def test_the_command_writes_its_report_and_fails_on_a_damaged_value(document, tmp_path, monkeypatch, capsys):
    """Oracle: exit code 0 with the pinned values, 1 with one of them changed; the document printed is the one written."""
    damaged = copy.deepcopy(document)
    text = expected.FILE.read_text("utf-8")
    file = tmp_path / "expected.toml"
    file.write_text(re.sub(r'("psnr" = { expected = )[0-9.]+', r"\g<1>12.5", text))
    scores = {row["metric"]: Score(row["value"], row["n"], row["missing"]) for row in document["expected"]["rows"]}
    damaged["expected"] = expected.check(
        scores, resolve_metrics(list(SYNTH_METRICS)), document["experts"], document["clips"], file
    )
    assert _run(monkeypatch, document, tmp_path / "good", "--json") == 0
    assert json.loads(capsys.readouterr().out) == json.loads((tmp_path / "good" / "calibration.json").read_text())
    assert _run(monkeypatch, damaged, tmp_path / "bad") == 1
    assert "DIFFERS: psnr" in capsys.readouterr().out
    report = (tmp_path / "good" / "report.md").read_text("utf-8")
    figures = re.findall(r"\]\((\w+\.png)\)", report)
    assert len(figures) == len(DEGRADATIONS) + 1
    assert all((tmp_path / "good" / figure).stat().st_size > 5000 for figure in figures)


def _run(monkeypatch, document: dict, out: Path, *options: str) -> int:
    monkeypatch.setattr("bench.calibration.calibrate.calibrate", lambda **settings: document)
    monkeypatch.setattr("sys.argv", ["bench", "calibrate", "--out", str(out), *options])
    return main()
