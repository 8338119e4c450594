"""`measure`."""

from __future__ import annotations

from pathlib import Path

from bench.cli.output import print_json
from bench.media.errors import UserError


def measure_here(
    method: str, device: str, size: int, frames: int | None, train: bool, dry: bool, out: Path, as_json: bool
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
    rows = [] if dry else measure(method, resolve_device(device), size=size, frames=frames, train=train)
    if rows:
        write_performance(rows, out)
    if as_json:
        print_json({"method": method, "plan": asdict(plan), "measured": rows})
        return
    for row in rows:
        print(f"{row['work']}: {row['seconds']:.3g} s, peak {row['peak memory (GB)']:.1f} GB")
    if rows:
        print(f"Written to {out}")
