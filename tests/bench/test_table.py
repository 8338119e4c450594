"""bench.table and bench.table_formats: what gets a mark, what becomes a footnote, and that all formats agree."""

import csv
import io
import itertools
from dataclasses import replace

import pytest

from bench.table import Result, leaderboard, pairwise, single_run
from bench.table_formats import as_json, csv_text, decimals, latex, markdown, plain

ALL = frozenset(f"c{i}" for i in range(20))


def block(value, half=0.1, variant="@frame", **changes):
    """A metric's object of summary.json."""
    about = {
        "value": value, "ci95": None if value is None or half is None else [value - half, value + half], "n": 20,
        "n_failed": 0, "unit": "dB", "higher_is_better": True, "variant": variant, "missing": None,
        "interval": "cluster-robust t, 3 degrees of freedom", "clusters": 4, "detectable": 0.3,
    }  # fmt: skip
    return about | changes


def result(label, cases=ALL, section="", **metrics):
    return Result(label, metrics, dict.fromkeys(metrics, cases), section)


def gap(threshold):
    """compare() for results made by `result`: differences above the threshold are real."""

    def compare_with(scores):
        def compare(first, second, key):
            delta = scores[first] - scores[second]
            ends = [delta - threshold, delta + threshold]
            return {"value": delta, "ci95": ends, "n": 20, "only_first": 0, "only_second": 0, "missing": None,
                    "interval": "", "detectable": threshold}  # fmt: skip

        return compare

    return compare_with


def marks_of(scores, threshold, **changes):
    """Marks of one PSNR column by label."""
    results = [result(label, psnr=block(value, **changes)) for label, value in scores.items()]
    table = leaderboard(results, gap(threshold)(scores))
    return {row.label: row.cells["psnr@frame"].mark for row in table.rows}


# -- marks ------------------------------------------------------------------------------------------------------------


def test_best_and_second_need_real_differences():
    """Analytic: gaps of 1 are real at threshold 0.5; below 3 methods there is no second place."""
    assert marks_of({"a": 20, "b": 22, "c": 21}, 0.5) == {"a": "", "b": "best", "c": "second"}
    assert marks_of({"a": 20, "b": 22}, 0.5) == {"a": "", "b": "best"}


def test_lower_is_better_turns_the_order():
    """Metamorphic: negated values with the opposite direction get the same marks."""
    scores = {"a": -20, "b": -22, "c": -21}
    assert marks_of(scores, 0.5, higher_is_better=False) == {"a": "", "b": "best", "c": "second"}


def test_what_cannot_be_told_from_the_best_shares_its_place():
    """Analytic: 23.3585 and 23.3466 dB, bold against plain in a published table, are one place here."""
    scores = {"a": 23.3585, "b": 23.3466, "c": 20.0}
    assert marks_of(scores, 0.24) == {"a": "tie", "b": "tie", "c": ""}
    assert marks_of({"a": 25.0, "b": 23.3585, "c": 23.3466}, 0.24) == {"a": "best", "b": "", "c": ""}


def test_an_offset_has_no_best_end():
    """Analytic: no direction, no mark, no arrow."""
    assert set(marks_of({"a": -2, "b": 3}, 0.1, higher_is_better=None).values()) == {""}


def test_other_cases_are_shown_with_a_footnote_and_not_ranked():
    """Analytic: the best value, over fewer cases, does not win; the others are ranked among themselves."""
    scores = {"a": 20, "b": 22, "c": 30}
    results = [result("a", psnr=block(20)), result("b", psnr=block(22))]
    results.append(result("c", frozenset(list(ALL)[:19]), psnr=block(30, n=19, n_failed=1)))
    table = leaderboard(results, gap(0.5)(scores))
    cells = {row.label: row.cells["psnr@frame"] for row in table.rows}
    assert [cells[label].mark for label in "abc"] == ["", "best", ""]
    assert cells["c"].note == "not ranked: over other cases than the ranked values"
    text = plain(table)
    assert "19/20" in text and "[1] not ranked: over other cases than the ranked values" in text


