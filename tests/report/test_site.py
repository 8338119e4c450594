"""The report in a real browser, on runs with hostile names. Oracles: the run folders, `bench.aggregate`, what is on screen."""

from __future__ import annotations

import html.parser
import json
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import cv2
import numpy as np
import pytest

from bench.aggregate import compare
from bench.cli import main
from bench.credentials import read_credentials
from bench.leaderboard import Comparison
from bench.media.clip import Clip
from bench.media.errors import UserError
from bench.report.page import slug
from bench.report.site import write_site
from bench.store import load_cases
from tests.bench.conftest import Quiet
from tests.browser import checked_page
from tests.report.conftest import FRAMES, HOSTILE_CASE, LABEL, REASON

PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}


def pages(made) -> list[Path]:
    return [made.site.out / name for name in made.site.files if name.endswith(".html")]


class Links(html.parser.HTMLParser):
    """Addresses that a page asks for or leads to."""

    def __init__(self, page: Path):
        super().__init__()
        self.found: list[str] = []
        self.scripts = 0
        self.feed(page.read_text("utf-8"))

    def handle_starttag(self, tag, attributes):
        self.scripts += tag == "script"
        self.found += [value for name, value in attributes if name in ("href", "src", "poster")]


# -- the folder ---------------------------------------------------------------------------------------------------------


def test_every_address_is_a_file_of_the_site(made):
    """Oracle: the file system. Nothing leads out of the folder, and every anchor exists."""
    for page in pages(made):
        for address in Links(page).found:
            parts = urlsplit(address)
            assert not parts.scheme or address == "data:,", (page, address)
            target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            if parts.scheme:
                continue
            assert target.is_relative_to(made.site.out.resolve()) and target.is_file(), (page, address)
            if parts.fragment and target.suffix == ".html":
                assert f'id="{parts.fragment}"' in target.read_text("utf-8"), (page, address)


def test_the_size_that_is_said_is_the_size_on_disk(made):
    files = [path for path in made.site.out.rglob("*") if path.is_file() and path.name != "site.json"]
    assert {path.relative_to(made.site.out).as_posix() for path in files} == set(made.site.files)
    assert made.site.bytes == sum(path.stat().st_size for path in files)
    assert 0 < made.site.video_bytes < made.site.bytes


def test_a_later_report_removes_what_it_no_longer_has(made, tmp_path, monkeypatch):
    """Oracle: the listing of the folder."""
    monkeypatch.setenv("AU_BENCH_CACHE", str(made.weights.cache))
    out, folders = tmp_path / "site", [made.runs["folder reencoded"].folder]
    common = dict(weights=made.weights, progress=Quiet(), cases=1, calibrated=tmp_path)
    monkeypatch.setattr("bench.report.site.papers", lambda runs: made_papers)
    made_papers = type("Papers", (), {"tables": (), "claims": ()})
    write_site(out, folders=folders, **common)
    before = {path for path in out.rglob("*") if path.is_file()}
    site = write_site(out, folders=[made.runs["folder still_image"].folder], **common)
    after = {path for path in out.rglob("*") if path.is_file()}
    assert before - after and after == {out / name for name in site.files} | {out / "site.json"}
    other = tmp_path / "photos"
    other.mkdir()
    (other / "holiday.jpg").touch()
    with pytest.raises(UserError, match="holds something that is no report"):
        write_site(other, folders=folders, **common)
    with pytest.raises(UserError, match="--baseline nobody: not among the rows still_image"):
        write_site(out, folders=[made.runs["folder still_image"].folder], baseline="nobody", **common)


def test_a_run_that_cannot_be_read_is_left_out_with_its_reason(made, tmp_path, monkeypatch):
    broken = tmp_path / "runs" / "folder" / "broken"
    broken.mkdir(parents=True)
    (broken / "run.json").write_text("{}")
    monkeypatch.setattr("bench.report.site.papers", lambda runs: type("Papers", (), {"tables": (), "claims": ()}))
    site = write_site(
        tmp_path / "site", weights=made.weights, progress=Quiet(), root=tmp_path / "runs", calibrated=tmp_path
    )
    assert site.left_out == [("folder/broken", "UserError: broken: no summary.json; run it to its end first")]
    assert "no summary.json" in (site.out / "index.html").read_text("utf-8")
    assert "bench run --method" in (site.out / "index.html").read_text("utf-8")


