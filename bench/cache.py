"""The hashes of files, remembered in the cache folder."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from bench.media.cache import cache_dir as cache_dir
from bench.media.clip import hash_file
from bench.media.errors import MediaError, UserError


class FileHashes:
    """sha256 of files, remembered by path, size and modification time, so that an unchanged file is read once only."""

    def __init__(self, folder: Path):
        self._seen: dict[tuple[str, int, int], str] = {}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._database = folder / "hashes.sqlite"
            with closing(self._connect()) as connection:
                connection.execute(
                    "CREATE TABLE IF NOT EXISTS hashes (path TEXT PRIMARY KEY, size INTEGER, mtime_ns INTEGER, sha256 TEXT)"
                )
                connection.commit()
        except (OSError, sqlite3.OperationalError) as error:
            raise UserError(
                f"cache folder {folder} cannot be written ({error}); set AU_BENCH_CACHE to one that can"
            ) from error

    def sha256(self, path: Path) -> str:
        """Hex digest of the file's bytes.

        Raises:
            MediaError: the file is not there.
        """
        try:
            stat = path.stat()
        except OSError as error:
            raise MediaError(f"{path}: {error.strerror}") from error
        name = str(path.resolve())
        seen = (name, stat.st_size, stat.st_mtime_ns)
        if seen in self._seen:
            return self._seen[seen]
        self._seen[seen] = self._remembered(path, *seen)
        return self._seen[seen]

    def _remembered(self, path: Path, name: str, size: int, mtime_ns: int) -> str:
        with closing(self._connect()) as connection:
            row = connection.execute("SELECT size, mtime_ns, sha256 FROM hashes WHERE path = ?", (name,)).fetchone()
            if row and row[:2] == (size, mtime_ns):
                return row[2]
            digest = hash_file(path)
            connection.execute("INSERT OR REPLACE INTO hashes VALUES (?, ?, ?, ?)", (name, size, mtime_ns, digest))
            connection.commit()
        return digest

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._database, timeout=60)
        connection.execute("PRAGMA synchronous = OFF")  # What a crash loses is computed again.
        return connection
