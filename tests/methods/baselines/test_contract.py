"""The adapter: what an official program is given, and what becomes of what it does."""

import ast
import json
import os
import random
import signal
import subprocess
import threading
import time
import wave
from fractions import Fraction
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest

from bench.media.errors import UserError
from methods.baselines.generator import INSIDE, bring, fill, visible_device
from methods.generator import GenerationError
from tests.methods.baselines.stand_in import a_request
from tests.videos import frame_numbers, numbered_frames

# -- what it is given -----------------------------------------------------------------------------------------------


def test_the_program_is_given_the_request(stand_in, tmp_path):
    """Oracle: the request itself, read back from what the program saw."""
    made = stand_in(call={"silence": 0.1}, seed="global")
    request = a_request(emotion="happy")
    made.frames(request, arguments=("--seed", "{5}"))
    saw = json.loads(made.saw.read_text())
    image = cv2.imread(f"{made.saw}.png")[..., ::-1]
    with wave.open(f"{made.saw}.wav") as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32768
        assert (file.getframerate(), file.getnchannels()) == (16000, 1)
    assert np.array_equal(image, request.reference)
    assert np.array_equal(samples[:6400], request.audio) and not samples[6400:].any() and len(samples) == 6400 + 1600
    assert saw["arguments"] == {
        "image": "au_bench/reference.png", "audio": "au_bench/speech.wav", "out": "au_bench/made.mp4",
        "seed": "{5}", "word": "joyful at 25",
    }  # fmt: skip
    assert saw["config"] == {"frames": 10, "cases": {"au_bench/reference.png": [0.4]}}
    assert saw["note"] == "a person@@48x64"
    assert saw["random"] == random.Random(7).random()
    assert saw["main"] == "__main__" and saw["standard_input"] == "" and saw["checkpoint"] == "weights"
    assert (saw["request"]["frames"], saw["request"]["fps"], saw["request"]["seed"]) == (10, 25.0, 7)


def test_the_repository_is_not_written_to(stand_in):
    """Oracle: git, and the folder the program listed: the repository's entries, its own empty `temp`, and the exchange."""
    made = stand_in()
    made.frames(a_request())
    saw = json.loads(made.saw.read_text())
    assert saw["temp"] == []
    assert {"scripts", "helper.py", "temp", "checkpoints", "au_bench"} <= set(saw["folder"]) and ".git" not in saw[
        "folder"
    ]
    assert made.place.git("status", "--porcelain", "--", "temp", "scripts", "helper.py").stdout == ""


def test_the_environment_is_the_systems_own(stand_in, monkeypatch):
    """Oracle: the variables the program saw."""
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    made = stand_in()
    made.frames(a_request())
    environment = json.loads(made.saw.read_text())["environment"]
    assert not [name for name in environment if name.startswith(("PYTHON", "VIRTUAL_ENV"))]
    assert environment["PATH"].split(os.pathsep)[0] == str(made.place.environment / "bin")
    assert (environment["CUDA_VISIBLE_DEVICES"], environment["HF_HUB_OFFLINE"]) == ("", "1")
    assert environment["XDG_CACHE_HOME"] == str(made.place.downloads)


def test_a_cache_named_by_a_relative_path(stand_in, monkeypatch, tmp_path):
    """Oracle: the same frames; the program runs in another folder."""
    made = stand_in()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AU_BENCH_CACHE", "cache")
    assert frame_numbers(made.frames(a_request())) == list(range(10))


def test_short_speech_is_filled_up(stand_in):
    """Oracle: the seconds the data asks for."""
    made = stand_in(call={"at_least": 1.5})
    made.frames(a_request())
    with wave.open(f"{made.saw}.wav") as file:
        assert file.getnframes() == 24000


def test_an_emotion_without_a_word_fails_the_case(stand_in):
    """Oracle: the words of the data file."""
    with pytest.raises(GenerationError, match="knows default, happy; the case's emotion is bored"):
        stand_in().frames(a_request(emotion="Bored"))


