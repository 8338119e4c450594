"""Expressions, files and stretched tracks. Oracles: the definitions' own numbers, numpy.interp, bench.media.au."""

import numpy as np
import pytest
from pydantic import ValidationError

from bench.media import au
from bench.media.errors import MediaError, UserError
from bench.media.head import Head
from methods.auhead.authoring import EXPRESSIONS, expression_aus
from methods.auhead.config import AUHeadMemoConfig
from methods.conditioning.aus import Expression, file_aus, stretched
from methods.generator import GenerationError

NAMES = au.vocabulary("feafa24").names


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_expressions_come_stay_and_go_within_the_range(name):
    aus = expression_aus(name, 100, 25.0)
    assert aus.shape == (100, 24) and aus.dtype == np.float32
    assert not aus[0].any() and aus[-1].max() < 1e-6
    assert np.abs(np.diff(aus, axis=0)).max() < 0.7, "it jumps"
    for unit, apex in EXPRESSIONS[name].aus.items():
        assert aus[:, NAMES.index(unit)].max() == pytest.approx(apex, abs=0.02)
    assert set(np.flatnonzero(aus.any(0))) == {NAMES.index(unit) for unit in EXPRESSIONS[name].aus}


def test_a_wink_closes_the_eye_of_its_side():
    """Left is the person's: x > 0 on the head (bench.media.mesh)."""
    face = Head()
    for name, sign in (("wink_left", 1), ("wink_right", -1)):
        aus = expression_aus(name, 50, 25.0)
        moved = face.vertices(aus[aus.sum(1).argmax()]) - face.vertices(aus[0])
        down = moved[:, 1].argmin()
        assert np.sign(face.vertices(aus[0])[down, 0]) == sign


def test_ramps_are_half_cosines_around_a_plateau():
    curve = Expression({}, start=0.2, onset=0.4, apex=0.2, offset=0.8).curve(60, 25.0)
    times = np.arange(60) / 25
    expected = np.select(
        [times < 0.2, times < 0.6, times < 0.8, times < 1.6],
        [0, (1 - np.cos(np.pi * (times - 0.2) / 0.4)) / 2, 1, (1 - np.cos(np.pi * (1.6 - times) / 0.8)) / 2],
        0,
    )
    np.testing.assert_allclose(curve, expected, atol=1e-12)


def test_a_blink_returns():
    closed = expression_aus("blink", 250, 25.0)[:, 0]
    starts = np.flatnonzero((closed[1:] > 0) & (closed[:-1] == 0))
    assert np.diff(starts).tolist() == [75, 75, 75]


def test_intensity_scales_and_the_larger_value_counts():
    smile, half = expression_aus("smile", 50, 25.0), expression_aus("smile:0.5", 50, 25.0)
    np.testing.assert_allclose(half, 0.5 * smile, atol=1e-6)
    both = expression_aus("smile:0.5 + happiness", 50, 25.0)
    np.testing.assert_array_equal(both, np.maximum(half, expression_aus("happiness", 50, 25.0)))


@pytest.mark.parametrize("num_frames", [1, 2, 10])
def test_a_short_video_shows_what_fits(num_frames):
    assert np.isfinite(expression_aus("smile", num_frames, 25.0)).all()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("smlie", "did you mean smile"),
        ("smile:2", "0 to 1"),
        ("smile:x", "0 to 1"),
        ("smile:nan", "0 to 1"),
        ("", "''"),
    ],
)
def test_what_cannot_be_read_is_refused(text, says):
    with pytest.raises(UserError, match=says):
        expression_aus(text, 10, 25.0)


def test_stretching_is_linear_and_keeps_the_ends():
    aus = np.random.default_rng(0).random((7, 24), np.float32)
    for num_frames in (1, 7, 19):
        found = stretched(aus, num_frames, "feafa24")
        for column in range(24):
            at = np.linspace(0, 6, num_frames)
            np.testing.assert_allclose(found[:, column], np.interp(at, np.arange(7), aus[:, column]), atol=1e-6)
    np.testing.assert_array_equal(stretched(aus, 7, "feafa24"), aus)


@pytest.mark.parametrize("suffix", [".csv", ".json"])
def test_a_file_at_five_rows_a_second_drives_a_video_at_25(tmp_path, suffix):
    track = au.AUTrack(np.random.default_rng(0).random((10, 24), np.float32), 5.0, "feafa24")
    path = tmp_path / f"track{suffix}"
    au.write(track, path)
    np.testing.assert_allclose(file_aus(path, 50, 25.0, "feafa24"), track.resample(25.0, 50).values)
    np.testing.assert_allclose(file_aus(path, 80, 25.0, "feafa24", "stretch"), stretched(track.values, 80, "feafa24"))


def test_files_of_another_length_or_vocabulary_are_refused(tmp_path):
    path = tmp_path / "track.csv"
    au.write(au.AUTrack(np.zeros((50, 24), np.float32), 25.0, "feafa24"), path)
    with pytest.raises(GenerationError, match="lasts 2.00 s and the video 3.00 s.*aus_length=stretch"):
        file_aus(path, 75, 25.0, "feafa24")
    au.write(au.AUTrack(np.zeros((50, 17), np.float32), 25.0, "openface17"), path)
    with pytest.raises(MediaError, match="feafa24"):
        file_aus(path, 50, 25.0, "feafa24")
    with pytest.raises(MediaError, match="nowhere"):
        file_aus(tmp_path / "nowhere.csv", 50, 25.0, "feafa24")


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"expression": "smlie"}, "did you mean smile"),
        ({"aus": "a.csv"}, "au_source=file"),
        ({"au_source": "file"}, "aus=FILE"),
        ({"au_source": "none", "expression": "smile"}, "au_source=file"),
        ({"au_source": "driving", "emotional_audio": "a.wav"}, "au_source=stage1"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings, says):
    with pytest.raises(ValidationError, match=says):
        AUHeadMemoConfig(**settings)
