"""Networks of the small sizes, smaller still, in which nothing is zero, and conditions for them."""

import torch
from torch import nn

from methods.talking_unet.conditions import Conditions
from methods.talking_unet.reference import ReferenceNet
from methods.talking_unet.sizes import HALLO_SYNTH, MEMO_SYNTH
from methods.talking_unet.unet import TalkingUNet

TINY = {"sample_size": 8, "block_out_channels": [16, 32, 32], "cross_attention_dim": 24}
FRAMES, PAST, SIDE = 3, 2, TINY["sample_size"]
NULL_EMOTION = 9


def denoiser(base: str, **changes) -> TalkingUNet:
    sizes = {"memo": MEMO_SYNTH, "hallo": HALLO_SYNTH}[base]["denoiser"]
    return filled(TalkingUNet(**{**sizes, **TINY, **changes})).eval()


def reference_net(base: str, **changes) -> ReferenceNet:
    sizes = {"memo": MEMO_SYNTH, "hallo": HALLO_SYNTH}[base]["reference"]
    return filled(ReferenceNet(**{**sizes, **TINY, **changes})).eval()


def filled(network: nn.Module) -> nn.Module:
    """The same random weights every time, at a scale that neither grows nor dies; zero-initialised layers too."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, x in sorted(network.named_parameters()):
            noise = torch.randn(x.shape, generator=generator)
            if x.dim() > 1:
                x.copy_(noise / x[0].numel() ** 0.5)
            else:
                x.copy_(0.1 * noise + (1.0 if "norm" in name and name.endswith("weight") else 0.0))
    return network


def noise(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def latents(rows: int) -> torch.Tensor:
    return noise(rows, FRAMES, 8, SIDE, SIDE, seed=1)


def conditions(base: str, use_reference: list[bool], reference: ReferenceNet | None = None) -> Conditions:
    """One sample a row, each with a face, past frames, speech, masks and AUs of its own."""
    rows = len(use_reference)
    face = noise(rows, 4, 24, seed=2)
    reference = reference_net(base) if reference is None else reference
    memo = base == "memo"
    masks = tuple(
        tuple(noise(rows, FRAMES, (SIDE >> level) ** 2, seed=10 * level + part).sigmoid() for part in range(3))
        for level in range(3)
    )
    return Conditions(
        face=face,
        reference=reference(noise(rows, 1 + PAST, 8, SIDE, SIDE, seed=3), face),
        use_reference=torch.tensor(use_reference),
        audio=noise(rows, FRAMES, 4, 48, seed=4),
        masks=None if memo else masks,
        motion_scale=(1.0, 1.0, 1.0) if memo else (1.0, 0.7, 1.3),
        face_mask=None if memo else noise(rows, FRAMES, 16, SIDE, SIDE, seed=5),
        emotion=torch.arange(rows) if memo else None,
        aus=noise(rows, 5, 6, seed=6),
    )
