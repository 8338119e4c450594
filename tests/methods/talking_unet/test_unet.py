"""Properties of the denoiser and the reference net that the reference dumps do not show."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from methods.talking_unet.conditions import Conditions
from methods.talking_unet.memo_modules import EmotionNorm
from methods.talking_unet.sizes import HALLO_SYNTH, MEMO_SYNTH
from methods.talking_unet.unet import TalkingUNet
from tests.methods.talking_unet.small import FRAMES, NULL_EMOTION, conditions, denoiser, latents, reference_net

BASES = ["memo", "hallo"]


class Recorder(nn.Module):
    """An adapter that adds `change` times the mean AU and notes where it was called."""

    def __init__(self, change: float):
        super().__init__()
        self.change = nn.Parameter(torch.tensor(change))
        self.calls: list[tuple[str, int]] = []

    def forward(self, site, image, aus, num_frames):
        self.calls.append((site, image.shape[1]))
        shift = aus.mean(dim=(1, 2)).repeat_interleave(num_frames)
        return image + self.change * shift[:, None, None, None]


def close(a: torch.Tensor, b: torch.Tensor) -> bool:
    return torch.allclose(a, b, rtol=1e-4, atol=1e-5 * b.abs().max().item())


@pytest.fixture
def no_grad():
    with torch.no_grad():
        yield


@pytest.mark.usefixtures("no_grad")
@pytest.mark.parametrize("base", BASES)
def test_rows_of_a_batch_do_not_see_each_other(base):
    """Oracle: every row alone."""
    unet, rows = denoiser(base), conditions(base, [False, True, True])
    together = unet(latents(3), torch.tensor([100.0, 500.0, 900.0]), rows)
    for row, timestep in enumerate((100.0, 500.0, 900.0)):
        alone = unet(latents(3)[row : row + 1], timestep, rows[row : row + 1])
        assert close(together[row : row + 1], alone)


@pytest.mark.usefixtures("no_grad")
@pytest.mark.parametrize("base", BASES)
def test_official_row_order_shows_a_frame_the_reference_of_sample_row_mod_batch(base):
    """Oracle: frames of one sample, run one by one in our order with the reference image that the rule names.

    Motion modules are left as they start, at zero, so that frames are independent.
    """
    official, ours = denoiser(base, official_row_order=True), denoiser(base)
    for unet in (official, ours):
        for name, x in unet.named_parameters():
            if "temporal_transformer.proj_out" in name:
                x.zero_()
    rows = conditions(base, [True, True])
    prediction = official(latents(2), 500.0, rows)
    for row in range(2 * FRAMES):
        sample, frame = divmod(row, FRAMES)
        single = slice(frame, frame + 1)
        seen = replace(
            rows[[sample]],
            reference=rows.reference[[row % 2]],
            audio=rows.audio[[sample], single],
            masks=rows.masks and tuple(tuple(m[[sample], single] for m in level) for level in rows.masks),
            face_mask=None if rows.face_mask is None else rows.face_mask[[sample], single],
        )
        assert close(prediction[[sample], single], ours(latents(2)[[sample], single], 500.0, seen))


@pytest.mark.usefixtures("no_grad")
def test_reference_net_gives_every_row_its_own_face_unless_told_to_tile_as_published():
    """Oracle: every sample alone, with the face tokens that the rule names for each of its rows."""
    tiled, own = reference_net("memo", official_row_order=True), reference_net("memo")
    images, face = torch.randn(2, 3, 8, 8, 8), torch.randn(2, 4, 24)
    expected = own(images, face)
    for site, features in own(images[1:], face[1:]).sites.items():
        assert close(expected.sites[site][1:], features)
    for row in range(6):
        alone = own(images.flatten(0, 1)[row][None, None], face[[row % 2]])
        for site, features in tiled(images, face).sites.items():
            assert close(features.flatten(0, 1)[row], alone.sites[site][0, 0])


@pytest.mark.usefixtures("no_grad")
def test_two_guidance_pairs_share_one_memory():
    """Oracle: each pair run by itself over two clips, with a memory of its own."""
    unet = denoiser("memo")
    unet.au_adapter = Recorder(0.5)
    net = reference_net("memo")
    clips = [conditions("memo", [False, True], net), conditions("memo", [False, True], net)]
    clips[1] = replace(clips[1], reference=net(torch.randn(2, 3, 8, 8, 8), clips[1].face))
    memory = None
    own = {"null": None, "aus": None}
    for pair in clips:
        memory = unet.remember(pair.reference, memory)
        pairs = {"null": replace(pair, aus=torch.zeros_like(pair.aus)), "aus": pair}
        together = unet(latents(2).repeat(2, 1, 1, 1, 1), 500.0, Conditions.cat(pairs.values()), memory[[0, 1, 0, 1]])
        for name, part in zip(pairs, together.chunk(2), strict=True):
            own[name] = unet.remember(pairs[name].reference, own[name])
            unet(latents(2), 900.0, pairs[name], own[name])  # a step before this one leaves no trace
            assert close(part, unet(latents(2), 500.0, pairs[name], own[name]))
    assert not close(together[:2], together[2:])


@pytest.mark.usefixtures("no_grad")
def test_memory_of_a_second_clip_is_decayed_and_added_to():
    """Oracle: MEMO's equations written as sums over frames, for one attention, from what that attention is given."""
    unet = denoiser("memo")
    site = "down_blocks.0.attentions.0"
    attn = unet.down_blocks[0].motion_modules[0].temporal_transformer.transformer_blocks[0].attention_blocks[0]
    given = []
    attn.to_k.register_forward_hook(lambda module, inputs, output: given.append(inputs[0]))
    first, second = (conditions("memo", [True]).reference for _ in range(2))
    memory = unet.remember(second, unet.remember(first))
    kv = z = 0.0
    for past in given:  # (1, n, P, C)
        length = past.shape[2]
        key = attn.to_k(past).unflatten(-1, (attn.heads, -1)).softmax(dim=2)
        value = attn.to_v(past).unflatten(-1, (attn.heads, -1))
        kv, z = 0.9**length * kv, 0.9**length * z
        for frame in range(length):
            weight = 0.9 ** (length - 1 - frame)
            k, v = weight * key[:, :, frame], weight * value[:, :, frame]
            kv, z = kv + k[..., :, None] * v[..., None, :], z + k[..., None, :]
        if past is given[1]:
            break
    assert close(memory.sites[site][0][0], kv)
    assert close(memory.sites[site][0][1], z)


