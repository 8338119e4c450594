"""Context-aware AU embedding (Eq. 4): c_t = Conv_AU([au_{t-n}, ..., au_t, ..., au_{t+n}]), n = 2.

Each frame's representation becomes a feature vector (`seq` by two linear layers, `lmk` and `rom` by convolutions over
patches of 4 x 4); a convolution over 2n + 1 frames turns these into c_t. An image counts as its difference from the
face at rest, scaled to about unit variance, because AUs change a few percent of it: when a linear layer learns to read
random AUs off the tokens of `lmk`, 41 % of their variance is left after 300 steps, and 113 % with the image as it is.

The paper gives c_t in R^D and no D; here c_t is laid out as K tokens, so that the pixels of a frame can attend to
different parts of its own expression. K = 1 is the paper's letter; a frame that then attends to itself alone gets one
and the same vector everywhere.

Letters: B rows, F frames, n context frames on each side, K tokens a frame, D width of a token, S image size.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from bench.media.mesh import Face
from methods.auhead.au_map import NUM_AUS, au_maps
from methods.auhead.config import Representation

GAINS = {"seq": 5.0, "lmk": 10.0, "rom": 20.0}
"""About 1 / standard deviation of AUs, or of the differences from rest that they make: of the rendered world's 0.17; under random
AUs, each active in a third of the clips, 0.14 and 0.05."""


def window(values: np.ndarray, start: int, num_frames: int, context: int) -> np.ndarray:
    """Frames [start - n, start + num_frames + n) of a sequence, its first and last frame held beyond its ends.

    A clip in the middle of a video thus sees its true neighbours.

    Args:
        values: (T, ...) over the whole video.
        start: first frame of the clip; the clip may reach beyond the video.
        num_frames: F.
        context: n.

    Returns:
        (F + 2n, ...), dtype of the input.
    """
    return values[np.clip(np.arange(start - context, start + num_frames + context), 0, len(values) - 1)]


class AUEmbedding(nn.Module):
    """Eq. 4."""

    def __init__(
        self,
        representation: Representation = "lmk",
        map_size: int = 256,
        dim: int = 768,
        tokens_per_frame: int = 4,
        context: int = 2,
        channels: int = 256,
        face: Face | None = None,
    ):
        """
        Args:
            representation: "lmk", "seq" or "rom".
            map_size: S of the images, a power of 4 from 16 up.
            dim: D.
            tokens_per_frame: K.
            context: n.
            channels: width of a frame's features.
            face: what the images show; None is the average head.
        """
        super().__init__()
        self.representation = representation
        self.context = context
        self.dim = dim
        if representation == "seq":
            self.frame = nn.Sequential(
                nn.Linear(NUM_AUS, channels), nn.SiLU(), nn.Linear(channels, channels), nn.SiLU()
            )
        else:
            self.frame = _image_encoder(map_size, channels)
            rest = au_maps(np.zeros((1, NUM_AUS), np.float32), representation, map_size, face)
            self.register_buffer("rest", torch.tensor(rest[0]))
        self.temporal = nn.Conv1d(channels, channels, 2 * context + 1)
        self.to_tokens = nn.Linear(channels, tokens_per_frame * dim)
        self.norm = nn.LayerNorm(dim)
        self._keep_variance()

    def _keep_variance(self) -> None:
        """Initial weights with which what differs between faces arrives at the tokens.

        With torch's own, each layer passes less of its input and adds a bias that is the same for all: tokens differ by 0.08 of
        their deviation, the adapter begins by learning what is the same for every face, and at a high learning rate it
        never learns anything else.
        """
        for layer in (*self.frame.modules(), self.temporal):
            if isinstance(layer, nn.Linear | nn.Conv1d | nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                nn.init.zeros_(layer.bias)

    def forward(self, maps: Tensor) -> Tensor:
        """c^AU of a clip.

        Args:
            maps: what `window` cuts from `au_maps`: float (B, F + 2n, 24), or uint8 (B, F + 2n, S, S).

        Returns:
            float (B, F * K, D), frame by frame; never zero, which stands for the null AU.
        """
        rows, frames = maps.shape[:2]
        maps = maps.flatten(0, 1).to(self.norm.weight.dtype)
        if self.representation != "seq":
            maps = (maps - self.rest)[:, None] / 255
        features = self.frame(GAINS[self.representation] * maps).unflatten(0, (rows, frames))
        mixed = nn.functional.silu(self.temporal(features.transpose(1, 2)).transpose(1, 2))
        return self.norm(self.to_tokens(mixed).reshape(rows, -1, self.dim))

    def null(self, rows: int, num_frames: int) -> Tensor:
        """The null AU: zero tokens (B, F * K, D), to which a trained adapter answers with exactly zero."""
        tokens = num_frames * self.to_tokens.out_features // self.dim
        return self.norm.weight.new_zeros(rows, tokens, self.dim)


def _image_encoder(size: int, channels: int) -> nn.Sequential:
    """(N, 1, S, S) to (N, channels): patches of 4 x 4 down to 4 x 4 places, which stay apart."""
    layers: list[nn.Module] = []
    width, new_width = 1, 16
    while size > 4:
        layers += [nn.Conv2d(width, new_width, 4, 4), nn.SiLU()]
        width, new_width, size = new_width, min(4 * new_width, channels), size // 4
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(width * size**2, channels), nn.SiLU())
