"""TalkingDiT. Oracles: diffusers' own class; which latents can change at all when one input does; published sizes; Eq. 1 written
out. The official code's tensors are in `bench parity wan_vocal`."""

from dataclasses import replace

import pytest
import torch
from diffusers import WanTransformer3DModel
from torch.nn.functional import pad

from methods.talking_dit.alignment import own_tokens
from methods.talking_dit.sizes import IUFACE_FULL, IUFACE_SYNTH, STABLEAVATAR_FULL, WAN_FULL
from methods.talking_dit.transformer import TalkingDiT
from tests.methods.talking_dit.small import AUS, BASE, FRAMES, LATENTS, TOKENS, VOCAL, conditions, latents, network


@pytest.fixture(autouse=True)
def inference():
    with torch.no_grad():
        yield


def test_without_its_paths_it_is_the_stock_class():
    """Oracle: WanTransformer3DModel, whose processor takes the last 512 tokens for text."""
    ours = network(vocal=None, aus=None)
    stock = WanTransformer3DModel(**BASE, added_kv_proj_dim=24).eval()
    stock.load_state_dict(ours.state_dict())
    told = conditions(2)
    told = replace(told, text=pad(told.text, (0, 0, 0, 507)), vocal=None, aus=None)
    time = torch.tensor([900.0, 20.0])
    theirs = stock(torch.cat([latents(2), told.known], 1), time, told.text, told.image).sample
    torch.testing.assert_close(ours(latents(2), time, told), theirs, rtol=1e-5, atol=1e-6)
    short = ours(latents(2), time, replace(told, text=told.text[:, :9]))
    assert (short - theirs).norm() > 1e-3 * theirs.norm()  # tokens of zeros are tokens: the length is the caller's


@pytest.mark.parametrize(
    ("sizes", "keys", "millions"),
    [(WAN_FULL, 983, 1564.428608), (STABLEAVATAR_FULL, 1143, 1747.426112), (IUFACE_FULL, 1211, 1891.234112)],
)
def test_published_sizes(sizes, keys, millions):
    """Oracle: the official files (983, 1143 tensors); Table 3 of the paper: 1.89 B."""
    with torch.device("meta"):
        network = TalkingDiT(**sizes)
    assert len(network.state_dict()) == keys
    assert sum(parameter.numel() for parameter in network.parameters()) == round(millions * 1e6)
    assert network.sizes == {**network.sizes, **sizes}
    if "aus" in sizes:
        assert 1885 < millions < 1900


def test_small_size():
    with torch.device("meta"):
        assert 1.9e6 < sum(parameter.numel() for parameter in TalkingDiT(**IUFACE_SYNTH).parameters()) < 3e6


def changed_latents(dit, before, after, **options) -> set[int]:
    """Latent frames whose prediction differs under two conditions."""
    found = (dit(latents(), 500.0, told, **options) for told in (before, after))
    difference = torch.sub(*found).abs().amax((0, 1, 3, 4))
    return set(difference.nonzero().flatten().tolist())


def with_changed(tensor: torch.Tensor, index: int) -> torch.Tensor:
    changed = tensor.clone()
    changed[:, index] += 1
    return changed


