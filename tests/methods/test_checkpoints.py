"""Weights of Hallo and MEMO. Oracles: the tiny state dicts of shared/golden, in the layout of the published files; files
written and read again; files that are broken on purpose."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from bench.media.errors import UserError
from methods.hallo.modules import HalloModules
from methods.memo.modules import MemoModules
from methods.talking_unet import checkpoints
from methods.talking_unet.sizes import MEMO_SYNTH

UNET = {
    "sample_size": 16, "block_out_channels": [32, 32, 64, 64], "layers_per_block": 1, "cross_attention_dim": 24,
}  # fmt: skip
IMAGE = {"face_channels": 16, "tokens": 4, "dim": 24}


def audio(dim: int) -> dict:
    return {"window": 5, "blocks": 3, "channels": 6, "hidden": 16, "tokens": 8, "dim": dim}


HALLO_TINY = {
    "denoiser": {"base": "hallo", **UNET, "audio_attention_dim": 20}, "reference": UNET,
    "image_projection": IMAGE, "audio_projection": audio(20), "face_locator": {"channels": 32},
}  # fmt: skip
MEMO_TINY = {
    "denoiser": {"base": "memo", **UNET, "audio_attention_dim": 16},
    "reference": {**UNET, "plain_blocks": True, "cut_last_site": True},
    "image_projection": IMAGE, "audio_projection": audio(16),
}  # fmt: skip


@pytest.fixture
def tiny(monkeypatch):
    """The published layouts at the sizes of the reference dumps."""
    monkeypatch.setattr(checkpoints, "HALLO_FULL", HALLO_TINY)
    monkeypatch.setattr(checkpoints, "MEMO_FULL", MEMO_TINY)


@pytest.fixture
def net_pth(golden, tmp_path):
    path = tmp_path / "net.pth"
    torch.save(load_file(golden / "hallo_tiny_state_dict.safetensors"), path)
    return path


def test_hallo_loads_by_its_prefixes(tiny, golden, net_pth):
    modules = checkpoints.load_hallo({"hallo_net": net_pth})
    published = load_file(golden / "hallo_tiny_state_dict.safetensors")
    assert modules.state_dict().keys() == published.keys()
    assert all(torch.equal(value, published[name]) for name, value in modules.state_dict().items())
    assert not modules.training and not any(parameter.requires_grad for parameter in modules.parameters())
    assert not any(tensor.is_meta for tensor in [*modules.parameters(), *modules.buffers()])


def test_memo_loads_its_folders(tiny, golden, tmp_path):
    published = load_file(golden / "memo_tiny_state_dict.safetensors")
    files = {}
    for name, prefix in checkpoints.MEMO_PARTS.items():
        files[name] = tmp_path / f"{name}.safetensors"
        part = {key.removeprefix(prefix): value for key, value in published.items() if key.startswith(prefix)}
        save_file(part, files[name])
    modules = checkpoints.load_memo(files, dtype="bfloat16")
    assert modules.state_dict().keys() == published.keys()
    assert all(torch.equal(value, published[name].bfloat16()) for name, value in modules.state_dict().items())

    files["memo_image_proj"], files["memo_audio_proj"] = files["memo_audio_proj"], files["memo_image_proj"]
    with pytest.raises(UserError, match=r"memo_audio_proj.*2 missing \(image_proj.proj.weight, .*6 unexpected"):
        checkpoints.load_memo(files)


def test_trained_files(tmp_path):
    """What is written comes back, rounded to its type, with its sizes; it is of its own base only."""
    torch.manual_seed(0)
    modules = MemoModules(MEMO_SYNTH)
    path = tmp_path / "new" / "memo.safetensors"
    checkpoints.save_trained(path, modules, {"command": "bench train memo"})
    loaded = checkpoints.load_trained(path, MemoModules)
    assert loaded.sizes == json.loads(json.dumps(MEMO_SYNTH))
    for name, value in modules.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value.bfloat16().float())
    assert checkpoints.read_metadata(path)["command"] == "bench train memo"
    with pytest.raises(UserError, match="holds MemoModules, not HalloModules"):
        checkpoints.load_trained(path, HalloModules)
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(UserError, match="holds no trained networks"):
        checkpoints.load_trained(tmp_path / "other.safetensors", MemoModules)


def test_wrong_names_and_shapes_are_named(tiny, net_pth):
    state = torch.load(net_pth, weights_only=True)
    state["imageproj.norm.scale"] = state.pop("imageproj.norm.weight")
    state["audioproj.proj2.bias"] = state["audioproj.proj2.bias"][:3]
    torch.save(state, net_pth)
    with pytest.raises(UserError) as error:
        checkpoints.load_hallo({"hallo_net": net_pth})
    for words in (
        "1 missing (imageproj.norm.weight)",
        "1 unexpected (imageproj.norm.scale)",
        "proj2.bias (3,) for (16,)",
    ):
        assert words in str(error.value)


def test_what_is_no_file_of_weights(tmp_path):
    pointer = tmp_path / "pointer.safetensors"
    pointer.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 3430000000\n")
    short = tmp_path / "short.safetensors"
    short.write_bytes(b"\xff" * 40)
    page = tmp_path / "page.pth"
    page.write_text("<!doctype html>")
    nested = tmp_path / "nested.pth"
    torch.save({"state_dict": {"a": torch.zeros(1)}}, nested)
    for path, words in (
        (pointer, "Git LFS pointer"),
        (short, "fetch it again"),
        (page, "fetch it again"),
        (nested, "flat table"),
        (tmp_path / "absent.pth", "no such file"),
    ):
        with pytest.raises(UserError, match=words):
            checkpoints.read_state(path)


def test_a_pickle_runs_no_code(tmp_path):
    """Oracle: a pickle whose loading would create a file."""

    class Attack:
        def __reduce__(self):
            return open, (str(tmp_path / "created"), "w")

    torch.save({"a": Attack()}, tmp_path / "net.pth")
    with pytest.raises(UserError):
        checkpoints.read_state(tmp_path / "net.pth")
    assert not (tmp_path / "created").exists()
