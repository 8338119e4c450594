"""Devices: what `auto` means here, and strict float32 on it."""

from pathlib import Path


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
