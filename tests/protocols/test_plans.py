"""Plans. Oracles: the papers' own tables read as text, the registry, the command line's own parser."""

import json
import re
import shlex

import pytest

from bench import registry
from bench.cli.listing import show, show_plan
from bench.media.errors import UserError
from protocols.plan_spec import plans, read_plan, run_arguments
from protocols.published import read_spec

HEADERS = {
    "auhead_table1": "Input\tOutput",
    "auhead_table2": "Dataset\tMEAD",
    "auhead_table3": "Dataset Metrics Method",
    "iuface_table1": "Method\tFVD ↓\tFID ↓\tE-FID ↓\tPSNR ↑\tSSIM ↑\tF1-AU ↑",
    "iuface_table3": "Method\tParams",
    "iuface_table4": "Method\tFVD \\downarrow",
    "iuface_table5": "\tFVD ↓",
    "iuface_table6": "Method\tLibreFace",
    "iuface_table7": "Identity Embedding",
    "iuface_table8": "Method\tFVD ↓\tFID ↓\tE-FID ↓\tPSNR ↑\tSSIM ↑\tLPIPS ↓",
}
"""How the line with the column names of a printed table begins."""


def test_the_plans_are_those_of_the_papers():
    """Oracle: the tables and the figures with rows that someone can run; AUHead's Table 4 is a user study."""
    assert plans() == sorted([*HEADERS, "auhead_fig3", "iuface_fig1b", "iuface_table2", "iuface_e5"])


@pytest.mark.parametrize("name", sorted(HEADERS))
def test_labels_and_columns_are_the_papers_own(papers, name):
    """Oracle: the printed table, without markup and citations."""
    plan = read_plan(name)
    header, lines = table(papers, name)
    columns = [*plan.columns, *plan.unmeasured]
    assert [column for column in columns if column not in header] == []
    cells = ["|".join(line.split("\t")[: 2 if "|" in plan.rows[0].label else 1]) for line in lines]
    labels = [row.label.replace(" | ", "|") for row in plan.rows]
    assert [cell.strip() for cell in cells] == labels


def table(papers, name) -> tuple[str, list[str]]:
    """The header, which may have two lines, and the rows of a printed table."""
    text = (papers / f"{name.split('_')[0]}.md").read_text("utf-8")
    text = re.sub(r"</?b>|</?u>|\\text|[${}]|\\(?=%)| \([^()]* et al\., \d{4}\)|\*\*", "", text)
    lines = text.splitlines()
    start = next(n for n, line in enumerate(lines) if line.startswith(re.sub(r"[${}]", "", HEADERS[name])))
    end = next(n for n in range(start, len(lines)) if not lines[n].strip())
    block = lines[start:end]
    first = next(n for n, line in enumerate(block) if re.search(r"\d\.\d", line))
    return " ".join(block[:first]), block[first:]


def test_the_ablation_of_table_2_has_the_names_of_figure_5(papers):
    """Oracle: the figure's caption."""
    text = (papers / "iuface.md").read_text("utf-8")
    caption = re.search(r"^Figure 5\..*", text, re.MULTILINE)[0]
    assert all(row.label in caption for row in read_plan("iuface_table2").rows)
    assert {row.settings.get("preset") for row in read_plan("iuface_table2").rows} == {"wo_ida", "wo_dbe", None}


def test_figure_3_and_e5(papers):
    """Oracle: the best scale and the two settings that the texts name."""
    auhead, iuface = ((papers / f"{name}.md").read_text("utf-8") for name in ("auhead", "iuface"))
    assert "best trade-off occurs at scale 3.5" in auhead
    scales = [row.settings["au_scale"] for row in read_plan("auhead_fig3").rows]
    assert scales == sorted(scales) and 3.5 in scales[1:-1]
    assert [row.label for row in read_plan("auhead_fig3").rows] == [str(scale) for scale in scales]
    for row, value in zip(read_plan("iuface_e5").rows, ("0.82", "0.81"), strict=True):
        assert re.search(rf"{row.label}, (similarity|it) is {value}", iuface)
    neutral, expressive = (read_spec(row.protocol) for row in read_plan("iuface_e5").rows)
    assert (neutral.reference, expressive.reference) == (
        "first frame of a neutral clip of the same subject",
        "first frame of the target",
    )
    assert neutral.clips == expressive.clips


