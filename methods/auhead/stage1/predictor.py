"""Speech in, AU track out: questions to a language model, its answers read and joined (AUHead, section 3.2).

Speech longer than a window is asked about in windows of equal length, whole numbers of AU vectors each, and the answers are
put one after the other. An answer with too few vectors holds its last one, one with too many is cut; both are reported.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from bench.media.clip import SAMPLE_RATE
from methods.auhead.stage1.orders import Order
from methods.auhead.stage1.parse import parse
from methods.auhead.stage1.text import NUM_AUS, RATE, Vector, dense, num_vectors, upsampled
from methods.conditioning.speech import require_speech
from methods.generator import AUAnswer, GenerationError

if TYPE_CHECKING:
    from transformers import LogitsProcessor

    from methods.auhead.stage1.grammar import AnswerTokens


NO_VECTOR = "no AU vector at all"
"""Among the problems of an answer in which none could be read."""
SHOWN = 80
"""Characters of an answer that an error quotes."""


class Question(NamedTuple):
    """What a model is asked about a stretch of speech."""

    audio: np.ndarray
    """float32 (S,) mono 16 kHz, not longer than the model hears at once."""
    text: str


class LanguageModel(Protocol):
    """An audio-language model that answers questions."""

    seconds: float
    """Longest speech that it hears at once."""
    num_parameters: int

    def answers(
        self, questions: Sequence[Question], max_new_tokens: int, constraint: LogitsProcessor | None = None
    ) -> list[str]:
        """One text per question; an answer that is longer than `max_new_tokens` is cut."""
        ...


class Speech(NamedTuple):
    """What AUs are wanted for."""

    audio: np.ndarray
    """float32 (S,) mono 16 kHz; sample 0 is heard with frame 0."""
    num_frames: int
    fps: float
    emotion: str | None = None
    """For the order that gives it to the model."""


class Stage1:
    """The first stage, ready to ask.

    Args:
        model: see LanguageModel.
        order: what is asked and how the answer is laid out.
        instructions: in front of the question; empty for a model that needs none.
        window: longest speech of one question in seconds; more than the model hears is never asked about.
        tokens_per_vector: an answer may have as many per vector before it is cut.
        tokens: for constrained decoding; None decodes freely.
        batch: questions that are asked at once.
    """

    def __init__(
        self,
        model: LanguageModel,
        order: Order,
        instructions: str,
        *,
        window: float,
        tokens_per_vector: int,
        tokens: AnswerTokens | None = None,
        batch: int = 4,
    ):
        self.model = model
        self.order = order
        self.instructions = instructions
        self.window = min(window, model.seconds)
        self.tokens_per_vector = tokens_per_vector
        self.tokens = tokens
        self.batch = batch

    @property
    def num_parameters(self) -> int:
        return self.model.num_parameters

    def predict_aus(self, audio: np.ndarray, num_frames: int, fps: float, emotion: str | None = None) -> AUAnswer:
        """Emotion and AUs of one recording.

        Args:
            audio: float32 (S,) mono 16 kHz; what is missing up to `num_frames` is silence.
            num_frames: rows of the answer, exactly.
            fps: their rate.
            emotion: for the order `ae-au`, which gives it to the model.

        Raises:
            GenerationError: no speech, no emotion where one is needed, or no AU vector in any answer.
        """
        require_speech(audio)
        answer = self.predict_many([Speech(audio, num_frames, fps, emotion)])[0]
        if NO_VECTOR in answer.problems:
            raise GenerationError(f"there is no AU vector in what the model wrote: {answer.text[:SHOWN]!r}")
        return answer

    def predict_many(self, speeches: Sequence[Speech]) -> list[AUAnswer]:
        """The same for several recordings, whose questions share batches.

        Where nothing can be read there is no error: the AUs are 0 and NO_VECTOR is among the problems.
        """
        spans = [windows(num_vectors(speech.num_frames, speech.fps), self.window) for speech in speeches]
        asked = [
            (self._question(speech, start, stop), stop - start)
            for speech, parts in zip(speeches, spans, strict=True)
            for start, stop in parts
        ]
        texts = iter(self._ask(asked))
        return [
            self._joined(speech, parts, [next(texts) for _ in parts])
            for speech, parts in zip(speeches, spans, strict=True)
        ]

    def question(self, emotion: str | None) -> str:
        """Instructions and question."""
        return f"{self.instructions} {self.order.ask(emotion)}".strip()

    def _question(self, speech: Speech, start: int, stop: int) -> Question:
        if self.order.emotion == "given" and not speech.emotion:
            raise GenerationError(f"order {self.order.name} gives the model the emotion, and this case has none")
        end = min(stop / RATE, speech.num_frames / speech.fps)
        first, last = round(start / RATE * SAMPLE_RATE), round(end * SAMPLE_RATE)
        audio = np.zeros(last - first, np.float32)
        heard = speech.audio[first:last]
        audio[: len(heard)] = heard
        return Question(audio, self.question(speech.emotion))

    def _ask(self, asked: Sequence[tuple[Question, int]]) -> list[str]:
        """Texts, batch by batch; questions of like length share one, so that little is padded."""
        texts: dict[int, str] = {}
        by_length = sorted(range(len(asked)), key=lambda i: asked[i][1])
        for at in range(0, len(by_length), self.batch):
            chosen = by_length[at : at + self.batch]
            questions, counts = zip(*(asked[i] for i in chosen), strict=True)
            limit = max(counts) * self.tokens_per_vector + 16
            answers = self.model.answers(questions, limit, self._constraint(counts))
            texts |= dict(zip(chosen, answers, strict=True))
        return [texts[i] for i in range(len(asked))]

    def _constraint(self, counts: Sequence[int]) -> LogitsProcessor | None:
        if self.tokens is None:
            return None
        from methods.auhead.stage1.grammar import AnswerConstraint

        return AnswerConstraint(self.tokens, counts)

    def _joined(self, speech: Speech, spans: Sequence[tuple[int, int]], texts: Sequence[str]) -> AUAnswer:
        rows, emotions, problems = [], [], []
        for (start, stop), text in zip(spans, texts, strict=True):
            found = parse(text)
            where = f"from {start / RATE:g} s: " if len(spans) > 1 else ""
            problems += [where + problem for problem in found.problems]
            if len(found.vectors) != stop - start:
                problems.append(f"{where}{len(found.vectors)} AU vectors in place of {stop - start}")
            rows.append(fitted(found.vectors, stop - start))
            emotions += [found.emotion] if found.emotion else []
        if all(row is None for row in rows):
            problems.append(NO_VECTOR)
        aus = np.concatenate([
            np.zeros((stop - start, NUM_AUS), np.float32) if row is None else row
            for row, (start, stop) in zip(rows, spans, strict=True)
        ])  # fmt: skip
        return AUAnswer(
            emotion=Counter(emotions).most_common(1)[0][0] if emotions else None,
            aus=upsampled(aus, speech.num_frames, speech.fps),
            text="\n".join(texts),
            problems=tuple(problems),
        )


def windows(count: int, seconds: float) -> list[tuple[int, int]]:
    """`count` AU vectors cut into stretches as even as whole vectors allow, none longer than `seconds`."""
    parts = math.ceil(count / math.floor(seconds * RATE + 1e-6))
    edges = [round(part * count / parts) for part in range(parts + 1)]
    return list(zip(edges[:-1], edges[1:], strict=True))


def fitted(vectors: Sequence[Vector], count: int) -> np.ndarray | None:
    """float32 (count, 24): the first `count` vectors, the last of them held; None if there is none."""
    if not vectors:
        return None
    rows = dense(vectors[:count])
    return np.concatenate([rows, np.repeat(rows[-1:], count - len(rows), axis=0)])
