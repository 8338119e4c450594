"""Sliding windows over latent time: video of any length from a network that sees a fixed number of latent frames.

Every denoising step evaluates each window. Where windows overlap, their velocities are mixed by weights that ramp from the
earlier to the later one. An Euler step is affine in the velocity and all windows start from the same latents, so this is
StableAvatar's mixing of stepped latents. To the network the first latent frame of any window shows the reference picture;
its weight is 0 in every window but the first.

Differences from StableAvatar's code: the last window is moved back until it is full (there it is shorter, padded with zeros
that take part in attention, and its speech is stretched over a full window); a video shorter than a window is one window
of its own length; windows are mixed in the first step too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from methods.talking_dit.alignment import FRAMES_PER_LATENT, video_frames

Blend = Literal["linear", "log"]


@dataclass(frozen=True)
class Window:
    """W latent frames of a video."""

    start: int
    """First latent frame."""
    weights: np.ndarray
    """float32 (W,) in [0, 1]: share of this window in each of its latent frames; over all windows they sum to 1."""

    @property
    def latents(self) -> slice:
        """Its latent frames."""
        return slice(self.start, self.start + len(self.weights))

    @property
    def frames(self) -> slice:
        """Frames its conditions are taken from, 4 W - 3 of them: frame n of the window is frame 4 start + n."""
        first = FRAMES_PER_LATENT * self.start
        return slice(first, first + video_frames(len(self.weights)))


def windows(latents: int, length: int, overlap: int, blend: Blend = "linear") -> list[Window]:
    """Full windows that cover a video, the last one shifted back to its end.

    Args:
        latents: L, latent frames of the video.
        length: W, latent frames of a window; a shorter video is one window.
        overlap: latent frames that neighbours share at the least, 1 <= overlap < length.
        blend: course of the ramp from 0 to 1 over the shared latent frames.
    """
    if latents <= length:
        return [Window(0, np.ones(latents, np.float32))]
    starts = [*range(0, latents - length, length - overlap), latents - length]
    shares = np.zeros((len(starts), latents))
    end = 0
    for number, start in enumerate(starts):
        arriving = np.ones(length)
        arriving[: end - start] = _ramp(end - start, blend) if number else 1
        shares[:, start : start + length] *= 1 - arriving
        shares[number, start : start + length] = arriving
        end = start + length
    return [
        Window(start, share[start : start + length].astype(np.float32))
        for start, share in zip(starts, shares, strict=True)
    ]


def _ramp(count: int, blend: Blend) -> np.ndarray:
    """From 0 at the first shared latent frame to 1 at the last."""
    linear = np.linspace(0, 1, count)
    return linear if blend == "linear" else np.log1p(linear * (np.e - 1))
