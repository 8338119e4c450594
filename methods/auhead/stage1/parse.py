"""Reads the model's answer: every way of writing AU vectors that the paper shows, and what models make of it.

Pairs may be lists or tuples, vectors also sets (footnote 2), values `.12`, `0.5` or `1`, an index `8` or `AU8`; the emotion
may stand before or after the vectors, and the end may be missing. What cannot be read is left out and reported with its
place; nothing raises.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from methods.auhead.stage1.text import NUM_AUS

EMOTION_WORDS = frozenset({
    "neutral", "calm", "angry", "anger", "contempt", "contemptuous", "disgust", "disgusted", "fear", "fearful", "happy",
    "happiness", "sad", "sadness", "surprise", "surprised",
})  # fmt: skip
"""Words that are taken for the emotion wherever they stand outside of vectors."""
_FILLER = frozenset(["the", "is", "of", "a", "au", "aus", "sequence", "emotion", "current", "audio", "and", "are"])
"""Words around an answer that say nothing."""

_PAIR = re.compile(r"[\[(]\s*(?:AU)?\s*(\d+)\s*[,:]\s*(-?(?:\d+\.?\d*|\.\d+))\s*[\])]", re.IGNORECASE)
_BROKEN_PAIR = re.compile(r"[\[(][^\[\](){}]*\w[^\[\](){}]*[\])]")
_CUT_OFF = re.compile(r"[\[({][^\[\](){}]*\Z")
_WORD = re.compile(r"[A-Za-z][A-Za-z_'-]*")
_SPACE = re.compile(r"[\s,;:.\"'`]+")
_SHOWN = 24
"""Characters of the text that a report quotes."""


@dataclass
class Parsed:
    """What an answer says."""

    emotion: str | None = None
    """In the model's own word, small letters."""
    vectors: list[dict[int, float]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    """`character N: what`."""


def parse(text: str) -> Parsed:
    """Read an answer; any text will do."""
    return _Reader(text).read()


class _Reader:
    """One pass over the text."""

    def __init__(self, text: str):
        self.text = text
        self.found = Parsed()
        self.vector: dict[int, float] | None = None
        """The vector that is being read; None between vectors."""
        self.bracketed = False
        """Whether brackets hold it."""
        self.around = 0
        """Brackets open around vectors."""
        self.words: list[tuple[int, str]] = []

    def read(self) -> Parsed:
        at = 0
        while at < len(self.text):
            at = self._next(at)
        self._end()
        self._choose_emotion()
        return self.found

    def _next(self, at: int) -> int:
        """Read what stands at a place; returns where to go on."""
        text = self.text
        if match := _SPACE.match(text, at):
            return match.end()
        if match := _PAIR.match(text, at):
            self._pair(at, int(match[1]), float(match[2]))
            return match.end()
        if match := _BROKEN_PAIR.match(text, at):
            self._report(at, "is no pair of index and value")
            return match.end()
        if match := _WORD.match(text, at):
            self.words.append((at, match[0].lower()))
            return match.end()
        if text[at] in "[({":
            return self._open(at)
        if text[at] in "])}":
            self._close(at)
        else:
            self._report(at, "is out of place")
        return at + 1

    def _report(self, at: int, what: str) -> None:
        quoted = self.text[at : at + _SHOWN].partition("\n")[0]
        self.found.problems.append(f"character {at}: {quoted!r} {what}")

    def _pair(self, at: int, index: int, value: float) -> None:
        if self.vector is None or (not self.bracketed and index <= max(self.vector, default=-1)):
            self._finish()
            self.vector, self.bracketed = {}, False
            self._report(at, "begins a vector without a bracket around it")
        if index >= NUM_AUS:
            self._report(at, f"names no AU: they are 0 to {NUM_AUS - 1}")
        elif index in self.vector:
            self._report(at, f"names AU{index} again; the first value is kept")
        elif not 0 <= value <= 1:
            self._report(at, f"has a value outside 0 to 1; {min(max(value, 0.0), 1.0):g} is taken")
            self.vector[index] = min(max(value, 0.0), 1.0)
        else:
            self.vector[index] = value

    def _open(self, at: int) -> int:
        if self.vector is not None and not self.bracketed:
            self._finish()
        if match := _CUT_OFF.match(self.text, at):
            self._report(at, "is cut off")
            return match.end()
        if self.vector is None:
            self.vector, self.bracketed = {}, True
        elif self.vector:
            self._report(at, "opens a vector inside another")
            self._finish()
            self.vector, self.bracketed = {}, True
        else:
            self.around += 1
        return at + 1

    def _close(self, at: int) -> None:
        if self.vector is not None and self.bracketed:
            self._finish()
            return
        self._finish()
        if self.around:
            self.around -= 1
        else:
            self._report(at, "closes nothing")

    def _finish(self) -> None:
        if self.vector is not None:
            self.found.vectors.append(self.vector)
        self.vector = None

    def _end(self) -> None:
        """The text is over: a vector that is still open keeps the pairs it has."""
        if self.vector is not None and self.bracketed:
            self.found.problems.append(f"character {len(self.text)}: the answer ends inside a vector")
            self.vector = self.vector or None
        self._finish()

    def _choose_emotion(self) -> None:
        """The first word that is an emotion, else the only word there is."""
        known = [(at, word) for at, word in self.words if word in EMOTION_WORDS]
        other = [(at, word) for at, word in self.words if word not in EMOTION_WORDS | _FILLER]
        chosen = known[0] if known else other[0] if len(other) == 1 else None
        self.found.emotion = chosen[1] if chosen else None
        for at, word in [*known, *other]:
            if chosen is None or word != chosen[1]:
                self._report(at, "is not understood")
