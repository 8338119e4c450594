"""`bench train synth_encoders`, and what the shipped autoencoder costs. Oracle: the renderer's exact truth."""

import math

import numpy as np
import pytest

from bench import registry
from bench.media.clip import ArrayClip
from bench.media.errors import UserError
from bench.synth_encoders import SHIPPED, TRAINERS, EncoderSettings, SynthEncoders, figures_table
from bench.weights import Weights
from methods.synth.encoders import SynthEncoders as Encoders
from methods.synth.video_encoders import SynthVideoEncoders
from protocols.synth.arrays import Amount
from protocols.synth.utterances import Utterances
from protocols.synth.world import ClipSpec, make_clip
from tests.bench.conftest import Quiet


def test_every_encoder_ships_and_is_small():
    sizes = {name: (SHIPPED / f"synth_{name}.safetensors").stat().st_size for name in TRAINERS}
    assert max(sizes.values()) < 8e6


def test_autoencoder_keeps_the_action_units():
    """Oracle: the clip's exact AUs. The expert itself errs by 0.02 on rendered frames."""
    lock = Weights()
    clip = make_clip(ClipSpec("T03", "surprised", 2, 6), num_frames=25)
    encoders = Encoders({name: lock.path(name) for name in Encoders.weights})
    assert au_error(encoders.decode(encoders.encode(clip.frames)[0]), clip) < 0.045


def au_error(frames, clip) -> float:
    """Mean difference between the AUs the expert reads off frames and those of the clip."""
    expert = registry.extractor("synth_face")({"synth_face": Weights().path("synth_face")})
    expert.begin(ArrayClip(frames), {})
    expert.update(frames)
    return np.abs(expert.finish()["aus"] - clip.aus.values).mean()


def test_video_autoencoder_keeps_the_action_units():
    """Oracle: the clip's exact AUs."""
    clip = make_clip(ClipSpec("T03", "surprised", 2, 6), num_frames=25)
    encoders = SynthVideoEncoders({"synth_wan_vae": Weights().path("synth_wan_vae")})
    assert au_error(np.concatenate(list(encoders.decode(encoders.encode(clip.frames)))), clip) < 0.05


def test_settings_are_checked(weights):
    with pytest.raises(UserError, match="no encoder text; there are vae, speech, face_reader, wan_vae"):
        SynthEncoders().run(
            EncoderSettings(only=("text",)), weights=weights, progress=Quiet(), data=None, out=None, seed=0
        )


def test_table_names_every_figure():
    table = figures_table({"speech": {"phoneme_error_rate": 0.0351}, "vae": {"psnr": 27.04}})
    assert "| synth_speech | phoneme error rate | 0.0351 |" in table and "| synth_vae | psnr | 27 |" in table


@pytest.mark.slow  # Renders 1,500 frames and starts three trainings.
def test_the_command_trains_and_measures_every_encoder(tmp_path, weights, monkeypatch):
    """A second is no training, so figures only have to exist."""
    monkeypatch.setattr("protocols.synth.arrays.TRAINING", Amount(stills=270, clips=8, first_person=700_000))
    monkeypatch.setattr("protocols.synth.arrays.TESTING", Amount(stills=45, clips=4, first_person=800_000))
    monkeypatch.setattr("protocols.synth.utterances.TRAINING", Utterances(40, 20, "train"))
    monkeypatch.setattr("protocols.synth.utterances.TESTING", Utterances(4, 4, "test"))
    monkeypatch.setattr("methods.synth.speech.EMOTION_EXCERPTS", 32)
    monkeypatch.setattr("methods.synth.speech.EMOTION_STEPS", 5)
    settings = EncoderSettings(minutes=0.02, workers=1)
    trained = SynthEncoders().run(settings, weights=weights, progress=Quiet(), data=None, out=tmp_path / "w", seed=0)
    assert [path.name for path in trained.files] == [f"synth_{name}.safetensors" for name in TRAINERS]
    assert all(math.isfinite(value) for figures in trained.measured.values() for value in figures.values())
    assert trained.table == figures_table(trained.measured)
    assert sorted(path.name for path in (tmp_path / "w").iterdir()) == sorted(path.name for path in trained.files)
