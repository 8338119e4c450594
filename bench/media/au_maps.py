"""Maps between Action Unit vocabularies. Every one is lossy, and says what it loses and what it cannot see.

A map is a list of rules, one per target column it can observe: a mean or a maximum of source columns, brought to the
target's scale, and for a presence whether that reaches INTENSITY_A (1 of 5). Columns of the target without a rule are
`unobserved` and read 0, columns of the source that no rule uses are `lost`. Where sides meet, a target without sides is
the mean of both, and a target with sides gets the same on both.

arkit52 -> feafa24 has a dead zone. mediapipe's blendshapes are never exactly 0 (on the seven neutral clips of the test
assets, GRID corpus, all 24 of 24 are above 0 in every frame), while FEAFA's values are sparse: AUHead counts 7 of 24
active. So x becomes (x - d) / (1 - d), at least 0, with d per AU measured on those clips by this rule:
  1. the resting level of an AU in a clip is the 10th percentile over its frames: every speaker rests for longer than
     that, also in the mouth;
  2. d is the median of the resting levels over the clips, rounded up to two decimals; left and right are pooled, so
     that a mirrored face gives mirrored AUs;
  3. d is at least DEAD_ZONE_FLOOR, the value of two decimals that brings the mean count of active AUs nearest to 7.
Measured with it: 5.3 to 7.8 of 24 active per clip, 6.9 on average. (One d of 0.02 for all AUs gives 6.1 to 10.2, 8.0 on
average, with eyes and brows "active" in nearly every frame.) `REST` holds the measurement; it is made again by
    python benchmarks/measure_dead_zone.py CLIP ... --model face_landmarker.task

Known limits. A person's own resting face is not subtracted: raised brows rest between 0.00 and 0.62, so some people
show them all the time; a comparison of the same person (generated against target) is not moved by that. Cheek puff,
nose wrinkle and jaw thrust never read above 0.0014 in 525 frames, and users of mediapipe who puff their cheeks or
sneer report readings near 0 (google-ai-edge/mediapipe issues 4436 and 4450): the map cannot see them. Upper lid raise
is weak (issue 4450; at most 0.08 here).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from bench.media import au
from bench.media.au import LIBREFACE_DETECTION, LIBREFACE_INTENSITY, OPENFACE_C, AUTrack, vocabulary
from bench.media.errors import MediaError

INTENSITY_A = 1.0
"""Intensity, of 5, from which an AU counts as present (FACS level A)."""
DEAD_ZONE_FLOOR = 0.02


class Rest(NamedTuple):
    """Readings of one AU on the seven neutral clips, both sides together."""

    lowest: float
    """Smallest resting level of any clip."""
    typical: float
    """Median of the resting levels."""
    highest: float
    """Largest resting level of any clip."""
    peak: float
    """Largest reading in any frame."""


REST: dict[str, Rest] = {
    "eye_close": Rest(0.0062, 0.0313, 0.1392, 0.7403),
    "lid_raise": Rest(0.0008, 0.0023, 0.0312, 0.0801),
    "brow_lower": Rest(0.0003, 0.0141, 0.0986, 0.34),
    "brow_raise": Rest(0.0045, 0.0639, 0.621, 0.7312),
    "jaw_drop": Rest(0.0056, 0.0184, 0.0779, 0.5045),
    "jaw": Rest(0, 0.0003, 0.0044, 0.0615),
    "lip_corner": Rest(0, 0.0001, 0.0037, 0.4768),
    "lip_stretch": Rest(0, 0.0002, 0.0013, 0.0819),
    "upper_lip_suck": Rest(0.0087, 0.0158, 0.1142, 0.753),
    "lower_lip_suck": Rest(0.0019, 0.0042, 0.0228, 0.4033),
    "jaw_thrust": Rest(0, 0.0001, 0.0001, 0.0014),
    "upper_lip_raise": Rest(0, 0, 0.0001, 0.1911),
    "lower_lip_depress": Rest(0.0001, 0.0003, 0.0011, 0.2258),
    "chin_raise": Rest(0.0001, 0.0003, 0.0027, 0.4866),
    "lip_pucker": Rest(0.0003, 0.0018, 0.055, 0.9963),
    "cheek_puff": Rest(0, 0, 0, 0.0007),
    "nose_wrinkle": Rest(0, 0, 0, 0),
}
"""AU without its side -> measured readings, from 525 frames."""


@dataclass(frozen=True)
class Rule:
    """How one target column is made."""

    target: str
    sources: tuple[str, ...]
    """Source columns, all of one scale."""
    combine: Literal["mean", "max"] = "mean"


@dataclass(frozen=True)
class AUMap:
    """A map from one vocabulary to another."""

    source: str
    target: str
    rules: tuple[Rule, ...]
    note: str
    """What is lost or guessed beyond `lost` and `unobserved`."""
    blind: tuple[str, ...] = ()
    """Target columns that have a rule, but whose sources stay near 0 whatever the face does."""
    dead_zone: Mapping[str, float] = field(default_factory=dict)
    """Target column -> reading up to which it counts as 0."""

    @property
    def unobserved(self) -> tuple[str, ...]:
        """Target columns it cannot see: they have no rule, or are blind."""
        seen = {rule.target for rule in self.rules} - set(self.blind)
        return tuple(name for name in vocabulary(self.target).names if name not in seen)

    @property
    def lost(self) -> tuple[str, ...]:
        """Source columns that no rule uses."""
        used = {source for rule in self.rules for source in rule.sources}
        return tuple(name for name in vocabulary(self.source).names if name not in used)

    def combine(self, values: np.ndarray) -> np.ndarray:
        """The map without its dead zone.

        Args:
            values: float (T, A) in the source vocabulary; a row with a NaN has no face.

        Returns:
            float64 (T, B) in the target vocabulary; NaN where there is no face.
        """
        source, target = vocabulary(self.source), vocabulary(self.target)
        values = np.asarray(values, np.float64)
        mapped = np.zeros((len(values), len(target)))
        for rule in self.rules:
            columns = [source.index(name) for name in rule.sources]
            share = values[:, columns] / source.high[columns[0]]
            share = share.max(1) if rule.combine == "max" else share.mean(1)
            column = target.index(rule.target)
            if target.binary[column]:
                binary_source = source.binary[columns[0]]
                share = share >= (0.5 if binary_source else INTENSITY_A / 5)
            mapped[:, column] = share * target.high[column]
        mapped[np.isnan(values).any(1)] = np.nan
        return mapped

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Map rows.

        Args:
            values: float (T, A) in the source vocabulary; a row with a NaN has no face.

        Returns:
            float32 (T, B) in the target vocabulary; NaN where there is no face.
        """
        mapped = self.combine(values)
        for name, zone in self.dead_zone.items():
            column = vocabulary(self.target).index(name)
            mapped[:, column] = np.clip((mapped[:, column] - zone) / (1 - zone), 0, 1)
        return mapped.astype(np.float32)


