"""The synthetic world on disk: one lossless clip, its AU table and its truth per ClipSpec, rendered when first asked for.

    FOLDER/T03/happy/level_2/017.mkv    frames and speech, lossless
    FOLDER/T03/happy/level_2/017.csv    AUs per frame: 24 of feafa24, 35 of openface35
    FOLDER/T03/happy/level_2/017.npz    landmarks (T, 478, 2), pose (T, 5), gaze (T, 2)

The clip is written last and under a temporary name, so a clip that exists has its truth beside it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from bench.media import au
from bench.media.au_maps import convert
from bench.media.errors import UserError
from bench.media.write import write_video
from protocols.synth.world import FPS, SIZE, ClipSpec, SynthClip, make_clip

FEW = 3
"""Up to so many clips are made in this process: starting others takes longer."""


def clip_path(folder: Path, spec: ClipSpec) -> Path:
    """Where a clip lies."""
    return folder / f"{spec.id}.mkv"


def write_clip(folder: Path, spec: ClipSpec, size: tuple[int, int] = SIZE) -> SynthClip:
    """Make one clip and write its three files; what it holds is returned.

    Raises:
        UserError: the folder cannot be written or the disk is full.
    """
    clip = make_clip(spec, size)
    path = clip_path(folder, spec)
    truth = {"landmarks": clip.landmarks, "pose": clip.pose, "gaze": clip.gaze}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _whole(path.with_suffix(".csv"), lambda file: au.write(clip.aus, file, convert(clip.aus, "openface35")))
        _whole(path.with_suffix(".npz"), lambda file: np.savez_compressed(file, **truth))
    except OSError as error:
        raise UserError(
            f"{folder}: cannot be written ({error.strerror or error}); free the disk or choose another"
        ) from error
    write_video(path, [clip.frames], FPS, clip.audio)
    return clip


def make_ready(
    folder: Path,
    specs: Iterable[ClipSpec],
    size: tuple[int, int] = SIZE,
    step: Callable[[int], None] = lambda total: None,
    workers: int | None = None,
) -> int:
    """Render what is not there yet, side by side in processes.

    Args:
        folder: where clips lie.
        specs: which clips are needed.
        size: (height, width).
        step: called for every clip made, with the number of clips to make.
        workers: processes; None takes one per core.

    Returns:
        The number of clips made.
    """
    todo = sorted({spec for spec in specs if not clip_path(folder, spec).exists()}, key=lambda spec: spec.id)
    if len(todo) <= FEW:
        for spec in todo:
            write_clip(folder, spec, size)
            step(len(todo))
        return len(todo)
    with ProcessPoolExecutor(workers or os.cpu_count(), mp_context=get_context("spawn")) as pool:
        futures = [pool.submit(_write, folder, part, size) for part in _by_identity(todo)]
        for future in as_completed(futures):
            for _ in range(future.result()):
                step(len(todo))
    return len(todo)


def _write(folder: Path, specs: Sequence[ClipSpec], size: tuple[int, int]) -> int:
    for spec in specs:
        write_clip(folder, spec, size)
    return len(specs)


def _by_identity(specs: Sequence[ClipSpec], most: int = 4) -> list[list[ClipSpec]]:
    """Parts of up to `most` clips of one person each: a process builds a person once."""
    people: dict[str, list[ClipSpec]] = {}
    for spec in specs:
        people.setdefault(spec.identity, []).append(spec)
    return [person[i : i + most] for person in people.values() for i in range(0, len(person), most)]


def _whole(path: Path, write: Callable[[Path], None]) -> None:
    """Write a file under another name, then move it into place."""
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        write(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