@pytest.mark.parametrize("name", plans())
def test_protocols_and_metrics_exist(name):
    """Oracle: the registry; a plain run of the row's protocol computes every column."""
    plan = read_plan(name)
    for row, protocol in plan.runs():
        assert protocol in plan.protocols, row.label
        keys = {registry.metric_key(registry.metric(metric)) for metric in registry.protocol(protocol)().metrics}
        for column, metrics in plan.columns.items():
            assert {registry.metric_key(registry.metric(metric)) for metric in metrics} <= keys, (column, protocol)
    labels = [(row.label, protocol) for row, protocol in plan.runs()]
    assert len(set(labels)) == len(labels)


def test_commands_are_what_the_command_line_takes(capsys, monkeypatch):
    """Oracle: the `run` command itself, called with the printed arguments."""
    from typer.testing import CliRunner

    from bench.cli import work
    from bench.cli.app import app

    calls = []
    monkeypatch.setattr(work, "run_plan", lambda **arguments: calls.append(arguments))
    for name in plans():
        show_plan(name, synthetic=False, as_json=False)
        lines = [line for line in capsys.readouterr().out.splitlines() if line and not line.startswith("#")]
        assert len(lines) == len(read_plan(name).runs())
        for line, (row, protocol) in zip(lines, read_plan(name).runs(), strict=True):
            program, arguments = shlex.split(line)[:3], shlex.split(line)[3:]
            assert program == ["python", "-m", "bench"]
            assert CliRunner().invoke(app, arguments).exit_code == 0
            called = calls.pop()
            assert (called["method"], called["protocol"]) == (row.method, protocol)
            settings = dict(setting.split("=", 1) for setting in called["settings"])
            assert settings == {key: str(value) for key, value in row.settings.items()}


def test_listing_says_which_methods_are_absent(capsys, monkeypatch):
    """Oracle: one method put into the registry, the others left out of it."""
    monkeypatch.setitem(registry.METHODS, "memo", "methods.sanity.still_image:StillImage")
    monkeypatch.delitem(registry.METHODS, "auhead_memo")
    show_plan("auhead_table2", synthetic=False, as_json=True)
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [row["missing"] is None for row in rows] == [row["method"] == "memo" for row in rows]
    assert rows[-1]["missing"].startswith("no method auhead_memo yet")
    show("plans", as_json=True)
    listed = {row["name"]: row for row in json.loads(capsys.readouterr().out)["plans"]}
    assert list(listed) == plans()
    assert listed["auhead_table2"]["missing"] == "no method auhead_memo yet"


def test_synthetic_counterparts(capsys):
    """Oracle: both real protocols of Table 2 have one counterpart, so its four rows run once each."""
    runs = read_plan("auhead_table2").runs(synthetic=True)
    assert [protocol for _, protocol in runs] == ["synth_std"] * 4
    assert [protocol for _, protocol in read_plan("iuface_e5").runs(synthetic=True)] == [
        "synth_disentangle",
        "synth_std",
    ]
    arguments = run_arguments(*runs[1], data=None)
    assert arguments == [
        "run", "--method", "auhead_memo", "--protocol", "synth_std", "--set", "au_representation=seq"
    ]  # fmt: skip
    assert [protocol for _, protocol in read_plan("auhead_table1").runs(synthetic=True)] == ["synth_stage1"] * 4


def test_a_protocol_without_counterpart_is_named(monkeypatch):
    """Oracle: a spec whose counterpart was taken away."""
    alone = read_spec("mead_stage1").model_copy(update={"counterpart": None})
    monkeypatch.setattr("protocols.plan_spec.read_spec", lambda name: alone)
    with pytest.raises(UserError, match="mead_stage1: no synthetic protocol mirrors it"):
        read_plan("auhead_table1").runs(synthetic=True)


def test_an_unknown_plan_names_the_known_ones():
    """Oracle: the plans on disk."""
    with pytest.raises(UserError, match="iuface_table9.*auhead_fig3.*iuface_table8"):
        read_plan("iuface_table9")
