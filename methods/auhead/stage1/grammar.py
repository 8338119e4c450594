"""Constrained decoding: only answers that `parse` reads without a problem, with as many vectors as asked for.

The language of answers is a chain of choices: an emotion, the index a pair begins with, its value, the end of a vector. It
works on characters, so it serves any tokenizer: a token may be written next if its characters lead from where the answer is
to where an answer can be. The end of the text may follow the last vector (and the emotion, in the order that ends with it)
and nothing else. The paper decodes freely, and so does the default here.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import torch
from transformers import LogitsProcessor

from methods.auhead.stage1.orders import Order
from methods.auhead.stage1.text import NUM_AUS

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

VALUES = tuple(str(hundredths / 100) for hundredths in range(1, 101))
"""0.01 to 1.0, as they are written."""
_ANCHOR = "]"
"""Decoded before a token, so that tokenizers that drop a leading space do not."""


class Place(NamedTuple):
    """Where in an answer: which choice is to be made, and what of it is written."""

    choice: str
    """begin, vector, value, pair, emotion or end."""
    left: int
    """Vectors still to begin."""
    last: int = -1
    """Index of the pair before, -1 in front of the first."""
    prefix: str = ""
    """Characters of the choice that are written."""


class Grammar:
    """The answers of one order.

    Args:
        order: where the emotion stands.
        emotions: the words for it; none may begin another.
    """

    def __init__(self, order: Order, emotions: Sequence[str]):
        self.order = order
        self.emotions = tuple(emotions)
        self.alphabet = frozenset("[], .0123456789").union(*self.emotions)
        """Every character of an answer."""
        self._options = lru_cache(maxsize=None)(self._list_options)

    def start(self, num_vectors: int) -> Place:
        """The place in front of an answer with this many vectors."""
        return Place("emotion" if self.order.emotion == "first" else "begin", num_vectors)

    def step(self, place: Place, text: str) -> Place | None:
        """The place after some more characters; None where no answer goes on like that."""
        for character in text:
            written = place.prefix + character
            options = self._options(place._replace(prefix=""))
            if written in options:
                place = options[written]
            elif any(option.startswith(written) for option in options):
                place = place._replace(prefix=written)
            else:
                return None
        return place

    def _list_options(self, place: Place) -> dict[str, Place]:
        """What may be written at a place -> the place after it. No option begins another."""
        choice, left, last, _ = place
        if choice == "emotion":
            if self.order.emotion == "first":
                return {f"{word}, ": Place("begin", left) for word in self.emotions}
            return {f", {word}": Place("end", 0) for word in self.emotions}
        if choice == "begin":
            return self._vector("", left)
        if choice == "value":
            return {f"{value}]": Place("pair", left, last) for value in VALUES}
        if choice == "pair":
            more = {f", [{index}, ": Place("value", left, index) for index in range(last + 1, NUM_AUS)}
            return more | {"]": self._after_vector(left)}
        if choice == "vector":
            return self._vector(", ", left)
        return {}

    def _vector(self, before: str, left: int) -> dict[str, Place]:
        pairs = {f"{before}[[{index}, ": Place("value", left - 1, index) for index in range(NUM_AUS)}
        return pairs | {f"{before}[]": self._after_vector(left - 1)}

    def _after_vector(self, left: int) -> Place:
        if left:
            return Place("vector", left)
        return Place("emotion" if self.order.emotion == "last" else "end", 0)


class AnswerTokens:
    """Which tokens of a tokenizer may come next at a place of the grammar.

    Args:
        grammar: see Grammar.
        tokenizer: of the model; its end-of-text token ends an answer.
    """

    def __init__(self, grammar: Grammar, tokenizer: PreTrainedTokenizerBase):
        self.grammar = grammar
        self.end: int = tokenizer.eos_token_id
        self.pieces = _pieces(tokenizer, grammar.alphabet)
        self._spanned = max(len(piece) for piece in self.pieces.values()) // 4 + 2
        self._known: dict[Place, torch.Tensor] = {}

    def after(self, place: Place, token: int) -> Place:
        """The place after a token that was allowed; an answer that has ended stays so, whatever pads it."""
        if place.choice == "end":
            return place
        after = self.grammar.step(place, self.pieces[token])
        assert after is not None, "a token that the grammar does not allow was chosen"
        return after

    def allowed(self, place: Place) -> torch.Tensor:
        """int64 ids. The shortest vector, `, []`, has four characters, so no token reaches beyond `_spanned` vectors and
        places with more to come are alike."""
        place = place._replace(left=min(place.left, self._spanned))
        if place not in self._known:
            fitting = [token for token, piece in self.pieces.items() if self.grammar.step(place, piece) is not None]
            self._known[place] = torch.tensor([self.end] if place.choice == "end" else fitting)
        return self._known[place]


class AnswerConstraint(LogitsProcessor):
    """Lets a model write only what the grammar allows: for one batch, decoded greedily or sampled, not for beams.

    Args:
        tokens: see AnswerTokens.
        counts: vectors of every row's answer.
    """

    def __init__(self, tokens: AnswerTokens, counts: Sequence[int]):
        self.tokens = tokens
        self.places = [tokens.grammar.start(count) for count in counts]
        self._read: int | None = None

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        written = input_ids[:, self._read :] if self._read else input_ids[:, :0]
        self._read = input_ids.shape[1]
        for ids in written.T.tolist():
            self.places = [self.tokens.after(place, token) for place, token in zip(self.places, ids, strict=True)]
        masked = torch.full_like(scores, -torch.inf)
        for row, place in enumerate(self.places):
            allowed = self.tokens.allowed(place).to(scores.device)
            masked[row, allowed] = scores[row, allowed]
        return masked


def _pieces(tokenizer: PreTrainedTokenizerBase, alphabet: frozenset[str]) -> dict[int, str]:
    """The characters of every token that has only characters of an answer."""
    anchor = tokenizer.encode(_ANCHOR, add_special_tokens=False)
    before = len(tokenizer.decode(anchor))
    special = set(tokenizer.all_special_ids)
    ids = [token for token in range(len(tokenizer)) if token not in special]
    decoded = tokenizer.batch_decode([[*anchor, token] for token in ids], clean_up_tokenization_spaces=False)
    pieces = {token: text[before:] for token, text in zip(ids, decoded, strict=True)}
    return {token: piece for token, piece in pieces.items() if piece and alphabet.issuperset(piece)}
