"""Published tables again. Oracles: runs whose scores are chosen, the papers' cells, the command line, TeX."""

import csv
import io
import json
import re
import shutil
import subprocess
from functools import partial

import numpy as np
import pytest

from bench.cli import main
from bench.leaderboard import finished_runs
from bench.media.errors import UserError
from bench.plan_runs import filling_command, run_of_row
from bench.published_table import MEASURED, PublishedTable, all_tables, read_document, regenerate, synthetic_counterpart
from bench.reported import cells_of, plan_of, reported_tables
from bench.table_formats import as_json, csv_text, from_json, latex, markdown, plain
from protocols.plan_spec import counterpart_metric, plans, read_plan
from tests.bench.stored_runs import stored_run

CASES = 36


def scores(mean, spread=0.1, seed=0):
    """Values of CASES cases around a mean; of one seed they go up and down together, so differences are sharp."""
    return mean + spread * np.random.default_rng(seed).standard_normal(CASES)


def nothing(protocol):
    return []


def rows_of(published):
    return {row.label: row.cells for row in published.table.rows}


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """An empty place for runs, and a function that finds them."""
    monkeypatch.setenv("AU_BENCH_CACHE", str(tmp_path / "cache"))
    return partial(finished_runs, root=tmp_path / "runs")


@pytest.fixture
def root(tmp_path):
    return tmp_path / "runs"


# -- the print without runs -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", reported_tables())
def test_without_runs_the_reported_side_is_full_and_every_cell_says_what_fills_it(name):
    """Oracle: results/paper; the command line's own words for running and scoring."""
    published = regenerate(name, nothing)
    printed = cells_of(name)
    shown = [cell.reported for cells in rows_of(published).values() for cell in cells.values() if cell.reported]
    assert sorted(one.printed for one in shown) == sorted(one.printed for one in printed.values())
    for cells in rows_of(published).values():
        for cell in cells.values():
            assert cell.value is None and cell.delta is None and cell.n == 0
            assert re.search(r"python -m bench (run|score|study) ", cell.missing)


def test_rows_and_columns_are_the_plans_in_its_order():
    """Oracle: the printed header of AUHead's Table 3, twice."""
    published = regenerate("auhead_table3", nothing)
    names = ["Sync", "PSNR", "SSIM", "FID", "M-LMD", "F-LMD"]
    assert [c.key for c in published.table.columns] == [
        f"{data} {name}" for data in ("MEAD", "CREMA") for name in names
    ]
    assert [row.label for row in published.table.rows] == [row.label for row in read_plan("auhead_table3").rows]
    assert published.place == "Table 3"


def test_rows_of_two_protocols_share_a_column():
    """Oracle: supplement E.5 has one number per setting."""
    published = regenerate("iuface_e5", nothing)
    (column,) = published.table.columns
    assert [cells[column.key].reported.printed for cells in rows_of(published).values()] == ["0.82", "0.81"]
    missing = [cells[column.key].missing for cells in rows_of(published).values()]
    assert "mead_disentangle" in missing[0] and "mead_std_iuface" in missing[1]


def test_commands_name_the_row_its_settings_and_its_data(monkeypatch):
    """Oracle: the plan's row; a method that is not here is scored, one with settings cannot be."""
    rows = {row.label: row for row in read_plan("auhead_table2").rows}
    assert filling_command(rows["Baseline (MEMO*)"], "crema_std", False) == (
        "python -m bench run --method memo --protocol crema_std --data PREPARED/crema"
    )
    unpublished, _, command = filling_command(rows["MEMO + RoM"], "crema_std", False).rpartition(": ")
    assert "`python -m bench train auhead_memo --stage 2` and give it with --set adapter=FILE" in unpublished
    assert command == (
        "python -m bench run --method auhead_memo --protocol crema_std --data PREPARED/crema --set au_representation=rom"
    )
    assert filling_command(rows["MEMO + RoM"], "synth_std", True) == (
        "python -m bench run --method auhead_memo --protocol synth_std --set au_representation=rom"
    )
    elsewhere = rows["Baseline (MEMO*)"].model_copy(update={"method": "somebody_elses"})
    assert filling_command(elsewhere, "mead_std", False) == (
        "no method somebody_elses here: python -m bench score --videos VIDEOS/somebody_elses --name somebody_elses "
        "--protocol mead_std --data PREPARED/mead"
    )
    lost = rows["MEMO + RoM"].model_copy(update={"settings": {"a_lost_setting": 1.0}})
    assert "has no setting a_lost_setting" in filling_command(lost, "mead_std", False)


