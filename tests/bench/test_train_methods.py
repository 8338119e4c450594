"""`bench train memo` and its kin, `bench prepare --features`. Oracles: the method itself loads and runs what was written."""

import json
import os
import socket
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from accelerate import PartialState
from accelerate.state import AcceleratorState
from safetensors import safe_open
from safetensors.numpy import load_file

from bench import registry
from bench.cli.app import main
from bench.media import au
from bench.media.clip import Clip
from bench.media.errors import UserError
from bench.prepare_features import FeatureSource, prepare_features
from bench.train_methods import Material, Validation
from bench.train_unets import AUHeadMemoTraining, MemoTraining
from bench.training import configure
from bench.weights import Weights
from methods.conditioning.features import read_metadata
from methods.generator import GenerationError, Request
from protocols.protocol import Case
from protocols.synth import protocols as synth
from tests.bench.conftest import Quiet
from tests.videos import write

TINY = ["--set", "steps=2", "--set", "minutes=null", "--set", "batch=1", "--set", "frames=4"]


@pytest.fixture(autouse=True)
def fresh_accelerate():
    AcceleratorState._reset_state(True)
    yield
    AcceleratorState._reset_state(True)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A cache with four people to train on, rendered and encoded once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def few_people(world, monkeypatch):
    monkeypatch.setenv("AU_BENCH_CACHE", str(world))
    monkeypatch.setattr(synth, "TRAINING_PEOPLE", 4)


def bench(*arguments, monkeypatch) -> int:
    monkeypatch.setattr("sys.argv", ["bench", *map(str, arguments)])
    return main()


def test_a_base_and_its_adapter_are_trained_and_the_methods_run_them(few_people, world, tmp_path, monkeypatch, capsys):
    base, adapter = tmp_path / "memo.safetensors", tmp_path / "adapter.safetensors"
    monkeypatch.setattr(MemoTraining, "shown", {"steps": 1, "frames_per_clip": 4})  # validation videos of 12 frames
    options = ["--protocol", "synth_std", *TINY]
    assert (
        bench("train", "memo", *options, "--set", "validate_every=2", "--out", base, "--json", monkeypatch=monkeypatch)
        == 0
    )
    printed = json.loads(capsys.readouterr().out)
    assert printed["files"] == [str(base)] and printed["measured"]["steps"] == 2
    assert len(list((world / "synth" / "features").rglob("*.safetensors"))) == 2  # two of the four are held out
    videos = sorted((tmp_path / "memo" / "validation" / "step_000002").glob("*.mkv"))
    assert [video.stem.split("_")[0] for video in videos] == ["L03", "L04"]
    assert (Clip(videos[0]).height, Clip(videos[0]).width) == (128, 256)
    with safe_open(base, "np") as file:
        notes = file.metadata()
    assert notes["steps"] == "2" and notes["world"] == "synth-v1" and "diffusion_net" not in notes["sizes"]
    assert notes["command"].startswith("python -m bench train memo --stage 2 --protocol synth_std --seed 0 --set")
    assert "steps=2" in notes["command"] and "model" not in notes["command"]

    AcceleratorState._reset_state(True)
    more = ["--set", "au_representation=seq", "--set", f"base={base}", "--out", adapter]
    assert bench("train", "auhead_memo", "--stage", 2, *options, *more, monkeypatch=monkeypatch) == 0
    method = registry.method("auhead_memo")
    settings = {"checkpoint": base, "adapter": adapter, "au_representation": "seq", "au_source": "driving", "steps": 1}
    config = method.Config(**dict(method.synth) | settings)
    generator = method(config, "cpu", Weights().require(method.required_weights(config)))
    clip = Clip(next((world / "synth").rglob("L03/*/*/*.mkv")))
    request = Request("case", clip.first_frame(), clip.audio, 4, 25.0, 128, 128, 0, np.full((4, 24), 0.2, np.float32))
    frames = np.concatenate(list(generator.generate(request)))
    assert frames.shape == (4, 128, 128, 3)


