"""Feature files and networks small enough to train in a test."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from methods.auhead.adapter import AUAdapter, AUAdapterConfig
from methods.conditioning.features import save_features
from methods.hallo.modules import HalloModules
from methods.memo.modules import MemoModules
from tests.methods.fakes import TINY_HALLO, TINY_MEMO, FakeEncoders, randomised

SIDE = 8
"""Of the latents."""
ADAPTER = AUAdapterConfig(representation="seq", dim=8, channels=8, heads=2)


def feature_files(folder: Path, clips: int = 2, frames: int = 24) -> list[Path]:
    """Clips of a blob that moves as the loudness of the speech says; every clip has a place and colours of its own."""
    paths = []
    for i in range(clips):
        rng = np.random.default_rng(i)
        moves = np.sin(np.arange(frames) * rng.uniform(0.3, 0.9))
        grid = np.linspace(-1, 1, SIDE)
        blob = np.exp(-((grid[:, None] - 0.5 * moves[:, None, None]) ** 2 + grid**2) / 0.3)
        latents = rng.standard_normal(4)[:, None, None] * blob[:, None] + rng.standard_normal((4, SIDE, SIDE)) / 2
        features = {
            "latent_mean": latents.astype(np.float16),
            "latent_std": np.full(latents.shape, 0.01, np.float16),
            "speech": (moves[:, None, None] * np.ones((2, 3))).astype(np.float16),
            "face": rng.standard_normal(8).astype(np.float32),
            "face_box": np.array([0.2, 0.1, 0.8, 0.9], np.float32),
            "lip_box": np.array([0.4, 0.6, 0.6, 0.75], np.float32),
            "emotion": np.full(frames, i % 9),
            "aus": rng.uniform(0, 1, (frames, 24)).astype(np.float32),
        }
        path = folder / f"{i}.safetensors"
        save_features(path, features, FakeEncoders(), "0" * 64)
        paths.append(path)
    return paths


def new_memo() -> MemoModules:
    torch.manual_seed(0)
    return MemoModules(TINY_MEMO)


def new_hallo() -> HalloModules:
    torch.manual_seed(0)
    return HalloModules(TINY_HALLO)


def new_adapter(denoiser) -> AUAdapter:
    """Not at zero any more, so that every weight gets a gradient."""
    return randomised(AUAdapter(denoiser.au_sites, ADAPTER), 1).requires_grad_(True)


# -- video transformers -----------------------------------------------------------------------------------------------

LATENTS, PLACES = 3, 4
"""T and h = w of a window."""


def video_batch(rows: int = 2, seed: int = 0, identity: bool = True) -> dict[str, torch.Tensor]:
    """What `VideoWindows.draw` returns, for `tests.methods.video_fakes.tiny_transformer`."""
    rng = np.random.default_rng(seed)

    def noise(*shape: int) -> torch.Tensor:
        return torch.from_numpy(rng.standard_normal((rows, *shape)).astype(np.float32))

    place = (LATENTS, PLACES, PLACES)
    batch = {
        "latent_mean": noise(4, *place),
        "latent_std": torch.full((rows, 4, *place), 0.01),
        "known": noise(8, *place),
        "image": noise(4, 6),
        "text": noise(4, 5),
        "vocal": noise(18, 3),
        "aus": noise(4 * LATENTS - 3, 35).abs(),
        "lips": (noise(*place) > 1).float(),
        "face": (noise(*place) > 0).float(),
    }
    return batch | ({"identity": noise(6)} if identity else {})
