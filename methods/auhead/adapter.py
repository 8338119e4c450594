"""AU adapter (Eq. 5): zero-initialised cross-attention from the denoiser's features to the AU tokens of the clip.

One layer at each attention site of `TalkingUNet`, after its audio module and before its motion module. Every frame sees
the tokens of the whole clip window. What tells it which are its own is a bias of -m |t - s| on the score of frame t for
a token of frame s (as ALiBi, Press et al., 2022, but in both directions); m runs geometrically over the heads from 4
(the own frame, neighbours 2 % each) to 1/16 (the whole clip). The paper says only that the layers attend to c^AU and
start from zero.

Keys, values and output have no bias, so zero tokens (the null AU) add exactly zero whatever was learned, and the
denoiser with the null AU is its base bit for bit.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from bench.media.errors import UserError
from bench.media.mesh import Face, IctFace
from methods.auhead.au_map import au_maps
from methods.auhead.config import Representation
from methods.auhead.embedding import AUEmbedding, window
from methods.tensor_files import read_metadata, read_state, write_state


@dataclass(frozen=True)
class AUAdapterConfig:
    """Sizes of an adapter and its embedding; the defaults are those of the full-size models."""

    representation: Representation = "lmk"
    map_size: int = 256
    """Pixels of an AU image's side."""
    dim: int = 768
    """Width of an AU token."""
    tokens_per_frame: int = 4
    context: int = 2
    """n of Eq. 4; the window is 2n + 1 = 5 frames (section 4.1)."""
    channels: int = 256
    """Width of a frame's features inside the embedding."""
    heads: int = 8
    """Attention heads at every site."""
    face: Literal["average", "ict"] = "average"
    """What the images show: the suite's average head or ICT-FaceKit's."""


FULL = AUAdapterConfig()
SMALL = AUAdapterConfig(map_size=64, dim=64, tokens_per_frame=8, channels=64, heads=4)
"""For the synthetic world."""


_HOW = "`python -m bench train auhead_memo --stage 2` (or auhead_hallo) makes one"


