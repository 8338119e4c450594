"""What one person's speech sounds like: the settings of the formant synthesiser that stay the same over all they say."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Voice:
    """A speaker. The defaults are an average male voice."""

    f0_hz: float = 120.0
    """Mean pitch of neutral speech: about 85 to 140 for men, 165 to 255 for women."""
    f0_range: float = 6.0
    """Semitones between the high and the low of a neutral sentence, about 3 to 10."""
    formant_scale: float = 1.0
    """Factor on every formant, the inverse of the vocal tract's length: about 0.92 to 1.22 (women 1.15)."""
    breathiness: float = 0.15
    """Share of noise in the voice, 0 to 1."""
    rate: float = 1.0
    """Speed of neutral speech against the average, about 0.85 to 1.2."""
    brightness: float = 0.0
    """-1 dull to 1 sharp: how far up the voice's own spectrum reaches."""
