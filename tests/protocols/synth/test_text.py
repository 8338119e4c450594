"""Sentences and their pronunciation."""

import re

import pytest

from bench.media.errors import UserError
from protocols.synth.text import (
    CONSONANTS,
    SILENCE,
    TEST_SENTENCES,
    TRAIN_SENTENCES,
    VOWELS,
    lexicon,
    phonemes,
    pronounce,
)

ARPABET = "AA AE AH AO AW AY B CH D DH EH ER EY F G HH IH IY JH K L M N NG OW OY P R S SH T TH UH UW V W Y Z ZH"
"""The 39 phonemes of the CMU Pronouncing Dictionary."""


def bare(symbols: list[str]) -> set[str]:
    return {re.sub(r"\d$", "", symbol) for symbol in symbols} - {SILENCE}


def test_phoneme_set_is_that_of_cmudict():
    assert set(ARPABET.split()) == VOWELS | CONSONANTS


def test_sentences_are_disjoint_and_distinct():
    assert len(set(TRAIN_SENTENCES) | set(TEST_SENTENCES)) == len(TRAIN_SENTENCES) + len(TEST_SENTENCES) == 60


def test_lexicon_holds_exactly_the_words_of_the_sentences():
    """Oracle: the words, split off independently of the module."""
    words = " ".join(TRAIN_SENTENCES + TEST_SENTENCES).lower()
    assert set(lexicon()) == set(re.sub(r"[^a-z ]", "", words).split())


@pytest.mark.parametrize("sentences", [TRAIN_SENTENCES, TEST_SENTENCES], ids=["train", "test"])
def test_sentences_cover_every_phoneme_and_use_no_other(sentences):
    """Oracle: the list above."""
    assert set().union(*(bare(phonemes(text)) for text in sentences)) == set(ARPABET.split())


def test_vowels_and_only_vowels_carry_stress():
    for sounds in lexicon().values():
        assert all((sound[-1] in "01") == (sound.rstrip("01") in VOWELS) for sound in sounds)
        assert sum(sound.endswith("1") for sound in sounds) <= 1


def test_pauses_stand_at_both_ends_and_at_punctuation():
    """Oracle: written by hand."""
    said = phonemes("Bob, my boy!")
    assert said == ["SIL", "B", "AA1", "B", "SIL", "M", "AY0", "B", "OY1", "SIL"]


@pytest.mark.parametrize(
    ("word", "sounds"),
    [
        ("ship", "SH IH1 P"),
        ("bike", "B AY1 K"),
        ("night", "N AY1 T"),
        ("quick", "K W IH1 K"),
        ("nice", "N AY1 S"),
        ("page", "P EY1 JH"),
        ("phone", "F OW1 N"),
        ("queen", "K W IY1 N"),
        ("hedge", "HH EH1 JH"),
        ("string", "S T R IH1 NG"),
        ("think", "TH IH1 NG K"),
        ("fox", "F AA1 K S"),
    ],
)
def test_words_out_of_the_lexicon_follow_rules(word, sounds):
    """Oracle: how these words are said."""
    assert word not in lexicon()
    assert pronounce(word) == sounds.split()


@pytest.mark.parametrize("word", ["zyxquil", "rhythm", "aeiou", "bcdfgh", "e", "o'clock", *"bcdfghjklmnopqrstuvwxyz"])
def test_any_letters_can_be_said(word):
    assert bare(phonemes(word)) and bare(phonemes(word)) <= set(ARPABET.split())


@pytest.mark.parametrize("sentence", TRAIN_SENTENCES + TEST_SENTENCES)
def test_sentences_show_on_the_mouth(sentence):
    """Each has a sound made with the lips, five vowels and a stressed one, or nothing could be synchronised by it."""
    said = phonemes(sentence)
    assert {"P", "B", "M", "F", "V", "W"} & set(said)
    assert sum(symbol[:-1] in VOWELS for symbol in said) >= 5
    assert any(symbol.endswith("1") for symbol in said)


def test_apostrophes_and_capitals_change_nothing():
    assert phonemes('(we) "will" - go') == phonemes("we will go")
    assert phonemes("WE\u2019LL") == phonemes("well") == phonemes("we'll")


@pytest.mark.parametrize("text", ["", " ... ", "!", "'"])
def test_a_text_without_words_is_refused(text):
    with pytest.raises(UserError, match="at least one English word"):
        phonemes(text)


@pytest.mark.parametrize("text", ["room 5", "caf\u00e9", "a & b"])
def test_what_is_no_letter_is_refused_by_name(text):
    with pytest.raises(UserError, match="cannot say '[5\u00e9&]'"):
        phonemes(text)
