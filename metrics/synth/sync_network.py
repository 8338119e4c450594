"""The two halves of `synth_sync`; imports torch."""

from __future__ import annotations

import torch
from torch import nn

from metrics.functional.mfcc import COEFFICIENTS
from metrics.functional.sync import WINDOW
from metrics.synth.convnet import stages

LIP_WIDTHS = (24, 48, 64, 96)
AUDIO_WIDTH = 128


class SyncNetwork(nn.Module):
    """Lips: the 5 frames of a window as 15 channels of a residual convnet. Speech: convolutions along the 20 rows of MFCC,
    whose coefficients are the channels and are standardised with the moments `mean` and `scale` of the training speech.
    """

    def __init__(self, size: int, embedding: int) -> None:
        super().__init__()
        cells = (size // 2 ** len(LIP_WIDTHS)) ** 2
        self.lips = nn.Sequential(
            stages(3 * WINDOW, LIP_WIDTHS), nn.Flatten(), nn.Linear(cells * LIP_WIDTHS[-1], embedding)
        )
        self.speech = nn.Sequential(
            _along_time(COEFFICIENTS, AUDIO_WIDTH),
            _along_time(AUDIO_WIDTH, AUDIO_WIDTH),
            _along_time(AUDIO_WIDTH, AUDIO_WIDTH, stride=2),
            _along_time(AUDIO_WIDTH, AUDIO_WIDTH, stride=2),
            nn.Flatten(),
            nn.Linear(5 * AUDIO_WIDTH, embedding),
        )
        self.register_buffer("mean", torch.zeros(COEFFICIENTS))
        self.register_buffer("scale", torch.ones(COEFFICIENTS))

    def forward_lips(self, windows: torch.Tensor) -> torch.Tensor:
        """Windows of frames, float (n, 15, 48, 48) -> unit vectors float (n, 64)."""
        return nn.functional.normalize(self.lips(windows).float(), dim=1)

    def forward_aud(self, rows: torch.Tensor) -> torch.Tensor:
        """Windows of MFCC, float (n, 1, 13, 20) -> unit vectors float (n, 64)."""
        standard = (rows[:, 0] - self.mean[:, None]) / self.scale[:, None]
        return nn.functional.normalize(self.speech(standard).float(), dim=1)


def lip_windows(images: torch.Tensor) -> torch.Tensor:
    """Frames float (T, 3, 48, 48) in [-1, 1] -> every window of 5 in a row, float (T - 4, 15, 48, 48)."""
    return images.unfold(0, WINDOW, 1).movedim(-1, 1).flatten(1, 2)


def _along_time(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv1d(inputs, outputs, 3, stride, padding=1, bias=False), nn.BatchNorm1d(outputs), nn.ReLU()
    )
