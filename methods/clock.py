"""Clock: seconds that the parts of a method take."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

Piece = TypeVar("Piece")


class Clock:
    """Seconds by part. Work on an accelerator is waited for at both ends of a part."""

    def __init__(self, device: str = "cpu"):
        self._device = device
        self.seconds: dict[str, float] = {}
        """Part -> seconds since the last `reset`."""

    def reset(self) -> None:
        self.seconds = {}

    @contextmanager
    def __call__(self, part: str) -> Iterator[None]:
        """Count what is done inside towards a part."""
        self._wait()
        began = time.perf_counter()
        yield
        self._wait()
        self.seconds[part] = self.seconds.get(part, 0.0) + time.perf_counter() - began

    def each(self, part: str, pieces: Iterable[Piece]) -> Iterator[Piece]:
        """The pieces; making them counts towards a part, what is done with them between does not."""
        pieces = iter(pieces)
        while True:
            with self(part):
                piece = next(pieces, None)
            if piece is None:
                return
            yield piece

    def _wait(self) -> None:
        if self._device.startswith("cuda"):
            import torch

            torch.cuda.synchronize(self._device)
