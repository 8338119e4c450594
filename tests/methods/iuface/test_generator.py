"""`iuface` and `stableavatar` as methods around small networks. Oracles: the pipelines, and the names in the weights lock."""

import subprocess
import sys

import numpy as np
import pytest
from pydantic import ValidationError

from bench.media.errors import UserError
from bench.weights import Weights
from methods.generator import GenerationError
from methods.iuface.generator import IUFace
from methods.iuface.pipeline import IUFacePipeline
from methods.stableavatar.generator import StableAvatar
from methods.stableavatar.pipeline import StableAvatarPipeline
from methods.talking_dit.checkpoints import save_trained
from protocols.plan_spec import read_plan
from tests.methods.fakes import request, video
from tests.methods.iuface.test_pipeline import track
from tests.methods.video_fakes import AUS, FakeVideoEncoders, tiny_transformer

SMALL = {"model": "synth", "steps": 1, "window_frames": 13, "overlap": 2, "dtype": "float32"}


@pytest.fixture
def checkpoint(tmp_path, monkeypatch):
    """Writes the file of a network, which lies among encoders that need no weights."""
    monkeypatch.setattr("methods.stableavatar.generator.load_video_encoders", lambda *_, **__: FakeVideoEncoders())

    def write(network, name="trained"):
        path = tmp_path / f"{name}.safetensors"
        save_trained(path, network, {}, "float32")
        return path

    return write


def test_a_checkpoint_makes_the_videos_of_its_network(checkpoint):
    network = tiny_transformer()
    config = IUFace.Config(**SMALL, checkpoint=checkpoint(network))
    made, asked = IUFace(config), request(17, aus=track(17))
    np.testing.assert_array_equal(
        video(made.generate(asked)), video(IUFacePipeline(network, FakeVideoEncoders(), config)(asked))
    )
    assert made.num_parameters == sum(parameter.numel() for parameter in network.parameters())
    assert set(made.seconds) == {"encode", "denoise", "decode"}


def test_the_base_makes_the_videos_of_its_network(checkpoint):
    network = tiny_transformer(aus=None)
    config = StableAvatar.Config(**SMALL, checkpoint=checkpoint(network))
    expected = video(StableAvatarPipeline(network, FakeVideoEncoders(), config)(request(17)))
    np.testing.assert_array_equal(video(StableAvatar(config).generate(request(17))), expected)


@pytest.mark.parametrize("encoder", ["clip", "arcface", "none"])
def test_checkpoints_of_the_identity_ablations_load(checkpoint, encoder):
    sizes = AUS | {"identity_encoder": encoder, "identity_dim": None if encoder == "none" else 6}
    config = IUFace.Config(**SMALL, checkpoint=checkpoint(tiny_transformer(sizes)))
    made = IUFace(config)
    assert made.pipeline.encoders.loaded == (encoder, True)
    assert video(made.generate(request(5, aus=track(5)))).shape == (5, 64, 64, 3)


def test_a_checkpoint_without_aus_takes_none(checkpoint):
    path = checkpoint(tiny_transformer(aus=None))
    with pytest.raises(UserError, match="trained without AUs; set au_source=none"):
        IUFace(IUFace.Config(**SMALL, checkpoint=path))
    made = IUFace(IUFace.Config(**SMALL, checkpoint=path, au_source="none"))
    assert video(made.generate(request(5))).shape == (5, 64, 64, 3)


def test_expressions_and_tracks_drive_it(checkpoint):
    path = checkpoint(tiny_transformer())
    made = {
        text: video(
            IUFace(IUFace.Config(**SMALL, checkpoint=path, au_source="file", expression=text)).generate(request(13))
        )
        for text in ("smile:0", "smile", "surprise")
    }
    assert (made["smile"] != made["smile:0"]).any() and (made["smile"] != made["surprise"]).any()


def test_what_cannot_be_used_is_said_before_anything_is_made(checkpoint, tmp_path):
    made = IUFace(IUFace.Config(**SMALL, checkpoint=checkpoint(tiny_transformer())))
    with pytest.raises(GenerationError, match="35 of openface35"):
        made.generate(request(5, aus=np.zeros((5, 24), np.float32)))
    with pytest.raises(UserError, match="no such file"):
        IUFace(IUFace.Config(**SMALL, checkpoint=tmp_path / "nothing.safetensors"))


