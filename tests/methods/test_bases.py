"""`memo` and `hallo` as methods. Oracles: the names in the weights lock, and the pipeline of the same networks."""

import subprocess
import sys

import numpy as np
import pytest
from pydantic import ValidationError

from bench.media.errors import UserError
from bench.weights import Weights
from methods.hallo.generator import Hallo
from methods.hallo.pipeline import HalloPipeline
from methods.memo.generator import Memo
from methods.memo.pipeline import MemoPipeline
from methods.talking_unet.checkpoints import save_trained
from tests.methods.fakes import FakeEncoders, request, tiny_hallo, tiny_memo, video

SMALL = {"model": "synth", "steps": 1, "dtype": "float32"}
BASES = {"memo": (Memo, tiny_memo, MemoPipeline), "hallo": (Hallo, tiny_hallo, HalloPipeline)}


@pytest.fixture(params=BASES)
def base(request, monkeypatch):
    """(class, maker of its networks, class of its pipeline), with encoders that need no weights."""
    monkeypatch.setattr(f"methods.{request.param}.generator.load_encoders", lambda *_: FakeEncoders())
    return BASES[request.param]


def test_a_checkpoint_of_the_users_makes_the_videos_of_its_networks(base, tmp_path):
    generator, make, pipeline = base
    path = tmp_path / "trained.safetensors"
    save_trained(path, make(), {}, "float32")
    method = generator(generator.Config(**SMALL, checkpoint=path))
    expected = video(pipeline(make(), FakeEncoders(), generator.Config(**SMALL))(request(17)))
    np.testing.assert_array_equal(video(method.generate(request(17))), expected)
    assert method.num_parameters == sum(parameter.numel() for parameter in make().parameters()) + 1000


def test_a_checkpoint_of_the_other_base_is_refused(base, tmp_path):
    generator, make, _ = base
    path = tmp_path / "trained.safetensors"
    save_trained(path, (tiny_hallo if make is tiny_memo else tiny_memo)(), {}, "float32")
    with pytest.raises(UserError, match="not (Memo|Hallo)Modules"):
        generator(generator.Config(**SMALL, checkpoint=path))


@pytest.mark.parametrize("generator", [Memo, Hallo])
@pytest.mark.parametrize("settings", [{}, {"separate_vocals": True}])
def test_the_lock_knows_every_weight(generator, settings, weights: Weights):
    names = generator.required_weights(generator.Config(**settings))
    assert len(set(names)) == len(names) > 4
    assert set(names) <= set(weights.files)
    assert ("kim_vocal_2" in names) == bool(settings)


def test_what_the_settings_replace_is_not_asked_for(tmp_path):
    published = set(Memo.required_weights(Memo.Config()))
    own = set(Memo.required_weights(Memo.Config(checkpoint=tmp_path / "own")))
    named = set(Memo.required_weights(Memo.Config(emotion="sad")))
    assert published - own == {"memo_reference_net", "memo_diffusion_net", "memo_image_proj", "memo_audio_proj"}
    assert {"memo_emotion_classifier", "emotion2vec_plus_large"} <= published - named


@pytest.mark.parametrize(("generator", "scale"), [(Memo, 3.5), (Hallo, 2.0)])
def test_synthetic_settings_are_settings(generator, scale):
    assert generator.Config().guidance_scale == 3.5  # As published.
    config = generator.Config(**generator.synth)
    assert (config.model, config.steps, config.guidance_scale) == ("synth", 10, scale)


@pytest.mark.parametrize(
    "generator, settings",
    [
        (Memo, {"emotion": "sleepy"}),
        (Memo, {"steps": 0}),
        (Memo, {"guidance_scale": -1}),
        (Memo, {"frames_per_clip": 33}),
        (Memo, {"motion_scale": (1, 1, 1)}),
        (Hallo, {"frames_per_clip": 31}),
        (Hallo, {"motion_frames": 0}),
        (Hallo, {"emotion": "sad"}),
    ],
)
def test_wrong_settings_are_refused(generator, settings):
    with pytest.raises(ValidationError):
        generator.Config(**settings)


def test_published_defaults():
    """Oracle: configs/inference.yaml of MEMO, configs/inference/default.yaml of Hallo."""
    memo, hallo = Memo.Config(), Hallo.Config()
    assert (memo.steps, memo.guidance_scale, memo.frames_per_clip, memo.past_frames) == (20, 3.5, 16, 16)
    assert (hallo.steps, hallo.guidance_scale, hallo.frames_per_clip, hallo.motion_frames) == (40, 3.5, 16, 2)
    assert hallo.motion_scale == (1.0, 1.0, 1.0)


def test_listing_a_base_loads_no_network_library():
    code = (
        "import sys, methods.memo.generator as m, methods.hallo.generator as h; "
        "[g.required_weights(g.Config()) for g in (m.Memo, h.Hallo)]; "
        "print({'torch', 'diffusers', 'transformers', 'cv2'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
