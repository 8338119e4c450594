"""`bench train stableavatar | iuface`. Oracles: the methods load and run what was written; the lock; the cases' own labels."""

import json
import shlex

import numpy as np
import pytest
from accelerate.state import AcceleratorState
from safetensors import safe_open

from bench import registry, train_video
from bench.cli.app import main
from bench.media.clip import Clip
from bench.media.errors import UserError
from bench.prepare_video_features import PreparedVideos, VideoFeatureSource, prepare_video_features
from bench.train_methods import Material
from bench.train_video import IUFaceTraining, StableAvatarTraining
from bench.training import configure
from bench.weights import Weights
from methods.conditioning.video_encoders import video_encoders_class
from methods.generator import Request
from methods.talking_dit.checkpoints import save_trained
from methods.talking_dit.sizes import IUFACE_SYNTH, STABLEAVATAR_SYNTH
from methods.talking_dit.transformer import TalkingDiT
from methods.training.video_recipes import PRESETS
from protocols.synth import protocols as synth
from tests.bench.conftest import Quiet

SHORT = {"steps": 1, "window_frames": 9, "overlap": 1}
TINY = ["--set", "steps=2", "--set", "batch=1"]


@pytest.fixture(autouse=True)
def fresh_accelerate():
    AcceleratorState._reset_state(True)
    yield
    AcceleratorState._reset_state(True)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A cache in which three people are rendered once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def small_world(world, tiny_wan_vae, monkeypatch):
    monkeypatch.setenv("AU_BENCH_CACHE", str(world))
    monkeypatch.setattr(synth, "TRAINING_PEOPLE", 3)
    small = {"frames": 9, "windows": 2, "references": 1, "arcface": True}
    monkeypatch.setattr(VideoFeatureSource, "of", lambda model, **changes: VideoFeatureSource(model, **small | changes))
    monkeypatch.setattr(train_video._VideoTraining, "windows_shown", 1)
    monkeypatch.setattr(train_video._VideoTraining, "shown", SHORT)


def bench(*arguments, monkeypatch) -> int:
    monkeypatch.setattr("sys.argv", ["bench", *map(str, arguments)])
    return main()


def notes_of(path) -> dict[str, str]:
    with safe_open(path, "np") as file:
        return file.metadata()


def test_stableavatar_and_an_iuface_on_it_are_trained_and_run(small_world, world, tmp_path, monkeypatch, capsys):
    base, made = tmp_path / "stableavatar.safetensors", tmp_path / "iuface.safetensors"
    options = ["--protocol", "synth_disentangle", *TINY]
    assert bench("train", "stableavatar", *options, "--out", base, monkeypatch=monkeypatch) == 0
    AcceleratorState._reset_state(True)
    capsys.readouterr()
    more = ["--set", "validate_every=2", "--set", f"base={base}", "--out", made, "--json"]
    assert bench("train", "iuface", *options, *more, monkeypatch=monkeypatch) == 0
    assert json.loads(capsys.readouterr().out)["measured"]["steps"] == 2
    (video,) = (tmp_path / "iuface" / "validation" / "step_000002").glob("L02_*.mkv")
    assert (Clip(video).height, Clip(video).width, Clip(video).num_frames) == (128, 256, 9)
    files = {
        path.relative_to(world / "synth" / "features").parts[0].split("-")[0] for path in world.rglob("*.safetensors")
    }
    assert files == {"windows", "references", "texts"}
    assert len(list(world.rglob("references-*/**/*.safetensors"))) == 2  # the clip's own, and one of a neutral clip

    notes = notes_of(made)
    expected = "python -m bench train iuface --protocol synth_disentangle --seed 0 --set base=stableavatar.safetensors"
    assert notes["command"].startswith(expected) and str(tmp_path) not in str(notes)
    assert (notes["steps"], notes["world"]) == ("2", "synth-v1") and float(notes["loss"]) > 0
    method = registry.method("iuface")
    config = method.Config(**dict(method.synth) | SHORT | {"checkpoint": made})
    generator = method(config, "cpu", Weights().require(method.required_weights(config)))
    clip = Clip(next((world / "synth").rglob("L03/*/*/*.mkv")))
    aus = np.ones((9, 35), np.float32)
    request = Request("case", clip.first_frame(), clip.audio, 9, 25.0, 128, 128, 0, aus)
    assert np.concatenate(list(generator.generate(request))).shape == (9, 128, 128, 3)


