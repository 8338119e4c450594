"""An official repository that is none: a git clone with a program of the standard library that does what a test says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

from methods.baselines.generator import OfficialSystem, method_of
from methods.baselines.place import Place
from methods.baselines.system import System
from methods.generator import Request
from tests.videos import numbered_frames, write

NAME = "stand_in"
PROGRAM = '''
"""Tells what it was given, has its mishap, and copies a prepared video to where it was told."""
import argparse, json, os, random, shutil, subprocess, sys, time
import helper

parser = argparse.ArgumentParser()
for name in ("image", "audio", "out", "seed", "word"):
    parser.add_argument("--" + name)
args = parser.parse_args()
seen = {
    "arguments": vars(args), "random": random.random(), "main": __name__, "folder": sorted(os.listdir(".")),
    "temp": os.listdir("temp"), "environment": dict(os.environ), "config": json.load(open("au_bench/config.yaml")),
    "checkpoint": open("checkpoints/model.pth").read(), "standard_input": sys.stdin.read(),
    "request": json.load(open("au_bench/request.json")), "note": open("au_bench/note.txt").read(),
}
shutil.copy(args.image, os.environ["SAW"] + ".png")
shutil.copy(args.audio, os.environ["SAW"] + ".wav")
json.dump(seen, open(os.environ["SAW"], "w"))
open("temp/scratch", "w").write("mine")
print("done with", helper.WHAT)
MISHAP
shutil.copy(os.environ["VIDEO"], args.out)
'''


def commit_repository(folder: Path, mishap: str = "") -> str:
    """A git repository with the program; its commit."""
    (folder / "scripts").mkdir(parents=True)
    (folder / "scripts" / "inference.py").write_text(PROGRAM.replace("MISHAP", mishap), encoding="utf-8")
    (folder / "helper.py").write_text("WHAT = 'everything'\n")
    (folder / "temp").mkdir()
    (folder / "temp" / "README").write_text("kept\n")
    git = ["git", "-C", str(folder), "-c", "user.name=nobody", "-c", "user.email=nobody@example.org"]
    for command in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "-m", "published"]):
        subprocess.run([*git, *command], check=True)
    return subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()


def system_of(
    commit: str, saw: Path, video: Path, repository: str = "https://example.org/stand-in", **changes
) -> System:
    """The stand-in as data; `changes` to its call go in as `call`."""
    call = {
        "script": "scripts/inference.py",
        "arguments": ["--image", "au_bench/reference.png", "--audio", "au_bench/speech.wav", "--out", "au_bench/made.mp4",
                      "--seed", "{seed}", "--word", "{emotion} at {fps}"],
        "output": "au_bench/made.mp4",
        "files": {"au_bench/config.yaml": {"frames": "{frames}", "cases": {"au_bench/reference.png": ["{seconds}"]}},
                  "au_bench/note.txt": "{prompt}@@{height}x{width}"},
        "writes": ["temp"],
        "environment": {"SAW": str(saw), "VIDEO": str(video)},
        "seconds_to_start": 30.0,
    }  # fmt: skip
    values = {
        "title": "Stand-in", "paper": "nobody", "repository": repository, "commit": commit, "licence": "none", "fps": 25.0,
        "size": "as made", "framing": "keeps it", "seed": "global", "length": "as made", "cpu": True, "prompt": "a person",
        "emotions": {"default": "calm", "happy": "joyful"},
        "environment": {"python": f"{sys.version_info[0]}.{sys.version_info[1]}", "install": []},
        "checkpoints": [{"into": "checkpoints", "files": ["model.pth"], "licence": "none", "hub": "nobody/stand-in"}],
        "call": call | changes.pop("call", {}),
    }  # fmt: skip
    return System(**values | changes)


class StandIn:
    """A stand-in that is set up, below AU_BENCH_CACHE.

    Args:
        tmp_path: of the test.
        bare: virtual environment.
        mishap: Python source, run before the video is copied.
        frames: of the video, or None where it writes its own.
        rate: of the video.
        changes: to the system.
    """

    def __init__(self, tmp_path: Path, bare: Path, mishap: str = "", frames=None, rate=25, **changes):
        self.saw, self.video = tmp_path / "saw.json", tmp_path / "prepared.mp4"
        write(self.video, numbered_frames(10) if frames is None else frames, rate=rate)
        place = Place(NAME, system_of("", self.saw, self.video))
        commit = commit_repository(place.repository, mishap)
        self.system = system_of(commit, self.saw, self.video, **changes)
        self.place = Place(NAME, self.system)
        self.place.environment.symlink_to(bare)
        (place.repository / "checkpoints").mkdir()
        (place.repository / "checkpoints" / "model.pth").write_text("weights")

    @property
    def method(self) -> type[OfficialSystem]:
        return method_of(NAME, self.system)

    def generator(self, logs: Path | None = None, **settings) -> OfficialSystem:
        made = self.method(self.method.Config(**settings))
        made.logs = logs
        return made

    def frames(self, request: Request, logs: Path | None = None, **settings) -> np.ndarray:
        return np.concatenate(list(self.generator(logs, **settings).generate(request)))


def a_request(num_frames: int = 10, height: int = 48, width: int = 64, fps: float = 25.0, **changes) -> Request:
    """Noise for a face and for speech, exact in 16 bits."""
    generator = np.random.default_rng(0)
    audio = generator.integers(-8000, 8000, round(num_frames / fps * 16000)) / 32768
    values = {
        "case": "person/1", "reference": generator.integers(0, 255, (32, 32, 3), np.uint8), "audio": audio.astype(np.float32),
        "num_frames": num_frames, "fps": fps, "height": height, "width": width, "seed": 2**31 + 7,
    }  # fmt: skip
    return Request(**values | changes)
