"""User studies. Oracle: what the page may not tell, AUHead's own Table 4, published agreement data and the package
krippendorff, and hand-made files that must be refused."""

import json
import sys
from collections import Counter
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import krippendorff
import numpy as np
import pytest

import bench.run
from bench.cli.app import main
from bench.credentials import read_credentials
from bench.media.errors import UserError
from bench.plan import make_plan
from bench.study.agreement import krippendorff_alpha
from bench.study.make import _choose, make_study
from bench.study.spec import QUESTIONS, Answers, Key, KeyPair, digest, layout
from bench.study.tally import accept, binomial_interval, tally
from bench.weights import Weights
from tests.bench.conftest import Quiet, moving_clip

METHODS = ("still_image", "reencoded", "ground_truth")


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> list[Path]:
    """Three runs on four clips."""
    data = tmp_path_factory.mktemp("data")
    for seed, name in enumerate(("secret one", "secret two", "secret three", "secret four")):
        moving_clip(data / f"{name}.mp4", seed=seed, frames=4)
    weights, folders = Weights(tmp_path_factory.mktemp("cache")), []
    for method in METHODS:
        plan = make_plan(method=method, protocol="folder", data=data, weights=weights, metrics=["psnr"])
        folder = tmp_path_factory.mktemp(method)
        folders.append(bench.run.run(plan, folder, weights=weights, progress=Quiet(), devices=["cpu"]).folder)
    return folders


