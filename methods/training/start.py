"""Where a small model begins that has no published base.

Hallo and MEMO both begin with Stable Diffusion 1.5 in the denoiser and in the reference net. What that gives besides
pictures is that features of the two nets mean the same, so that reference attention finds its way at once. From random
weights the reference net therefore begins as a copy of the denoiser's image part, and a second base may begin with what
the first has learnt.
"""

from __future__ import annotations

from pathlib import Path

from torch import nn

from methods.talking_unet.checkpoints import read_state


def share_image_weights(modules: nn.Module) -> None:
    """Copy into the reference net what the denoiser has under the same name and in the same shape."""
    reference, denoiser = list(modules.children())[:2]
    _adopt(reference, denoiser.state_dict())


def look_at_the_like(modules: nn.Module) -> None:
    """Let self-attention begin with keys equal to queries: what is alike looks at itself, here and in the reference."""
    for network in list(modules.children())[:2]:
        for name, module in network.named_modules():
            if name.endswith("attn1") and "attentions" in name and module is not None:
                module.to_k.load_state_dict(module.to_q.state_dict())


def begin_with(modules: nn.Module, path: Path) -> int:
    """Take from the file of another base, network by network, what has the same name and shape.

    MemoModules and HalloModules hold their networks in the same order under other names: reference net, denoiser, image
    projection, audio projection. They share all but audio modules and face locator.

    Returns:
        parameters taken.
    """
    others: dict[str, dict] = {}
    for name, value in read_state(path).items():
        network, _, rest = name.partition(".")
        others.setdefault(network, {})[rest] = value
    order = [name for name in NETWORKS if name in others]
    return sum(_adopt(network, others[name]) for network, name in zip(modules.children(), order, strict=False))


NETWORKS = (
    "reference_net", "reference_unet", "diffusion_net", "denoising_unet", "image_proj", "imageproj", "audio_proj",
    "audioproj",
)  # fmt: skip
"""Names of the two bases' networks, in the order in which modules hold them."""


def _adopt(network: nn.Module, state: dict) -> int:
    own = network.state_dict()
    fitting = {name: value for name, value in state.items() if name in own and own[name].shape == value.shape}
    network.load_state_dict(fitting, strict=False)
    return sum(value.numel() for value in fitting.values())