def base_name(name: str) -> str:
    """A `feafa24` column without its side."""
    return name.removesuffix("_left").removesuffix("_right")


def dead_zone_of(rest: Rest) -> float:
    """Rules 2 and 3 of the module's docstring."""
    return max(DEAD_ZONE_FLOOR, math.ceil(round(100 * rest.typical, 6)) / 100)


def _sided(target: str, source: str) -> tuple[Rule, Rule]:
    """feafa24 left and right from ARKit left and right."""
    return Rule(f"{target}_left", (f"{source}Left",)), Rule(f"{target}_right", (f"{source}Right",))


def _both(target: str, *sources: str) -> tuple[Rule, Rule]:
    """feafa24 left and right from columns without sides."""
    return Rule(f"{target}_left", sources), Rule(f"{target}_right", sources)


def _middle(target: str, source: str) -> Rule:
    """A target without sides from the feafa24 pair of this name."""
    return Rule(target, (f"{source}_left", f"{source}_right"))


ARKIT_TO_FEAFA = AUMap(
    source="arkit52",
    target="feafa24",
    rules=(
        *_sided("eye_close", "eyeBlink"),
        *_sided("lid_raise", "eyeWide"),
        *_sided("brow_lower", "browDown"),
        *_sided("brow_raise", "browOuterUp"),
        Rule("jaw_drop", ("jawOpen",)),
        *_sided("jaw", "jaw"),
        *_sided("lip_corner", "mouthSmile"),
        *_sided("lip_stretch", "mouthStretch"),
        Rule("upper_lip_suck", ("mouthRollUpper",)),
        Rule("lower_lip_suck", ("mouthRollLower",)),
        Rule("jaw_thrust", ("jawForward",)),
        Rule("upper_lip_raise", ("mouthUpperUpLeft", "mouthUpperUpRight")),
        Rule("lower_lip_depress", ("mouthLowerDownLeft", "mouthLowerDownRight")),
        Rule("chin_raise", ("mouthShrugLower",)),
        Rule("lip_pucker", ("mouthPucker",)),
        Rule("cheek_puff", ("cheekPuff",)),
        Rule("nose_wrinkle", ("noseSneerLeft", "noseSneerRight")),
    ),
    note="inner brow raise, frown, dimple, funnel, press, squint and gaze have no FEAFA unit; lips and nose lose sides",
    blind=("jaw_thrust", "cheek_puff", "nose_wrinkle"),
    dead_zone={name: dead_zone_of(REST[base_name(name)]) for name in vocabulary("feafa24").names},
)

