"""Programs outside this suite: an argument list, no shell, a time limit, one log file, and nothing left running.

A program leads a process group of its own. The group is killed when the program has ended, ran out of time, or the person
stops the run, so that neither it nor a helper it started outlives the call.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.media.errors import BenchError

TAIL_BYTES = 64 << 10
"""How much of a log's end is read for a message: a log may be as long as the disk."""
LINE_CHARACTERS = 400


class ProgramFailed(BenchError):
    """An outside program does not start, failed, or ran out of time; the message says which, without its log."""


def run_program(
    command: Sequence[str],
    log: Path,
    timeout: float | None = None,
    *,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> None:
    """Run a program to its end.

    Args:
        command: program and arguments.
        log: file that gets everything it prints; written anew.
        timeout: seconds after which it is killed; None waits.
        folder: its working folder; None is this process's.
        environment: its environment variables, all of them; None is this process's.

    Raises:
        ProgramFailed: it cannot be started, ended with another status than 0, or ran out of time.
    """
    name = Path(command[0]).name
    with open(log, "wb") as file:
        try:
            process = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env=environment,
                start_new_session=True,
            )
        except OSError as error:
            raise ProgramFailed(f"{command[0]} does not start ({error.strerror})") from error
    try:
        status = process.wait(timeout)
    except subprocess.TimeoutExpired as error:
        raise ProgramFailed(f"{name} did not end within {timeout:.0f} s") from error
    finally:
        _kill_group(process)
    if status < 0:
        raise ProgramFailed(f"{name} was killed by signal {-status}, often for lack of memory")
    if status:
        raise ProgramFailed(f"{name} ended with status {status}")


def log_tail(log: Path, lines: int) -> list[str]:
    """The last lines of a log that hold anything, each at most 400 characters; a progress bar counts as its last state."""
    with open(log, "rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - TAIL_BYTES))
        text = file.read().decode(errors="replace")
    shown = [line.rstrip().rpartition("\r")[2] for line in text.split("\n")]
    return [line[-LINE_CHARACTERS:] for line in shown if line.strip()][-lines:]


def _kill_group(process: subprocess.Popen) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):  # Nobody is left; macOS says so by the second.
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    process.wait()
