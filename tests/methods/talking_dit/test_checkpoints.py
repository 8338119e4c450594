"""Weights of TalkingDiT. Oracles: the official tiny state dict and its recorded prediction in shared/golden; files written and
read again; files that are broken on purpose."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from bench.media.errors import UserError
from methods.talking_dit import checkpoints, sizes
from methods.talking_dit.transformer import TalkingDiT
from tests.methods.talking_dit.small import conditions, latents, network


@pytest.fixture
def official(golden, monkeypatch):
    """The tiny official state dict; its heads are 24 wide."""
    monkeypatch.setattr(sizes, "HEAD_DIM", 24)
    return load_file(golden / "stableavatar_tiny_state_dict.safetensors")


def test_official_files(official, tmp_path):
    """StableAvatar's .pt, and the base without a vocal path as safetensors; sizes are those of the file."""
    torch.save(official, tmp_path / "transformer3d-square.pt")
    loaded = checkpoints.load_official(tmp_path / "transformer3d-square.pt")
    assert loaded.sizes == {**loaded.sizes, "num_attention_heads": 4, "num_layers": 2, "text_dim": 24}
    assert loaded.vocal_projector is not None and len(loaded.state_dict()) == len(official)
    assert torch.equal(loaded.blocks[1].attn2.k_vocal.weight, official["blocks.1.cross_attn.k_vocal.weight"])
    assert not loaded.training and not any(parameter.requires_grad for parameter in loaded.parameters())
    assert not any(tensor.is_meta for tensor in [*loaded.parameters(), *loaded.buffers()])

    base = {name: value for name, value in official.items() if "vocal" not in name}
    save_file(base, tmp_path / "base.safetensors")
    loaded = checkpoints.load_official(tmp_path / "base.safetensors", dtype="bfloat16")
    assert loaded.vocal_projector is None
    assert loaded.blocks[0].attn1.to_q.weight.dtype == torch.bfloat16
    assert loaded.scale_shift_table.dtype == loaded.rope.freqs_cos.dtype == torch.float32


def test_wrong_files(official, tmp_path):
    path = tmp_path / "wrong.pt"
    official["blocks.1.cross_attn.v_vocal.scale"] = official.pop("blocks.1.cross_attn.v_vocal.weight")
    torch.save(official, path)
    with pytest.raises(UserError, match=r"1 missing \(blocks.1.attn2.v_vocal.weight\), 1 unexpected"):
        checkpoints.load_official(path)
    torch.save({"a": torch.zeros(1)}, path)
    with pytest.raises(UserError, match="not a Wan2.1 image-to-video transformer.*patch_embedding.weight"):
        checkpoints.load_official(path)


def test_trained_files(tmp_path):
    """What is written comes back, rounded to its type, with its sizes."""
    dit, path = network(), tmp_path / "new" / "iuface.safetensors"
    checkpoints.save_trained(path, dit, {"command": "bench train iuface"})
    loaded = checkpoints.load_trained(path)
    assert loaded.sizes == {**dit.sizes, "patch_size": [1, 2, 2]}  # JSON knows no tuples
    for name, value in dit.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value.bfloat16().float())
    assert checkpoints.read_metadata(path)["command"] == "bench train iuface"
    with torch.no_grad():
        error = loaded(latents(), 500.0, conditions()) - dit(latents(), 500.0, conditions())
        assert error.norm() < 0.02 * loaded(latents(), 500.0, conditions()).norm()
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(UserError, match="holds no trained networks, not TalkingDiT"):
        checkpoints.load_trained(tmp_path / "other.safetensors")


def test_small_files_are_small(tmp_path):
    """Oracle: 6 MB, what the repository has room for."""
    checkpoints.save_trained(tmp_path / "small.safetensors", TalkingDiT(**sizes.IUFACE_SYNTH), {})
    assert (tmp_path / "small.safetensors").stat().st_size < 6e6
