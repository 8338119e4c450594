"""`bench parity`. Oracles: the reference dumps; and folders made here from our own networks at sizes of their own, in which
one number is then changed."""

import json
import shutil
import sys

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from bench.cli.app import main
from bench.media.errors import UserError
from bench.parity import check_backbone
from bench.parity.report import NO_MATCH, Report
from methods.talking_unet.conditions import Conditions
from methods.talking_unet.projections import AudioProjection, FaceLocator, ImageProjection
from methods.talking_unet.reference import ReferenceNet
from methods.talking_unet.unet import TalkingUNet

SIDE, FRAMES, PAST = 24, 7, 3
LEVELS = (24, 12, 6, 3)
CHANNELS, GROUPS, LAYERS, HEADS, FACE_DIM, AUDIO_DIM = (16, 24, 32, 32), 8, 2, 4, 20, 12
IMAGE = {"clip_embeddings_dim": 10, "clip_extra_context_tokens": 3, "cross_attention_dim": FACE_DIM}
AUDIO = {"seq_len": 5, "blocks": 2, "channels": 9, "intermediate_dim": 11, "output_dim": AUDIO_DIM, "context_tokens": 6}
BASE = {
    "sample_size": SIDE, "in_channels": 4, "block_out_channels": list(CHANNELS), "layers_per_block": LAYERS,
    "attention_head_dim": HEADS, "cross_attention_dim": FACE_DIM, "norm_num_groups": GROUPS, "act_fn": "silu",
}  # fmt: skip
EXTRA = {
    "audio_attention_dim": AUDIO_DIM,
    "motion_module_kwargs": {"num_attention_heads": 2, "temporal_position_encoding_max_len": 24},
}
SIZES = {key: value for key, value in BASE.items() if key != "act_fn"}
DENOISER = {"audio_attention_dim": AUDIO_DIM, "motion_heads": 2, "motion_max_frames": 24}
EMOTIONS = 5


