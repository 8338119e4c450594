"""Where a small model begins that has no published base.

Hallo and MEMO both begin with Stable Diffusion 1.5 in the denoiser and in the reference net. What that gives besides
pictures is that features of the two nets mean the same, so that reference attention finds its way at once. From random
weights the reference net therefore begins as a copy of the denoiser's image part, and a second base may begin with what
the first has learnt.

The video transformer begins with Wan2.1, which knows what noise is, that a place looks alike in all frames, and that the first
of them is known. From random weights it begins with the first two of these. On linear latents of the rendered world (principal
components of patches, 8 channels) the error of latents of unseen people, predicted from pure noise, is after 100 steps 0.98 of
their variance with torch's own initial weights, 0.82 with `let_latents_pass`, and 0.44 to 0.47 with `look_at_the_own_place`
besides.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from methods.tensor_files import read_state

if TYPE_CHECKING:
    from methods.talking_dit.aus import AUConditioning
    from methods.talking_dit.transformer import TalkingDiT


def share_image_weights(modules: nn.Module) -> None:
    """Copy into the reference net what the denoiser has under the same name and in the same shape."""
    reference, denoiser = list(modules.children())[:2]
    adopt(reference, denoiser.state_dict())


def look_at_the_like(modules: nn.Module) -> None:
    """Let every self-attention begin with keys equal to its queries and sharp: a place looks at its like, which in the
    reference is the same place (`LayeredUNet.add_positions`).

    After a minute on one core the error of latents predicted from pure noise and a reference is 0.23 of the variance;
    without it was 0.5 after 26 minutes, while plain copying of the reference has 0.07.
    """
    for network in list(modules.children())[:2]:
        for name, module in network.named_modules():
            if name.endswith(".attn1") and ".attentions." in name:
                nn.init.orthogonal_(module.to_q.weight, SHARPNESS)
                module.to_k.load_state_dict(module.to_q.state_dict())


SHARPNESS = 2.0
"""Gain of the queries: a token's own score is 8 to 16 standard deviations above that of an unlike one."""


def let_latents_pass(transformer: TalkingDiT) -> None:
    """Let a video transformer begin by saying that what it sees is noise, which at much noise is nearly right.

    Noisy latents and those of the reference enter in directions at right angles to each other, so that nothing is lost on the
    way, and the output reads the former: with c channels 4c and 4c numbers a token, in a width of at least 8c.
    """
    weight, channels = transformer.patch_embedding.weight, transformer.config.out_channels
    dim, values = len(weight), channels * weight[0, 0].numel()
    basis = torch.linalg.qr(torch.randn(dim, dim))[0]
    with torch.no_grad():
        noisy, mask, known = weight.split([channels, weight.shape[1] - 2 * channels, channels], dim=1)
        noisy.copy_(basis[:, :values].reshape(noisy.shape))
        known.copy_(basis[:, values : 2 * values].reshape(known.shape))
        mask.normal_(std=0.1)
        transformer.proj_out.weight.copy_(noisy.permute(2, 3, 4, 1, 0).reshape(values, dim))
    for layer in (transformer.patch_embedding, transformer.proj_out):
        nn.init.zeros_(layer.bias)


def look_at_the_own_place(transformer: TalkingDiT) -> None:
    """Let every self-attention of a video transformer begin with looking at the own place in all frames.

    Queries and keys have equal biases in the fastest two of the rotary pairs that turn with the row, and with the column. What a
    bias adds to a score depends on how far apart two tokens are, and not on what they hold: the own place has about 0.7 of the
    weight, its four neighbours have most of the rest.
    """
    config = transformer.config
    head = config.attention_head_dim
    # The last numbers of a head turn with the row and the column, so many with each; those before them with time.
    turning = 2 * (head // 6)
    bias = torch.zeros(config.num_attention_heads, head)
    for first in (head - 2 * turning, head - turning):
        bias[:, first : first + 4] = PLACE_BIAS
    for block in transformer.blocks:
        for layer, norm in ((block.attn1.to_q, block.attn1.norm_q), (block.attn1.to_k, block.attn1.norm_k)):
            layer.bias.data.copy_(bias.flatten())
            nn.init.constant_(norm.weight, PLACE_GAIN)


PLACE_BIAS, PLACE_GAIN = 4.0, 2.0
"""Of queries and keys, before and after their norm."""


def let_aus_pass(conditioning: AUConditioning) -> None:
    """Let AU tokens begin as different as vocal tokens, which deviate by 0.5 from their mean.

    With torch's own weights, AUs of the rendered world make tokens that deviate by 0.1, and by 0.06 within a second; with these
    by 0.73 and 0.42. After 100 steps the error of latents in the lips then grows by 0.014 of their variance where the AUs of
    another clip are shown, and with torch's own weights by 0.005.
    """
    for layer in conditioning.modules():
        if isinstance(layer, nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)


def begin_with(modules: nn.Module, path: Path) -> int:
    """Take from the file of another base, network by network, what has the same name and shape.

    MemoModules and HalloModules hold their networks in the same order under other names: reference net, denoiser, image
    projection, audio projection. What they do not share is in the audio modules and the face locator.

    Returns:
        parameters taken.
    """
    others: dict[str, dict] = {}
    for name, value in read_state(path).items():
        network, _, rest = name.partition(".")
        others.setdefault(network, {})[rest] = value
    order = [name for name in NETWORKS if name in others]
    return sum(adopt(network, others[name]) for network, name in zip(modules.children(), order, strict=False))


NETWORKS = (
    "reference_net", "reference_unet", "diffusion_net", "denoising_unet", "image_proj", "imageproj", "audio_proj",
    "audioproj",
)  # fmt: skip
"""Names of the two bases' networks, in the order in which modules hold them."""


def adopt(network: nn.Module, state: dict) -> int:
    """Take what has the same name and shape.

    Returns:
        parameters taken.
    """
    own = network.state_dict()
    fitting = {name: value for name, value in state.items() if name in own and own[name].shape == value.shape}
    network.load_state_dict(fitting, strict=False)
    return sum(value.numel() for value in fitting.values())
