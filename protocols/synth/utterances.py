"""Speech of the synthetic world without pictures: what a speech encoder and a model from speech to AUs learn from.

    FOLDER/audio.npy     float32 (S,) mono 16 kHz      all utterances, one after the other
    FOLDER/aus.npy       float32 (T, 24)               25 rows a second, order of FEAFA
    FOLDER/phonemes.npy  int16 (P,)                    positions in PHONEMES
    FOLDER/times.npy     float32 (P, 2)                start and end of every phoneme, seconds of its utterance
    FOLDER/starts.npy    int64 (N + 1, 3)              where utterance n starts in samples, AU rows and phonemes
    FOLDER/emotion.npy, level.npy, person.npy          int32 (N,): position in EMOTIONS, 1 to 3, number in the person's id

Half of the utterances are sentences, the others as many words of those sentences in any order, so that no model gets away
with knowing the sentences by heart. Emotions are equally frequent, as are the levels of each. People to learn from are
`L..`, those to test on `T..`: the same ids as in the protocols, who there say other things.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from protocols.synth.emotions import EMOTIONS, LEVELS
from protocols.synth.speech import kind
from protocols.synth.text import CONSONANTS, SILENCE, VOWELS
from protocols.synth.world import FPS, VERSION, Split, identities

PHONEMES = (SILENCE, *sorted(VOWELS | CONSONANTS))
"""The 40 symbols of `phonemes.npy`, without stress."""
SHUFFLED_SHARE = 0.5
"""Of the utterances to learn from; all utterances to test on are sentences."""
CHUNK = 50
"""Utterances that one process makes at a time."""


@dataclass(frozen=True)
class Utterances:
    """Which to make."""

    count: int
    """N."""
    people: int
    """How many take part."""
    split: Split


TRAINING = Utterances(count=8_000, people=3_000, split="train")
TESTING = Utterances(count=400, people=200, split="test")


def write_utterances(
    folder: Path, which: Utterances, step: Callable[[int], None] = lambda total: None, workers: int | None = None
) -> None:
    """Perform the utterances, side by side in processes. A folder that is complete is left as it is.

    Args:
        folder: see above; `version.txt` is written last.
        which: which utterances.
        step: called for every chunk made, with the number of chunks.
        workers: processes; None takes one per core.
    """
    version = f"synth-v{VERSION} {which}"
    if (folder / "version.txt").exists() and (folder / "version.txt").read_text() == version:
        return
    folder.mkdir(parents=True, exist_ok=True)
    starts = range(0, which.count, CHUNK)
    made: list[dict[str, np.ndarray]] = []
    with ProcessPoolExecutor(workers or os.cpu_count(), mp_context=get_context("spawn")) as pool:
        for chunk in pool.map(_chunk, [which] * len(starts), starts):
            made += chunk
            step(len(starts))
    for name in ("audio", "aus", "phonemes", "times"):
        np.save(folder / f"{name}.npy", np.concatenate([utterance[name] for utterance in made]))
    for name in ("emotion", "level", "person"):
        np.save(folder / f"{name}.npy", np.array([utterance[name] for utterance in made], np.int32))
    lengths = [[len(utterance[name]) for name in ("audio", "aus", "phonemes")] for utterance in made]
    np.save(folder / "starts.npy", np.cumsum([[0, 0, 0], *lengths], axis=0, dtype=np.int64))
    (folder / "version.txt").write_text(version)


def _chunk(which: Utterances, start: int) -> list[dict]:
    return [perform_utterance(which, n) for n in range(start, min(start + CHUNK, which.count))]


def perform_utterance(which: Utterances, n: int) -> dict:
    """The arrays of utterance n by name."""
    from protocols.synth.performance import perform
    from protocols.synth.person import person

    rng = np.random.default_rng([VERSION, 3, ("train", "test", "general").index(which.split), n])
    number = int(rng.integers(which.people))
    emotion = int(rng.integers(len(EMOTIONS)))
    level = 1 if EMOTIONS[emotion] == "neutral" else int(rng.choice(LEVELS))
    voice = person(identities(which.split, which.people)[number]).voice
    played = perform(_text(which.split, rng), EMOTIONS[emotion], level, voice, int(rng.integers(2**32)), FPS)
    return {
        "audio": played.audio,
        "aus": played.aus,
        "phonemes": np.array([PHONEMES.index(kind(p.symbol)) for p in played.phonemes], np.int16),
        "times": np.array([(p.start, p.end) for p in played.phonemes], np.float32),
        "emotion": emotion,
        "level": level,
        "person": number + 1,
    }


def _text(split: Split, rng: np.random.Generator) -> str:
    from protocols.synth.text import TEST_SENTENCES, TRAIN_SENTENCES

    if split != "train":
        return str(rng.choice(TEST_SENTENCES))
    sentence = str(rng.choice(TRAIN_SENTENCES))
    if rng.random() >= SHUFFLED_SHARE:
        return sentence
    words = sorted({word for text in TRAIN_SENTENCES for word in re.findall(r"[a-z]+", text.lower())})
    return " ".join(rng.choice(words, len(sentence.split())))
