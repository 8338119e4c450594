"""Weights of TalkingDiT: the official files, and files that this suite's trainings write.

Official names go through diffusers' own converter; those of the vocal projector, which it does not know, stay as they are. Sizes
are read from the shapes. A trained file holds our names and, as metadata, the network's config.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from accelerate import init_empty_weights
from diffusers.loaders.single_file_utils import convert_wan_transformer_to_diffusers
from torch import Tensor

from bench.media.errors import UserError
from methods.device_memory import require_memory
from methods.talking_dit.sizes import official_sizes
from methods.talking_dit.transformer import TalkingDiT
from methods.tensor_files import read_metadata, read_state, require_match, write_state

PROJECTOR = "vocal_projector."


def from_official(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state dict in official names (Wan2.1, StableAvatar) with the names of TalkingDiT."""
    projector = {name: value for name, value in state.items() if name.startswith(PROJECTOR)}
    rest = {name: value for name, value in state.items() if name not in projector}
    return convert_wan_transformer_to_diffusers(rest) | projector


def load_official(path: Path, device: str = "cpu", dtype: str = "float32") -> TalkingDiT:
    """The network of an official file: Wan2.1-Fun InP, or StableAvatar with its vocal path.

    Args:
        path: of the weights lock's `wan21_fun_inp`, `stableavatar_square` or `stableavatar_rec_vec`.
        device: torch device.
        dtype: name of the type to compute in; what needs float32 stays in it.

    Raises:
        UserError: the file cannot be read, or is of another network, or the device has too little memory.
    """
    state = read_state(path)
    try:
        sizes = official_sizes({name: tuple(value.shape) for name, value in state.items()})
    except KeyError as error:
        raise UserError(f"{path}: not a Wan2.1 image-to-video transformer: it has no parameter {error}") from error
    return _assembled(path, from_official(state), sizes, device, dtype)


def save_trained(path: Path, network: TalkingDiT, notes: Mapping[str, str], stored: str = "bfloat16") -> None:
    """Write a network with its sizes, as `write_state` does; notes join the metadata."""
    noted = {**notes, "networks": "TalkingDiT", "sizes": json.dumps(network.sizes)}
    write_state(path, network.state_dict(), noted, stored)


def load_trained(path: Path, device: str = "cpu", dtype: str = "float32") -> TalkingDiT:
    """The network of a file that `save_trained` wrote; arguments as of `load_official`.

    Raises:
        UserError: the file cannot be read, or was written for other networks.
    """
    metadata = read_metadata(path)
    if metadata.get("networks") != "TalkingDiT":
        found = metadata.get("networks", "no trained networks")
        raise UserError(f"{path}: holds {found}, not TalkingDiT; give a file of `bench train stableavatar` or `iuface`")
    return _assembled(path, read_state(path), json.loads(metadata["sizes"]), device, dtype)


def _assembled(
    path: Path, state: Mapping[str, Tensor], sizes: Mapping[str, Any], device: str, dtype: str
) -> TalkingDiT:
    """The network with a file's weights, in eval mode, without gradients."""
    with init_empty_weights(include_buffers=False):
        network = TalkingDiT(**sizes)
    expected = network.state_dict()
    kind = getattr(torch, dtype)
    needed = sum(value.numel() * kind.itemsize for value in expected.values())
    require_memory(needed, device, f"the weights of {path.name} in {dtype}")
    require_match(path, state, expected)
    network.load_state_dict(
        {name: value.to(device, TalkingDiT.stored_type(name, kind)) for name, value in state.items()}, assign=True
    )
    return network.to(device).eval().requires_grad_(False)
