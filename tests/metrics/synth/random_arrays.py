"""Small random training arrays: frames that hold some sign of what is to be learnt, so that a loss can fall."""

from pathlib import Path

import numpy as np

from metrics.synth.arrays import Clips, Stills, clips, stills

SIZE = 32
SAMPLES = 640


def write_arrays(folder: Path, people: int = 40, each: int = 4, length: int = 24, seed: int = 0) -> Path:
    """Stills and one clip of every person: colour tells the person, a bright bar's height the first AU, which the loudness
    of the speech follows; a stripe tells the emotion."""
    rng = np.random.default_rng(seed)
    looks = rng.uniform(60, 160, (people, 1, 1, 3))
    identity = np.repeat(np.arange(people, dtype=np.int32), each)
    aus = rng.random((people * each, 24), np.float32)
    _save(folder / "stills", frames=_frames(looks[identity], aus[:, 0], rng), aus=aus, identity=identity)
    _save(folder / "stills", landmarks=_landmarks(aus))
    moving = np.cumsum(rng.normal(0, 0.05, (people, length, 24)), 1)
    moving = np.abs(moving % 2 - 1).astype(np.float32)  # Reflected at 0 and 1, so that nothing jumps.
    emotion = (np.arange(people) % 8).astype(np.int32)
    shown = np.stack([_frames(looks[person], moving[person, :, 0], rng) for person in range(people)])
    shown[:, :, :4] = (emotion * 30)[:, None, None, None, None]
    loudness = moving[:, :, 0].repeat(SAMPLES, 1)
    audio = (loudness * rng.normal(0, 0.2, (people, length * SAMPLES))).astype(np.float32)
    level = (np.arange(people) % 3 + 1).astype(np.int32)
    _save(folder / "clips", frames=shown, aus=moving, landmarks=_landmarks(moving), audio=audio)
    _save(folder / "clips", emotion=emotion, level=level, identity=np.arange(people, dtype=np.int32))
    return folder


def small_stills(folder: Path) -> Stills:
    return stills(write_arrays(folder))


def small_clips(folder: Path) -> Clips:
    return clips(write_arrays(folder))


def _frames(looks: np.ndarray, openness: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """uint8 (n, SIZE, SIZE, 3)."""
    rows = np.arange(SIZE)[None, :, None, None]
    bar = 80 * (np.abs(rows - 0.7 * SIZE) < 0.2 * SIZE * openness[:, None, None, None])
    frames = looks + bar + rng.normal(0, 4, (len(openness), SIZE, SIZE, 3))
    return np.clip(frames, 0, 255).astype(np.uint8)


def _landmarks(aus: np.ndarray) -> np.ndarray:
    """float32 (..., 478, 2) px; the first AU moves all of them."""
    grid = np.random.default_rng(1).uniform(0.3 * SIZE, 0.6 * SIZE, (478, 2))
    return (grid + SIZE * 0.1 * aus[..., :1, None]).astype(np.float32)


def _save(folder: Path, **arrays: np.ndarray) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