# -- runs in it -------------------------------------------------------------------------------------------------------


def test_a_run_fills_its_row_and_the_difference_is_to_the_print(runs, root):
    """Analytic: 7.2 here against 6.9885 in print; the interval and n are the run's own."""
    run = stored_run(root, "mead_std", "memo", {"lse_c@eat": scores(7.2)})
    cell = rows_of(regenerate("auhead_table2", runs))["Baseline (MEMO*)"]["MEAD Sync"]
    block = run.summary["metrics"]["lse_c@eat"]
    assert (cell.value, list(cell.ci95), cell.n) == (block["value"], block["ci95"], CASES)
    assert cell.reported.printed == "6.9885" and cell.delta == pytest.approx(block["value"] - 6.9885)
    assert cell.missing is None and cell.mark == ""


def test_a_run_that_lacks_the_metric_is_told_by_its_command(runs, root):
    """Oracle: the row's command with the metric's name."""
    stored_run(root, "mead_std", "memo", {"lse_c@eat": scores(7.2)})
    cells = rows_of(regenerate("auhead_table2", runs))["Baseline (MEMO*)"]
    assert cells["MEAD M-LMD"].missing == (
        "python -m bench run --method memo --protocol mead_std --data PREPARED/mead --metrics m_lmd@eat128"
    )
    assert "--metrics" not in cells["CREMA M-LMD"].missing


def test_settings_decide_which_row_a_run_makes(runs, root):
    """Oracle: the plan's three representations; a run with another setting changed makes none of them."""
    for representation in ("seq", "lmk"):
        stored_run(
            root, "mead_std", "auhead_memo", {"lse_c@eat": scores(20)}, settings={"au_representation": representation}
        )
    rows = {row.label: row for row in read_plan("auhead_table2").rows}
    found = {label: run_of_row(row, "mead_std", runs("mead_std")) for label, row in rows.items()}
    assert [run and run.manifest["config"]["au_representation"] for run in found.values()] == [None, "seq", "lmk", None]
    stored_run(
        root,
        "mead_std",
        "auhead_memo",
        {"lse_c@eat": scores(99)},
        settings={"au_representation": "rom", "au_scale": "9"},
    )
    assert run_of_row(rows["MEMO + RoM"], "mead_std", runs("mead_std")) is None


def test_weights_of_ones_own_make_a_row_on_real_data(runs, root):
    """Oracle: AUHead has no published weights, so that every run of it names a file; a star in print is a base that was trained
    again. On rendered faces the shipped weights make the row."""
    rows = {row.label: row for row in read_plan("auhead_table3").rows}
    own = {"au_representation": "lmk", "adapter": "adapter.safetensors", "stage1_adapter": "stage1.safetensors"}
    auhead = stored_run(root, "mead_std", "auhead_memo", {"lse_c@eat": scores(7)}, settings=own)
    assert run_of_row(rows["AUHead (MEMO)"], "mead_std", runs("mead_std")).folder == auhead.folder
    published = stored_run(root, "mead_std", "memo", {"lse_c@eat": scores(6)})
    assert run_of_row(rows["MEMO* (2025)"], "mead_std", runs("mead_std")).folder == published.folder
    trained = {"checkpoint": "memo.safetensors"}
    again = stored_run(root, "mead_std", "memo", {"lse_c@eat": scores(6)[:12]}, settings=trained)
    assert run_of_row(rows["MEMO* (2025)"], "mead_std", runs("mead_std")).folder == again.folder
    plain = rows["MEMO* (2025)"].model_copy(update={"label": "MEMO"})
    assert run_of_row(plain, "mead_std", runs("mead_std")).folder == published.folder
    stored_run(root, "synth_std", "auhead_memo", {"psnr": scores(20)}, settings=own)
    assert run_of_row(rows["AUHead (MEMO)"], "synth_std", runs("synth_std")) is None


