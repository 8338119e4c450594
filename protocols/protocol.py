"""Case and Protocol: what is generated, from what, and against what it is scored. Data, not code."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar, Literal, get_args

from pydantic import BaseModel, ConfigDict

from bench.media.errors import UserError

AUSource = Literal["stage1", "driving", "file", "none"]
"""`stage1`: predicted from the audio. `driving`: read off the driving video, which in a standard protocol is the target:
a privilege. `file`: a track given by hand. `none`: the method takes no AUs."""
AU_SOURCES: tuple[AUSource, ...] = get_args(AUSource)


NEUTRAL = ("neutral", "NEU")
"""No emotion, in the words of MEAD and the synthetic world, and of CREMA-D."""


class Case(BaseModel):
    """One line of a protocol."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    """Unique in the protocol; a relative POSIX path without a suffix, since videos are stored under it."""
    identity: str
    """Whose face it is; intervals are clustered on it."""
    emotion: str | None = None
    """Emotion label in the data set's own word, None where there is none."""
    level: int | None = None
    """Emotion intensity level, 1 to 3 in MEAD."""
    reference: Path
    """Image or video whose first frame is the reference image."""
    driving: Path
    """File whose speech, and whose AUs where a method may use them, drive the generator."""
    target: Path | None = None
    """Video the generated one is compared with; None where the protocol has none."""
    aus: Path | None = None
    """AU track file (CSV or JSON) for `au_source = file`."""
    num_frames: int | None = None
    """Frames to generate; None takes as many as the driving file lasts."""
    content: str | None = None
    """Digest that stands for the case's files where the protocol makes them itself; None takes the files' own."""


class Protocol(BaseModel, ABC):
    """A named list of cases plus the metrics, rate and size they are scored at."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: ClassVar[str]
    title: ClassVar[str]
    """One line for listings."""
    paper: ClassVar[str] = ""
    """Whose protocol it is."""

    metrics: tuple[str, ...]
    """Metrics by name, or by name@variant where the published table used another than the default."""
    fps: float = 25.0
    """Frames per second at which everything is generated and scored."""
    size: tuple[int, int] | None = None
    """(height, width) at which everything is scored; None takes the target's own."""
    frames: int | None = None
    """Frames per case; None takes each driving file's length."""
    storage: str = "lossless"
    """How generated frames are stored before scoring: `lossless`, or `h264-crfN` to emulate papers that scored mp4."""
    missing_frames: int = 5
    """A video made elsewhere may be this many frames shorter than the case asks for; more fails the case."""
    clip_length: str = "as long as the driving file"
    """The policy on clip length, in words."""
    default_limit: int | None = None
    """Cases run by default where the whole protocol costs too long; None runs all."""
    default_subset: str = "all cases"
    """Which cases those are, and why so many, in words."""
    au_sources: tuple[AUSource, ...] = AU_SOURCES
    """Where a method may take its AUs from."""
    output: Literal["video", "aus"] = "video"
    """What a method answers a case with: frames, or an emotion and an AU track (the first stage of AUHead)."""
    synthetic: bool = False
    """Whether the faces are rendered by this suite: its numbers are never mixed with real ones."""

    @abstractmethod
    def cases(self, data: Path | None) -> list[Case]:
        """All cases in a fixed order that does not depend on the machine.

        Args:
            data: root of the data set on this machine.

        Raises:
            UserError: the data is not there, or there is none in it; the message says what was expected.
        """

    def training_cases(self, data: Path | None) -> list[Case]:
        """Cases to train on, of people whom the protocol does not test, in a fixed order.

        Raises:
            UserError: the protocol has none, or the data is not there.
        """
        raise UserError(f"protocol {self.name} has no clips to train on: it tests on whatever it is given")

    def neutral_cases(self, data: Path | None) -> list[Case]:
        """Neutral clips of the people to train on, whose frames may stand for them as reference images (IUFace, Eq. 3).

        Raises:
            UserError: as `training_cases`.
        """
        return [case for case in self.training_cases(data) if case.emotion in NEUTRAL]

    def incomplete(self, data: Path | None) -> str | None:
        """What the data set on this machine lacks of the published protocol, in one line; None if nothing."""
        return None

    def make_ready(self, cases: Sequence[Case], step: Callable[[int], None] = lambda total: None) -> None:
        """Bring files that the protocol makes itself into being before they are read. Nothing to do for real data.

        Args:
            cases: whose files are needed.
            step: called for every file made, with the number of files to make.
        """
