"""The 182 targets of `mead_std_iuface` and `mead_disentangle`, and the rule they follow.

IUFace tests on 182 MEAD clips and does not name them. 182 is 7 x 26: ours are the seven expressive emotions, 26 clips
each. Neutral clips are left out, since the disentanglement benchmark drives with an *expressive* clip and sets it
against a *neutral* reference (supplement E.5).

Every (subject, emotion, level) of 4 x 7 x 3 gets two clips, which makes 168; the other 14 go to two cells of every
emotion, of different subjects and levels. So emotions have 26 each, levels 61, 61, 60, subjects 46, 46, 45, 45.
Which sentences a cell gets, and which neutral clip is the reference of a target, is decided by the order of
sha256("iuface182 ...") digests, which anyone can compute in any language.

lists/mead_iuface182.txt is the result, in rounds over the cells: its first 84 lines are one clip of every cell.

Not every clip that the rule can name exists (of M030, lists of others name 306 of 670 clips) or lasts 81 frames. Then
the first clip that does and is not taken stands in for it: of the same cell in digest order, else of the same subject
and emotion at another level, the nearest first, else none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from typing import NamedTuple

from protocols.case_list import read_list

SEED = "iuface182"
SUBJECTS = ("M003", "M030", "W009", "W015")
EMOTIONS = ("angry", "contempt", "disgusted", "fear", "happy", "sad", "surprised")
LEVELS = (1, 2, 3)
SENTENCES = 30
"""Of an emotion at a level."""
NEUTRAL_SENTENCES = 40
PER_CELL = 2


class Target(NamedTuple):
    """One of the 182: clip ids such as M003/angry/level_1/012."""

    clip: str
    """The target, whose speech and AUs drive."""
    neutral: str
    """The neutral clip of the same subject whose first frame is the reference in `mead_disentangle`."""


def targets() -> tuple[Target, ...]:
    """The list as stored, in the order of the cases."""
    return tuple(Target(*columns) for columns in read_list("mead_iuface182"))


def derive() -> tuple[Target, ...]:
    """The list by its rule."""
    quota = {(subject, emotion, level): PER_CELL for subject in SUBJECTS for emotion in EMOTIONS for level in LEVELS}
    for n in range(2 * len(EMOTIONS)):
        quota[SUBJECTS[n % len(SUBJECTS)], EMOTIONS[n // 2], LEVELS[n % len(LEVELS)]] += 1
    rounds = [(r, id) for cell, count in quota.items() for r, id in enumerate(in_cell(*cell)[:count])]
    return tuple(
        Target(id, neutral_clips(id)[0]) for _, id in sorted(rounds, key=lambda one: (one[0], _digest(one[1])))
    )


def in_cell(subject: str, emotion: str, level: int) -> list[str]:
    """Ids of a cell, in the order in which they are taken."""
    ids = (f"{subject}/{emotion}/level_{level}/{sentence:03d}" for sentence in range(1, SENTENCES + 1))
    return sorted(ids, key=_digest)


def neutral_clips(target: str) -> list[str]:
    """Neutral clips of the target's subject; the first that exists is the reference of this target."""
    subject = target.split("/")[0]
    ids = (f"{subject}/neutral/level_1/{sentence:03d}" for sentence in range(1, NEUTRAL_SENTENCES + 1))
    return sorted(ids, key=lambda id: _digest(f"{target} {id}"))


def stand_ins(target: str) -> list[str]:
    """Clips that may take the place of a listed one, the first choice first."""
    subject, emotion, level = target.split("/")[:3]
    own = int(level.removeprefix("level_"))
    levels = sorted(LEVELS, key=lambda other: (abs(other - own), other))
    return [id for other in levels for id in in_cell(subject, emotion, other)]


def choose(listed: Collection[str], present: Collection[str]) -> dict[str, str]:
    """Listed clip -> itself if it is present, else what stands in for it. Those for which nothing does are left out.

    Args:
        listed: clip ids in the list's order.
        present: ids of the clips that exist and are long enough.
    """
    taken = {id for id in listed if id in present}
    chosen = {}
    for id in listed:
        if id in present:
            chosen[id] = id
        elif stand_in := next((other for other in stand_ins(id) if other in present and other not in taken), None):
            chosen[id] = stand_in
            taken.add(stand_in)
    return chosen


def _digest(text: str) -> str:
    return hashlib.sha256(f"{SEED} {text}".encode()).hexdigest()
