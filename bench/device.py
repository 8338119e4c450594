"""Devices: what `auto` means here, and strict float32 on them."""

import os
from pathlib import Path

CORES_PER_WORKER = 4
"""Processor cores per worker where there is no GPU: the extractors of one clip keep about that many busy."""


def resolve_device(device: str) -> str:
    """`auto` -> cuda if there is one, else cpu; a bare number n -> cuda:n. Turns TF32 off: metrics are strict float32."""
    if device == "auto" and not any(Path(node).exists() for node in ("/dev/nvidiactl", "/dev/dxg")):
        return "cpu"  # Without a device node torch need not be imported to know.
    if device == "cpu":
        return device
    import torch

    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return f"cuda:{device}" if device.isdigit() else device


def expand_devices(text: str, cores_per_worker: int = CORES_PER_WORKER) -> list[str]:
    """Devices of a run, one worker each: `0,1` as written; `auto` is every visible GPU, or one `cpu` for every
    `cores_per_worker` cores, at least one."""
    if text != "auto":
        return [part.strip() for part in text.split(",") if part.strip()]
    if resolve_device("auto") == "cpu":
        return ["cpu"] * max(1, (os.cpu_count() or 1) // cores_per_worker)
    import torch

    return [f"cuda:{index}" for index in range(torch.cuda.device_count())]
