"""The cache folder: weights, features, file hashes, environments. Everything in it can be deleted and is made again."""

from __future__ import annotations

import os
from pathlib import Path


def cache_dir() -> Path:
    """`AU_BENCH_CACHE`, or au-talking-head-bench below the user's cache folder."""
    if folder := os.environ.get("AU_BENCH_CACHE"):
        return Path(folder).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "au-talking-head-bench"
