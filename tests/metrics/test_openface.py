"""The `openface` extractor: a CSV beside the clip, or the FeatureExtraction program."""

import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from bench.media.clip import ArrayClip, Clip
from bench.media.errors import MissingPrerequisite
from metrics.extractors.openface import OpenFace, rows_of_view
from tests.media.test_au import OPENFACE_HEADER, openface_csv

STAND_IN = '''#!{python}
"""Stands in for FeatureExtraction: one row per image, AU01_r is the mean red of the image / 51."""
import sys
from pathlib import Path
import cv2

{mishap}
arguments = dict(zip(sys.argv[1:], sys.argv[2:]))
images = sorted(Path(arguments["-fdir"]).glob("*.png"))
lines = ["{header}"]
for number, image in enumerate(images):
    red = cv2.imread(str(image))[..., 2].mean() / 51
    cells = [str(number + 1), "0", "0.000", "0.95", str(int(number != 1)), f"{{red:.2f}}"]
    lines.append(", ".join(cells + ["0.00"] * 34))
(Path(arguments["-out_dir"]) / (arguments["-of"] + ".csv")).write_text("\\n".join(lines[:{rows}]))
print("done", *sys.argv[1:])
'''


@pytest.fixture(autouse=True)
def no_program(monkeypatch, tmp_path):
    """Without OpenFace, whatever this machine has."""
    monkeypatch.delenv("OPENFACE_BIN", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))


@pytest.fixture
def clip(tmp_path, grid_clips) -> Clip:
    """A copy of a real clip that CSV files can be put beside: 75 frames at 25 fps."""
    shutil.copy(grid_clips[0], tmp_path / "speaker one.mpg")
    return Clip(tmp_path / "speaker one.mpg")


def extract(clip: Clip) -> dict[str, np.ndarray]:
    extractor = OpenFace({})
    extractor.begin(clip, {})
    for frames in clip.chunks():
        extractor.update(frames)
    return extractor.finish()


def au_values(rows: int, seed: int = 0) -> np.ndarray:
    """Values with two decimals as OpenFace writes them, (rows, 35)."""
    values = np.random.default_rng(seed).integers(0, 501, (rows, 35)) / 100
    values[:, 17:] = values[:, 17:] > 2.5
    return values


def install(path: Path, mishap: str = "", rows: str = "") -> Path:
    """An executable stand-in for FeatureExtraction."""
    header = ", ".join(["frame", "face_id", "timestamp", "confidence", "success", *OPENFACE_HEADER])
    path.write_text(STAND_IN.format(python=sys.executable, header=header, mishap=mishap, rows=rows))
    path.chmod(0o755)
    return path


# -- the CSV beside the clip ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["speaker one.mpg.openface.csv", "speaker one.csv"])
def test_sidecar_at_the_clips_own_rate(clip, name):
    """Oracle: the values the file was written from, in OpenFace's column order; a lost face is NaN, not 0."""
    values, success = au_values(75), np.ones(75, int)
    success[10:14] = 0
    openface_csv(clip.path.with_name(name), values, np.arange(75) / 25, success)
    features = extract(clip)
    values[10:14] = np.nan
    np.testing.assert_array_equal(features["r"], values[:, :17].astype(np.float32))
    np.testing.assert_array_equal(features["c"], values[:, 17:].astype(np.float32))
    np.testing.assert_array_equal(features["success"], success == 1)
    assert features["success"].dtype == bool and features["confidence"].dtype == np.float32
    np.testing.assert_allclose(features["confidence"], 0.98)


def test_the_named_sidecar_wins_and_another_tools_csv_is_not_taken(clip):
    """Oracle: the declared order; a CSV without OpenFace columns is somebody else's."""
    openface_csv(clip.path.with_suffix(".csv"), au_values(75, 1), np.arange(75) / 25)
    openface_csv(clip.path.with_name("speaker one.mpg.openface.csv"), au_values(75, 2), np.arange(75) / 25)
    np.testing.assert_array_equal(extract(clip)["r"], au_values(75, 2)[:, :17].astype(np.float32))
    clip.path.with_name("speaker one.mpg.openface.csv").unlink()
    clip.path.with_suffix(".csv").write_text("word,start\nbin,0.1\n")
    with pytest.raises(MissingPrerequisite, match="OPENFACE_BIN"):
        extract(clip)


@pytest.mark.parametrize("rate", [24.0, 25.0, 29.97, 30.0, 50.0, 60.0])
def test_rows_are_the_nearest_in_time(rate, clip):
    """Oracle: argmin over all rows of the distance in time, with timestamps in milliseconds as OpenFace writes them."""
    times = np.round(np.arange(round(3 * rate)) / rate, 3)
    expected = [int(np.argmin(np.round(np.abs(times - k / 25), 9))) for k in range(75)]
    np.testing.assert_array_equal(rows_of_view(times, clip), expected)


def test_a_cut_view_takes_the_first_rows(clip):
    """Oracle: by hand; a view of 30 frames takes rows 0 to 29 of 75."""
    np.testing.assert_array_equal(rows_of_view(np.arange(75) / 25, Clip(clip.path, num_frames=30)), np.arange(30))


