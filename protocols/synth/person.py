"""Who a rendered person is and where they are filmed, both drawn from a name: same name, same look, on every machine."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields
from typing import Literal

import numpy as np

from bench.media.au import FEAFA_UNITS
from bench.media.head import AUStyle, HeadShape, Palette
from bench.media.head_layout import ramp
from protocols.synth.voice import Voice

HAIR_STYLES = ("short", "crop", "receding", "bald", "parted", "fringe", "bob", "long", "bun", "curly")
Family = Literal["studio", "outdoor"]
Colour = tuple[float, float, float]
"""Red, green, blue; sRGB [0, 1]."""


@dataclass(frozen=True)
class Person:
    """One identity."""

    id: str
    shape: HeadShape
    style: AUStyle
    palette: Palette
    hair_style: str
    """One of HAIR_STYLES."""
    hair: Colour
    neck_width: float
    """1 is average."""
    shoulders: float
    """Their width; 1 is average."""
    voice: Voice


@dataclass(frozen=True)
class Setting:
    """What surrounds a person in one recording."""

    id: str
    family: Family
    background: str
    """Kind of picture behind the person, one of BACKGROUNDS[family]."""
    colours: tuple[Colour, Colour, Colour]
    """Of the background."""
    clothes: Colour
    collar: Colour
    neckline: float
    """Depth of the neckline, model units."""
    key_direction: tuple[float, float, float]
    """From the head to the key light."""
    key: Colour
    """Colour of the key light; this and the next two in linear light."""
    fill: Colour
    ambient: Colour
    seed: int
    """Of the background's details."""


BACKGROUNDS: dict[str, tuple[str, ...]] = {
    "studio": ("plain", "gradient", "spots", "stripes"),
    "outdoor": ("meadow", "forest", "sunset", "city"),
}


def generator(*names: str) -> np.random.Generator:
    """Random numbers that depend on the names alone."""
    digest = hashlib.sha256("\0".join(names).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "little"))


def _mix(a: Colour, b: Colour, share: float) -> Colour:
    return tuple(float(x + (y - x) * share) for x, y in zip(a, b, strict=True))


def _jitter(rng: np.random.Generator, colour: Colour, spread: float) -> Colour:
    return tuple(float(v) for v in np.clip(np.array(colour) + rng.normal(0, spread, 3), 0.02, 0.98))


# From light to dark.
_SKIN: tuple[Colour, ...] = (
    (0.95, 0.80, 0.72),
    (0.92, 0.74, 0.63),
    (0.86, 0.65, 0.51),
    (0.76, 0.54, 0.40),
    (0.60, 0.41, 0.29),
    (0.48, 0.32, 0.23),
    (0.40, 0.27, 0.20),
)
_HAIR: tuple[Colour, ...] = (
    (0.07, 0.06, 0.06),
    (0.16, 0.10, 0.07),
    (0.30, 0.19, 0.11),
    (0.47, 0.30, 0.16),
    (0.76, 0.60, 0.34),
    (0.55, 0.22, 0.09),
    (0.62, 0.61, 0.60),
    (0.86, 0.85, 0.83),
)
_IRIS: tuple[Colour, ...] = (
    (0.24, 0.14, 0.08),
    (0.36, 0.22, 0.11),
    (0.42, 0.38, 0.18),
    (0.30, 0.44, 0.28),
    (0.30, 0.48, 0.64),
    (0.46, 0.54, 0.60),
)


def person(id: str) -> Person:
    """The person of this name."""
    rng = generator("person", id)
    feminine = rng.random()
    shape = HeadShape(**{f.name: float(np.clip(rng.normal(), -1.9, 1.9)) for f in fields(HeadShape)})
    tone = float(rng.uniform(0, len(_SKIN) - 1))
    skin = _jitter(rng, _mix(_SKIN[int(tone)], _SKIN[min(int(tone) + 1, len(_SKIN) - 1)], tone % 1), 0.008)
    dark = tone > 3.2
    hair = _jitter(rng, _HAIR[int(rng.choice(3 if dark else len(_HAIR)))], 0.015)
    iris = _jitter(rng, _IRIS[int(rng.choice(2 if dark else len(_IRIS)))], 0.02)
    made_up = feminine * rng.random() ** 2
    lips = _mix(_mix(skin, (0.66, 0.24, 0.26), 0.52), (0.72, 0.10, 0.16), 0.7 * made_up)
    brows = _mix(hair, (0.14, 0.10, 0.08), 0.55)
    stubble = float(rng.choice([0.0, 0.35, 0.8], p=[0.5, 0.3, 0.2])) if feminine < 0.5 else 0.0
    styles = ("parted", "fringe", "bob", "long", "bun", "curly", "short")
    styles = styles if feminine >= 0.5 else ("short", "crop", "receding", "bald", "parted", "curly", "fringe")
    high = float(ramp(feminine))  # few voices lie half way
    f0 = 115 * 2 ** (float(rng.normal(0, 0.12)) + 0.85 * high)
    return Person(
        id=id,
        shape=shape,
        style=_style(rng, shape),
        palette=Palette(skin, lips, brows, iris, blush=float(rng.uniform(0.1, 0.8)), stubble=stubble),
        hair_style=styles[int(rng.choice(len(styles)))],
        hair=hair,
        neck_width=float(1.04 - 0.16 * feminine + rng.normal(0, 0.03)),
        shoulders=float(1.08 - 0.18 * feminine + rng.normal(0, 0.04)),
        voice=Voice(
            f0_hz=float(f0),
            f0_range=float(rng.uniform(3.5, 9)),
            formant_scale=float(0.97 + 0.18 * high + rng.normal(0, 0.025)),
            breathiness=float(rng.uniform(0.05, 0.35)),
            rate=float(rng.uniform(0.88, 1.16)),
            brightness=float(rng.uniform(-0.8, 0.8)),
        ),
    )


