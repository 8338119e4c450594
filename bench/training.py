"""Training: what `bench train NAME` runs."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, get_args, get_origin

from pydantic import BaseModel, ValidationError

from bench import registry
from bench.media.errors import UserError
from bench.progress import Progress
from bench.weights import Weights


@dataclass(frozen=True)
class Trained:
    """What a training came to."""

    files: list[Path]
    """Weights written."""
    measured: dict[str, Any] = field(default_factory=dict)
    """Figures on data it did not see."""
    table: str = ""
    """The same as Markdown."""


class Training(ABC):
    """Something that can be trained by name."""

    Settings: ClassVar[type[BaseModel]]
    """Settings, each with a one-line docstring and the value the shipped weights were trained with."""
    title: ClassVar[str]
    """One line for listings."""
    synth: ClassVar[Mapping[str, Any]] = {}
    """Settings that replace the defaults on synthetic protocols, for a training with the setting `protocol`."""

    @abstractmethod
    def run(
        self,
        settings: BaseModel,
        *,
        weights: Weights,
        progress: Progress,
        data: Path | None,
        out: Path | None,
        seed: int,
    ) -> Trained:
        """Train; go on from the last checkpoint if there is one."""


def require_weights_file(name: str, path: Path) -> None:
    """Refuse an --out that cannot become a file of weights: the folder of its name without suffix holds the checkpoint.

    Raises:
        UserError: it does not end in .safetensors.
    """
    if path.suffix != ".safetensors":
        raise UserError(
            f"train {name}: --out {path}: name a file, --out FILE.safetensors; checkpoint and log go beside it"
        )


def configure(name: str, training: type[Training], settings: dict[str, str]) -> BaseModel:
    """Settings from `--set key=value` texts over the defaults, which depend on the protocol; a list may be written with
    commas.

    Raises:
        UserError: no such setting, or a value it does not take.
    """
    known = training.Settings.model_fields
    if unknown := set(settings) - set(known):
        raise UserError(f"training {name} has no setting {', '.join(sorted(unknown))}; it has: {', '.join(known)}")
    synthetic = "protocol" in settings and registry.protocol(settings["protocol"])().synthetic
    chosen = {key: _value(text, known[key].annotation) for key, text in settings.items()}
    try:
        return training.Settings(**(dict(training.synth) if synthetic else {}) | chosen)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise UserError(f"training {name}: {problems}") from error


def _value(text: str, annotation: Any) -> Any:
    is_list = any(get_origin(kind) is tuple for kind in (annotation, *get_args(annotation)))
    if is_list and text != "null" and not text.startswith("["):
        return [part for part in text.split(",") if part]
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
