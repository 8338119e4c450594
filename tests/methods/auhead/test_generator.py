"""AUHead's generators around tiny networks. Oracle: the pipelines, which test_videos.py holds against the bases."""

import numpy as np
import pytest

from bench.media.errors import UserError
from methods.auhead.adapter import AUAdapter, AUAdapterConfig
from methods.auhead.config import AUHeadHalloConfig, AUHeadMemoConfig
from methods.auhead.generator import AUHeadHallo, AUHeadMemo
from methods.auhead.hallo import AUHeadHalloPipeline
from methods.auhead.memo import AUHeadMemoPipeline
from methods.generator import GenerationError
from tests.methods.fakes import FakeEncoders, randomised, request, tiny_hallo, tiny_memo, video

METHODS = {
    "memo": (AUHeadMemo, AUHeadMemoConfig, AUHeadMemoPipeline, tiny_memo, {"past_frames": 2}),
    "hallo": (AUHeadHallo, AUHeadHalloConfig, AUHeadHalloPipeline, tiny_hallo, {}),
}
SIZES = AUAdapterConfig("seq", dim=6, tokens_per_frame=2, channels=8, heads=2)


@pytest.fixture(params=METHODS)
def method(request, monkeypatch, tmp_path):
    """The method's class, its settings, its pipeline's class and its networks; an adapter lies in the settings' file."""
    generator, config, pipeline, make, settings = METHODS[request.param]
    modules = make()
    module = f"methods.{request.param}.generator"
    monkeypatch.setattr(f"{module}.load_modules", lambda *_: modules)
    monkeypatch.setattr(f"{module}.load_encoders", lambda *_: FakeEncoders())
    monkeypatch.setattr(FakeEncoders, "num_parameters", 5, raising=False)
    adapter = randomised(AUAdapter(modules.denoiser.au_sites, SIZES))
    adapter.save(tmp_path / "adapter.safetensors", "float32")
    common = {"model": "synth", "steps": 1, "frames_per_clip": 4, "dtype": "float32", "au_source": "driving"}
    common |= {"au_representation": "seq", "adapter": tmp_path / "adapter.safetensors"}
    return generator, lambda **changes: config(**common | settings | changes), pipeline, modules, adapter


def test_makes_what_its_pipeline_makes(method):
    generator, config, pipeline, modules, adapter = method
    asked = request(6, aus=np.random.default_rng(0).random((6, 24), np.float32))
    made = generator(config())
    expected = video(pipeline(modules, FakeEncoders(), config(), adapter)(asked))
    assert (video(made.generate(asked)) == expected).all()
    networks = sum(parameter.numel() for part in (modules, adapter) for parameter in part.parameters())
    assert made.num_parameters == networks + 5


def test_an_expression_moves_the_face(method):
    generator, config, *_ = method
    rest = config(au_source="file", expression="smile:0")
    smile = config(au_source="file", expression="smile")
    assert not (video(generator(rest).generate(request(20))) == video(generator(smile).generate(request(20)))).all()


def test_aus_are_refused_before_anything_is_made(method):
    generator, config, *_ = method
    with pytest.raises(GenerationError, match="17.*feafa24"):
        generator(config()).generate(request(6, aus=np.zeros((6, 17), np.float32)))


def test_an_adapter_of_another_representation_is_refused(method):
    generator, config, *_ = method
    with pytest.raises(UserError, match="trained on seq; set au_representation"):
        generator(config(au_representation="lmk"))
