"""What turns an identity embedding, speech features and a face mask into what the denoiser takes.

Names of keys as in the published checkpoints of Hallo and MEMO, which share the first two.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class ImageProjection(nn.Module):
    """A face embedding as tokens. The null identity is a projected zero vector."""

    def __init__(self, face_channels: int = 512, tokens: int = 4, dim: int = 768):
        super().__init__()
        self.tokens = tokens
        self.proj = nn.Linear(face_channels, tokens * dim)
        self.norm = nn.LayerNorm(dim)

    def forward(self, embedding: Tensor) -> Tensor:
        """embedding (B, face_channels), not normalised -> (B, tokens, dim)."""
        return self.norm(self.proj(embedding).unflatten(-1, (self.tokens, -1)))


class AudioProjection(nn.Module):
    """Windows of speech features as tokens. At inference null audio is zeros in place of the tokens."""

    def __init__(
        self,
        window: int = 5,
        blocks: int = 12,
        channels: int = 768,
        hidden: int = 512,
        tokens: int = 32,
        dim: int = 768,
    ):
        super().__init__()
        self.tokens = tokens
        self.proj1 = nn.Linear(window * blocks * channels, hidden)
        self.proj2 = nn.Linear(hidden, hidden)
        self.proj3 = nn.Linear(hidden, tokens * dim)
        self.norm = nn.LayerNorm(dim)

    def forward(self, windows: Tensor) -> Tensor:
        """windows (B, F, window, blocks, channels) -> (B, F, tokens, dim)."""
        x = F.relu(self.proj1(windows.flatten(2)))
        x = self.proj3(F.relu(self.proj2(x)))
        return self.norm(x.unflatten(-1, (self.tokens, -1)))


class FaceLocator(nn.Module):
    """Hallo: an image of where the face is, as features at the latents' resolution. Starts at zero."""

    def __init__(self, channels: int = 320, widths: tuple[int, ...] = (16, 32, 64, 128)):
        """channels: of the denoiser's first block; every width after the first halves the resolution."""
        super().__init__()
        self.conv_in = nn.Conv2d(3, widths[0], 3, padding=1)
        self.blocks = nn.ModuleList()
        for narrow, wide in zip(widths, widths[1:], strict=False):
            self.blocks.append(nn.Conv2d(narrow, narrow, 3, padding=1))
            self.blocks.append(nn.Conv2d(narrow, wide, 3, padding=1, stride=2))
        self.conv_out = nn.Conv2d(widths[-1], channels, 3, padding=1)
        nn.init.zeros_(self.conv_out.weight)
        nn.init.zeros_(self.conv_out.bias)

    def forward(self, image: Tensor) -> Tensor:
        """image (N, 3, H, W) in [0, 1] -> (N, channels, H/8, W/8)."""
        x = F.silu(self.conv_in(image))
        for block in self.blocks:
            x = F.silu(block(x))
        return self.conv_out(x)
