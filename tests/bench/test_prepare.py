"""`bench prepare`. Oracles: frames that carry their number, squares whose place is known, clicks whose sample is known,
sha256 by hashlib, and a second, undisturbed run.

Faces are red squares here, found by `RedSquares` in place of mediapipe, so that every rectangle can be worked out by
hand; the last tests use the real finder on real clips.
"""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import tracemalloc
import wave
from pathlib import Path

import av
import numpy as np
import pytest

from bench import prepare_clip
from bench.face_window import Faces, face_window
from bench.media.clip import Clip
from bench.media.errors import MediaError, MissingPrerequisite, Undefined, UserError
from bench.media.part import Part
from bench.prepare import prepare
from bench.prepare_clip import lag, scaled_window
from protocols.layouts.source import Window
from protocols.manifest import read_manifest, verify
from tests.bench.conftest import Quiet
from tests.videos import write

HEIGHT, WIDTH = 96, 128
SQUARE = (40, 30, 64, 54)
"""Left, top, right, bottom: 24 pixels wide, so the window is 24 / 0.6 = 40 pixels from (32, 22) to (72, 62)."""


class RedSquares:
    """Every red region is a face."""

    def __call__(self, clip: Clip) -> Faces:
        import cv2

        boxes, counts = [], []
        for frame in clip.frames:
            red = ((frame[..., 0] > 200) & (frame[..., 1] < 90)).astype(np.uint8)
            count, _, stats, _ = cv2.connectedComponentsWithStats(red)
            regions = sorted((int(a), (x, y, x + w, y + h)) for x, y, w, h, a in stats[1:count] if a > 9)
            boxes.append(regions[-1][1] if regions else (0, 0, 0, 0))
            counts.append(len(regions))
        return Faces(np.array(boxes), np.array(counts))


class SlowRedSquares(RedSquares):
    """The same, so slow that a run can be killed in between."""

    def __call__(self, clip: Clip) -> Faces:
        time.sleep(0.25)
        return super().__call__(clip)


def numbered(count: int = 50, squares=(SQUARE,)) -> np.ndarray:
    """uint8 (count, 96, 128, 3): frame i has green 8 (i mod 32) and blue 32 (i div 32), before red squares."""
    frames = np.zeros((count, HEIGHT, WIDTH, 3), np.uint8)
    blue, green = np.divmod(np.arange(count), 32)
    frames[..., 1], frames[..., 2] = 8 * green[:, None, None], 32 * blue[:, None, None]
    for left, top, right, bottom in squares:
        frames[:, top:bottom, left:right] = 255, 0, 0
    return frames


def numbers(frames: np.ndarray) -> list[int]:
    """Which frame of `numbered` each one shows, by its upper left corner."""
    corners = frames[:, :4, :4].mean(axis=(1, 2))
    return [round(green / 8) + 32 * round(blue / 32) for _, green, blue in corners]


def speech(seconds: float, click: float | None = None, seed: int = 0) -> np.ndarray:
    """Noise on the grid of 16 bits, with one loud sample at `click` seconds."""
    samples = np.random.default_rng(seed).integers(-2000, 2000, round(seconds * 16_000)).astype(np.float32) / 32768
    if click is not None:
        samples[round(click * 16_000)] = 0.875
    return samples


