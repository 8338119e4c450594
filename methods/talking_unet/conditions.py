"""What the denoiser sees beside noisy latents and time.

Letters: B rows of a batch, F frames of a clip, R = 1 + P reference rows (the reference image, then P past frames, oldest
first), N face tokens, M audio tokens a frame, L AU tokens of a window, h x w latents, s a site's spatial size.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class ReferenceFeatures:
    """What the reference net saw in the reference image and the past frames."""

    sites: dict[str, Tensor]
    """Site name -> (B, R, s*s, C). Attention sites ("down_blocks.0.attentions.1") hold the input of self-attention;
    MEMO's plain blocks ("down_blocks.3.resnets.0") the output of the resnet."""

    @classmethod
    def cat(cls, parts: Sequence[ReferenceFeatures]) -> ReferenceFeatures:
        """Features of several batches as one, rows in the order given."""
        return cls({site: torch.cat([part.sites[site] for part in parts]) for site in parts[0].sites})

    def __getitem__(self, rows) -> ReferenceFeatures:
        """The chosen rows: a slice, a list of indices or an index tensor, which may repeat rows."""
        return ReferenceFeatures({site: features[rows] for site, features in self.sites.items()})


@dataclass(frozen=True)
class Conditions:
    """Row b of every tensor belongs to sample b."""

    face: Tensor
    """(B, N, D) identity tokens: ImageProjection of the face embedding."""
    reference: ReferenceFeatures
    use_reference: Tensor
    """bool (B,): False = plain self-attention, for rows without a reference (the unconditional half)."""
    audio: Tensor
    """(B, F, M, C) audio tokens per frame: AudioProjection of the speech windows."""
    masks: tuple[tuple[Tensor, Tensor, Tensor], ...] | None = None
    """Hallo: for UNet levels 0..3 (full, face, lip), each (B, F, s*s) in [0, 1]."""
    motion_scale: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Hallo: weights of the full (pose), face and lip branches of the audio attention."""
    face_mask: Tensor | None = None
    """Hallo: (B, F, C0, h, w) FaceLocator features, added after conv_in."""
    emotion: Tensor | None = None
    """MEMO: int64 (B,) class; the null class is the number of emotions (9)."""
    aus: Tensor | None = None
    """(B, L, D) AU tokens of the whole window, zeros = null; None = the adapter is not called."""

    def __len__(self) -> int:
        return len(self.face)

    @classmethod
    def cat(cls, parts: Iterable[Conditions]) -> Conditions:
        """Several batches as one, rows in the order given: `Conditions.cat([null, cond])` is a guidance pair.

        Raises ValueError where parts do not agree in motion_scale or in which inputs they have.
        """
        parts = list(parts)
        if len({part.motion_scale for part in parts}) > 1:
            raise ValueError("conditions with different motion_scale cannot share a batch")
        joined = {}
        for field in fields(cls):
            values = [getattr(part, field.name) for part in parts]
            if len({value is None for value in values}) > 1:
                raise ValueError(f"conditions of one batch must all have, or all lack, {field.name}")
            joined[field.name] = values[0] if field.name == "motion_scale" else _cat(values)
        return cls(**joined)

    def __getitem__(self, rows) -> Conditions:
        """The chosen rows: a slice, a list of indices or an index tensor, which may repeat rows."""
        chosen = {f.name: _take(getattr(self, f.name), rows) for f in fields(self) if f.name != "motion_scale"}
        return replace(self, **chosen)


def _cat(values: list):
    first = values[0]
    if first is None:
        return None
    if isinstance(first, ReferenceFeatures):
        return ReferenceFeatures.cat(values)
    if isinstance(first, tuple):
        return tuple(_cat(list(parts)) for parts in zip(*values, strict=True))
    return torch.cat(values)


def _take(value, rows):
    if value is None:
        return None
    if isinstance(value, tuple):
        return tuple(_take(part, rows) for part in value)
    return value[rows]