class AUAttention(nn.Module):
    """Eq. 5 at one site.

    Queries and keys begin so large that places already look at different tokens (scores of deviation about 2). With torch's own
    weights every place of a frame gets nearly the same mixture, and a constant is all that the output can learn to add.
    """

    def __init__(self, channels: int, dim: int, heads: int):
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(channels)
        self.to_q = nn.Linear(channels, channels, bias=False)
        self.to_k = nn.Linear(dim, channels, bias=False)
        self.to_v = nn.Linear(dim, channels, bias=False)
        self.to_out = nn.Linear(channels, channels, bias=False)
        for layer, gain in ((self.to_q, 2**0.5), (self.to_k, 2**0.5), (self.to_v, 1.0)):
            nn.init.orthogonal_(layer.weight, gain)
        nn.init.zeros_(self.to_out.weight)

    def forward(self, hidden: Tensor, aus: Tensor, num_frames: int) -> Tensor:
        """
        Args:
            hidden: (B * F, C, h, w) features.
            aus: (B, F * K, D) AU tokens.
            num_frames: F.

        Returns:
            (B * F, C, h, w): the features and what the tokens add to them.
        """
        batch = len(aus)
        queries = self._heads(self.to_q(self.norm(hidden.flatten(2).transpose(1, 2))))
        keys, values = (
            self._heads(project(aus)).repeat_interleave(num_frames, 0) for project in (self.to_k, self.to_v)
        )
        bias = self._bias(num_frames, aus).to(queries.dtype).repeat(batch, 1, 1, 1)
        added = scaled_dot_product_attention(queries, keys, values, attn_mask=bias)
        added = self.to_out(added.transpose(1, 2).flatten(2))
        return hidden + added.transpose(1, 2).reshape(hidden.shape)

    def _heads(self, tokens: Tensor) -> Tensor:
        """(N, L, C) to (N, heads, L, C / heads)."""
        return tokens.unflatten(2, (self.heads, -1)).transpose(1, 2)

    def _bias(self, num_frames: int, aus: Tensor) -> Tensor:
        """-m |t - s| for frame t and the frame s of every token: (F, heads, 1, F * K)."""
        frames = torch.arange(num_frames, device=aus.device)
        distance = (frames[:, None] - frames.repeat_interleave(aus.shape[1] // num_frames)).abs()
        slopes = torch.linspace(2, -4, self.heads, device=aus.device).exp2()
        return -slopes[:, None, None] * distance[:, None, None]


class AUAdapter(nn.Module):
    """Embedding and cross-attention layers: all that trains in stage 2 (section 3.4)."""

    def __init__(self, sites: Mapping[str, int], config: AUAdapterConfig = FULL, face: Face | None = None):
        """
        Args:
            sites: name -> channels, `TalkingUNet.au_sites`.
            config: sizes; `heads` divides the channels of every site.
            face: what the images show; None is the average head.
        """
        super().__init__()
        self.config = config
        self.sites = dict(sites)
        self.face = face
        self.embedding = AUEmbedding(
            config.representation,
            config.map_size,
            config.dim,
            config.tokens_per_frame,
            config.context,
            config.channels,
            face,
        )
        self.layers = nn.ModuleDict(
            {_key(name): AUAttention(channels, config.dim, config.heads) for name, channels in sites.items()}
        )

    def tokens(self, aus: np.ndarray | None, clip: slice) -> Tensor:
        """AU tokens of a clip of a video.

        Args:
            aus: float32 (T, 24) of the whole video; None for the null AU.
            clip: frames of the clip, F of them; it may reach beyond the video.

        Returns:
            (1, F * K, D), zeros for the null AU.
        """
        num_frames = clip.stop - clip.start
        if aus is None:
            return self.embedding.null(1, num_frames)
        around = window(aus, clip.start, num_frames, self.config.context)
        maps = au_maps(around, self.config.representation, self.config.map_size, self.face)
        return self.embedding(torch.from_numpy(maps)[None].to(self.embedding.norm.weight.device))

    def forward(self, name: str, hidden: Tensor, aus: Tensor, num_frames: int) -> Tensor:
        """Features (B * F, C, h, w) of the site `name`, with what the AU tokens (B, F * K, D) add to them."""
        return self.layers[_key(name)](hidden, aus, num_frames)

    def save(self, path: str | Path, stored: str = "bfloat16", notes: Mapping[str, str] = MappingProxyType({})) -> None:
        """Write the weights as `write_state` does, with the sizes that `load` builds the adapter from; notes join the
        metadata."""
        sizes = {"config": json.dumps(asdict(self.config)), "sites": json.dumps(self.sites)}
        write_state(Path(path), self.state_dict(), {**notes, **sizes}, stored)

    @classmethod
    def load(cls, path: str | Path, sites: Mapping[str, int], face: Face | None = None) -> AUAdapter:
        """The adapter of a file that `save` wrote, float32 on the CPU.

        Args:
            path: of the file.
            sites: of the denoiser it will work in.
            face: ICT-FaceKit's, for an adapter that was trained on it.

        Raises:
            UserError: the file is no adapter, or was trained in another denoiser or on another face.
        """
        try:
            metadata, weights = read_metadata(Path(path)), read_state(Path(path))
        except UserError as error:
            raise UserError(f"{error}; {_HOW}") from error
        if not {"config", "sites"} <= set(metadata):
            raise UserError(f"{path}: not an AU adapter; {_HOW}")
        if json.loads(metadata["sites"]) != dict(sites):
            raise UserError(f"{path}: was trained in another denoiser, one with the sites {metadata['sites']}; {_HOW}")
        config = AUAdapterConfig(**json.loads(metadata["config"]))
        if (config.face == "ict") != isinstance(face, IctFace) and config.representation != "seq":
            raise UserError(f"{path}: was trained on the {config.face} face; face_mesh must be what it was then")
        adapter = cls(sites, config, face)
        adapter.load_state_dict(weights)
        return adapter


def _key(site: str) -> str:
    """Names of modules have no dots."""
    return site.replace(".", "_")
