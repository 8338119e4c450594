"""results/paper against the papers. Oracles: the papers' own text, read here by other code than wrote the files; the plans;
the registry; analytic places."""

import re

import pytest

from bench import registry
from bench.media.errors import UserError
from bench.reported import (
    MARKS,
    STUDY,
    ReportedColumn,
    _places,
    cells_of,
    plan_of,
    printed_columns,
    read_papers,
    read_reported,
    reported_tables,
    wrong_marks,
)
from protocols.plan_spec import plans

NUMBER = re.compile(r"\d+\.\d+")
TABLES = {
    "auhead_table1": "Input\tOutput", "auhead_table2": "Dataset\tMEAD", "auhead_table3": "Dataset Metrics Method",
    "auhead_table4": "User Preference", "iuface_table1": "Method\tFVD ↓\tFID ↓\tE-FID ↓\tPSNR ↑\tSSIM ↑\tF1-AU ↑",
    "iuface_table2": "IDA\tDBE", "iuface_table3": "Method\tParams", "iuface_table4": "Method\tFVD \\downarrow",
    "iuface_table5": "\tFVD ↓", "iuface_table6": "Method\tLibreFace", "iuface_table7": "Identity Embedding",
    "iuface_table8": "Method\tFVD ↓\tFID ↓\tE-FID ↓\tPSNR ↑\tSSIM ↑\tLPIPS",
}  # fmt: skip
"""Table -> how the line with its column names begins."""


def printed_lines(papers, name) -> tuple[str, list[str]]:
    """The header and the lines with numbers of a printed table, markup and all."""
    lines = (papers / f"{name.split('_')[0]}.md").read_text("utf-8").splitlines()
    start = next(n for n, line in enumerate(lines) if line.replace("$", "").startswith(TABLES[name]))
    block = lines[start : next(n for n in range(start, len(lines)) if not lines[n].strip())]
    first = next(n for n, line in enumerate(block) if NUMBER.search(line))
    return " ".join(block[:first]), block[first:]


def printed_numbers(line: str) -> list[tuple[str, str]]:
    """(digits, mark) of a printed line; a pair of two numbers in one mark shares it. Years and citations are no decimals."""
    found = []
    for cell in line.split("\t"):
        marked = re.match(r"<([bu])>\s*[\d.]+/[\d.]+\s*</", cell)
        for match in re.finditer(r"(<[bu]>)?\s*(\d+\.\d+)", cell):
            mark = marked[1] if marked else (match[1] or "").strip("<>")
            found.append((match[2], {"b": "bold", "u": "underlined", "": ""}[mark]))
    return found


def stored_numbers(name, row) -> list[tuple[str, str]]:
    """(digits, mark) of a row over all its blocks, in the order of the file."""
    _, table = read_reported(name)
    return [(cell.text, cell.mark or "") for rows in table.cells.values() for cell in rows[row].values()]


def test_there_are_twelve_tables_two_figures_and_two_numbers():
    """Oracle: the issue's list; every one that is not asked of people has a plan."""
    assert set(reported_tables()) == {*TABLES, "auhead_fig3", "iuface_fig1b", "iuface_e5"}
    assert {name for name in reported_tables() if plan_of(name)} == set(plans())


@pytest.mark.parametrize("name", [name for name in TABLES if name != "auhead_table4"])
def test_every_printed_number_and_mark_is_stored(papers, name):
    """Oracle: the printed lines, number by number in their order, with bold and underline."""
    _, lines = printed_lines(papers, name)
    rows = [row.label for row in plan_of(name).rows]
    assert len(lines) == len(rows)
    for line, row in zip(lines, rows, strict=True):
        assert printed_numbers(line) == stored_numbers(name, row), row


def test_the_user_study_is_the_print_turned(papers):
    """Oracle: the printed lines, which have a question each."""
    _, lines = printed_lines(papers, "auhead_table4")
    _, table = read_reported("auhead_table4")
    rows = table.cells[STUDY]
    for line in lines:
        question = line.split("\t")[0]
        stored = [(rows[row][question].text, rows[row][question].mark or "") for row in ("HalloV2", "AUHead", "Same")]
        assert printed_numbers(line) == stored
    assert len(lines) == len(rows["Same"])
    for question in rows["Same"]:
        assert sum(cells[question].value for cells in rows.values()) == pytest.approx(100)


