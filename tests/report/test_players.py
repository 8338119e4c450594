"""What a case's page and a board's figures are made of. Oracles: AU files, pictures, the runs' own settings."""

from __future__ import annotations

import shutil

import numpy as np
from matplotlib.image import imread

from bench import registry
from bench.leaderboard import open_run
from bench.media import au
from bench.media.clip import Clip
from bench.report.curves import curves
from bench.report.figures import sweeps
from bench.report.gather import Board, gather
from bench.report.players import CaseMedia
from protocols.plan_spec import PlanRow, PlanSpec
from tests.report.conftest import make_run, numbered_clips


def media_of(board: Board, folder, weights) -> CaseMedia:
    return CaseMedia(board, folder / board.folder, weights, "cpu", lambda path: None)


def test_answers_of_the_first_stage_are_drawn_against_the_case_s_own_aus(tmp_path, weights, monkeypatch):
    """Oracle: a method that answers with the truth, rounded to two decimals, and the case's AU file."""
    monkeypatch.setitem(registry.METHODS, "oracle", "tests.bench.test_answers:Oracle")
    run = make_run(
        tmp_path / "run", weights, method="oracle", protocol="synth_stage1", data=tmp_path / "data", limit=1,
        metrics=["au_mae@answer"],
    )  # fmt: skip
    board = Board("synth_stage1", "synth_stage1", (run,))
    (case,) = run.plan.cases
    page = media_of(board, tmp_path / "site", weights).page(case)
    assert [show.label for show in page.shows] == ["reference", "target"] and page.estimator == "the methods' answers"
    truth = au.read(case.aus, "feafa24").resample(5.0, page.frames).values
    expected = {
        curve.name: curve for curve in curves({0: truth, 1: truth.round(2)}, "feafa24", {0: "target", 1: "oracle"})
    }
    for curve in page.plots:
        assert curve.lines == expected[curve.name].lines, curve.name


def test_what_is_not_on_this_machine_is_named_without_its_folders(made, tmp_path, monkeypatch):
    """Oracle: a run whose videos and data are gone still has a page, which names no folder."""
    monkeypatch.setenv("AU_BENCH_CACHE", str(made.weights.cache))
    gone = tmp_path / "runs" / "folder" / "gone"
    shutil.copytree(made.runs["folder reencoded"].folder, gone, ignore=shutil.ignore_patterns("videos", "viewer"))
    text = (gone / "run.json").read_text("utf-8")
    data = str(made.runs["folder reencoded"].plan.cases[0].target.parent)
    (gone / "run.json").write_text(text.replace(data, str(tmp_path / "elsewhere")), "utf-8")
    board = Board("folder", "folder", (open_run(gone),))
    page = media_of(board, tmp_path / "site", made.weights).page(board.runs[0].plan.cases[0])
    said = {show.label: show.missing for show in page.shows}
    assert said["reference"] == said["target"] == "not on this machine: a.mp4: No such file or directory"
    assert said["reencoded"] == "gone: the video of case a is not on this machine"
    assert str(tmp_path) not in repr(page.notes) + repr(page.shows)


def test_the_reference_picture_is_the_first_frame(made, tmp_path):
    """Oracle: the clip; JPEG at quality 88 moves a rendered face by 1 to 2 grey levels."""
    board = Board("synth_std", "synth_std", (made.runs["synth reencoded"],))
    case = board.runs[0].plan.cases[0]
    media = media_of(board, tmp_path, made.weights)
    show = media.reference(case)
    picture = imread(tmp_path / board.folder / show.image.removeprefix("../"))
    assert np.abs(picture.astype(float) - Clip(case.reference).first_frame()).mean() < 3


def test_runs_over_other_cases_have_a_board_of_their_own(made, tmp_path, weights):
    """Oracle: the runs' data digests. Settings of a protocol that change no frame do not part runs."""
    folders = [made.runs[key].folder for key in ("folder reencoded", "folder still_image", "synth reencoded")]
    data = numbered_clips(tmp_path / "data")
    (data / "c.mp4").unlink()
    other = make_run(tmp_path / "other", weights, method="still_image", protocol="folder", data=data, metrics=["psnr"])
    boards = gather(tmp_path, [*folders, other.folder]).boards
    assert sorted(len(board.runs) for board in boards) == [1, 1, 2]
    assert {board.title for board in boards if board.protocol == "folder"} == {
        f"folder (data {run.summary['data'][:8]})" for run in (made.runs["folder reencoded"], other)
    }
    assert len({board.folder for board in boards}) == 3


def test_a_sweep_is_drawn_where_a_plan_s_points_are_among_the_runs(made, tmp_path, weights, monkeypatch):
    """Oracle: the plan: two of its three points have a run."""
    rows = tuple(PlanRow(label=str(crf), method="reencoded", settings={"crf": crf}) for crf in (32, 45, 51))
    common = dict(title="crf", paper="none", protocols=("folder",), columns={"PSNR": "psnr"}, rows=rows)
    plans = {"with axis": PlanSpec(axis="crf", **common), "without": PlanSpec(**common)}
    monkeypatch.setattr("bench.report.figures.plans", lambda: list(plans))
    monkeypatch.setattr("bench.report.figures.read_plan", plans.__getitem__)
    first = made.runs["folder reencoded"]
    assert first.manifest["config"]["crf"] == 32
    second = make_run(
        tmp_path / "second", weights, method="reencoded", protocol="folder", data=first.plan.cases[0].target.parent,
        metrics=["psnr"], settings={"crf": "45"},
    )  # fmt: skip
    wrote = []
    assert sweeps(Board("folder", "folder", (first,)), tmp_path, wrote.append) == []
    (figure,) = sweeps(Board("folder", "folder", (first, second)), tmp_path, wrote.append)
    assert figure.address == "media/with axis.png" and wrote == [tmp_path / "media" / "with axis.png"]
    assert imread(wrote[0]).shape[1] > 1000 and "crf=45" in figure.text
