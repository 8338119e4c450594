"""One sentence performed: sound, 24 Action Units, head motion and gaze that belong together.

Convention: sample 0 is heard when row 0 is seen, and row k is the face at k / fps seconds, as in `bench.media.au`. The
mouth reaches the target of a phoneme when it sounds and starts moving toward it up to 60 ms before; the sync offset is
0. Coarticulation after Cohen and Massaro (1993, "Modeling coarticulation in synthetic visual speech"): at any time the
mouth is the mean of the targets around, weighted by their dominance, which falls off outside the phoneme.

Emotions rise and fall over the clip in one or two episodes, with a moment near neutral at its start or its end; a third
of the clips start expressive. Values of mouth and emotion are joined so that both stay readable: a + b - ab, after a
closure or a rounding has taken away what would undo it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.media.au import FEAFA_UNITS
from bench.media.clip import SAMPLE_RATE, samples_for
from bench.media.errors import UserError
from protocols.synth.emotions import EMOTIONS
from protocols.synth.speech import INTENSITY, Phoneme, Speech, parts, prosody, smooth, speak
from protocols.synth.text import SILENCE, phonemes
from protocols.synth.voice import Voice

_COLUMN = {unit.name: unit.index for unit in FEAFA_UNITS}
_FINE = 200
"""Rows per second at which curves are made, before they are smoothed and sampled."""
_FLOOR = 4e-4
"""RMS of the noise of the room, -68 dB."""
MAX_TURN, MAX_SHIFT = 0.2, 0.03
"""Bounds of yaw, pitch and roll in radians, and of the shifts in face heights."""


@dataclass(frozen=True)
class Performance:
    """S samples and T frames of somebody saying something; S = samples_for(T, fps)."""

    audio: np.ndarray
    """float32 (S,) mono 16 kHz in [-1, 1]."""
    aus: np.ndarray
    """float32 (T, 24) in [0, 1], FEAFA's order."""
    pose: np.ndarray
    """float32 (T, 5): yaw, pitch, roll in radians, shift x and y in face heights (see `protocols.synth.figure`)."""
    gaze: np.ndarray
    """float32 (T, 2): yaw, pitch in radians."""
    phonemes: tuple[Phoneme, ...]
    """What is heard, from 0 s to the end of the clip."""
    text: str


def perform(
    text: str, emotion: str, level: int, voice: Voice, seed: int, fps: float = 25.0, num_frames: int | None = None
) -> Performance:
    """Say a text with an emotion. Equal arguments give equal arrays.

    Args:
        text: any English sentence in letters; `text.TRAIN_SENTENCES` and `text.TEST_SENTENCES` are made for it.
        emotion: one of `emotions.EMOTIONS`.
        level: 1 to 3; 1 if neutral.
        voice: who speaks.
        seed: timing, accents, the variation of the emotion, blinks, gestures, motion; 0 or more.
        fps: frames per second.
        num_frames: T; the sentence is cut, or goes on in silence with the mouth closed. None: until it ends. The
            emotion rises and falls within these frames, so that a short clip shows it too.

    Raises:
        UserError: unknown emotion, a level it does not have, or a text that cannot be said.
    """
    if emotion not in EMOTIONS:
        raise UserError(f"unknown emotion {emotion!r}: take one of {', '.join(EMOTIONS)}")
    levels = (1,) if emotion == "neutral" else tuple(INTENSITY)
    if level not in levels:
        raise UserError(f"{emotion} has no level {level}: take {' or '.join(map(str, levels))}")
    speech = speak(phonemes(text), voice, prosody(emotion, level), seed)
    count = int(np.ceil(len(speech.audio) / SAMPLE_RATE * fps)) if num_frames is None else num_frames
    spoken = _fitted(speech.phonemes, count / fps)
    actor = _Actor(speech, spoken, emotion, level, count / fps, seed)
    at = np.arange(count) / fps
    return Performance(
        audio=_recorded(speech.audio, samples_for(count, fps), np.random.default_rng([seed, 2])),
        aus=_sampled(np.clip(actor.aus(), 0, 1), at),
        pose=_sampled(actor.pose(), at),
        gaze=_sampled(actor.gaze(), at),
        phonemes=spoken,
        text=text,
    )


