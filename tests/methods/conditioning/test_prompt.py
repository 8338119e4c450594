"""umT5. Oracles: T5's published arithmetic written out on official names, padding by hand, construction."""

import math

import pytest
import torch
from safetensors.torch import save_file

from bench.media.errors import UserError
from methods.conditioning import prompt

WIDTH, HEADS, INNER, BUCKETS, BLOCKS = 16, 4, 24, 32, 2


@pytest.fixture(scope="module")
def state():
    """Official names, random values; the attention is wider than the states."""
    torch.manual_seed(0)
    values = {"token_embedding.weight": torch.randn(40, WIDTH), "norm.weight": 1 + 0.1 * torch.randn(WIDTH)}
    for n in range(BLOCKS):
        block = f"blocks.{n}."
        values |= {f"{block}{norm}.weight": 1 + 0.1 * torch.randn(WIDTH) for norm in ("norm1", "norm2")}
        values |= {f"{block}attn.{part}.weight": torch.randn(32, WIDTH) / 4 for part in "qkv"}
        values[f"{block}attn.o.weight"] = torch.randn(WIDTH, 32) / 6
        values[f"{block}pos_embedding.embedding.weight"] = torch.randn(BUCKETS, HEADS)
        values |= {f"{block}ffn.{part}.weight": torch.randn(INNER, WIDTH) / 4 for part in ("gate.0", "fc1")}
        values[f"{block}ffn.fc2.weight"] = torch.randn(WIDTH, INNER) / 5
    return values


def norm(x, weight):
    return weight * x * torch.rsqrt((x**2).mean(-1, keepdim=True) + 1e-6)


def bucket(distance: int) -> int:
    """Of a key so many places after the query: 16 buckets a side, the last 8 logarithmic up to 128 places."""
    side, distance = (16, distance) if distance > 0 else (0, -distance)
    if distance < 8:
        return side + distance
    return side + min(15, 8 + int(math.log(distance / 8) / math.log(128 / 8) * 8))


def by_hand(state, ids):
    """The encoder in T5's own formulas: no scaling of logits, every block its own position bias, gated tanh-GELU."""
    x = state["token_embedding.weight"][ids]
    length = len(ids)
    buckets = torch.tensor([[bucket(key - query) for key in range(length)] for query in range(length)])
    for n in range(BLOCKS):
        get = lambda name, n=n: state[f"blocks.{n}.{name}.weight"]  # noqa: E731
        normed = norm(x, get("norm1"))
        q, k, v = ((normed @ get(f"attn.{part}").T).view(length, HEADS, -1) for part in "qkv")
        logits = torch.einsum("ihc,jhc->hij", q, k) + get("pos_embedding.embedding")[buckets].permute(2, 0, 1)
        x = x + torch.einsum("hij,jhc->ihc", logits.softmax(-1), v).flatten(1) @ get("attn.o").T
        normed = norm(x, get("norm2"))
        gate = torch.nn.functional.gelu(normed @ get("ffn.gate.0").T, approximate="tanh")
        x = x + (gate * (normed @ get("ffn.fc1").T)) @ get("ffn.fc2").T
    return norm(x, state["norm.weight"])


class Words:
    """A tokenizer: a word is its length, 1 ends the prompt."""

    def no_padding(self): ...

    def enable_truncation(self, most):
        self.most = most

    def encode(self, text):
        ids = [len(word) for word in text.split(" ")][: self.most - 1] + [1]
        return type("Encoding", (), {"ids": ids})


def test_published_names_and_arithmetic(state):
    """Oracle: `by_hand`; distances beyond 8 and beyond 128 are among the buckets."""
    network = prompt.umt5_from_state(state)
    ids = torch.arange(150) % 40
    with torch.inference_mode():
        states = network(ids[None]).last_hidden_state[0]
    torch.testing.assert_close(states, by_hand(state, ids), rtol=1e-4, atol=1e-4)


def test_full_size():
    """Oracle: umt5_xxl of Wan's wan/modules/t5.py, on the meta device."""
    shapes = {"token_embedding.weight": (256384, 4096), "norm.weight": (4096,)}
    for n in range(24):
        shapes |= {f"blocks.{n}.attn.{part}.weight": (4096, 4096) for part in "qkvo"}
        shapes |= {f"blocks.{n}.ffn.{part}.weight": (10240, 4096) for part in ("gate.0", "fc1")}
        shapes[f"blocks.{n}.ffn.fc2.weight"] = (4096, 10240)
        shapes |= {f"blocks.{n}.{one}.weight": (4096,) for one in ("norm1", "norm2")}
        shapes[f"blocks.{n}.pos_embedding.embedding.weight"] = (32, 64)
    with torch.device("meta"):
        network = prompt.umt5_from_state(
            {name: torch.empty(shape, dtype=torch.bfloat16) for name, shape in shapes.items()}
        )
    assert network.dtype == torch.bfloat16 and network.config.d_kv == 64
    assert sum(parameter.numel() for parameter in network.parameters()) == sum(
        math.prod(shape) for shape in shapes.values()
    )


def test_a_prompt_is_its_tokens_and_zeros(state):
    """Oracle: `by_hand` on the tokens alone: what pads the prompt elsewhere must not be seen."""
    encoder = prompt.TextEncoder(prompt.umt5_from_state(state), Words())
    states = encoder("an  even\n portrait")
    torch.testing.assert_close(states, by_hand(state, torch.tensor([2, 4, 8, 1])), rtol=1e-4, atol=1e-4)
    filled = prompt.padded(states, 6)
    assert filled.shape == (6, WIDTH) and torch.equal(filled[:4], states) and (filled[4:] == 0).all()
    assert torch.equal(prompt.padded(states, 3), states[:3])
    assert len(encoder(" ".join(["word"] * 600))) == prompt.TOKENS


def test_states_in_a_file(tmp_path):
    """Oracle: the states themselves, rounded to bfloat16."""
    states, path = torch.randn(3, 8), tmp_path / "texts" / "a.safetensors"
    prompt.save_embedding(path, states, "a portrait")
    assert torch.equal(prompt.read_embedding(path, 8), states.bfloat16().float())
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    save_file({prompt.EMBEDDING: states[None]}, tmp_path / "batch.safetensors")
    assert torch.equal(prompt.read_embedding(tmp_path / "batch.safetensors", 8), states)


def test_half_a_file_is_none(tmp_path, monkeypatch):
    """Oracle: construction; the writer is stopped before its file has its name."""
    monkeypatch.setattr("os.replace", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        prompt.save_embedding(tmp_path / "a.safetensors", torch.randn(3, 8), "a portrait")
    assert not (tmp_path / "a.safetensors").exists()


def test_other_files_are_refused(tmp_path):
    (tmp_path / "text.safetensors").write_text("not tensors")
    save_file({"weight": torch.zeros(2, 8)}, tmp_path / "weights.safetensors")
    prompt.save_embedding(tmp_path / "narrow.safetensors", torch.zeros(2, 4), "")
    for name, message in (
        ("absent", "no safetensors file"),
        ("text", "no safetensors file"),
        ("weights", "holds weight, not prompt_embeds"),
        ("narrow", r"is \(2, 4\), this model takes \(tokens, 8\)"),
    ):
        with pytest.raises(UserError, match=message):
            prompt.read_embedding(tmp_path / f"{name}.safetensors", 8)
