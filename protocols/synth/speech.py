"""Phonemes to sound: timing, prosody and formant synthesis at 16 kHz.

A cascade formant synthesiser after Klatt (1980, "Software for a cascade/parallel formant synthesizer"), with formant
frequencies of vowels near Peterson and Barney (1952). Two simplifications make it some hundred times faster than real
time in numpy: control tracks move in steps of 5 ms, and the vocal tract of each step filters a Hann-windowed excerpt of
the excitation in the frequency domain, neighbouring steps cross-fading. Consonants are closures, bursts and shaped
noise; what is said is not always understood, but every class of phoneme sounds like itself, at its time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.media.clip import SAMPLE_RATE
from protocols.synth.text import SILENCE
from protocols.synth.voice import Voice

STEP = 80
"""Samples between two values of a control track: 5 ms."""
STEPS_PER_SECOND = SAMPLE_RATE // STEP
_RESPONSE = 8 * STEP
"""Samples kept of the answer of the vocal tract to one step: 30 ms beyond the excerpt, where a 70 Hz band is at -57 dB."""
_LOUDNESS = 0.055
"""RMS of neutral speech where it is not silent, full scale 1."""
_BURST_RELEASE = 0.65
"""Share of a stop that is closure; the rest is burst and aspiration."""


@dataclass(frozen=True)
class Phoneme:
    """One sound and when it is heard."""

    symbol: str
    """ARPAbet with stress digit, or `SIL`."""
    start: float
    """Seconds."""
    end: float
    """Seconds."""


@dataclass(frozen=True)
class Prosody:
    """How something is said; the defaults are neutral."""

    shift: float = 0.0
    """Semitones on the mean pitch."""
    span: float = 1.0
    """Factor on the range of pitch."""
    rate: float = 1.0
    """Factor on the speed."""
    gain_db: float = 0.0
    """Loudness."""
    breath: float = 0.0
    """Added to the voice's breathiness."""
    brightness: float = 0.0
    """Added to the voice's brightness."""
    jitter: float = 0.006
    """Standard deviation of the pitch from step to step, as a share of it."""
    tremor: float = 0.0
    """Semitones the pitch wavers by at 6 Hz."""
    final: float = -0.4
    """Where the pitch goes over the last 0.35 s, in ranges of pitch: below 0 a statement, above 0 a question."""
    smile: float = 0.0
    """Share by which spread lips raise the formants."""


_NEUTRAL = Prosody()
# Fields in the order above: shift, span, rate, gain_db, breath, brightness, jitter, tremor, final, smile.
_FULL = {
    "neutral": _NEUTRAL,
    "angry": Prosody(3.0, 1.7, 1.12, 5.0, -0.1, 0.9, 0.018, 0.0, -0.7, 0.0),
    "contempt": Prosody(-1.5, 0.75, 0.88, -0.5, 0.0, 0.2, 0.02, 0.0, -0.8, 0.02),
    "disgusted": Prosody(-2.5, 1.2, 0.8, 1.5, 0.1, -0.5, 0.03, 0.0, -0.5, -0.03),
    "fear": Prosody(6.0, 0.8, 1.22, -1.5, 0.35, 0.1, 0.02, 0.9, 0.1, 0.01),
    "happy": Prosody(4.0, 1.9, 1.06, 3.5, 0.05, 0.5, 0.006, 0.0, 0.2, 0.05),
    "sad": Prosody(-2.0, 0.45, 0.78, -5.0, 0.4, -0.8, 0.01, 0.15, -0.3, -0.02),
    "surprised": Prosody(5.5, 2.2, 0.96, 2.5, 0.15, 0.2, 0.006, 0.0, 1.0, 0.0),
}
INTENSITY = {1: 0.4, 2: 0.65, 3: 0.95}
"""How far a level goes toward the full emotion, in voice and face alike."""


@dataclass(frozen=True)
class Speech:
    """A sentence, said."""

    audio: np.ndarray
    """float32 (S,), mono 16 kHz, within (-1, 1); S is a multiple of 80, at most 5 ms longer than the phonemes."""
    phonemes: tuple[Phoneme, ...]
    """In order, without gaps, from 0 s to the end."""
    accents: tuple[tuple[float, float], ...]
    """(second, strength in [0, 1]) of every stressed vowel."""


@dataclass(frozen=True)
class Tracks:
    """What the synthesiser follows, one value every 5 ms."""

    f0: np.ndarray
    """float (N,) Hz."""
    formants: np.ndarray
    """float (N, 3) Hz: F1 to F3 of an average man's vocal tract."""
    voicing: np.ndarray
    """float (N,) amplitude of the glottal pulses."""
    aspiration: np.ndarray
    """float (N,) amplitude of noise at the glottis."""
    frication: np.ndarray
    """float (N, 3): amplitude, centre in Hz and width in Hz of noise made in the mouth."""
    nasality: np.ndarray
    """float (N,) in [0, 1]: wider and lower first formant, weak second."""


