"""Weights: every file the suite may need, pinned by sha256 in weights.toml, fetched on request and never silently.

A file counts as present when its bytes have the pinned digest, wherever it lies: the cache folder, or the `models`
folder of the test assets (`AU_BENCH_ASSETS`, or shared/assets beside the checkout). Files that this suite's own commands
trained come with it and are taken as they are.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tomllib
import zipfile
from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from bench.cache import FileHashes, cache_dir
from bench.media.errors import MissingPrerequisite, UserError
from bench.media.lfs import is_lfs_pointer

LOCK = Path(__file__).with_name("weights.toml")
SHIPPED_ROOT = Path(__file__).parents[1]
"""Folder that holds the four packages."""


class WeightFile(BaseModel):
    """One file of the lock."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """Name under which extractors and methods ask for it."""
    file: str
    """File name in the cache."""
    sha256: str | None = None
    """Digest of the whole file; None only where nobody has published one (see `pin`)."""
    sha256_prefix: str | None = None
    """First hex digits of the digest, where only they are public (they are part of torch.hub's file names)."""
    git_blob: str | None = None
    """git's sha1 of the file (of "blob <size>\\0" + bytes), where a repository that holds it is the only public pin."""
    size: int | None = None
    """Bytes."""
    licence: str
    """Licence, with its restriction to research where there is one."""
    what: str
    """What it is and what uses it."""
    url: str | None = None
    """Where it is downloaded from; None where a form must be signed or the file must be converted (see `how`)."""
    member: str | None = None
    """Path inside the zip archive at `url`."""
    how: str | None = None
    """How a person gets it where there is no plain download."""
    shipped: str | None = None
    """Path inside this repository, for a file that its own commands trained and that comes with it."""

    @property
    def pin(self) -> Literal["shipped", "sha256", "sha256_prefix", "git_blob", "first use"]:
        """Which pin guards it. `shipped`: version control. `first use`: nobody has published a digest, so the first
        download's is recorded."""
        if self.shipped:
            return "shipped"
        for kind in ("sha256", "sha256_prefix", "git_blob"):
            if getattr(self, kind):
                return kind
        return "first use"


NAMED = 3
"""Files that a message describes one by one; of more it says how many."""


class Weights:
    """The lock and where its files are on this machine."""

    def __init__(self, cache: Path | None = None, lock: Path = LOCK):
        self.cache = cache or cache_dir()
        self.folder = self.cache / "weights"
        self._lock = lock

    @cached_property
    def files(self) -> dict[str, WeightFile]:
        entries = tomllib.loads(self._lock.read_text("utf-8"))["file"]
        return {entry["name"]: WeightFile(**entry) for entry in entries}

    @cached_property
    def hashes(self) -> FileHashes:
        return FileHashes(self.cache)

    def path(self, name: str) -> Path | None:
        """Where the file lies on this machine with the pinned bytes; None if it is not here."""
        entry = self.files[name]
        if entry.shipped:
            return path if (path := SHIPPED_ROOT / entry.shipped).is_file() else None
        for candidate in (self.folder / entry.file, *_asset_files(entry.size)):
            if candidate.is_file() and self._matches(entry, candidate):
                return candidate
        return None

    def require(self, names: Iterable[str]) -> dict[str, Path]:
        """Path of every name.

        Raises:
            MissingPrerequisite: some are absent; the message names them and the command that gets them.
        """
        paths = {name: self.path(name) for name in names}
        if message := self.missing(name for name, path in paths.items() if path is None):
            raise MissingPrerequisite(message)
        return {name: path for name, path in paths.items() if path}

    def missing(self, names: Iterable[str]) -> str | None:
        """What to do about the absent ones among `names`; None if all are here."""
        absent = [self.files[name] for name in names if self.path(name) is None]
        if not absent:
            return None
        if len(absent) <= NAMED:
            described = "; ".join(describe(entry) for entry in absent)
        else:
            described = f"{len(absent)} files ({absent[0].file}, ...; bench fetch --list has sizes and licences)"
        manual = [entry for entry in absent if entry.url is None and not entry.shipped]
        commands = []
        if fetchable := [entry.name for entry in absent if entry.url]:
            commands.append(f"python -m bench fetch {' '.join(fetchable)}")
        commands += [str(entry.how) for entry in absent if entry.shipped]
        commands += [f"{entry.how} then python -m bench fetch {entry.name} --from FILE" for entry in manual]
        return f"needs {described}: {'; '.join(commands)}"

    def fetch(self, name: str, progress: Callable[[int, int | None], None] = lambda done, total: None) -> Path:
        """Download a file, check it, and put it in place; at once if it is already here.

        Args:
            name: name in the lock.
            progress: called with (bytes done, bytes in all or None).

        Raises:
            UserError: no network, a wrong digest, no room; what was downloaded is deleted.
        """
        entry = self.files[name]
        if path := self.path(name):
            return path
        if entry.url is None:
            raise UserError(
                f"{name}: cannot be downloaded by a program. {entry.how} Then: bench fetch {name} --from FILE"
            )
        return self.obtain(entry, self.folder / entry.file, progress)

    def obtain(self, entry: WeightFile, final: Path, progress: Callable[[int, int | None], None]) -> Path:
        """Download a file to `final` and check it against its pin, as `fetch` does; it need not be in the lock."""
        if is_offline():
            raise UserError(
                f"{entry.name}: not in {final.parent}, and --offline (or HF_HUB_OFFLINE) forbids the download"
            )
        part = final.with_name(f"{final.name}.{os.getpid()}.part")
        part.parent.mkdir(parents=True, exist_ok=True)
        try:
            _download(entry, part, progress)
            return self._accept(entry, part, final)
        finally:
            part.unlink(missing_ok=True)

    def adopt(self, name: str, source: Path) -> Path:
        """Copy a file the user has into the cache after checking it against its pin."""
        entry = self.files[name]
        if not source.is_file():
            raise UserError(f"{source}: no such file")
        part = self.folder / f"{entry.file}.{os.getpid()}.part"
        part.parent.mkdir(parents=True, exist_ok=True)
        try:
            shutil.copyfile(source, part)
            return self._accept(entry, part, self.folder / entry.file)
        finally:
            part.unlink(missing_ok=True)

    def _accept(self, entry: WeightFile, part: Path, final: Path) -> Path:
        if is_lfs_pointer(part):
            raise UserError(
                f"{entry.name}: that is a Git LFS pointer, not the file: its repository was cloned without git-lfs. Run "
                "`git lfs pull` in it, or download the file from its page; it was not kept"
            )
        if not self._matches(entry, part, record=final):
            raise UserError(
                f"{entry.name}: the file has sha256 {self.hashes.sha256(part)} and {part.stat().st_size} bytes, "
                f"pinned is {describe(entry)}; it was not kept. Try again; if it persists the source has changed: report it"
            )
        os.replace(part, final)
        return final

    def _matches(self, entry: WeightFile, path: Path, record: Path | None = None) -> bool:
        """The file has the pinned bytes. Where nobody published a digest, `record` is where it will lie from now on."""
        if entry.size is not None and path.stat().st_size != entry.size:
            return False
        digest = self.hashes.sha256(path)
        if entry.pin == "sha256":
            return digest == entry.sha256
        if entry.pin == "sha256_prefix":
            return digest.startswith(entry.sha256_prefix)
        if entry.pin == "git_blob":
            return _git_blob(path) == entry.git_blob
        final = record or self.folder / entry.file
        seen = final.with_name(f"{final.name}.sha256")
        if record and not seen.exists():
            seen.write_text(digest + "\n")
        return seen.exists() and seen.read_text().strip() == digest


def describe(entry: WeightFile) -> str:
    """file (pin, size, licence) in one phrase."""
    pin = {
        "sha256": f"sha256 {entry.sha256}",
        "sha256_prefix": f"sha256 {entry.sha256_prefix}...",
        "git_blob": f"git blob {entry.git_blob}",
        "shipped": "trained by this suite's own commands",
        "first use": "no published sha256",
    }[entry.pin]
    size = f"{entry.size / 1e6:.1f} MB" if entry.size else "size unknown"
    return f"{entry.file} ({size}, {pin}, {entry.licence})"


def is_offline() -> bool:
    """HF_HUB_OFFLINE or AU_BENCH_OFFLINE is set (`--offline` sets the latter)."""
    return any(
        os.environ.get(name, "0").lower() not in ("", "0", "false") for name in ("HF_HUB_OFFLINE", "AU_BENCH_OFFLINE")
    )


def _asset_files(size: int | None) -> list[Path]:
    """Files of the assets' models folder that have this many bytes, under whatever name."""
    assets = os.environ.get("AU_BENCH_ASSETS")
    folder = (Path(assets) if assets else Path(__file__).parents[2] / "shared" / "assets") / "models"
    if size is None or not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.is_file() and path.stat().st_size == size)


