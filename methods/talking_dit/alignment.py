"""Which video frames and speech tokens a latent frame stands for.

Wan's VAE is causal: latent frame 0 is video frame 0 alone, latent frame t > 0 holds video frames 4t-3 .. 4t. So N = 4T - 3
video frames make T latent frames (81 make 21). Speech tokens, 50 a second, are cut into windows as StableAvatar's released
code does (vocal_projector_fantasy.py): as many tokens as four frames have, around each latent frame's middle.
"""

from __future__ import annotations

from functools import cache

FRAMES_PER_LATENT = 4
MARGIN = 4
"""Tokens by which StableAvatar widens every window on either side."""


def video_frames(latents: int) -> int:
    """N of T latent frames."""
    return FRAMES_PER_LATENT * (latents - 1) + 1


def latent_frames(frames: int) -> int:
    """T of N video frames, rounded up: the latent frames of the shortest window that holds them."""
    return -(-(frames - 1) // FRAMES_PER_LATENT) + 1


@cache
def own_frames(latents: int) -> tuple[tuple[int, ...], ...]:
    """Video frames of each latent frame, T rows of 4.

    Latent frame 0 has one only, which stands there four times: a softmax over equal keys is attention to one of them.
    """
    first = range(1 - FRAMES_PER_LATENT, video_frames(latents), FRAMES_PER_LATENT)
    return tuple(tuple(max(frame, 0) for frame in range(start, start + FRAMES_PER_LATENT)) for start in first)


@cache
def token_ranges(tokens: int, frames: int) -> tuple[tuple[int, int], ...]:
    """First and last speech token of each latent frame's window, before it is widened; may reach beyond both ends.

    Args:
        tokens: S, of the whole window of video.
        frames: N.
    """
    per_frame = tokens / frames
    half = int(2 * per_frame)

    def window(latent: int) -> tuple[int, int]:
        begin, end = (per_frame * (FRAMES_PER_LATENT * i + 1) for i in (latent - 1, latent))
        middle = int((begin + end) / 2) - 1
        return middle - half, middle + half

    after = window(1)[0]
    return (after - 2 * half, after), *(window(latent) for latent in range(1, latent_frames(frames)))


@cache
def own_tokens(tokens: int, frames: int) -> tuple[tuple[int, ...], ...]:
    """Speech tokens of each latent frame, T rows of one width; number `tokens` stands for a zero token.

    Zeros come last in a row, also where the window begins before the first token: as in the published code, which pads on
    the right only and whose attention sees the padding.
    """
    rows = []
    for first, last in token_ranges(tokens, frames):
        wanted = range(first - MARGIN, last + MARGIN + 1)
        inside = [token for token in wanted if 0 <= token < tokens]
        rows.append((*inside, *[tokens] * (len(wanted) - len(inside))))
    return tuple(rows)
