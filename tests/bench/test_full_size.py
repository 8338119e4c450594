"""The published sizes without their weights. Oracles: the tables of specs/methods.md (1.1, 1.5, 2.1, 2.4, 8.1), which agree
with the sizes of the published files; and the same code at small sizes on the CPU."""

import json
import re
import sys

import pytest
import torch

from bench import full_size, full_size_clip
from bench.cli.app import main
from bench.full_size import dry_run, measure, write_performance
from bench.media.errors import UserError
from methods import device_memory as memory
from methods.clock import Clock
from methods.talking_dit import sizes as video_sizes
from methods.talking_dit.transformer import TalkingDiT
from methods.talking_unet import sizes

MILLIONS = {
    "hallo": {
        "reference_unet": 859.5,
        "denoising_unet": 1526.7,
        "imageproj": 1.58,
        "audioproj": 36.5,
        "face_locator": 0.51,
    },
    "memo": {"reference_net": 857.07, "diffusion_net": 1678.03, "image_proj": 1.58, "audio_proj": 36.5},
}
TRAINED = {"hallo": 666.0 + 36.5, "memo": 817.3}


@pytest.mark.parametrize("base", ["hallo", "memo"])
def test_published_sizes(base):
    plan = dry_run(base)
    found = {name: count / 1e6 for name, count in plan.parameters.items()}
    assert found.keys() == MILLIONS[base].keys()
    for name, expected in MILLIONS[base].items():
        digits = len(str(expected).partition(".")[2])
        assert round(found[name], digits) == expected, name
    assert plan.trained / 1e6 == pytest.approx(TRAINED[base], abs=0.1)
    assert plan.output == (2, 16, 4, 64, 64)
    weights = sum(plan.parameters.values())
    remembered = plan.inference_bytes - 2 * weights
    assert remembered / 1e9 == pytest.approx({"hallo": 0.0, "memo": 6.9}[base], abs=0.15)
    assert plan.training_bytes == 4 * weights + 12 * plan.trained


@pytest.mark.parametrize(
    ("method", "millions"),
    [
        ("stableavatar", {"base": 1564.43, "vocal path": 183.0}),
        ("iuface", {"base": 1564.43, "vocal path": 183.0, "AU path": 143.81}),
    ],
)
def test_video_transformer(method, millions):
    """Oracles: specs/methods.md 3.1, 3.2; IUFace's Table 3, 1.89 B; section 8.4: all but embeddings and output is trained."""
    plan = dry_run(method)
    assert {name: round(count / 1e6, 2) for name, count in plan.parameters.items()} == millions
    assert plan.output == (3, 16, 21, 64, 64)
    total = sum(plan.parameters.values())
    assert 28e6 < total - plan.trained < 32e6
    assert plan.inference_bytes == 2 * total and plan.training_bytes == 4 * total + 12 * plan.trained


