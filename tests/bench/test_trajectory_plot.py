"""Figure 1b. Oracles: numbers by hand, the target itself, a video that stands still."""

import csv
import shutil
from functools import partial

import numpy as np
import pytest
from matplotlib.image import imread

from bench.plan import make_plan
from bench.published_table import MEASURED
from bench.reproduce import reproduce, write_tables
from bench.trajectory_plot import intensity, temporal_l1
from protocols.plan_spec import PlanRow, PlanSpec, read_plan
from tests.bench.conftest import Quiet

PLAN = PlanSpec(
    title="AUs over time", paper="none", protocols=("mead_disentangle",), columns={"F1-AU": "au_f1"}, trajectories=True,
    rows=(PlanRow(label="still", method="still_image"), PlanRow(label="truth", method="ground_truth")),
)  # fmt: skip


def test_intensity_and_error_by_hand():
    """OpenFace's 17 intensities reach from 0 to 5."""
    aus = np.zeros((3, 17))
    aus[1, :2] = 5.0
    aus[2] = np.nan
    made = intensity(aus, "openface17")
    assert made[:2] == pytest.approx([0.0, 2 / 17]) and np.isnan(made[2])
    assert temporal_l1(made, np.array([0.5, 0.0, 0.7])) == pytest.approx((0.5 + 2 / 17) / 2)


def test_the_target_has_no_error_and_a_still_face_has_its_mean_distance(weights, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("bench.reproduce.make_plan", partial(make_plan, metrics=["psnr"]))
    monkeypatch.setattr("bench.reproduce.read_plan", lambda name: PLAN)
    done = reproduce("fig", synthetic=True, data={}, weights=weights, progress=Quiet(), devices="cpu", limit=1)
    table, figure, numbers = write_tables("fig", done)
    assert (figure.name, numbers.name) == ("fig_synth_disentangle.png", "fig_synth_disentangle.csv")
    assert (imread(figure)[..., :3].min(-1) < 0.5).mean() > 0.005
    with open(numbers, newline="") as file:
        rows = {row["row"]: row for row in csv.DictReader(file)}
    assert float(rows["truth"]["temporal_l1"]) == 0 and rows["truth"]["n"] == "1"
    assert 0.01 < float(rows["still"]["temporal_l1"]) < 0.5
    # The published table's column of this name, over all clips of a run: here the same one.
    for row, run in done.runs["synth_disentangle"]:
        cell = MEASURED["Temporal L1"](run)
        assert cell.value == pytest.approx(float(rows[row.label]["temporal_l1"]), abs=1e-5)
        assert (cell.n, cell.n_failed, cell.ci95) == (1, 0, None)
        for video in run.folder.glob("videos/**/*.*"):
            video.unlink()
    shutil.rmtree(weights.cache / "features", ignore_errors=True)
    assert MEASURED["Temporal L1"](run).value is None and MEASURED["Temporal L1"](run).missing


def test_the_plan_shows_the_ablations_that_the_caption_speaks_of():
    """A static bias and absent expression (Fig. 1): what the rows without IDA and without DBE are for."""
    plan = read_plan("iuface_fig1b")
    assert plan.trajectories and {row.settings.get("preset") for row in plan.rows} == {None, "wo_ida", "wo_dbe"}
