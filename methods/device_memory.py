"""Memory that a device has, and the refusal of work that cannot fit, before it starts."""

from __future__ import annotations

from pathlib import Path

import torch

from bench.media.errors import UserError


def free_memory(device: str) -> int | None:
    """Bytes that can still be taken on a torch device; None where the system does not say."""
    if device.startswith("cuda"):
        return torch.cuda.mem_get_info(device)[0]
    system = Path("/proc/meminfo")
    if device != "cpu" or not system.exists():
        return None
    line = next(line for line in system.read_text().splitlines() if line.startswith("MemAvailable"))
    return int(line.split()[1]) * 1024


def require_memory(needed: int, device: str, what: str) -> None:
    """Refuse work whose least need is larger than what is free.

    Args:
        needed: bytes, of what is known without doing the work.
        device: torch device.
        what: subject of the message, with what the bytes are.

    Raises:
        UserError: there is too little.
    """
    free = free_memory(device)
    if free is not None and needed > free:
        raise UserError(
            f"{what}: {needed / 1e9:.1f} GB, and {device} has {free / 1e9:.1f} GB free. Use a device with more memory, a "
            "smaller dtype, or model=synth"
        )
