"""Protocol `folder`: every video under a folder is a case of its own, so that anything on disk can be run.

Reference image: the clip's first frame. Speech and AUs: the clip's own. Target: the clip itself.
Identity: the sub-folder a clip lies in, or the clip itself when it lies at the top (each clip its own cluster).
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import ClassVar

from bench.media.clip import VIDEO_SUFFIXES
from bench.media.errors import UserError
from protocols.protocol import Case, Protocol

FOLDER_METRICS = (
    "psnr", "ssim", "lpips", "fid", "kid", "fvd", "efid", "efid@mp52", "lse_c", "lse_d", "av_offset", "m_lmd", "f_lmd",
    "au_f1", "au_mae", "au_f1@target.feafa24", "au_precision@target.feafa24", "au_recall@target.feafa24",
    "au_accuracy@target.feafa24", "au_mae@target.feafa24", "au_pcc@target.feafa24", "au_following", "reference_leak", "csim",
)  # fmt: skip
"""All but acc_emo, which needs an emotion label that files on disk do not carry."""


class Folder(Protocol):
    """A directory of clips; see the module's docstring."""

    name: ClassVar[str] = "folder"
    title: ClassVar[str] = (
        "every video under --data: first frame as reference, its own speech and AUs, itself as target"
    )

    metrics: tuple[str, ...] = FOLDER_METRICS

    def cases(self, data: Path | None) -> list[Case]:
        if data is None:
            raise UserError("protocol folder needs --data DIR, a folder with video files")
        if not data.is_dir():
            raise UserError(f"--data {data}: no such folder")
        paths = _videos(data)
        if not paths:
            raise UserError(f"--data {data}: holds no video file ({', '.join(sorted(VIDEO_SUFFIXES))})")
        return [_case(path, id, data) for id, path in sorted(_ids(paths, data).items())]


def _videos(data: Path) -> list[Path]:
    """Video files below `data`, hidden files and folders left out."""
    found = []
    for folder, folders, files in os.walk(data, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [
            Path(folder, name)
            for name in files
            if Path(name).suffix.lower() in VIDEO_SUFFIXES and not name.startswith(".")
        ]
    return found


def _ids(paths: list[Path], data: Path) -> dict[str, Path]:
    """Case id -> path: the relative path without its suffix, kept where two files differ only in it."""
    relative = [path.relative_to(data) for path in paths]
    counts = Counter(path.with_suffix("") for path in relative)
    ids = [path if counts[path.with_suffix("")] > 1 else path.with_suffix("") for path in relative]
    return {id.as_posix(): path for id, path in zip(ids, paths, strict=True)}


def _case(path: Path, id: str, data: Path) -> Case:
    folder = path.relative_to(data).parent.as_posix()
    return Case(id=id, identity=id if folder == "." else folder, reference=path, driving=path, target=path)
