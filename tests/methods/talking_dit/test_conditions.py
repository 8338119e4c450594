"""Batches of conditions. Oracle: the rows themselves."""

import pytest
import torch

from methods.talking_dit.conditions import Conditions
from tests.methods.talking_dit.small import conditions


def test_rows_are_joined_and_chosen():
    one, two = conditions(1, seed=2, silent=torch.tensor([True])), conditions(2, seed=30)
    joined = Conditions.cat([one, two])
    assert len(joined) == 3
    assert joined.silent.tolist() == [True, False, False]  # what a part does not say is False
    assert joined.null_aus is None
    assert torch.equal(joined[1:].aus, two.aus)
    chosen = joined[[2, 0, 0]]
    assert torch.equal(chosen.text, torch.cat([two.text[1:], one.text, one.text]))
    assert chosen.silent.tolist() == [False, True, True]


def test_rows_must_agree_in_what_they_have():
    with pytest.raises(ValueError, match="aus"):
        Conditions.cat([conditions(), conditions(aus=None)])


def test_only_floats_change_their_type():
    moved = conditions(silent=torch.tensor([True]), vocal=None).to(dtype=torch.bfloat16)
    assert moved.text.dtype == moved.aus.dtype == torch.bfloat16
    assert moved.silent.dtype == torch.bool and moved.vocal is None
