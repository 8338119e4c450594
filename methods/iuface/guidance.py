"""Dual-scale guidance (Eq. 4): one scale for the expression, one for the speech."""

from __future__ import annotations

from typing import TypeVar

Prediction = TypeVar("Prediction")


def dual_scale_guidance(
    uncond: Prediction, au: Prediction, cond: Prediction, au_scale: float, audio_scale: float
) -> Prediction:
    """v = v_uncond + w_au (v_au - v_uncond) + w_a (v_cond - v_au).

    With w_au = w_a = 1 it is v_cond. With the null AU, v_au = v_uncond, and the speech alone is guided, by w_a.

    Args:
        uncond: v_uncond, prediction with null AU and null audio.
        au: v_au, with AUs and null audio.
        cond: v_cond, with AUs and audio. The prompt and the reference are the same in all three.
        au_scale: w_au.
        audio_scale: w_a.

    Returns:
        Array or tensor of the same shape.
    """
    return uncond + au_scale * (au - uncond) + audio_scale * (cond - au)