def test_numbers_that_stand_in_the_text(papers):
    """Oracle: the sentences of supplement E.5 and of section 4.2."""
    iuface, auhead = ((papers / f"{name}.md").read_text("utf-8") for name in ("iuface", "auhead"))
    found = re.search(r"neutral-reference setting, similarity is (\d\.\d+); under the (.*?), it is (\d\.\d+)\.", iuface)
    stored = [cell.printed for cell in cells_of("iuface_e5").values()]
    assert stored == [found[1], found[3]] and found[2] == "expressive-reference setting"
    assert (
        "effect of AU classifier-free guidance (AU CFG scale) on FID, emotion accuracy, and AU regression (MAE)"
        in auhead
    )
    assert [name for name, _ in printed_columns(plan_of("auhead_fig3"))] == ["FID", "Emotion ACC", "MAE"]


@pytest.mark.parametrize("name", TABLES)
def test_the_better_end_is_that_of_the_printed_arrow(papers, name):
    """Oracle: the arrows of the header, where it has any."""
    header, _ = printed_lines(papers, name)
    header = header.replace("\\uparrow", "↑").replace("\\downarrow", "↓").replace("$", "")
    paper, table = read_reported(name)
    columns = {column for rows in table.cells.values() for cells in rows.values() for column in cells}
    arrows = dict(re.findall(r"([\w/-]+) \(?([↑↓])", header))
    if "M/F-LMD" in arrows:
        arrows["M-LMD"] = arrows["F-LMD"] = arrows.pop("M/F-LMD")
    assert set(arrows) <= columns
    assert {column: {"higher": "↑", "lower": "↓"}[paper.columns[column].better] for column in arrows} == arrows


@pytest.mark.parametrize("name", plans())
def test_cells_are_those_of_the_plan(name):
    """Oracle: the plan's protocols, rows and columns; direction and unit are those of the plan's metric."""
    paper, table = read_reported(name)
    plan = plan_of(name)
    runs = {(row.label, protocol) for row, protocol in plan.runs()}
    columns = dict(printed_columns(plan))
    for protocol, row, column in cells_of(name):
        assert (row, protocol) in runs and column in columns
    for column, metric in columns.items():
        about = paper.columns[column]
        assert about.why
        if metric:
            found = registry.metric(metric)
            assert (about.better == "higher", about.unit) == (found.higher_is_better, found.unit), column


def test_every_described_column_is_printed_somewhere():
    """Oracle: the tables."""
    for paper in read_papers().values():
        used = {column for table in paper.tables.values() for rows in table.cells.values() for cells in rows.values()
                for column in cells}  # fmt: skip
        used |= {column for name in paper.tables if (plan := plan_of(name)) for column, _ in printed_columns(plan)}
        assert used == paper.columns.keys()


def test_places_are_counted_from_the_values():
    """Analytic: two equal bests leave no second; two equal seconds are both second; a lone value has no place."""
    higher, lower = (ReportedColumn(better=end, why="x") for end in ("higher", "lower"))
    assert _places({"a": 3, "b": 3, "c": 2}, higher) == {"a": "best", "b": "best", "c": ""}
    assert _places({"a": 3, "b": 2, "c": 2, "d": 1}, higher) == {"a": "best", "b": "second", "c": "second", "d": ""}
    assert _places({"a": 3, "b": 2, "c": 1}, lower) == {"a": "", "b": "second", "c": "best"}
    assert _places({"a": 3}, higher) == {}


def test_marks_that_the_values_do_not_bear_out():
    """Oracle: read off the print by hand: Table 1 bolds its last row, Table 3 underlines the fourth best Sync."""
    assert len(wrong_marks("auhead_table1")) == 5
    assert wrong_marks("auhead_table1")[-1] == "MAE: bold is A | E → AU (0.2085), best by value is A+E | AU (0.1928)"
    assert wrong_marks("auhead_table2") == [
        "MEAD Sync: underlined is MEMO + LMK (6.6311), second by value is MEMO + AU Seq (6.7445)"
    ]
    assert (
        "MEAD Sync: underlined is DICE-Talk (2025) (7.3073), second by value is Sonic (2025) (8.0988)"
        in wrong_marks("auhead_table3")
    )
    assert wrong_marks("auhead_table4") == [] == wrong_marks("iuface_table8")


def test_only_auheads_text_has_marks():
    """Oracle: the stored cells; a table says which marks its text has, and has no other."""
    for name in reported_tables():
        _, table = read_reported(name)
        marks = {cell.mark for rows in table.cells.values() for cells in rows.values() for cell in cells.values()}
        assert marks - {None} == set(table.marks) and set(table.marks) <= MARKS.keys()


def test_an_unknown_table_names_the_known_ones():
    with pytest.raises(UserError, match="iuface_table9.*auhead_table1"):
        read_reported("iuface_table9")