def test_of_several_runs_the_fuller_then_the_smaller_seed_and_ones_own_first(runs, root):
    """Analytic: 36 cases before 12, seed 0 before 1, a run made here before one handed in."""
    row = read_plan("auhead_table2").rows[0]
    short = stored_run(root, "mead_std", "memo", {"lse_c@eat": scores(1)[:12]})
    handed_in = stored_run(root, "mead_std", "memo", {"lse_c@eat": scores(4)}, submitted={"by": "x"})
    assert run_of_row(row, "mead_std", runs("mead_std")).folder == short.folder
    second = stored_run(root, "mead_std", "memo", {"lse_c@eat": scores(2)}, seed=1)
    assert run_of_row(row, "mead_std", runs("mead_std")).folder == second.folder
    first = stored_run(root, "mead_std", "memo", {"lse_c@eat": scores(3)})
    assert run_of_row(row, "mead_std", runs("mead_std")).folder == first.folder
    for run in (short, second, first):
        shutil.rmtree(run.folder)
    published = regenerate("auhead_table2", runs)
    assert published.runs["Baseline (MEMO*)", "MEAD"].folder == handed_in.folder
    assert "Baseline (MEMO*): others made this run and handed it in" in published.table.notes


def test_videos_scored_under_a_methods_name_make_its_row(runs, root):
    """Oracle: `bench score --name sonic`."""
    stored_run(root, "mead_std_iuface", "sonic", {"psnr": scores(24)}, videos="VIDEOS/sonic")
    assert rows_of(regenerate("iuface_table8", runs))["Sonic (CVPR'25)"]["PSNR"].n == CASES


def test_best_and_second_only_where_the_paired_interval_supports_them(runs, root):
    """Analytic: three rows that go up and down together, a clear step apart; then two whose step drowns in noise."""
    for name, mean in (("sonic", 22), ("dice_talk", 23), ("hallo3", 24)):
        stored_run(
            root,
            "mead_std_iuface",
            name,
            {"psnr": scores(mean), "ssim@skimage7": scores(0.8, 0.1, seed=mean)},
            videos="v",
        )
    published = regenerate("iuface_table8", runs)
    marks = {label: cells["PSNR"].mark for label, cells in rows_of(published).items()}
    assert marks == {
        "Hallo3 (CVPR'25)": "best", "DICE-Talk (ACM MM'25)": "second", "Sonic (CVPR'25)": "",
        "StableAvatar (arXiv)": "", "IUFace (Ours)": "",
    }  # fmt: skip
    assert {cells["SSIM"].mark for cells in rows_of(published).values()} == {"tie", ""}
    block = published.difference("Hallo3 (CVPR'25)", "Sonic (CVPR'25)", "PSNR")
    assert block["value"] == pytest.approx(2) and block["ci95"][0] > 1.9
    assert published.difference("Hallo3 (CVPR'25)", "IUFace (Ours)", "PSNR") is None


def test_other_cases_are_not_ranked_even_under_the_same_ids(runs, root):
    """Analytic: two runs of one data set, a better one of another copy of it."""
    for name, mean, data in (("sonic", 22, "a"), ("dice_talk", 23, "a"), ("hallo3", 30, "b")):
        stored_run(root, "mead_std_iuface", name, {"psnr": scores(mean)}, videos="v", data=data)
    cells = rows_of(regenerate("iuface_table8", runs))
    assert cells["Hallo3 (CVPR'25)"]["PSNR"].mark == "" and "other cases" in cells["Hallo3 (CVPR'25)"]["PSNR"].note
    assert cells["DICE-Talk (ACM MM'25)"]["PSNR"].mark == "best"


