"""Place: where the parts of an official system lie on this machine, and what of them is missing.

Below AU_BENCH_CACHE/baselines/NAME: `repository`, a clone at the system's commit with the checkpoints where its instructions
put them; `environment`, its Python environment; `downloads`, what its libraries keep. Each may be a symbolic link.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from bench.media.cache import cache_dir
from bench.media.environment import python_of
from bench.media.lfs import is_lfs_pointer
from methods.baselines.system import Checkpoints, System

SHOWN = 3
"""Absent checkpoints that a message names."""


class Place:
    """Where a system's parts are, or would be."""

    def __init__(self, name: str, system: System):
        self.name = name
        self.system = system
        self.folder = cache_dir().absolute() / "baselines" / name
        self.repository = self.folder / "repository"
        self.environment = self.folder / "environment"
        self.downloads = self.folder / "downloads"
        self.unfinished = self.folder / "environment.unfinished"
        """There while the environment is being made."""

    @property
    def python(self) -> Path:
        """The environment's Python."""
        return python_of(self.environment)

    @property
    def search_path(self) -> str:
        """PATH of its programs: the environment's own first."""
        return os.pathsep.join([str(self.python.parent), os.environ.get("PATH", os.defpath)])

    def checkpoints(self) -> dict[str, Path]:
        """Path in the repository -> where it lies, for every checkpoint that is here."""
        found = (path for pattern, _, _ in self.system.files() for path in sorted(self.repository.glob(pattern)))
        return {path.relative_to(self.repository).as_posix(): path for path in found if path.is_file()}

    def absent(self) -> list[tuple[str, Checkpoints, str]]:
        """The entries of `System.files` that are not here, are a Git LFS pointer, or have another size than published."""
        return [entry for entry in self.system.files() if not self._is_here(*entry)]

    def missing(self, commit: str) -> str | None:
        """What is not here of the system at this commit, and how to get it; None if it is ready."""
        lacking = [self.repository_problem(commit), self.environment_problem()]
        by_command = any(lacking)
        absent = self.absent()
        by_hand = [entry for entry in absent if entry[1].page]
        if absent:
            names = ", ".join(path for path, _, _ in absent[:SHOWN]) + (", ..." if len(absent) > SHOWN else "")
            lacking.append(f"{len(absent)} of {len(list(self.system.files()))} checkpoints ({names})")
        programs = [program for program in self.system.environment.programs if not self._finds(program)]
        lacking += [f"the program {program}" for program in programs]
        how = [f"python -m bench fetch {self.name}"] if by_command or len(absent) > len(by_hand) else []
        how += [f"download {path} by hand from {group.page} to {self.repository / path}" for path, group, _ in by_hand]
        how += [f"install {program}" for program in programs]
        needs = [problem for problem in lacking if problem]
        return f"needs {', '.join(needs)}: {'; '.join(how)}" if needs else None

    def repository_problem(self, commit: str) -> str | None:
        """What is wrong with the clone; None if it is at the commit, unchanged."""
        if not (self.repository / ".git").exists():
            return f"its repository ({self.system.repository} at {commit[:10]})"
        if shutil.which("git") is None:
            return "the program git on PATH, to tell at which commit its repository is"
        head = self.git("rev-parse", "HEAD").stdout.strip()
        if head != commit:
            return f"its repository at {commit[:10]} (it is at {head[:10]}; --set commit={head} runs that one)"
        if self.git("diff", "--quiet", "HEAD").returncode:
            return "its repository unchanged (commit what was changed in it, and name that commit: --set commit=...)"
        return None

    def environment_problem(self) -> str | None:
        """What is wrong with the environment; None if it can be started."""
        if self.unfinished.exists():
            return f"its environment (Python {self.system.environment.python}; one was begun and not finished)"
        return None if self.python.exists() else f"its environment (Python {self.system.environment.python})"

    def git(self, *arguments: str) -> subprocess.CompletedProcess:
        """git in the repository, its answer captured. Whoever owns the folder: it may be a shared one."""
        command = ["git", "-c", "safe.directory=*", "-c", "core.fileMode=false", "-C", str(self.repository), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def _is_here(self, pattern: str, group: Checkpoints, file: str) -> bool:
        found = [path for path in self.repository.glob(pattern) if path.is_file()]
        published = group.size.get(file)
        whole = all(published in (None, path.stat().st_size) for path in found)
        return bool(found) and whole and not any(map(is_lfs_pointer, found))

    def _finds(self, program: str) -> bool:
        return shutil.which(program, path=self.search_path) is not None