@pytest.mark.usefixtures("no_grad")
def test_without_a_memory_a_clip_remembers_its_own_past_frames():
    """Oracle: `remember` called by hand; and other past frames change the prediction."""
    unet, rows = denoiser("memo"), conditions("memo", [True, True])
    alone = unet(latents(2), 500.0, rows)
    assert torch.equal(alone, unet(latents(2), 500.0, rows, unet.remember(rows.reference)))
    assert not close(alone, unet(latents(2), 500.0, rows, unet.remember(rows.reference[[1, 0]])))


@pytest.mark.usefixtures("no_grad")
@pytest.mark.parametrize("base", BASES)
def test_the_reference_image_counts_only_where_it_is_used(base):
    """Oracle: the definition of use_reference; past frames are left as they are."""
    unet, rows = denoiser(base), conditions(base, [False, True])
    sites = {site: x.clone() for site, x in rows.reference.sites.items()}
    for features in sites.values():
        features[:, 0] += 1
    changed = replace(rows, reference=replace(rows.reference, sites=sites))
    before, after = unet(latents(2), 500.0, rows), unet(latents(2), 500.0, changed)
    assert torch.equal(before[0], after[0])
    assert not close(before[1], after[1])


@pytest.mark.usefixtures("no_grad")
def test_hallo_uses_past_frames_in_training_and_evaluation_alike():
    """Oracle: the published inference, which runs in train() because eval() would drop them."""
    unet, rows = denoiser("hallo"), conditions("hallo", [True])
    no_past = {site: x[:, :1] for site, x in rows.reference.sites.items()}
    expected = unet(latents(1), 500.0, rows)
    assert torch.equal(unet.train()(latents(1), 500.0, rows), expected)
    assert not close(
        unet.eval()(latents(1), 500.0, replace(rows, reference=replace(rows.reference, sites=no_past))), expected
    )


@pytest.mark.usefixtures("no_grad")
@pytest.mark.parametrize(("base", "published"), [("memo", True), ("hallo", False)])
def test_motion_in_blocks_without_attention_is_a_setting(base, published):
    """Oracle: the published behaviour is the default, and the other setting changes the prediction."""
    rows = conditions(base, [True])
    default, same, other = (
        denoiser(base, motion_in_plain_blocks=setting)(latents(1), 500.0, rows)
        for setting in (None, published, not published)
    )
    assert torch.equal(default, same)
    assert not close(default, other)


