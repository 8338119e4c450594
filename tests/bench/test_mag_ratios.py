"""`bench mag-ratios`. Oracles: the pipeline run by hand; MagCache takes what was written."""

import json

import pytest
import torch

from bench.cli.app import main
from bench.media.clip import Clip, read_audio
from bench.weights import Weights
from methods.generator import Request
from methods.iuface.config import IUFaceConfig
from methods.stableavatar.evaluator import cache_config
from methods.stableavatar.generator import StableAvatar
from methods.stableavatar.mag_ratios import measure_ratios
from methods.talking_dit.checkpoints import save_trained
from methods.talking_dit.sizes import IUFACE_SYNTH, STABLEAVATAR_SYNTH
from methods.talking_dit.transformer import TalkingDiT
from protocols.synth.world import ClipSpec, make_clip
from tests.videos import write

SHORT = {"steps": 3, "window_frames": 9, "overlap": 1}


@pytest.fixture
def given(tmp_path, tiny_wan_vae):
    """A rendered clip that is picture and speech, and untrained networks."""
    made = make_clip(ClipSpec("L07", "neutral", 1, 3), num_frames=10)
    write(tmp_path / "clip.mkv", made.frames, audio=made.audio)
    torch.manual_seed(0)
    for name, sizes in (("stableavatar", STABLEAVATAR_SYNTH), ("iuface", IUFACE_SYNTH)):
        save_trained(tmp_path / f"{name}.safetensors", TalkingDiT(**sizes), {})
    return tmp_path


@pytest.fixture
def bench(given, monkeypatch):
    def call(method: str, *settings: str) -> int:
        chosen = [f"{name}={value}" for name, value in SHORT.items()]
        chosen += [f"checkpoint={given / method}.safetensors", *settings]
        command = ["mag-ratios", method, "--synth", "--reference", given / "clip.mkv", "--audio", given / "clip.mkv"]
        options = ["--out", given / "ratios.json", "--json", *(word for text in chosen for word in ("--set", text))]
        monkeypatch.setattr("sys.argv", ["bench", *map(str, [*command, *options])])
        return main()

    return call


def test_ratios_are_those_of_the_network_and_its_steps(given, bench, capsys):
    assert bench("stableavatar") == 0
    printed = json.loads(capsys.readouterr().out)
    ratios = json.loads((given / "ratios.json").read_text())
    assert printed["ratios"] == ratios and len(ratios) == 3 and ratios[0] == 1
    config = StableAvatar.Config(**StableAvatar.synth | SHORT | {"checkpoint": given / "stableavatar.safetensors"})
    generator = StableAvatar(config, "cpu", Weights().require(StableAvatar.required_weights(config)))
    clip = Clip(given / "clip.mkv")
    asked = Request("by hand", clip.first_frame(), read_audio(clip.path), 9, 25.0, 128, 128, seed=0)
    assert ratios == pytest.approx(measure_ratios(generator.pipeline.transformer, generator.generate(asked)), rel=1e-5)


def test_iuface_says_what_it_needs_and_magcache_takes_the_file(given, bench, capsys):
    assert bench("iuface") == 2 and "au_source=none" in capsys.readouterr().err
    assert bench("iuface", "au_source=file", "expression=smile") == 0
    assert bench("iuface", "profile=compiled") == 2 and "leave profile" in capsys.readouterr().err
    settings = {"profile": "cached", "cache": "mag", "mag_ratios": given / "ratios.json", "steps": 3}
    assert len(cache_config(IUFaceConfig(**settings)).mag_ratios) == 3


def test_other_methods_have_none(bench, capsys):
    assert bench("memo") == 2 and "memo has no MagCache; these have: stableavatar, iuface" in capsys.readouterr().err