def test_a_network_of_the_other_model_size_is_refused(checkpoint, monkeypatch):
    monkeypatch.setattr(FakeVideoEncoders, "latent_channels", 16)
    with pytest.raises(UserError, match="4 latent channels.*model=synth are 16"):
        IUFace(IUFace.Config(**SMALL, checkpoint=checkpoint(tiny_transformer())))


def test_the_lock_knows_every_weight(checkpoint, weights: Weights):
    squares = StableAvatar.required_weights(StableAvatar.Config())
    wide = StableAvatar.required_weights(StableAvatar.Config(height=480, width=832))
    assert set(squares) - set(wide) == {"stableavatar_square"} and set(wide) - set(squares) == {"stableavatar_rec_vec"}
    arcface = checkpoint(tiny_transformer(AUS | {"identity_encoder": "arcface"}))
    trained = IUFace.required_weights(IUFace.Config(checkpoint=arcface))
    assert {"glintr100", "scrfd_10g_bnkps"} <= set(trained) - set(squares)
    small = IUFace.required_weights(IUFace.Config(**IUFace.synth))
    assert small[0] == "synth_iuface"
    assert {*squares, *wide, *trained} <= set(weights.files)


def test_presets_name_the_weights_of_the_ablations():
    """Oracle: the settings of the rows in protocols/plans/iuface_table2, 5 and 7."""
    names = {}
    for table in ("iuface_table2", "iuface_table5", "iuface_table7"):
        for row in read_plan(table).rows:
            config = IUFace.Config(**IUFace.synth | row.settings)
            names[row.settings.get("preset")] = IUFace.required_weights(config)[0]
            assert config.au_source == ("none" if config.preset == "wo_ida" else "driving")
    presets = ("wo_ida", "wo_dbe", "wo_ia", "level3", "arcface")
    assert names == {None: "synth_iuface"} | {preset: f"synth_iuface_{preset}" for preset in presets}
    with pytest.raises(ValidationError, match="trained without AUs"):
        IUFace.Config(preset="wo_ida", au_source="driving")


def test_prompts_in_files_need_no_text_encoder(tmp_path):
    path = tmp_path / "prompt.safetensors"
    both = {"prompt_embedding": path, "negative_embedding": path}
    assert "umt5_xxl" in StableAvatar.required_weights(StableAvatar.Config(prompt_embedding=path))
    assert "umt5_xxl" not in StableAvatar.required_weights(StableAvatar.Config(**both))


def test_nothing_is_published():
    with pytest.raises(UserError, match="bench train iuface.*checkpoint=FILE.*model=synth"):
        IUFace.required_weights(IUFace.Config())


@pytest.mark.parametrize("method", [StableAvatar, IUFace])
def test_synthetic_settings_are_settings(method):
    config = method.Config(**method.synth)
    assert (config.model, config.steps, config.window_frames) == ("synth", 10, 25)


@pytest.mark.parametrize("method", [StableAvatar, IUFace])
@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"height": 500}, "multiple of 16, such as 496, not 500"),
        ({"width": 8}, "multiple of 16, such as 16, not 8"),
        ({"window_frames": 80}, "4 k \\+ 1 frames, such as 77, not 80"),
        ({"overlap": 21}, "overlap=21 must be less than the 21 latent frames"),
        ({"overlap": 0}, "greater than or equal to 1"),
        ({"guidance_interval": (0.9, 0.1)}, "two rising noise levels"),
        ({"cache": "mag"}, "cache=mag needs mag_ratios=FILE"),
        ({"mag_ratios": "r.json"}, "only it reads them"),
        ({"profile": "fast"}, "exact"),
        ({"prompt": "a", "prompt_embedding": "b"}, "not both"),
    ],
)
def test_wrong_settings_are_refused(method, settings, says):
    with pytest.raises(ValidationError, match=says):
        method.Config(**settings)


def test_published_defaults_of_the_base():
    """Oracle: inference.sh of Francis-Rings/StableAvatar."""
    config = StableAvatar.Config()
    assert (config.steps, config.window_frames, config.overlap, config.shift) == (50, 81, 5, 5.0)
    assert (config.text_scale, config.audio_scale) == (3.0, 5.0)


def test_listing_the_methods_loads_no_network_library():
    code = (
        "import sys, methods.stableavatar.generator as s, methods.iuface.generator as i; "
        "s.StableAvatar.required_weights(s.StableAvatar.Config()); i.IUFace.Config(expression='smile'); "
        "print({'torch', 'diffusers', 'transformers', 'cv2'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