# -- the sounds -----------------------------------------------------------------------------------------------------

FORMANTS: dict[str, tuple[int, int, int]] = {
    "AA": (730, 1090, 2440), "AE": (660, 1720, 2410), "AH": (620, 1190, 2390), "AO": (570, 840, 2410),
    "EH": (530, 1840, 2480), "ER": (490, 1350, 1690), "IH": (390, 1990, 2550), "IY": (280, 2290, 3010),
    "UH": (440, 1020, 2240), "UW": (300, 870, 2240),
    "AW": (700, 1200, 2450), "AW'": (420, 900, 2300), "AY": (700, 1150, 2450), "AY'": (380, 2050, 2600),
    "EY": (500, 1900, 2500), "EY'": (340, 2200, 2750), "OW": (520, 900, 2350), "OW'": (360, 820, 2250),
    "OY": (540, 850, 2400), "OY'": (380, 1950, 2550),
    "P": (260, 850, 2150), "F": (300, 1050, 2200), "TH": (300, 1350, 2500), "T": (260, 1750, 2600),
    "SH": (270, 1850, 2450), "K": (260, 2000, 2300), "W": (290, 650, 2200), "Y": (260, 2200, 3000),
    "R": (330, 1100, 1500), "L": (360, 1050, 2800),
}  # fmt: skip
"""F1 to F3 in Hz; a second target with ' ends a diphthong. A consonant stands for all made at the same place."""
_PLACE = {
    **{"B": "P", "M": "P", "V": "F", "DH": "TH", "D": "T", "N": "T", "S": "T", "Z": "T"},
    **{"ZH": "SH", "CH": "SH", "JH": "SH", "G": "K", "NG": "K"},
}
_SPLIT = {
    **{stop: ((stop, _BURST_RELEASE), (f"{stop}'", 1 - _BURST_RELEASE)) for stop in "PBTDKG"},
    **{affricate: ((affricate, 0.4), (f"{affricate}'", 0.6)) for affricate in ("CH", "JH")},
    **{diphthong: ((diphthong, 0.5), (f"{diphthong}'", 0.5)) for diphthong in ("AW", "AY", "EY", "OW", "OY")},
}
_SECONDS = {
    **{"AA": 0.125, "AE": 0.13, "AH": 0.095, "AO": 0.125, "EH": 0.105, "ER": 0.115, "IH": 0.09, "IY": 0.115},
    **{"UH": 0.1, "UW": 0.12, "AW": 0.16, "AY": 0.16, "EY": 0.145, "OW": 0.15, "OY": 0.18},
    **{"P": 0.1, "B": 0.085, "T": 0.085, "D": 0.07, "K": 0.09, "G": 0.08, "CH": 0.11, "JH": 0.1, "M": 0.08},
    **{"N": 0.065, "NG": 0.08, "F": 0.1, "V": 0.07, "TH": 0.09, "DH": 0.055, "S": 0.105, "Z": 0.08, "SH": 0.11},
    **{"ZH": 0.08, "HH": 0.06, "L": 0.07, "R": 0.07, "W": 0.075, "Y": 0.065, SILENCE: 0.18},
}
_UNSTRESSED, _FINAL_LENGTHENING = 0.72, 1.35
# Amplitudes of voicing, aspiration and frication, then centre and width of the frication in Hz.
_EXCITATION = {
    **{name: (0.0, 0.0, 0.0, 3000, 2000) for name in (SILENCE, "P", "T", "K", "CH")},
    **{name: (0.10, 0.0, 0.0, 3000, 2000) for name in ("B", "D", "G", "JH")},
    **{"P'": (0.0, 0.5, 0.5, 900, 900), "T'": (0.0, 0.4, 0.8, 4500, 1500), "K'": (0.0, 0.5, 0.7, 2100, 700)},
    **{"B'": (0.5, 0.0, 0.4, 900, 900), "D'": (0.5, 0.0, 0.6, 4000, 1500), "G'": (0.5, 0.0, 0.5, 2000, 700)},
    **{"F": (0.0, 0.0, 0.22, 5000, 4000), "TH": (0.0, 0.0, 0.17, 6000, 3000), "S": (0.0, 0.0, 0.65, 6000, 1200)},
    **{"SH": (0.0, 0.0, 0.7, 3300, 900), "CH'": (0.0, 0.0, 0.8, 3500, 1000), "HH": (0.0, 0.9, 0.0, 3000, 2000)},
    **{"V": (0.4, 0.0, 0.12, 5000, 4000), "DH": (0.45, 0.0, 0.1, 6000, 3000), "Z": (0.35, 0.0, 0.4, 6000, 1200)},
    **{"ZH": (0.35, 0.0, 0.4, 3300, 900), "JH'": (0.35, 0.0, 0.5, 3500, 1000)},
    **{name: (0.6, 0.0, 0.0, 3000, 2000) for name in ("M", "N", "NG", "L", "R", "W", "Y")},
}
_VOWEL = (1.0, 0.0, 0.0, 3000, 2000)
_UPPER_FORMANTS = ((3500.0, 200.0), (4500.0, 260.0))
_BANDWIDTHS = (70.0, 90.0, 140.0)