def _git_blob(path: Path) -> str:
    digest = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _download(entry: WeightFile, part: Path, progress: Callable[[int, int | None], None]) -> None:
    import urllib.error
    import urllib.request

    archive = part.with_suffix(".zip") if entry.member else part
    try:
        request = urllib.request.Request(entry.url, headers={"User-Agent": "au-talking-head-bench"})
        with urllib.request.urlopen(request, timeout=60) as response, open(archive, "wb") as file:
            total = int(response.headers.get("Content-Length") or 0) or None
            done = 0
            while block := response.read(1 << 20):
                file.write(block)
                done += len(block)
                progress(done, total)
        if total and done != total:
            raise UserError(f"{entry.name}: the connection ended after {done} of {total} bytes; run the command again")
        if entry.member:
            with zipfile.ZipFile(archive) as bundle, bundle.open(entry.member) as source, open(part, "wb") as target:
                shutil.copyfileobj(source, target)
    except (urllib.error.URLError, TimeoutError, OSError, KeyError, zipfile.BadZipFile) as error:
        raise UserError(
            f"{entry.name}: cannot be downloaded from {entry.url} ({error}). Get the file on another machine and run "
            f"python -m bench fetch {entry.name} --from FILE"
        ) from error
    finally:
        if entry.member:
            archive.unlink(missing_ok=True)
