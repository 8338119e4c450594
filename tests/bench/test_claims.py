"""Claims. Oracles: the papers' text for the quotes, tables read by hand for the verdicts on the print, chosen runs for those
on runs."""

import json
import re
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from bench.claims import (
    Check,
    Claim,
    _against_print,
    _against_runs,
    as_document,
    as_markdown,
    judge,
    read_claims,
    repeats,
)
from bench.leaderboard import SECTIONS, finished_runs
from bench.published_table import read_document, regenerate
from bench.reported import plan_of, printed_columns, read_papers, read_reported, reported_tables
from tests.bench.stored_runs import stored_run

IUFACE, SONIC, DICE = "IUFace (Ours)", "Sonic (CVPR'25)", "DICE-Talk (ACM MM'25)"


def nothing(protocol):
    return []


@pytest.fixture(scope="module")
def bare():
    """Every table without runs."""
    return {name: regenerate(name, nothing) for name in reported_tables()}


@pytest.fixture(scope="module")
def judged(bare):
    """quote -> verdicts, without runs."""
    synthetic = {name: regenerate(name, nothing, synthetic=True) for name in reported_tables() if plan_of(name)}
    return {one.claim.quote: one for one in judge(bare, synthetic)}


def claim(*checks, quantifier="all"):
    return Claim(paper="IUFace", where="here", quote="q", reading="r", quantifier=quantifier, checks=checks)


# -- the file ---------------------------------------------------------------------------------------------------------


def plain(text: str) -> str:
    """Text without the markup and line breaks of the papers' files."""
    return " ".join(re.sub(r"</?sup>|[*_$]", "", text).split())


def test_quotes_are_the_papers_own_words(papers):
    """Oracle: the papers' text."""
    texts = {paper.name: plain((papers / paper.text).read_text("utf-8")) for paper in read_papers().values()}
    assert [one.quote for one in read_claims().claims if plain(one.quote) not in texts[one.paper]] == []
    assert all(len(one.quote.split()) <= 20 for one in read_claims().claims)


def test_numbers_of_a_claim_stand_in_its_sentence():
    """Oracle: the quote itself; the study's 800 answers are its people times its pairs."""
    for one in read_claims().claims:
        for check in one.checks:
            if check.kind == "says":
                assert re.search(rf"(?<![\d.]){re.escape(check.number)}(?!\d)", one.quote), one.quote
    assert {check.number for one in read_claims().claims for check in one.checks if check.kind == "answers"} == {"800"}


def test_checks_name_rows_and_columns_that_exist():
    """Oracle: results/paper and the plans."""
    for one in read_claims().claims:
        for check in one.checks:
            plan = plan_of(check.table)
            _, table = read_reported(check.table)
            rows = [row.label for row in plan.rows] if plan else [*next(iter(table.cells.values()))]
            columns = dict(printed_columns(plan)) if plan else next(iter(next(iter(table.cells.values())).values()))
            named = [*check.than, *check.but, *filter(None, [check.row, check.minus])]
            assert set(named) <= set(rows), one.quote
            assert set(check.columns) <= set(columns), one.quote


# -- against the print ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("quote", "word", "detail"),
    [
        ("our framework achieves state-of-the-art performance across all metrics on MEAD under the standard setting",
         "fails, 5 of 8 hold", "Table 8, FID: IUFace (Ours) 22.40, Sonic (CVPR'25) 18.72"),
        ("IUFace achieves state-of-the-art performance across nearly all metrics", "holds, in 6 of 7",
         "Table 1, SynC: IUFace (Ours) 2.9132, StableAvatar (arXiv) 2.9808"),
        ("significantly surpassing existing techniques", "fails, 7 of 12 hold",
         "Table 3, MEAD Sync: AUHead (MEMO) 6.6311, Wav2lip (2020) 8.7778 and 7 more"),
        ("AUHead achieves strong performance across most metrics", "holds, in 7 of 12", "MEAD SSIM: AUHead (MEMO) 0.7395"),
        ("keeping both parameter count and memory footprint highly competitive", "fails", "1.89 is place 4 of 4"),
        ("While FID is competitive", "holds", ""),
        ("67% accuracy in emotion classification", "holds", ""),
        ("maintain slight leads in SSIM and SynC", "fails, 2 of 4 hold", "Sonic (CVPR’25) 5.0812, IUFace (Ours) 5.1650"),
        ("IUFace maintains a decisive margin over all baselines under LibreFace", "fails, 4 of 6 hold", "no Hallo3 (CVPR'25)"),
        ("A total of 25 participants rated all video pairs", "fails, 9 of 12 hold", "21.28 % is 170.24 of 800 answers"),
        ("the Sync score slightly drops when using 2D AU inputs", "fails, 1 of 2 hold", "CREMA Sync"),
        ("statistically only 7/24 AUs are activated", "no cell", ""),
        ("FID first decreases then increases", "no cell", ""),
    ],
)  # fmt: skip
def test_verdicts_on_the_print(judged, quote, word, detail):
    """Oracle: the tables, read by hand."""
    verdict = judged[quote].print
    assert verdict.word == word
    assert detail in "; ".join(verdict.details)


