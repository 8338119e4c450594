"""The four orders of Table 1: what the model is given (A: audio, E: emotion) and what it writes (AU, E)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from methods.auhead.stage1.text import Vector, written

OrderName = Literal["a-e-au", "a-au", "a-au-e", "ae-au"]

_GIVEN = "The emotion of the current audio is "
_EMOTION = "What is the emotion of the current audio?"
_AUS = "What is the AU sequence of the current audio?"
PHRASES = (_GIVEN, _EMOTION, _AUS)
"""What questions are made of, beside the emotion."""


@dataclass(frozen=True)
class Order:
    """One row of Table 1."""

    name: OrderName
    title: str
    """As the table has it: input -> output."""
    question: str
    """What the prompt ends with; `{emotion}` stands for the given one."""
    emotion: Literal["first", "last", "given", "none"]
    """Where the emotion is."""

    def ask(self, emotion: str | None) -> str:
        """The question.

        Raises:
            ValueError: the emotion is given in this order and there is none.
        """
        if self.emotion == "given" and not emotion:
            raise ValueError(f"order {self.name} gives the model the emotion; there is none")
        return self.question.format(emotion=emotion)

    def answer(self, emotion: str, vectors: Sequence[Vector]) -> str:
        """What the model is to write."""
        parts = [written(vectors)]
        if self.emotion == "first":
            parts.insert(0, emotion)
        elif self.emotion == "last":
            parts.append(emotion)
        return ", ".join(parts)


ORDERS: dict[str, Order] = {
    order.name: order
    for order in (
        Order("ae-au", "A+E -> AU", f"{_GIVEN}{{emotion}}. {_AUS}", "given"),
        Order("a-au", "A -> AU", _AUS, "none"),
        Order("a-au-e", "A -> AU -> E", f"{_AUS} {_EMOTION}", "last"),
        Order("a-e-au", "A -> E -> AU", f"{_EMOTION} {_AUS}", "first"),
    )
}
"""By name, in the order of the table; the last one, emotion before AUs, is the paper's own."""
