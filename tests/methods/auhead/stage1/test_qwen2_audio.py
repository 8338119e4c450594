"""Qwen2-Audio's prompts, labels and batches, on its own class with a small random configuration."""

import numpy as np
import pytest
import torch

from methods.auhead.stage1 import tiny
from methods.auhead.stage1.orders import ORDERS
from methods.auhead.stage1.predictor import Question
from methods.auhead.stage1.qwen2_audio import IGNORED, Qwen2Audio
from methods.auhead.stage1.weights import LORA_TARGETS, with_lora

ASK = ORDERS["a-e-au"].ask(None)
ANSWER = "happy, [[2, 1.0], [8, 0.52]], [], [[0, 0.1]]"


def test_an_answer_is_cut_into_pieces_that_join_to_it():
    """Oracle: the text; two tokens a pair, as `tiny` says."""
    tokenizer = tiny.build_tokenizer()
    ids = tokenizer(ANSWER).input_ids
    assert tokenizer.decode(ids) == ANSWER
    assert tokenizer.unk_token_id not in ids
    assert len(tokenizer("[[2, 1.0], [8, 0.52], [9, 0.1]], [[2, 1.0]]").input_ids) == 3 * 2 + 1 + 2 + 1


def test_what_stands_between_vectors_is_numbered():
    """Oracle: four vectors of one text, which have three tokens between them, all different and all the same text."""
    tokenizer = tiny.build_tokenizer()
    for vector in ("[[2, 1.0]]", "[]"):
        ids = tokenizer(", ".join([vector] * 4)).input_ids
        between = [token for token in ids if tokenizer.decode([token]) in ("], ", "[], ")]
        assert len(between) == len(set(between)) == 3
        assert between == sorted(between) and tokenizer.decode(ids) == ", ".join([vector] * 4)
    longest = ", ".join(["[[2, 1.0]]"] * (5 * tiny.SECONDS))
    assert tokenizer.unk_token_id not in tokenizer(longest).input_ids


def test_every_value_index_and_emotion_has_tokens():
    """Oracle: no unknown token in any text that can be asked or answered."""
    tokenizer = tiny.build_tokenizer()
    texts = [f"[[{index}, {hundredths / 100}], [23, 0.5]]" for index in range(23) for hundredths in range(1, 101)]
    texts += [order.ask(emotion) for order in ORDERS.values() for emotion in tiny.EMOTIONS]
    texts += [order.answer(emotion, [{}, {1: 0.3}, {}]) for order in ORDERS.values() for emotion in tiny.EMOTIONS]
    for text in texts:
        assert tokenizer.unk_token_id not in tokenizer(text).input_ids, text


def test_labels_cover_exactly_the_answer(small, noise):
    """Oracle: the labelled tokens, decoded."""
    batch = small.training_batch([Question(noise(1.0), ASK), Question(noise(2.0), ASK)], [ANSWER, "sad, [[3, 0.5]]"])
    for labels, ids, answer in zip(batch["labels"], batch["input_ids"], [ANSWER, "sad, [[3, 0.5]]"], strict=True):
        chosen = labels[labels != IGNORED]
        assert small.tokenizer.decode(chosen) == answer + small.tokenizer.eos_token
        assert torch.equal(chosen, ids[-len(chosen) :])


def test_the_prompt_of_training_is_the_prompt_of_asking(small, noise):
    """Oracle: the tokens that `generate` begins from are those in front of the labels."""
    question = Question(noise(1.0), ASK)
    batch = small.training_batch([question], [ANSWER])
    asked = batch["input_ids"][0][batch["labels"][0] == IGNORED]
    assert torch.equal(asked, small._prompt(question)["input_ids"])
    text = small.tokenizer.decode(asked)
    assert text.count("<|AUDIO|>") == 10 and text.endswith("<|im_start|>") and ASK in text


def test_the_loss_is_of_the_answer_alone(small, noise):
    """Oracle: cross-entropy by hand over the answer's positions."""
    batch = small.training_batch([Question(noise(1.0), ASK), Question(noise(2.0), ASK)], [ANSWER, "sad, [[3, 0.5]]"])
    with torch.no_grad():
        out = small.model(**batch)
    chosen = batch["labels"][:, 1:] != IGNORED
    by_hand = torch.nn.functional.cross_entropy(out.logits[:, :-1][chosen], batch["labels"][:, 1:][chosen])
    torch.testing.assert_close(out.loss, by_hand)


def test_a_batch_gives_what_each_question_gives_alone(small, noise):
    """Oracle: the same questions one by one; lengths differ, so two of them are padded on the left."""
    questions = [Question(noise(seconds, seed), ASK) for seed, seconds in enumerate((0.6, 2.0, 3.4))]
    together = small.answers(questions, 24)
    assert together == [small.answers([question], 24)[0] for question in questions]
    assert len(set(together)) > 1


def test_the_audio_reaches_the_answer(small, noise):
    """Oracle: another recording, other logits; the processor must not drop it (an old argument name is ignored silently)."""
    batches = [small.training_batch([Question(noise(1.0, seed), ASK)], [ANSWER]) for seed in (0, 1)]
    assert torch.equal(batches[0]["input_ids"], batches[1]["input_ids"])
    with torch.no_grad():
        one, other = (small.model(**batch).logits for batch in batches)
    assert (one - other).abs().max() > 1e-3


def test_only_lora_weights_get_gradients(small, noise):
    """Oracle: the names; every linear layer of the language model has its pair, nothing else moves."""
    model = with_lora(small.model, rank=4, alpha=8)
    wrapped = Qwen2Audio(model, small.processor)
    model(**wrapped.training_batch([Question(noise(1.0), ASK)], [ANSWER])).loss.backward()
    moved = {name for name, value in model.named_parameters() if value.grad is not None}
    assert moved and all("lora_" in name and "language_model" in name for name in moved)
    assert moved == {name for name, value in model.named_parameters() if value.requires_grad}
    layers = small.model.config.text_config.num_hidden_layers
    assert len(moved) == layers * 7 * 2
    assert wrapped.answers([Question(noise(0.4), ASK)], 4)


@pytest.mark.parametrize("name", ["audio_tower.layers.0.self_attn.q_proj", "multi_modal_projector.linear", "lm_head"])
def test_the_lora_pattern_leaves_out_hearing_and_the_head(name):
    """Oracle: the module names of transformers 5."""
    import re

    assert not re.fullmatch(LORA_TARGETS, f"model.{name}")
    assert re.fullmatch(LORA_TARGETS, "model.language_model.layers.3.self_attn.q_proj")


def test_positions_of_the_encoder_are_whisper_s():
    """Oracle: the formula at three places."""
    table = tiny.sinusoids(80, 128).numpy()
    assert table.shape == (80, 128)
    np.testing.assert_allclose(table[5, 0], np.sin(5), atol=1e-6)
    np.testing.assert_allclose(table[5, 64], np.cos(5), atol=1e-6)
    np.testing.assert_allclose(table[7, 63], np.sin(7 / 10_000), atol=1e-6)