def test_a_comparison_takes_other_methods_in_and_an_ablation_does_not(runs, root):
    """Oracle: `open` of the plans; a label that copies a row's name does not pass for it; controls come last."""
    stored_run(root, "mead_std", "still_image", {"lse_c@eat": scores(20)})
    stored_run(root, "mead_std", "MEMO* (2025)", {"lse_c@eat": scores(99)}, videos="v")
    published = regenerate("auhead_table3", runs)
    assert [row.label for row in published.table.rows][-2:] == ["MEMO* (2025) (here)", "still_image"]
    cells = rows_of(published)
    assert cells["still_image"]["MEAD Sync"].n == CASES and cells["still_image"]["MEAD Sync"].reported is None
    assert cells["still_image"]["CREMA Sync"].missing == "still_image has no run on crema_std"
    assert cells["MEMO* (2025)"]["MEAD Sync"].value is None
    assert [row.section for row in published.table.rows][-2:] == ["", "controls"]
    assert len(regenerate("auhead_table2", runs).table.rows) == 4


def test_size_and_cost_come_from_the_run(runs, root):
    """Analytic: run.json has 1.5e9 parameters and 20 GB on a GPU; cases took 2 and 3 s in turn."""
    stored_run(root, "mead_disentangle", "sonic", {"psnr": scores(20)}, videos="v")
    cells = rows_of(regenerate("iuface_table3", runs))["Sonic"]
    assert cells["Params (B)"].value == 1.5 and cells["GPU Mem (GB)"].value == 20 and cells["Speed (s)"].value == 2.5
    assert cells["Speed (s)"].delta == pytest.approx(2.5 - 118.26)
    slow = {"invocations": [{"devices": ["cpu"], "parameters": 5, "peak_memory_bytes": 7}]}
    shutil.rmtree(root)
    stored_run(root, "mead_disentangle", "sonic", {"psnr": scores(20)}, videos="v", **slow)
    cells = rows_of(regenerate("iuface_table3", runs))["Sonic"]
    assert cells["GPU Mem (GB)"].value is None and "run it on a GPU" in cells["GPU Mem (GB)"].missing
    assert cells["Speed (s)"].note == "on a processor"


def test_every_column_that_is_no_metric_has_a_measure():
    """Oracle: the plans."""
    assert {column for name in plans() for column in read_plan(name).unmeasured} == set(MEASURED)


def test_the_study_fills_table_4(tmp_path, monkeypatch):
    """Analytic: a tally in which HalloV2 stands first; shares become percent, the difference AUHead minus HalloV2."""
    share = {"binomial": [0.1, 0.3], "raters": [0.1, 0.3]}
    answers = {
        "ratings": 800, "first": share | {"value": 0.2}, "second": share | {"value": 0.7}, "same": share | {"value": 0.1},
        "difference": {"value": -0.5, "binomial": None, "raters": [-0.6, -0.4]}, "verdict": "auhead_memo (x=1)", "alpha": 0.5,
    }  # fmt: skip
    tally = {"study": "s", "protocol": "mead_std", "synthetic": False, "raters": 25, "refused": [], "pairs": [
        {"first": "hallo2", "second": "auhead_memo (x=1)", "clips": 32, "questions": {"sync": answers}}]}  # fmt: skip
    folder = tmp_path / "results" / "studies" / "s"
    folder.mkdir(parents=True)
    (folder / "tally.json").write_text(json.dumps(tally))
    monkeypatch.chdir(tmp_path)
    published = regenerate("auhead_table4", nothing)
    cells = {label: row["Audio-Lip Sync"] for label, row in rows_of(published).items()}
    assert [cells[label].value for label in ("HalloV2", "AUHead", "Same")] == pytest.approx([20, 70, 10])
    assert [cells[label].mark for label in ("HalloV2", "AUHead", "Same")] == ["", "best", ""]
    assert cells["AUHead"].ci95 == pytest.approx((10, 30)) and cells["AUHead"].delta == pytest.approx(70 - 71)
    block = published.difference("AUHead", "HalloV2", "Audio-Lip Sync")
    assert block["value"] == pytest.approx(50) and block["ci95"] == pytest.approx([40, 60])
    assert rows_of(published)["AUHead"]["Video Quality"].missing.startswith("python -m bench study make")