def test_a_square_is_asked_for(stand_in):
    """Oracle: the reference's shape."""
    with pytest.raises(GenerationError, match="takes square pictures only, this reference is 20x30"):
        stand_in().frames(a_request(reference=np.zeros((30, 20, 3), np.uint8)))


def test_a_gpu_is_asked_for(stand_in):
    """Oracle: `cpu = false` in the data file."""
    method = stand_in(cpu=False).method
    with pytest.raises(UserError, match="runs on a CUDA GPU only"):
        method(method.Config(), "cpu")


@pytest.mark.parametrize(
    ("device", "visible", "expected"),
    [
        ("cpu", "2,3", ""),
        ("cuda", None, "0"),
        ("cuda:1", None, "1"),
        ("cuda:1", "2,GPU-a5", "GPU-a5"),
        ("cuda", "4", "4"),
    ],
)
def test_one_gpu_is_shown(monkeypatch, device, visible, expected):
    """Oracle: CUDA's rule, by which device n of a process is entry n of its own list."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert visible_device(device) == expected


def test_a_template_keeps_types_and_other_braces():
    """Oracle: by hand."""
    values = {"frames": 3, "word": "a"}
    assert fill({"n": "{frames}", "deep": [1, "{word}-{frames}", None]}, values) == {"n": 3, "deep": [1, "a-3", None]}
    with pytest.raises(KeyError):
        fill("{unknown} name", values)


def test_the_inside_runs_on_old_pythons():
    """Oracle: the grammar of Python 3.6."""
    ast.parse(INSIDE.read_text(), feature_version=(3, 6))


# -- what it makes --------------------------------------------------------------------------------------------------


def test_a_good_program_gives_its_frames(stand_in, tmp_path):
    """Oracle: the frames the video was written from (lossless up to its colour conversion)."""
    made = stand_in()
    frames = made.frames(a_request(), logs=tmp_path / "run" / "logs")
    assert frames.dtype == np.uint8 and frames.shape == (10, 48, 64, 3)
    assert frame_numbers(frames) == list(range(10))
    assert (tmp_path / "run" / "logs" / "person" / "1.log").read_text() == "done with everything\n"


@pytest.mark.parametrize("rate", [30, 24, Fraction(25, 2), 50, Fraction(7321, 250)])
def test_another_rate_is_resampled(stand_in, rate):
    """Oracle: frame k is the source frame nearest to k / 25 s, the earlier of two."""
    count = int(rate)
    frames = stand_in(frames=numbered_frames(count), rate=rate).frames(a_request(25))
    nearest = [min(range(count), key=lambda i: (abs(Fraction(i) / rate - Fraction(k, 25)), i)) for k in range(25)]
    assert frame_numbers(frames) == nearest


@pytest.mark.parametrize(("count", "shown"), [(14, list(range(10))), (9, [*range(9), 8]), (8, [*range(8), 7, 7])])
def test_a_little_short_or_long(stand_in, count, shown):
    """Oracle: at most two missing frames repeat the last one, what is too long is cut."""
    assert frame_numbers(stand_in(frames=numbered_frames(count)).frames(a_request())) == shown


def test_too_short_fails_the_case(stand_in):
    """Oracle: three of ten frames missing."""
    with pytest.raises(GenerationError, match=r"made 7 frames at 25 fps, 10 were asked for; at most 2 may be missing"):
        stand_in(frames=numbered_frames(7)).frames(a_request())


def test_another_size_is_resized_and_another_shape_refused(stand_in):
    """Oracle: OpenCV's area interpolation; and a shape off by more than 2 %."""
    source = np.random.default_rng(1).integers(0, 255, (10, 96, 128, 3), np.uint8)
    made = stand_in(frames=source)
    frames = made.frames(a_request())
    whole = list(bring(made.video, a_request(height=96, width=128), made.system))[0]
    assert np.array_equal(frames[3], cv2.resize(whole[3], (64, 48), interpolation=cv2.INTER_AREA))
    with pytest.raises(GenerationError, match="made 128x96 pixels, 64x64 were asked for: not the same shape"):
        made.frames(a_request(height=64))