def _fitted(spoken: tuple[Phoneme, ...], seconds: float) -> tuple[Phoneme, ...]:
    """Phonemes cut at `seconds`, or their last silence drawn out to it."""
    kept = [p for p in spoken if p.start < seconds]
    return (*kept[:-1], Phoneme(kept[-1].symbol, kept[-1].start, seconds))


def _recorded(audio: np.ndarray, samples: int, rng: np.random.Generator) -> np.ndarray:
    """Sound cut (fading over 5 ms) or drawn out to `samples`, in a room that is never quite silent."""
    fade = SAMPLE_RATE // 200
    heard = np.zeros(samples, np.float32)
    heard[: len(audio)] = audio[:samples]
    if len(audio) > samples:
        heard[-fade:] *= np.linspace(1, 0, fade, dtype=np.float32)
    return (heard + _FLOOR * rng.standard_normal(samples)).clip(-1, 1).astype(np.float32)


def _sampled(fine: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Rows of a fine track at these seconds, float32."""
    where = np.arange(len(fine)) / _FINE
    return np.stack([np.interp(at, where, column) for column in fine.T], axis=1).astype(np.float32)


# -- the mouth ------------------------------------------------------------------------------------------------------

_MOUTH = (
    "jaw_drop", "lip_stretch", "upper_lip_suck", "lower_lip_suck", "upper_lip_raise", "lower_lip_depress",
    "lip_pucker", "jaw_thrust", "chin_raise",
)  # fmt: skip
"""What speech moves; both sides stretch alike."""
# Dominance, then (unit, value) pairs; a second target of a diphthong or the release of a stop is marked with '.
_VISEMES: dict[str, tuple[float, dict[str, float]]] = {
    SILENCE: (2.0, {}),
    "P": (12.0, {"upper_lip_suck": 0.28, "lower_lip_suck": 0.32}),
    "P'": (0.5, {"jaw_drop": 0.2}),
    "F": (5.0, {"jaw_drop": 0.06, "lower_lip_suck": 0.55, "upper_lip_raise": 0.28}),
    "TH": (1.0, {"jaw_drop": 0.18, "lower_lip_depress": 0.22}),
    "T": (0.7, {"jaw_drop": 0.14, "lip_stretch": 0.12, "lower_lip_depress": 0.2}),
    "S": (1.5, {"jaw_drop": 0.06, "lip_stretch": 0.42, "lower_lip_depress": 0.3}),
    "SH": (2.0, {"jaw_drop": 0.12, "lip_pucker": 0.45, "jaw_thrust": 0.22, "lower_lip_depress": 0.3,
                 "upper_lip_raise": 0.18}),
    "K": (0.5, {"jaw_drop": 0.2}),
    "R": (1.0, {"jaw_drop": 0.15, "lip_pucker": 0.35}),
    "L": (0.7, {"jaw_drop": 0.22, "lower_lip_depress": 0.12}),
    "W": (3.0, {"jaw_drop": 0.08, "lip_pucker": 0.88}),
    "Y": (1.0, {"jaw_drop": 0.12, "lip_stretch": 0.38}),
    "HH": (0.3, {"jaw_drop": 0.25}),
    "IY": (1.2, {"jaw_drop": 0.2, "lip_stretch": 0.55, "lower_lip_depress": 0.2}),
    "IH": (1.0, {"jaw_drop": 0.3, "lip_stretch": 0.3, "lower_lip_depress": 0.15}),
    "EH": (1.0, {"jaw_drop": 0.45, "lip_stretch": 0.22, "lower_lip_depress": 0.25}),
    "AE": (1.2, {"jaw_drop": 0.62, "lip_stretch": 0.32, "lower_lip_depress": 0.3, "upper_lip_raise": 0.12}),
    "AA": (1.2, {"jaw_drop": 0.78, "lower_lip_depress": 0.22}),
    "AH": (1.0, {"jaw_drop": 0.5, "lower_lip_depress": 0.15}),
    "AO": (1.2, {"jaw_drop": 0.58, "lip_pucker": 0.42}),
    "UH": (1.0, {"jaw_drop": 0.3, "lip_pucker": 0.5}),
    "UW": (1.5, {"jaw_drop": 0.2, "lip_pucker": 0.9}),
    "ER": (1.0, {"jaw_drop": 0.3, "lip_pucker": 0.38}),
    "AY": (1.2, {"jaw_drop": 0.75, "lower_lip_depress": 0.2}),
    "AY'": (1.0, {"jaw_drop": 0.32, "lip_stretch": 0.38}),
    "AW": (1.2, {"jaw_drop": 0.75, "lower_lip_depress": 0.15}),
    "AW'": (1.2, {"jaw_drop": 0.3, "lip_pucker": 0.7}),
    "EY": (1.0, {"jaw_drop": 0.46, "lip_stretch": 0.3, "lower_lip_depress": 0.22}),
    "EY'": (1.0, {"jaw_drop": 0.28, "lip_stretch": 0.45}),
    "OW": (1.2, {"jaw_drop": 0.48, "lip_pucker": 0.55}),
    "OW'": (1.2, {"jaw_drop": 0.26, "lip_pucker": 0.82}),
    "OY": (1.2, {"jaw_drop": 0.5, "lip_pucker": 0.6}),
    "OY'": (1.0, {"jaw_drop": 0.28, "lip_stretch": 0.38}),
}  # fmt: skip
_SAME_MOUTH = {
    **{"B": "P", "M": "P", "B'": "P'", "V": "F", "DH": "TH", "D": "T", "N": "T", "T'": "T", "D'": "T", "Z": "S"},
    **{"ZH": "SH", "CH": "SH", "JH": "SH", "CH'": "SH", "JH'": "SH", "G": "K", "NG": "K", "K'": "K", "G'": "K"},
}
_BEFORE, _AFTER = 0.038, 0.03
"""Seconds over which a target's dominance falls to 1/e ahead of its phoneme and behind it."""


def _viseme(symbol: str) -> tuple[float, dict[str, float]]:
    return _VISEMES[_SAME_MOUTH.get(symbol, symbol)]


def _mouth(spoken: tuple[Phoneme, ...], seconds: np.ndarray) -> dict[str, np.ndarray]:
    """Curves of `_MOUTH`, each float (N,), and the shares `closure` (bilabials, silence) and `silence` in [0, 1]."""
    names = (*_MOUTH, "closure", "silence")
    total, weights = np.zeros((len(seconds), len(names))), np.zeros((len(seconds), 1))
    for phoneme in spoken:
        size = 0.8 if phoneme.symbol.endswith("0") else 1.0
        for part in parts(phoneme):
            dominance, target = _viseme(part.symbol)
            away = np.maximum((part.start - seconds) / _BEFORE, (seconds - part.end) / _AFTER).clip(min=0)
            weight = (dominance * np.exp(-(away**2)))[:, None]
            silent = part.symbol == SILENCE
            closed = silent or part.symbol in ("P", "B", "M")
            total += weight * [*(size * target.get(name, 0.0) for name in _MOUTH), closed, silent]
            weights += weight
    return dict(zip(names, (total / weights).T, strict=True))


# -- the emotions ---------------------------------------------------------------------------------------------------

# Units at full strength; a name without side is both. Units in the second part are left out now and then.
_FACES: dict[str, tuple[dict[str, float], dict[str, float]]] = {
    "neutral": ({}, {}),
    "angry": (
        {"brow_lower": 1.0, "lid_raise": 0.45, "lower_lip_depress": 0.4, "chin_raise": 0.35},
        {"nose_wrinkle": 0.35, "jaw_thrust": 0.5, "upper_lip_raise": 0.3},
    ),
    "contempt": (
        {"lip_corner_left": 1.0, "brow_raise_left": 0.55, "eye_close_right": 0.3},
        {"lip_stretch_left": 0.35, "chin_raise": 0.35, "brow_lower_right": 0.3, "jaw_left": 0.25},
    ),
    "disgusted": (
        {"nose_wrinkle": 1.0, "upper_lip_raise": 0.85, "brow_lower": 0.5, "eye_close": 0.35},
        {"lower_lip_depress": 0.35, "chin_raise": 0.4},
    ),
    "fear": (
        {"brow_raise": 0.65, "brow_lower": 0.45, "lid_raise": 0.95, "lip_stretch": 0.8},
        {"lower_lip_depress": 0.35},
    ),
    "happy": (
        {"lip_corner": 1.0, "eye_close": 0.35},
        {"upper_lip_raise": 0.25, "brow_raise": 0.25, "cheek_puff": 0.15},
    ),
    "sad": (
        {"chin_raise": 0.9, "eye_close": 0.42, "brow_lower": 0.35, "lower_lip_suck": 0.25},
        {"lip_pucker": 0.25, "lip_stretch": 0.2},
    ),
    "surprised": ({"brow_raise": 1.0, "lid_raise": 0.9, "jaw_drop": 0.45}, {"lip_pucker": 0.15}),
}
_EFFORT = {"angry": 0.2, "happy": 0.12, "surprised": 0.2, "fear": -0.05, "sad": -0.25, "contempt": -0.15}
"""Added to the size of the mouth's movements at full strength."""
_GESTURES = (
    "jaw_left", "jaw_right", "jaw_thrust", "cheek_puff", "upper_lip_suck", "lower_lip_suck", "nose_wrinkle",
    "chin_raise", "lip_pucker", "lip_corner_left", "lip_corner_right", "brow_raise_left", "brow_raise_right",
)  # fmt: skip
"""What people do now and then whatever they feel."""
_WHILE_SPEAKING = frozenset({"jaw_left", "jaw_right", "nose_wrinkle", "brow_raise_left", "brow_raise_right"})
"""Gestures that do not disturb speech; the others wait for a silence."""


def _rise(seconds: np.ndarray, start: float, length: float) -> np.ndarray:
    """From 0 before `start` to 1 after `start + length`, smoothly."""
    u = np.clip((seconds - start) / length, 0, 1)
    return u * u * (3 - 2 * u)


def _hill(seconds: np.ndarray, centre: float, length: float) -> np.ndarray:
    """From 0 to 1 and back within `length`, smoothly."""
    return np.cos(np.pi * np.clip((seconds - centre) / length, -0.5, 0.5)) ** 2


class _Actor:
    """Draws every curve of one performance, float64 with N rows, 200 per second. Each kind of curve has random numbers of
    its own, so that none depends on how many another drew."""

    def __init__(self, speech: Speech, spoken: tuple[Phoneme, ...], emotion: str, level: int, length: float, seed: int):
        self._seed, self._emotion, self._spoken, self._length = seed, emotion, spoken, length
        self._accents = [(at, strength) for at, strength in speech.accents if at < length]
        self._seconds = np.arange(int(np.ceil(length * _FINE)) + 1) / _FINE
        self._peak = 0.0 if emotion == "neutral" else INTENSITY[level]
        self._envelope = self._episodes()

    def _rng(self, stream: int) -> np.random.Generator:
        return np.random.default_rng([self._seed, 10 + stream])

    def _episodes(self) -> np.ndarray:
        """(N,) in [0, 1]: one or two episodes of onset, apex and offset."""
        rng, t, length = self._rng(0), self._seconds, self._length
        onset, offset = rng.uniform(0.25, 0.45, 2)
        starts_expressive = rng.random() < 1 / 3
        rest = rng.uniform(0.02, 0.12)
        if starts_expressive:
            shape = 1 - _rise(t, length - offset - rng.uniform(0.05, 0.25), offset)
        else:
            shape = _rise(t, rng.uniform(0.0, 0.12) * length, onset)
            if rng.random() < 0.5:
                shape = shape * (1 - _rise(t, length - offset - rng.uniform(0.0, 0.15), offset))
        if length > 2.2 and rng.random() < 0.4:
            shape = shape * (1 - rng.uniform(0.5, 0.8) * _hill(t, rng.uniform(0.45, 0.6) * length, 0.7))
        apex = 1 - 0.12 * rng.random() * (1 + np.sin(2 * np.pi * rng.uniform(0.4, 0.9) * t + rng.uniform(0, 6)))
        return rest + (1 - rest) * shape * apex

    # -- Action Units -----------------------------------------------------------------------------------------------

    def aus(self) -> np.ndarray:
        """(N, 24)."""
        rng, t = self._rng(1), self._seconds
        effort = (1 + self._peak * _EFFORT.get(self._emotion, 0.0) * self._envelope) * rng.uniform(0.9, 1.08)
        mouth = _mouth(self._spoken, t)
        feeling = self._feeling(rng)
        for index, curve in self._gestures(mouth["silence"]):
            feeling[:, index] = np.maximum(feeling[:, index], curve)
        speaking = self._shaped(mouth, effort, rng)
        self._give_way(feeling, mouth)
        both = smooth(speaking + feeling - speaking * feeling, 9)
        self._blink(both)
        return both

    def _feeling(self, rng: np.random.Generator) -> np.ndarray:
        """(N, 24): the emotion's units, a little different in every clip, and brows that move with accents."""
        sure, maybe = _FACES[self._emotion]
        strengths = {**sure, **{name: value for name, value in maybe.items() if rng.random() < 0.7}}
        mirrored = self._emotion == "contempt" and rng.random() < 0.5
        curves = np.zeros((len(self._seconds), 24))
        for name, value in strengths.items():
            value = self._peak * value * rng.uniform(0.82, 1.05)
            for side in _sides(name):
                side = _mirror(side) if mirrored else side
                curves[:, _COLUMN[side]] = min(value * rng.uniform(0.9, 1.05), 1.0) * self._envelope
        for at, strength in self._accents:
            beat = rng.uniform(0.1, 0.3) * strength * (rng.random() < 0.35)
            for side in _sides("brow_raise"):
                column = curves[:, _COLUMN[side]]
                column += beat * (1 - column) * _hill(self._seconds, at, 0.5)
        return curves

    def _shaped(self, mouth: dict[str, np.ndarray], effort: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """(N, 24): speech alone; a wide open jaw drifts a little to the speaker's favourite side."""
        curves = np.zeros((len(self._seconds), 24))
        for name in _MOUTH:
            for side in _sides(name):
                curves[:, _COLUMN[side]] = mouth[name] * (effort if name == "jaw_drop" else 1.0)
        drift = rng.choice(["jaw_left", "jaw_right"])
        curves[:, _COLUMN[drift]] = rng.uniform(0, 0.35) * np.clip(curves[:, _COLUMN["jaw_drop"]] - 0.3, 0, 1)
        return curves

    def _give_way(self, feeling: np.ndarray, mouth: dict[str, np.ndarray]) -> None:
        """Take from the emotion what would open closed lips, spread round ones or round spread ones."""
        rounded, spread, jaw = mouth["lip_pucker"], mouth["lip_stretch"], np.clip(mouth["jaw_drop"], 0, 1)
        free, silence = 1 - mouth["closure"], mouth["silence"]
        kept = {
            "jaw_drop": free,
            "upper_lip_raise": 0.55 * free + 0.45 * silence,
            "lower_lip_depress": 0.7 * free + 0.3 * silence,
            "lip_stretch": 1 - 0.7 * rounded,
            "lip_corner": 1 - 0.35 * rounded,
            "lip_pucker": 1 - 0.8 * spread,
            "chin_raise": 1 - 0.6 * jaw,
            "lower_lip_suck": 1 - 0.6 * jaw,
        }
        for name, share in kept.items():
            for side in _sides(name):
                feeling[:, _COLUMN[side]] *= share

    def _gestures(self, silence: np.ndarray) -> list[tuple[int, np.ndarray]]:
        """Habits as (column, curve): in two clips of three one, at a strength of 0.3 to 0.9 in the first or the last silence,
        or, if it does not disturb speech, at 0.6 of that anywhere."""
        rng, t = self._rng(2), self._seconds
        if rng.random() > 2 / 3:
            return []
        name = rng.choice(_GESTURES)
        strength, length = rng.uniform(0.3, 0.9), rng.uniform(0.35, 0.7)
        if name in _WHILE_SPEAKING:
            return [(_COLUMN[name], 0.6 * strength * _hill(t, rng.uniform(0.2, 0.8) * self._length, length))]
        at = 0.0 if rng.random() < 0.4 else self._length
        return [(_COLUMN[name], strength * _hill(t, at, 2 * length) * smooth(silence, 21) ** 2)]

    def _blink(self, aus: np.ndarray) -> None:
        """Blinks of 0.2 s, some 15 a minute, more when sad or afraid; a closing lid is not raised."""
        rng = self._rng(3)
        rate = 0.25 * (1 + 0.8 * self._peak * (self._emotion in ("sad", "fear")))
        at = rng.exponential(1 / rate)
        while at < self._length:
            lid = np.minimum(_rise(self._seconds, at, 0.07), 1 - _rise(self._seconds, at + 0.09, 0.11))
            for side in ("left", "right"):
                eye, raised = _COLUMN[f"eye_close_{side}"], _COLUMN[f"lid_raise_{side}"]
                aus[:, eye] = np.maximum(aus[:, eye], lid)
                aus[:, raised] *= 1 - lid
            at += 0.35 + rng.exponential(1 / rate)

    # -- head and eyes ----------------------------------------------------------------------------------------------

    def pose(self) -> np.ndarray:
        """(N, 5): slow drift, nods on accents, and the emotion's bearing."""
        rng, t = self._rng(4), self._seconds
        lively = 1 + self._peak * {"angry": 0.6, "happy": 0.6, "surprised": 0.4, "sad": -0.4}.get(self._emotion, 0.0)
        size = np.array([0.06, 0.035, 0.03, 0.008, 0.006]) * lively
        motion = size * np.stack([_drift(t, rng) for _ in range(5)], axis=1)
        motion[:, :3] += rng.normal(0, [0.04, 0.02, 0.02])
        for at, strength in self._accents:
            motion[:, 1] -= 0.045 * lively * strength * rng.uniform(0.4, 1) * _hill(t, at + 0.04, 0.45)
        bearing = np.array(_BEARING[self._emotion]) * rng.choice([-1, 1], 5) ** np.array([1, 0, 1, 1, 0])
        motion += (self._peak * self._envelope)[:, None] * bearing * rng.uniform(0.7, 1.2)
        if self._emotion == "fear":
            motion[:, 0] += 0.008 * self._peak * np.sin(2 * np.pi * 5 * t + rng.uniform(0, 6))
        bound = np.array([MAX_TURN] * 3 + [MAX_SHIFT] * 2)
        return bound * np.tanh(motion / bound)

    def gaze(self) -> np.ndarray:
        """(N, 2): fixations of 0.5 to 1.6 s near the camera, the emotion's direction, quick turns between them."""
        rng, t = self._rng(5), self._seconds
        away = np.array(_GLANCE[self._emotion]) * np.array([rng.choice([-1, 1]), 1])
        gaze, at = np.zeros((len(t), 2)), 0.0
        while at < self._length:
            target = rng.normal(0, [0.07, 0.04]) + self._peak * away * rng.uniform(0.3, 1)
            gaze[t >= at] = target
            at += rng.uniform(0.5, 1.6)
        return smooth(np.clip(gaze, -0.35, 0.35), 11)


_BEARING = {
    "neutral": (0.0, 0.0, 0.0, 0.0, 0.0), "angry": (0.0, -0.07, 0.0, 0.0, 0.0), "contempt": (0.06, 0.08, 0.07, 0.0, 0.0),
    "disgusted": (0.11, 0.0, 0.05, 0.006, 0.0), "fear": (0.05, 0.05, 0.0, 0.0, -0.008), "happy": (0.0, 0.03, 0.06, 0.0, 0.0),
    "sad": (0.0, -0.12, 0.05, 0.0, -0.01), "surprised": (0.0, 0.06, 0.0, 0.0, 0.008),
}  # fmt: skip
"""Pose added at full strength; the signs of yaw, roll and shift x are drawn."""
_GLANCE = {
    "neutral": (0.0, 0.0), "angry": (0.0, 0.0), "contempt": (0.2, -0.05), "disgusted": (0.12, -0.05),
    "fear": (0.12, 0.03), "happy": (0.0, 0.0), "sad": (0.05, -0.18), "surprised": (0.0, 0.03),
}  # fmt: skip
"""Gaze at full strength; the sign of yaw is drawn."""


def _sides(name: str) -> tuple[str, ...]:
    return (name,) if name in _COLUMN else (f"{name}_left", f"{name}_right")


def _mirror(name: str) -> str:
    if name.endswith("_left"):
        return name.removesuffix("left") + "right"
    return name.removesuffix("right") + "left" if name.endswith("_right") else name


def _drift(seconds: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Smooth noise of about unit size, slower than 1 Hz."""
    rates, phases = rng.uniform(0.12, 0.9, 3), rng.uniform(0, 2 * np.pi, 3)
    return np.sin(2 * np.pi * np.outer(seconds, rates) + phases) @ (rng.uniform(0.5, 1, 3) / (1 + rates))