@pytest.fixture(scope="module")
def made(runs, tmp_path_factory):
    """A study of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AU_BENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        return make_study(runs, tmp_path_factory.mktemp("out") / "study", progress=Quiet(), clips=3, checks=2)


# -- making -------------------------------------------------------------------------------------------------------------


def test_nothing_in_the_page_tells_whose_a_clip_is(made, runs):
    """Oracle: every byte of every file and every name, searched for methods, fingerprints, cases and the word of a check."""
    files = [path for path in made.page.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".html", ".css", ".js", ".mp4"}
    told = [*METHODS, *made.key.runs.values(), *(run.name for run in runs), "secret", "ruined"]
    for path in files:
        content = path.read_bytes() + str(path.relative_to(made.page)).encode()
        assert [word for word in told if word.encode() in content] == []
    clips = sorted((made.page / "clips").iterdir())
    assert [path.name for path in clips] == [f"c{n:03d}.mp4" for n in range(1, len(clips) + 1)]
    assert len({path.stat().st_mtime_ns for path in clips}) == 1
    claims = [read_credentials(path) for path in clips]
    assert {one.state for one in claims} == {"valid"}
    assert [one.claims for one in claims] == [{"study": made.key.study, "clip": path.stem} for path in clips]


def test_every_two_rows_meet_on_every_case(made):
    """Oracle: counting; each of two rows is on the left equally often, and so is the ruined side of a check."""
    meetings = Counter((tuple(sorted(pair.rows)), pair.case) for pair in made.key.pairs if not pair.ruined)
    assert set(meetings.values()) == {1}
    assert len(meetings) == 3 * 3
    checks = [pair for pair in made.key.pairs if pair.ruined]
    assert sorted(pair.clips.index(pair.ruined) for pair in checks) == [0, 1]
    for rows in {names for names, _ in meetings}:
        left = Counter(pair.rows[0] for pair in made.key.pairs if set(pair.rows) == set(rows) and not pair.ruined)
        assert max(left.values()) == 2  # of three


def test_seed_decides(made, runs, tmp_path, monkeypatch):
    """Oracle: the same key for the same seed, another for another; a folder with another study is left alone."""
    monkeypatch.setattr("bench.study.make._write_clips", lambda *_: None)
    same = make_study(runs, tmp_path / "same", progress=Quiet(), clips=3, checks=2)
    other = make_study(runs, tmp_path / "other", progress=Quiet(), clips=3, checks=2, seed=1)
    assert same.key == made.key
    assert other.key.study != made.key.study
    assert [pair.rows for pair in other.key.pairs] != [pair.rows for pair in made.key.pairs]
    with pytest.raises(UserError, match="holds another study"):
        make_study(runs, tmp_path / "other", progress=Quiet(), clips=3, checks=2)
    with pytest.raises(UserError, match="two or more"):
        make_study(runs[:1], tmp_path / "one", progress=Quiet())
    with pytest.raises(UserError, match="tells raters about still_image"):
        make_study(runs, tmp_path / "told", progress=Quiet(), title="Is Still_Image bad?")


def test_cases_are_spread_as_in_the_paper():
    """Oracle: AUHead section 4.3.1: 32 clips of 4 people with 8 emotions, so one clip of each combination."""
    cases = list(product("abcd", range(8), range(3)))
    records = {f"{i}/{e}/{level}": {"status": "ok", "identity": i, "emotion": e} for i, e, level in cases}
    chosen = _choose([SimpleNamespace(records=records)] * 2, 32, seed=0)
    assert len({(records[id]["identity"], records[id]["emotion"]) for id in chosen}) == 32
    less = {id: record | {"status": "failed"} if id.startswith("a") else record for id, record in records.items()}
    assert not [id for id in _choose([SimpleNamespace(records=r) for r in (records, less)], 96, seed=0) if id[0] == "a"]


def test_raters_see_another_order_and_half_of_them_the_other_sides(made):
    """Oracle: 400 raters; a fair coin stays within 200 +- 50 but for one time in two million."""
    layouts = [layout(made.key.study, f"r{n}", made.key.pairs) for n in range(400)]
    sides = Counter(shown[1:] for one in layouts for shown in one if shown[0] == "p001")
    assert all(150 < count < 250 for count in sides.values())
    assert len({tuple(shown[0] for shown in one) for one in layouts}) > 390
    assert layout(made.key.study, "r0", made.key.pairs[::-1]) == layouts[0]


def test_made_on_the_command_line(runs, tmp_path, monkeypatch, capsys):
    """Oracle: the key and the page on disk: two pairs and two attention checks; exit code 2 where the title tells."""

    def call(*arguments) -> int:
        monkeypatch.setattr(sys, "argv", ["bench", "study", "make", *map(str, [*runs[:2], *arguments])])
        return main()

    monkeypatch.setenv("AU_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("bench.study.make._write_clips", lambda *_: None)
    monkeypatch.chdir(tmp_path)
    assert call("--clips", 2, "--checks", 2, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    key = Key.model_validate_json(Path(told["key"]).read_bytes())
    assert (told["study"], told["pairs"], len(key.pairs)) == (key.study, 4, 4)
    assert told["key"] == f"results/studies/{key.study}/key.json" and Path(told["page"], "index.html").is_file()
    assert call("--clips", 2, "--checks", 2) == 0
    assert "4 pairs; send raters the whole folder" in capsys.readouterr().out
    assert call("--title", "Is still_image better?") == 2
    assert "tells raters about still_image" in capsys.readouterr().err


# -- the page -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small(runs, tmp_path_factory):
    """A study of two rows: two pairs and two attention checks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AU_BENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        out = tmp_path_factory.mktemp("small") / "a folder"
        return make_study(runs[:2], out, progress=Quiet(), clips=2, checks=2, title="<b>Which?", contact="a@b.example")