# -- the synthetic counterpart ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", plans())
def test_every_column_has_a_synthetic_metric(name):
    """Oracle: the synthetic protocol computes it; the synthetic side has no reported values."""
    published = regenerate(name, nothing, synthetic=True)
    assert "(synthetic faces)" in published.table.title
    assert all(cell.reported is None for cells in rows_of(published).values() for cell in cells.values())
    assert [c.printed for c in published.table.columns] == list(
        dict.fromkeys(c.printed for c in regenerate(name, nothing).table.columns)
    )
    assert all("synth" in cell.missing for cells in rows_of(published).values() for cell in cells.values())


def test_counterparts_of_metrics():
    """Analytic: the same name, the bare one, the expert's, and the second expert for an estimator of another family."""
    available = ["psnr", "au_f1@synth", "au_f1@synth_b", "acc_emo@answer"]
    asked = ["psnr@eat128", "au_f1", "au_f1@target.libreface12", "acc_emo@answer"]
    found = [counterpart_metric(metric, available) for metric in asked]
    assert found == ["psnr", "au_f1@synth", "au_f1@synth_b", "acc_emo@answer"]


def test_a_user_study_has_no_counterpart():
    with pytest.raises(UserError, match="auhead_table4 is a user study"):
        regenerate("auhead_table4", nothing, synthetic=True)


def test_what_came_with_the_suite_stands_until_there_is_more(runs, root, tmp_path, monkeypatch):
    """Analytic: 36 cases came with it; 12 do not replace them, 36 do."""
    stored_run(root, "synth_std", "memo", {"psnr": scores(20)})
    shipped = regenerate("auhead_table2", runs, synthetic=True)
    assert shipped.difference("Baseline (MEMO*)", "MEMO + LMK", "PSNR") is None
    (tmp_path / "auhead_table2.json").write_text(json.dumps(shipped.document()))
    monkeypatch.setattr("bench.published_table.SHIPPED", tmp_path)
    assert synthetic_counterpart("auhead_table2", nothing).table == shipped.table
    shutil.rmtree(root)
    stored_run(root, "synth_std", "memo", {"psnr": scores(30)[:12]})
    assert synthetic_counterpart("auhead_table2", runs).table == shipped.table
    stored_run(root, "synth_std", "memo", {"psnr": scores(30)})
    assert rows_of(synthetic_counterpart("auhead_table2", runs))["Baseline (MEMO*)"]["PSNR"].value > 29


# -- forms ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def filled(runs, root) -> PublishedTable:
    """AUHead's Table 2 with two rows here."""
    for representation, mean in (("seq", 5.0), ("lmk", 6.0)):
        stored_run(root, "mead_std", "auhead_memo", {"lse_c@eat": scores(mean), "m_lmd@eat128": scores(2, 0.01)},
                   settings={"au_representation": representation})  # fmt: skip
    return regenerate("auhead_table2", runs)


