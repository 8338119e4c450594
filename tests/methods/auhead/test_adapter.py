"""AU adapter. Oracles: the untouched features (exact equality), and attention written as a loop over frames and heads."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from bench.media.errors import UserError
from methods.auhead.adapter import AUAdapter, AUAdapterConfig

SITES = {"down_blocks.0.attentions.0": 8, "mid_block.attentions.0": 16}
CONFIG = AUAdapterConfig("seq", dim=6, tokens_per_frame=2, channels=8, heads=4)
BATCH, FRAMES = 2, 5


def adapter(seed: int | None = None, config=CONFIG) -> AUAdapter:
    """As it is made, or with random weights in place of what training would have found."""
    torch.manual_seed(0)
    made = AUAdapter(SITES, config)
    if seed is not None:
        torch.manual_seed(seed)
        for parameter in made.parameters():
            torch.nn.init.normal_(parameter, std=0.5)
    return made


@pytest.fixture
def hidden():
    return torch.randn(BATCH * FRAMES, 16, 3, 3, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def tokens():
    return torch.randn(BATCH, FRAMES * 2, 6, generator=torch.Generator().manual_seed(2))


def test_adds_exactly_nothing_before_training(hidden, tokens):
    assert torch.equal(adapter()("mid_block.attentions.0", hidden, tokens, FRAMES), hidden)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_trained_it_adds_exactly_nothing_to_the_null_au(hidden, tokens, dtype):
    trained, hidden = adapter(seed=3).to(dtype), hidden.to(dtype)
    null = trained.embedding.null(BATCH, FRAMES)
    assert torch.equal(trained("mid_block.attentions.0", hidden, null, FRAMES), hidden)
    assert not torch.allclose(trained("mid_block.attentions.0", hidden, tokens.to(dtype), FRAMES), hidden)


def test_rows_with_and_without_aus_share_a_batch(hidden, tokens):
    """AU dropout in training zeroes the tokens of single rows."""
    trained = adapter(seed=3)
    mixed = trained("mid_block.attentions.0", hidden, torch.stack([tokens[0], 0 * tokens[1]]), FRAMES)
    alone = trained("mid_block.attentions.0", hidden[:FRAMES], tokens[:1], FRAMES)
    torch.testing.assert_close(mixed[:FRAMES], alone)
    assert torch.equal(mixed[FRAMES:], hidden[FRAMES:])


def test_is_cross_attention_with_a_bias_on_the_distance_in_frames(hidden, tokens):
    trained = adapter(seed=3)
    layer = trained.layers["mid_block_attentions_0"]
    expected = hidden.clone()
    for b in range(BATCH):
        for t in range(FRAMES):
            row = b * FRAMES + t
            pixels = layer.norm(hidden[row].flatten(1).T)
            heads = []
            for head in range(4):
                part = slice(4 * head, 4 * head + 4)
                query = pixels @ layer.to_q.weight[part].T
                key, value = tokens[b] @ layer.to_k.weight[part].T, tokens[b] @ layer.to_v.weight[part].T
                distance = torch.tensor([abs(t - s // 2) for s in range(FRAMES * 2)])
                scores = query @ key.T / 4**0.5 - (4, 1, 1 / 4, 1 / 16)[head] * distance
                heads.append(scores.softmax(1) @ value)
            expected[row] += (torch.cat(heads, 1) @ layer.to_out.weight.T).T.unflatten(1, (3, 3))
    torch.testing.assert_close(trained("mid_block.attentions.0", hidden, tokens, FRAMES), expected)


def test_heads_range_from_the_own_frame_to_the_whole_clip():
    """At the start, where scores say nothing: shares of a frame's own tokens in a clip of 16."""
    layer = AUAdapter(SITES, replace(CONFIG, heads=8)).layers["mid_block_attentions_0"]
    shares = layer._bias(16, torch.zeros(1, 32, 6)).softmax(-1)[8, :, 0].unflatten(1, (16, 2)).sum(2)
    own = shares[:, 8]
    assert own[0] > 0.95 and own[-1] < 0.1
    assert (own.diff() < 0).all()
    torch.testing.assert_close(shares[:, 7], shares[:, 9])


def test_a_frame_follows_its_own_tokens_most():
    """Other tokens at one frame move that frame's features more than any other's, and the more the nearer."""
    trained = adapter(seed=3, config=replace(CONFIG, heads=1))
    hidden = torch.zeros(16, 16, 3, 3)
    tokens = torch.zeros(1, 32, 6)
    tokens[0, 16:18] = 1e-3  # frame 8; so small that scores hardly count
    moved = trained("mid_block.attentions.0", hidden, tokens, 16).flatten(1).norm(dim=1)
    assert moved.argmax() == 8
    assert (moved[8:].diff() < 0).all() and (moved[:9].diff() > 0).all()


def test_gradients_reach_every_parameter_and_checkpointing_changes_none(hidden, tokens):
    trained = adapter(seed=3)
    aus = torch.randn(BATCH, FRAMES + 4, 24)

    def loss(call):
        trained.zero_grad()
        tokens = trained.embedding(aus)
        out = sum(call(name, hidden[:, :channels], tokens, FRAMES).square().sum() for name, channels in SITES.items())
        out.backward()
        return [parameter.grad.clone() for parameter in trained.parameters()]

    plain = loss(trained)
    assert all(gradient.abs().sum() > 0 for gradient in plain)
    checkpointed = loss(lambda *inputs: torch.utils.checkpoint.checkpoint(trained, *inputs, use_reentrant=False))
    assert all(torch.equal(a, b) for a, b in zip(plain, checkpointed, strict=True))


def test_before_training_the_gradient_opens_the_output_first(hidden, tokens):
    made = adapter()
    made("mid_block.attentions.0", hidden, tokens, FRAMES).square().sum().backward()
    layer = made.layers["mid_block_attentions_0"]
    assert layer.to_out.weight.grad.abs().sum() > 0
    assert not layer.to_v.weight.grad.any()


def test_tokens_of_clips_are_those_of_the_whole_video():
    made = adapter(seed=3)
    aus = np.random.default_rng(0).random((12, 24), np.float32)
    clips = [made.tokens(aus, slice(start, start + 4)) for start in (0, 4, 8)]
    torch.testing.assert_close(torch.cat(clips, 1), made.tokens(aus, slice(0, 12)))
    assert torch.equal(made.tokens(None, slice(0, 4)), torch.zeros(1, 8, 6))


def test_comes_back_from_its_file(tmp_path, hidden, tokens):
    written = adapter(seed=3)
    written.save(tmp_path / "adapter.safetensors", "float32")
    read = AUAdapter.load(tmp_path / "adapter.safetensors", SITES)
    assert read.config == CONFIG
    name = "mid_block.attentions.0"
    assert torch.equal(read(name, hidden, tokens, FRAMES), written(name, hidden, tokens, FRAMES))


def test_files_that_do_not_fit_are_refused(tmp_path):
    path = tmp_path / "adapter.safetensors"
    with pytest.raises(UserError, match="bench train auhead_memo"):
        AUAdapter.load(path, SITES)
    adapter().save(path)
    with pytest.raises(UserError, match="another denoiser"):
        AUAdapter.load(path, {"mid_block.attentions.0": 16})
    adapter(config=replace(CONFIG, representation="lmk", map_size=16, face="ict")).save(path)
    with pytest.raises(UserError, match="trained on the ict face"):
        AUAdapter.load(path, SITES)
