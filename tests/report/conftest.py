"""A small report with everything in it: recorded clips with hostile names, failures, and two controls on rendered people."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from bench.leaderboard import StoredRun, open_run
from bench.plan import make_plan
from bench.report.site import Site, write_site
from bench.run import run
from bench.weights import Weights
from tests.bench.conftest import Quiet
from tests.videos import numbered_frames, write

LABEL = '"><img src=x onerror=alert(1)>'
HOSTILE_CASE = 'b"><svg onload=alert(2)>'
REASON = "</script><script>alert(3)</script> \u202e{{ 7 * 7 }}"
FRAMES = 20
SYNTH_METRICS = ["psnr", "fid@synth", "au_mae@synth"]


@dataclass(frozen=True)
class Made:
    """A site and what it was made from."""

    site: Site
    runs: dict[str, StoredRun]
    weights: Weights

    def board(self, protocol: str) -> Path:
        """Folder of a protocol's board."""
        return next(path for path in self.site.out.glob(f"{protocol}-*") if path.is_dir())

    def page(self, protocol: str, name: str) -> str:
        """Address of a page of a board."""
        return (self.board(protocol) / name).as_uri()


def numbered_clips(folder: Path) -> Path:
    """Three clips whose frame number can be read off a screenshot: frame i has grey level 4 i, in the middle of a picture."""
    sound = (0.1 * np.random.default_rng(0).standard_normal(FRAMES * 640)).astype(np.float32)
    for name in ("a", HOSTILE_CASE, "c"):
        write(folder / f"{name}.mp4", numbered_frames(FRAMES, 64, 64), audio=sound)
    return folder


def make_run(folder: Path, weights: Weights, **plan) -> StoredRun:
    run(make_plan(weights=weights, **plan), folder, weights=weights, progress=Quiet(), devices=["cpu"])
    return open_run(folder)


@pytest.fixture(scope="session")
def made(tmp_path_factory) -> Made:
    """Board `folder`: reencoded, still_image, and videos made elsewhere of which one is missing and one lacks a score.
    Board `synth_std`: reencoded, still_image on two rendered people."""
    root = tmp_path_factory.mktemp("report")
    weights = Weights(root / "cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AU_BENCH_CACHE", str(root / "cache"))
        runs = _runs(root, weights)
        site = write_site(
            root / "site", weights=weights, progress=Quiet(), root=root / "runs", device="cpu", calibrated=root / "none"
        )
    return Made(site, runs, weights)


def _runs(root: Path, weights: Weights) -> dict[str, StoredRun]:
    data = numbered_clips(root / "data")
    runs = {}
    for method in ("reencoded", "still_image"):
        common = dict(method=method, weights=weights)
        runs[f"folder {method}"] = make_run(
            root / "runs" / "folder" / method, protocol="folder", data=data, metrics=["psnr", "ssim"], **common
        )
        runs[f"synth {method}"] = make_run(
            root / "runs" / "synth_std" / method,
            protocol="synth_std",
            data=None,
            limit=4,
            metrics=SYNTH_METRICS,
            **common,
        )
    videos = root / "elsewhere"
    for name in ("a", "c"):
        write(videos / f"{name}.mp4", numbered_frames(FRAMES, 64, 64))
    folder = root / "runs" / "folder" / "scored"
    make_run(folder, weights, method=LABEL, protocol="folder", data=data, metrics=["psnr", "ssim"], videos=videos)
    _spoil(folder)
    runs["folder scored"] = open_run(folder)
    return runs


def _spoil(folder: Path) -> None:
    """Put a hostile reason in the place of the recorded ones, and take one score away with it."""
    path = folder / "cases.jsonl"
    records = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    for record in records:
        if record["status"] == "failed":
            record["reason"] = REASON
        elif record["case"] == "a":
            record["metrics"]["ssim"] = {"version": 1, "failed": REASON}
    path.write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")