def _style(rng: np.random.Generator, shape: HeadShape) -> AUStyle:
    """How this person moves: partly chance, partly what their face shows at rest."""
    drawn = {f.name: float(rng.normal()) for f in fields(AUStyle) if f.name != "gains"}
    tied = {
        "smile_up": shape.cheekbones,
        "smile_cheek": shape.cheeks,
        "stretch_down": shape.jaw_width,
        "brow_inner": -shape.brow_tilt,
        "brow_knit": -shape.brow_height,
        "lid_low": shape.eye_size,
        "lip_square": shape.mouth_width,
        "pucker_forward": shape.lower_lip,
        "puff_low": shape.face_length,
        "nose_up": shape.nose_tip,
        "chin_dimple": -shape.chin_width,
    }
    for name, value in tied.items():
        drawn[name] = 0.6 * value + 0.8 * drawn[name]
    gains = tuple(float(v) for v in 1 + 0.08 * rng.uniform(-1, 1, len(FEAFA_UNITS)))
    return AUStyle(**drawn, gains=gains)


# -- settings -------------------------------------------------------------------------------------------------------

_STUDIO: tuple[Colour, ...] = (
    (0.55, 0.60, 0.66),
    (0.30, 0.36, 0.44),
    (0.78, 0.78, 0.76),
    (0.46, 0.54, 0.50),
    (0.62, 0.52, 0.48),
    (0.24, 0.25, 0.28),
    (0.40, 0.46, 0.62),
    (0.70, 0.66, 0.56),
)
_OUTDOOR: dict[str, tuple[Colour, Colour, Colour]] = {
    "meadow": ((0.36, 0.60, 0.90), (0.78, 0.88, 0.96), (0.36, 0.58, 0.22)),
    "forest": ((0.13, 0.26, 0.10), (0.36, 0.52, 0.18), (0.74, 0.82, 0.52)),
    "sunset": ((0.28, 0.20, 0.42), (0.98, 0.60, 0.32), (0.20, 0.13, 0.16)),
    "city": ((0.62, 0.76, 0.92), (0.60, 0.54, 0.50), (0.34, 0.34, 0.37)),
}
_CLOTHES: tuple[Colour, ...] = (
    (0.16, 0.20, 0.32),
    (0.55, 0.14, 0.16),
    (0.88, 0.88, 0.86),
    (0.14, 0.14, 0.15),
    (0.22, 0.42, 0.34),
    (0.78, 0.62, 0.24),
    (0.42, 0.30, 0.48),
    (0.34, 0.52, 0.72),
    (0.58, 0.42, 0.30),
)


def setting(id: str, family: Family) -> Setting:
    """The setting of this name: an even studio, or a place outdoors that looks like no studio."""
    rng = generator("setting", family, id)
    background = BACKGROUNDS[family][int(rng.choice(4))]
    if family == "studio":
        first, second, third = rng.choice(len(_STUDIO), 3, replace=False)
        colours = tuple(_jitter(rng, _STUDIO[int(i)], 0.03) for i in (first, second, third))
        warm = rng.normal(0, 0.025)
        side, strength = rng.uniform(-0.8, 0.8), rng.uniform(0.62, 0.76)
    else:
        colours = tuple(_jitter(rng, c, 0.025) for c in _OUTDOOR[background])
        warm = 0.10 if background == "sunset" else rng.normal(-0.01, 0.03)
        side, strength = rng.choice([-1, 1]) * rng.uniform(0.7, 1.3), rng.uniform(0.72, 0.84)
    clothes = _jitter(rng, _CLOTHES[int(rng.choice(len(_CLOTHES)))], 0.03)
    tint = np.array([1 + warm, 1, 1 - warm])
    return Setting(
        id=id,
        family=family,
        background=background,
        colours=colours,
        clothes=clothes,
        collar=_mix(clothes, (0.95, 0.95, 0.95) if rng.random() < 0.5 else (0.1, 0.1, 0.1), float(rng.uniform(0, 0.5))),
        neckline=float(rng.uniform(-0.03, 0.06)),
        key_direction=(float(side), float(rng.uniform(0.4, 0.8)), 1.0),
        key=tuple(float(v) for v in strength * tint),
        fill=tuple(float(v) for v in rng.uniform(0.16, 0.26) / tint),
        ambient=tuple(float(v) for v in np.full(3, rng.uniform(0.15, 0.21))),
        seed=int(rng.integers(2**31)),
    )
