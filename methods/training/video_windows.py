"""Windows to train the video transformer on, each with a reference, out of the files of `methods.conditioning.video_features`.

Where the reference comes from is what IUFace's debiasing (Eq. 3) is about: `neutral` draws a frame of a neutral clip of the
same person, `random` one of the target clip, `first` takes the target clip's first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bench.media.errors import UserError
from methods.conditioning.clip_image import mean_pooled
from methods.conditioning.prompt import padded, read_embedding
from methods.conditioning.video_encoders import IdentityEncoder, VideoEncoders
from methods.conditioning.video_features import count_rows, load_row
from methods.conditioning.wan_vae import with_mask
from methods.talking_dit.alignment import video_frames
from methods.training.video_recipes import Reference


@dataclass(frozen=True)
class VideoClip:
    """Files of one clip to train on."""

    windows: Path
    """Of `clip_windows`."""
    text: Path
    """States of its prompt (`prompt.save_embedding`)."""
    references: tuple[Path, ...]
    """Of `clip_references`: the clip's own, or those of the person's neutral clips."""


class VideoWindows:
    """Random windows over clips.

    Args:
        clips: with the references that `reference` is about.
        encoders: those the model is trained with.
        reference: `first` takes the first row of a clip's references, the others any row of any of them.
        identity_encoder: whose embedding the model wants.

    Raises:
        UserError: there is no clip.
    """

    def __init__(
        self,
        clips: Sequence[VideoClip],
        encoders: type[VideoEncoders],
        *,
        reference: Reference,
        identity_encoder: IdentityEncoder,
    ):
        if not clips:
            raise UserError("there is no clip to train on")
        self.clips, self.encoders = clips, encoders
        self.reference, self.identity_encoder = reference, identity_encoder
        files = {path for clip in clips for path in (clip.windows, *clip.references)}
        self._rows = {path: count_rows(path) for path in files}

    def draw(self, rng: np.random.Generator, count: int) -> dict[str, Tensor]:
        """`count` windows of clips at random.

        Returns:
            latent_mean, latent_std (B, c, T, h, w); known (B, 4 + c, T, h, w), image (B, I, image_dim), and unless the model
            wants none identity (B, E), of the reference; text (B, L, text_dim); vocal (B, S, vocal_dim); aus (B, N, 35) in
            openface35; lips, face (B, T, h, w), 1 in the region. All float32.

        Raises:
            UserError: a file was made with other encoders, or for windows of another length.
        """
        samples = [self._sample(rng, self.clips[rng.integers(len(self.clips))]) for _ in range(count)]
        return {name: torch.stack([sample[name] for sample in samples]) for name in samples[0]}

    def _sample(self, rng: np.random.Generator, clip: VideoClip) -> dict[str, Tensor]:
        row = int(rng.integers(self._rows[clip.windows]))
        window = load_row(clip.windows, self.encoders, row)
        latents = window["latent_mean"].shape[1]
        start = window.pop("starts")[row]
        window["aus"] = window["aus"][start : start + video_frames(latents)]
        text = read_embedding(clip.text, self.encoders.text_dim)
        return {
            **{name: torch.from_numpy(values.astype(np.float32)) for name, values in window.items()},
            **self._reference(rng, clip.references, latents),
            "text": padded(text, self.encoders.text_tokens),
        }

    def _reference(self, rng: np.random.Generator, files: tuple[Path, ...], latents: int) -> dict[str, Tensor]:
        path = files[rng.integers(len(files))]
        row = 0 if self.reference == "first" else int(rng.integers(self._rows[path]))
        found = load_row(path, self.encoders, row)
        if found["known"].shape[1] != latents:
            raise UserError(
                f"{path}: made for windows of {found['known'].shape[1]} latent frames, not of {latents}; "
                "make the features again with python -m bench prepare"
            )
        known, image = (torch.from_numpy(found[name].astype(np.float32)) for name in ("known", "image"))
        made = {"known": with_mask(known), "image": image}
        if self.identity_encoder == "clip":
            made["identity"] = mean_pooled(image)
        elif self.identity_encoder == "arcface":
            made["identity"] = torch.from_numpy(found["arcface"])
        return made
