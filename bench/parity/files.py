"""Files of a reference dump: a network's state dict with its config, and its recorded inputs and outputs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from safetensors import SafetensorError, safe_open

from bench.media.errors import UserError


class Settings(dict):
    """Constructor arguments; one that is absent is the user's to supply."""

    def __init__(self, values: dict, complaint: str):
        super().__init__(values)
        self._complaint = complaint

    def __missing__(self, name: str):
        raise UserError(self._complaint + name)


@dataclass(frozen=True)
class Dump:
    """One network and one recording of it."""

    io: Path
    state: dict
    """Parameter name -> tensor, with the prefixes of the file."""
    described: dict[str, str]
    """Metadata of the parameters' file."""
    tensors: dict
    """Recorded tensors: in/..., out/...."""
    metadata: dict[str, str]

    @cached_property
    def config(self) -> Settings:
        """Constructor arguments as the official code spells them.

        Raises:
            UserError: there are none beside the parameters.
        """
        path = self.io.with_name(self.io.name.replace("_io.", "_state_dict."))
        if "config" not in self.described:
            raise UserError(f"{path}: its metadata has no 'config', the sizes of the network")
        config = parse_json(self.described["config"], f"{path}: its config")
        return Settings(config, f"{self.io}: the config beside it lacks ")

    def input(self, name: str):
        """The recorded tensor of this name.

        Raises:
            UserError: it was not recorded.
        """
        if name not in self.tensors:
            raise UserError(f"{self.io}: has no tensor {name!r}, without which the network cannot be run")
        return self.tensors[name]

    def setting(self, name: str):
        """A value of the recording's metadata.

        Raises:
            UserError: it was not recorded.
        """
        if name not in self.metadata:
            raise UserError(f"{self.io}: its metadata lacks {name!r}, without which the network cannot be run")
        return parse_json(self.metadata[name], f"{self.io}: {name!r} of its metadata")

    def section(self, name: str) -> Settings:
        """The constructor arguments of one network."""
        if name not in self.config:
            raise UserError(f"{self.io}: the config beside it lacks {name!r}, the sizes of that network")
        return Settings(self.config[name], f"{self.io}: the config beside it lacks {name}.")

    def outputs(self, prefix: str) -> dict:
        """Recorded tensors below a prefix, by the rest of their names."""
        return {name.removeprefix(prefix): tensor for name, tensor in self.tensors.items() if name.startswith(prefix)}

    def part(self, prefix: str) -> dict:
        """Parameters below a prefix, by the rest of their names."""
        return {name.removeprefix(prefix): tensor for name, tensor in self.state.items() if name.startswith(prefix)}


def find_dumps(folder: Path, kind: str) -> list[Dump]:
    """Every KIND_*_io.safetensors with its KIND_*_state_dict.safetensors.

    Raises:
        UserError: one is there without the other.
    """
    recordings = {path.name.removesuffix("_io.safetensors") for path in folder.glob(f"{kind}_*_io.safetensors")}
    states = {
        path.name.removesuffix("_state_dict.safetensors") for path in folder.glob(f"{kind}_*_state_dict.safetensors")
    }
    if alone := sorted(recordings ^ states):
        absent = "state_dict" if alone[0] in recordings else "io"
        raise UserError(f"{folder / alone[0]}_{absent}.safetensors: not there; a recording needs both of its files")
    return [_read_dump(folder, name) for name in sorted(recordings)]


def _read_dump(folder: Path, name: str) -> Dump:
    state_path, io_path = folder / f"{name}_state_dict.safetensors", folder / f"{name}_io.safetensors"
    state, described = read_tensors(state_path)
    tensors, metadata = read_tensors(io_path)
    return Dump(io_path, state, described, tensors, metadata)


def parse_json(text: str, what: str):
    """A JSON document.

    Raises:
        UserError: it is none.
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f"{what}: not JSON ({error})") from error


def read_tensors(path: Path) -> tuple[dict, dict[str, str]]:
    """Tensors and metadata of a safetensors file.

    Raises:
        UserError: it is none.
    """
    try:
        with safe_open(path, "pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118 (not a dict)
    except SafetensorError as error:
        raise UserError(f"{path}: not a safetensors file ({error})") from error
