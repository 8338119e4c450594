"""Speed profiles. Oracles: the exact profile; a pipeline that has made nothing before."""

import json
from functools import partialmethod

import numpy as np
import pytest
from pydantic import ValidationError

from bench.media.errors import UserError
from methods.stableavatar.config import StableAvatarConfig
from methods.stableavatar.mag_ratios import measure_ratios
from methods.stableavatar.pipeline import StableAvatarPipeline
from methods.talking_dit.transformer import TalkingDiT
from tests.methods.fakes import request, video
from tests.methods.video_fakes import FakeVideoEncoders, tiny_transformer

SMALL = {"steps": 5, "window_frames": 13, "overlap": 2, "dtype": "float32"}


def pipeline(**settings) -> StableAvatarPipeline:
    config = StableAvatarConfig(**SMALL | settings)
    return StableAvatarPipeline(tiny_transformer(aus=None), FakeVideoEncoders(), config)


@pytest.fixture
def compiled(monkeypatch):
    """Regional compilation without a code generator: what counts here is that the block is one graph."""
    compile_blocks = TalkingDiT.compile_repeated_blocks
    monkeypatch.setattr(TalkingDiT, "compile_repeated_blocks", partialmethod(compile_blocks, backend="eager"))


@pytest.fixture
def ratios(tmp_path):
    path = tmp_path / "ratios.json"
    made = pipeline()
    path.write_text(json.dumps(measure_ratios(made.transformer, made(request(13)))))
    return path


def profiles(ratios) -> dict[str, dict]:
    return {
        "exact": {},
        "compiled": {"profile": "compiled"},
        "first_block": {"profile": "cached", "cache_threshold": 0.5},
        "mag": {"profile": "cached", "cache": "mag", "mag_ratios": ratios, "cache_threshold": 0.5},
        "guidance_interval": {"profile": "guidance_interval"},
    }


@pytest.mark.parametrize("name", ["exact", "compiled", "first_block", "mag", "guidance_interval"])
def test_b_after_a_is_b_alone(compiled, ratios, name, monkeypatch):
    """Also after an A that stopped in the middle. The threshold is so large that a cache is never found out of date."""
    settings = profiles(ratios)[name]
    if settings.get("profile") == "cached":
        settings |= {"cache_threshold": 1e9}
    a, b = request(17, seed=0), request(17, seed=1)
    alone = video(pipeline(**settings)(b))
    made = pipeline(**settings)
    video(made(a))
    np.testing.assert_array_equal(video(made(b)), alone)
    with monkeypatch.context() as patch:
        patch.setattr(made.scheduler, "step", lambda velocity, time, latents: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            video(made(a))
    np.testing.assert_array_equal(video(made(b)), alone)


def evaluated_blocks(made: StableAvatarPipeline, asked) -> tuple[np.ndarray, int]:
    """The video, and rows that the second block was evaluated for."""
    rows = []
    hook = made.transformer.blocks[1].attn1.register_forward_pre_hook(lambda module, args: rows.append(len(args[0])))
    frames = video(made(asked))
    hook.remove()
    return frames, sum(rows)


def test_compiled_is_exact_up_to_rounding(compiled):
    frames = video(pipeline(profile="compiled")(request(17)))
    assert np.abs(frames.astype(int) - video(pipeline()(request(17)))).max() <= 1


@pytest.mark.parametrize("name", ["first_block", "mag"])
def test_caches_skip_blocks_and_nothing_where_nothing_may_change(ratios, name):
    asked = request(17)
    exact, all_rows = evaluated_blocks(pipeline(), asked)
    assert all_rows == 5 * 2 * 3, "steps, windows, rows"
    settings = profiles(ratios)[name]
    unchanged, rows = evaluated_blocks(pipeline(**settings | {"cache_threshold": 1e-9}), asked)
    assert rows == all_rows and np.abs(unchanged.astype(int) - exact).max() <= 1
    _, rows = evaluated_blocks(pipeline(**settings), asked)
    assert 2 * 3 <= rows < 0.7 * all_rows


def test_every_row_of_every_window_has_a_cache_of_its_own():
    made, names = pipeline(profile="cached"), []
    opened = made.transformer.cache_context
    made.transformer.cache_context = lambda name: names.append(name) or opened(name)
    video(made(request(17)))
    assert len(set(names)) == 6 and len(names) == 6 * 5


def test_guidance_acts_inside_its_interval_only():
    made, asked = pipeline(profile="guidance_interval", guidance_interval=(0.4, 0.99)), request(13)
    rows, times = [], []
    forward = made.transformer.forward
    made.transformer.forward = lambda latents, time, told: (
        (rows.append(len(told)), times.append(float(time))) and forward(latents, time, told)
    )
    video(made(asked))
    assert rows == [3 if 400 <= time <= 990 else 1 for time in times] and len(set(rows)) == 2
    whole = video(pipeline(profile="guidance_interval", guidance_interval=(0.0, 1.0))(asked))
    np.testing.assert_array_equal(whole, video(pipeline()(asked)))


def test_ratios_are_those_that_diffusers_calibrates(monkeypatch):
    """Oracle: what diffusers' MagCache calibration collects in the context of the conditioned row."""
    from diffusers import MagCacheConfig

    calibrated = pipeline(profile="cached", cache_threshold=1.0)
    calibrated.transformer.disable_cache()
    calibrated.transformer.enable_cache(MagCacheConfig(calibrate=True, num_inference_steps=6))
    video(calibrated(request(13)))
    manager = calibrated.transformer.blocks[0]._diffusers_hook.hooks["mag_cache_leader_block_hook"].state_manager
    (expected,) = [s.calibration_ratios for name, s in manager._state_cache.items() if name.startswith("row 2")]
    exact = pipeline()
    np.testing.assert_allclose(measure_ratios(exact.transformer, exact(request(13))), expected, rtol=1e-4)


@pytest.mark.parametrize(
    ("setting", "profile"),
    [
        ({"cache_threshold": 0.1}, "cached"),
        ({"cache": "mag", "mag_ratios": "ratios.json"}, "cached"),
        ({"guidance_interval": (0.2, 0.9)}, "guidance_interval"),
    ],
)
def test_settings_of_another_profile_are_refused(setting, profile):
    """Oracle: the table of profiles; the default, which a stored run's settings hold, is none."""
    chosen = StableAvatarConfig(**setting, profile=profile)
    assert StableAvatarConfig(**chosen.model_dump(mode="json")) == chosen
    StableAvatarConfig(**StableAvatarConfig().model_dump(mode="json"))
    other = {"cached": "compiled", "guidance_interval": "exact"}[profile]
    with pytest.raises(ValidationError, match=f"is read with profile={profile}, and this is profile={other}"):
        StableAvatarConfig(**setting, profile=other)


@pytest.mark.parametrize("text", ["{}", "[]", "[1, -1]", "no json"])
def test_files_without_ratios_are_refused(tmp_path, text):
    (tmp_path / "ratios.json").write_text(text)
    with pytest.raises(UserError, match="mag_ratios"):
        pipeline(profile="cached", cache="mag", mag_ratios=tmp_path / "ratios.json")


@pytest.mark.parametrize("offload", ["model", "group"])
def test_offloading_needs_an_accelerator(offload):
    with pytest.raises(UserError, match="accelerator"):
        pipeline(offload=offload)