def one_of_two(rank: int, port: int, cache: Path, out: Path) -> None:
    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "ACCELERATE_USE_CPU": "true"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "AU_BENCH_CACHE": str(cache)}
    synth.TRAINING_PEOPLE = 4
    sys.argv = ["bench", "train", "memo", "--protocol", "synth_std", *TINY, "--set", "log_every=1", "--out", str(out)]
    assert main() == 0
    (out.parent / f"processes_{rank}").write_text(str(PartialState().num_processes))
    torch.distributed.destroy_process_group()


def test_two_processes_on_a_cpu_train_one_network(world, tmp_path):
    """As `ACCELERATE_USE_CPU=true torchrun --nproc_per_node 2 -m bench train` starts them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    out = tmp_path / "memo.safetensors"
    torch.multiprocessing.spawn(one_of_two, args=(port, world, out), nprocs=2)
    assert [(tmp_path / f"processes_{rank}").read_text() for rank in (0, 1)] == ["2", "2"]
    with safe_open(out, "np") as file:
        assert file.metadata()["processes"] == "2"
    assert [json.loads(line)["step"] for line in (tmp_path / "memo" / "log.jsonl").open()] == [1, 2]


def test_what_a_training_cannot_do_is_said(few_people, tmp_path, monkeypatch, capsys):
    for arguments, message in (
        (["memo"], "say what to learn from"),
        (["auhead_memo", "--protocol", "synth_std", "--stage", 1], "Input should be 2"),
        (["memo", "--protocol", "synth_stage1"], "shows no videos"),
        (["memo", "--protocol", "mead_std"], "name the file for the weights"),
        (["memo", "--protocol", "mead_std", "--out", tmp_path / "x.safetensors"], "needs --data DIR"),
        (["memo", "--protocol", "synth_std", "--out", tmp_path / "x"], "name a file, --out FILE.safetensors"),
        (
            ["auhead_stage1", "--protocol", "synth_stage1", "--out", tmp_path / "x"],
            "name a file, --out FILE.safetensors",
        ),
        (["memo", "--protocol", "synth_std", "--set", "minutes=null"], "needs steps or minutes"),
        (["synth_experts", "--protocol", "synth_std"], "has no setting protocol"),
    ):
        assert bench("train", *arguments, monkeypatch=monkeypatch) == 2
        assert message in capsys.readouterr().err


def test_a_validation_video_that_cannot_be_made_does_not_end_the_training(tmp_path, weights):
    """Oracle: construction; of three held-out clips the first one's frames cannot be made, the second is no video."""
    cases = [a_case(tmp_path, name) for name in ("a", "b", "c")]
    cases[1].driving.write_bytes(b"nothing")

    class Shown(MemoTraining):
        def make(self, learner, pipeline, request):
            if request.case == "a":
                raise GenerationError("no face in the reference picture")
            return np.zeros((request.num_frames, 128, 128, 3), np.uint8)

        def frames_per_window(self, config):
            return 2

    quiet = Quiet()
    material = Material(None, tmp_path, [], cases, None, weights, quiet)
    validate = Validation(Shown(), None, material, tmp_path / "work")
    validate._pipeline = SimpleNamespace(config=None, encoders=SimpleNamespace(size=128))
    validate(7)
    assert quiet.said[0] == "no validation video of a: no face in the reference picture"
    assert len(quiet.said) == 2 and quiet.said[1].startswith("no validation video of b: ")
    (path,) = (tmp_path / "work" / "validation" / "step_000007").iterdir()
    assert path.name == "c.mkv" and Clip(path).num_frames == 6


def test_synthetic_protocols_bring_their_own_settings():
    plain = configure("memo", MemoTraining, {"protocol": "mead_std"})
    small = configure("memo", MemoTraining, {"protocol": "synth_std", "batch": "2"})
    assert (plain.model, plain.learning_rate, plain.past_frames, plain.from_scratch) == ("full", 1e-5, 16, False)
    assert (small.model, small.past_frames, small.from_scratch, small.batch) == ("synth", 4, True, 2)
    adapters = configure("auhead_memo", AUHeadMemoTraining, {"protocol": "synth_std"})
    assert not adapters.from_scratch and adapters.uncond == adapters.drop_aus == 0.1
    assert configure("hallo", registry.training("hallo"), {"stage": "1"}).frames == 1


# -- features -------------------------------------------------------------------------------------------------------