def test_equal_n_over_different_cases_is_not_enough():
    """Analytic: 20 cases each, but not the same 20."""
    results = [result("a", psnr=block(20)), result("b", frozenset(f"d{i}" for i in range(20)), psnr=block(25))]
    table = leaderboard(results, gap(0.5)({"a": 20, "b": 25}))
    assert {row.cells["psnr@frame"].mark for row in table.rows} == {""}
    assert table.rows[0].cells["psnr@frame"].note == "not ranked: no other method has the same cases"


def test_a_published_value_without_cases_is_never_ranked():
    """Analytic: a number from a paper stands in the table, with the reason why it has no mark."""
    paper = Result("paper", {"psnr": block(99, half=None, interval="none: published without one")})
    results = [paper, result("a", psnr=block(20)), result("b", psnr=block(22))]
    table = leaderboard(results, gap(0.5)({"a": 20, "b": 22}))
    assert table.rows[0].cells["psnr@frame"].note == (
        "no interval: published without one; not ranked: its cases are not at hand"
    )
    assert table.rows[2].cells["psnr@frame"].mark == "best"


def test_variants_never_share_a_column():
    """Analytic: the same key with another variant stands in a column of its own, with a dash for the other run."""
    table = leaderboard([result("a", psnr=block(20)), result("b", psnr=block(25, variant="@global"))], gap(0)({}))
    assert [column.key for column in table.columns] == ["psnr@frame", "psnr@global"]
    assert all(cell.mark == "" for row in table.rows for cell in row.cells.values())


def test_sections_are_ranked_each_by_itself():
    """Analytic: a method that sees the target's AUs does not beat one that does not."""
    scores = {"a": 20, "b": 22, "c": 30, "d": 25}
    results = [
        result(label, psnr=block(value), section="driving" if value > 22 else "") for label, value in scores.items()
    ]
    table = leaderboard(results, gap(0.5)(scores))
    assert [row.cells["psnr@frame"].mark for row in table.rows] == ["", "best", "best", ""]
    assert "\n\ndriving\n\n" in plain(table)


def test_without_a_paired_interval_nothing_is_marked_and_the_table_says_why():
    """Analytic: one identity, or runs whose records are gone."""
    results = [result("a", psnr=block(20)), result("b", psnr=block(22))]
    single = {"ci95": None, "missing": None, "interval": "none: one identity"}
    table = leaderboard(results, lambda *_: single)
    assert table.notes == ("psnr@frame is not ranked: no interval: one identity",)
    assert leaderboard(results, lambda *_: None).notes == ("psnr@frame is not ranked: the runs' cases are not at hand",)
    assert all(row.cells["psnr@frame"].mark == "" for row in table.rows)


def test_labels_must_differ():
    """Analytic: two rows of one name cannot be told apart."""
    with pytest.raises(ValueError, match="same label"):
        leaderboard([result("a", psnr=block(1)), result("a", psnr=block(2))], gap(0)({}))


# -- differences to a baseline ----------------------------------------------------------------------------------------


def test_pairwise_names_direction_counts_and_detectable_difference():
    """Analytic: better and worse follow the metric's direction; an interval that holds 0 shows nothing."""
    blocks = {"psnr": block(20), "lpips": block(0.2, variant="@alex", unit="", higher_is_better=False)}
    differences = {"psnr": (1.0, 0.4), "lpips": (0.05, 0.01)}

    def compare(first, second, key):
        assert (first, second) == ("ours", "base")
        delta, half = differences[key]
        return {"value": delta, "ci95": [delta - half, delta + half], "n": 19, "only_first": 1, "only_second": 0,
                "missing": None, "detectable": 0.57, "interval": ""}  # fmt: skip

    table = pairwise([result("ours", **blocks), result("base", **blocks)], "base", compare)
    (row,) = table.rows
    assert row.label == "ours minus base"
    assert [row.cells[key].mark for key in ("psnr@frame", "lpips@alex")] == ["better", "worse"]
    text = plain(table)
    line = next(line for line in text.splitlines() if line.startswith("psnr@frame"))
    assert line.split() == ["psnr@frame", "↑", "+1.00[1]", "[+0.60,", "+1.40]", "dB", "19", "0.57", "better"]
    assert "[1] without 1 case that only one of the two has" in text
    differences["psnr"] = (0.3, 0.4)
    table = pairwise([result("ours", **blocks), result("base", **blocks)], "base", compare)
    assert table.rows[0].cells["psnr@frame"].mark == "not shown"
    with pytest.raises(ValueError, match="baseline gone is not among the runs: ours"):
        pairwise([result("ours", psnr=block(1))], "gone", compare)


