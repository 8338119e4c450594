"""StableAvatar's guidance: one scale for the speech, one for the prompt (inference code of Francis-Rings/StableAvatar)."""

from __future__ import annotations

from typing import TypeVar

Prediction = TypeVar("Prediction")

COND = 2
"""Row, of the three that guidance needs, that has every condition."""


def three_pass_guidance(
    uncond: Prediction, audio: Prediction, cond: Prediction, audio_scale: float, text_scale: float
) -> Prediction:
    """v = v_uncond + s_a (v_audio - v_uncond) + s_t (v_cond - v_audio). With s_a = s_t = 1 it is v_cond.

    Args:
        uncond: prediction with the negative prompt and without speech.
        audio: with the negative prompt and speech.
        cond: with the prompt and speech.
        audio_scale: s_a.
        text_scale: s_t.

    Returns:
        Array or tensor of the same shape.
    """
    return uncond + audio_scale * (audio - uncond) + text_scale * (cond - audio)