def test_json_is_the_contracts_and_comes_back_whole(filled):
    """Oracle: the design's keys; the table itself after a round trip, differences and all."""
    filled.difference("MEMO + LMK", "MEMO + AU Seq", "MEAD Sync")
    document = json.loads(json.dumps(filled.document()))
    assert document["columns"][:2] == ["MEAD Sync", "MEAD PSNR"]
    row = document["rows"][2]
    cell = row["cells"]["MEAD Sync"]
    assert (row["method"], row["name"]) == ("MEMO + LMK", "auhead_memo")
    assert {"reported", "ours", "ci95", "n", "delta", "mark", "missing"} <= cell.keys()
    assert (cell["reported"], cell["printed"], cell["printed_mark"], cell["earned_mark"]) == (
        6.6311, "6.6311", "second", ""
    )  # fmt: skip
    assert document["metrics"]["MEAD Sync"]["metric"] == "lse_c@eat" and document["metrics"]["MEAD Sync"]["why"]
    again = read_document("auhead_table2", document)
    assert again.table == filled.table == from_json(as_json(filled.table))
    assert again.difference("MEMO + LMK", "MEMO + AU Seq", "MEAD Sync")["value"] == pytest.approx(1.0)


def test_markdown_has_three_lines_where_there_is_a_run_and_one_where_there_is_none(filled):
    """Oracle: the printed digits; n; the difference with its sign."""
    lines = [line for line in markdown(filled.table).splitlines() if line.startswith("|")]
    start = next(n for n, line in enumerate(lines) if line.startswith("| MEMO + LMK"))
    reported, ours, difference = lines[start : start + 3]
    assert "| reported |  | 6.6311 | 23.3466 |" in reported
    assert re.match(r"\|  \| ours \| 36 \| \*\*(5\.9|6\.0)\d*\*\* \[5\.\d+, 6\.\d+\] \| –<sup>", ours)
    assert difference.startswith("|  | difference |  | -0.6")
    assert sum(line.startswith("| Baseline") for line in lines) == 2  # Two data sets, one line each.
    assert "MEAD Sync: underlined is MEMO + LMK" in markdown(filled.table)
    assert "Sync is taken for lse_c@eat: 5 to 9" in markdown(filled.table)


def test_csv_has_a_line_per_cell(filled):
    """Oracle: Python's own reader."""
    rows = list(csv.DictReader(io.StringIO(csv_text(filled.table))))
    assert len(rows) == 4 * 12
    row = next(r for r in rows if r["row"] == "MEMO + LMK" and r["metric"] == "lse_c@eat" and r["group"] == "MEAD")
    assert (row["reported"], row["printed_mark"], row["protocol"], row["n"]) == ("6.6311", "second", "mead_std", "36")
    assert float(row["difference"]) == pytest.approx(float(row["ours"]) - 6.6311)


def test_plain_text_fits_a_terminal(filled):
    assert max(map(len, plain(filled.table).splitlines())) <= 120


def tabulars(text: str) -> list[list[list[str]]]:
    """Cells of every tabular; the columns its preamble declares must be those its rows have."""
    found = []
    for spec, body in re.findall(r"\\begin\{tabular\}\{(\w+)\}\n(.*?)\\end\{tabular\}", text, re.DOTALL):
        assert body.startswith("\\toprule\n") and body.endswith("\\bottomrule\n") and body.count("\\midrule") == 1
        lines = [line for line in body.splitlines() if line not in ("\\toprule", "\\midrule", "\\bottomrule")]
        cells = [re.split(r"(?<!\\)&", re.sub(r" \\\\( \\addlinespace)?$", "", line)) for line in lines]
        assert all(line.endswith((r" \\", r" \\ \addlinespace")) for line in lines)
        assert {len(row) for row in cells} == {len(spec)}
        found.append(cells)
    return found


def test_latex_is_sound(filled):
    """Oracle: structure: as many cells as columns, balanced braces, nothing special left bare."""
    for published in (filled, *(regenerate(name, nothing) for name in reported_tables())):
        text = latex(published.table)
        assert tabulars(text)
        bare = re.sub(r"\\[\\{}$&%#_]|\\\w+", "", text.partition("\n")[2])
        assert bare.count("{") == bare.count("}") and bare.count("$") % 2 == 0
        assert not re.search(r"[%#]|--\w", bare)


