"""Where AUs come from. Oracle: what a recorded stage 1, a file or the request itself holds."""

import wave

import numpy as np
import pytest

from bench.media import au
from bench.media.errors import UserError
from methods.auhead import sources
from methods.auhead.authoring import expression_aus
from methods.auhead.config import AUHeadMemoConfig
from methods.auhead.generator import added_weights
from methods.auhead.sources import AUSource
from methods.conditioning.aus import stretched
from methods.generator import AUAnswer, GenerationError
from tests.methods.fakes import request

TRACK = np.random.default_rng(0).random((30, 24), np.float32)


class Stage1:
    """Answers with the same track, and remembers what it was asked."""

    num_parameters = 7

    def __init__(self):
        self.asked = []

    def predict_aus(self, audio, num_frames, fps, emotion=None):
        self.asked.append((audio, num_frames, fps, emotion))
        return AUAnswer("happy", TRACK[:num_frames])


@pytest.fixture
def stage1(monkeypatch):
    heard = Stage1()
    monkeypatch.setattr(sources, "load_stage1", lambda config, files, device: heard)
    return heard


def source(**settings):
    return AUSource(AUHeadMemoConfig(**settings), {})


def test_stage_1_hears_the_speech_of_the_request(stage1):
    asked = request(20, emotion="happy")
    assert (source()(asked) == TRACK[:20]).all()
    (call,) = stage1.asked
    assert call[0] is asked.audio and call[1:] == (20, 25.0, "happy")


def test_an_emotional_reading_is_heard_instead_and_stretched(stage1, tmp_path):
    """Appendix B: 0.8 s of another reading, 20 frames, drive 12 frames of neutral speech."""
    samples = (0.1 * np.random.default_rng(1).standard_normal(12800)).astype(np.float32)
    with wave.open(str(tmp_path / "reading.wav"), "wb") as file:
        file.setparams((1, 2, 16000, len(samples), "NONE", ""))
        file.writeframes((samples * 32767).astype("<i2").tobytes())
    found = source(emotional_audio=tmp_path / "reading.wav")(request(12))
    assert (found == stretched(TRACK[:20], 12, "feafa24")).all()
    np.testing.assert_allclose(stage1.asked[0][0], samples, atol=1e-4)


def test_the_driving_video_and_nothing(stage1):
    assert (source(au_source="driving")(request(9, aus=TRACK[:9])) == TRACK[:9]).all()
    assert source(au_source="none")(request(9, aus=TRACK[:9])) is None
    assert not stage1.asked


def test_a_file_with_an_expression_over_it(tmp_path):
    au.write(au.AUTrack(TRACK, 25.0, "feafa24"), tmp_path / "track.csv")
    found = source(au_source="file", aus=tmp_path / "track.csv", expression="smile")(request(30))
    assert (found == np.maximum(TRACK, expression_aus("smile", 30, 25.0))).all()


def test_an_expression_alone_starts_from_rest():
    found = source(au_source="file", expression="anger:0.5")(request(30))
    assert (found == expression_aus("anger:0.5", 30, 25.0)).all()


def test_stage_1_must_be_there_when_it_is_the_source():
    with pytest.raises(UserError, match="bench train auhead_stage1"):
        source()


@pytest.mark.parametrize(
    ("aus", "says"),
    [
        (None, "no AUs"),
        (np.zeros((9, 17), np.float32), "feafa24"),
        (np.zeros((8, 24), np.float32), "8 rows for 9 frames"),
        (np.full((9, 24), np.nan, np.float32), "no values in 9 of 9"),
        (np.full((9, 24), 5, np.float32), "another scale"),
    ],
)
def test_aus_that_cannot_be_used_are_refused(aus, says):
    with pytest.raises(GenerationError, match=says):
        source(au_source="driving")(request(9, aus=aus))


def test_weights_are_those_of_the_settings():
    assert added_weights("memo", AUHeadMemoConfig(model="synth")) == (
        "synth_auhead_memo_lmk",
        "synth_stage1_a_e_au",
    )
    chosen = AUHeadMemoConfig(model="synth", au_source="driving", au_representation="rom")
    assert added_weights("hallo", chosen) == ("synth_auhead_hallo_rom",)
    with pytest.raises(UserError, match="adapter=FILE"):
        added_weights("memo", AUHeadMemoConfig())
