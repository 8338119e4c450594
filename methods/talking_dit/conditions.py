"""What the video transformer sees beside noisy latents and time.

Letters: B rows of a batch, N = 4T - 3 video frames of a window, T latent frames, h x w latents of c channels, L text tokens,
I image tokens, S speech tokens.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields

import torch
from torch import Tensor


@dataclass(frozen=True)
class Conditions:
    """Row b of every tensor belongs to sample b; floats of any dtype, the network casts them to its own."""

    text: Tensor
    """(B, L, text_dim) states of the text encoder, zeros after the end of the prompt (L = 512 at full size)."""
    image: Tensor
    """(B, I, image_dim) penultimate states of CLIP's visual tower for the reference image (257 x 1280 at full size)."""
    known: Tensor
    """(B, 4 + c, T, h, w): the mask of what is known (1 in latent frame 0), then the latents of the video in which only the
    reference image is known. Joined to the noisy latents as further input channels."""
    vocal: Tensor | None = None
    """(B, S, vocal_dim) last hidden states of wav2vec2 for the window, 50 a second; None = no vocal attention."""
    silent: Tensor | None = None
    """bool (B,): rows with null audio, whose vocal tokens are zeros (not what the projector makes of zeros); None = none."""
    aus: Tensor | None = None
    """(B, N, A) AU values of every video frame; None = no AU attention."""
    identity: Tensor | None = None
    """(B, E) identity embedding for phi2; None for a model without phi2."""
    null_aus: Tensor | None = None
    """bool (B,): rows with null AUs, whose tokens c_a are zeros (not phi1 of zeros); None = none."""

    def __len__(self) -> int:
        return len(self.text)

    @classmethod
    def cat(cls, parts: Iterable[Conditions]) -> Conditions:
        """Several batches as one, rows in the order given. Flags that only some parts have are False for the others.

        Raises ValueError where parts do not agree in which other inputs they have.
        """
        parts = list(parts)
        joined = {}
        for name in (field.name for field in fields(cls)):
            values = [getattr(part, name) for part in parts]
            if all(value is None for value in values):
                continue
            if name in ("silent", "null_aus"):
                values = [part._flags(name) for part in parts]
            elif any(value is None for value in values):
                raise ValueError(f"conditions of one batch must all have, or all lack, {name}")
            joined[name] = torch.cat(values)
        return cls(**joined)

    def _flags(self, name: str) -> Tensor:
        flags = getattr(self, name)
        return torch.zeros(len(self), dtype=torch.bool, device=self.text.device) if flags is None else flags

    def __getitem__(self, rows) -> Conditions:
        """The chosen rows: a slice, a list of indices or an index tensor, which may repeat rows."""
        chosen = {field.name: getattr(self, field.name) for field in fields(self)}
        return Conditions(**{name: None if value is None else value[rows] for name, value in chosen.items()})

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Conditions:
        """Every tensor on a device, floats in a dtype; None leaves it as it is."""
        moved = {}
        for name, value in ((field.name, getattr(self, field.name)) for field in fields(self)):
            if value is not None:
                moved[name] = value.to(device=device, dtype=dtype if value.is_floating_point() else None)
        return Conditions(**moved)