@pytest.mark.usefixtures("no_grad")
@pytest.mark.parametrize("base", BASES)
def test_adapter_is_called_at_every_site_in_order_and_has_its_own_checkpoint(base):
    """Oracle: `au_sites`; a change of zero leaves every bit; the base's state dict does not know the adapter."""
    unet, rows = denoiser(base), conditions(base, [False, True])
    before, keys = unet(latents(2), 500.0, rows), unet.state_dict().keys()
    unet.au_adapter = recorder = Recorder(0.0)
    assert torch.equal(unet(latents(2), 500.0, rows), before)
    assert recorder.calls == list(unet.au_sites.items())
    assert unet.state_dict().keys() == keys
    recorder.change.fill_(1.0)
    assert not close(unet(latents(2), 500.0, rows), before)
    assert torch.equal(unet(latents(2), 500.0, replace(rows, aus=None)), before)


@pytest.mark.parametrize("base", BASES)
def test_checkpointing_changes_no_gradient(base):
    """Oracle: the same step without checkpointing. Every parameter that takes part receives a gradient."""
    gradients = []
    for checkpointing in (False, True):
        unet, net = denoiser(base), reference_net(base)
        adapter = unet.au_adapter = Recorder(0.5)
        if checkpointing:
            unet.enable_gradient_checkpointing()
            net.enable_gradient_checkpointing()
        unet(latents(2), 500.0, conditions(base, [False, True], net)).square().mean().backward()
        named = {**dict(unet.named_parameters()), "change": adapter.change}
        named |= {f"reference.{name}": x for name, x in net.named_parameters()}
        gradients.append({name: x.grad for name, x in named.items()})
    unused = {name for name, gradient in gradients[0].items() if gradient is None}
    last = "reference.up_blocks.2.attentions.1."
    if base == "hallo":
        # Published parameters that nothing reads: motion where it is skipped, and what follows the last features.
        skipped = ("down_blocks.2.motion_modules", "up_blocks.0.motion_modules")
        behind = tuple(
            f"{last}{part}" for part in ("proj_out", *(f"transformer_blocks.0.{x}" for x in BEHIND_FEATURES))
        )
        assert unused == {name for name in gradients[0] if name.startswith((*skipped, *behind))}
    else:
        assert not unused
    for name, gradient in gradients[0].items():
        if gradient is not None:
            assert close(gradients[1][name], gradient), name


BEHIND_FEATURES = ("attn1", "norm2", "attn2", "norm3", "ff")


@pytest.mark.parametrize("base", BASES)
def test_bfloat16_autocast_trains(base):
    """Oracle: the same prediction in float32, to the precision of bfloat16."""
    unet, rows = denoiser(base), conditions(base, [False, True])
    with torch.autocast("cpu", torch.bfloat16):
        prediction = unet(latents(2), 500.0, rows)
    exact = unet(latents(2), 500.0, rows)
    assert (prediction - exact).norm() < 0.05 * exact.norm()
    prediction.float().square().mean().backward()
    assert all(x.grad is None or x.grad.isfinite().all() for x in unet.parameters())


@pytest.mark.usefixtures("no_grad")
@pytest.mark.parametrize("base", BASES)
def test_a_new_motion_module_changes_nothing(base):
    """Oracle: the image before it; training starts from the image model."""
    unet = TalkingUNet(**{"memo": MEMO_SYNTH, "hallo": HALLO_SYNTH}[base]["denoiser"])
    image, past = torch.randn(2 * FRAMES, 48, 4, 4), torch.randn(2, 3, 16, 48)
    assert torch.equal(unet.down_blocks[0].motion_modules[0](image, FRAMES, past, None), image)


def test_a_dropped_emotion_is_the_null_emotion():
    """Oracle: the null class, asked for by number."""
    norm = EmotionNorm(16, num_emotions=9, dropout=1.0)
    x, emotion = torch.randn(4, 5, 16), torch.tensor([3, 7])
    null = norm.eval()(x, torch.full((2,), NULL_EMOTION))
    assert not close(norm(x, emotion), null)
    assert torch.equal(norm.train()(x, emotion), null)


def test_conditions_of_one_batch_agree_in_what_they_have():
    """Oracle: concatenation undone by indexing; and the two ways to get it wrong."""
    a, b = conditions("hallo", [True, False]), conditions("hallo", [False, False])
    both = Conditions.cat([a, b])
    assert len(both) == 4
    for rows, part in ((slice(0, 2), a), ([2, 3], b)):
        assert torch.equal(both[rows].use_reference, part.use_reference)
        assert torch.equal(both[rows].masks[1][2], part.masks[1][2])
        site = "mid_block.attentions.0"
        assert torch.equal(both[rows].reference.sites[site], part.reference.sites[site])
    with pytest.raises(ValueError, match="motion_scale"):
        Conditions.cat([a, replace(b, motion_scale=(1.0, 1.0, 0.0))])
    with pytest.raises(ValueError, match="aus"):
        Conditions.cat([a, replace(b, aus=None)])
