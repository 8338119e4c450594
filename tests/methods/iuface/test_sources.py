"""Where AUs come from. Oracle: what the request, a file or a map holds."""

import numpy as np
import pytest
from pydantic import ValidationError

from bench.media import au
from bench.media.au_maps import FEAFA_TO_OPENFACE
from bench.media.errors import MediaError
from methods.generator import GenerationError
from methods.iuface.authoring import expression_aus
from methods.iuface.config import IUFaceConfig
from methods.iuface.sources import request_aus
from tests.methods.fakes import request

HIGH = np.array(au.vocabulary("openface35").high, np.float32)
RNG = np.random.default_rng(0)
TRACK = np.concatenate([5 * RNG.random((30, 17)), RNG.integers(0, 2, (30, 18))], axis=1).astype(np.float32)


def written(path, values=TRACK, rate=25.0, vocabulary="openface35"):
    au.write(au.AUTrack(np.asarray(values, np.float32), rate, vocabulary), path)
    return path


def found(asked, **settings):
    return request_aus(IUFaceConfig(**settings), asked)


def test_the_driving_video_and_nothing():
    asked = request(30, aus=TRACK)
    np.testing.assert_array_equal(found(asked), TRACK)
    assert found(asked, au_source="none") is None


@pytest.mark.parametrize("name", ["track.csv", "track.json"])
def test_a_file_in_openface_columns(tmp_path, name):
    path = written(tmp_path / name)
    np.testing.assert_array_equal(found(request(30), au_source="file", aus=path), TRACK)


def test_a_file_in_another_vocabulary_goes_through_the_map(tmp_path):
    values = RNG.random((30, 24)).astype(np.float32)
    path = written(tmp_path / "track.csv", values, vocabulary="feafa24")
    np.testing.assert_array_equal(found(request(30), au_source="file", aus=path), FEAFA_TO_OPENFACE(values))


def test_its_own_columns_count_where_a_file_holds_both(tmp_path):
    path = tmp_path / "track.csv"
    other = au.AUTrack(RNG.random((30, 24)).astype(np.float32), 25.0, "feafa24")
    au.write(other, path, au.AUTrack(TRACK, 25.0, "openface35"))
    np.testing.assert_array_equal(found(request(30), au_source="file", aus=path), TRACK)


def test_stretching_keeps_presences_whole(tmp_path):
    path = written(tmp_path / "track.csv")
    aus = found(request(44), au_source="file", aus=path, aus_length="stretch")
    assert set(np.unique(aus[:, 17:])) == {0, 1}
    at = np.linspace(0, 29, 44)
    np.testing.assert_allclose(aus[:, 3], np.interp(at, np.arange(30), TRACK[:, 3]), rtol=1e-5)
    np.testing.assert_array_equal(aus[[0, -1]], TRACK[[0, -1]])


def test_an_expression_lies_over_them():
    over = found(request(30, aus=TRACK), expression="smile")
    np.testing.assert_array_equal(over, np.maximum(TRACK, expression_aus("smile", 30, 25.0)))
    alone = found(request(30), au_source="file", expression="surprise:0.5+blink")
    np.testing.assert_array_equal(alone, expression_aus("surprise:0.5+blink", 30, 25.0))


@pytest.mark.parametrize(
    ("aus", "says"),
    [
        (None, "no AUs"),
        (np.zeros((30, 24), np.float32), "35 of openface35"),
        (np.zeros((29, 35), np.float32), "29 rows for 30 frames"),
        (np.full((30, 35), np.nan, np.float32), "no values in 30 of 30"),
        (2 * np.eye(30, 35, 20, dtype=np.float32), r"AU05_c lies in \[0, 2\]"),
    ],
)
def test_aus_that_cannot_be_used_are_refused(aus, says):
    with pytest.raises(GenerationError, match=says):
        found(request(30, aus=aus))


def test_files_that_cannot_be_used_are_refused(tmp_path):
    with pytest.raises(GenerationError, match="lasts 1.20 s and the video 2.00 s.*aus_length=stretch"):
        found(request(50), au_source="file", aus=written(tmp_path / "short.csv"))
    unmapped = written(tmp_path / "other.json", np.zeros((30, 24)), vocabulary="libreface24")
    with pytest.raises(MediaError, match="no map from libreface24 to openface35"):
        found(request(30), au_source="file", aus=unmapped)
    with pytest.raises(MediaError, match="nowhere"):
        found(request(30), au_source="file", aus=tmp_path / "nowhere.csv")


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"expression": "smlie"}, "did you mean smile"),
        ({"aus": "a.csv"}, "au_source=file"),
        ({"au_source": "file"}, "aus=FILE"),
        ({"au_source": "none", "expression": "smile"}, "au_source=file"),
        ({"au_source": "stage1"}, "driving"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings, says):
    with pytest.raises(ValidationError, match=says):
        IUFaceConfig(**settings)
