"""Utterances on disk. Oracle: `perform`."""

import numpy as np

from methods.synth.utterances import Utterances as Read
from protocols.synth.text import TEST_SENTENCES, phonemes
from protocols.synth.utterances import PHONEMES, Utterances, perform_utterance, write_utterances

WHICH = Utterances(count=5, people=3, split="test")


def test_arrays_hold_what_is_performed(tmp_path):
    write_utterances(tmp_path, WHICH, workers=1)
    read = Read(tmp_path)
    assert len(read) == 5 and len(set(PHONEMES)) == 40
    for n in range(5):
        one, performed = read[n], perform_utterance(WHICH, n)
        for name, value in performed.items():
            np.testing.assert_array_equal(getattr(one, name), value)
        assert len(one.audio) == 640 * len(one.aus) and one.times[-1, 1] <= len(one.audio) / 16000 + 0.04
        np.testing.assert_allclose(one.times[1:, 0], one.times[:-1, 1], atol=1e-6)
    said = {tuple(PHONEMES.index(symbol.rstrip("012")) for symbol in phonemes(text)) for text in TEST_SENTENCES}
    assert all(tuple(read[n].phonemes) in said for n in range(5))


def test_complete_folder_is_left_as_it_is(tmp_path):
    write_utterances(tmp_path, WHICH, workers=1)
    before = (tmp_path / "audio.npy").stat().st_mtime_ns
    write_utterances(tmp_path, WHICH, workers=1)
    assert (tmp_path / "audio.npy").stat().st_mtime_ns == before


def test_every_emotion_and_shuffled_words_are_there():
    which = Utterances(count=40, people=20, split="train")
    made = [perform_utterance(which, n) for n in range(40)]
    assert {one["emotion"] for one in made} == set(range(8))
    assert {one["level"] for one in made} == {1, 2, 3}
    assert all(one["level"] == 1 for one in made if one["emotion"] == 0)
    assert all(1 <= one["person"] <= 20 for one in made)
