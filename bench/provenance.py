"""What a run was made with: code, packages, machine, inputs. Goes into run.json, never into summary.json."""

from __future__ import annotations

import platform
import resource
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = (
    "au-talking-head-bench", "av", "numpy", "scipy", "torch", "torchvision", "torchmetrics", "onnxruntime", "mediapipe",
    "insightface", "lpips", "pytorch-fid", "syncnet-python", "opencv-contrib-python", "opencv-python", "safetensors",
    "transformers", "diffusers",
)  # fmt: skip


def environment() -> dict:
    """Commit and dirtiness of the code, versions of the packages that touch numbers, interpreter and platform."""
    return {
        "commit": _git("rev-parse", "HEAD"),
        "dirty": None if (status := _git("status", "--porcelain")) is None else bool(status),
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "machine": platform.machine(),
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
    }


def device_name(device: str) -> str:
    """The accelerator's name with its driver, or the processor's."""
    if device.startswith("cuda"):
        import torch

        return f"{torch.cuda.get_device_name(device)} (CUDA {torch.version.cuda})"
    return platform.processor() or platform.machine()


def peak_memory_bytes(device: str = "cpu") -> int:
    """Most memory that this process has held so far: of an accelerator's what torch allocated, else its resident set."""
    if device.startswith("cuda"):
        import torch

        return torch.cuda.max_memory_allocated(device)
    status = Path("/proc/self/status")
    if status.exists():  # ru_maxrss of a new process begins with the size of the one that started it.
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _git(*arguments: str) -> str | None:
    """Output of git in the suite's own checkout; None where it is installed without one."""
    root = Path(__file__).parents[1]
    if not (root / ".git").exists():
        return None
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
