"""Action Units as text: the paper's own examples, round trips, the two rates."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.media.errors import UserError
from methods.auhead.stage1.orders import ORDERS
from methods.auhead.stage1.parse import parse
from methods.auhead.stage1.prompt import AU_NAMES, INSTRUCTIONS, read_prompt
from methods.auhead.stage1.text import dense, downsampled, num_vectors, sparse, upsampled, written

vectors = st.lists(
    st.dictionaries(st.integers(0, 23), st.integers(1, 100).map(lambda hundredths: hundredths / 100)),
    min_size=1,
    max_size=6,
)


def test_the_paper_s_dense_vector_becomes_its_pairs():
    """Oracle: footnote 2 of the paper."""
    aus = np.zeros(24, np.float32)
    aus[[0, 1, 21, 22]] = [0.38, 0.45, 0.84, 0.90]
    assert sparse(aus[None]) == [{0: 0.38, 1: 0.45, 21: 0.84, 22: 0.9}]


def test_an_answer_is_laid_out_as_in_appendix_c():
    """Oracle: the beginning of the appendix's assistant message."""
    first = {2: 1.0, 3: 1.0, 6: 1.0, 7: 1.0, 8: 0.52, 18: 0.17, 19: 0.11}
    second = {2: 1.0, 3: 1.0, 6: 1.0, 7: 1.0, 18: 0.19, 19: 0.08}
    assert ORDERS["a-e-au"].answer("surprise", [first, second]) == (
        "surprise, [[2, 1.0], [3, 1.0], [6, 1.0], [7, 1.0], [8, 0.52], [18, 0.17], [19, 0.11]], "
        "[[2, 1.0], [3, 1.0], [6, 1.0], [7, 1.0], [18, 0.19], [19, 0.08]]"
    )


def test_lambda_keeps_what_is_strictly_above_it():
    """Oracle: Eq. 3 by hand; 0.004 rounds to 0.00 and is not written."""
    aus = np.zeros((1, 24))
    aus[0, :4] = [0.004, 0.006, 0.2, 0.21]
    assert sparse(aus) == [{1: 0.01, 2: 0.2, 3: 0.21}]
    assert sparse(aus, threshold=0.2) == [{3: 0.21}]
    assert sparse(aus.astype(np.float32), threshold=0.2) == [{3: 0.21}]
    assert sparse(aus, threshold=0.005) == [{1: 0.01, 2: 0.2, 3: 0.21}]


def test_lambda_is_compared_with_the_value_before_it_is_rounded():
    """Oracle: Eq. 3 by hand: 0.104 lies above 0.1 and is written 0.1; 0.096 lies below 0.098 and is not written 0.1."""
    aus = np.zeros((1, 24), np.float32)
    aus[0, :2] = [0.104, 0.096]
    assert sparse(aus, threshold=0.1) == [{0: 0.1}]
    assert sparse(aus, threshold=0.098) == [{0: 0.1}]


@given(vectors, st.sampled_from(sorted(ORDERS)), st.sampled_from(["happy", "fear", "neutral"]))
def test_what_is_written_is_read_back(chosen, order, emotion):
    """Oracle: the vectors themselves."""
    text = ORDERS[order].answer(emotion, chosen)
    found = parse(text)
    assert found.vectors == chosen
    assert found.problems == []
    assert found.emotion == (emotion if ORDERS[order].emotion in ("first", "last") else None)


@given(vectors)
def test_dense_and_sparse_are_inverse(chosen):
    """Oracle: identity, on values of two decimals."""
    assert sparse(dense(chosen)) == chosen


def test_indices_are_written_in_ascending_order():
    """Oracle: section 3.2, the order of the indices is fixed."""
    assert written([{7: 0.5, 2: 0.25}]) == "[[2, 0.25], [7, 0.5]]"


def test_every_fifth_row_of_25_fps_is_kept():
    """Oracle: gamma = 0.2 by slicing."""
    aus = np.random.default_rng(0).random((63, 24)).astype(np.float32)
    np.testing.assert_array_equal(downsampled(aus, 25), aus[::5])
    np.testing.assert_array_equal(downsampled(aus, 5), aus)
    assert num_vectors(63, 25) == 13 and num_vectors(1, 25) == 1 and num_vectors(50, 25) == 10


@given(st.integers(1, 90), st.sampled_from([5.0, 12.5, 24.0, 25.0, 29.97, 30.0]))
def test_any_rate_comes_back_as_exactly_so_many_frames(num_frames, fps):
    """Oracle: a ramp in time, which both directions keep up to a frame; the last vector is held."""
    ramp = np.repeat((np.arange(num_frames) / fps)[:, None], 24, axis=1)
    slow = downsampled(ramp, fps)
    assert len(slow) == num_vectors(num_frames, fps)
    back = upsampled(slow, num_frames, fps)
    assert back.shape == (num_frames, 24) and back.dtype == np.float32
    held = ramp[:, 0] > (len(slow) - 1) / 5
    assert np.abs(back - ramp)[~held].max(initial=0) <= 1 / fps + 1e-5
    np.testing.assert_allclose(back[held], np.broadcast_to(slow[-1], back[held].shape), atol=1e-6)


def test_upsampling_is_linear_between_vectors():
    """Oracle: by hand, 0 to 1 within five frames."""
    slow = np.zeros((2, 24))
    slow[1] = 1
    np.testing.assert_allclose(upsampled(slow, 7, 25)[:, 3], [0, 0.2, 0.4, 0.6, 0.8, 1, 1], atol=1e-6)


def test_questions_of_the_four_orders():
    """Oracle: Table 1; only A+E -> AU holds the emotion, and it refuses to do without."""
    assert list(ORDERS) == ["ae-au", "a-au", "a-au-e", "a-e-au"]
    assert "sad" in ORDERS["ae-au"].ask("sad")
    assert all("sad" not in ORDERS[name].ask("sad") for name in ("a-au", "a-au-e", "a-e-au"))
    assert (
        ORDERS["a-e-au"].ask(None)
        == "What is the emotion of the current audio? What is the AU sequence of the current audio?"
    )
    with pytest.raises(ValueError, match="ae-au"):
        ORDERS["ae-au"].ask(None)
    vector = [{3: 0.5}]
    assert [ORDERS[name].answer("sad", vector) for name in ORDERS] == [
        "[[3, 0.5]]", "[[3, 0.5]]", "[[3, 0.5]], sad", "sad, [[3, 0.5]]",
    ]  # fmt: skip


def test_the_instructions_name_every_au(tmp_path):
    """Oracle: the numbers of appendix C, AU0 to AU23."""
    assert len(AU_NAMES) == 24
    assert all(f"AU{index} {name}" in INSTRUCTIONS for index, name in enumerate(AU_NAMES))
    assert read_prompt(None) == INSTRUCTIONS
    (tmp_path / "own.txt").write_text("Listen.\n")
    assert read_prompt(tmp_path / "own.txt") == "Listen."
    with pytest.raises(UserError, match="no such file"):
        read_prompt(tmp_path / "none.txt")