def test_pairwise_says_what_a_side_is_missing():
    """Analytic: no comparison is asked for; the fetch command of the side without a value is shown."""
    empty = block(None, missing="python -m bench fetch inception_fid", n=0)
    results = [result("ours", psnr=block(20), fid=block(5.0)), result("base", psnr=block(20), fid=empty)]
    table = pairwise(results, "base", gap(0.1)({"ours": 20, "base": 20}))
    assert "not computed: fid@frame: python -m bench fetch inception_fid" in plain(table)


# -- numbers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "ends", "expected"),
    [
        (21.86, (21.49, 22.24), 2), (0.681, (0.669, 0.694), 3), (190.62, (160, 221), 0), (5.0, (4.0, 6.0), 1),
        (8.22, None, 3), (0.0123, None, 5), (0.0, None, 1), (100.0, (100.0, 100.0), 1), (12345.6, None, 0),
        (0.5, (0.4999999, 0.5000001), 6),
    ],
)  # fmt: skip
def test_decimals_follow_the_interval(value, ends, expected):
    """Analytic: two significant digits of the half interval, else four of the value."""
    assert decimals([(value, ends)]) == expected


def test_one_tiny_interval_does_not_blow_up_a_column():
    """Analytic: the control that copies the target has 100 dB with almost no spread."""
    assert decimals([(100.0, (99.99999, 100.00001)), (21.86, (21.49, 22.24)), (20.0, (19.5, 20.5))]) == 2
    assert decimals([(100.0, (100.0, 100.0)), (21.86, (21.49, 22.24))]) == 2


# -- formats ----------------------------------------------------------------------------------------------------------

FETCH = "weights inception_fid: python -m bench fetch inception_fid"


def large_table(metrics=25, methods=3):
    """A leaderboard of the size of the real one, with long names, footnotes and metrics nobody has."""
    results = []
    for i in range(methods):
        blocks = {
            f"au_precision_{j}": block(0.7 + 0.01 * i, 0.02, "@target.openface18", unit="" if j % 3 else "%")
            for j in range(metrics - 3)
        }
        blocks |= {name: block(None, variant="@inception", missing=FETCH, n=0) for name in ("fid", "kid")}
        emotion = block(None, variant="@fan", missing="fetch emotion_fan", n=0) if i == 0 else block(66.0, 3.0, "@fan")
        results.append(result(f"auhead_memo_{i} (au_source=stage1, guidance=3.5, steps=40)", **blocks, acc_emo=emotion))
    scores = {one.label: i for i, one in enumerate(results)}
    return leaderboard(results, gap(0.5)(scores), "MEAD")


@pytest.mark.parametrize("width", [80, 120])
def test_25_metrics_fit_the_terminal(width):
    """Property: no line is longer than the terminal; every metric and every method is there."""
    table = large_table()
    text = plain(table, width)
    assert max(len(line) for line in text.splitlines()) <= width
    assert all(f"au_precision_{j} ↑" in text for j in range(22))
    run = single_run(
        result("a", **{f"metric_{j}": block(20 + j, variant="@a_long_variant.openface18") for j in range(25)})
    )
    lines = plain(replace(run, with_detectable=True), width).splitlines()
    assert max(len(line) for line in lines) <= width
    pieces = 1 if width == 120 else 2
    assert sum("@a_long_variant.openface18" in line for line in lines) == 25 * pieces


def test_missing_cells_are_dashes_with_shared_footnotes():
    """Analytic: two cells with the same text share [1]; metrics nobody has are listed once, with their command."""
    blocks = {"psnr": block(20), "ssim": block(0.7, 0.01, "@wang")}
    holes = {"psnr": block(None, missing="fetch x", n=0), "ssim": block(None, variant="@wang", missing="fetch x", n=0)}
    empty = {name: block(None, variant="@inception", missing=FETCH, n=0) for name in ("fid", "kid")}
    table = leaderboard([result("a", **blocks, **empty), result("b", **holes, **empty)], gap(1)({"a": 1, "b": 2}))
    text = plain(table)
    assert text.count("–[1]") == 2 and text.count("[1] fetch x") == 1 and "[2]" not in text
    assert f"not computed: fid@inception, kid@inception: {FETCH}" in text
    assert markdown(table).count("–<sup>1</sup>") == 2 and latex(table).count("--$^{1}$") == 2
    assert {"fid@inception", "kid@inception"} <= set(as_json(table)["columns"])