def kind(symbol: str) -> str:
    """A phoneme without its stress digit: `AH0` is an `AH`."""
    return symbol.rstrip("012")


def parts(phoneme: Phoneme) -> list[Phoneme]:
    """The stretches with one target each: closure and release of a stop, both ends of a diphthong (the second marked
    with '), otherwise the phoneme; symbols without stress."""
    at, found = phoneme.start, []
    for symbol, share in _SPLIT.get(kind(phoneme.symbol), ((kind(phoneme.symbol), 1.0),)):
        end = at + share * (phoneme.end - phoneme.start)
        found.append(Phoneme(symbol, at, end))
        at = end
    return found


# -- timing and prosody ---------------------------------------------------------------------------------------------


def prosody(emotion: str, level: int) -> Prosody:
    """How an emotion (one of `emotions.EMOTIONS`) sounds at a level of 1 to 3; neutral is the same at any."""
    weight = 0.0 if emotion == "neutral" else INTENSITY[level]
    full = _FULL[emotion]
    return Prosody(*(n + weight * (f - n) for n, f in zip(vars(_NEUTRAL).values(), vars(full).values(), strict=True)))


def timed(symbols: list[str], rate: float, rng: np.random.Generator) -> tuple[Phoneme, ...]:
    """Give every phoneme its time: inherent duration, shorter unstressed, longer before a pause, divided by `rate`.

    The silences at both ends last 0.15 to 0.3 s whatever the rate.
    """
    placed, at = [], 0.0
    for i, symbol in enumerate(symbols):
        if i in (0, len(symbols) - 1):
            seconds = rng.uniform(0.15, 0.3)
        else:
            seconds = _SECONDS[kind(symbol)] * rng.uniform(0.93, 1.07) / rate
            seconds *= _UNSTRESSED if symbol.endswith("0") else 1.0
            seconds *= _FINAL_LENGTHENING if SILENCE in symbols[i + 1 : i + 3] and symbol != SILENCE else 1.0
        placed.append(Phoneme(symbol, at, at + seconds))
        at += seconds
    return tuple(placed)


def accents_of(spoken: tuple[Phoneme, ...], rng: np.random.Generator) -> tuple[tuple[float, float], ...]:
    """Every stressed vowel as (second, strength); one of them carries the sentence's focus and has strength 1."""
    stressed = [(p.start + p.end) / 2 for p in spoken if p.symbol.endswith("1")]
    strengths = rng.uniform(0.35, 0.8, len(stressed))
    if stressed:
        strengths[rng.integers(len(stressed))] = 1.0
    return tuple(zip(stressed, map(float, strengths), strict=True))


def contour(
    seconds: np.ndarray,
    span: tuple[float, float],
    accents: tuple[tuple[float, float], ...],
    voice: Voice,
    manner: Prosody,
    rng: np.random.Generator,
) -> np.ndarray:
    """Pitch in Hz at `seconds`: declination over the spoken `span`, a hill on every accent, a fall or rise at the end.

    In semitones around the voice's mean, so that a wider range raises the hills and not the mean.
    """
    u = np.clip((seconds - span[0]) / (span[1] - span[0]), 0, 1)
    shape = 0.3 - 0.6 * u
    for at, strength in accents:
        shape += 0.7 * strength * (np.exp(-(((seconds - at) / 0.07) ** 2)) - 0.25)
    shape += manner.final * np.clip((seconds - span[1]) / 0.35 + 1, 0, 1) ** 2
    wobble = manner.tremor * np.sin(2 * np.pi * 6 * seconds + rng.uniform(0, 2 * np.pi))
    semitones = manner.shift + voice.f0_range * manner.span * shape + wobble
    jitter = 1 + manner.jitter * rng.standard_normal(len(seconds))
    return np.clip(voice.f0_hz * 2 ** (semitones / 12) * jitter, 50, 600)