def test_a_panel_is_cut_out(stand_in):
    """Oracle: the third of three panels."""
    panels = np.zeros((10, 52, 200, 3), np.uint8)
    panels[:, 2:50, 134:198] = numbered_frames(10) + 100
    frames = stand_in(frames=panels, call={"crop": [134, 2, 64, 48]}).frames(a_request())
    assert [number - 25 for number in frame_numbers(frames)] == list(range(10))
    assert frames.std(axis=(1, 2, 3)).max() < 1


# -- what goes wrong ------------------------------------------------------------------------------------------------


def test_a_crash_is_told_with_its_last_line(stand_in, tmp_path):
    """Oracle: the exception the program raises, in its own script."""
    made = stand_in(mishap="raise RuntimeError('kein Gesicht gefunden \\u2013 \\u9854')")
    with pytest.raises(GenerationError) as caught:
        made.frames(a_request(), logs=tmp_path / "run" / "logs")
    assert str(caught.value) == (
        "Stand-in failed: python ended with status 1; its last line: RuntimeError: kein Gesicht gefunden – 顔 "
        "(log: logs/person/1.log)"
    )
    log = (tmp_path / "run" / "logs" / "person" / "1.log").read_text(encoding="utf-8")
    assert "Traceback" in log and "scripts/inference.py" in log


@pytest.mark.parametrize(("mishap", "status"), [("sys.exit(3)", 3), ("os._exit(7)", 7)])
def test_a_status_is_told(stand_in, mishap, status):
    """Oracle: the status it exits with."""
    with pytest.raises(GenerationError, match=f"ended with status {status}"):
        stand_in(mishap=mishap).frames(a_request())


def test_an_environment_that_went_away(stand_in):
    """Oracle: its folder, removed after the run began."""
    made = stand_in()
    made.place.environment.unlink()
    with pytest.raises(GenerationError, match=r"environment/bin/python does not start \(No such file or directory\)"):
        made.frames(a_request())


def test_an_exit_that_is_no_error(stand_in):
    """Oracle: a program that calls sys.exit(0) when its video is there."""
    made = stand_in(mishap="shutil.copy(os.environ['VIDEO'], args.out); sys.exit(0)")
    assert frame_numbers(made.frames(a_request())) == list(range(10))


def test_a_signal_is_told(stand_in):
    """Oracle: signal 9, as the kernel sends it when memory runs out."""
    with pytest.raises(GenerationError, match="was killed by signal 9, often for lack of memory"):
        stand_in(mishap="os.kill(os.getpid(), 9)").frames(a_request())


HANGS = """
helper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
open(os.environ["SAW"] + ".pid", "w").write(f"{os.getpid()} {helper.pid}")
time.sleep(60)
"""


def gone(pid: int, within: float = 5.0) -> bool:
    """The process has ended: it is not there, or a zombie that its new parent has not collected."""
    until = time.monotonic() + within
    while time.monotonic() < until:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z":
            return True
        time.sleep(0.05)
    return False


def processes(made) -> list[int]:
    """The program and its helper, once they have said who they are."""
    file = Path(f"{made.saw}.pid")
    until = time.monotonic() + 20
    while time.monotonic() < until and not (file.exists() and " " in file.read_text()):
        time.sleep(0.02)
    return [int(pid) for pid in file.read_text().split()]


def test_a_hang_is_ended_with_all_it_started(stand_in):
    """Oracle: the time limit, and the process table."""
    made = stand_in(mishap=HANGS)
    started = time.monotonic()
    with pytest.raises(GenerationError, match="did not end within 4 s"):
        made.frames(a_request(), time_limit=4.0)
    assert time.monotonic() - started < 20
    assert all(gone(pid) for pid in processes(made))


