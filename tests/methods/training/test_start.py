"""Where small models begin. Oracles: state dicts compared by name, attention computed by hand; of the video transformer, what
it is shown."""

import torch

from methods.talking_dit.conditions import Conditions
from methods.talking_dit.sizes import IUFACE_SYNTH, STABLEAVATAR_SYNTH
from methods.talking_dit.transformer import TalkingDiT
from methods.talking_unet.checkpoints import save_trained
from methods.talking_unet.reference import ReferenceNet
from methods.training.start import (
    begin_with,
    let_aus_pass,
    let_latents_pass,
    look_at_the_like,
    look_at_the_own_place,
    share_image_weights,
)
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


def seen_in_noise(transformer: TalkingDiT) -> tuple[float, float]:
    """Correlation of the velocity that is said at full noise with the noise, and with the latents of the reference."""
    torch.manual_seed(1)
    noise, known = torch.randn(2, 8, 3, 16, 16), torch.randn(2, 12, 3, 16, 16)
    told = Conditions(text=torch.zeros(2, 16, 32), image=torch.randn(2, 16, 128), known=known)
    with torch.no_grad():
        velocity = transformer(noise, 1000.0, told)
    pairs = [torch.stack([velocity.flatten(), seen.flatten()]) for seen in (noise, known[:, 4:])]
    return tuple(torch.corrcoef(pair)[0, 1].item() for pair in pairs)


def test_a_video_transformer_begins_with_what_noise_is():
    torch.manual_seed(0)
    transformer = TalkingDiT(**STABLEAVATAR_SYNTH)
    noise, known = seen_in_noise(transformer)
    assert abs(noise) < 0.2 and abs(known) < 0.2
    let_latents_pass(transformer)
    look_at_the_own_place(transformer)
    noise, known = seen_in_noise(transformer)
    assert noise > 0.8 and abs(known) < 0.2
    tokens = transformer.patch_embedding.weight.transpose(0, 1).flatten(2).transpose(1, 2).flatten(0, 1)  # 4 a channel
    entering = torch.cat([tokens[: 4 * 8], tokens[-4 * 8 :]])
    torch.testing.assert_close(entering @ entering.T, torch.eye(64), rtol=0, atol=1e-5)


def moved_at_the_own_place(transformer: TalkingDiT) -> list[float]:
    """Of what the first self-attention puts out in each of 3 frames of 8 x 8 places, the share of the change that lies where, in
    the first frame, a token was changed."""
    torch.manual_seed(1)
    tokens = torch.randn(1, 3, 64, 128)
    other = tokens.clone()
    other[:, 0, 27] = torch.randn(128)
    turn = tuple(part.flatten(1, 2) for part in transformer.rope(torch.empty(1, 20, 3, 16, 16)))
    attention = transformer.blocks[0].attn1
    with torch.no_grad():
        made = [attention(some.flatten(1, 2), None, None, turn).view(3, 64, 128) for some in (tokens, other)]
    moved = ((made[1] - made[0]) ** 2).sum(-1)
    return (moved[:, 27] / moved.sum(1)).tolist()


def test_a_place_looks_at_the_own_place_in_all_frames_at_first():
    torch.manual_seed(0)
    transformer = TalkingDiT(**STABLEAVATAR_SYNTH)
    assert max(moved_at_the_own_place(transformer)[1:]) < 0.1
    look_at_the_own_place(transformer)
    assert min(moved_at_the_own_place(transformer)) > 0.5


def test_au_tokens_differ_at_first():
    """Oracle: the deviation of the AUs that are shown, 0.6."""
    torch.manual_seed(0)
    conditioning = TalkingDiT(**IUFACE_SYNTH).au_conditioning
    aus, identity = torch.randn(64, 25, 35).abs(), torch.zeros(64, 128)

    def deviation() -> float:
        with torch.no_grad():
            return conditioning(aus, identity).flatten(0, 1).std(0).mean().item()

    assert deviation() < 0.15
    let_aus_pass(conditioning)
    assert 0.3 < deviation() < 1.2
