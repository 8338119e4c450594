"""Setting up an official system on this machine: its repository at its commit, its environment, its checkpoints.

Every step that is done is left alone, so an interrupted set-up goes on where it stopped, and a part that a person linked to
one of their own stays as it is.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from bench.media.environment import find_python
from bench.media.errors import MissingPrerequisite, UserError
from bench.media.program import ProgramFailed, log_tail, run_program
from bench.weights import WeightFile, Weights, is_offline
from methods.baselines.place import Place
from methods.baselines.system import Checkpoints, read_system

LOG_LINES = 15


def install(name: str, weights: Weights, say: Callable[[str], None]) -> Path:
    """Get what can be got by a program of an official system.

    Args:
        name: of `methods.baselines.system.SYSTEMS`.
        weights: downloads and hashes files.
        say: told about each step before it is taken.

    Returns:
        The folder that holds its parts.

    Raises:
        MissingPrerequisite: a step failed, or something is left that only a person can get; the message says what to do.
        UserError: a file has not the published bytes.
    """
    place = Place(name, read_system(name))
    place.folder.mkdir(parents=True, exist_ok=True)
    if place.repository_problem(place.system.commit):
        _clone(place, say)
    if place.environment_problem():
        _make_environment(place, say)
    for path, group, file in place.absent():
        if group.page is None:
            _fetch(place, path, group, file, weights, say)
    _check_digests(place, weights)
    if message := place.missing(place.system.commit):
        raise MissingPrerequisite(f"{name} {message}")
    return place.folder


def _clone(place: Place, say: Callable[[str], None]) -> None:
    """The one commit, without its history. Large files of Git LFS are left out: no system needs one."""
    system, repository = place.system, place.repository
    say(f"{place.name}: {system.repository} at {system.commit[:10]}, {system.licence}")
    if (repository / ".git").exists() and place.git("diff", "--quiet", "HEAD").returncode:
        raise UserError(f"{repository}: has local changes, and another commit is asked for; commit or discard them")
    repository.mkdir(exist_ok=True)
    git = ["git", "-C", str(repository), "-c", "advice.detachedHead=false"]
    _step(place, "make its repository", [*git, "init", "--quiet"])
    _step(place, "fetch its repository", [*git, "fetch", "--depth", "1", system.repository, system.commit])
    _step(place, "check out its commit", [*git, "checkout", "--quiet", system.commit])


def _make_environment(place: Place, say: Callable[[str], None]) -> None:
    """A virtual environment with the recipe's packages; made anew if one was begun and not finished."""
    recipe = place.system.environment
    say(f"{place.name}: an environment with Python {recipe.python} in {place.environment} (several GB)")
    if place.unfinished.exists():
        shutil.rmtree(place.environment, ignore_errors=True)
    python, uv = find_python([_version(recipe.python)]), shutil.which("uv")
    if python:
        command = [str(python), "-m", "venv", str(place.environment)]
    elif uv:
        command = [uv, "venv", "--seed", "--python", recipe.python, str(place.environment)]
    else:
        raise MissingPrerequisite(
            f"{place.name} needs Python {recipe.python}, and none is on PATH: install it, or uv, which brings it (pip install "
            f"uv); then run: python -m bench fetch {place.name}"
        )
    place.unfinished.touch()
    _step(place, "make a virtual environment", command)
    for arguments in recipe.install:
        say(f"{place.name}: pip install {' '.join(arguments)}")
        pip = [str(place.python), "-m", "pip", "install", "--no-input", "--disable-pip-version-check"]
        _step(place, f"install {arguments[0]} and what follows it", [*pip, *arguments])
    place.unfinished.unlink()


def _fetch(
    place: Place, path: str, group: Checkpoints, file: str, weights: Weights, say: Callable[[str], None]
) -> None:
    say(f"{place.name}: {path} from {group.source}, {group.licence}")
    if group.url:
        address = group.url + file if group.url.endswith("/") else group.url
        digest = group.sha256.get(file, "")
        entry = WeightFile(
            name=f"{place.name}: {path}", file=Path(path).name, url=address, licence=group.licence, what="checkpoint",
            sha256=digest if len(digest) == 64 else None, sha256_prefix=digest or None, size=group.size.get(file),
        )  # fmt: skip
        weights.obtain(entry, place.repository / path, lambda done, total: None)
        return
    if is_offline():
        raise UserError(f"{place.name}: {path} is not here, and --offline (or HF_HUB_OFFLINE) forbids the download")
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise MissingPrerequisite(
            f"{place.name}: downloading {path} needs huggingface_hub: pip install huggingface_hub"
        ) from error
    try:
        snapshot_download(
            group.hub, revision=group.revision, allow_patterns=[file], local_dir=place.repository / group.into
        )
    except (OSError, ValueError) as error:  # What huggingface_hub raises for no network, no access, no such file.
        raise MissingPrerequisite(
            f"{place.name}: {path} cannot be downloaded from {group.source} ({error}). Where its page asks for an account, "
            f"accept its terms there and run `hf auth login`; then run: python -m bench fetch {place.name}"
        ) from error


def _check_digests(place: Place, weights: Weights) -> None:
    """Every checkpoint whose digest is published, wherever it came from."""
    for path, group, file in place.system.files():
        published, target = group.sha256.get(file), place.repository / path
        if published and target.is_file() and not weights.hashes.sha256(target).startswith(published):
            raise UserError(
                f"{target}: has sha256 {weights.hashes.sha256(target)}, published is {published}; delete it and run "
                f"python -m bench fetch {place.name} again"
            )


def _step(place: Place, what: str, command: list[str]) -> None:
    log = place.folder / "setup.log"
    try:
        run_program(command, log, folder=place.repository, environment=os.environ | {"GIT_LFS_SKIP_SMUDGE": "1"})
    except ProgramFailed as error:
        tail = "\n".join(f"    {line}" for line in log_tail(log, LOG_LINES))
        raise MissingPrerequisite(f"{place.name}: could not {what}: {error}; the end of {log}:\n{tail}") from error


def _version(text: str) -> tuple[int, int]:
    major, minor = text.split(".")
    return int(major), int(minor)