def test_an_interrupt_ends_all_it_started(stand_in, request):
    """Oracle: the process table after Ctrl-C."""
    # A shell starts what runs in its background with interrupts ignored.
    request.addfinalizer(partial(signal.signal, signal.SIGINT, signal.getsignal(signal.SIGINT)))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    made = stand_in(mishap=HANGS)
    threading.Thread(target=lambda: (processes(made), os.kill(os.getpid(), signal.SIGINT)), daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        made.frames(a_request())
    assert all(gone(pid) for pid in processes(made))


def test_a_killed_parent_takes_the_program_with_it(stand_in, tmp_path):
    """Oracle: the process table after the process that asked was killed outright, as a pool kills its workers."""
    made = stand_in(mishap=HANGS)
    folder = tmp_path / "laid out"
    folder.mkdir()
    made.generator()._lay_out(folder, a_request())
    asks = (
        "import json, os, subprocess, sys\n"
        "path = 'au_bench/request.json'\n"
        "request = json.load(open(path)) | {'parent': os.getpid()}\n"
        "json.dump(request, open(path, 'w'))\n"
        "subprocess.Popen([sys.executable, '-I', sys.argv[1], path], start_new_session=True).wait()\n"
    )
    environment = os.environ | {"SAW": str(made.saw), "VIDEO": str(made.video)}
    command = [str(made.place.python), "-c", asks, str(INSIDE)]
    parent = subprocess.Popen(command, cwd=folder, env=environment, stdin=subprocess.DEVNULL)
    pids = processes(made)
    parent.kill()
    parent.wait()
    assert all(gone(pid) for pid in pids)


@pytest.mark.parametrize(
    ("mishap", "count"),
    [("print('no face'); sys.exit()", 0), ("shutil.copy(os.environ['VIDEO'], 'au_bench/made_.mp4')", 2)],
)
def test_no_video_or_several(stand_in, mishap, count):
    """Oracle: how many files the program writes."""
    made = stand_in(mishap=mishap, call={"output": "au_bench/made*.mp4"})
    with pytest.raises(GenerationError) as caught:
        made.frames(a_request())
    last = "no face" if count == 0 else "done with everything"
    assert str(caught.value) == (
        f"Stand-in ended without an error and wrote {count} files au_bench/made*.mp4, not one; its last line: {last}"
    )


@pytest.mark.parametrize(
    "mishap",
    [
        "open(args.out, 'wb').write(open(os.environ['VIDEO'], 'rb').read()[:900]); sys.exit()",
        "open(args.out, 'wb').close(); sys.exit()",
        "open(args.out, 'w').write('<html>'); sys.exit()",
    ],
)
def test_a_broken_video_fails_the_case(stand_in, mishap):
    """Oracle: the reason names the file as the program knew it, not a folder of this machine."""
    with pytest.raises(GenerationError, match="wrote a video that cannot be used: au_bench/made.mp4") as caught:
        stand_in(mishap=mishap).frames(a_request())
    assert "/au-bench-" not in str(caught.value)


def test_a_long_log_is_kept_and_quoted_short(stand_in, tmp_path):
    """Oracle: 3 MB of progress bars and one long line."""
    mishap = (
        "for i in range(30000): sys.stdout.write(f'\\r{i} \\u2588' + '=' * 90)\nprint()\nprint('x' * 5000)\nos._exit(1)"
    )
    with pytest.raises(GenerationError, match="its last line: x{400} ") as caught:
        stand_in(mishap=f"{mishap}").frames(a_request(), logs=tmp_path / "logs")
    assert len(str(caught.value)) < 600
    log = (tmp_path / "logs" / "person" / "1.log").read_text(encoding="utf-8")
    assert log.count("█") == 30000


def test_seeds_decide_what_is_drawn(stand_in):
    """Oracle: Python's own generator."""
    made = stand_in()
    made.frames(a_request(seed=11))
    assert json.loads(made.saw.read_text())["random"] == random.Random(11).random()