def a_case(folder, name, num_frames=10, with_face=True) -> Case:
    """A rendered face that says something, or noise."""
    from protocols.synth.world import ClipSpec, make_clip

    made = make_clip(ClipSpec("L07", "happy", 2, 3), num_frames=num_frames)
    frames = made.frames if with_face else np.random.default_rng(0).integers(0, 255, made.frames.shape, np.uint8)
    path = write(folder / f"{name}.mkv", frames, audio=made.audio)
    table = path.with_suffix(".csv")
    au.write(made.aus, table)
    return Case(id=name, identity="L07", reference=path, driving=path, aus=table)


def test_features_are_made_once_and_failures_have_reasons(tmp_path, weights):
    cases = [a_case(tmp_path, "a"), a_case(tmp_path, "sub/b"), a_case(tmp_path, "noise", with_face=False)]
    quiet, source = Quiet(), FeatureSource("memo", "synth")
    done = prepare_features(cases, tmp_path, source, weights=weights, progress=quiet)
    assert done.folder.parent == tmp_path / "features" and done.folder.name.startswith("synth-")
    assert done.files == (done.folder / "a.safetensors", done.folder / "sub" / "b.safetensors")
    assert list(done.failed) == ["noise"] and any("no features for noise: " in line for line in quiet.said)
    features = load_file(done.files[0])
    assert features["latent_mean"].shape == (10, 8, 16, 16)
    assert np.allclose(features["aus"], au.read(cases[0].aus, "feafa24").values)
    assert read_metadata(done.files[0])["clip_sha256"] == Clip(cases[0].driving).sha256
    times = [path.stat().st_mtime_ns for path in done.files]
    again = prepare_features(cases[:2], tmp_path, source, weights=weights, progress=quiet)
    assert [path.stat().st_mtime_ns for path in again.files] == times and not again.failed
    prepared_again = a_case(tmp_path, "a", num_frames=14)
    again = prepare_features([prepared_again, cases[1]], tmp_path, source, weights=weights, progress=quiet)
    assert again.files == done.files and load_file(done.files[0])["latent_mean"].shape == (14, 8, 16, 16)
    assert again.files[1].stat().st_mtime_ns == times[1]
    cases[1].driving.unlink()  # As where features are taken to another machine without the clips.
    assert prepare_features(cases[1:2], tmp_path, source, weights=weights, progress=quiet).files == done.files[1:]


def test_only_memo_hears_the_emotion_with_a_large_classifier():
    assert FeatureSource("hallo", "full").weights == FeatureSource("hallo", "full").encoders.weights
    assert "memo_emotion_classifier" in FeatureSource("memo", "full").weights
    assert FeatureSource("hallo", "synth").hears_emotion
    assert FeatureSource("hallo", "full", separate_vocals=True).weights[-1] == "kim_vocal_2"


def test_missing_encoders_are_named_before_any_work(tmp_path, weights):
    with pytest.raises(UserError, match="features for memo needs .*sd_vae_ft_mse"):
        prepare_features([], tmp_path, FeatureSource("memo", "full"), weights=weights, progress=Quiet())


def test_prepare_computes_features_of_a_manifest(tmp_path, monkeypatch, capsys):
    """Oracle: the same file by hand."""
    data = tmp_path / "data"
    world = ["--split", "train", "--identities", 1, "--clips-per-identity", 1, "--workers", 1]
    assert (
        bench("prepare", "synth", "--out", data, *world, "--features", "memo", "--json", monkeypatch=monkeypatch) == 0
    )
    printed = json.loads(capsys.readouterr().out)
    assert printed["files"] == 1 and printed["failed"] == {}
    (path,) = data.rglob("*.safetensors")
    clip = next(data.rglob("*.mkv"))
    latents = FeatureSource("memo", "synth").encoders(Weights().require(("synth_vae",))).encode(Clip(clip).frames)[0]
    assert torch.allclose(torch.from_numpy(load_file(path)["latent_mean"]).float(), latents, atol=2e-3)
    assert bench("prepare", "synth", "--out", data, "--separate-vocals", monkeypatch=monkeypatch) == 2
    assert "goes with --features" in capsys.readouterr().err
