"""What a study is made of: its questions, the key that says whose video is whose, and the file a rater sends back.

The page (bench/report/templates/study.js) computes `layout` and `digest` too; tests/bench/test_study.py holds the two
implementations against each other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

SCHEMA = 1
QUESTIONS = {
    "expression": ("Emotional expression", "Whose face shows the emotion of the voice better?"),
    "quality": ("Video quality", "Which picture is better: sharper, steadier, with fewer faults?"),
    "sync": ("Audio-lip sync", "Whose lips follow the speech better?"),
    "overall": ("Overall performance", "Which video is better as a whole?"),
}
"""The four aspects of AUHead's Table 4, asked in our words."""
CHECKED = ("quality", "overall")
"""Questions of an attention check that have a right answer: its ruined side shows coarse blocks and the same speech."""
Answer = Literal["A", "B", "same"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Pair(_Strict):
    """Two clips shown side by side, as the page knows them."""

    id: str
    clips: tuple[str, str]
    """Names of the clips; which one is on the left is `layout`'s."""


class KeyPair(Pair):
    """A pair, as the key knows it."""

    case: str
    rows: tuple[str, str]
    """Whose clip each is: labels of the runs; the same one twice in an attention check."""
    ruined: str | None = None
    """The clip that was ruined, in an attention check."""


class Key(_Strict):
    """key.json: whose clip is whose. It never goes to a rater."""

    schema_: int = Field(default=SCHEMA, alias="schema")
    study: str
    title: str
    protocol: str
    data: str
    """Digest of the protocol's inputs."""
    synthetic: bool
    seed: int
    runs: dict[str, str]
    """Label -> fingerprint."""
    pairs: list[KeyPair]


class Rating(_Strict):
    """What a rater said of one pair; A is the left one."""

    pair: str
    left: str
    right: str
    ms: int = Field(ge=0)
    """How long the pair was on the screen."""
    expression: Answer
    quality: Answer
    sync: Answer
    overall: Answer

    def preferred(self, question: str) -> str | None:
        """The clip that was preferred; None for no difference."""
        return {"A": self.left, "B": self.right, "same": None}[getattr(self, question)]


class Answers(_Strict):
    """The file a rater sends back."""

    schema_: Literal[1] = Field(alias="schema")
    study: str
    rater: str = Field(pattern="^[A-Za-z0-9_-]{1,32}$")
    started: str = Field(pattern="^[0-9T:.Z-]+$")
    finished: str = Field(pattern="^[0-9T:.Z-]+$")
    ratings: list[Rating]
    sha256: str
    """`digest` of the rest. It shows a slip of an editor, not a forger: whoever can run the page can compute it."""


def layout(study: str, rater: str, pairs: Sequence[Pair]) -> list[tuple[str, str, str]]:
    """(pair, left clip, right clip) in the order this rater sees them.

    The order is the rater's own. Sides are as in the page for one half of the raters and swapped for the other; inside the
    page every two rows, and the attention checks, are on the left equally often.
    """
    swap = int(name_hash(study, rater, "sides")[0], 16) % 2
    ordered = sorted(pairs, key=lambda pair: name_hash(study, rater, pair.id))
    return [(pair.id, *(pair.clips[::-1] if swap else pair.clips)) for pair in ordered]


def digest(answers: Answers) -> str:
    """sha256 over everything else in the file, a line per rating."""
    head = [answers.study, answers.rater, answers.started, answers.finished]
    lines = [
        " ".join([r.pair, r.left, r.right, str(r.ms), *(getattr(r, name) for name in QUESTIONS)])
        for r in answers.ratings
    ]
    return hashlib.sha256("\n".join([*head, *lines]).encode()).hexdigest()


def shuffled(things: Iterable[str], *salt: str) -> list[str]:
    """In an order that depends on the salt and the names alone."""
    return sorted(things, key=lambda thing: name_hash(*salt, thing))


def name_hash(*parts: str) -> str:
    """sha256 hex digest of the parts, joined by colons: what order, sides and names are drawn from."""
    return hashlib.sha256(":".join(parts).encode()).hexdigest()
