"""Weights of Hallo and MEMO: the published files, and files that this suite's trainings write.

Published names are ours, so a checkpoint loads by its prefixes alone: Hallo's net.pth holds five networks behind theirs,
each of MEMO's four files holds one. Their sizes are the published ones; a config.json beside a file is not read, since
all but heads and groups, which are Stable Diffusion's, shows in the shapes. A trained file holds every network of its
base and, as metadata, their sizes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor, nn

from bench.media.errors import UserError
from methods.device_memory import require_memory
from methods.talking_unet.sizes import HALLO_FULL, MEMO_FULL
from methods.tensor_files import read_metadata, read_state, require_match, write_state

if TYPE_CHECKING:
    from methods.hallo.modules import HalloModules
    from methods.memo.modules import MemoModules

Modules = TypeVar("Modules", bound=nn.Module)

MEMO_PARTS = {
    "memo_reference_net": "reference_net.",
    "memo_diffusion_net": "diffusion_net.",
    "memo_image_proj": "image_proj.",
    "memo_audio_proj": "audio_proj.",
}
"""Name in the weights lock of each of MEMO's files -> what its parameters are called by in MemoModules."""


def load_hallo(files: Mapping[str, Path], device: str = "cpu", dtype: str = "float32") -> HalloModules:
    """The published Hallo.

    Args:
        files: of the weights lock, with hallo_net.
        device: torch device.
        dtype: name of the type to compute in.

    Raises:
        UserError: the file cannot be read, or is of another network, or the device has too little memory.
    """
    from methods.hallo.modules import HalloModules

    return _assembled(HalloModules, HALLO_FULL, {"": files["hallo_net"]}, device, dtype)


def load_memo(files: Mapping[str, Path], device: str = "cpu", dtype: str = "float32") -> MemoModules:
    """The published MEMO; arguments and errors as of `load_hallo`, files with the names of MEMO_PARTS."""
    from methods.memo.modules import MemoModules

    paths = {prefix: files[name] for name, prefix in MEMO_PARTS.items()}
    return _assembled(MemoModules, MEMO_FULL, paths, device, dtype)


def save_trained(path: Path, modules: nn.Module, notes: Mapping[str, str], stored: str = "bfloat16") -> None:
    """Write HalloModules or MemoModules with their sizes, as `write_state` does; notes join the metadata."""
    noted = {**notes, "networks": type(modules).__name__, "sizes": json.dumps(modules.sizes)}
    write_state(path, modules.state_dict(), noted, stored)


def load_trained(
    path: Path, networks: Callable[[Mapping], Modules], device: str = "cpu", dtype: str = "float32"
) -> Modules:
    """The networks of a file that `save_trained` wrote.

    Args:
        networks: HalloModules or MemoModules.

    Raises:
        UserError: the file cannot be read, or was written for other networks.
    """
    metadata = read_metadata(path)
    if metadata.get("networks") != networks.__name__:
        found = metadata.get("networks", "no trained networks")
        raise UserError(
            f"{path}: holds {found}, not {networks.__name__}; give a file that `bench train` of this base wrote"
        )
    return _assembled(networks, json.loads(metadata["sizes"]), {"": path}, device, dtype)


def _assembled(
    networks: Callable[[Mapping], Modules], sizes: Mapping, paths: Mapping[str, Path], device: str, dtype: str
) -> Modules:
    """Networks with the weights of files: prefix of a file's parameters -> file. In eval mode, without gradients."""
    with torch.device("meta"):
        modules = networks(sizes)
    expected = modules.state_dict()
    kind = getattr(torch, dtype)
    needed = sum(value.numel() * kind.itemsize for value in expected.values())
    require_memory(needed, device, f"the weights of {networks.__name__} in {dtype}")
    state: dict[str, Tensor] = {}
    for prefix, path in paths.items():
        part = {prefix + name: value for name, value in read_state(path).items()}
        require_match(path, part, {name: value for name, value in expected.items() if name.startswith(prefix)})
        state |= {name: value.to(device, kind) for name, value in part.items()}
    modules.load_state_dict(state, assign=True)
    return modules.eval().requires_grad_(False)
