"""stableavatar_*_tables.safetensors and stableavatar_audio_split*.json: positions, times, and speech tokens of latent frames."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np

from bench.parity.files import parse_json, read_tensors
from bench.parity.report import Report


def check(folder: Path, report: Report) -> None:
    tables = sorted(folder.glob("stableavatar_*_tables.safetensors"))
    if not tables:
        report.unchecked.append("no stableavatar_*_tables.safetensors: rotary positions and sinusoids of time")
    for path in tables:
        _check_tables(path, report)
    splits = sorted(folder.glob("stableavatar_audio_split*.json"))
    if not splits:
        report.unchecked.append("no stableavatar_audio_split*.json: speech tokens of latent frames")
    for path in splits:
        for name, expected in parse_json(path.read_text("utf-8"), str(path)).items():
            _check_split(f"{path.name}:{name}/", name, expected, report)


def _check_tables(path: Path, report: Report) -> None:
    """Complex rotations of positions (max positions, head dim / 2), as real and imaginary parts, and sinusoids of times."""
    from diffusers.models.embeddings import Timesteps

    from methods.talking_dit.transformer import FrameRotary

    tensors, _ = read_tensors(path)
    for name, expected in tensors.items():
        if name in ("freqs_real", "freqs_imag"):
            positions, half = expected.shape
            rotary = FrameRotary(2 * half, (1, 2, 2), positions)
            ours = (rotary.freqs_cos if name == "freqs_real" else rotary.freqs_sin)[:, ::2]
        elif name.endswith("sin_t"):
            waves = Timesteps(expected.shape[1], flip_sin_to_cos=True, downscale_freq_shift=0)
            ours = waves(_times(expected.double().numpy()))
        else:
            report.unchecked.append(f"{path.name}:{name}: of unknown meaning")
            continue
        report.compare(f"{path.name}:{name}", ours, expected)


def _times(table: np.ndarray):
    """The times whose cosines and sines (n, 2 * half) a table holds, from the slowest wave, which is unambiguous, to the
    fastest, which is exact."""
    import torch

    half = table.shape[1] // 2
    speeds = 10000.0 ** (-np.arange(half) / half)
    angles = np.arctan2(table[:, half:], table[:, :half])
    times = angles[:, -1] / speeds[-1]
    for speed, angle in zip(speeds[::-1], angles.T[::-1], strict=True):
        times += (np.remainder(angle - speed * times + math.pi, 2 * math.pi) - math.pi) / speed
    return torch.from_numpy(times).float()


def _check_split(prefix: str, name: str, expected: dict, report: Report) -> None:
    """One number of tokens over one number of frames, both of which its name says."""
    from methods.talking_dit.alignment import own_tokens, token_ranges

    if not (match := re.fullmatch(r"(\d+)_(\d+)", name)):
        report.unchecked.append(f"{prefix}: of unknown meaning")
        return
    tokens, frames = int(match[1]), int(match[2])
    rows = np.array(own_tokens(tokens, frames))
    ours = {
        "ranges": token_ranges(tokens, frames),
        "gather": np.where(rows == tokens, 0, rows + 1),  # Recorded numbers begin at 1, and 0 is padding.
        "k_lens": (rows < tokens).sum(1),
        "out_shape": (1, *rows.shape, 1),
    }
    report.compare_all(ours, expected, prefix)
