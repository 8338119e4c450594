"""CREMA-D (Cao et al., 2014): VideoFlash/ACTOR_SENTENCE_EMOTION_LEVEL.flv beside AudioWAV/*.wav of the same names, and
SentenceFilenames.csv, the table of all 7,442 names, which says what a copy lacks.
"""

from __future__ import annotations

import csv
from pathlib import Path

from bench.media.errors import UserError
from protocols.layouts.source import Found, Source, check_root, is_video, one_per_stem, relative, speech_beside, visible

ACTORS = range(1001, 1092)
SENTENCES = ("DFA", "IEO", "IOM", "ITH", "ITS", "IWL", "IWW", "MTI", "TAI", "TIE", "TSI", "WSI")
EMOTIONS = ("ANG", "DIS", "FEA", "HAP", "NEU", "SAD")
LEVELS = {"LO": 1, "MD": 2, "HI": 3, "XX": None}
"""XX: unspecified."""
TEST_ACTORS = ("1015", "1020", "1021", "1030", "1033", "1052", "1062", "1081", "1082", "1089")
"""AUHead's, after DAWN."""
TABLE = "SentenceFilenames.csv"
EXPECTED = "a folder VideoFlash with files like 1001_IEO_HAP_LO.flv, beside AudioWAV and SentenceFilenames.csv"
CROP = "a square around the face"


def find(root: Path) -> Found:
    """All clips below `root`.

    Raises:
        UserError: `root` is not the top of the layout.
    """
    check_root(root, _is_root, EXPECTED)
    found = Found()
    videos = filter(is_video, visible(root / "VideoFlash"))
    for stem, video in one_per_stem(videos, ".flv", root, found).items():
        actor, sentence, emotion, level, *rest = [*stem.split("_"), "", "", ""]
        if problem := _problem(actor, sentence, emotion, level, "".join(rest)):
            found.skip(relative(video, root), f"{problem}; names are ACTOR_SENTENCE_EMOTION_LEVEL")
            continue
        audio = speech_beside(root / "AudioWAV", stem)
        found.sources.append(
            Source(
                id=stem,
                video=relative(video, root),
                audio=relative(audio, root) if audio else None,
                identity=actor,
                emotion=emotion,
                level=LEVELS[level],
                sentence=sentence,
            )
        )
    return found


def missing(root: Path, prepared: set[str]) -> tuple[str, ...]:
    """What the published protocols need and `prepared` (clip ids) lacks: test actors of whom nothing is there, and, by
    the official table where the root holds it, single clips of the others."""
    here = {id.split("_")[0] for id in prepared}
    absent = [actor for actor in TEST_ACTORS if actor not in here]
    listed = {name for name in official_names(root) if name.split("_")[0] in here.intersection(TEST_ACTORS)}
    return (*absent, *sorted(listed - prepared))


def official_names(root: Path) -> list[str]:
    """Names of all clips of the data set by its own table; none where the table is not there."""
    path = root / TABLE
    if not path.is_file():
        return []
    with open(path, encoding="utf-8-sig", newline="") as file:
        rows = csv.DictReader(file)
        if "Filename" not in (rows.fieldnames or ()):
            raise UserError(f"{path}: has no column Filename; take the file from the data set's repository again")
        return [row["Filename"] for row in rows]


def _is_root(folder: Path) -> bool:
    return (folder / "VideoFlash").is_dir()


def _problem(actor: str, sentence: str, emotion: str, level: str, rest: str) -> str | None:
    """What is wrong with the parts of a name; None if nothing."""
    if not actor.isdecimal() or int(actor) not in ACTORS:
        return f"no actor {actor!r} from {ACTORS[0]} to {ACTORS[-1]}"
    if sentence not in SENTENCES:
        return f"unknown sentence {sentence!r}"
    if emotion not in EMOTIONS:
        return f"unknown emotion {emotion!r}; known are {', '.join(EMOTIONS)}"
    if level not in LEVELS:
        return f"unknown level {level!r}; known are {', '.join(LEVELS)}"
    return f"unknown ending {rest!r}" if rest else None
