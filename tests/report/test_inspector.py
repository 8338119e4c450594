"""The AU inspector in a real browser. Oracles: the AU file, the frame number on screen, the file that is downloaded."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from bench.cli import main
from bench.media import au
from bench.media.au import AUTrack, vocabulary
from bench.media.clip import hash_file
from bench.media.errors import UserError
from bench.report.inspector import MESH_SIZE, drawn_maps, inspect_clip
from bench.weights import Weights
from tests.browser import checked_page
from tests.report.test_site import frame_on_screen, ready
from tests.videos import numbered_frames, write

FRAMES = 30


@pytest.fixture(scope="module")
def inspected(tmp_path_factory):
    """A page on a numbered clip with random AUs, the clip, and the AUs; frame 7 has no face."""
    folder = tmp_path_factory.mktemp("inspector")
    clip = write(folder / "my <clip>.mp4", numbered_frames(FRAMES, 64, 64))
    values = np.random.default_rng(0).random((FRAMES, 24)).round(2).astype(np.float32)
    values[7] = np.nan
    au.write(AUTrack(values, 25.0, "feafa24"), folder / "aus.csv")
    page = inspect_clip(clip, folder / "page.html", weights=Weights(folder / "cache"), aus=folder / "aus.csv")
    return page, clip, values


def bars(page) -> list[str]:
    return page.locator(".bars .value").all_inner_texts()[1:]


def test_every_frame_shows_its_own_values(inspected, page):
    """Oracle: the CSV, and the grey level on screen, which is the frame's number."""
    file, _, values = inspected
    page.goto(file.as_uri())
    assert page.locator(".bars tbody th").all_inner_texts() == list(vocabulary("feafa24").names)
    for keys, frame in (
        (["Shift+ArrowRight"], 10),
        (["ArrowLeft"], 9),
        (["End"], 29),
        (["Home", *["ArrowRight"] * 7], 7),
    ):
        for key in keys:
            page.keyboard.press(key)
        ready(page)
        expected = ["–" if np.isnan(v) else f"{v:.2f}" for v in values[frame]]
        assert bars(page) == expected
        assert frame_on_screen(page.get_by_label("clip", exact=True)) == pytest.approx(frame, abs=0.5)
    mesh = page.get_by_label("mesh moved by the AUs")
    assert frame_on_screen(mesh) < 1, "a frame without a face has a black mesh"
    page.keyboard.press("ArrowRight")
    ready(page)
    assert frame_on_screen(mesh) > 5
    width = (
        page.locator(".bars tbody tr").nth(3).evaluate("row => Number(getComputedStyle(row).getPropertyValue('--v'))")
    )
    assert width == pytest.approx(values[8, 3], abs=1e-4)


def test_marks_are_kept_and_exported(inspected, page):
    """Oracle: the downloaded file against the AUs and the clip's hash."""
    file, clip, values = inspected
    page.goto(file.as_uri())
    assert page.get_by_role("button", name="Export marks").is_disabled()
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("m")
    page.keyboard.press("End")
    page.get_by_role("button", name="Mark frame").click()
    page.get_by_label("Note on frame 10").fill('lids "too" <open> m')
    page.reload()
    assert page.get_by_label("Note on frame 10").input_value() == 'lids "too" <open> m'
    page.get_by_role("button", name="frame 29", exact=True).click()
    assert page.get_by_role("button", name="Unmark frame").get_attribute("aria-pressed") == "true"
    with page.expect_download() as download:
        page.get_by_role("button", name="Export marks").click()
    found = json.loads(download.value.path().read_text("utf-8"))
    assert download.value.suggested_filename.endswith(".marks.json")
    assert (found["schema"], found["clip"], found["sha256"]) == (1, clip.name, hash_file(clip))
    assert (found["fps"], found["frames"], found["vocabulary"], found["source"]) == (25, FRAMES, "feafa24", "aus.csv")
    first, last = found["marks"]
    assert (first["frame"], first["seconds"], first["note"]) == (10, 0.4, 'lids "too" <open> m')
    assert list(first["aus"]) == list(vocabulary("feafa24").names)
    assert list(last["aus"].values()) == pytest.approx(values[29].tolist(), abs=1e-4)
    page.get_by_role("button", name="Remove the mark of frame 10").click()
    page.keyboard.press("m")
    assert page.get_by_role("button", name="Export marks").is_disabled()