@pytest.fixture
def bench(monkeypatch, capsys):
    """The command line in this process: bench("parity", ...) -> (exit code, stdout, stderr)."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["bench", *map(str, arguments)])
        code = main()
        return code, *capsys.readouterr()

    return run


def randomized(network: torch.nn.Module) -> torch.nn.Module:
    """Every weight random, so that no branch is silent."""
    for name, parameter in network.named_parameters():
        scale = max(parameter[0].numel(), 1) ** -0.5 if parameter.ndim > 1 else 0.1
        offset = 1.0 if parameter.ndim == 1 and name.endswith("weight") else 0.0
        torch.nn.init.normal_(parameter, offset, scale)
    return network.eval()


def state_of(**networks) -> dict:
    return {f"{prefix}.{key}": value for prefix, net in networks.items() for key, value in net.state_dict().items()}


@pytest.fixture(scope="module")
def hallo_folder(tmp_path_factory):
    """A dump of a guidance pair: 7 frames of 24x24 latents, 2 layers a block, 3 motion frames, time 333."""
    torch.manual_seed(1)
    folder = tmp_path_factory.mktemp("hallo")
    denoiser = randomized(TalkingUNet(base="hallo", **SIZES, **DENOISER))
    reference_net = randomized(ReferenceNet(**SIZES))
    faces = randomized(ImageProjection(10, 3, FACE_DIM))
    speech = randomized(AudioProjection(5, 2, 9, 11, 6, AUDIO_DIM))
    locator = randomized(FaceLocator(CHANNELS[0]))
    tensors = {
        "in/latents": torch.randn(1, 4, FRAMES, SIDE, SIDE),
        "in/ref_latents": torch.randn(1 + PAST, 4, SIDE, SIDE),
        "in/face_emb": torch.randn(1, 10),
        "in/audio_window": torch.randn(1, FRAMES, 5, 2, 9),
        "in/face_region": torch.rand(1, 3, FRAMES, 8 * SIDE, 8 * SIDE),
        "in/timestep": torch.tensor(333),
    }
    for level, side in enumerate(LEVELS):
        tensors |= {f"in/{part}_mask_{level}": torch.rand(FRAMES, side * side) for part in ("full", "face", "lip")}
    with torch.inference_mode():
        located = locator(tensors["in/face_region"][0].transpose(0, 1))[None]
        face = torch.cat([faces(torch.zeros(1, 10)), faces(tensors["in/face_emb"])])
        audio = speech(tensors["in/audio_window"])
        reference = reference_net(tensors["in/ref_latents"][None].repeat(2, 1, 1, 1, 1), face)
        conditions = Conditions(
            face=face,
            reference=reference,
            use_reference=torch.tensor([False, True]),
            audio=torch.cat([0 * audio, audio]),
            masks=tuple(
                tuple(tensors[f"in/{part}_mask_{level}"][None].repeat(2, 1, 1) for part in ("full", "face", "lip"))
                for level in range(4)
            ),
            motion_scale=(0.5, 1.5, 2.0),
            face_mask=torch.cat([0 * located, located]),
        )
        noise = denoiser(tensors["in/latents"].transpose(1, 2).repeat(2, 1, 1, 1, 1), 333, conditions)
    site = "down_blocks.1.attentions.1"
    tensors |= {
        "out/cfg/noise_pred": noise.transpose(1, 2),
        f"out/cfg/bank/{site}.transformer_blocks.0": reference.sites[site].flatten(0, 1),
        "out/imageproj_zero": face[:1],
        "out/face_locator": located.transpose(1, 2),
    }
    state = state_of(
        denoising_unet=denoiser, reference_unet=reference_net, imageproj=faces, audioproj=speech, face_locator=locator
    )
    config = {"base": BASE, "extra": EXTRA, "imageproj": IMAGE, "audioproj": AUDIO,
              "face_locator": {"conditioning_embedding_channels": CHANNELS[0]}}  # fmt: skip
    return written(folder, "hallo_other", state, config, tensors, {"motion_scale": "[0.5, 1.5, 2.0]"})


@pytest.fixture(scope="module")
def memo_folder(tmp_path_factory):
    """A dump of one clip and three steps without guidance: 7 frames, 3 past frames, 5 emotions of which number 4."""
    torch.manual_seed(2)
    folder = tmp_path_factory.mktemp("memo")
    denoiser = randomized(TalkingUNet(base="memo", **SIZES, **DENOISER, num_emotions=EMOTIONS))
    reference_net = randomized(ReferenceNet(**SIZES, plain_blocks=True, cut_last_site=True))
    faces = randomized(ImageProjection(10, 3, FACE_DIM))
    speech = randomized(AudioProjection(5, 2, 9, 11, 6, AUDIO_DIM))
    tensors = {
        "in/latents_0": torch.randn(1, 4, FRAMES, SIDE, SIDE),
        "in/ref_latents_0": torch.randn(1 + PAST, 4, SIDE, SIDE),
        "in/face_emb": torch.randn(1, 10),
        "in/audio_window_0": torch.randn(1, FRAMES, 5, 2, 9),
    }
    with torch.inference_mode():
        face = faces(tensors["in/face_emb"])
        reference = reference_net(tensors["in/ref_latents_0"][None], face)
        conditions = Conditions(
            face=face,
            reference=reference,
            use_reference=torch.tensor([True]),
            audio=speech(tensors["in/audio_window_0"]),
            emotion=torch.tensor([4]),
        )
        for step, time in enumerate((900.0, 400.0, 25.0)):
            # Without a memory the denoiser builds it from the past frames of the clip, which is what it holds here.
            noise = denoiser(tensors["in/latents_0"].transpose(1, 2), time, conditions)
            tensors[f"out/nocfg/noise_pred/clip0_step{step}"] = noise.transpose(1, 2)
    tensors["out/nocfg/ref/up.3.2"] = reference.sites["up_blocks.3.attentions.2"].flatten(0, 1)
    plain = reference.sites["down_blocks.3.resnets.1"].flatten(0, 1)
    tensors["out/nocfg/ref/down.3.1"] = plain.transpose(1, 2).unflatten(2, (3, 3))
    state = state_of(diffusion_net=denoiser, reference_net=reference_net, image_proj=faces, audio_proj=speech)
    config = {"base": BASE, "extra": EXTRA, "image_proj": IMAGE, "audio_proj": AUDIO}
    metadata = {"emotion": "4", "null_emotion": "5", "steps": "[900.0, 400.0, 25.0]"}
    return written(folder, "memo_other", state, config, tensors, metadata)


def written(folder, name, state, config, tensors, metadata):
    save_file(state, folder / f"{name}_state_dict.safetensors", {"config": json.dumps(config)})
    contiguous = {key: value.contiguous() for key, value in tensors.items()}
    save_file(contiguous, folder / f"{name}_io.safetensors", metadata)
    return folder


def changed(source, folder, file, change):
    """A copy of a folder in which change(tensors) altered the tensors of one file."""
    shutil.copytree(source, folder)
    path = folder / file
    with safe_open(path, "pt") as opened:
        metadata = opened.metadata()
    tensors = {name: value.clone() for name, value in load_file(path).items()}
    change(tensors)
    save_file(tensors, path, metadata)
    return folder


@pytest.mark.parametrize("backbone", ["hallo", "memo"])
def test_reference_dumps(bench, golden, backbone):
    """Oracle: shared/golden, written by the official code. Every tensor of the backbone's dump is checked, once."""
    code, out, _ = bench("parity", backbone, "--golden", golden, "--json")
    document = json.loads(out)
    names = [tensor["name"] for tensor in document["tensors"]]
    assert code == 0
    assert document["backbone"] == backbone
    assert document["max_rel_error"] == max(tensor["rel_error"] for tensor in document["tensors"]) < 5e-6
    assert len(names) == len(set(names)) and document["worst"] in names
    for stem in (f"{backbone}_tiny", "wav2vec_tiny"):
        with safe_open(golden / f"{stem}_io.safetensors", "pt") as file:
            recorded = {f"{stem}_io.safetensors:{key}" for key in file.keys() if key.startswith("out/")}  # noqa: SIM118
        assert recorded <= set(names)
    assert {path.name for path in golden.glob(f"{backbone}_*_keys.json")} <= set(names)