def test_a_rater_goes_through_the_page_by_keyboard(small, page, tmp_path):
    """Oracle: a real browser: order and sides are those of `layout`, progress outlives a reload, nothing can be skipped, and
    `accept` takes the file, whose digest the page computed."""
    from playwright.sync_api import expect

    shown = layout(small.key.study, "rater-1", small.key.pairs)
    ruined = {pair.ruined for pair in small.key.pairs if pair.ruined}
    page.goto((small.page / "index.html").as_uri())
    expect(page.locator("h1").first).to_have_text("<b>Which?")
    assert len(page.input_value("[name=rater]")) == 8
    page.fill("[name=rater]", "rater-1")
    page.keyboard.press("Enter")
    for place, (_, *sides) in enumerate(shown, 1):
        if place == 3:
            page.reload()
        expect(page.locator("[data-heading]")).to_have_text(f"Pair {place} of 4")
        assert [video.get_attribute("src") for video in page.locator("video").all()] == [
            f"clips/{c}.mp4" for c in sides
        ]
        keys = "bbsb" if sides[0] in ruined else "aasa" if sides[1] in ruined else "asbs"
        for key in keys:
            page.keyboard.press(key)
        page.keyboard.press("n")
        expect(page.locator("[data-heading]")).to_have_text(f"Pair {place} of 4")
        for number in (0, 1):
            page.keyboard.press(str(number + 1))
            expect(page.locator("[data-seen]").nth(number)).to_have_text("seen")
        page.keyboard.press("n")
        if place == 1:
            page.click("text=Back")
            expect(page.locator("[data-question=sync] input:checked")).to_have_value({"s": "same", "b": "B"}[keys[2]])
            page.keyboard.press("n")
    expect(page.locator('[data-part="end"]')).to_contain_text("a@b.example")
    with page.expect_download() as download:
        page.click("text=Save answers")
    file = tmp_path / download.value.suggested_filename
    download.value.save_as(file)
    assert file.name == f"answers-{small.key.study}-rater-1.json"
    counted, refused = accept([file], small.key)
    assert refused == []
    for rating in counted[0].ratings:
        if not {rating.left, rating.right} & ruined:
            assert [getattr(rating, name) for name in QUESTIONS] == ["A", "same", "B", "same"]
    assert min(rating.ms for rating in counted[0].ratings) >= 2 * 160  # both clips of four frames were played
    page.on("dialog", lambda dialog: dialog.accept())
    page.click("text=Start over")
    expect(page.locator("[name=rater]")).not_to_have_value("rater-1")


# -- tallying -----------------------------------------------------------------------------------------------------------


def some_key(clips: int, checks: int = 0) -> Key:
    """A study of "ours" against "theirs"."""
    pairs = [KeyPair(id=f"p{n}", clips=(f"a{n}", f"b{n}"), case=str(n), rows=("ours", "theirs")) for n in range(clips)]
    pairs += [
        KeyPair(id=f"q{n}", clips=(f"g{n}", f"h{n}"), case=str(n), rows=("ours", "ours"), ruined=f"{'gh'[n % 2]}{n}")
        for n in range(checks)
    ]
    return Key(
        study="s1", title="t", protocol="mead_std", data="0", synthetic=False, seed=0, runs={"ours": "0", "theirs": "1"},
        pairs=pairs,
    )  # fmt: skip


def answered(key: Key, rater: str, wanted, ms: int = 7) -> Answers:
    """A rater's file: wanted(place, question) is "ours", "theirs" or "same"; attention checks are passed."""
    ratings = []
    places = {pair.id: place for place, pair in enumerate(key.pairs)}
    for id, left, right in layout(key.study, rater, key.pairs):
        pair = key.pairs[places[id]]
        said = {}
        for question in QUESTIONS:
            want = wanted(places[id], question)
            clip = {"ours": pair.clips[0], "theirs": pair.clips[1]}.get(want)
            if pair.ruined:
                clip = next(name for name in pair.clips if name != pair.ruined)
            said[question] = {left: "A", right: "B"}.get(clip, "same")
        ratings.append({"pair": id, "left": left, "right": right, "ms": ms, **said})
    answers = Answers(
        schema_=1, study=key.study, rater=rater, started="2026-01-01T00:00:00.000Z", finished="2026-01-01T01:00:00.000Z",
        ratings=ratings, sha256="",
    )  # fmt: skip
    return answers.model_copy(update={"sha256": digest(answers)})


def test_the_papers_table_4_comes_back():
    """Oracle: AUHead's Table 4, emotional expression: 64.63, 18.88 and 16.49 %, which 517, 151 and 132 of its 800 ratings give
    (32 clips, 25 raters); the binomial interval of 517 of 800 by the F quantiles of Clopper and Pearson."""
    key = some_key(32)
    said = ["ours"] * 517 + ["theirs"] * 151 + ["same"] * 132
    np.random.default_rng(0).shuffle(said)
    counted = [answered(key, f"r{n}", lambda place, _, n=n: said[32 * n + place]) for n in range(25)]
    one = tally(key, counted).pairs[0].questions["expression"]
    assert (one.ratings, one.verdict) == (800, "ours")
    for share, printed in ((one.first, 64.63), (one.second, 18.88), (one.same, 16.49)):
        assert abs(100 * share.value - printed) < 0.011
    assert one.first.binomial == pytest.approx((0.61200, 0.67944), abs=1e-4)
    assert one.difference.value == pytest.approx(366 / 800)
    assert one.first.raters[0] < one.first.value < one.first.raters[1]