def test_a_value_over_part_of_the_cases_carries_its_warning():
    """Analytic: 60 of 100 cases scored before a weight arrived."""
    run = single_run(result("a", psnr=block(20, n=60, missing="40 of 100 cases lack it: fetch x")))
    text = plain(run)
    assert "20.00[1]" in text and "[1] 40 of 100 cases lack it: fetch x" in text


def test_a_run_without_any_value_prints_only_what_to_do():
    """Analytic: an empty grid would say nothing."""
    text = plain(single_run(result("a", fid=block(None, variant="@inception", missing=FETCH, n=0))))
    assert text == f"not computed: fid@inception: {FETCH}\n"


def test_single_run_line_in_full():
    """Analytic: one metric, every column; the detectable difference only on request."""
    run = single_run(result("ours", psnr=block(21.859, 0.375, n=98, n_failed=2)), "mead_eat100")
    assert plain(run) == (
        "mead_eat100\n\n"
        "metric        value   95 % interval  unit   n  failed\n"
        "------------  -----  --------------  ----  --  ------\n"
        "psnr@frame ↑  21.86  [21.48, 22.23]    dB  98       2\n\n"
        "↑ higher is better, ↓ lower is better; [low, high] 95 % interval\n"
    )
    assert "  0.30\n" in plain(replace(run, with_detectable=True))


def test_markdown_and_latex_have_the_same_number_of_cells_in_every_row():
    """Property: also with separators and commands in labels and reasons."""
    label = r"a|b & c_d 50% #1 {x} ~^\y <z>"
    blocks = {"psnr": block(20), "fid": block(5, 1, "@inception", higher_is_better=False)}
    hole = {"psnr": block(21), "fid": block(None, variant="@inception", missing="fetch a|b & c_d", n=0)}
    table = leaderboard([result(label, **blocks), result("b", **hole)], gap(0.1)({label: 20, "b": 21}))
    rows = [line for line in markdown(table).splitlines() if line.startswith("|")]
    assert len({line.replace("\\|", "").count("|") for line in rows}) == 1
    body = latex(table).split(r"\midrule")[1].split(r"\bottomrule")[0].strip().splitlines()
    assert [line.replace("\\&", "").count("&") for line in body] == [3, 3]
    assert r"c\_d 50\% \#1 \{x\} \textasciitilde{}\textasciicircum{}\textbackslash{}y" in latex(table)
    assert r"\textbf{21.00}" in latex(table) and "**21.00**" in markdown(table) and "21.00*" in plain(table)


def test_csv_and_json_carry_the_same_full_precision():
    """Oracle: the blocks the table was made of."""
    blocks = {"psnr": block(21.85924734, 0.123456789), "fid": block(None, variant="@inception", missing=FETCH, n=0)}
    table = leaderboard([result("a", **blocks), result("b", **blocks)], gap(1)({"a": 1, "b": 1}))
    lines = list(csv.DictReader(io.StringIO(csv_text(table))))
    document = as_json(table)
    assert [(line["method"], line["metric"]) for line in lines] == list(
        itertools.product("ab", ["psnr@frame", "fid@inception"])
    )
    for line in lines:
        cell = next(row for row in document["rows"] if row["method"] == line["method"])["cells"][line["metric"]]
        source = blocks[line["metric"].partition("@")[0]]
        assert (cell["value"], cell["ci95"], cell["missing"]) == (source["value"], source["ci95"], source["missing"])
        assert line["value"] == ("" if source["value"] is None else repr(source["value"]))
        assert line["ci95_high"] == ("" if source["ci95"] is None else repr(source["ci95"][1]))
    assert document["metrics"]["psnr@frame"] == {"variant": "@frame", "unit": "dB", "higher_is_better": True}