FEAFA_TO_OPENFACE_R: tuple[Rule, ...] = (
    _middle("AU02_r", "brow_raise"),
    _middle("AU04_r", "brow_lower"),
    _middle("AU05_r", "lid_raise"),
    Rule("AU09_r", ("nose_wrinkle",)),
    Rule("AU10_r", ("upper_lip_raise",)),
    _middle("AU12_r", "lip_corner"),
    Rule("AU17_r", ("chin_raise",)),
    _middle("AU20_r", "lip_stretch"),
    Rule("AU25_r", ("jaw_drop", "upper_lip_raise", "lower_lip_depress"), "max"),
    Rule("AU26_r", ("jaw_drop",)),
    _middle("AU45_r", "eye_close"),
)

FEAFA_TO_OPENFACE = AUMap(
    source="feafa24",
    target="openface35",
    rules=(
        *FEAFA_TO_OPENFACE_R,
        *(Rule(rule.target.replace("_r", "_c"), rule.sources, rule.combine) for rule in FEAFA_TO_OPENFACE_R),
        Rule("AU28_c", ("upper_lip_suck", "lower_lip_suck"), "max"),
    ),
    note="sides merge into their mean; a presence is an intensity of at least 1 of 5, where OpenFace has a model of "
    "its own; AU25 (lips part) is guessed from what opens the mouth",
)

OPENFACE_TO_FEAFA = AUMap(
    source="openface35",
    target="feafa24",
    rules=(
        *_both("eye_close", "AU45_r"),
        *_both("lid_raise", "AU05_r"),
        *_both("brow_lower", "AU04_r"),
        *_both("brow_raise", "AU02_r"),
        Rule("jaw_drop", ("AU26_r",)),
        *_both("lip_corner", "AU12_r"),
        *_both("lip_stretch", "AU20_r"),
        Rule("upper_lip_suck", ("AU28_c",)),
        Rule("lower_lip_suck", ("AU28_c",)),
        Rule("upper_lip_raise", ("AU10_r",)),
        Rule("chin_raise", ("AU17_r",)),
        Rule("nose_wrinkle", ("AU09_r",)),
    ),
    note="both sides get the same; AU28 is known by presence only and reads 0 or 1 for both lips",
)

OPENFACE_TO_LIBREFACE = AUMap(
    source="openface35",
    target="libreface24",
    rules=(
        *(Rule(f"au_{n}", (f"AU{n:02d}_c",)) for n in LIBREFACE_DETECTION if n in OPENFACE_C),
        *(Rule(f"au_{n}_intensity", (f"AU{n:02d}_r",)) for n in LIBREFACE_INTENSITY),
    ),
    note="same FACS numbers, other estimators: agreement is not to be expected beyond that",
)

MAPS: dict[tuple[str, str], AUMap] = {
    (au_map.source, au_map.target): au_map
    for au_map in (ARKIT_TO_FEAFA, FEAFA_TO_OPENFACE, OPENFACE_TO_FEAFA, OPENFACE_TO_LIBREFACE)
}
"""(source, target) -> map."""


def convert(track: AUTrack, target: str) -> AUTrack:
    """The track in another vocabulary: the same, a part of it, or through the map between them.

    Raises:
        ValueError: there is no map; the message lists those there are.
    """
    if set(vocabulary(target).names) <= set(track.names):
        return track.part(target)
    for (source, whole), au_map in MAPS.items():
        if source == track.vocabulary and set(vocabulary(target).names) <= set(vocabulary(whole).names):
            return AUTrack(au_map(track.values), track.rate, whole).part(target)
    known = ", ".join(f"{source} -> {whole}" for source, whole in MAPS)
    raise ValueError(f"no map from {track.vocabulary} to {target}; there are {known} and their parts")


def read(path: str | Path, target: str) -> AUTrack:
    """Read a track from a file (`bench.media.au.read`) in a vocabulary: its own columns, or those of another through a map.

    Raises:
        MediaError: the file cannot be read, or holds a vocabulary that no map leads from.
    """
    path = Path(path)
    has_target = path.suffix == ".csv" and set(vocabulary(target).names) <= set(au.read_table(path))
    track = au.read(path, target if has_target else None)
    try:
        return convert(track, target)
    except ValueError as error:
        raise MediaError(f"{path}: {error}") from error