def test_quantifiers(bare):
    """Analytic: IUFace leads 5 of the 8 columns of Table 8, and 6 of the 7 of Table 1."""
    words = {}
    for table in ("iuface_table8", "iuface_table1"):
        for quantifier in ("all", "nearly all", "most"):
            check = Check(table=table, row=IUFACE)
            words[table[-1], quantifier] = _against_print(claim(check, quantifier=quantifier), bare).word
    assert [words["8", q] for q in ("all", "nearly all", "most")] == ["fails, 5 of 8 hold"] * 2 + ["holds, in 5 of 8"]
    assert [words["1", q] for q in ("all", "nearly all", "most")] == ["fails, 6 of 7 hold"] + ["holds, in 6 of 7"] * 2


def test_a_number_is_compared_with_its_own_digits(bare):
    """Analytic: 0.2085 is 0.2, is not 0.20, and is 20.9 percent but not 20.8; 0.82 minus 0.81 is 0.01."""
    for number, percent, holds in (("0.2", False, True), ("0.20", False, False), ("20.9", True, True), ("20.8", True, False),
                                   ("20.85", True, True)):  # fmt: skip
        check = Check(
            kind="says", table="auhead_table1", row="A | E → AU", columns=("MAE",), number=number, percent=percent
        )
        assert (_against_print(claim(check), bare).word == "holds") == holds, number
    minus = Check(kind="says", table="iuface_e5", row="neutral-reference setting", minus="expressive-reference setting",
                  number="0.01")  # fmt: skip
    assert _against_print(claim(minus), bare).word == "holds"


def test_rows_that_tables_share_are_equal():
    """Oracle: our reading of which benchmark a table is of rests on it; Table 7 prints SSIM with a digit less."""
    assert all(equal == columns > 0 for *_, equal, columns in repeats())


# -- against runs -----------------------------------------------------------------------------------------------------


@pytest.fixture
def table8(tmp_path, monkeypatch):
    """table8({method: (psnr, noise)}) -> verdict on "IUFace is the best of Table 8 in PSNR" of runs with these means."""
    monkeypatch.setenv("AU_BENCH_CACHE", str(tmp_path / "cache"))

    def verdict(means, check, quantifier="all"):
        noise = np.random.default_rng(0).standard_normal(36)
        for n, (method, (mean, own)) in enumerate(means.items()):
            values = mean + noise + own * np.random.default_rng(n + 1).standard_normal(36)
            stored_run(tmp_path / "runs", "mead_std_iuface", method, {"psnr": values}, videos="v")
        table = regenerate("iuface_table8", partial(finished_runs, root=tmp_path / "runs"))
        return _against_runs(claim(check, quantifier=quantifier), {"iuface_table8": table})

    return verdict


LEADS = Check(table="iuface_table8", row=IUFACE, columns=("PSNR",))


def test_a_lead_is_shown_where_every_interval_excludes_zero(table8):
    """Analytic: 1 dB ahead of both that have runs, noise shared."""
    verdict = table8({"iuface": (25, 0), "sonic": (24, 0.1), "dice_talk": (23, 0.1)}, LEADS)
    assert verdict.word == "shown"
    assert f"{IUFACE} is compared with {SONIC}, {DICE} only" in verdict.details


def test_a_lead_is_contradicted_where_another_is_better(table8):
    verdict = table8({"iuface": (24, 0), "sonic": (25, 0.1)}, LEADS)
    assert (
        verdict.word == "contradicted in 1 of 1" and f"to {SONIC}" in verdict.details[0] and "-1" in verdict.details[0]
    )