def test_the_command_says_where_the_site_is_and_how_big(made, tmp_path, monkeypatch, capsys):
    """Oracle: the folder that was written."""
    monkeypatch.setenv("AU_BENCH_CACHE", str(made.weights.cache))
    monkeypatch.chdir(tmp_path)
    run = str(made.runs["folder reencoded"].folder)
    monkeypatch.setattr("sys.argv", ["bench", "report", "--runs", run, "--cases", "0", "--json"])
    assert main() == 0
    said = json.loads(capsys.readouterr().out)
    assert said["index"] == "results/report/index.html" and said["video_bytes"] == 0 and said["left_out"] == []
    files = [path for path in Path("results/report").rglob("*") if path.is_file() and path.name != "site.json"]
    assert said["bytes"] == sum(path.stat().st_size for path in files)
    assert said["pages"] == sum(path.suffix == ".html" for path in files) >= 5


def test_videos_of_methods_carry_credentials_and_targets_do_not(made, monkeypatch):
    """Oracle: `bench.credentials.read_credentials`, and equal pixels."""
    monkeypatch.setenv("AU_BENCH_CACHE", str(made.weights.cache))
    run = made.runs["folder reencoded"]
    media = made.board("folder") / "media" / slug("a")
    video = media / f"{run.summary['fingerprint'][:12]}.mp4"
    said = read_credentials(video)
    assert (
        said.state == "valid"
        and said.claims["fingerprint"] == run.summary["fingerprint"]
        and said.claims["case"] == "a"
    )
    assert read_credentials(media / "target.mp4").state == "missing"
    assert np.array_equal(Clip(video).frames, Clip(run.folder / "viewer" / "a.mp4").frames)


# -- every page ---------------------------------------------------------------------------------------------------------


def test_every_page_loads_without_a_complaint_and_fits_a_phone(made, chromium):
    """Oracle: the browser's console, its dialogs, its requests (tests.browser), and the width of the document."""
    with checked_page(chromium, **PHONE) as page:
        dialogs = []
        page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
        for path in pages(made):
            page.goto(path.as_uri())
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
            assert page.locator("h1").count() == 1 and page.title(), path
            assert page.evaluate("document.querySelectorAll('script').length") == 1, path
            assert page.locator("img[onerror], svg[onload]").count() == 0, path
        assert dialogs == []


def test_hostile_texts_are_shown_as_they_are(made, page):
    """Oracle: the texts that went in. A character that would turn the rest of the line is shown as a replacement."""
    page.goto(made.page("folder", "index.html"))
    assert page.get_by_role("link", name=LABEL).first.is_visible()
    page.goto(made.page("folder", "failures.html"))
    shown = page.locator("main").inner_text()
    assert REASON.replace("\u202e", "\ufffd") in shown and "\u202e" not in shown
    assert HOSTILE_CASE in shown


@pytest.mark.parametrize("width", [1280, 390])
def test_wide_tables_scroll_in_their_own_box(made, chromium, width):
    """Oracle: the box of the first column stays where it is while the table scrolls."""
    with checked_page(chromium, viewport={"width": width, "height": 800}) as page:
        page.goto((made.site.out / "tables.html").as_uri())
        box = page.locator("#auhead_table3 + .scroll")
        before = box.locator("tbody th").first.bounding_box()["x"]
        box.evaluate("box => { box.scrollLeft = 200; }")
        moved = box.evaluate("box => box.scrollLeft")
        assert moved > 100 and box.locator("tbody th").first.bounding_box()["x"] == pytest.approx(before, abs=1)


# -- numbers ------------------------------------------------------------------------------------------------------------


def column(page, name: str) -> list[str]:
    """A leaderboard column's labels in order, of one section, by the metric's name."""
    table = page.locator("table.ranked").first
    return [text.strip() for text in table.locator("tbody").last.locator("tr:not(.section) th").all_inner_texts()]


def test_sorting_puts_the_best_first_then_turns_round(made, page):
    """Oracle: summary.json. A row without a value stays last; the state is said to those who do not see it."""
    page.goto(made.page("folder", "index.html"))
    values = {
        run.label: run.summary["metrics"]["psnr"]["value"] for key, run in made.runs.items() if key.startswith("folder")
    }
    controls = sorted((label for label in values if label != LABEL), key=values.__getitem__, reverse=True)
    head = page.locator("table.ranked thead th", has_text="psnr").first
    head.get_by_role("button").focus()
    page.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "descending" and column(page, "psnr") == controls
    page.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "ascending" and column(page, "psnr") == controls[::-1]
    page.locator("table.ranked thead th").first.get_by_role("button").click()
    assert head.get_attribute("aria-sort") is None and column(page, "method") == sorted(controls)


