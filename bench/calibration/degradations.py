"""Known ways to spoil a clip of the fixed set, each by a known amount; an amount of 0 leaves it as it is, bit for bit.

What concerns the face (weaker AUs, another person) is rendered again from the clip's exact AUs, pose and gaze, so nothing
but what is named differs. Where a share of the clips is changed, a larger share changes the same clips and others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bench.calibration.material import Material
from bench.media.clip import ArrayClip
from bench.media.write import reencode
from metrics.synth.degradations import blurred, noisy
from metrics.synth.train_sync import shifted
from protocols.synth.world import FPS, identities

STRANGER = identities("train")[0]
"""Who acts in place of people of the set. One person for all: were there as many strangers as people, they would be
another sample of the same population, to which FID and KID have no distance to claim."""


@dataclass(frozen=True)
class Degradation:
    """One way to spoil clips."""

    name: str
    what: str
    """For people: what is done."""
    unit: str
    """What the amount counts."""
    amounts: tuple[float, ...]
    """Increasing, beginning with 0."""
    make: Callable[[Material, int, float], ArrayClip]
    """make(material, place of the clip, amount)."""


def blur(material: Material, place: int, sigma: float) -> ArrayClip:
    """A Gaussian of `sigma` pixels."""
    shown = material.shown(place)
    return shown.clip(blurred(shown.frames, sigma))


def noise(material: Material, place: int, sigma: float) -> ArrayClip:
    """Gaussian noise of `sigma` grey levels, a different one in every frame; the same pattern, scaled, at any sigma."""
    shown = material.shown(place)
    return shown.clip(noisy(shown.frames, sigma, np.random.default_rng(place)))


def compression(material: Material, place: int, crf: float) -> ArrayClip:
    """x264 at a constant rate factor; 0 leaves the frames alone."""
    shown = material.shown(place)
    return shown.clip(np.concatenate(list(reencode([shown.frames], FPS, round(crf)))) if crf else None)


def weaker_aus(material: Material, place: int, share: float) -> ArrayClip:
    """Every AU loses this share of its value."""
    return material.shown(place).clip(material.redrawn(place, strength=1 - share) if share else None)


def other_person(material: Material, place: int, share: float) -> ArrayClip:
    """This share of the clips is acted by STRANGER, with the same AUs, pose, gaze and speech."""
    frames = material.redrawn(place, identity=STRANGER) if _is_changed(place, share) else None
    return material.shown(place).clip(frames)


def late_speech(material: Material, place: int, frames: float) -> ArrayClip:
    """Speech that comes `frames` frames late (early, if negative); silence fills the gap."""
    shown = material.shown(place)
    return shown.clip(audio=shifted(shown.audio, round(frames)))


def other_speech(material: Material, place: int, share: float) -> ArrayClip:
    """This share of the clips has the speech of another person of the set, who says another sentence."""
    other = material.shown((place + len(material) // 2) % len(material)).audio
    return material.shown(place).clip(audio=other if _is_changed(place, share) else None)


def held_frames(material: Material, place: int, extra: float) -> ArrayClip:
    """Every (1 + extra)-th frame is held until the next one."""
    shown = material.shown(place)
    length = 1 + round(extra)
    return shown.clip(shown.frames[np.arange(len(shown.frames)) // length * length])


def shuffled_frames(material: Material, place: int, length: float) -> ArrayClip:
    """Frames in random order within windows of `length` frames."""
    shown = material.shown(place)
    if not length:
        return shown.clip()
    rng = np.random.default_rng(place)
    windows = np.split(np.arange(len(shown.frames)), np.arange(round(length), len(shown.frames), round(length)))
    return shown.clip(shown.frames[np.concatenate([rng.permutation(window) for window in windows])])


def mixture(material: Material, place: int, rounding: float = 0.0) -> ArrayClip:
    """A little of everything, so that no metric is at the end of its scale: AUs at 60 %, every fourth clip acted by
    somebody else, frames in pairs, a blur of 0.8 px, speech 2 frames late.

    Args:
        material: the set.
        place: which clip.
        rounding: share of the samples that are moved by one grey level: what the renderer may do on another processor.
    """
    shown = material.shown(place)
    identity = STRANGER if place % 4 == 3 else None
    frames = material.redrawn(place, strength=0.6, identity=identity)[np.arange(len(shown.frames)) // 2 * 2]
    frames = blurred(frames, 0.8)
    if rounding:
        rng = np.random.default_rng(place)
        moved = (rng.random(frames.shape) < rounding) * rng.choice([-1, 1], frames.shape)
        frames = np.clip(frames.astype(np.int16) + moved, 0, 255).astype(np.uint8)
    return shown.clip(frames, shifted(shown.audio, 2))


def _is_changed(place: int, share: float) -> bool:
    """Shares come in quarters: one of every four clips after the other."""
    return place % 4 < round(4 * share)


QUARTERS = (0.0, 0.25, 0.5, 0.75, 1.0)

DEGRADATIONS: dict[str, Degradation] = {
    one.name: one
    for one in (
        Degradation("blur", "Gaussian blur", "sigma, px", (0, 0.5, 1, 2, 4), blur),
        Degradation("noise", "Gaussian noise", "sigma, grey levels", (0, 4, 8, 16, 32), noise),
        Degradation("compression", "Compression by x264", "crf", (0, 20, 28, 36, 44), compression),
        Degradation("weaker_aus", "Weaker Action Units", "share taken off", QUARTERS, weaker_aus),
        Degradation("other_person", "One stranger for all", "share of clips", QUARTERS, other_person),
        Degradation("late_speech", "Late speech", "frames", (0, 1, 2, 4, 8), late_speech),
        Degradation("other_speech", "Another sentence", "share of clips", QUARTERS, other_speech),
        Degradation("held_frames", "Held frames", "repeats of a frame", (0, 1, 3, 7, 15), held_frames),
        Degradation("shuffled_frames", "Frames in random order", "window, frames", (0, 2, 4, 8, 16), shuffled_frames),
    )
}