def test_a_lead_inside_the_noise_is_not_shown(table8):
    assert table8({"iuface": (24.05, 2), "sonic": (24, 2)}, LEADS).word == "not shown"


def test_without_a_run_of_the_row_there_is_no_verdict(table8):
    assert table8({"sonic": (24, 0.1)}, LEADS).word == "no runs"


def test_columns_without_runs_keep_a_claim_from_being_shown(table8):
    """Analytic: PSNR alone has runs, of eight columns."""
    verdict = table8({"iuface": (25, 0), "sonic": (24, 0.1)}, Check(table="iuface_table8", row=IUFACE))
    assert verdict.word == "shown in 1 of 1" and "7 of 8 columns have no runs" in verdict.details


def test_places_carry_their_doubt(table8):
    """Analytic: clearly the second of three is in the better half; inside the noise it may be the third."""
    competitive = Check(kind="competitive", table="iuface_table8", row=IUFACE, columns=("PSNR",))
    assert table8({"iuface": (24, 0), "sonic": (25, 0.1), "dice_talk": (23, 0.1)}, competitive).word == "shown"


def test_a_number_is_looked_for_in_the_interval(table8):
    check = Check(kind="says", table="iuface_table8", row=IUFACE, columns=("PSNR",), number="24")
    assert table8({"iuface": (24, 0)}, check).word == "shown"
    far = check.model_copy(update={"number": "29"})
    verdict = table8({}, far)
    assert verdict.word == "contradicted in 1 of 1" and "here" in verdict.details[0]


def test_a_table_that_came_as_json_gives_the_same_verdict(tmp_path, monkeypatch):
    """Oracle: the verdict on the runs themselves; the differences travel with the table."""
    monkeypatch.setenv("AU_BENCH_CACHE", str(tmp_path / "cache"))
    for method, mean in (("iuface", 25), ("sonic", 24)):
        values = mean + np.random.default_rng(0).standard_normal(36)
        stored_run(tmp_path / "runs", "synth_std", method, {"psnr": values}, videos="v")
    table = regenerate("iuface_table8", partial(finished_runs, root=tmp_path / "runs"), synthetic=True)
    here = _against_runs(claim(LEADS), {"iuface_table8": table})
    there = read_document("iuface_table8", json.loads(json.dumps(table.document())))
    assert here.word == "shown" and _against_runs(claim(LEADS), {"iuface_table8": there}) == here


# -- the page ---------------------------------------------------------------------------------------------------------


def test_the_page_has_every_claim_and_no_verdict_that_was_typed(judged):
    """Oracle: the file has no word of a verdict; the page has each claim's, the marks and the shared rows."""
    document = as_document(list(judged.values()))
    text = as_markdown(document)
    assert len(document["claims"]) == len(read_claims().claims) == len(judged)
    for one in document["claims"]:
        assert one["quote"].replace("|", r"\|") in text and f"**{one['print']['word']}**" in text
    assert json.loads(json.dumps(document)) == document
    assert "DICE-Talk (2025) (7.3073)" in text and "equal in 12 of 12 columns" in text
    rows = [line for line in text.splitlines() if line.startswith("| “")]
    assert all(len(re.findall(r"(?<!\\)\|", row)) == 5 for row in rows)


def test_the_source_of_the_aus_is_said(tmp_path, monkeypatch):
    """Analytic: the row that leads sees the driving video's AUs, the other does not."""
    monkeypatch.setenv("AU_BENCH_CACHE", str(tmp_path / "cache"))
    for method, mean in (("iuface", 25), ("sonic", 24)):
        values = mean + np.random.default_rng(0).standard_normal(36)
        stored_run(tmp_path / "runs", "mead_std_iuface", method, {"psnr": values}, videos="v")
    table = regenerate("iuface_table8", partial(finished_runs, root=tmp_path / "runs"))
    rows = [replace(row, section=SECTIONS["driving"] if row.label == IUFACE else "") for row in table.table.rows]
    table.table = replace(table.table, rows=tuple(rows))
    verdict = _against_runs(claim(LEADS), {"iuface_table8": table})
    assert verdict.word == "shown" and f"{IUFACE} has AUs of the driving video, others have not" in verdict.details
