"""Files of weights. Oracles: torch's own rounding; the largest error that 8 bits can make."""

import pytest
import torch
from safetensors.torch import load_file

from bench.media.errors import UserError
from methods.tensor_files import SCALE, read_metadata, read_state, write_state

ROWS = torch.logspace(-3, 1, 8).view(-1, 1, 1, 1)
STATE = {
    "conv.weight": torch.randn(8, 4, 3, 3, generator=torch.Generator().manual_seed(0)) * ROWS,
    "conv.bias": torch.linspace(-1, 1, 8),
    "dead.weight": torch.zeros(3, 5),
    "rest": torch.arange(250, 256, dtype=torch.uint8).reshape(2, 3),
}


@pytest.mark.parametrize("stored", ["float32", "float16", "bfloat16"])
def test_floats_are_rounded_and_integers_kept(tmp_path, stored):
    """Oracle: Tensor.to."""
    path = tmp_path / "new" / "weights.safetensors"
    write_state(path, STATE, {"command": "a b"}, stored)
    assert read_metadata(path) == {"command": "a b"}
    read = read_state(path)
    assert read.keys() == STATE.keys()
    for name, value in STATE.items():
        expected = value.to(getattr(torch, stored)) if value.is_floating_point() else value
        assert torch.equal(read[name], expected) and read[name].dtype == expected.dtype
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    assert path.stat().st_mode & 0o777 == 0o644


def test_eight_bits_err_by_half_a_step_of_each_row(tmp_path):
    """|w - s q| <= s / 2, s = max |w| / 127 of the row, however small the row."""
    path = tmp_path / "weights.safetensors"
    write_state(path, STATE, {}, "int8")
    read, held = read_state(path), load_file(path)
    assert read.keys() == STATE.keys() and held["conv.weight"].dtype == torch.int8
    steps = STATE["conv.weight"].flatten(1).abs().amax(1) / 127
    torch.testing.assert_close(held["conv.weight" + SCALE], steps, rtol=1e-6, atol=0)
    errors = (read["conv.weight"] - STATE["conv.weight"]).flatten(1).abs().amax(1)
    assert (errors <= 0.5001 * steps).all() and (errors > 0.2 * steps).all()
    assert torch.equal(read["dead.weight"], STATE["dead.weight"])
    assert torch.equal(read["rest"], STATE["rest"]) and read["rest"].dtype == torch.uint8
    assert read["conv.bias"].dtype == torch.bfloat16


def test_eight_bits_once_more_change_nothing(tmp_path):
    """What was read and written again is the same file."""
    one, two = tmp_path / "one.safetensors", tmp_path / "two.safetensors"
    write_state(one, STATE, {}, "int8")
    write_state(two, read_state(one), {}, "int8")
    assert all(torch.equal(a, b) for a, b in zip(read_state(one).values(), read_state(two).values(), strict=True))


def test_what_holds_no_weights_is_refused(tmp_path):
    for name, data, message in (
        ("torn.safetensors", b"\x08\x00", "fetch it again"),
        ("pickle.pt", b"cos\nsystem\n(S'true'\ntR.", "fetch it again"),
        ("pointer.safetensors", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", "git lfs pull"),
    ):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(UserError, match=message):
            read_state(tmp_path / name)
    with pytest.raises(UserError, match="no such file"):
        read_metadata(tmp_path / "none.safetensors")
