"""System: an official method as data. methods/baselines/NAME.toml, read from the repository it names, at the commit it names."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from bench.media.errors import UserError

FOLDER = Path(__file__).parent
SYSTEMS = (
    "wav2lip", "audio2head", "sadtalker", "v_express", "aniportrait", "edtalk", "echomimic", "hallo_official", "hallo2",
    "sonic", "dice_talk", "memo_official", "hallo3", "stableavatar_official",
)  # fmt: skip
"""Every system, in the order of AUHead Table 3, then IUFace Table 3."""


class Spec(BaseModel):
    """Base of what a data file holds."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Environment(Spec):
    """How the system's own environment is made."""

    python: str
    """Version of its Python, for example "3.10"."""
    install: tuple[tuple[str, ...], ...]
    """Argument lists of `pip install`, in order, run in the repository."""
    programs: tuple[str, ...] = ()
    """Programs that must be on PATH."""
    note: str = ""
    """How this differs from the repository's own instructions, and why."""


class Checkpoints(Spec):
    """Files from one place."""

    files: tuple[str, ...]
    """Paths below `into`, with `*` where any file of such a name will do."""
    into: str = ""
    """Folder of the repository that gets them, where the repository's instructions put it."""
    licence: str
    """Licence of the files, with its restriction to research where there is one."""
    hub: str | None = None
    """Repository on the Hugging Face hub whose layout `files` follow."""
    revision: str | None = None
    """Its commit; None where none has been published, which gets the newest."""
    url: str | None = None
    """Address on a server; a file's name goes behind it where it ends with a slash."""
    page: str | None = None
    """Page from which a person downloads them, where no program can."""
    sha256: Mapping[str, str] = {}
    """File -> published digest, or its first hex digits where only they are public."""
    size: Mapping[str, int] = {}
    """File -> published bytes."""

    @property
    def source(self) -> str:
        """Where they come from, in one address."""
        return self.url or self.page or f"https://huggingface.co/{self.hub}"


class Call(Spec):
    """The official inference and what it is called with. Everything is relative to a folder that looks like the repository.

    `{name}` stands for a value of the request: seed, fps, frames, seconds, height, width, emotion, prompt. The reference
    image is au_bench/reference.png, the speech au_bench/speech.wav.
    """

    script: str | None = None
    """Python file; its folder and the repository are on the import path."""
    module: str | None = None
    """Python module, where the instructions say `python -m`."""
    arguments: tuple[str, ...]
    """Command line."""
    output: str
    """Pattern of the one video it writes."""
    files: Mapping[str, Any] = {}
    """File written beforehand -> its text, or a table that is written as JSON (which is YAML too)."""
    writes: tuple[str, ...] = ()
    """Folders it writes to: empty ones, so that runs side by side do not meet and old results are not taken for new ones."""
    environment: Mapping[str, str] = {}
    """Environment variables."""
    crop: tuple[int, int, int, int] | None = None
    """Left, top, width, height in pixels of the part of its video that is the result; None takes all."""
    silence: float = 0.0
    """Seconds of silence put behind the speech, where it makes no frames for the speech's end."""
    at_least: float = 0.0
    """Seconds; shorter speech is filled up with silence, where it cannot take less."""
    seconds_to_start: float = 600.0
    """Time limit of what does not depend on the length."""
    seconds_per_frame: float = 20.0
    """Time limit of a frame of the request; both are far above what a GPU needs."""


class System(Spec):
    """An official method."""

    title: str
    """Its name, as its authors write it."""
    paper: str
    """Where it is published."""
    repository: str
    """Address git clones from."""
    commit: str
    """The commit that runs."""
    licence: str
    """Licence of the code."""
    fps: Literal["request"] | float
    """Frames per second it makes; `request`: what it is asked for."""
    size: str
    """Pixels it makes."""
    framing: str
    """Whether it shows what the reference shows, crops the face, or pastes a crop back."""
    seed: Literal["request", "global", "fixed", "none"]
    """request: its program takes a seed; global: it draws from the generators that are seeded for it; fixed: its code seeds
    itself, every run of a case is the same; none: nothing is drawn."""
    length: str
    """How many frames it makes of S seconds of speech."""
    square: bool = True
    """Takes square reference images only."""
    cpu: bool = False
    """Runs without a GPU."""
    emotions: Mapping[str, str] = {}
    """Emotion label of a case -> its own word, for one that is told the emotion; `default` where a case has no label."""
    prompt: str | None = None
    """Text prompt where a case has none."""
    version: int = 1
    """Raised when the frames would change for the same request."""
    settings: str = ""
    """Which of the settings in its instructions these are, and why."""
    known: tuple[str, ...] = ()
    """What its users report, with issue numbers."""
    environment: Environment
    checkpoints: tuple[Checkpoints, ...]
    call: Call

    def files(self) -> Iterator[tuple[str, Checkpoints, str]]:
        """(path in the repository, where it comes from, path there) of every checkpoint."""
        for group in self.checkpoints:
            for file in group.files:
                yield str(PurePosixPath(group.into) / file), group, file


@cache
def read_system(name: str) -> System:
    """methods/baselines/NAME.toml.

    Raises:
        UserError: there is none.
    """
    if name not in SYSTEMS:
        raise UserError(f"unknown system {name!r}; there are {', '.join(SYSTEMS)}")
    return System(**tomllib.loads((FOLDER / f"{name}.toml").read_text("utf-8")))
