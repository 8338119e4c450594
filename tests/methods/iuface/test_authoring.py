"""Named expressions in OpenFace's AUs. Oracles: the definitions' own numbers, FACS numbers, `Expression.curve`."""

import numpy as np
import pytest

from bench.media import au
from bench.media.errors import UserError
from methods.iuface.authoring import EXPRESSIONS, expression_aus

NAMES = au.vocabulary("openface35").names


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_expressions_come_stay_and_go_within_the_range(name):
    aus = expression_aus(name, 100, 25.0)
    assert aus.shape == (100, 35) and aus.dtype == np.float32
    assert not aus[0].any() and aus[-1].max() < 1e-5 and aus.max(0)[:17].max() <= 5
    intensities, presences = aus[:, :17], aus[:, 17:]
    assert set(np.unique(presences)) <= {0, 1}
    assert np.abs(np.diff(intensities, axis=0)).max() < 3, "it jumps"
    for column, apex in EXPRESSIONS[name].aus.items():
        assert aus[:, NAMES.index(column)].max() == pytest.approx(apex, abs=0.1)


def test_a_smile_is_a_ramp_of_au12_and_one_of_au06():
    aus = expression_aus("smile:0.5", 75, 25.0)
    curve = EXPRESSIONS["smile"].curve(75, 25.0)
    np.testing.assert_allclose(aus[:, NAMES.index("AU12_r")], 0.5 * 3.5 * curve, atol=1e-5)
    np.testing.assert_allclose(aus[:, NAMES.index("AU06_r")], 0.5 * 2.0 * curve, atol=1e-5)
    moved = {NAMES[column] for column in np.flatnonzero(aus.any(0))}
    assert moved == {"AU06_r", "AU12_r", "AU06_c", "AU12_c"}


def test_presence_follows_intensity_at_level_a():
    aus = expression_aus("smile", 75, 25.0)
    np.testing.assert_array_equal(aus[:, NAMES.index("AU12_c")], aus[:, NAMES.index("AU12_r")] >= 1)
    assert not expression_aus("AU12:0.19", 75, 25.0)[:, 17:].any()
    lips = expression_aus("AU28", 75, 25.0)
    assert lips[:, NAMES.index("AU28_c")].sum() > 50 and lips.sum() == lips[:, NAMES.index("AU28_c")].sum()


def test_a_blink_is_a_train_of_au45():
    closed = expression_aus("blink", 250, 25.0)[:, NAMES.index("AU45_r")]
    starts = np.flatnonzero((closed[1:] > 0) & (closed[:-1] == 0))
    assert np.diff(starts).tolist() == [75, 75, 75]


def test_every_au_has_its_name():
    assert {name for name in EXPRESSIONS if name.startswith("AU")} == {name[:4] for name in NAMES}


def test_what_cannot_be_read_is_refused():
    with pytest.raises(UserError, match="did you mean smile"):
        expression_aus("smlie", 10, 25.0)
    with pytest.raises(UserError, match="no expression 'wink_left'"):
        expression_aus("wink_left", 10, 25.0)
