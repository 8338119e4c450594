"""Windows to train on: F frames of a clip, the P frames before them and a reference frame, out of feature files
(`methods.conditioning.features`). Only the rows of a window are read; what is read often stays in the system's memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor

from bench.media.errors import UserError
from methods.conditioning.encoders import Encoders
from methods.conditioning.features import load_features
from methods.conditioning.speech import WINDOW_MARGIN
from methods.training.recipes import UNetRecipe


class Windows:
    """Random windows over clips.

    Args:
        files: features, one file per clip; clips shorter than a window are left out.
        encoders: those the model is trained with.
        recipe: `frames`, `past_frames`, and how often a window begins a clip or lacks its context.
        au_context: n of Eq. 4: AUs are given for n frames more on either side.

    Raises:
        UserError: no clip is long enough, or a file was made with other encoders.
    """

    def __init__(self, files: Sequence[Path], encoders: type[Encoders], recipe: UNetRecipe, au_context: int = 0):
        self.encoders, self.recipe, self.au_context = encoders, recipe, au_context
        self.clips: list[tuple[Path, int]] = []
        for path in files:
            with safe_open(path, "numpy") as file:
                length = file.get_slice("aus").get_shape()[0]
            if length >= recipe.frames:
                self.clips.append((path, length))
        if not self.clips:
            raise UserError(f"none of the {len(files)} clips to train on has {recipe.frames} frames")

    def draw(self, rng: np.random.Generator, count: int) -> dict[str, Tensor]:
        """`count` windows of clips at random.

        Returns:
            latent_mean, latent_std (B, F, 4, h, w); reference_mean, reference_std (B, 1 + P, 4, h, w), the reference
            first, then past frames, oldest first; speech (B, F, 5, blocks, channels); face (B, C); face_box, lip_box
            (B, 4); emotion (B,), the most frequent class; aus (B, n + F + n, 24). All float32 but emotion, int64.
        """
        samples = [self._window(rng, *self.clips[rng.integers(len(self.clips))]) for _ in range(count)]
        return {name: torch.from_numpy(np.stack([sample[name] for sample in samples])) for name in samples[0]}

    def _window(self, rng: np.random.Generator, path: Path, length: int) -> dict[str, np.ndarray]:
        recipe, past = self.recipe, self.recipe.past_frames
        shares = (recipe.first_window, recipe.drop_past_context, recipe.drop_audio_context)
        first, no_past, no_heard = rng.random(3) < shares
        earliest = min(past, length - recipe.frames)
        start = 0 if first else int(rng.integers(earliest, length - recipe.frames + 1))
        margin = max(past, self.au_context, WINDOW_MARGIN)
        low, high = max(0, start - margin), min(length, start + recipe.frames + margin)
        around = load_features(path, self.encoders, slice(low, high))
        chosen = 0 if first else int(rng.integers(length))
        reference = load_features(path, self.encoders, slice(chosen, chosen + 1))

        def rows(name: str, wanted: np.ndarray) -> np.ndarray:
            """Frames of the clip, the outermost repeated beyond its ends."""
            return around[name][wanted.clip(0, length - 1) - low]

        shown = np.arange(start, start + recipe.frames)
        before = np.full(past, start) if no_past else np.arange(start - past, start)
        heard = shown[:, None] + np.arange(-WINDOW_MARGIN, WINDOW_MARGIN + 1)
        found = {"speech": rows("speech", heard.clip(start) if no_heard else heard)}
        for kind in ("mean", "std"):
            name = f"latent_{kind}"
            found[name] = rows(name, shown)
            found[f"reference_{kind}"] = np.concatenate([reference[name], rows(name, before)])
        found |= {name: around[name] for name in ("face", "face_box", "lip_box")}
        seen = np.arange(start - self.au_context, start + recipe.frames + self.au_context)
        track = self.track(rng, path)
        found["aus"] = rows("aus", seen) if track is None else track[seen.clip(0, length - 1)]
        found = {name: values.astype(np.float32) for name, values in found.items()}
        return found | {"emotion": np.bincount(rows("emotion", shown)).argmax()}

    def track(self, rng: np.random.Generator, path: Path) -> np.ndarray | None:
        """AUs (T, 24) of a whole clip where they are not those of its file."""
        return None