@pytest.mark.parametrize(("count", "n"), [(0, 20), (20, 20), (0, 800)])
def test_binomial_interval_at_the_ends(count, n):
    """Oracle: the closed form: with nothing seen the upper end is 1 - 0.025^(1/n)."""
    low, high = binomial_interval(count, n)
    edge = 1 - 0.025 ** (1 / n)
    assert (low, high) == pytest.approx((0, edge) if count == 0 else (1 - edge, 1))


def test_a_rater_who_always_says_the_same_counts_once():
    """Oracle: raters of one mind each: the interval over raters is that of one rating per rater, far wider than the binomial one,
    and no preference is claimed."""
    key = some_key(40)
    minds = ["ours", "ours", "theirs", "ours", "theirs", "same"]
    one = tally(key, [answered(key, f"r{n}", lambda *_, n=n: minds[n]) for n in range(6)]).pairs[0].questions["overall"]
    alone = some_key(1)
    once = (
        tally(alone, [answered(alone, f"r{n}", lambda *_, n=n: minds[n]) for n in range(6)])
        .pairs[0]
        .questions["overall"]
    )
    assert one.first.raters == pytest.approx(once.first.raters)
    assert one.first.binomial[1] - one.first.binomial[0] < (one.first.raters[1] - one.first.raters[0]) / 4
    assert one.verdict == "not shown"
    single = tally(key, [answered(key, "r", lambda *_: "ours")]).pairs[0].questions["overall"]
    assert (single.first.value, single.first.raters, single.verdict) == (1.0, None, "not shown")


def test_sides_do_not_matter():
    """Oracle: a rater who always says A prefers nobody: over many raters as many for one row as for the other."""
    key = some_key(8)
    for n in range(50):
        shown = layout(key.study, f"r{n}", key.pairs)
        assert {left[0] for _, left, _ in shown} in ({"a"}, {"b"})
    left = Counter(layout(key.study, f"r{n}", key.pairs)[0][1][0] for n in range(50))
    assert min(left.values()) > 10


def test_agreement_of_published_data():
    """Oracle: Krippendorff 2011, section C: four observers, twelve units, gaps; nominal alpha is 0.743."""
    table = [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3],
        [None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None],
    ]
    units = [[str(row[unit]) for row in table if row[unit]] for unit in range(12)]
    assert krippendorff_alpha(units) == pytest.approx(0.743, abs=5e-4)


def test_agreement_against_the_package():
    """Oracle: krippendorff.alpha on 30 random tables with gaps; perfect agreement and no choice at all."""
    rng = np.random.default_rng(0)
    for _ in range(30):
        table = np.where(rng.random((5, 9)) < 0.8, rng.integers(0, 3, (5, 9)), np.nan)
        units = [[str(value) for value in column[~np.isnan(column)]] for column in table.T]
        expected = krippendorff.alpha(table, level_of_measurement="nominal")
        assert krippendorff_alpha(units) == pytest.approx(expected, abs=1e-12)
    assert krippendorff_alpha([["a", "a"], ["b", "b"]]) == 1
    assert krippendorff_alpha([["a", "a"], ["a", "a"]]) is None
    assert krippendorff_alpha([["a"], ["b"]]) is None


# -- refusing -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def key() -> Key:
    return some_key(3, checks=2)


def file_of(answers: Answers, folder: Path, name: str | None = None, **changes) -> Path:
    """The file as the page writes it, with changes to its text."""
    content = answers.model_dump(by_alias=True) | changes
    path = folder / f"{name or answers.rater}.json"
    path.write_text(json.dumps(content))
    return path


def resigned(answers: Answers, **changes) -> Answers:
    """Changed answers with a digest that fits."""
    changed = answers.model_copy(update=changes)
    return changed.model_copy(update={"sha256": digest(changed)})


