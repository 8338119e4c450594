"""`measure` and `mag-ratios`."""

from __future__ import annotations

import json
from pathlib import Path

from bench.cli.output import print_json
from bench.media.errors import UserError


def measure_here(
    method: str,
    device: str,
    size: int,
    frames: int | None,
    train: bool,
    videos: bool,
    dry: bool,
    out: Path,
    as_json: bool,
) -> None:
    """Say what the method holds and needs; unless that is all, measure it and write the table."""
    from dataclasses import asdict

    from bench.device import resolve_device
    from bench.full_size import dry_run, measure, write_performance

    if size % 64:
        raise UserError(f"--size {size}: frames must be a multiple of 64 pixels")
    plan = dry_run(method, size, frames)
    if not as_json:
        for name, count in plan.parameters.items():
            print(f"{name}: {count / 1e6:.2f} M parameters")
        print(f"trained: {plan.trained / 1e6:.1f} M parameters; a denoising step puts out {plan.output}")
        print(
            f"at the least {plan.inference_bytes / 1e9:.1f} GB for inference in bfloat16 and "
            f"{plan.training_bytes / 1e9:.1f} GB for training, activations not counted"
        )
    rows = []
    if not dry:
        rows = measure(method, resolve_device(device), size=size, frames=frames, train=train, videos=videos)
    if rows:
        write_performance(rows, out)
    if as_json:
        print_json({"method": method, "plan": asdict(plan), "measured": rows})
        return
    for row in rows:
        print(f"{row['work']}: {row['seconds']:.3g} s, peak {row['peak memory (GB)']:.1f} GB")
    if rows:
        print(f"Written to {out}")


def write_mag_ratios(
    method: str,
    reference: Path,
    audio: Path,
    out: Path,
    settings: list[str],
    synthetic: bool,
    device: str,
    as_json: bool,
) -> None:
    """Measure MagCache's ratios on one video and write them."""
    from bench.cli.work import parse_settings
    from bench.device import resolve_device
    from bench.mag_ratios import mag_ratios
    from bench.store import write_atomically
    from bench.weights import Weights

    ratios = mag_ratios(
        method, reference, audio, parse_settings(settings), synthetic=synthetic, weights=Weights(),
        device=resolve_device(device),
    )  # fmt: skip
    write_atomically(out, json.dumps(ratios) + "\n")
    if as_json:
        print_json({"method": method, "ratios": ratios, "file": str(out)})
    else:
        print(f"{len(ratios)} ratios: {out}; use them with --set profile=cached --set cache=mag --set mag_ratios={out}")
