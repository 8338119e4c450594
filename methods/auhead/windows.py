"""Windows to train the AU adapter on: the AUs of some of them as slow as those that stage 1 writes.

In Eq. 4 au_t is "the upsampled AU representation": stage 1 answers five times a second, and what lies between is interpolated.
An adapter that has only ever seen the AUs of every frame takes the mouth's from them, and slow ones then speak over the audio:
on 12 cases of synth_std (small MEMO, s_H 2, s_AU 3.5) AUs of stage 1 took LSE-C from the base's 0.25 to 0.09, and the AUs of
every frame of the driving video to 0.30.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from safetensors import safe_open

from methods.auhead.stage1.text import downsampled, upsampled
from methods.conditioning.encoders import Encoders
from methods.training.recipes import AUHeadHalloRecipe, AUHeadMemoRecipe
from methods.training.windows import Windows


class AUWindows(Windows):
    """Windows, as its base class draws them, with a share `slow_aus` of slow AUs.

    Args:
        files, encoders, au_context: as of `Windows`.
        recipe: with `slow_aus`.
        fps: of the clips.
    """

    recipe: AUHeadMemoRecipe | AUHeadHalloRecipe

    def __init__(
        self,
        files: Sequence[Path],
        encoders: type[Encoders],
        recipe: AUHeadMemoRecipe | AUHeadHalloRecipe,
        au_context: int,
        fps: float,
    ):
        super().__init__(files, encoders, recipe, au_context)
        self.fps = fps

    def track(self, rng: np.random.Generator, path: Path) -> np.ndarray | None:
        if rng.random() >= self.recipe.slow_aus:
            return None
        with safe_open(path, "numpy") as file:
            aus = file.get_tensor("aus")
        return upsampled(downsampled(aus, self.fps), len(aus), self.fps)