def test_files_that_are_refused(key, tmp_path):
    """Oracle: the reason for each; a good file among them counts."""
    good = answered(key, "good", lambda *_: "ours")
    content = good.model_dump(by_alias=True)["ratings"]
    slack = resigned(good, ratings=[r.model_copy(update={"quality": "same"}) for r in good.ratings])
    moved = resigned(good, ratings=good.ratings[::-1])
    short = resigned(good, ratings=good.ratings[:-1])
    changed, unheard = content[0] | {"overall": "same"}, {k: v for k, v in content[0].items() if k != "sync"}
    files = {
        file_of(good, tmp_path): None,
        file_of(good, tmp_path, "other study", study="s2"): "belongs to study s2, this is s1",
        file_of(good, tmp_path, "edited", ratings=[changed, *content[1:]]): "was edited",
        file_of(good, tmp_path, "lacks answer", ratings=[unheard]): "incomplete: ratings.0.sync",
        file_of(
            good, tmp_path, "odd answer", ratings=[unheard | {"sync": "C"}]
        ): "not a file of the study page: ratings.0",
        file_of(short, tmp_path, "lacks pair"): "incomplete: 1 of 5 pairs have no answer",
        file_of(moved, tmp_path, "moved"): "pairs, order or sides are not those",
        file_of(slack, tmp_path, "slack"): "failed 2 of 2 attention checks",
        tmp_path / "gone.json": "cannot be read",
    }
    (tmp_path / "text.json").write_text("text")
    files[tmp_path / "text.json"] = "not a file of the study page"
    counted, refused = accept(list(files), key)
    assert counted == [good]
    reasons = {one.file: one.reason for one in refused}
    assert reasons.keys() == {path.name for path, reason in files.items() if reason}
    for path, reason in files.items():
        assert reason is None or reason in reasons[path.name]


def test_duplicates(key, tmp_path):
    """Oracle: one file twice counts once; one code with two sets of answers counts never; one set of answers under two codes
    counts once; equal answers in other times are two people."""
    first, second = answered(key, "r1", lambda *_: "ours"), answered(key, "r1", lambda *_: "theirs")
    counted, refused = accept([file_of(first, tmp_path), file_of(first, tmp_path, "copy")], key)
    assert (counted, [one.file for one in refused]) == ([first], ["copy.json"])
    counted, refused = accept([file_of(first, tmp_path), file_of(second, tmp_path, "changed")], key)
    assert (counted, [one.file for one in refused]) == ([], ["r1.json", "changed.json"])
    assert "with other answers" in refused[0].reason
    renamed, later = answered(key, "r2", lambda *_: "ours"), answered(key, "r3", lambda *_: "ours", ms=8)
    counted, refused = accept([file_of(one, tmp_path) for one in (first, renamed, later)], key)
    assert (counted, [one.file for one in refused]) == ([first, later], ["r2.json"])
    assert "under another code" in refused[0].reason


def test_on_the_command_line(key, tmp_path, monkeypatch, capsys):
    """Oracle: exit code 0, then 1 with a refused file named, 2 with none that counts; tally.json beside the key."""

    def call(*arguments) -> int:
        monkeypatch.setattr(sys, "argv", ["bench", "study", "tally", *map(str, arguments)])
        return main()

    monkeypatch.chdir(tmp_path)
    (tmp_path / "results/studies/s1").mkdir(parents=True)
    (tmp_path / "results/studies/s1/key.json").write_text(key.model_dump_json(by_alias=True))
    good, bad = (file_of(answered(key, name, lambda *_: "ours"), tmp_path) for name in ("good", "bad"))
    assert call(good) == 0
    assert "| Video quality | 100.0 % [" in capsys.readouterr().out
    assert json.loads((tmp_path / "results/studies/s1/tally.json").read_text())["pairs"][0]["first"] == "ours"
    bad.write_text(bad.read_text().replace('"A"', '"B"', 1))
    assert call(good, bad, "--json") == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["raters"], told["refused"][0]["file"]) == (1, "bad.json")
    assert call(bad) == 2
    assert "no file can be counted" in capsys.readouterr().err
