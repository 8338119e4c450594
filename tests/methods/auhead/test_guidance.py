"""Disentanglement guidance. Oracle: Eq. 6 evaluated with exact fractions; identities that follow from it."""

from fractions import Fraction

import numpy as np
import pytest

from methods.auhead.guidance import disentanglement_guidance


@pytest.fixture
def four():
    """e(phi, phi), e(H, phi), e(phi, AU), e(H, AU)."""
    return np.random.default_rng(0).standard_normal((4, 2, 3, 4, 8, 8))


def test_is_eq_6_term_by_term():
    null, human, aus, both = (Fraction(n, 7) for n in (3, -5, 11, 2))
    s_h, s_au = Fraction(7, 2), Fraction(9, 4)
    expected = aus + s_h * human - s_h * null + s_au * both - s_au * human
    assert disentanglement_guidance(null, human, aus, both, s_h, s_au) == expected


def test_without_scales_the_aus_alone_are_left(four):
    assert (disentanglement_guidance(*four, 0.0, 0.0) == four[2]).all()


def test_without_the_au_scale_the_aus_still_act_once(four):
    null, human, aus, both = four
    np.testing.assert_allclose(disentanglement_guidance(*four, 3.5, 0.0), aus + 3.5 * (human - null))


def test_without_the_base_scale_only_aus_under_h_are_strengthened(four):
    null, human, aus, both = four
    np.testing.assert_allclose(disentanglement_guidance(*four, 0.0, 3.5), aus + 3.5 * (both - human))


@pytest.mark.parametrize("au_scale", [0.0, 1.0, 3.5])
def test_null_aus_leave_the_guidance_of_the_base_to_the_last_bit(four, au_scale):
    null, human = four[:2].astype(np.float32)
    assert (disentanglement_guidance(null, human, null, human, 3.5, au_scale) == null + 3.5 * (human - null)).all()


def test_scales_of_one_do_not_collapse_to_the_conditional_prediction(four):
    null, human, aus, both = four
    guided = disentanglement_guidance(*four, 1.0, 1.0)
    np.testing.assert_allclose(guided, both + (aus - null))
    assert np.abs(guided - both).max() > 1


@pytest.mark.parametrize("au_scale", [0.0, 1.0, 3.5])
def test_what_aus_add_to_either_prediction_counts_one_plus_their_scale(four, au_scale):
    null, human, added = four[:3]
    guided = disentanglement_guidance(null, human, null + added, human + added, 3.5, au_scale)
    np.testing.assert_allclose(guided, null + 3.5 * (human - null) + (1 + au_scale) * added)
