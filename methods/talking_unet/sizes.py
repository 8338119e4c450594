"""Sizes of the two bases: as published, and small for the rendered world. Arguments of the networks by part, plain JSON.

The small ones run on 128 x 128 frames with the rendered world's own encoders (methods/synth): latents 8 x 16 x 16,
speech features 4 x 96 a frame, face embedding 64. Three levels, because attention on 16 x 16 and 8 x 8 already sees
everything; two heads, because four heads of 8 channels take a CPU three times as long as two of 16.
"""

from __future__ import annotations

from typing import Any

Sizes = dict[str, dict[str, Any]]

_SMALL_NET = {
    "sample_size": 16,
    "in_channels": 8,
    "block_out_channels": [48, 64, 64],
    "layers_per_block": 1,
    "attention_head_dim": 2,
    "cross_attention_dim": 64,
    "norm_num_groups": 8,
    "official_row_order": False,
    "positions": True,
}
_SMALL_DENOISER = {**_SMALL_NET, "out_channels": 8, "audio_attention_dim": 48, "motion_heads": 2}
_SMALL_PROJECTIONS: Sizes = {
    "image_projection": {"face_channels": 64, "tokens": 4, "dim": 64},
    "audio_projection": {"window": 5, "blocks": 4, "channels": 96, "hidden": 128, "tokens": 4, "dim": 48},
}

MEMO_FULL: Sizes = {
    "denoiser": {"base": "memo"},
    "reference": {"plain_blocks": True, "cut_last_site": True},
    "image_projection": {},
    "audio_projection": {},
}
HALLO_FULL: Sizes = {
    "denoiser": {"base": "hallo"},
    "reference": {},
    "image_projection": {},
    "audio_projection": {},
    "face_locator": {},
}
MEMO_SYNTH: Sizes = {
    "denoiser": {"base": "memo", **_SMALL_DENOISER},
    "reference": {**_SMALL_NET, "plain_blocks": True, "cut_last_site": True},
    **_SMALL_PROJECTIONS,
}
HALLO_SYNTH: Sizes = {
    "denoiser": {"base": "hallo", **_SMALL_DENOISER},
    "reference": _SMALL_NET,
    **_SMALL_PROJECTIONS,
    "face_locator": {"channels": 48},
}