def write_wav(path: Path, samples: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes(np.rint(samples * 32768).astype("<i2").tobytes())


def write_m4a(path: Path, samples: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", format="ipod") as container:
        stream = container.add_stream("aac", rate=48_000, layout="mono")
        loud = np.repeat((samples * 32767).astype(np.int16), 3)
        for start in range(0, len(loud), 1024):
            frame = av.AudioFrame.from_ndarray(loud[None, start : start + 1024], format="s16", layout="mono")
            frame.sample_rate, frame.pts = 48_000, start
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def mead(
    root: Path, sentence: str, frames: np.ndarray, *, folder="M003/{}/angry/level_1", audio=..., **options
) -> Path:
    """A clip of MEAD's layout, with a wav of the same length beside it unless `audio` is given or None."""
    video = write(root / folder.format("video/front") / f"{sentence}.mp4", frames, **options)
    if audio is ...:
        audio = speech(len(frames) / float(options.get("rate", 25)))
    if audio is not None:
        write_wav(root / folder.format("audio") / f"{sentence}.wav", audio)
    return video


@pytest.fixture
def made(tmp_path, weights):
    """Prepare tmp_path/root into tmp_path/out: made("mead", size=40, ...) -> Outcome."""

    def call(dataset="mead", out="out", make_finder=RedSquares, size=40, **options):
        return prepare(
            dataset, tmp_path / "root", tmp_path / out, progress=Quiet(), make_finder=make_finder,
            size=size, **options,
        )  # fmt: skip

    return call


@pytest.fixture
def root(tmp_path) -> Path:
    return tmp_path / "root"


def tree(folder: Path) -> dict[str, str]:
    """Relative path -> sha256 of every file but the lock."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


# -- what a clip shows ------------------------------------------------------------------------------------------------


def test_clip_shows_the_source_in_its_window(root, made):
    """Oracle: frame numbers, the square's place worked out by hand (8 pixels of ground on each side of 24), the wav's
    samples."""
    mead(root, "001", numbered(), audio=speech(2.0, click=1.0))
    outcome = made(size=40)
    clip = Clip(outcome.folder / "clips/M003/angry/level_1/001.mkv")
    assert numbers(clip.frames) == list(range(50))
    red = (clip.frames[..., 0] > 200).all(axis=0)
    assert red[8:32, 8:32].all() and red.sum() == 24 * 24
    np.testing.assert_array_equal(clip.audio, speech(2.0, click=1.0))
    assert outcome.exit_code == 0 and not outcome.manifest.skipped and not outcome.report.notes


@pytest.mark.parametrize(
    ("rate", "count", "expected"),
    [
        (50, 100, range(0, 100, 2)),
        (30, 60, [int(np.floor(k * 30 / 25 + 0.499)) for k in range(50)]),
        (12.5, 25, [(k + 0) // 2 for k in range(50)]),
    ],
)
def test_other_rates_are_resampled_by_time(root, made, rate, count, expected):
    """Oracle: the source frame nearest to k / 25 s, the earlier of two, by arithmetic; half of the frames repeat at 12.5
    per second, and only that is noted."""
    from fractions import Fraction

    mead(root, "001", numbered(count), rate=Fraction(rate))
    outcome = made()
    assert numbers(Clip(outcome.folder / "clips/M003/angry/level_1/001.mkv").frames) == list(expected)
    notes = [note.note for note in outcome.report.notes]
    assert notes == (["12.5 frames per second: 50% of the frames are repeats"] if rate == 12.5 else [])
    assert outcome.report.source_rates == {f"{rate:g}": 1}


def test_compressed_storage_and_size(root, made):
    """Oracle: the manifest's size and rate against the decoded file; the colour of the face after the codec."""
    mead(root, "001", numbered())
    outcome = made(size=64, storage="h264-crf18")
    clip = Clip(outcome.folder / "clips/M003/angry/level_1/001.mkv")
    assert (clip.height, clip.width) == outcome.manifest.size == (64, 64) and outcome.manifest.fps == 25
    assert outcome.manifest.storage == "h264-crf18"
    np.testing.assert_allclose(clip.frames[10, 32, 32], [255, 0, 0], atol=8)


def test_m4a_is_in_place(root, made):
    """Oracle: the click's sample; an encoder's priming must not move it (tolerance 1 ms)."""
    mead(root, "001", numbered(), audio=None)
    write_m4a(root / "M003/audio/angry/level_1/001.m4a", np.where(np.arange(32_000) // 40 == 400, 0.8, 0.0))
    audio = Clip(made().folder / "clips/M003/angry/level_1/001.mkv").audio
    assert abs(int(np.flatnonzero(np.abs(audio) > 0.4)[0]) - 16_000) <= 16
    assert len(audio) == 32_000


def test_speech_file_apart_from_the_soundtrack(root, made):
    """Oracle: known shifts of one recording. 120 ms late: the soundtrack is taken and noted; 20 ms: the file is."""
    voice = speech(2.3, seed=5)
    mead(root, "001", numbered(), audio=np.concatenate([voice[1920:2000] * 0, voice[:30_000]]))
    for sentence, late in (("002", 1920), ("003", 320)):
        shifted = np.concatenate([np.zeros(late, np.float32), voice[: 32_000 - late]])
        folder = root / "M003/{}/angry/level_1"
        write(Path(str(folder).format("video/front")) / f"{sentence}.mp4", numbered(), audio=voice[:32_000])
        write_wav(Path(str(folder).format("audio")) / f"{sentence}.wav", shifted)
    outcome = made()
    notes = {note.clip[-3:]: note.note for note in outcome.report.notes}
    assert notes == {"002": "the audio file runs +120 ms against the video's soundtrack, which is used instead"}
    audio = {name: Clip(outcome.folder / f"clips/M003/angry/level_1/{name}.mkv").audio for name in ("002", "003")}
    assert abs(lag(audio["002"], voice)) < 0.002 and abs(lag(audio["003"], voice) - 0.02) < 0.001


def test_lag_of_other_speech_is_zero():
    """Oracle: independent noise has no common shift; a copy's shift is known; silence has none."""
    one, other = speech(3.0, seed=1), speech(3.0, seed=2)
    assert lag(one, other) == 0.0 and lag(one, one * 0) == 0.0
    assert lag(np.concatenate([np.zeros(800, np.float32), one]), one) == pytest.approx(0.05)
    assert lag(one[800:], one) == pytest.approx(-0.05)


# -- windows ----------------------------------------------------------------------------------------------------------


def faces(*boxes, counts=None) -> Faces:
    return Faces(np.array(boxes), np.array(counts or [int(any(box)) for box in boxes]))


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (faces((100, 100, 160, 148)), (80, 74, 180, 174)),  # 60 / 0.6 = 100 around (130, 124)
        (faces((100, 100, 130, 148), (130, 100, 160, 148), (100, 100, 160, 148)), (80, 74, 180, 174)),  # the union
        (faces((0, 10, 60, 70)), (0, 0, 100, 100)),  # moved inside
        (faces((10, 10, 190, 190)), (0, 0, 200, 200)),  # as large as the picture allows
        (faces((100, 100, 160, 148), (100, 100, 160, 148), (300, 0, 340, 30)), (80, 74, 180, 174)),  # a false find
        (faces((100, 100, 160, 148), (0, 0, 0, 0)), (80, 74, 180, 174)),  # half of the frames are enough
    ],
)
def test_face_window(found, expected):
    """Oracle: the rule by hand, in a picture of 400x200."""
    assert face_window(found, 200, 400) == expected


def test_face_window_without_a_face():
    """Oracle: the rule: fewer than half of the frames."""
    with pytest.raises(Undefined, match="no face found in 2 of the 3 frames"):
        face_window(faces((1, 1, 9, 9), (0, 0, 0, 0), (0, 0, 0, 0)), 200, 400)
    with pytest.raises(Undefined, match="no face found in 1 of the 1 frames"):
        face_window(faces((0, 0, 0, 0)), 200, 400)


def test_scaled_window():
    """Oracle: proportions by hand: 720 to 1080 is 1.5, to 360 is 0.5."""
    window = Window(left=412, top=10, width=599, height=599, of_height=720)
    assert scaled_window(window, 720, 1280) == (412, 10, 1011, 609)
    assert scaled_window(window, 1080, 1920) == (618, 15, 1516, 914)
    assert scaled_window(window, 360, 640) == (206, 5, 506, 304)
    assert scaled_window(window.model_copy(update={"height": 713}), 720, 1280) == (412, 10, 1011, 720)
    with pytest.raises(Undefined, match="another video"):
        scaled_window(window, 720, 960)


# -- what is skipped --------------------------------------------------------------------------------------------------


def test_broken_sources_are_skipped_with_a_reason(root, made):
    """Oracle: one file per cause, made here; the good clip is there all the same and the exit code says 1."""
    small, far = (60, 30, 70, 40), (10, 70, 18, 78)
    mead(root, "001", numbered(squares=(SQUARE, far)))
    mead(root, "002", numbered(), audio=None)
    write(root / "M003/video/front/angry/level_1/003.mp4", numbered(), audio=speech(2.0))
    mead(root, "004", numbered(squares=()))
    mead(root, "005", numbered(12))
    mead(root, "006", numbered(), audio=speech(0.5))
    whole = mead(root, "007", numbered()).read_bytes()
    (root / "M003/video/front/angry/level_1/007.mp4").write_bytes(whole[: len(whole) // 2])
    (root / "M003/video/front/angry/level_1/008.mp4").touch()
    mead(root, "009", numbered())
    (root / "M003/audio/angry/level_1/009.wav").write_bytes(b"no sound")
    mead(root, "010", numbered(60), audio=speech(2.0))
    shutil.copyfile(root / "M003/video/front/angry/level_1/001.mp4", root / "M003/video/front/angry/level_1/001.mov")
    mead(root, "001", numbered(squares=(small,)), folder="M003/{}/bored/level_1")
    outcome = made()
    front = "M003/video/front/angry/level_1"
    expected = {
        f"{front}/001.mov": "duplicate",
        f"{front}/002.mp4": "no speech",
        f"{front}/004.mp4": "no face found in 10 of the 10 frames looked at",
        f"{front}/005.mp4": "too short: the picture lasts 0.48 s",
        f"{front}/006.mp4": "too short: the picture lasts 2.00 s, the speech 0.50 s",
        f"{front}/007.mp4": "not a readable video",
        f"{front}/008.mp4": "file is empty",
        f"{front}/009.mp4": "not a readable",
        "M003/video/front/bored": "not an emotion of MEAD",
    }
    reasons = {one.source: one.reason for one in outcome.manifest.skipped}
    assert reasons.keys() == expected.keys()
    assert not [source for source in expected if expected[source] not in reasons[source]], reasons
    assert not any(str(root) in reason for reason in reasons.values())
    assert {note.clip[-3:]: note.note.split(";")[0] for note in outcome.report.notes} == {
        "001": "more than one face in 10 of the 10 frames looked at",
        "003": "no audio file beside it",
        "010": "the picture lasts 2.40 s, the speech 2.00 s",
    }
    assert outcome.exit_code == 1
    assert [clip.id[-3:] for clip in outcome.manifest.clips] == ["001", "003", "010"]


# -- manifest and report ----------------------------------------------------------------------------------------------


def test_manifest_and_report(root, made):
    """Oracle: hashlib, counts by hand, the four test identities."""
    mead(root, "001", numbered())
    mead(root, "002", numbered(40), folder="M003/{}/happy/level_3")
    mead(root, "001", numbered(), folder="W009/{}/neutral/level_1")
    outcome = made()
    manifest = read_manifest(outcome.folder, "mead")
    assert manifest == outcome.manifest and verify(outcome.folder, manifest) == []
    assert [(clip.id, clip.frames, clip.level, clip.sentence) for clip in manifest.clips] == [
        ("M003/angry/level_1/001", 50, 1, "001"),
        ("M003/happy/level_3/002", 40, 3, "002"),
        ("W009/neutral/level_1/001", 50, 1, "001"),
    ]
    for clip in manifest.clips:
        assert clip.sha256 == hashlib.sha256((outcome.folder / clip.file).read_bytes()).hexdigest()
    report = json.loads((outcome.folder / "report.json").read_text("utf-8"))
    assert report == outcome.report.model_dump(mode="json")
    assert report["identities"] == {"M003": 2, "W009": 1} and report["levels"] == {"1": 2, "3": 1}
    assert report["emotions"] == {"angry": 1, "happy": 1, "neutral": 1} and report["seconds"] == 140 / 25
    assert not manifest.complete and {"M030", "W015"} <= set(manifest.missing)
    text = (outcome.folder / "report.md").read_text("utf-8")
    assert "3 clips" in text and "incomplete" in text and "- M030" in text and "| M003 | 2 |" in text


def test_crema_as_it_is_downloaded(root, made):
    """Oracle: Flash video at 29.97 frames per second without sound, speech in AudioWAV, the official table in the root:
    labels from the name, frames by arithmetic, what the table has of the test actors and the tree has not."""
    from fractions import Fraction

    for name in ("1015_DFA_ANG_XX", "1002_IEO_HAP_HI"):
        frames = numbered(60)
        write(root / f"VideoFlash/{name}.flv", frames, codec="flv", pixels="yuv420p", rate=Fraction(30_000, 1001))
        write_wav(root / f"AudioWAV/{name}.wav", speech(2.002))
    names = ("1015_DFA_ANG_XX", "1015_DFA_SAD_XX", "1002_IEO_HAP_HI", "1003_IEO_HAP_HI", "1020_IEO_HAP_LO")
    lines = ['"Stimulus_Number","Filename"', *(f'{i},"{name}"' for i, name in enumerate(names, 1))]
    (root / "SentenceFilenames.csv").write_text("\n".join(lines) + "\n")
    manifest = made("crema").manifest
    assert [
        (clip.id, clip.identity, clip.emotion, clip.level, clip.sentence, clip.frames) for clip in manifest.clips
    ] == [
        ("1002_IEO_HAP_HI", "1002", "HAP", 3, "IEO", 50),
        ("1015_DFA_ANG_XX", "1015", "ANG", None, "DFA", 50),
    ]
    assert manifest.missing[0] == "1020" and manifest.missing[-1] == "1015_DFA_SAD_XX" and len(manifest.missing) == 10


def test_limit_takes_the_first_ids(root, made):
    """Oracle: order of ids."""
    for sentence in ("003", "001", "002"):
        mead(root, sentence, numbered())
    assert [clip.sentence for clip in made(limit=2).manifest.clips] == ["001", "002"]


# -- continuing -------------------------------------------------------------------------------------------------------


def test_second_call_makes_only_what_is_missing(root, made, monkeypatch):
    """Oracle: which clips are written, counted at the writer; bytes against the first call's."""
    for sentence in ("001", "002", "003", "004"):
        mead(root, sentence, numbered())
    mead(root, "005", numbered(squares=()))
    first = tree(made().folder)
    written = []
    monkeypatch.setattr(
        prepare_clip, "write_video", lambda path, *rest: written.append(path.stem) or real(path, *rest), raising=True
    )
    real = sys.modules["bench.media.write"].write_video
    assert tree(made().folder) == first and written == []
    clips = root.parent / "out/clips/M003/angry/level_1"
    (clips / "001.mkv").unlink()
    with open(clips / "002.mkv", "ab") as file:
        file.write(b"damage")
    (root.parent / "out/records/M003/angry/level_1/003.json").unlink()
    assert tree(made().folder) == first and written == ["001", "002", "003"]
    mead(root, "004", numbered(45))
    assert made().manifest.clips[-1].frames == 45 and written[3:] == ["004"]
    made(size=48)
    assert len(written) == 8


def test_clip_of_a_source_that_broke_is_removed(root, made):
    """Oracle: the folder."""
    video = mead(root, "001", numbered())
    mead(root, "002", numbered())
    clip = made().folder / "clips/M003/angry/level_1/001.mkv"
    assert clip.exists()
    video.write_bytes(b"")
    assert made().exit_code == 1 and not clip.exists()


def test_killed_half_way_ends_with_the_same_bytes(root, made, tmp_path):
    """Oracle: an undisturbed run into another folder; the killed one had made some clips and not all."""
    for i in range(1, 9):
        mead(root, f"{i:03d}", numbered(30 + i))
    program = (
        "from pathlib import Path; from bench.prepare import prepare; from tests.bench.conftest import Quiet;"
        "from tests.bench.test_prepare import SlowRedSquares as Slow;"
        f"prepare('mead', Path({str(root)!r}), Path({str(tmp_path / 'killed')!r}), progress=Quiet(),"
        " make_finder=Slow, size=40)"
    )
    process = subprocess.Popen([sys.executable, "-c", program], cwd=Path(__file__).parents[2])
    records = tmp_path / "killed/records"
    while len(list(records.rglob("*.json"))) < 2:
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert 2 <= len(list(records.rglob("*.json"))) < 8 and not (tmp_path / "killed/manifest.json").exists()
    (tmp_path / "killed/clips/M003/angry/level_1/.008.mkv.1.tmp").write_bytes(b"half a clip")
    made(out="killed", make_finder=SlowRedSquares)
    made(out="whole", make_finder=SlowRedSquares)
    assert tree(tmp_path / "killed") == tree(tmp_path / "whole")


def test_two_processes_make_the_same(root, made, tmp_path):
    """Oracle: one process."""
    for i in range(1, 5):
        mead(root, f"{i:03d}", numbered(30 + i))
    mead(root, "009", numbered(squares=()))
    assert tree(made(out="two", workers=2).folder) == tree(made(out="one").folder)


def test_one_call_at_a_time(root, made, tmp_path):
    """Oracle: a lock held here."""
    import fcntl

    mead(root, "001", numbered())
    (tmp_path / "out").mkdir()
    with open(tmp_path / "out/.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(UserError, match="another `bench prepare`"):
            made()
    assert made().exit_code == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"storage": "avi"}, "--storage avi"),
        ({"size": 41}, "--size 41"),
        ({"out": "root/out"}, "lies inside --root"),
        ({"dataset": "crema"}, "VideoFlash"),
    ],
)
def test_wrong_settings_are_refused_before_any_work(root, made, tmp_path, options, message):
    """Oracle: the message, and that nothing was written."""
    mead(root, "001", numbered())
    with pytest.raises(UserError, match=message):
        made(**options)
    assert not (tmp_path / "out").exists() and not (root / "out").exists()


def test_nothing_usable_is_an_error(root, made):
    """Oracle: the message names what was expected and the first thing skipped."""
    (root / "M003/video").mkdir(parents=True)
    with pytest.raises(UserError, match=r"no clip found; expected .* Skipped: M003: has no video/front"):
        made()


# -- HDTF -------------------------------------------------------------------------------------------------------------


def hdtf_lists(root: Path, window: str = "32 40 22 40") -> None:
    folder = root / "HDTF_dataset"
    folder.mkdir(parents=True)
    for subset in ("WDA", "WRA"):
        for name in ("annotion_time", "crop_wh", "resolution"):
            (folder / f"{subset}_{name}.txt").write_text("")
    (folder / "RD_annotion_time.txt").write_text("Radio1.mp4 00:01-00:03 00:03-00:05\nRadio2.mp4 00:00-00:09\n")
    (folder / "RD_crop_wh.txt").write_text(f"Radio1_0.mp4 {window}\nRadio1_1.mp4 {window}\nRadio2_0.mp4 {window}\n")
    (folder / "RD_resolution.txt").write_text("Radio1.mp4 96\nRadio2.mp4 96\n")


@pytest.mark.parametrize("scale", [1, 2])
def test_hdtf_parts_show_their_time_and_rectangle(root, made, scale):
    """Oracle: frame numbers of seconds 1 to 3 and 3 to 5, the rectangle's place in a video of the annotated size and of
    twice that, the samples of those seconds."""
    hdtf_lists(root)
    frames = numbered(125).repeat(scale, axis=1).repeat(scale, axis=2)
    voice = np.where(np.arange(80_000) // 80 % 200 == 100, 0.8, 0.0).astype(np.float32)  # clicks at 0.5, 1.5, 2.5 ... s
    write(root / "Radio1.mp4", frames, audio=voice)
    outcome = made("hdtf")
    for index, first in enumerate((25, 75)):
        clip = Clip(outcome.folder / f"clips/RD_Radio1_{index:03d}.mkv")
        assert numbers(clip.frames) == list(range(first, first + 50))
        red = (clip.frames[..., 0] > 200).all(axis=0)
        assert red[8:32, 8:32].all() and red.sum() == 24 * 24
        assert len(clip.audio) == 32_000
        loud = np.flatnonzero(np.abs(clip.audio) > 0.4)
        assert abs(loud[0] - 8_000) < 32 and abs(loud[loud > 20_000][0] - 24_000) < 32
    assert outcome.manifest.missing == ("RD_Radio2_000",) and not outcome.manifest.complete
    assert outcome.manifest.clips[0].source == "Radio1.mp4 00:01-00:03" and outcome.exit_code == 0


def test_hdtf_videos_that_do_not_fit_their_list(root, made):
    """Oracle: a video that ends seconds early, one that is no square though named as cropped, a rectangle outside."""
    hdtf_lists(root, window="100 40 22 40")
    write(root / "RD_Radio1_000.mp4", numbered(50), audio=speech(2.0))
    write(root / "Radio1_1.mp4", numbered(50)[:, :, :96], audio=speech(2.0))
    write(root / "Radio2.mp4", numbered(100), audio=speech(4.0))
    reasons = {one.source: one.reason for one in made("hdtf").manifest.skipped}
    assert reasons["RD_Radio1_000.mp4"] == "named as a cropped clip, but 128x96 is no square"
    assert "its rectangle reaches to (140, 62) and the picture is 96x96" in reasons["Radio1_1.mp4"]
    assert reasons["Radio2.mp4 00:00-00:09"].startswith("the video ends 5.0 s before the part does")


def test_part_is_that_slice_of_the_clip(grid_clips):
    """Oracle: the whole clip, decoded from its start, MPEG-1 with B frames."""
    clip = Clip(grid_clips[0])
    for start, stop in ((0.0, 1.0), (0.2, 0.8), (1.0, 2.0), (1.32, 2.72), (2.0, 9.0)):
        part, first = Part(grid_clips[0], start, stop), round(start * 25)
        np.testing.assert_array_equal(part.frames, clip.frames[first : first + part.num_frames])
        assert part.num_frames == round(25 * min(stop, 3.0) - 25 * start)
        samples = round(start * 16_000)
        np.testing.assert_array_equal(part.audio, clip.audio[samples : samples + part.num_frames * 640])
    assert Part(grid_clips[0], 0, 1).key != Part(grid_clips[0], 0, 2).key != clip.key
    with pytest.raises(MediaError, match="the part begins at 5 s"):
        _ = Part(grid_clips[0], 5.0, 6.0).num_frames


def test_long_videos_do_not_fill_memory(root, made):
    """Oracle: numpy's own allocations as tracemalloc counts them: 1,000 frames of 360x480 are 518 MB decoded."""
    hdtf_lists(root, window="10 80 10 80")
    (root / "HDTF_dataset/RD_annotion_time.txt").write_text("Radio1.mp4 00:01-00:39\n")
    frames = np.broadcast_to(np.zeros((1, 1, 1, 3), np.uint8), (1000, 360, 480, 3))
    write(root / "Radio1.mp4", frames, audio=speech(40.0))
    tracemalloc.start()
    outcome = made("hdtf")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert outcome.manifest.clips[0].frames == 950
    assert peak < 150e6


# -- the command, the real face finder --------------------------------------------------------------------------------


def test_command(root, tmp_path):
    """Oracle: exit codes and stdout of real processes: 0, 1 with something skipped, 2 without a root."""
    hdtf_lists(root)
    write(root / "Radio1.mp4", numbered(125), audio=speech(5.0))
    command = [sys.executable, "-m", "bench", "prepare", "hdtf", "--out", str(tmp_path / "out"), "--size", "40"]

    def call(*more):
        variables = os.environ | {"AU_BENCH_CACHE": str(tmp_path / "cache")}
        return subprocess.run([*command, *more], capture_output=True, text=True, env=variables)

    done = call("--root", str(root), "--workers", "1", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == json.loads((tmp_path / "out/report.json").read_text("utf-8"))
    assert "prepare 2/2" in done.stderr
    (root / "Radio2.mp4").touch()
    done = call("--root", str(root), "--workers", "1")
    assert done.returncode == 1 and "file is empty" in done.stdout and "manifest.json" in done.stdout
    done = call()
    assert done.returncode == 2 and "needs --root" in done.stderr


def test_missing_model_is_said_before_any_work(root, tmp_path, monkeypatch):
    """Oracle: an empty cache and no assets; the message names the file and the command, and nothing is written."""
    monkeypatch.setenv("AU_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("AU_BENCH_ASSETS", str(tmp_path / "none"))
    mead(root, "001", numbered())
    with pytest.raises(MissingPrerequisite, match="python -m bench fetch face_landmarker"):
        prepare("mead", root, tmp_path / "out", progress=Quiet())
    assert not (tmp_path / "out").exists()


def test_real_faces_are_in_the_middle(grid_clips, assets, root, tmp_path, weights):
    """Oracle: another detector (YuNet) on the clips made: one face, in the middle, of 45 to 75 % of the height (its box
    ends at the hair line, Hallo asks for 50 to 70 %)."""
    import cv2

    for name in grid_clips[:3]:
        path = root / "VideoFlash" / f"10{grid_clips.index(name) + 15}_IEO_NEU_XX.mpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(name, path)
    outcome = prepare("crema", root, tmp_path / "out", progress=Quiet(), size=256)
    assert [clip.identity for clip in outcome.manifest.clips] == ["1015", "1016", "1017"]
    detector = cv2.FaceDetectorYN.create(str(assets / "models/yunet_n_320_320.onnx"), "", (256, 256))
    for entry in outcome.manifest.clips:
        for frame in Clip(outcome.folder / entry.file).frames[::20]:
            _, found = detector.detect(np.ascontiguousarray(frame[..., ::-1]))
            (left, top, width, height), *more = [face[:4] for face in found]
            assert not more and 0.45 < height / 256 < 0.75
            assert abs(left + width / 2 - 128) < 30 and abs(top + height / 2 - 128) < 40


RENDERED = (("W009", "happy", 3, "001"), ("M030", "neutral", 1, "002"), ("W009", "angry", 2, "003"))


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    """People of the synthetic world in MEAD's layout, 180x240 at 30 frames per second as MEAD is, speech in wav files,
    an emotion that MEAD does not have and a clip without speech; with the true landmarks of each clip."""
    from protocols.synth.figure import Figure
    from protocols.synth.performance import perform
    from protocols.synth.person import person, setting

    root, points = tmp_path_factory.mktemp("rendered") / "MEAD", {}
    for who, emotion, level, sentence in RENDERED:
        figure = Figure(person(who), setting(who, "studio"), (180, 240))
        speaks = perform("he took the red book", emotion, level, person(who).voice, 1, fps=30.0)
        count = len(speaks.aus)
        frames, landmarks = zip(
            *(figure.draw(speaks.aus[t], speaks.pose[t], speaks.gaze[t]) for t in range(count)), strict=True
        )
        folder = f"{who}/{{}}/{emotion}/level_{level}"
        mead(root, sentence, np.stack(frames), folder=folder, audio=speaks.audio, rate=30)
        points[f"{who}/{emotion}/level_{level}/{sentence}"] = np.stack(landmarks), speaks.audio
    happy = root / "W009/video/front/happy/level_3"
    shutil.copyfile(happy / "001.mp4", happy / "004.mp4")
    shutil.copytree(happy, root / "W009/video/front/joyful/level_3")
    return root, points


def test_rendered_people_in_the_layout_of_mead(rendered, weights, tmp_path):
    """Oracle: the world's own landmarks: the window is the square that the rule gives for them, within 12 % of its side
    (mediapipe puts the forehead of a rendered head a tenth lower), and the whole face is in it in every frame; the
    world's own samples of speech."""
    root, points = rendered
    outcome = prepare("mead", root, tmp_path / "out", progress=Quiet(), size=128)
    assert {clip.id for clip in outcome.manifest.clips} == set(points)
    assert {one.source: one.reason.split(":")[0].split(",")[0] for one in outcome.report.broken} == {
        "W009/video/front/joyful": "not an emotion of MEAD",
        "W009/video/front/happy/level_3/004.mp4": "no speech",
    }
    assert outcome.report.identities == {"M030": 1, "W009": 2} and outcome.report.levels == {"1": 1, "2": 1, "3": 1}
    assert outcome.report.source_rates == {"30": 3} and {"M003", "W015"} <= set(outcome.manifest.missing)
    for clip in outcome.manifest.clips:
        landmarks, audio = points[clip.id]
        record = json.loads((outcome.folder / f"records/{clip.id}.json").read_text("utf-8"))
        low, high = landmarks.min(axis=(0, 1)), landmarks.max(axis=(0, 1))
        side = min((high - low).max() / 0.6, 180)
        left, top, right, bottom = record["window"]
        assert right - left == bottom - top == pytest.approx(side, rel=0.12)
        assert (low > (left, top)).all() and (high < (right, bottom)).all()
        assert clip.frames == round(len(landmarks) * 25 / 30)
        heard = Clip(outcome.folder / clip.file).audio
        assert len(heard) == clip.frames * 640
        np.testing.assert_allclose(heard[: len(audio)], audio[: len(heard)], atol=1e-4)