def test_rows_of_a_folder_of_images_are_taken_in_order(clip):
    """Oracle: OpenFace's own behaviour: with -fdir every timestamp is 0 (SequenceCapture.cpp)."""
    np.testing.assert_array_equal(rows_of_view(np.zeros(75), clip), np.arange(75))
    with pytest.raises(MissingPrerequisite, match="do not rise"):
        rows_of_view(np.zeros(60), clip)


def test_a_sidecar_that_ends_early_is_refused(clip):
    """Oracle: the declared error, which says what to do."""
    openface_csv(clip.path.with_suffix(".csv"), au_values(50), np.arange(50) / 25)
    with pytest.raises(MissingPrerequisite, match=r"ends at 1\.96 s, the clip at 2\.96 s.*make it again"):
        extract(clip)


def test_a_sidecar_without_presences_or_cut_off_is_refused(clip):
    """Oracle: the declared errors name the columns and the row."""
    path = clip.path.with_suffix(".csv")
    path.write_text("frame, timestamp, confidence, success, AU01_r\n1, 0.0, 0.9, 1, 0.5\n")
    with pytest.raises(MissingPrerequisite, match=r"AU02_r.*AU45_c are missing; run FeatureExtraction with -aus"):
        extract(clip)
    openface_csv(path, au_values(75), np.arange(75) / 25)
    path.write_text(path.read_text()[:-40])
    with pytest.raises(MissingPrerequisite, match=r"row 76 .* cut off"):
        extract(clip)


# -- the program ----------------------------------------------------------------------------------------------------


def red_clip(reds) -> ArrayClip:
    """Frames of one colour each: red as given, no green, full blue."""
    frames = np.zeros((len(reds), 16, 16, 3), np.uint8)
    frames[..., 0] = np.array(reds)[:, None, None]
    frames[..., 2] = 255
    return ArrayClip(frames)


@pytest.mark.parametrize("how", ["OPENFACE_BIN", "PATH"])
def test_the_program_sees_the_views_frames(tmp_path, monkeypatch, how):
    """Oracle: by hand; the stand-in reports the red of every image, so order, number and colour order are checked."""
    (tmp_path / "with space").mkdir()
    program = install(tmp_path / "with space" / "FeatureExtraction")
    monkeypatch.setenv(how, str(program if how == "OPENFACE_BIN" else program.parent))
    features = extract(red_clip([0, 51, 102, 255]))
    assert features["r"].shape == (4, 17) and features["c"].shape == (4, 18)
    np.testing.assert_array_equal(features["r"][:, 0], np.array([0, np.nan, 2, 5], np.float32))
    np.testing.assert_array_equal(features["success"], [True, False, True, True])


def test_one_extractor_serves_many_clips(tmp_path, monkeypatch):
    """Oracle: each clip alone; state of the first does not reach the second."""
    monkeypatch.setenv("OPENFACE_BIN", str(install(tmp_path / "fe")))
    extractor = OpenFace({})
    for reds in ([51, 51, 51], [102, 102]):
        clip = red_clip(reds)
        extractor.begin(clip, {})
        for frames in clip.chunks():
            extractor.update(frames)
        assert extractor.finish()["r"][0, 0] == reds[0] / 51
        assert not Path(extractor._frames.path).exists()


def test_a_failing_program_keeps_its_log(tmp_path, monkeypatch):
    """Oracle: the declared error holds the status and the last lines the program printed."""
    mishap = "print('Could not find the HOG pyramid'); sys.exit(3)"
    monkeypatch.setenv("OPENFACE_BIN", str(install(tmp_path / "fe", mishap)))
    with pytest.raises(MissingPrerequisite, match=r"(?s)status 3.*Could not find the HOG pyramid"):
        extract(red_clip([0, 1]))


def test_a_hanging_program_is_stopped(tmp_path, monkeypatch):
    """Oracle: the declared error after the time limit, with what was printed until then."""
    mishap = "print('loading', flush=True); import time; time.sleep(60)"
    monkeypatch.setenv("OPENFACE_BIN", str(install(tmp_path / "fe", mishap)))
    monkeypatch.setattr("metrics.extractors.openface.SECONDS_TO_START", 1.0)
    monkeypatch.setattr("metrics.extractors.openface.SECONDS_PER_FRAME", 0.0)
    with pytest.raises(MissingPrerequisite, match=r"(?s)did not end within 1 s.*loading"):
        extract(red_clip([0, 1]))


def test_a_program_that_writes_too_few_rows_is_refused(tmp_path, monkeypatch):
    """Oracle: the declared error with both numbers."""
    monkeypatch.setenv("OPENFACE_BIN", str(install(tmp_path / "fe", rows="3")))
    with pytest.raises(MissingPrerequisite, match="wrote 2 rows for the 4 frames"):
        extract(red_clip([0, 1, 2, 3]))


def test_neither_says_exactly_what_to_do(clip, monkeypatch):
    """Oracle: the declared message: both file names, the program, the variable; a wrong variable is named."""
    with pytest.raises(MissingPrerequisite) as error:
        extract(clip)
    for part in ("NAME.mp4.openface.csv", "NAME.csv", "FeatureExtraction -f VIDEO -aus", "OPENFACE_BIN"):
        assert part in str(error.value)
    monkeypatch.setenv("OPENFACE_BIN", os.devnull)
    with pytest.raises(MissingPrerequisite, match="no program that can be run"):
        extract(clip)