def test_shipped_files_come_of_the_commands_in_the_lock():
    """Oracle: the lock's own words, read by the command line's parser; the command that a file would say of itself."""
    shipped = {"synth_stableavatar": StableAvatarTraining, "synth_iuface": IUFaceTraining}
    shipped |= {f"synth_iuface_{preset}": IUFaceTraining for preset in PRESETS}
    for name, training in shipped.items():
        how = Weights().files[name].how
        words = shlex.split(how[how.index("python -m bench") :])
        assert words[:5] == ["python", "-m", "bench", "train", training.name]
        given = {"protocol": words[words.index("--protocol") + 1]}
        given |= dict(words[n + 1].split("=") for n, word in enumerate(words) if word == "--set")
        settings = configure(training.name, training, given)
        assert training()._shipped(settings).name == f"{name}.safetensors"
        said = training().command(settings, seed=0)
        assert said.replace(" --seed 0", "") == shlex.join(words)


def test_small_networks_fit_the_small_encoders():
    encoders = video_encoders_class("synth")
    for training, sizes in ((StableAvatarTraining, STABLEAVATAR_SYNTH), (IUFaceTraining, IUFACE_SYNTH)):
        assert sizes["out_channels"] == encoders.latent_channels
        assert sizes["in_channels"] == 2 * encoders.latent_channels + 4
        assert (sizes["text_dim"], sizes["image_dim"]) == (encoders.text_dim, encoders.image_dim)
        assert sizes["vocal"]["vocal_dim"] == encoders.vocal_dim
        settings = configure(training.name, training, {"protocol": "synth_disentangle"})
        assert training().sizes(settings) == sizes
    arcface = configure("iuface", IUFaceTraining, {"protocol": "synth_disentangle", "preset": "arcface"})
    assert IUFaceTraining().sizes(arcface)["aus"]["identity_dim"] == encoders.identity_dims["arcface"]
    for attention in ("latent", "clip"):
        chosen = configure("iuface", IUFaceTraining, {"protocol": "synth_disentangle", "au_attention": attention})
        assert IUFaceTraining().sizes(chosen)["aus"] == {**IUFACE_SYNTH["aus"], "attention": attention}
    speech_alone = configure("iuface", IUFaceTraining, {"protocol": "synth_disentangle", "preset": "wo_ida"})
    assert IUFaceTraining().sizes(speech_alone)["aus"] is None


def test_level_3_alone_is_learnt_from_with_neutral_references(monkeypatch, weights, tmp_path):
    asked = {}
    monkeypatch.setattr(synth.SynthDisentangle, "make_ready", lambda self, cases, step: None)
    monkeypatch.setattr(
        train_video, "prepare_video_features",
        lambda cases, neutral, data, source, reference, **_: asked.update(cases=cases, neutral=neutral, reference=reference)
        or PreparedVideos((), {}),
    )  # fmt: skip
    protocol = synth.SynthDisentangle()
    cases = protocol.training_cases(tmp_path)
    for preset, levels in (("level3", {3}), (None, {1, 2, 3})):
        given = {"protocol": "synth_disentangle"} | ({"preset": preset} if preset else {})
        settings = configure("iuface", IUFaceTraining, given)
        IUFaceTraining().features(Material(protocol, tmp_path, cases[:-2], cases[-2:], settings, weights, Quiet()))
        assert {case.level for case in asked["cases"]} == levels and asked["reference"] == "neutral"
        assert {case.identity for case in asked["neutral"]} >= {case.identity for case in asked["cases"]}
    assert configure("iuface", IUFaceTraining, {"levels": "1,3"}).levels == (1, 3)


def test_a_neutral_clip_is_never_its_own_reference(small_world, world):
    """Oracle: the names of the files."""
    protocol = synth.SynthDisentangle()
    neutral = protocol.neutral_cases(world / "synth")[1]
    other = protocol.training_cases(world / "synth")[1]
    protocol.make_ready([neutral, other])
    arguments = {"weights": Weights(), "progress": Quiet()}
    source = VideoFeatureSource.of("synth")

    def references(*shown) -> list[str]:
        made = prepare_video_features([neutral], shown, world / "synth", source, "neutral", **arguments)
        return [path.stem for path in made.clips[0].references]

    assert references(neutral, other) == [other.driving.stem]
    with pytest.raises(UserError, match="none of the 1 clips"):
        references(neutral)


def test_a_base_of_another_network_is_refused(small_world, tmp_path, monkeypatch, capsys):
    base = tmp_path / "base.safetensors"
    save_trained(base, TalkingDiT(**IUFACE_SYNTH), {})
    given = {"protocol": "synth_disentangle", "base": str(base), "preset": "wo_ida"}
    with pytest.raises(UserError, match=r"begins with aus path .*, these settings train none"):
        IUFaceTraining().transformer(configure("iuface", IUFaceTraining, given), Weights())
    assert bench("train", "iuface", "--protocol", "mead_disentangle", monkeypatch=monkeypatch) == 2
    assert "name the file for the weights" in capsys.readouterr().err
    assert bench("train", "iuface", "--protocol", "synth_std", "--stage", 2, monkeypatch=monkeypatch) == 2
    assert "has no setting stage" in capsys.readouterr().err
