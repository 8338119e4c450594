"""Answers as models write them. Oracle of the corpus: what a person reads in each text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from methods.auhead.stage1.parse import parse

TWO = [{2: 1.0, 8: 0.52}, {3: 0.08}]


@pytest.mark.parametrize(
    ("text", "emotion", "vectors"),
    [
        ("surprise, [[2, 1.0], [8, 0.52]], [[3, 0.08]]", "surprise", TWO),
        ("[[2, 1.0], [8, 0.52]], [[3, 0.08]], surprise", "surprise", TWO),
        ("[(2, 1.0), (8, .52)], [(3, .08)]", None, TWO),
        ("happy, [(2,1),(8,.52)],[(3,0.08)]", "happy", TWO),
        ("  Happy \n [ [ 2 , 1.0 ] , [ 8 , 0.52 ] ] ; [ [ 3 , .08 ] ]  ", "happy", TWO),
        ("[[[2, 1.0], [8, 0.52]], [[3, 0.08]]]", None, TWO),
        ("((2, 1.0), (8, 0.52)), ((3, 0.08))", None, TWO),
        ("[[AU2, 1.0], [au8, 0.52]], [[AU3: 0.08]]", None, TWO),
        ('"fear", [[2, 1.0], [8, 0.52]], [[3, 0.08]].', "fear", TWO),
        ("The emotion is disgusted. The AU sequence is [[2, 1.0], [8, 0.52]], [[3, 0.08]].", "disgusted", TWO),
        ("bored, [[2, 1.0], [8, 0.52]], [[3, 0.08]]", "bored", TWO),
        ("[], [[3, 0.08]], []", None, [{}, {3: 0.08}, {}]),
        ("sad, [[3, 1.]]", "sad", [{3: 1.0}]),
        ("{(0, .38), (1, .45), (21, .84), (22, .90)}", None, [{0: 0.38, 1: 0.45, 21: 0.84, 22: 0.9}]),  # footnote 2
        ("{(2, 1.0), (8, .52)}, {(3, .08)}", None, TWO),
        ("[{[2, 1.0], [8, 0.52]}, {[3, 0.08]}]", None, TWO),
        ("[(0, .12), (1, .10)]", None, [{0: 0.12, 1: 0.1}]),  # the prompt of appendix C
        ('{"emotion": "happy", "aus": [[[2, 1.0], [8, 0.52]], [[3, 0.08]]]}', "happy", TWO),
    ],
)
def test_every_form_is_read_without_a_problem(text, emotion, vectors):
    found = parse(text)
    assert (found.emotion, found.vectors, found.problems) == (emotion, vectors, [])


def test_the_answer_that_the_paper_prints():
    """Oracle: appendix C, word for word with its dots; the bracket at its end is the only one without a partner."""
    found = parse(
        "surprise, [[2, 1.0], [3, 1.0], [6, 1.0], [7, 1.0], [8, 0.52], [18, 0.17], [19, 0.11]], "
        "[[2, 1.0], [3, 1.0], [6, 1.0], [7, 1.0], [18, 0.19], [19, 0.08]], ... ]"
    )
    assert found.emotion == "surprise"
    assert found.vectors == [
        {2: 1.0, 3: 1.0, 6: 1.0, 7: 1.0, 8: 0.52, 18: 0.17, 19: 0.11},
        {2: 1.0, 3: 1.0, 6: 1.0, 7: 1.0, 18: 0.19, 19: 0.08},
    ]
    assert len(found.problems) == 1 and found.problems[0].endswith("closes nothing")


@pytest.mark.parametrize(
    ("text", "vectors", "place", "says"),
    [
        ("[[2, 1.0], [8, 0.5", [{2: 1.0}], 11, "cut off"),
        ("[[2, 1.0], [8, 0.52]], [[3", [{2: 1.0, 8: 0.52}], 24, "cut off"),
        ("[[2, 1.0], [8, 0.52]", [{2: 1.0, 8: 0.52}], 20, "ends inside"),
        ("[[2, 1.0]], [", [{2: 1.0}], 12, "cut off"),
        ("[[2, 1.0]], [[3, 0.1], ", [{2: 1.0}, {3: 0.1}], 23, "ends inside"),
        ("[[31, 0.2], [3, 0.1]]", [{3: 0.1}], 1, "no AU"),
        ("[[24, 0.2]]", [{}], 1, "no AU"),
        ("[[3, 0.1], [3, 0.2]]", [{3: 0.1}], 11, "again"),
        ("[[3, 1.7]]", [{3: 1.0}], 1, "outside"),
        ("[[3, -0.2]]", [{3: 0.0}], 1, "outside"),
        ("[[3 0.1], [4, 0.2]]", [{4: 0.2}], 1, "no pair"),
        ("[[3, x], [4, 0.2]]", [{4: 0.2}], 1, "no pair"),
        ("[3, 0.1], [4, 0.2]", [{3: 0.1, 4: 0.2}], 0, "without a bracket"),
        ("[[3, 0.1]]]", [{3: 0.1}], 10, "closes nothing"),
        ("[[3, 0.1]] %", [{3: 0.1}], 11, "out of place"),
        ("happy, [[3, 0.1]], sad", [{3: 0.1}], 19, "not understood"),
        ("one two, [[3, 0.1]]", [{3: 0.1}], 0, "not understood"),
        ("[[3, 0.1], [[4, 0.2]]", [{3: 0.1}, {4: 0.2}], 11, "inside another"),
        ("{(2, 1.0), (8, .5", [{2: 1.0}], 11, "cut off"),
        ("{(3, 0.1)}}", [{3: 0.1}], 10, "closes nothing"),
    ],
)
def test_what_cannot_be_read_is_reported_with_its_place(text, vectors, place, says):
    found = parse(text)
    assert found.vectors == vectors
    assert any(problem.startswith(f"character {place}:") and says in problem for problem in found.problems), (
        found.problems
    )


@pytest.mark.parametrize("text", ["", "   ", "I cannot hear any speech.", "]]]]", "[[[[", "((((((1, .5"])
def test_texts_without_a_vector_give_none(text):
    assert parse(text).vectors == []


def test_the_first_of_two_emotions_is_taken():
    found = parse("angry, [[3, 0.1]], sad")
    assert found.emotion == "angry" and len(found.problems) == 1


def test_a_nonsense_answer_of_any_length_takes_linear_time():
    """Oracle: 200,000 characters within the test's few seconds; a quadratic reader takes minutes."""
    for text in ("[" * 200_000, "{" * 200_000, "[1, " * 50_000, "[[2, 1.0]" * 20_000, "a " * 100_000):
        parse(text)


@given(st.text(alphabet="[](){}, .0123456789ahpy-:AU\n", max_size=80))
def test_nothing_raises_and_values_stay_within_bounds(text):
    found = parse(text)
    assert all(0 <= index < 24 and 0 <= value <= 1 for vector in found.vectors for index, value in vector.items())


@given(st.text(max_size=60))
def test_nothing_raises_on_any_characters(text):
    parse(text)