def speak(symbols: list[str], voice: Voice, manner: Prosody, seed: int) -> Speech:
    """Say phonemes, `SIL` first and last (see `text.phonemes`). Equal arguments give equal sound.

    Loudness is the same for every sentence and voice: an RMS of 0.055 outside silences, moved by `manner.gain_db`.
    """
    rng = np.random.default_rng([seed, 1])
    spoken = timed(symbols, voice.rate * manner.rate, rng)
    accents = accents_of(spoken, rng)
    tracks = _tracks(spoken, accents, voice, manner, rng)
    audio = synthesise(tracks, voice, manner, rng)
    audible = np.repeat(tracks.voicing + tracks.aspiration + tracks.frication[:, 0] > 0.02, STEP)
    level = np.sqrt(np.mean(audio[audible] ** 2))
    audio = _limited(audio * (_LOUDNESS * 10 ** (manner.gain_db / 20) / level))
    return Speech(audio.astype(np.float32), spoken, accents)


def _limited(audio: np.ndarray) -> np.ndarray:
    """Rounds off what is above 0.7, so that the rare high peak stays below 1."""
    over = np.maximum(np.abs(audio) - 0.7, 0)
    return np.sign(audio) * (np.minimum(np.abs(audio), 0.7) + 0.3 * np.tanh(over / 0.3))


# -- tracks ---------------------------------------------------------------------------------------------------------


def _tracks(
    spoken: tuple[Phoneme, ...],
    accents: tuple[tuple[float, float], ...],
    voice: Voice,
    manner: Prosody,
    rng: np.random.Generator,
) -> Tracks:
    """Targets of every part of every phoneme, held and then smoothed: formants glide over 60 ms, amplitudes over 20."""
    steps = int(np.ceil(spoken[-1].end * STEPS_PER_SECOND))
    seconds = (np.arange(steps) + 0.5) / STEPS_PER_SECOND
    pieces = [(part, phoneme.symbol.endswith("0")) for phoneme in spoken for part in parts(phoneme)]
    which = np.searchsorted([part.end for part, _ in pieces], seconds).clip(max=len(pieces) - 1)
    names = [part.symbol for part, _ in pieces]
    source = np.array([_EXCITATION.get(name, _VOWEL) for name in names], float)
    source[:, :3] *= np.array([[0.75 if unstressed else 1.0] for _, unstressed in pieces])
    held = source[which]
    amplitudes = smooth(held[:, :3], 5)
    nasal = np.array([name in ("M", "N", "NG") for name in names], float)[which]
    return Tracks(
        f0=contour(seconds, (spoken[0].end, spoken[-1].start), accents, voice, manner, rng),
        formants=smooth(_formant_targets(names)[which], 13),
        voicing=amplitudes[:, 0],
        aspiration=amplitudes[:, 1],
        frication=np.column_stack([amplitudes[:, 2], held[:, 3:]]),
        nasality=smooth(nasal, 7),
    )


def _formant_targets(names: list[str]) -> np.ndarray:
    """float (P, 3) Hz; `HH` and silence have no place of their own and take that of the next sound that has."""
    known, targets = FORMANTS["AH"], []
    for name in reversed(names):
        bare = name.rstrip("'")
        known = FORMANTS.get(name) or FORMANTS.get(_PLACE.get(bare, bare)) or known
        targets.append(known)
    return np.array(targets[::-1], float)


