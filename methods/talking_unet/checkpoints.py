"""Weights of Hallo and MEMO: the published files, and files that this suite's trainings write.

Published names are ours, so a checkpoint loads by its prefixes alone: Hallo's net.pth holds five networks behind theirs,
each of MEMO's four files holds one. Their sizes are the published ones; a config.json beside a file is not read, since
all but heads and groups, which are Stable Diffusion's, shows in the shapes. A trained file holds every network of its
base and, as metadata, their sizes.
"""

from __future__ import annotations

import json
import os
import pickle
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from bench.media.errors import UserError
from bench.media.lfs import is_lfs_pointer
from methods.talking_unet.memory import require_memory
from methods.talking_unet.sizes import HALLO_FULL, MEMO_FULL

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


def save_trained(path: Path, modules: nn.Module, notes: Mapping[str, str], dtype: str = "bfloat16") -> None:
    """Write HalloModules or MemoModules with their sizes; notes join the metadata."""
    state = {name: value.to("cpu", getattr(torch, dtype)).contiguous() for name, value in modules.state_dict().items()}
    part = path.with_name(f"{path.name}.part")
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(state, part, {**notes, "networks": type(modules).__name__, "sizes": json.dumps(modules.sizes)})
    os.replace(part, path)


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


def read_state(path: Path) -> dict[str, Tensor]:
    """Every tensor of a .safetensors file or of a torch pickle, on the CPU; a pickle may hold nothing but tensors.

    Raises:
        UserError: it cannot be read, or is none.
    """
    require_weights(path)
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, "pt") as file:
                return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise UserError(f"{path}: cannot be read as weights ({str(error).splitlines()[0]}); fetch it again") from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise UserError(f"{path}: is not a state dict, a flat table of named tensors")
    return state


def read_metadata(path: Path) -> dict[str, str]:
    """Metadata of a safetensors file.

    Raises:
        UserError: it is none.
    """
    require_weights(path)
    try:
        with safe_open(path, "pt") as file:
            return file.metadata() or {}
    except SafetensorError as error:
        raise UserError(f"{path}: not a safetensors file ({error})") from error


def require_weights(path: Path) -> None:
    """Refuse what cannot hold weights.

    Raises:
        UserError: no such file, or a Git LFS pointer.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    if is_lfs_pointer(path):
        raise UserError(
            f"{path}: is a Git LFS pointer of {path.stat().st_size} bytes, not the weights: the repository was cloned "
            "without git-lfs. Run `git lfs pull` in it, or download the file from its page"
        )


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


def require_match(path: Path, found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Compare names and shapes.

    Raises:
        UserError: they differ; it names the first few differences.
    """
    missing = [name for name in expected if name not in found]
    unexpected = [name for name in found if name not in expected]
    wrong = [
        f"{name} {tuple(found[name].shape)} for {tuple(value.shape)}"
        for name, value in expected.items()
        if name in found and found[name].shape != value.shape
    ]
    problems = [
        f"{len(names)} {what} ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})"
        for what, names in (("missing", missing), ("unexpected", unexpected), ("of another shape", wrong))
        if names
    ]
    if problems:
        raise UserError(f"{path}: not the weights of this network: of {len(expected)} parameters {', '.join(problems)}")
