"""Generator: Request in, frames out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from bench.media.clip import Clip
from bench.media.errors import BenchError

Frames = np.ndarray | Iterable[np.ndarray]
"""uint8 (T, H, W, 3) RGB, or an iterable of such arrays (t, H, W, 3) for methods that make long video piece by piece."""


class GenerationError(BenchError):
    """A generator cannot make this case; the reason is recorded and the run goes on."""


class GeneratorConfig(BaseModel):
    """Settings of a method. Every field has a one-line docstring and the paper's default."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


@dataclass(frozen=True)
class Request:
    """What a Generator may see of a case. Never the target."""

    case: str
    """Case id; seeds are derived from it, so a case does not depend on what ran before it."""
    reference: np.ndarray
    """uint8 (H, W, 3) RGB."""
    audio: np.ndarray | None
    """float32 (S,) mono 16 kHz in [-1, 1], aligned so that sample 0 is heard with frame 0; None where there is none."""
    num_frames: int
    """T: frames to make, exactly."""
    fps: float
    """Rate of the frames."""
    height: int
    width: int
    seed: int
    """For torch.Generator("cpu"): noise is drawn on the CPU, so that every machine starts from the same."""
    aus: np.ndarray | None = None
    """float32 (T, A) in the generator's `au_vocabulary`, or None."""
    emotion: str | None = None
    """Emotion label, for methods that need one."""
    prompt: str | None = None
    """Text prompt, for methods that take one."""


@dataclass(frozen=True)
class ControlRequest(Request):
    """What a control (sanity method) sees: also the target, and the speech of another case."""

    target: Clip | None = None
    """The case's target clip."""
    other_audio: np.ndarray | None = None
    """float32 (S,) speech of the next case of the protocol (the first after the last)."""


@dataclass(frozen=True)
class AUAnswer:
    """What a method that makes "aus" answers a request with."""

    emotion: str | None
    """Emotion it heard, in its own word; None where it does not say."""
    aus: np.ndarray
    """float32 (T, 24) in `feafa24` at the request's rate, T == request.num_frames."""
    text: str = ""
    """The answer as a model wrote it."""
    problems: tuple[str, ...] = ()
    """What in the text could not be read."""


class Generator(ABC):
    """A method. Constructed once per worker, then asked for one case after the other."""

    Config: ClassVar[type[GeneratorConfig]] = GeneratorConfig
    title: ClassVar[str]
    """One line for listings."""
    paper: ClassVar[str] = ""
    needs: ClassVar[frozenset[str]] = frozenset()
    """Inputs it cannot do without: of {"audio", "aus", "emotion"}, and for controls {"target", "other_audio"}."""
    control: ClassVar[bool] = False
    """A sanity method; its rows stand in a section of their own. It sees the target only if `needs` says so."""
    weights: ClassVar[tuple[str, ...]] = ()
    """Names in the weights lock that it needs whatever its settings."""
    synth: ClassVar[Mapping[str, Any]] = {}
    """Settings that replace the defaults on synthetic protocols: its small checkpoint and what goes with it."""
    makes: ClassVar[Literal["video", "aus"]] = "video"
    """What it answers a request with; a protocol that asks for the other refuses it."""
    au_vocabulary: ClassVar[str | None] = None
    """Vocabulary of `request.aus`, for a method that takes AUs; its Config then has `au_source`."""
    version: ClassVar[int] = 1
    """Raised when the frames would change for the same request; part of the run's fingerprint."""

    def __init__(self, config: GeneratorConfig, device: str = "cpu", files: Mapping[str, Path] | None = None):
        """
        Args:
            config: of the class's Config.
            device: torch device.
            files: name in the weights lock -> file, for every name of `required_weights(config)`.
        """
        self.config = config
        self.device = device
        self.files = dict(files or {})
        self.logs: Path | None = None
        """Folder for the log of each case, for a method that runs a program; None keeps none."""

    @classmethod
    def required_weights(cls, config: GeneratorConfig) -> tuple[str, ...]:
        """Names in the weights lock that it needs with these settings."""
        return cls.weights

    @classmethod
    def missing(cls, config: GeneratorConfig) -> str | None:
        """What else it lacks on this machine with these settings, and how to get it; None if nothing."""
        return None

    @classmethod
    def own_files(cls, config: GeneratorConfig) -> Mapping[str, Path]:
        """Files outside the weights lock that decide what it makes: name -> where it lies. Asked for when `missing` is None."""
        return {}

    @abstractmethod
    def generate(self, request: Request) -> Frames | AUAnswer:
        """Make exactly `request.num_frames` frames of `request.height` x `request.width`; a method that makes "aus", an
        AUAnswer of as many rows.

        Raises:
            GenerationError: this case cannot be made; the message says why.
        """

    def soundtrack(self, request: Request) -> np.ndarray | None:
        """Speech to store beside the frames, float32 (S,) mono 16 kHz; the driving speech unless a control changes it."""
        return request.audio

    @property
    def seconds(self) -> Mapping[str, float]:
        """Seconds of the last request by part: "encode", "denoise", "decode"; empty where a method does not say."""
        return {}

    @property
    def num_parameters(self) -> int | None:
        """Parameters of all networks together; None where there is none."""
        return None