def test_latex_compiles(filled, tmp_path):
    """Oracle: TeX itself, all tables in one document with nothing but booktabs."""
    if not (program := shutil.which("pdflatex")):
        pytest.skip("no pdflatex on this machine; test_latex_is_sound checks the structure")
    tables = [filled, *(regenerate(name, nothing) for name in reported_tables())]
    body = "\n".join(latex(published.table) for published in tables)
    source = f"\\documentclass{{article}}\n\\usepackage{{booktabs}}\n\\begin{{document}}\n{body}\\end{{document}}\n"
    (tmp_path / "tables.tex").write_text(source, "utf-8")
    done = subprocess.run(
        [program, "-interaction=nonstopmode", "-halt-on-error", "-draftmode", "tables.tex"],
        cwd=tmp_path,
        capture_output=True,
    )
    assert done.returncode == 0, done.stdout.decode("latin-1")[-2000:]


# -- the command ------------------------------------------------------------------------------------------------------


@pytest.fixture
def call(capsys, monkeypatch, tmp_path):
    """call("tables", ...) -> (exit code, stdout, stderr), in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AU_BENCH_CACHE", str(tmp_path / "cache"))

    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["bench", *arguments])
        code = main()
        out, err = capsys.readouterr()
        return code, out, err

    return run


def test_all_prints_one_document_and_writes_every_form(call, tmp_path):
    """Oracle: the list of tables; the files; the same JSON on screen and on disk."""
    code, out, _ = call("tables", "all", "--format", "json")
    document = json.loads(out)
    counterparts = [f"{name}_synth" for name in reported_tables() if plan_of(name)]
    assert not code and list(document) == [*reported_tables(), *counterparts, "claims"]
    folder = tmp_path / "results" / "tables"
    for name in reported_tables():
        assert all((folder / f"{name}.{form}").stat().st_size > 100 for form in ("md", "tex", "csv", "json"))
        assert json.loads((folder / f"{name}.json").read_text()) == document[name]
    assert (folder / "synth" / "iuface_table8.md").exists() and (folder / "claims.md").exists()


def test_named_tables_are_printed_and_nothing_is_written(call, tmp_path):
    code, out, _ = call("tables", "auhead_table1", "iuface_table7")
    assert not code and out.count("### ") == 2 and "### IUFace, Table 7" in out and not (tmp_path / "results").exists()
    code, out, _ = call("tables", "iuface_table7", "--synth", "--out", "there", "--format", "csv")
    assert not code and out.startswith("row,method") and (tmp_path / "there" / "synth" / "iuface_table7.tex").exists()


def test_run_folders_can_be_named(call, root, monkeypatch):
    """Oracle: a run below another root."""
    run = stored_run(root, "mead_std", "memo", {"lse_c@eat": scores(7.2)})
    _, out, _ = call("tables", "auhead_table2", "--runs", str(run.folder), "--format", "json")
    assert json.loads(out)["auhead_table2"]["rows"][0]["cells"]["MEAD Sync"]["n"] == CASES


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["iuface_table9"], "unknown table 'iuface_table9'; did you mean iuface_table8"),
        (["iuface_table1", "--baseline", "memo"], "--baseline and --metrics go with a protocol's runs"),
        (["mead_std", "iuface_table1"], "compares the runs of one protocol"),
        (["claims", "--format", "csv"], "--format md or json"),
        (["auhead_table4", "--synth"], "has no synthetic counterpart"),
        (["mead_std"], "no finished run below results/runs/mead_std"),
    ],
)
def test_what_cannot_be_shown_is_said(call, arguments, message):
    code, _, err = call("tables", *arguments)
    assert code == 2 and message in err


def test_shipped_counterparts_have_the_plans_rows():
    """Oracle: the plans; a table that came with the suite and lost a row could not be judged."""
    _, synthetic = all_tables(nothing)
    for name, published in synthetic.items():
        assert [row.label for row in plan_of(name).rows] == [row.label for row in published.table.rows if row.method]
