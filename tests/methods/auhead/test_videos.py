"""AUHead's pipelines on tiny random bases. Oracle: the base's own pipeline, to the last bit."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from methods.auhead.adapter import AUAdapter, AUAdapterConfig
from methods.auhead.config import AUHeadHalloConfig, AUHeadMemoConfig
from methods.auhead.guidance import disentanglement_guidance
from methods.auhead.hallo import AUHeadHalloPipeline
from methods.auhead.memo import AUHeadMemoPipeline
from methods.hallo.pipeline import HalloPipeline
from methods.memo.pipeline import MemoPipeline
from tests.methods.fakes import FakeEncoders, randomised, request, tiny_hallo, tiny_memo, video

SETTINGS = {"model": "synth", "steps": 2, "frames_per_clip": 4, "dtype": "float32"}
BASES = {
    "memo": (tiny_memo, MemoPipeline, AUHeadMemoPipeline, AUHeadMemoConfig, {"past_frames": 2}),
    "hallo": (tiny_hallo, HalloPipeline, AUHeadHalloPipeline, AUHeadHalloConfig, {}),
}


class Bench:
    """One base with its own pipeline and AUHead's on the same networks."""

    def __init__(self, base: str):
        make, self.base_class, self.auhead_class, self.config_class, self.settings = BASES[base]
        self.modules = make()
        torch.manual_seed(0)
        self.adapter = AUAdapter(
            self.modules.denoiser.au_sites, AUAdapterConfig("seq", dim=6, tokens_per_frame=2, channels=8, heads=2)
        )

    def base(self, request, **changes) -> np.ndarray:
        self.modules.denoiser.au_adapter = None
        return video(self.base_class(self.modules, FakeEncoders(), self.config(**changes))(request))

    def auhead(self, request, **changes) -> np.ndarray:
        config = self.config(**changes)
        return video(self.auhead_class(self.modules, FakeEncoders(), config, self.adapter)(request))

    def config(self, **changes):
        return self.config_class(**SETTINGS | self.settings | changes)


@pytest.fixture(params=BASES)
def bench(request):
    return Bench(request.param)


def driven(num_frames: int = 7, seed: int = 0):
    """A request of two clips, the second one cut."""
    aus = np.random.default_rng(seed + 10).random((num_frames, 24), np.float32)
    return request(num_frames, seed, aus=aus)


@pytest.mark.parametrize("au_scale", [0.0, 3.5])
def test_untrained_it_makes_the_videos_of_its_base(bench, au_scale):
    made = bench.auhead(driven(), au_scale=au_scale)
    assert made.shape == (7, 64, 64, 3)
    assert (made == bench.base(driven())).all()


def test_trained_it_makes_the_videos_of_its_base_without_aus(bench):
    randomised(bench.adapter)
    expected = bench.base(driven())
    assert (bench.auhead(replace(driven(), aus=None)) == expected).all()
    assert not (bench.auhead(driven()) == expected).all()


def test_a_video_does_not_depend_on_what_was_made_before(bench):
    randomised(bench.adapter)
    alone = bench.auhead(driven())
    bench.auhead(driven(seed=1))
    assert (bench.auhead(driven()) == alone).all()


def test_scales_and_aus_count(bench):
    randomised(bench.adapter)
    videos = [
        bench.auhead(driven()),
        bench.auhead(driven(), au_scale=1.0),
        bench.auhead(driven(), guidance_scale=1.0),
        bench.auhead(replace(driven(), aus=driven(seed=1).aus)),
    ]
    for i, one in enumerate(videos):
        assert all(not (one == other).all() for other in videos[:i])


def test_aus_after_the_clip_reach_it_only_as_far_as_the_window(bench):
    """n = 2: the first clip of four frames sees frames 4 and 5 and none behind."""
    randomised(bench.adapter)
    first = bench.auhead(driven(8))[:4]
    for frame, counts in ((5, True), (6, False)):
        aus = driven(8).aus.copy()
        aus[frame] = 1 - aus[frame]
        assert (bench.auhead(replace(driven(8), aus=aus))[:4] == first).all() != counts, f"frame {frame}"


def test_the_step_is_eq_6_of_four_single_predictions(bench):
    """One step of a one-clip video against Eq. 6 of four denoiser calls made by hand."""
    randomised(bench.adapter)
    calls = []
    pipeline = bench.auhead_class(bench.modules, FakeEncoders(), bench.config(steps=1), bench.adapter)
    predict, step = pipeline.predict, pipeline.scheduler.step
    pipeline.predict = lambda latents, time, conditions, *memory: (
        calls.append((latents, time, conditions, *memory)) or predict(*calls[-1])
    )
    pipeline.scheduler.step = lambda velocity, *rest, **options: (
        calls.append(velocity) or step(velocity, *rest, **options)
    )
    video(pipeline(driven(4)))
    without, with_aus, velocity = calls
    assert without[2].aus is None and with_aus[2].aus.shape == (2, 8, 6)
    assert without[2].reference is with_aus[2].reference and without[3:] == with_aus[3:]
    null, human = predict(*without)
    aus, both = predict(*with_aus)
    assert torch.equal(velocity, disentanglement_guidance(null, human, aus, both, 3.5, 3.5))
    torch.testing.assert_close(velocity, aus + 3.5 * human - 3.5 * null + 3.5 * both - 3.5 * human)


def test_only_adapter_and_embedding_receive_gradients(bench):
    modules, adapter = bench.modules.requires_grad_(False), randomised(bench.adapter).requires_grad_(True)
    pipeline = bench.auhead_class(modules, FakeEncoders(), bench.config(), adapter)
    portrait = pipeline.read(driven(4))
    past = np.repeat(portrait.picture[None], 2, axis=0)
    emotion = (4,) if bench.base_class is MemoPipeline else ()
    conditions = pipeline.clip_conditions(portrait, slice(0, 4), past, *emotion)
    latents = torch.randn(2, 4, 4, 8, 8)
    for checkpointing in (False, True):
        adapter.zero_grad()
        if checkpointing:
            modules.denoiser.train().enable_gradient_checkpointing()
        aus = adapter.tokens(driven(4).aus, slice(0, 4)).expand(2, -1, -1)
        predicted = modules.denoiser(latents, torch.tensor(500.0), replace(conditions, aus=aus))
        predicted.square().mean().backward()
        assert all(parameter.grad.abs().sum() > 0 for parameter in adapter.parameters())
        assert all(parameter.grad is None for parameter in modules.parameters())
