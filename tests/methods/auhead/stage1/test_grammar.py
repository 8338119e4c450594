"""Constrained decoding: random models write only what can be read, with the right number of vectors."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from methods.auhead.stage1 import tiny
from methods.auhead.stage1.grammar import AnswerConstraint, AnswerTokens, Grammar
from methods.auhead.stage1.orders import ORDERS
from methods.auhead.stage1.parse import parse
from methods.auhead.stage1.predictor import Question


def chunks_tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level BPE, as Qwen's, with merges across digits, brackets, spaces and words, and tokens no answer holds."""
    merges = [
        ("]", ","),
        ("],", "Ġ"),
        ("],Ġ", "["),
        ("0", "."),
        ("h", "a"),
        ("ha", "p"),
        ("]", "]"),
        ("]]", ","),
        ("x", "y"),
    ]
    merges += [(",", "Ġ"), ("2", "3"), ("Ġ", "0."), ("5", "]")]
    pieces = [*sorted(pre_tokenizers.ByteLevel.alphabet()), *dict.fromkeys("".join(pair) for pair in merges)]
    known = [*pieces, "<|end|>", "<|pad|>"]
    core = Tokenizer(models.BPE({piece: i for i, piece in enumerate(known)}, merges))
    core.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<|end|>", pad_token="<|pad|>")


def written_by_chance(tokens: AnswerTokens, counts, seed: int, limit: int = 4000) -> list[str]:
    """Answers of a model whose logits are noise."""
    generator = torch.Generator().manual_seed(seed)
    size = max(*tokens.pieces, tokens.end) + 1
    constraint = AnswerConstraint(tokens, counts)
    ids = torch.zeros(len(counts), 3, dtype=torch.long)
    for _ in range(limit):
        chosen = constraint(ids, torch.randn(len(counts), size, generator=generator)).argmax(-1)
        ids = torch.cat([ids, chosen[:, None]], dim=1)
        if (chosen == tokens.end).all():
            break
    texts = []
    for row in ids[:, 3:].tolist():
        assert tokens.end in row, "the answer never ended"
        assert set(row[row.index(tokens.end) :]) == {tokens.end}
        texts.append("".join(tokens.pieces[token] for token in row[: row.index(tokens.end)]))
    return texts


@pytest.mark.parametrize("make", [tiny.build_tokenizer, chunks_tokenizer])
@pytest.mark.parametrize("order", sorted(ORDERS))
def test_noise_writes_answers_that_can_be_read(make, order):
    """Oracle: the parser, which knows nothing of the grammar, and the counts asked for; rows of a batch differ."""
    tokens = AnswerTokens(Grammar(ORDERS[order], tiny.EMOTIONS), make())
    counts = [1, 4, 13]
    for count, text in zip(counts, written_by_chance(tokens, counts, seed=3), strict=True):
        found = parse(text)
        assert found.problems == [] and len(found.vectors) == count, text
        assert (found.emotion in tiny.EMOTIONS) == (ORDERS[order].emotion in ("first", "last"))
        assert all(list(vector) == sorted(vector) for vector in found.vectors)


vectors = st.lists(
    st.dictionaries(st.integers(0, 23), st.integers(1, 100).map(lambda hundredths: hundredths / 100)),
    min_size=1,
    max_size=5,
)


@settings(max_examples=50)
@given(vectors, st.sampled_from(sorted(ORDERS)), st.sampled_from(tiny.EMOTIONS))
def test_every_answer_one_may_train_on_is_allowed(chosen, order, emotion):
    """Oracle: the writer of the answers; the right count ends them, another does not."""
    grammar = Grammar(ORDERS[order], tiny.EMOTIONS)
    text = ORDERS[order].answer(emotion, chosen)
    assert grammar.step(grammar.start(len(chosen)), text).choice == "end"
    other = grammar.step(grammar.start(len(chosen) + 1), text)
    assert other is None or other.choice != "end"


@pytest.mark.parametrize(
    "text",
    [
        "[[24, 0.1]]",
        "[[3, 0.1], [3, 0.2]]",
        "[[3, 0.1], [2, 0.2]]",
        "[[3, 1.1]]",
        "[[3, 0.0]]",
        "[[3, 0.50]]",
        "[[3,0.5]]",
    ],
)
def test_what_is_no_answer_is_not_allowed(text):
    """Oracle: the format of `text.written`, by hand."""
    grammar = Grammar(ORDERS["a-au"], tiny.EMOTIONS)
    assert grammar.step(grammar.start(1), text) is None


def test_a_random_model_answers_within_the_grammar(small, noise):
    """Oracle: the parser; a batch of two lengths through `generate`."""
    tokens = AnswerTokens(Grammar(ORDERS["a-e-au"], tiny.EMOTIONS), small.tokenizer)
    questions = [Question(noise(0.6), ORDERS["a-e-au"].ask(None)), Question(noise(0.2), ORDERS["a-e-au"].ask(None))]
    texts = small.answers(questions, 3 * 50 + 16, AnswerConstraint(tokens, [3, 1]))
    for count, text in zip([3, 1], texts, strict=True):
        found = parse(text)
        assert found.problems == [] and len(found.vectors) == count and found.emotion in tiny.EMOTIONS


def test_without_the_grammar_the_same_model_writes_nonsense(small, noise):
    """Oracle: what the grammar is there for; were this readable, the test above would show nothing."""
    text = small.answers([Question(noise(0.6), ORDERS["a-e-au"].ask(None))], 60)[0]
    assert parse(text).problems or not parse(text).vectors


def test_places_with_many_vectors_to_come_share_their_tokens():
    """Oracle: equal sets where no token reaches the end; the cache must not grow with the length of the audio."""
    tokens = AnswerTokens(Grammar(ORDERS["a-au"], tiny.EMOTIONS), tiny.build_tokenizer())
    grammar = tokens.grammar
    places = [grammar.step(grammar.start(count), "[[1, 0.5]") for count in (30, 150)]
    np.testing.assert_array_equal(tokens.allowed(places[0]), tokens.allowed(places[1]))
    assert len(tokens._known) == 1
