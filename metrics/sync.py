"""LSE-C, LSE-D and offset as torchmetrics classes on SyncNet features; definitions in metrics.functional.sync.

One `update` is one clip; the score is the mean over clips. The features come from an extractor of
metrics.extractors.syncnet, whose choice is the variant.
"""

from __future__ import annotations

import torch

from metrics.functional.sync import VARIANTS, av_offset, lse_c, lse_d, paired_windows, shift_curve, valid_shift_curve
from metrics.over_clips import OverClips


class LSEC(OverClips):
    """lse_c@crop (or @nocrop, @eat, @exact, after the features): confidence."""

    higher_is_better = True
    unit = ""
    paper = VARIANTS["@crop"][2]
    curve = staticmethod(shift_curve)
    score = staticmethod(lse_c)

    def update(self, video: torch.Tensor, audio: torch.Tensor) -> None:
        """Add one clip.

        Args:
            video: float (T - 4, 1024), features of every window of 5 frames.
            audio: float (A, 1024), features of the speech, A = floor(samples / 640) - 5.

        Raises:
            Undefined: no window is left, or too few for this class.
        """
        self._add(self.score(self.curve(*paired_windows(video.cpu().numpy(), audio.cpu().numpy()))), 1)


class LSED(LSEC):
    """lse_d: distance at the best shift."""

    higher_is_better = False
    score = staticmethod(lse_d)


class AVOffset(LSEC):
    """av_offset: frames at 25 fps by which the audio leads; best at 0."""

    higher_is_better = None
    unit = "frames"
    score = staticmethod(av_offset)


class ValidLSEC(LSEC):
    """lse_c@valid_only: as LSEC without zero padding."""

    paper = VARIANTS["@valid_only"][2]
    curve = staticmethod(valid_shift_curve)


class ValidLSED(LSED):
    """lse_d@valid_only: as LSED without zero padding."""

    paper = VARIANTS["@valid_only"][2]
    curve = staticmethod(valid_shift_curve)


class ValidAVOffset(AVOffset):
    """av_offset@valid_only: as AVOffset without zero padding."""

    paper = VARIANTS["@valid_only"][2]
    curve = staticmethod(valid_shift_curve)
