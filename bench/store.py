"""The run folder: run.json, cases.jsonl, summary.json, videos/. Append-only or atomic, so a kill loses nothing.

cases.jsonl is keyed by case id; a later line for the same case adds to the earlier one. Shards on several machines write
cases.1-of-2.jsonl and so on into the same folder; every reader merges whatever is there.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.media.errors import UserError

if TYPE_CHECKING:
    import pandas

Record = dict[str, Any]
"""One case of one run: {"case", "identity", "emotion", "level", "status": "ok" | "failed", "reason", "notes", "frames", "height",
"width", "seconds", "seconds_by_part": {part: seconds}, "video_sha256", "target_sha256", "metrics": {key: {"version",
"value"?, "statistics"?, "rows"?, "failed"?, "missing"?}}}."""


class RunStore:
    """A run folder."""

    def __init__(self, folder: Path, shard: tuple[int, int] | None = None):
        self.folder = folder
        self._log = folder / ("cases.jsonl" if shard is None else f"cases.{shard[0]}-of-{shard[1]}.jsonl")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            probe = folder / f".writable.{os.getpid()}"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise UserError(f"--out {folder}: cannot be written ({error.strerror}); choose another folder") from error

    @property
    def errors(self) -> Path:
        """Tracebacks of crashes, for bug reports."""
        return self.folder / "errors.log"

    def video(self, case: str) -> Path:
        """Where the case's scored video is stored."""
        return self.folder / "videos" / f"{case}.mkv"

    def answer(self, case: str) -> Path:
        """Where the case's AU track is stored, for a method that makes `aus`."""
        return self.folder / "aus" / f"{case}.json"

    def viewer_copy(self, case: str) -> Path:
        """Where the case's small copy for people is stored."""
        return self.folder / "viewer" / f"{case}.mp4"

    def records(self) -> dict[str, Record]:
        """Case id -> record, merged over all lines and shards."""
        return read_records(self.folder)

    def append(self, record: Record) -> None:
        """Add one line, whole and on disk when this returns. A line torn by a kill is cut off first."""
        line = json.dumps(record, ensure_ascii=False, sort_keys=True) + "\n"
        try:
            with open(self._log, "ab+") as file:
                _cut_torn_line(file)
                file.write(line.encode())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise UserError(f"{self._log}: {error.strerror}; free the disk and run the same command again") from error

    def read_json(self, name: str) -> dict | None:
        path = self.folder / name
        return json.loads(path.read_text("utf-8")) if path.exists() else None

    def write_json(self, name: str, content: dict) -> None:
        """Write atomically, with stable bytes: equal content gives an equal file."""
        write_atomically(self.folder / name, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def write_atomically(path: Path, text: str) -> None:
    """Replace a file's content: temporary file, fsync, rename."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; free the disk and run the same command again") from error
    finally:
        temporary.unlink(missing_ok=True)


def read_records(folder: Path) -> dict[str, Record]:
    """Case id -> record of a run folder, merged over all cases*.jsonl; a torn last line is left out."""
    records: dict[str, Record] = {}
    for path in sorted(folder.glob("cases*.jsonl")):
        for line in _whole_lines(path):
            record = json.loads(line)
            known = records.get(record["case"])
            if known and known["status"] == "ok" and record["status"] == "ok":
                record["metrics"] = known["metrics"] | record["metrics"]
                record["notes"] = list(dict.fromkeys([*known["notes"], *record["notes"]]))
            records[record["case"]] = record
    return records


def load_cases(path: str | Path) -> pandas.DataFrame:
    """Per-case results as a table, for notebooks.

    Args:
        path: a run folder, or its cases.jsonl.

    Returns:
        One row per case, in order of case id: case, identity, emotion, level, status, reason, frames, seconds, and one
        column per metric with its value (NaN where it failed or where the metric has no per-case value).
    """
    import pandas as pd

    path = Path(path)
    records = read_records(path if path.is_dir() else path.parent)
    rows = []
    for _, record in sorted(records.items()):
        row = {name: record.get(name) for name in _COLUMNS}
        row |= {key: entry.get("value") for key, entry in record.get("metrics", {}).items()}
        rows.append(row)
    frame = pd.DataFrame(rows)
    metrics = [column for column in frame.columns if column not in _COLUMNS]
    return frame.astype(dict.fromkeys(metrics, "float64"))


_COLUMNS = ("case", "identity", "emotion", "level", "status", "reason", "frames", "seconds")


def _whole_lines(path: Path) -> Iterable[str]:
    with open(path, encoding="utf-8", newline="\n") as file:
        for line in file:
            if line.endswith("\n"):
                yield line


def _cut_torn_line(file) -> None:
    size = file.seek(0, os.SEEK_END)
    if size == 0:
        return
    file.seek(size - 1)
    if file.read(1) == b"\n":
        return
    position = size
    while position > 0:
        start = max(0, position - 65536)
        file.seek(start)
        newline = file.read(position - start).rfind(b"\n")
        if newline >= 0:
            file.truncate(start + newline + 1)
            return
        position = start
    file.truncate(0)
