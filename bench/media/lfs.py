"""Git LFS pointers: the small text that stands for a large file in a repository cloned without git-lfs."""

from pathlib import Path

HEADER = b"version https://git-lfs.github.com/spec/"


def is_lfs_pointer(path: Path) -> bool:
    """The file is a pointer and not the file it stands for."""
    with open(path, "rb") as file:
        return file.read(len(HEADER)) == HEADER
