"""Where small models begin. Oracles: state dicts compared by name, and attention computed by hand."""

import torch

from methods.talking_unet.checkpoints import save_trained
from methods.talking_unet.reference import ReferenceNet
from methods.training.start import begin_with, look_at_the_like, share_image_weights
from tests.methods.fakes import UNET
from tests.methods.training.material import new_hallo, new_memo


def test_the_reference_net_begins_as_the_denoisers_image_part():
    modules = new_memo()
    share_image_weights(modules)
    denoiser = modules.diffusion_net.state_dict()
    assert all(torch.equal(value, denoiser[name]) for name, value in modules.reference_net.state_dict().items())


def test_hallo_begins_with_all_it_shares_with_memo(tmp_path):
    memo, hallo = new_memo(), new_hallo()
    for parameter in memo.parameters():
        torch.nn.init.constant_(parameter, 0.5)
    save_trained(tmp_path / "memo.safetensors", memo, {})
    taken = begin_with(hallo, tmp_path / "memo.safetensors")
    same = {name for name, parameter in hallo.named_parameters() if bool((parameter == 0.5).all())}
    # MEMO's reference net ends at the last norm1, so what lies behind it is not in the file.
    last = f"reference_unet.up_blocks.{len(UNET['block_out_channels']) - 1}.attentions.{UNET['layers_per_block']}"
    lacking = {name for name, _ in hallo.named_parameters()} - same
    assert same and lacking
    assert all("audio_modules" in name or "face_locator" in name or name.startswith(last) for name in lacking)
    assert taken >= sum(hallo.get_parameter(name).numel() for name in same)


def looks_at_itself(attention) -> float:
    """Share of 64 random tokens whose own score is the largest; by chance 1/64."""
    tokens = torch.nn.functional.layer_norm(torch.randn(64, 8, generator=torch.Generator().manual_seed(0)), (8,))
    query, key = attention.to_q(tokens), attention.to_k(tokens)
    return float(((query @ key.T).argmax(-1) == torch.arange(64)).float().mean())


def test_a_place_looks_at_itself_at_first():
    modules = new_memo()
    attention = modules.diffusion_net.down_blocks[0].attentions[0].transformer_blocks[0].attn1
    assert looks_at_itself(attention) < 0.1
    look_at_the_like(modules)
    assert looks_at_itself(attention) == 1.0


def test_positions_are_added_to_both_nets_and_tell_places_apart():
    net = ReferenceNet(**UNET, positions=True)
    table = net.position.flatten(1).T
    distances = torch.cdist(table, table) + 9 * torch.eye(len(table))
    assert net.position.shape == (8, 8, 8) and distances.min() > 0.1
    plain = ReferenceNet(**UNET)
    plain.load_state_dict(net.state_dict(), strict=False)
    latents = torch.zeros(1, 4, 8, 8)
    assert torch.allclose(net.enter(latents) - plain.enter(latents), net.position[None], atol=1e-6)
    assert "position" not in plain.state_dict()