def test_it_fits_a_phone_and_needs_nothing_else(inspected, chromium, tmp_path):
    """Oracle: the page alone, moved to an empty folder, still plays."""
    alone = tmp_path / "alone.html"
    alone.write_bytes(inspected[0].read_bytes())
    with checked_page(chromium, viewport={"width": 390, "height": 844}, color_scheme="dark") as page:
        page.goto(alone.as_uri())
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        ready(page)
        page.get_by_role("button", name="Play").click()
        page.wait_for_function("() => Number(document.querySelector('[data-do=scrub]').value) > 3")


def test_other_vocabularies_reach_the_mesh_or_say_why_not(tmp_path):
    """Oracle: `bench.media.au_maps.MAPS`: openface35 has a map to feafa24, libreface12 none."""
    clip = write(tmp_path / "a.mp4", numbered_frames(4, 64, 64))
    weights = Weights(tmp_path / "cache")
    for name, said in (("openface35", "read as feafa24"), ("libreface12", "no mesh: no map from libreface12")):
        track = AUTrack(np.ones((4, len(vocabulary(name))), np.float32), 25.0, name)
        au.write(track, tmp_path / f"{name}.json")
        text = inspect_clip(clip, tmp_path / "page.html", weights=weights, aus=tmp_path / f"{name}.json").read_text(
            "utf-8"
        )
        assert said in text and text.count("<video") == (3 if name == "openface35" else 1)


def test_what_cannot_be_inspected_says_what_to_do(tmp_path, monkeypatch):
    clip = write(tmp_path / "a.mp4", numbered_frames(4, 64, 64))
    common = dict(out=tmp_path / "page.html", weights=Weights(tmp_path / "cache"))
    with pytest.raises(UserError, match="no such file"):
        inspect_clip(tmp_path / "b.mp4", **common)
    monkeypatch.setenv("AU_BENCH_ASSETS", str(tmp_path))
    common["weights"] = Weights(tmp_path / "cache")
    with pytest.raises(UserError, match=r"landmarks needs .*; openface .*--aus FILE"):
        inspect_clip(clip, **common)
    monkeypatch.setattr("bench.report.inspector.MAX_FRAMES", 3)
    with pytest.raises(UserError, match="4 frames are too many for one page; --frames 3"):
        inspect_clip(clip, **common)


def test_frames_without_a_face_are_black():
    aus = np.zeros((3, 24), np.float32)
    aus[1] = np.nan
    frames = drawn_maps(aus, "lmk")
    assert frames.shape == (3, MESH_SIZE, MESH_SIZE, 3) and frames.dtype == np.uint8
    assert frames[1].max() == 0 and frames[0].max() > 200 and np.array_equal(frames[0], frames[2])


def test_aus_are_read_off_a_recorded_clip(grid_clips, assets, tmp_path):
    """Oracle: someone who speaks opens their jaw and blinks at most now and then; the estimator is named."""
    weights = Weights(tmp_path / "cache")
    weights.adopt("face_landmarker", assets / "models" / "face_landmarker_v2_with_blendshapes.task")
    page = inspect_clip(grid_clips[0], tmp_path / "page.html", weights=weights, num_frames=25)
    clip = json.loads(re.search(r'id="clip">(.*?)</script>', page.read_text("utf-8"))[1])
    values = dict(zip(clip["names"], np.array(clip["values"]).T, strict=True))
    assert clip["source"] == "read off the clip by landmarks" and clip["frames"] == len(clip["values"]) == 25
    assert values["jaw_drop"].max() > 0.05 and np.median(values["eye_close_left"]) < 0.3


def test_the_command_line_names_the_page_and_refuses_what_contradicts(tmp_path, monkeypatch, capsys):
    write(tmp_path / "a.mp4", numbered_frames(4, 64, 64))
    au.write(AUTrack(np.zeros((4, 24), np.float32), 25.0, "feafa24"), tmp_path / "a.csv")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AU_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("sys.argv", ["bench", "inspect", "a.mp4", "--aus", "a.csv"])
    assert main() == 0 and capsys.readouterr().out.startswith("a.html: ") and (tmp_path / "a.html").exists()
    monkeypatch.setattr("sys.argv", ["bench", "inspect", "a.mp4", "--aus", "a.csv", "--estimator", "landmarks"])
    assert main() == 2 and "choose one" in capsys.readouterr().err
    monkeypatch.setattr("sys.argv", ["bench", "inspect", "a.mp4", "--estimator", "eyes"])
    assert main() == 2 and "there are landmarks, openface, synth_face" in capsys.readouterr().err