def smooth(track: np.ndarray, width: int) -> np.ndarray:
    """A track (N,) or (N, K) averaged over `width` steps (odd) with a Hann window, its ends held."""
    window = np.hanning(width + 2)[1:-1]
    window /= window.sum()
    padded = np.pad(track, [(width // 2, width // 2)] + [(0, 0)] * (track.ndim - 1), mode="edge")
    return sum(weight * padded[i : i + len(track)] for i, weight in enumerate(window))


# -- synthesis ------------------------------------------------------------------------------------------------------


def synthesise(tracks: Tracks, voice: Voice, manner: Prosody, rng: np.random.Generator) -> np.ndarray:
    """Sound of the tracks, float64 (N * 80,) at 16 kHz; its level is arbitrary."""
    pulses = _pulses(tracks.f0)
    noise = rng.standard_normal(len(pulses))
    breath = float(np.clip(voice.breathiness + manner.breath, 0, 1))
    gain_noise = 0.012 * (6 * tracks.aspiration + 2.5 * breath * tracks.voicing)
    excitation = _spread(tracks.voicing * (1 - 0.4 * breath)) * pulses + _spread(gain_noise) * noise
    tract = _tract(tracks, voice.formant_scale * (1 + manner.smile), voice.brightness + manner.brightness)
    voiced = _filtered(excitation, tract)
    hiss = _filtered(_spread(tracks.frication[:, 0]) * rng.standard_normal(len(pulses)), _hiss(tracks.frication))
    return voiced + 0.12 * hiss


def _spread(track: np.ndarray) -> np.ndarray:
    """Values in the middle of every step, drawn as lines between them, one per sample."""
    samples = np.arange(len(track) * STEP)
    return np.interp(samples, np.arange(len(track)) * STEP + STEP / 2, track)


def _pulses(f0: np.ndarray) -> np.ndarray:
    """One unit pulse per period, shared between the two samples next to its true place, equal in power at any pitch."""
    frequency = _spread(f0)
    phase = np.concatenate([[0.0], np.cumsum(frequency) / SAMPLE_RATE])
    before = np.flatnonzero(np.floor(phase[1:]) > np.floor(phase[:-1]))
    # The pulse stands where the phase passes an integer, `late` samples after the sample before.
    late = (np.ceil(phase[before] + 1e-12) - phase[before]) / (phase[before + 1] - phase[before])
    height = np.sqrt(120.0 / frequency[before])
    pulses = np.zeros(len(frequency) + 1)
    np.add.at(pulses, before, (1 - late) * height)
    np.add.at(pulses, before + 1, late * height)
    return pulses[:-1]


def _tract(tracks: Tracks, scale: float, brightness: float) -> np.ndarray:
    """Frequency response of glottis, vocal tract and lips at every step, complex64 (N, F)."""
    z = np.exp(-2j * np.pi * np.fft.rfftfreq(_RESPONSE)).astype(np.complex64)
    source = (1 - 0.97 * z) / ((1 - _pole(120) * z) * (1 - _pole(300) * z) * (1 - _pole(2200 * 2**brightness) * z))
    for frequency, bandwidth in _UPPER_FORMANTS:
        source = source * _resonator(np.array([frequency * scale]), np.array([bandwidth]), z)[0]
    response = np.broadcast_to(source.astype(np.complex64), (len(tracks.f0), len(z)))
    nasality = tracks.nasality
    widening = (1 + 1.5 * nasality, 1 + 3 * nasality, 1 + 1 * nasality)
    for i in range(3):
        response = response * _resonator(tracks.formants[:, i] * scale, _BANDWIDTHS[i] * widening[i], z)
    return response


def _pole(frequency: float) -> float:
    return float(np.exp(-2 * np.pi * frequency / SAMPLE_RATE))


def _resonator(frequency: np.ndarray, bandwidth: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Klatt's digital resonator with unit gain at 0 Hz, complex64 (N, F)."""
    radius = np.exp(-np.pi * bandwidth / SAMPLE_RATE)
    b = (2 * radius * np.cos(2 * np.pi * frequency / SAMPLE_RATE)).astype(np.float32)[:, None]
    c = (-(radius**2)).astype(np.float32)[:, None] * np.ones_like(b)
    return (1 - b - c) / (1 - b * z - c * z * z)


def _hiss(frication: np.ndarray) -> np.ndarray:
    """Spectrum of the noise made in the mouth, float32 (N, F): a hill around its centre."""
    hertz = np.fft.rfftfreq(_RESPONSE, 1 / SAMPLE_RATE).astype(np.float32)
    centre, width = frication[:, 1:2].astype(np.float32), frication[:, 2:3].astype(np.float32)
    return np.exp(-0.5 * ((hertz - centre) / width) ** 2)


def _filtered(excitation: np.ndarray, response: np.ndarray) -> np.ndarray:
    """Filter step n's excerpt (10 ms, Hann, so that neighbours add to 1) with response n and add everything up."""
    steps, overlap = len(response), _RESPONSE // STEP
    padded = np.pad(excitation, (STEP // 2, STEP // 2 + STEP))
    excerpts = np.lib.stride_tricks.sliding_window_view(padded, 2 * STEP)[::STEP][:steps]
    window = np.sin(np.pi * (np.arange(2 * STEP) + 0.5) / (2 * STEP)) ** 2
    spectra = np.fft.rfft((excerpts * window).astype(np.float32), _RESPONSE)
    answers = np.fft.irfft(spectra * response, _RESPONSE).reshape(steps, overlap, STEP)
    total = np.zeros((steps + overlap, STEP))
    for i in range(overlap):
        total[i : i + steps] += answers[:, i]
    return total.reshape(-1)[STEP // 2 : STEP // 2 + steps * STEP]
