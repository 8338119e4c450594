"""Training arrays of the synthetic world: what its experts learn from and are measured on, as plain numpy files.

    FOLDER/stills/  frames uint8 (N, 128, 128, 3), aus (N, 24), landmarks (N, 478, 2), identity (N,)
    FOLDER/clips/   frames uint8 (C, T, 128, 128, 3), aus (C, T, 24), landmarks (C, T, 478, 2), audio (C, S), emotion,
                    level, identity (C,)

Stills show random Action Units, alone and in combinations no sentence would give; clips show sentences. Every person
appears before several backgrounds, so that what tells people apart is the face. People are `X..` ids, who are in no
protocol; the test arrays are drawn in the same way from another range of them.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap

from protocols.synth.emotions import EMOTIONS, EXPRESSIONS
from protocols.synth.world import FPS, SIZE, VERSION, Family

CLIP_FRAMES = 50
SAMPLES = CLIP_FRAMES * 640
OUTDOOR_SHARE = 0.25
"""Of stills and clips before the `outdoor` backgrounds."""
STILLS_PER_PERSON = 9
STILLS_PER_SETTING = 3
"""Setting up a figure costs as much as drawing twenty frames of it."""
EXTREME_YAW, EXTREME_PITCH, EXTREME_ROLL = 0.3, 0.25, 0.25
"""Radians; stills reach beyond what clips do."""


@dataclass(frozen=True)
class Amount:
    """How much to render."""

    stills: int
    """N, a multiple of STILLS_PER_PERSON."""
    clips: int
    """C; each shows another person."""
    first_person: int
    """Number of the first `X` person: ranges that do not overlap share nobody."""


TRAINING = Amount(stills=54_000, clips=1_600, first_person=0)
TESTING = Amount(stills=1_080, clips=110, first_person=900_000)
"""People of the accuracy table; never trained on."""


def write_arrays(
    folder: Path, amount: Amount, step: Callable[[int], None] = lambda total: None, workers: int | None = None
) -> None:
    """Render the arrays, side by side in processes. A folder that is complete is left as it is.

    Args:
        folder: where `stills/`, `clips/` and `version.txt` go.
        amount: how much.
        step: called for every part made, with the number of parts.
        workers: processes; None takes one per core.
    """
    if (folder / "version.txt").exists() and (folder / "version.txt").read_text() == _version(amount):
        return
    _create(folder, amount)
    parts = [("stills", start) for start in range(0, amount.stills, STILLS_PER_PERSON)]
    parts += [("clips", start) for start in range(amount.clips)]
    jobs = [parts[i : i + 20] for i in range(0, len(parts), 20)]
    with ProcessPoolExecutor(workers or os.cpu_count(), mp_context=get_context("spawn")) as pool:
        for future in as_completed([pool.submit(_fill, folder, amount, job) for job in jobs]):
            future.result()
            step(len(jobs))
    (folder / "version.txt").write_text(_version(amount))


def _version(amount: Amount) -> str:
    return f"synth-v{VERSION} {amount}"


def _shapes(amount: Amount) -> dict[str, tuple[tuple[int, ...], type]]:
    n, c, t = amount.stills, amount.clips, CLIP_FRAMES
    return {
        "stills/frames": ((n, *SIZE, 3), np.uint8),
        "stills/aus": ((n, 24), np.float32),
        "stills/landmarks": ((n, 478, 2), np.float32),
        "stills/identity": ((n,), np.int32),
        "clips/frames": ((c, t, *SIZE, 3), np.uint8),
        "clips/aus": ((c, t, 24), np.float32),
        "clips/landmarks": ((c, t, 478, 2), np.float32),
        "clips/audio": ((c, SAMPLES), np.float32),
        "clips/emotion": ((c,), np.int32),
        "clips/level": ((c,), np.int32),
        "clips/identity": ((c,), np.int32),
    }


def _create(folder: Path, amount: Amount) -> None:
    for name, (shape, dtype) in _shapes(amount).items():
        path = folder / f"{name}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        open_memmap(path, "w+", dtype, shape).flush()


def _fill(folder: Path, amount: Amount, parts: list[tuple[str, int]]) -> None:
    arrays = {name: open_memmap(folder / f"{name}.npy", "r+") for name in _shapes(amount)}
    for kind, start in parts:
        if kind == "stills":
            _fill_stills(arrays, amount, start)
        else:
            _fill_clip(arrays, amount, start)


def _fill_stills(arrays: dict, amount: Amount, start: int) -> None:
    """The stills of one person."""
    from protocols.synth.figure import Figure
    from protocols.synth.person import person, setting

    number = amount.first_person + start // STILLS_PER_PERSON
    rng = np.random.default_rng([VERSION, 1, number])
    figure = None
    for i in range(start, start + STILLS_PER_PERSON):
        if (i - start) % STILLS_PER_SETTING == 0:
            figure = Figure(person(f"X{number:06d}"), setting(f"X{number:06d}/{i}", _family(rng)), SIZE)
        aus, pose, gaze = _random_face(rng)
        frame, points = figure.draw(aus, pose, gaze)
        arrays["stills/frames"][i], arrays["stills/landmarks"][i] = frame, points
        arrays["stills/aus"][i], arrays["stills/identity"][i] = aus, number


def _fill_clip(arrays: dict, amount: Amount, i: int) -> None:
    """One clip of a person of its own."""
    from protocols.synth.figure import Figure
    from protocols.synth.performance import perform
    from protocols.synth.person import person, setting
    from protocols.synth.text import TEST_SENTENCES, TRAIN_SENTENCES

    number = amount.first_person + amount.stills // STILLS_PER_PERSON + i
    rng = np.random.default_rng([VERSION, 2, number])
    emotion, level = EXPRESSIONS[i % len(EXPRESSIONS)]
    if i % 11 == 5:  # Neutral is one pair of 22; with these it is as frequent as the others.
        emotion, level = "neutral", 1
    sentences = TEST_SENTENCES if amount == TESTING else TRAIN_SENTENCES
    who = person(f"X{number:06d}")
    text = sentences[int(rng.integers(len(sentences)))]
    played = perform(text, emotion, level, who.voice, int(rng.integers(2**32)), FPS, CLIP_FRAMES)
    figure = Figure(who, setting(f"X{number:06d}/clip", _family(rng)), SIZE)
    for t in range(CLIP_FRAMES):
        frame, points = figure.draw(played.aus[t], played.pose[t], played.gaze[t])
        arrays["clips/frames"][i, t], arrays["clips/landmarks"][i, t] = frame, points
    arrays["clips/aus"][i], arrays["clips/audio"][i] = played.aus, played.audio
    arrays["clips/emotion"][i], arrays["clips/level"][i] = EMOTIONS.index(emotion), level
    arrays["clips/identity"][i] = number


def _family(rng: np.random.Generator) -> Family:
    return "outdoor" if rng.random() < OUTDOOR_SHARE else "studio"


def _random_face(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """AUs (24,), pose (5,) and gaze (2,): a few units at any strength, or many weak ones, or none."""
    share = rng.choice([0.0, 0.1, 0.25, 0.45], p=[0.05, 0.35, 0.4, 0.2])
    aus = np.where(rng.random(24) < share, rng.beta(1.2, 1.2, 24), 0.0)
    if rng.random() < 0.15:
        aus[rng.integers(24)] = 1.0
    if rng.random() < 0.5:  # Lids close together; one alone is a wink, which is rarer.
        aus[0] = aus[1] = max(aus[0], aus[1])
    for one, other in ((0, 2), (1, 3), (9, 10)):  # A lid cannot close and rise, a jaw go left and right.
        if aus[one] and aus[other]:
            aus[one if rng.random() < 0.5 else other] = 0.0
    turn = np.array([EXTREME_YAW, EXTREME_PITCH, EXTREME_ROLL]) * rng.triangular(-1, 0, 1, 3)
    pose = np.concatenate([turn, rng.uniform(-0.04, 0.04, 2)])
    return aus.astype(np.float32), pose.astype(np.float32), rng.uniform(-0.3, 0.3, 2).astype(np.float32)
