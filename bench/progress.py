"""Progress of long work on stderr: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol as Interface


class Progress(Interface):
    """Where work reports to."""

    def say(self, message: str) -> None: ...
    def start(self, total: int, what: str) -> None: ...
    def step(self, note: str = "") -> None: ...
    def stop(self) -> None: ...


def make_progress() -> Progress:
    """A bar if stderr is a terminal, else plain lines."""
    return _Bar() if sys.stderr.isatty() else _Lines()


@contextmanager
def counted(progress: Progress, what: str) -> Iterator[Callable[[int], None]]:
    """A function to call with the total for every thing done: the first call starts the bar, the block's end stops it."""
    begun = False

    def step(total: int) -> None:
        nonlocal begun
        if not begun:
            progress.start(total, what)
            begun = True
        progress.step()

    try:
        yield step
    finally:
        if begun:
            progress.stop()


class _Lines:
    """One line per step, at most one every two seconds, and always the last."""

    def say(self, message: str) -> None:
        print(message, file=sys.stderr, flush=True)

    def start(self, total: int, what: str) -> None:
        self._total, self._what, self._done = total, what, 0
        self._began = self._last = time.monotonic()

    def step(self, note: str = "") -> None:
        self._done += 1
        now = time.monotonic()
        if now - self._last >= 2 or self._done == self._total:
            self._last = now
            left = (now - self._began) / self._done * (self._total - self._done)
            self.say(f"{self._what} {self._done}/{self._total} {note} ({duration(left)} left)")

    def stop(self) -> None:
        pass


class _Bar:
    def __init__(self) -> None:
        from rich.console import Console

        self._console = Console(stderr=True)
        self._bar = None

    def say(self, message: str) -> None:
        self._console.print(message, markup=False, highlight=False)

    def start(self, total: int, what: str) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._bar = Progress(*columns, TextColumn("{task.fields[note]}", markup=False), console=self._console)
        self._bar.start()
        self._task = self._bar.add_task(what, total=total, note="")

    def step(self, note: str = "") -> None:
        self._bar.update(self._task, advance=1, note=note)

    def stop(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def duration(seconds: float) -> str:
    """Seconds as a person says them: 40 s, 12 min, 3.5 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
