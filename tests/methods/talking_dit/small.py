"""Networks of a small size in which nothing is zero, and conditions for them."""

import torch

from methods.talking_dit.alignment import video_frames
from methods.talking_dit.conditions import Conditions
from methods.talking_dit.transformer import TalkingDiT
from tests.methods.talking_unet.small import filled, noise

BASE = {
    "num_attention_heads": 2, "attention_head_dim": 12, "in_channels": 12, "out_channels": 4, "text_dim": 6,
    "freq_dim": 16, "ffn_dim": 32, "num_layers": 3, "image_dim": 10,
}  # fmt: skip
VOCAL = {"vocal_dim": 7, "heads": 4, "layers": 2}
AUS = {"au_dim": 5, "identity_encoder": "clip", "identity_dim": 8, "width": 9, "attention": "latent"}
LATENTS, HEIGHT, WIDTH, TOKENS = 4, 4, 6, 26
FRAMES = video_frames(LATENTS)


def network(**changes) -> TalkingDiT:
    """With both paths, in eval mode."""
    return filled(TalkingDiT(**{**BASE, "vocal": VOCAL, "aus": AUS, **changes})).eval()


def latents(rows: int = 1, seed: int = 1) -> torch.Tensor:
    return noise(rows, 4, LATENTS, HEIGHT, WIDTH, seed=seed)


def conditions(rows: int = 1, seed: int = 2, **changes) -> Conditions:
    """Rows of their own, with speech, AUs and identity."""
    inputs = {
        "text": noise(rows, 5, 6, seed=seed),
        "image": noise(rows, 3, 10, seed=seed + 1),
        "known": noise(rows, 8, LATENTS, HEIGHT, WIDTH, seed=seed + 2),
        "vocal": noise(rows, TOKENS, 7, seed=seed + 3),
        "aus": noise(rows, FRAMES, 5, seed=seed + 4).abs(),
        "identity": noise(rows, 8, seed=seed + 5),
    }
    return Conditions(**{**inputs, **changes})