@pytest.fixture
def small_video(monkeypatch):
    """Full-size sizes replaced by those of the rendered world, encoders by smaller ones of the same classes."""
    monkeypatch.setattr(video_sizes, "IUFACE_FULL", video_sizes.IUFACE_SYNTH)
    monkeypatch.setattr(video_sizes, "STABLEAVATAR_FULL", video_sizes.STABLEAVATAR_SYNTH)
    clip = {"hidden_size": 128, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
    speech = {"hidden_size": 96, "intermediate_size": 96, "num_hidden_layers": 1, "num_attention_heads": 4,
              "conv_dim": [16] * 7, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 4}  # fmt: skip
    vae = {"base_dim": 4, "z_dim": 8, "latents_mean": [0.1] * 8, "latents_std": [2.0] * 8}
    changes = {"clip_sizes": clip | {"image_size": 32, "patch_size": 8, "hidden_act": "gelu"}, "speech_sizes": speech,
               "vae_sizes": vae, "latent_channels": 8, "text_dim": 32}  # fmt: skip
    for name, value in changes.items():
        monkeypatch.setattr(full_size_clip.RandomVideoEncoders, name, value)
    monkeypatch.setattr(full_size_clip, "STEPS", 4)
    monkeypatch.setattr(TalkingDiT, "compile_repeated_blocks", lambda self, **_: None)  # Tested with the profiles.


def test_video_transformer_measured(small_video):
    """At the small size the work is really done; parts make up the whole."""
    rows = measure("iuface", "cpu", size=64, frames=5, repeats=1)
    seconds = {row["work"].partition(" (")[0]: row["seconds"] for row in rows}
    parts = ["encode", "denoise", "decode"]
    assert list(seconds) == [
        "denoising step, one by one", "denoising step", "video, exact", *(f"video, exact: {part}" for part in parts),
        "video, guidance_interval", "video, cached", "video, compiled", "stock video",
        *(f"stock video: {part}" for part in parts), "training step",
    ]  # fmt: skip
    assert all(row["frames"] == 5 and 0 < row["seconds"] < 60 for row in rows)
    (cached,) = (row["work"] for row in rows if "cached" in row["work"])
    assert re.fullmatch(r"video, cached \([1-4](\.\d+)? of 4 steps computed\)", cached)
    for work in ("video, exact", "stock video"):
        assert sum(seconds[f"{work}: {part}"] for part in parts) == pytest.approx(seconds[work], rel=0.1)
    with pytest.raises(UserError, match="4 k"):
        measure("iuface", "cpu", size=64, frames=6)


def test_without_videos_and_training(small_video):
    rows = measure("stableavatar", "cpu", size=64, frames=5, train=False, videos=False, repeats=1)
    assert [row["work"] for row in rows] == ["denoising step, one by one", "denoising step"]


def test_the_stock_video_is_made_of_what_it_was_asked_for(small_video):
    """Oracles: its shape; the stock transformer has the parameters of the method's base and no others."""
    network, asked = full_size_clip.stock_network("iuface", "cpu"), full_size_clip.random_request(64, 5)
    base = dry_run("iuface", size=64, frames=5).parameters["base"]
    assert sum(parameter.numel() for parameter in network.parameters()) == base
    encoders = full_size_clip.RandomVideoEncoders({}, "cpu", "bfloat16")
    vae = encoders.load_vae().eval().type(torch.bfloat16)
    made = full_size_clip.stock_video(network, vae, encoders, asked, 1, Clock())
    assert made.shape == (1, 3, 5, 64, 64) and made.isfinite().all()


def test_an_adapter_is_all_that_trains():
    plan = dry_run("auhead_memo")
    assert 0.99 < plan.trained / plan.parameters["au_adapter"] <= 1  # its file holds a table of the neutral face too
    assert plan.training_bytes < dry_run("memo").training_bytes


@pytest.fixture
def small(monkeypatch):
    """Full-size sizes replaced by small ones of the same shape of network."""
    net = {
        "block_out_channels": [16, 16, 32, 32],
        "layers_per_block": 1,
        "norm_num_groups": 8,
        "cross_attention_dim": 24,
    }
    projections = {
        "image_projection": {"dim": 24},
        "audio_projection": {"hidden": 16, "tokens": 4, "dim": 20},
    }
    memo = {"base": "memo", **net, "audio_attention_dim": 20}
    hallo = {"base": "hallo", **net, "audio_attention_dim": 20}
    reference = {**net, "plain_blocks": True, "cut_last_site": True}
    monkeypatch.setattr(sizes, "MEMO_FULL", {"denoiser": memo, "reference": reference, **projections})
    monkeypatch.setattr(
        sizes, "HALLO_FULL", {"denoiser": hallo, "reference": net, **projections, "face_locator": {"channels": 16}}
    )


@pytest.mark.parametrize("method", ["hallo", "auhead_memo"])
def test_measurements(small, method):
    """The work is really done: times and memory are those of a process, and every row is there."""
    rows = measure(method, "cpu", size=64, frames=2, repeats=1)
    assert [row["work"] for row in rows] == ["clip start", "denoising step", "training step"]
    for row in rows:
        assert set(row) == set(full_size.COLUMNS)
        assert row["method"] == method and 0 < row["seconds"] < 60 and row["peak memory (GB)"] > 0.05


def test_table(tmp_path):
    """A second measurement of the same work replaces the first; another machine adds a row."""
    row = {"method": "memo", "hardware": "A100", "size": 512, "frames": 16, "work": "denoising step", "seconds": 1.23456,
           "peak memory (GB)": 20.0, "commit": "abc"}  # fmt: skip
    path = tmp_path / "performance.md"
    write_performance([row], path)
    write_performance([row | {"seconds": 9.0}, row | {"hardware": "H100"}], path)
    lines = [line for line in path.read_text().splitlines() if line.startswith("| memo")]
    assert lines == [
        "| memo | A100 | 512 | 16 | denoising step | 9 | 20 | abc |",
        "| memo | H100 | 512 | 16 | denoising step | 1.23 | 20 | abc |",
    ]


def test_too_little_memory_is_said_before_the_work(monkeypatch):
    monkeypatch.setattr(memory, "free_memory", lambda device: 8_000_000_000)
    monkeypatch.setattr(full_size, "_filled", lambda *_: pytest.fail("the work was begun"))
    with pytest.raises(UserError, match=r"one step of memo .*12\.2 GB, and cpu has 8\.0 GB free"):
        measure("memo", "cpu")
    monkeypatch.setattr(memory, "free_memory", lambda device: 15_000_000_000)
    with pytest.raises(UserError, match=r"training hallo .*18\.1 GB"):
        measure("hallo", "cpu")


def test_free_memory():
    """Oracle: a tensor of 500 MB that is filled takes about as much of it."""
    before = memory.free_memory("cpu")
    held = torch.ones(125_000_000)
    taken = before - memory.free_memory("cpu")
    assert held.sum() > 0 and before > taken > 0


def test_command(small, monkeypatch, capsys):
    def bench(*arguments):
        monkeypatch.setattr(sys, "argv", ["bench", *arguments])
        return main(), *capsys.readouterr()

    code, out, _ = bench("measure", "memo", "--dry", "--size", "64", "--json")
    assert code == 0 and json.loads(out)["measured"] == []
    assert json.loads(out)["plan"]["output"] == [2, 16, 4, 8, 8]
    assert bench("measure", "memo", "--size", "100", "--dry")[0] == 2
    code, _, err = bench("measure", "sonic", "--dry")
    assert code == 2 and "auhead_memo" in err
