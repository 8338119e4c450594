"""Three times a user feels: the Frechet distance, `--help`, and scoring again what is cached."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
ROWS, DIMENSIONS = 500, 2048
CASES = 50


def frechet(quick: bool) -> dict:
    """Two sets of 500 rows of 2048 features, ours and by pytorch-fid's formula with scipy.linalg.sqrtm; seconds."""
    from metrics.functional.frechet import frechet_distance

    random = np.random.default_rng(0)
    mixing = random.normal(0, 1, (64, DIMENSIONS))
    sets = [
        np.maximum(random.normal(shift, 1, (ROWS, 64)) @ mixing / 8 + random.normal(0, 0.3, (ROWS, DIMENSIONS)), 0)
        for shift in (0, 0.1)
    ]
    times = []
    for _ in range(5):
        started = time.perf_counter()
        value = frechet_distance(*sets)
        times.append(time.perf_counter() - started)
    found = {"seconds": float(np.median(times)), "value": value}
    if not quick:
        started = time.perf_counter()
        found["scipy_value"] = _by_scipy(*sets)
        found["scipy_seconds"] = time.perf_counter() - started
    return found


def _by_scipy(a: np.ndarray, b: np.ndarray) -> float:
    from scipy.linalg import sqrtm

    means, covariances = [x.mean(0) for x in (a, b)], [np.cov(x, rowvar=False) for x in (a, b)]
    root = sqrtm(covariances[0] @ covariances[1])
    return float(((means[0] - means[1]) ** 2).sum() + sum(map(np.trace, covariances)) - 2 * np.trace(root).real)


def help_time() -> dict:
    """Best of five, in seconds."""
    times = [_bench("--help") for _ in range(5)]
    return {"seconds": min(times), "all": times}


def rescore() -> dict:
    """Seconds of the first run of 50 small cases, of the same command again, and of one more metric from cached features;
    and whether the last two imported torch.
    """
    from bench.media.write import write_video

    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        random = np.random.default_rng(0)
        for case in range(CASES):
            ground = random.integers(0, 255, (64, 80, 3), np.uint8)
            write_video(work / "data" / f"{case:03d}.mkv", [np.stack([np.roll(ground, t, 1) for t in range(12)])], 25)
        fixed = ("run", "--method", "reencoded", "--protocol", "folder", "--data", str(work / "data"))
        fixed += ("--out", str(work / "run"), "--metrics")
        cache = work / "cache"
        first = _bench(*fixed, "psnr,ssim", cache=cache)
        again = [_bench(*fixed, "psnr,ssim", cache=cache) for _ in range(3)]
        more = _bench(*fixed, "psnr,ssim,psnr@global", cache=cache)
        torch = _imports_torch(*fixed, "psnr,ssim,psnr@global,ssim@gray", cache=cache)
    return {"first": first, "again": min(again), "one_more": more, "imports_torch": torch}


def _bench(*arguments: str, cache: Path | None = None) -> float:
    started = time.perf_counter()
    _call([sys.executable, "-m", "bench", *arguments], cache)
    return time.perf_counter() - started


def _imports_torch(*arguments: str, cache: Path) -> bool:
    said = _call([sys.executable, "-X", "importtime", "-m", "bench", *arguments], cache)
    return any(line.rsplit("|", 1)[-1].strip() == "torch" for line in said.splitlines())


def _call(command: list[str], cache: Path | None) -> str:
    """stderr of the command."""
    environment = os.environ | ({"AU_BENCH_CACHE": str(cache)} if cache else {})
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with exit code {done.returncode}:\n{done.stderr[-2000:]}")
    return done.stderr
