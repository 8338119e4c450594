"""Files of weights: a .safetensors, or a torch pickle that holds nothing but tensors; in 8 bits where a file must be small.

In 8 bits a matrix or kernel becomes int8 with one float32 scale per row (its first dimension), under its own name and that name
followed by SCALE: w is close to scale * q with |q| <= 127. On weights of a normal distribution the error is about 0.8 % of their
standard deviation; bfloat16's is 0.2 %. Vectors stay bfloat16. `read_state` gives float32 back, so who reads need not know.
"""

from __future__ import annotations

import os
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from bench.media.errors import UserError
from bench.media.lfs import is_lfs_pointer

SCALE = ".int8_scale"


def write_state(path: Path, state: Mapping[str, Tensor], metadata: Mapping[str, str], stored: str = "bfloat16") -> None:
    """Write tensors to a .safetensors file, whole or not at all.

    Args:
        path: of the file; its folder is made.
        state: tensors; integers stay as they are.
        metadata: of the file.
        stored: "int8", or the name of a floating-point type.
    """
    stored_type = torch.bfloat16 if stored == "int8" else getattr(torch, stored)
    tensors: dict[str, Tensor] = {}
    for name, value in state.items():
        value = value.detach().cpu()
        if not value.is_floating_point():
            tensors[name] = value.contiguous()
        elif stored == "int8" and value.ndim > 1:
            tensors[name], tensors[name + SCALE] = to_int8(value)
        else:
            tensors[name] = value.to(stored_type).contiguous()
    part = path.with_name(f"{path.name}.part")
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, part, dict(metadata))
    part.chmod(0o644)  # The library makes it readable to its owner alone.
    os.replace(part, path)


def to_int8(value: Tensor) -> tuple[Tensor, Tensor]:
    """int8 of the value's shape, and the scale float32 (rows,) of each of its rows; a row of zeros has the scale 1."""
    rows = value.float().flatten(1)
    largest = rows.abs().amax(1)
    scale = torch.where(largest > 0, largest / 127, 1.0)
    return (rows / scale[:, None]).round().to(torch.int8).reshape(value.shape).contiguous(), scale


def from_int8(value: Tensor, scale: Tensor) -> Tensor:
    """float32 of int8 and of the scale of each of its rows."""
    return value.float() * scale.view(-1, *[1] * (value.ndim - 1))


def read_state(path: Path) -> dict[str, Tensor]:
    """Every tensor of a .safetensors file or of a torch pickle, on the CPU; a pickle may hold nothing but tensors.

    Raises:
        UserError: it cannot be read, or is none.
    """
    require_weights(path)
    try:
        if path.suffix == ".safetensors":
            return _floats(load_file(path))
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


def _floats(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What `write_state` was given, of what it wrote."""
    return {
        name: from_int8(value, tensors[name + SCALE]) if name + SCALE in tensors else value
        for name, value in tensors.items()
        if not name.endswith(SCALE)
    }
