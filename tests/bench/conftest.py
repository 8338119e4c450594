"""Small data sets, an empty cache and quiet progress for the runner's tests."""

from pathlib import Path

import numpy as np
import pytest

from bench.plan import make_plan
from bench.run import run
from bench.weights import Weights
from tests.videos import write


class Quiet:
    """Progress that keeps what was said."""

    def __init__(self):
        self.said: list[str] = []

    def say(self, message: str) -> None:
        self.said.append(message)

    def start(self, total: int, what: str) -> None: ...

    def step(self, note: str = "") -> None:
        self.said.append(note)

    def stop(self) -> None: ...


def moving_clip(path: Path, seed: int, frames: int = 12, size: tuple[int, int] = (64, 80)) -> Path:
    """A textured square that moves over a textured ground, with noise for speech."""
    generator = np.random.default_rng(seed)
    ground = generator.integers(0, 255, (*size, 3), np.uint8)
    square = generator.integers(0, 255, (16, 16, 3), np.uint8)
    video = np.stack([ground] * frames)
    for i in range(frames):
        left = 4 + 2 * (i % 28)
        video[i, 20:36, left : left + 16] = square
    audio = (0.2 * generator.standard_normal(frames * 640)).astype(np.float32)
    return write(path, video, audio=audio)


@pytest.fixture(scope="session")
def untrained_wan_vae(tmp_path_factory) -> Path:
    """A small video autoencoder that nobody has trained, with `base_dim` 4."""
    import torch

    from methods.synth import wan_vae

    path = tmp_path_factory.mktemp("weights") / "synth_wan_vae.safetensors"
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(wan_vae.CONFIG, "base_dim", 4)
        torch.manual_seed(0)
        wan_vae.save_wan_vae(path, wan_vae.make_wan_vae(), {})
    return path


@pytest.fixture
def tiny_wan_vae(untrained_wan_vae, monkeypatch) -> None:
    """It in the place of the shipped one."""
    from methods.synth import wan_vae

    monkeypatch.setitem(wan_vae.CONFIG, "base_dim", 4)
    path = Weights.path
    monkeypatch.setattr(
        Weights, "path", lambda self, name: untrained_wan_vae if name == "synth_wan_vae" else path(self, name)
    )


@pytest.fixture
def clips(tmp_path) -> Path:
    """A folder with five small clips, one in a sub-folder with a space and an accent in its name."""
    folder = tmp_path / "data"
    for i, name in enumerate(["a", "b", "c", "d", "sub dir é/e"]):
        moving_clip(folder / f"{name}.mp4", seed=i)
    return folder


@pytest.fixture
def bench_run(tmp_path, weights):
    """Plan and run in one call: bench_run("still_image", clips, out="x", metrics=[...], devices=[...], ...)."""

    def call(method, data, *, out="run", metrics=("psnr", "ssim"), devices=("cpu",), shard=None, retry=False, **plan):
        made = make_plan(method=method, protocol="folder", data=data, weights=weights, metrics=list(metrics), **plan)
        quiet = Quiet()
        outcome = run(
            made,
            tmp_path / out,
            weights=weights,
            progress=quiet,
            devices=list(devices),
            shard=shard,
            retry_failed=retry,
        )
        outcome.__dict__["said"] = quiet.said
        return outcome

    return call
