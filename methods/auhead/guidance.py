"""Disentanglement guidance (Eq. 6): separate scales for the AUs and for everything else."""

from __future__ import annotations

from typing import TypeVar

Prediction = TypeVar("Prediction")


def disentanglement_guidance(
    null: Prediction,
    human: Prediction,
    aus: Prediction,
    both: Prediction,
    guidance_scale: float,
    au_scale: float,
) -> Prediction:
    """e = e(phi, AU) + s_H [e(H, phi) - e(phi, phi)] + s_AU [e(H, AU) - e(H, phi)], exactly as printed.

    With s_H = 0 and s_AU = 0 it is e(phi, AU). With the null AU it is the base's own guidance,
    e(phi, phi) + s_H [e(H, phi) - e(phi, phi)]. With s_H = s_AU = 1 it does not collapse to e(H, AU), as guidance
    with scale 1 usually does: e(phi, AU) - e(phi, phi) + e(H, AU) counts what the AUs do once more. Where the AUs add the
    same to either prediction, their weight is 1 + s_AU; at s_AU = 0 they still act.

    Args:
        null: e(phi, phi), prediction without any condition.
        human: e(H, phi), with audio, reference and the rest of the base's conditions, without AUs.
        aus: e(phi, AU), with AUs alone.
        both: e(H, AU).
        guidance_scale: s_H.
        au_scale: s_AU.

    Returns:
        Array or tensor of the same shape.
    """
    return aus + guidance_scale * (human - null) + au_scale * (both - human)