def test_sorting_keeps_rows_without_a_value_last(page):
    """Oracle: the order written here."""
    rows = "".join(
        f'<tr><th>{name}</th><td data-key="{key}"></td></tr>'
        for name, key in zip("abcd", ["2", "", "-1", "10"], strict=True)
    )
    head = '<th data-best="descending"><button class="sort">x</button></th>'
    page.set_content(f'<table class="sortable"><thead><tr><th>n</th>{head}</tr></thead><tbody>{rows}</tbody></table>')
    from bench.report.page import asset

    page.add_script_tag(content=asset("site.js"))
    for expected in ("dacb", "cadb"):
        page.get_by_role("button", name="x").click()
        assert "".join(page.locator("tbody th").all_inner_texts()) == expected


def test_the_filter_leaves_rows_that_hold_the_text(made, page):
    page.goto(made.page("folder", "index.html"))
    page.get_by_role("searchbox").fill("STILL")
    assert page.locator("table.ranked tbody tr:not(.section):visible th").all_inner_texts() == ["still_image"]
    assert page.locator("#found").inner_text() == "1 of 3 rows"


def cells(page) -> dict[tuple[str, str], dict]:
    """(row, metric) -> key, text and class of every cell of the leaderboard."""
    return {
        (cell["row"], cell["metric"]): cell
        for cell in page.evaluate("""() => [...document.querySelectorAll("table.ranked tbody td[data-key]")].map((cell) => ({
            row: cell.parentElement.cells[0].innerText, key: cell.dataset.key, text: cell.innerText, mark: cell.className,
            metric: cell.closest("table").tHead.rows[0].cells[cell.cellIndex].querySelector("button")?.innerText.split(" ")[0],
        }))""")
    }


def test_values_intervals_and_marks_are_those_of_the_leaderboard(made, page):
    """Oracle: `bench.leaderboard.Comparison`."""
    table = Comparison([made.runs[f"synth {method}"] for method in ("reencoded", "still_image")]).ranked()
    page.goto(made.page("synth_std", "index.html"))
    shown = cells(page)
    for row in table.rows:
        for about in table.columns:
            cell, found = row.cells[about.key], shown[row.label, about.name]
            text = found["text"].replace("\u2212", "-")
            assert float(found["key"]) == cell.value and found["mark"] == cell.mark
            assert abs(float(re.search(r"-?[\d.]+", text)[0]) - cell.value) <= 0.01 * max(1, abs(cell.value))
            ends = [float(number) for number in re.search(r"\[(.*)\]", text)[1].split(",")]
            assert ends == pytest.approx(cell.ci95, abs=0.06 * (cell.ci95[1] - cell.ci95[0]) + 1e-9)
    assert {cell["mark"] for cell in shown.values()} >= {"best", ""}


def test_differences_are_those_of_compare(made, page):
    """Oracle: `bench.aggregate.compare`; the dot stands right of zero where the difference is positive."""
    one, other = (made.runs[f"synth {method}"] for method in ("still_image", "reencoded"))
    block = compare(one.records.values(), other.records.values(), "psnr", one.metrics["psnr"])
    page.goto(made.page("synth_std", "index.html"))
    panel = page.locator(".panels section", has_text="psnr@frame")
    row = panel.locator("tr", has_text="still_image")
    text = row.inner_text().replace("\u2212", "-")
    assert float(re.search(r"[-+][\d.]+", text)[0]) == pytest.approx(block["value"], rel=0.05)
    assert row.locator(".verdict").inner_text() == "worse" and block["ci95"][1] < 0
    zero, dot = (float(row.locator(f"line{kind}").get_attribute("x1")) for kind in (".zero", ".dot"))
    assert dot < zero


def test_breakdown_is_the_mean_over_each_group(made, page):
    """Oracle: pandas over cases.jsonl."""
    frame = load_cases(made.runs["synth reencoded"].folder)
    page.goto(made.page("synth_std", "breakdown.html"))
    for field in ("emotion", "identity"):
        table = page.locator(f"#psnr\\@frame-{field} + .scroll")
        for name, expected in frame.groupby(field)["psnr"].mean().items():
            cell = table.locator("tbody tr", has_text=str(name)).locator("td").first
            assert float(cell.get_attribute("data-key")) == pytest.approx(expected, rel=1e-9), (field, name)
    assert page.locator("section.part:visible").count() == 1
    page.get_by_label("Metric").select_option("au_mae@synth")
    assert page.locator("section.part:visible h2").inner_text().startswith("au_mae@synth")
    page.emulate_media(media="print")
    assert page.locator("section.part:visible").count() == page.locator("section.part").count() > 1
    assert not page.locator("header.site nav").is_visible()