@pytest.mark.parametrize(
    ("backbone", "tensor"),
    [
        ("hallo", "out/cfg/noise_pred"),
        ("hallo", "out/cfg/bank/down_blocks.1.attentions.1.transformer_blocks.0"),
        ("memo", "out/nocfg/noise_pred/clip0_step2"),
        ("memo", "out/nocfg/ref/down.3.1"),
    ],
)
def test_sizes_come_from_the_folder(bench, request, tmp_path, backbone, tensor):
    """Oracle: our own networks at sizes of no published one; then one tensor a thousandth off."""
    folder = request.getfixturevalue(f"{backbone}_folder")
    report = check_backbone(backbone, folder)
    assert report.max_error < 1e-5  # threads and memory layout decide the last digits
    assert f"{backbone}_other_io.safetensors:{tensor}" in report.errors

    wrong = changed(folder, tmp_path / "wrong", f"{backbone}_other_io.safetensors", lambda t: t[tensor].mul_(1.001))
    code, out, _ = bench("parity", backbone, "--golden", wrong, "--json")
    assert code == 1
    assert json.loads(out)["worst"] == f"{backbone}_other_io.safetensors:{tensor}"
    assert json.loads(out)["max_rel_error"] == pytest.approx(1e-3, rel=0.01)
    code, out, _ = bench("parity", backbone, "--golden", wrong)
    assert code == 1 and f"worst: {backbone}_other_io.safetensors:{tensor}" in out


def test_settings_come_from_the_metadata(memo_folder, tmp_path):
    """Another emotion than the recorded one is another prediction."""
    path = shutil.copytree(memo_folder, tmp_path / "copy") / "memo_other_io.safetensors"
    save_file(load_file(path), path, {"emotion": "1", "null_emotion": "5", "steps": "[900.0, 400.0, 25.0]"})
    assert check_backbone("memo", tmp_path / "copy").max_error > 1e-3


def test_what_was_not_there_is_said(hallo_folder):
    unchecked = "\n".join(check_backbone("hallo", hallo_folder).unchecked)
    for absent in ("out/nocfg/", "hallo_masks", "wav2vec_", "schedulers_diffusers_", "hallo_imageproj_keys.json"):
        assert absent in unchecked


