"""Latent frames, video frames and speech tokens. Oracles: specs/methods.md 8.3, arithmetic, and the time that a token is heard.
The published tables themselves are in `bench parity wan_vocal`."""

import pytest

from methods.talking_dit.alignment import latent_frames, own_frames, own_tokens, token_ranges, video_frames


def test_latent_frames():
    assert [video_frames(latents) for latents in (1, 2, 7, 21)] == [1, 5, 25, 81]
    assert [latent_frames(frames) for frames in (1, 2, 5, 6, 80, 81, 82)] == [1, 2, 2, 3, 21, 21, 22]


def test_own_frames():
    """One frame, then four each; together every frame in order."""
    assert own_frames(3) == ((0, 0, 0, 0), (1, 2, 3, 4), (5, 6, 7, 8))
    rows = own_frames(21)
    assert len(rows) == 21 and [frame for row in rows[1:] for frame in row] == list(range(1, 81))


@pytest.mark.parametrize(("tokens", "frames", "width"), [(161, 81, 15), (167, 81, 17), (49, 25, 15), (1, 1, 13)])
def test_own_tokens(tokens, frames, width):
    rows = own_tokens(tokens, frames)
    assert len(rows) == latent_frames(frames) and {len(row) for row in rows} == {width}
    for row in rows:
        heard = [token for token in row if token < tokens]
        assert row == (*heard, *[tokens] * (width - len(heard)))  # zeros last
        assert heard == list(range(heard[0], heard[-1] + 1))


def test_windows_lie_where_their_frames_are():
    """The middle of each window is heard within its four frames: 50 tokens and 25 frames a second."""
    for latent, (first, last) in enumerate(token_ranges(161, 81)):
        if latent:
            assert 4 * latent - 3 <= (first + last) / 2 / 50 * 25 + 0.5 <= 4 * latent + 1
