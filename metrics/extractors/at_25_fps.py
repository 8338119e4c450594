"""The frames of a clip as SyncNet needs them: 25 per second, by nearest timestamp, whatever the rate of the clip."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from bench.media.clip import Clip
from metrics.functional.sync import FPS


def source_frames(num_frames: int, fps: float) -> np.ndarray:
    """int64 (T,): source frame shown at k / 25 s, the earlier of two equally near ones, as `Clip` picks its frames."""
    rate = Fraction(fps).limit_denominator(1001)
    count = max(1, round(num_frames * FPS / rate))
    # k rate / 25 rounded half down, in whole numbers: ceil(k a / (25 b) - 1/2) with rate = a / b.
    a, b = rate.numerator, FPS * rate.denominator
    nearest = -((b - 2 * np.arange(count) * a) // (2 * b))
    return np.minimum(nearest, num_frames - 1)


class At25Fps:
    """Turns the chunks of one clip into chunks at 25 fps."""

    def __init__(self, clip: Clip):
        self._source = source_frames(clip.num_frames, clip.fps)
        self._seen = 0
        self._given = 0

    @property
    def num_frames(self) -> int:
        """T: frames the clip has at 25 fps."""
        return len(self._source)

    def __call__(self, frames: np.ndarray) -> np.ndarray:
        """The next frames, uint8 (t, H, W, 3), at 25 fps; a view where nothing is left out or repeated."""
        end = int(np.searchsorted(self._source, self._seen + len(frames)))
        chosen = self._source[self._given : end] - self._seen
        self._seen += len(frames)
        self._given = end
        if np.array_equal(chosen, np.arange(len(frames))):
            return frames
        return frames[chosen]
