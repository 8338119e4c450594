"""Reproducing a plan: its rows are run once, named as printed, compared with the first. Oracle: the rows' own runs."""

from __future__ import annotations

import pytest

from bench import registry, sweep_plot
from bench.cli import main
from bench.reproduce import reproduce, write_tables
from bench.run import Outcome
from bench.sweep_plot import draw_sweep
from protocols.plan_spec import PlanRow, PlanSpec
from protocols.synth.protocols import SYNTH_METRICS
from tests.bench.conftest import Quiet

PLAN = PlanSpec(
    title="controls side by side", paper="none", protocols=("mead_std",), columns={"PSNR": "psnr"}, axis="frames",
    rows=(
        PlanRow(label="still", method="still_image", settings={"frames": 1.0}),
        PlanRow(label="elsewhere", method="a_method_made_elsewhere"),
        PlanRow(label="truth", method="ground_truth", settings={"frames": 2.0}),
    ),
)  # fmt: skip


@pytest.fixture
def plan(monkeypatch, tmp_path):
    """PLAN under the name `controls`, without its settings where a run would see them."""
    bare = PLAN.model_copy(update={"rows": tuple(row.model_copy(update={"settings": {}}) for row in PLAN.rows)})
    monkeypatch.setattr("bench.reproduce.read_plan", lambda name: bare.model_copy(update={"axis": None}))
    monkeypatch.chdir(tmp_path)


def test_rows_are_run_once_and_stand_in_the_plans_order(plan, weights, tmp_path):
    arguments = dict(synthetic=True, data={}, weights=weights, devices="cpu", limit=2)
    done = reproduce("controls", progress=Quiet(), **arguments)
    assert [row.label for row, _ in done.runs["synth_std"]] == ["still", "truth"]
    assert len(done.skipped) == 1 and "bench score --videos" in done.skipped[0]
    (table,) = write_tables("controls", done)
    text = table.read_text()
    assert text.index("still (still_image)") < text.index("truth (ground_truth)")
    assert "Differences to still (still_image)" in text and "synthetic faces" in text
    stamps = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.mkv")}
    reproduce("controls", progress=Quiet(), **arguments)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.mkv")} == stamps


def test_a_row_that_is_not_finished_is_left_out(plan, weights, monkeypatch):
    """Oracle: construction; other machines still have cases of every run."""
    monkeypatch.setattr("bench.reproduce.run", lambda made, folder, **_: Outcome(folder, None, 2))
    arguments = dict(synthetic=True, data={}, weights=weights, devices="cpu", limit=2)
    done = reproduce("controls", progress=Quiet(), **arguments)
    assert done.runs == {} and done.failed == 0 and write_tables("controls", done) == []
    unfinished = [line for line in done.skipped if "on synth_std: 2 cases are still to come from other shards" in line]
    assert [line.partition(" ")[0] for line in unfinished] == ["still", "truth"]


def test_a_sweep_is_drawn_with_a_point_per_row(plan, weights, tmp_path):
    from matplotlib.image import imread

    done = reproduce("controls", synthetic=True, data={}, weights=weights, progress=Quiet(), devices="cpu", limit=2)
    rows = [(PLAN.rows[i], run.summary) for i, (_, run) in zip((0, 2), done.runs["synth_std"], strict=True)]
    picture = imread(draw_sweep(PLAN, rows, tmp_path / "sweep.png"))
    assert picture.shape[1] > 1000 and (picture[..., :3].min(-1) < 0.5).mean() > 0.005


def block(value: float | None) -> dict:
    return {"value": value, "ci95": value and [value - 1, value + 1], "higher_is_better": True}


def test_correlation_stands_beside_the_error_also_where_runs_have_different_metrics(monkeypatch, tmp_path):
    """Oracle: the metrics of `synth_std`; the runs' own values, of which the first run lacks some and the last has none."""
    drawn = {}
    panel = sweep_plot._panel
    monkeypatch.setattr(
        sweep_plot, "_panel", lambda axes, key, points: drawn.update({key: points}) or panel(axes, key, points)
    )
    full = {registry.metric_key(registry.metric(name)): block(float(n)) for n, name in enumerate(SYNTH_METRICS)}
    few = {key: entry for key, entry in full.items() if key in ("psnr", "au_mae@synth")}
    metrics = [few, full, {key: block(None) for key in full}]
    rows = tuple(PlanRow(label=str(x), method="still_image", settings={"frames": x}) for x in (1.0, 2.0, 3.0))
    summaries = [{"metrics": one, "synthetic": True, "n": 4} for one in metrics]
    draw_sweep(PLAN, list(zip(rows, summaries, strict=True)), tmp_path / "sweep.png")
    assert list(drawn) == ["fid@synth", "acc_emo@synth", "au_mae@synth", "au_pcc@synth", "lse_c@synth", "psnr"]
    assert [x for x, _ in drawn["au_mae@synth"]] == [1.0, 2.0, 3.0]
    assert [x for x, _ in drawn["au_pcc@synth"]] == [2.0, 3.0]
    assert drawn["au_pcc@synth"][0][1] == full["au_pcc@synth"]


def test_real_protocols_need_their_data_set(monkeypatch, weights, capsys):
    done = reproduce("auhead_table2", synthetic=False, data={}, weights=weights, progress=Quiet(), devices="cpu")
    assert not done.runs and all(
        "--data mead=DIR" in line or "--data crema=DIR" in line or "no method" in line for line in done.skipped
    )
    monkeypatch.setattr("sys.argv", ["bench", "reproduce", "auhead_table2", "--synth", "--data", "mead=x"])
    assert main() == 2 and "leave --data out" in capsys.readouterr().err
    monkeypatch.setattr("sys.argv", ["bench", "reproduce", "nothing", "--synth"])
    assert main() == 2 and "unknown plan 'nothing'" in capsys.readouterr().err
