"""Speed profiles and offloading of the video transformer.

| profile | what changes | result |
|---|---|---|
| `exact` | nothing | the same bits every time on one machine |
| `compiled` | torch.compile of the repeated block | rounding |
| `cached` | blocks are skipped where little has changed since the last step (First-Block Cache, MagCache) | close |
| `guidance_interval` | guidance at some noise levels only (Kynkaanniemi et al., 2024) | another, close guidance |

Caches keep the last step's residuals for every guidance branch of every window, and nothing from one video to the next.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from diffusers import FirstBlockCacheConfig, MagCacheConfig
from torch import Tensor

from bench.media.errors import UserError
from methods.stableavatar.config import VideoConfig
from methods.stableavatar.guidance import COND
from methods.stableavatar.mag_ratios import read_ratios
from methods.stableavatar.windows import Window
from methods.talking_dit.conditions import Conditions
from methods.talking_dit.transformer import TalkingDiT


class Evaluator:
    """Evaluates the transformer for guidance.

    Args:
        transformer: in eval mode and in the type to compute in; it is made ready for the profile.
        config: profile, order of evaluations, offloading.
        device: to compute on.

    Raises:
        UserError: offloading without an accelerator, or the file of MagCache's ratios cannot be used.
    """

    def __init__(self, transformer: TalkingDiT, config: VideoConfig, device: torch.device):
        self.transformer, self.config, self.device = transformer, config, device
        self.cached = config.profile == "cached"
        self.one_by_one = self.cached or config.evaluations == "single"
        if config.offload != "none" and device.type == "cpu":
            raise UserError(f"offload={config.offload}: moves networks off an accelerator, and there is none")
        if config.offload == "group":
            # Prefetching on a stream follows the order of the first pass, which a cache that skips blocks does not keep.
            transformer.enable_group_offload(device, offload_type="leaf_level", use_stream=not self.cached)
        elif config.offload == "none":
            transformer.to(device)
        if config.profile == "compiled":
            transformer.compile_repeated_blocks(fullgraph=True)
        if self.cached:
            transformer.enable_cache(cache_config(config))

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """The transformer on the device, without what it remembers of another video."""
        if self.cached:
            self.transformer._reset_stateful_cache()
        if self.config.offload == "model":
            self.transformer.to(self.device)
        try:
            yield
        finally:
            if self.config.offload == "model":
                self.transformer.to("cpu")

    def guides(self, time: Tensor) -> bool:
        """Whether guidance acts at this time step, in [0, 1000]."""
        if self.config.profile != "guidance_interval":
            return True
        low, high = self.config.guidance_interval
        return low <= time / 1000 <= high

    def __call__(
        self, latents: Tensor, time: Tensor, window: Window, conditions: Conditions, rows: Sequence[int] = (0, 1, COND)
    ) -> tuple[Tensor, ...]:
        """Velocities that the transformer predicts under rows of the conditions.

        Args:
            latents: float32 (1, c, L, h, w) of the video.
            time: scalar time step.
            window: the part of the video to predict; what is cached is kept apart by it.
            conditions: of the window, three rows.
            rows: of the conditions.

        Returns:
            float32 (1, c, W, h, w) for each row.
        """
        latents = latents[:, :, window.latents]
        if not self.one_by_one:
            return self.transformer(latents.expand(len(rows), -1, -1, -1, -1), time, conditions[list(rows)]).split(1)
        predicted = []
        for row in rows:
            with self.transformer.cache_context(f"row {row} of the window at {window.start}"):
                predicted.append(self.transformer(latents, time, conditions[[row]]))
        return tuple(predicted)


def cache_config(config: VideoConfig) -> FirstBlockCacheConfig | MagCacheConfig:
    """diffusers' settings of the cache that the profile names."""
    if config.cache == "first_block":
        return FirstBlockCacheConfig(threshold=config.cache_threshold)
    return MagCacheConfig(
        threshold=config.cache_threshold, num_inference_steps=config.steps, mag_ratios=read_ratios(config.mag_ratios)
    )