def test_every_failure_is_listed_with_its_reason(made, page):
    """Oracle: cases.jsonl."""
    page.goto(made.page("folder", "failures.html"))
    headings = page.locator("main h3").all_inner_texts()
    assert headings == ["no video: 1 case", "no ssim: 1 case"]
    video = page.locator("section", has_text="no ssim").locator("video")
    page.wait_for_function("() => document.querySelector('.stage video').readyState > 0")
    assert video.count() == 1 and video.evaluate("video => video.duration") == pytest.approx(FRAMES / 25, abs=0.05)


def test_a_run_says_what_it_was_made_with(made, page):
    """Oracle: run.json."""
    run = made.runs["synth reencoded"]
    page.goto(made.page("synth_std", f"runs/{slug(run.label)}.html"))
    text = page.locator("main").inner_text()
    manifest = run.manifest
    for expected in (manifest["fingerprint"], manifest["data"], *manifest["weights"].values(), *manifest["config"]):
        assert str(expected) in text
    assert manifest["invocations"][0]["environment"]["packages"]["numpy"] in text
    assert str(run.folder) not in page.content(), "the page must not name folders of this machine"


# -- players ------------------------------------------------------------------------------------------------------------


def frame_on_screen(video) -> float:
    """The number of the frame that a video element shows, of `tests.videos.numbered_frames`."""
    picture = cv2.imdecode(np.frombuffer(video.screenshot(), np.uint8), cv2.IMREAD_GRAYSCALE)
    height, width = picture.shape
    return float(picture[height // 3 : 2 * height // 3, width // 3 : 2 * width // 3].mean()) / 4


def ready(page) -> None:
    """Wait until no video is seeking and all have a frame."""
    page.wait_for_function(
        "() => [...document.querySelectorAll('.player video')].every(v => v.readyState >= 2 && !v.seeking)"
    )
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def test_keys_step_all_videos_to_the_same_frame_and_move_the_cursor(made, page):
    """Oracle: the grey level on screen, which is the frame's number; two lossy encodings move it by half a frame."""
    page.goto(made.page("folder", f"cases/{slug('a')}.html"))
    ready(page)
    videos = page.locator(".player video").all()
    assert len(videos) == 4, "target, two controls, the one made elsewhere"
    still = next(i for i, video in enumerate(videos) if video.get_attribute("aria-label") == "still_image")
    for key, frame in (("ArrowRight", 1), ("Shift+ArrowRight", 11), ("ArrowLeft", 10), ("End", 19), ("Home", 0)):
        page.keyboard.press(key)
        ready(page)
        shown = [frame_on_screen(video) for video in videos]
        expected = [0 if i == still else frame for i in range(4)]
        assert shown == pytest.approx(expected, abs=0.75), (key, shown)
        assert page.locator("output").inner_text().startswith(f"{frame} / 19")
        t = page.locator(".player").evaluate("player => Number(player.style.getPropertyValue('--t'))")
        assert t == pytest.approx(frame / (FRAMES - 1))


def open_synthetic_case(made, page) -> None:
    page.goto(made.page("synth_std", f"cases/{slug(min(made.runs['synth reencoded'].records))}.html"))
    ready(page)


def test_playing_moves_videos_and_cursor_together_and_stops_at_the_end(made, page):
    """Oracle: the browser's own clock. A quarter of the speed leaves time to look."""
    open_synthetic_case(made, page)
    page.get_by_label("Speed").select_option("0.25")
    page.get_by_role("button", name="Play").focus()
    page.keyboard.press("k")
    page.wait_for_function("() => Number(document.querySelector('[data-do=scrub]').value) > 4", timeout=20_000)
    times = page.evaluate("[...document.querySelectorAll('.player video')].map(v => v.currentTime)")
    assert len(times) == 3 and max(times) - min(times) < 2.5 / 25
    line = page.locator(".plot .cursor").first.bounding_box()["x"]
    plot = page.locator(".plot").first.bounding_box()
    assert plot["x"] + 4 / 47 * plot["width"] < line <= plot["x"] + plot["width"]
    page.get_by_role("button", name="Pause").click()
    page.keyboard.press("End")
    page.keyboard.press("Shift+ArrowLeft")
    page.get_by_label("Speed").select_option("1")
    page.get_by_role("button", name="Play").click()
    page.wait_for_function("() => document.querySelector('[data-do=play]').textContent === 'Play'", timeout=20_000)
    assert page.locator("[data-do=scrub]").input_value() == "47"
    assert all(page.evaluate("[...document.querySelectorAll('.player video')].map(v => v.paused)"))


def test_a_click_on_a_curve_goes_to_that_frame(made, page):
    open_synthetic_case(made, page)
    plot = page.locator(".plot").first
    box = plot.bounding_box()
    plot.click(position={"x": box["width"] * 0.75, "y": 10})
    assert abs(int(page.locator("[data-do=scrub]").input_value()) - 0.75 * 47) <= 1


def test_sound_comes_from_one_video_and_hiding_hides_its_lines(made, page):
    open_synthetic_case(made, page)
    muted = "[...document.querySelectorAll('.player video')].map(v => v.muted)"
    assert page.evaluate(muted) == [True] * 3
    page.get_by_label("Sound").select_option(label="target")
    assert page.evaluate(muted) == [False, True, True]
    page.goto(made.page("folder", f"cases/{slug('a')}.html"))
    page.get_by_text("Choose what is shown").click()
    page.get_by_role("checkbox", name="still_image").uncheck()
    assert page.locator(".stage figure:visible").count() == 4 and page.locator(".stage figure").count() == 5


# -- looks --------------------------------------------------------------------------------------------------------------


def luminance(colour: str) -> float:
    """Relative luminance of #rrggbb (WCAG 2.2)."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_can_be_read(made, chromium, scheme):
    """Oracle: the contrast ratio of WCAG 2.2, 4.5 for text and 3 for lines."""
    with checked_page(chromium, color_scheme=scheme) as page:
        page.goto((made.site.out / "index.html").as_uri())
        names = ["paper", "wash", "ink", "quiet", "link", "better", "worse", *(f"s{i}" for i in range(8))]
        style = "getComputedStyle(document.documentElement)"
        found = {name: page.evaluate(f"{style}.getPropertyValue('--{name}').trim()") for name in names}
        assert (luminance(found["paper"]) > 0.5) == (scheme == "light")
    for name, colour in found.items():
        for ground in ("paper", "wash"):
            ends = sorted((luminance(colour), luminance(found[ground])))
            ratio = (ends[1] + 0.05) / (ends[0] + 0.05)
            least = {"paper": 1, "wash": 1}.get(name, 3 if name.startswith("s") else 4.5)
            assert ratio >= least, (scheme, name, ground, ratio)


def test_the_theme_is_chosen_by_button_and_kept(made, page):
    """Oracle: the computed background."""
    page.goto((made.site.out / "index.html").as_uri())
    background = "getComputedStyle(document.body).backgroundColor"
    button = page.get_by_role("button", name="Theme")
    button.click()
    light = page.evaluate(background)
    button.click()
    assert button.inner_text() == "Theme: dark" and page.evaluate(background) != light == "rgb(255, 255, 255)"
    page.goto(made.page("folder", "index.html"))
    assert page.get_by_role("button", name="Theme").inner_text() == "Theme: dark"


def test_nothing_jumps_when_a_table_is_sorted(made, page):
    """Oracle: the boxes of the table's heads, before and after."""
    page.goto(made.page("folder", "index.html"))
    heads = "[...document.querySelector('table.ranked').tHead.querySelectorAll('th')]"
    boxes = f"{heads}.map(head => head.getBoundingClientRect().left)"
    before = page.evaluate(boxes)
    page.locator("table.ranked thead th", has_text="psnr").first.get_by_role("button").click()
    assert page.evaluate(boxes) == before


def test_the_keyboard_reaches_everything_and_shows_where_it_is(made, page):
    """Oracle: the outline of what has the focus; the first stop leads past the head."""
    page.goto(made.page("folder", "index.html"))
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        kind, outline = page.evaluate(
            "[document.activeElement.tagName, getComputedStyle(document.activeElement).outlineStyle]"
        )
        reached.add(kind)
        assert kind == "BODY" or outline != "none", kind
    assert {"A", "BUTTON", "INPUT", "DIV"} <= reached