def test_what_the_folder_lacks(bench, hallo_folder, tmp_path):
    """Exit code 2 and the name of what is missing."""
    (tmp_path / "empty").mkdir()
    half = shutil.copytree(hallo_folder, tmp_path / "half")
    (half / "hallo_other_state_dict.safetensors").unlink()
    io = "hallo_other_io.safetensors"
    blind = changed(hallo_folder, tmp_path / "blind", io, lambda tensors: tensors.pop("in/face_emb"))
    bare = shutil.copytree(hallo_folder, tmp_path / "bare")
    save_file(load_file(bare / io), bare / io)
    other = changed(
        hallo_folder, tmp_path / "other", "hallo_other_state_dict.safetensors", lambda t: t.pop("imageproj.norm.bias")
    )
    for folder, words in (
        (tmp_path / "nowhere", "no such folder"),
        (tmp_path / "empty", "nothing to check for hallo"),
        (half, "hallo_other_state_dict.safetensors"),
        (blind, "in/face_emb"),
        (bare, "motion_scale"),
        (other, "imageproj.*norm.bias"),
    ):
        code, _, err = bench("parity", "hallo", "--golden", folder)
        assert code == 2
        assert all(word in err for word in words.split("*")), err


def test_unknown_backbone(golden):
    with pytest.raises(UserError, match="hallo, memo, wan_vocal"):
        check_backbone("sonic", golden)


def test_manifests_are_strict(golden, tmp_path):
    """One renamed parameter, and one shape with two numbers exchanged."""
    path = tmp_path / "hallo_reference_unet_keys.json"
    document = json.loads((golden / path.name).read_text())
    keys = document["keys"]
    keys["mid_block.resnets.0.conv9.bias"] = keys.pop("mid_block.resnets.0.conv1.bias")
    path.write_text(json.dumps(document))
    report = check_backbone("hallo", tmp_path)
    assert not report.passed and report.worst == path.name
    assert "ours lacks mid_block.resnets.0.conv9.bias" in report.remarks[path.name]

    keys["mid_block.resnets.0.conv1.bias"] = keys.pop("mid_block.resnets.0.conv9.bias")
    keys["time_embedding.linear_1.weight"]["shape"].reverse()
    path.write_text(json.dumps(document))
    assert (
        "time_embedding.linear_1.weight is (1280, 320), not (320, 1280)"
        in check_backbone("hallo", tmp_path).remarks[path.name]
    )


@pytest.mark.parametrize(
    ("backbone", "group", "name", "row"),
    [
        ("hallo", "hallo_ddim", "3 steps first8", 1),
        ("hallo", "hallo_train", "velocity t=500 first8", None),
        ("memo", "memo_flow", "3 steps first8", 2),
        ("memo", "memo_flow", "sigmas", None),
        ("hallo", "hallo_ddim", "alphas_cumprod[::111]", None),
        ("wan_vocal", "sa_infer", "sigmas", None),
        ("wan_vocal", "sa_train", "timesteps[::111]", None),
    ],
)
def test_schedules_are_checked(golden, tmp_path, backbone, group, name, row):
    """Oracle: the recorded values; then one of them off by a hundredth."""
    path = tmp_path / "schedulers_diffusers_0.31.0.json"
    document = json.loads((golden / path.name).read_text())
    path.write_text(json.dumps(document))
    assert check_backbone(backbone, tmp_path).max_error < 1e-5
    values = document[group][name] if row is None else document[group][name][row]
    values[2] *= 1.01
    path.write_text(json.dumps(document))
    assert check_backbone(backbone, tmp_path).max_error > 1e-3


def test_masks_are_checked(golden, tmp_path):
    shutil.copy(golden / "hallo_masks.safetensors", tmp_path)
    assert check_backbone("hallo", tmp_path).max_error == 0
    wrong = changed(tmp_path, tmp_path / "wrong", "hallo_masks.safetensors", lambda t: t["out/sep_lip"][20].add_(3))
    assert check_backbone("hallo", wrong).worst == "hallo_masks.safetensors:out/sep_lip"


def test_relative_error():
    """Oracle: arithmetic. What is no number, or of another shape, fails and stays valid JSON."""
    report = Report("hallo")
    report.compare("half", np.array([3.0, 4.0]), np.array([3.0, 0.0]))
    report.compare("zero", np.array([3.0, 4.0]), np.zeros(2))
    assert report.errors == {"half": pytest.approx(4 / 3), "zero": 5.0}
    report.compare("broken", torch.tensor([float("nan"), 1.0]), torch.ones(2))
    report.compare("other shape", torch.ones(3), torch.ones(2))
    assert report.errors["broken"] == report.errors["other shape"] == NO_MATCH
    assert not report.passed
    json.loads(json.dumps(report.document(), allow_nan=False))