def test_latents_look_at_the_aus_of_their_own_frames():
    """With one block nothing passes from frame to frame after the AUs have come in."""
    dit, told = network(num_layers=1), conditions()
    for frame in range(FRAMES):
        other = replace(told, aus=with_changed(told.aus, frame))
        assert changed_latents(dit, told, other) == {-(-frame // 4)}, frame


def test_clip_wide_attention_to_aus():
    dit, told = network(num_layers=1, aus={**AUS, "attention": "clip"}), conditions()
    other = replace(told, aus=with_changed(told.aus, 6))
    assert changed_latents(dit, told, other) == set(range(LATENTS))


def test_latents_look_at_the_speech_of_their_own_frames():
    dit, told = network(num_layers=1), conditions()
    rows = own_tokens(TOKENS, FRAMES)
    for token in (0, 9, 16, TOKENS - 1):
        other = replace(told, vocal=with_changed(told.vocal, token))
        assert changed_latents(dit, told, other) == {latent for latent, row in enumerate(rows) if token in row}, token
        assert changed_latents(dit, told, other, clip_level_vocal=True) == set(range(LATENTS))


def test_null_aus_add_nothing_at_all():
    """Bit for bit what the network says without an AU path, however it is trained."""
    dit, told = network(), conditions(2)
    without = dit(latents(2), 500.0, replace(told, aus=None))
    assert torch.equal(dit(latents(2), 500.0, replace(told, null_aus=torch.tensor([True, True]))), without)
    half = dit(latents(2), 500.0, replace(told, null_aus=torch.tensor([True, False])))
    assert torch.equal(half[0], without[0]) and not torch.allclose(half[1], without[1])
    zeros = dit(latents(2), 500.0, replace(told, aus=torch.zeros_like(told.aus)))
    assert not torch.allclose(zeros, without)  # a face at rest is not the null


def test_null_audio_is_zeros_after_the_projector():
    dit, told = network(), conditions(2)
    silent = dit(latents(2), 500.0, replace(told, silent=torch.tensor([True, False])))
    assert torch.equal(silent[1], dit(latents(2), 500.0, told)[1])
    zeros = dit(latents(2), 500.0, replace(told, vocal=torch.zeros_like(told.vocal)))
    assert not torch.allclose(silent[0], zeros[0])
    for block in dit.blocks:
        block.attn2.v_vocal.bias.zero_()
    without = dit(latents(2), 500.0, replace(told, vocal=None))
    assert torch.allclose(dit(latents(2), 500.0, replace(told, silent=torch.tensor([True, True]))), without, atol=1e-6)


def test_identity_modulates_aus():
    """Oracle: Eq. 1, c_a = phi1(a) + phi2(f_id)."""
    aus = network().au_conditioning
    told = conditions()
    expected = aus.phi1(told.aus[0, 3]) + aus.phi2(told.identity[0])
    torch.testing.assert_close(aus(told.aus, told.identity)[0, 3], expected)
    plain = network(aus={**AUS, "identity_encoder": "none", "identity_dim": None})
    assert plain.au_conditioning.phi2 is None
    plain(latents(), 500.0, conditions(identity=None))


def test_new_paths_begin_as_nothing_and_learn():
    dit, told = network(vocal=None, aus=None), conditions()
    before = dit(latents(), 500.0, replace(told, vocal=None, aus=None))
    dit.add_vocal(VOCAL)
    dit.add_aus(AUS)
    assert dit.sizes == network().sizes
    assert torch.equal(dit(latents(), 500.0, told), before)
    with torch.enable_grad():
        dit(latents(), 500.0, told).square().sum().backward()
    for attention in (block.attn2 for block in dit.blocks):
        assert attention.v_au.weight.grad.any() and attention.v_vocal.weight.grad.any()


def test_rows_do_not_see_each_other():
    dit, told = network(), conditions(3, null_aus=torch.tensor([True, False, False]))
    time = torch.tensor([1000.0, 500.0, 3.0])
    together = dit(latents(3), time, told)
    alone = torch.cat([dit(latents(3)[[row]], time[row], told[[row]]) for row in range(3)])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_low_precision_spares_time_and_positions():
    """Oracle: the same in float32. bfloat16 has 8 bits: what is left of them after three blocks is about a hundredth."""
    dit, told = network(), conditions(2)
    exact = dit(latents(2), 999.0, told)
    seen = {}
    dit.condition_embedder.time_embedder.register_forward_hook(lambda *call: seen.update(time=call[2].dtype))
    dit.blocks[0].register_forward_hook(lambda *call: seen.update(modulation=call[1][2].dtype, block=call[2].dtype))
    with torch.autocast("cpu", torch.bfloat16):
        mixed = dit(latents(2), 999.0, told)
    assert seen == {"time": torch.float32, "modulation": torch.float32, "block": torch.bfloat16}
    low = dit.cast(torch.bfloat16)
    cast = low(latents(2), 999.0, told)
    assert seen == {"time": torch.float32, "modulation": torch.float32, "block": torch.bfloat16}
    kept = {name for name, value in low.state_dict().items() if value.dtype == torch.float32}
    assert {"blocks.0.scale_shift_table", "vocal_projector.blocks.0.modulation"} <= kept
    assert not any("attn" in name or "ffn" in name for name in kept)
    assert low.rope.freqs_cos.dtype == torch.float32
    for found in (mixed, cast):
        assert found.dtype == torch.float32 and (found - exact).norm() < 0.03 * exact.norm()
