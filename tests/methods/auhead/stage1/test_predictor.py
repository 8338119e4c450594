"""Windows, joining, and what is reported: with a language model that answers from a script."""

import numpy as np
import pytest

from methods.auhead.stage1.orders import ORDERS
from methods.auhead.stage1.predictor import Speech, Stage1, fitted, windows
from methods.generator import GenerationError


class Scripted:
    """Answers with one vector per fifth of a second whose AU8 is what the audio begins it with, rounded."""

    seconds = 30.0
    num_parameters = 7

    def __init__(self, write=None):
        self.asked = []
        self.batches = []
        self.write = write or self.heard

    def answers(self, questions, max_new_tokens, constraint=None):
        self.asked += questions
        self.batches.append(len(questions))
        return [self.write(question) for question in questions]

    @staticmethod
    def heard(question):
        values = question.audio[::3200]
        return "happy, " + ", ".join(f"[[8, {round(float(value), 2)}]]" for value in values)


def stage1(model, order="a-e-au", **changes) -> Stage1:
    return Stage1(model, ORDERS[order], "Listen.", **{"window": 30.0, "tokens_per_vector": 50} | changes)


def stairs(seconds: float) -> np.ndarray:
    """float32 (S,): a step of 0.01 up every fifth of a second, from 0.01."""
    return np.repeat(0.01 * (1 + np.arange(round(5 * seconds)) % 90), 3200).astype(np.float32)


def test_35_seconds_are_asked_in_two_windows_and_joined_in_time():
    """Oracle: each vector says when it was heard."""
    model = Scripted()
    answer = stage1(model).predict_aus(stairs(35), 875, 25)
    assert sorted(len(question.audio) for question in model.asked) == [87 * 3200, 88 * 3200]
    expected = 0.01 * (1 + np.arange(175) % 90)
    np.testing.assert_allclose(answer.aus[::5, 8], expected, atol=1e-6)
    assert answer.aus.shape == (875, 24) and answer.emotion == "happy" and answer.problems == ()


@pytest.mark.parametrize(("count", "seconds"), [(1, 4.0), (20, 4.0), (21, 4.0), (175, 30.0), (451, 30.0), (7, 0.3)])
def test_windows_are_even_and_cover_everything(count, seconds):
    """Oracle: their definition."""
    spans = windows(count, seconds)
    assert spans[0][0] == 0 and spans[-1][1] == count
    assert all(one[1] == other[0] for one, other in zip(spans[:-1], spans[1:], strict=True))
    lengths = [stop - start for start, stop in spans]
    assert max(lengths) <= seconds * 5 and max(lengths) - min(lengths) <= 1 and min(lengths) >= 1


def test_what_the_model_cannot_hear_at_once_is_never_asked():
    """Oracle: the model's own limit, below the window asked for."""
    model = Scripted()
    model.seconds = 4.0
    stage1(model).predict_aus(stairs(9), 225, 25)
    assert [len(question.audio) / 16_000 for question in model.asked] == [3.0, 3.0, 3.0]


def test_missing_audio_is_silence_and_audio_beyond_the_frames_is_not_heard():
    """Oracle: the samples asked about."""
    model = Scripted()
    stage1(model).predict_aus(stairs(1), 50, 25)
    assert len(model.asked[0].audio) == 32_000 and not model.asked[0].audio[16_000:].any()
    stage1(model).predict_aus(stairs(4), 23, 25)
    assert len(model.asked[1].audio) == round(0.92 * 16_000)


def test_exactly_the_frames_asked_for():
    """Oracle: the request."""
    for num_frames, fps in ((1, 25), (5, 25), (48, 25), (13, 5), (61, 30), (100, 29.97)):
        assert stage1(Scripted()).predict_aus(stairs(5), num_frames, fps).aus.shape == (num_frames, 24)


def test_too_few_vectors_are_held_and_too_many_cut_and_both_said():
    """Oracle: by hand."""
    few = stage1(Scripted(lambda question: "sad, [[3, 0.1]], [[3, 0.4]]")).predict_aus(stairs(1), 5, 5)
    np.testing.assert_allclose(few.aus[:, 3], [0.1, 0.4, 0.4, 0.4, 0.4])
    assert few.problems == ("2 AU vectors in place of 5",)
    many = stage1(Scripted(lambda question: "sad, " + ", ".join(["[[3, 0.1]]"] * 9))).predict_aus(stairs(1), 5, 5)
    assert many.aus.shape == (5, 24) and many.problems == ("9 AU vectors in place of 5",)
    assert fitted([], 3) is None


def test_problems_of_the_parser_are_passed_on_with_their_window():
    """Oracle: an answer with AU 31 in it."""
    model = Scripted(lambda question: "sad, " + ", ".join(["[[31, 0.1], [2, 0.5]]"] * (len(question.audio) // 3200)))
    answer = stage1(model, window=1.0).predict_aus(stairs(2), 10, 5)
    assert len(answer.problems) == 10 and answer.problems[5].startswith("from 1 s: character 6:")
    assert answer.text.count("\n") == 1


def test_an_answer_without_a_vector_fails_the_case():
    """Oracle: there is nothing to make a face of; the message quotes the model."""
    mute = stage1(Scripted(lambda question: "I hear a man."))
    with pytest.raises(GenerationError, match="I hear a man"):
        mute.predict_aus(stairs(1), 5, 5)
    one_window = stage1(Scripted(lambda question: "sad, [[2, 0.5]]" if question.audio[0] > 0.05 else "?"), window=1.0)
    answer = one_window.predict_aus(stairs(2), 10, 5)
    assert not answer.aus[:5].any() and (answer.aus[5:, 2] == 0.5).all()


def test_the_given_emotion_is_asked_with_and_needed():
    """Oracle: order A+E -> AU of Table 1."""
    model = Scripted(lambda question: "[[2, 0.5]]")
    answer = stage1(model, "ae-au").predict_aus(stairs(0.2), 1, 5, emotion="fear")
    assert model.asked[0].text.startswith("Listen. The emotion of the current audio is fear. ")
    assert answer.emotion is None
    with pytest.raises(GenerationError, match="emotion"):
        stage1(model, "ae-au").predict_aus(stairs(0.2), 1, 5)


def test_silence_fails_the_case():
    """Oracle: nothing to hear; the message says so."""
    with pytest.raises(GenerationError, match="no speech"):
        stage1(Scripted()).predict_aus(np.zeros(32_000, np.float32), 10, 5)


def test_several_recordings_share_batches_and_keep_their_order():
    """Oracle: each recording alone."""
    speeches = [Speech(stairs(seconds) + 0.01 * n, round(5 * seconds), 5) for n, seconds in enumerate((2, 1, 3, 1))]
    model = Scripted()
    together = stage1(model, batch=2).predict_many(speeches)
    assert model.batches == [2, 2]
    for speech, answer in zip(speeches, together, strict=True):
        np.testing.assert_array_equal(answer.aus, stage1(Scripted()).predict_many([speech])[0].aus)


def test_the_emotion_of_most_windows_is_taken():
    """Oracle: two of three."""
    said = iter(["sad", "happy", "sad"])
    model = Scripted(lambda question: f"{next(said)}, " + ", ".join(["[]"] * (len(question.audio) // 3200)))
    assert stage1(model, window=1.0, batch=1).predict_aus(stairs(3), 15, 5).emotion == "sad"
