"""The synthesiser against measurements of its sound: pitch by autocorrelation, formants by linear prediction."""

import time

import numpy as np
import pytest
from scipy.linalg import solve_toeplitz

from protocols.synth.emotions import EMOTIONS, EXPRESSIONS
from protocols.synth.speech import (
    FORMANTS,
    STEPS_PER_SECOND,
    Phoneme,
    Prosody,
    Tracks,
    kind,
    parts,
    prosody,
    speak,
    synthesise,
)
from protocols.synth.text import SILENCE, TEST_SENTENCES, TRAIN_SENTENCES, phonemes
from protocols.synth.voice import Voice

RATE = 16_000
SENTENCES = TRAIN_SENTENCES[:12]
AVERAGE = Voice()


def sustained(vowel: str, f0: float, voice: Voice, voicing: float = 1.0, aspiration: float = 0.0) -> np.ndarray:
    """Half a second of one vowel."""
    steps = STEPS_PER_SECOND // 2
    one = np.ones(steps)
    frication = np.tile([0.0, 3000.0, 2000.0], (steps, 1))
    formants = np.tile(np.array(FORMANTS[vowel], float), (steps, 1))
    tracks = Tracks(f0 * one, formants, voicing * one, aspiration * one, frication, 0 * one)
    return synthesise(tracks, voice, Prosody(), np.random.default_rng(0))


def autocorrelation(x: np.ndarray, lags: int) -> np.ndarray:
    spectrum = np.abs(np.fft.rfft(x - x.mean(), 2 * len(x))) ** 2
    return np.fft.irfft(spectrum)[:lags]


def pitch(x: np.ndarray, low: float, high: float) -> float:
    """Hz of the strongest autocorrelation between two bounds, refined by a parabola."""
    r = autocorrelation(x, int(RATE / low) + 2)
    first = int(RATE / high)
    k = first + int(np.argmax(r[first:-1]))
    return RATE / (k + 0.5 * (r[k - 1] - r[k + 1]) / (r[k - 1] - 2 * r[k] + r[k + 1]))


def lpc_formants(x: np.ndarray, order: int = 18) -> np.ndarray:
    """Hz of the poles narrower than 400 Hz, by the autocorrelation method after pre-emphasis."""
    x = np.append(x[0], x[1:] - 0.97 * x[:-1]) * np.hamming(len(x))
    r = autocorrelation(x, order + 1)
    poles = np.roots(np.concatenate([[1.0], -solve_toeplitz(r[:-1], r[1:])]))
    poles = poles[poles.imag > 0]
    hertz = np.angle(poles) * RATE / (2 * np.pi)
    return np.sort(hertz[(-np.log(np.abs(poles)) * RATE / np.pi < 400) & (hertz > 150)])


def said(text: str, emotion: str = "neutral", level: int = 1, voice: Voice = AVERAGE, seed: int = 0):
    return speak(phonemes(text), voice, prosody(emotion, level), seed)


@pytest.mark.parametrize("f0", [85.0, 120.0, 187.3, 260.0])
def test_pitch_is_the_one_asked_for(f0):
    """Oracle: autocorrelation of the sound, within 1 %."""
    x = sustained("AA", f0, Voice(breathiness=0.1))
    assert pitch(x, f0 / 1.6, f0 * 1.6) == pytest.approx(f0, rel=0.01)


@pytest.mark.parametrize("scale", [1.0, 1.12])
@pytest.mark.parametrize("vowel", ["AA", "AE", "AH", "EH", "IH", "IY", "ER", "UH"])
def test_formants_lie_at_their_targets(vowel, scale):
    """Oracle: linear prediction on a whispered vowel, whose spectrum has no harmonics, within 8 % or 45 Hz."""
    x = sustained(vowel, 100.0, Voice(formant_scale=scale), voicing=0.0, aspiration=1.0)
    found = lpc_formants(x)
    for target in np.array(FORMANTS[vowel][:2]) * scale:
        assert np.abs(found - target).min() < max(0.08 * target, 45), (vowel, target, found)


@pytest.mark.parametrize("vowel", ["AA", "AE", "AH", "AO", "EH", "ER", "IH", "IY", "UH", "UW"])
def test_voiced_formants_are_the_asked_ones_in_order(vowel):
    """Oracle: F1, F2 and F3 by linear prediction of a voice of 100 Hz, within 5 % or half the spacing of its harmonics."""
    found = lpc_formants(sustained(vowel, 100.0, Voice(breathiness=0.0))[3000:6200], order=14)[:3]
    target = np.array(FORMANTS[vowel])
    assert (np.abs(found - target) < np.maximum(0.05 * target, 50)).all(), (found, target)


def test_a_shorter_vocal_tract_moves_the_spectrum_up():
    """Metamorphic: formants scale, pitch does not."""
    low, high = (lpc_formants(sustained("AE", 100, Voice(formant_scale=s), 0.0, 1.0))[:3] for s in (0.95, 1.15))
    assert np.median(high / low) == pytest.approx(1.15 / 0.95, rel=0.04)


def centroid(x: np.ndarray) -> float:
    power = np.abs(np.fft.rfft(x * np.hanning(len(x)))) ** 2
    return float(power @ np.fft.rfftfreq(len(x), 1 / RATE) / power.sum())


def heard(speech, symbols: str) -> list[np.ndarray]:
    """The inner 80 % of every phoneme of these."""
    spans = [(p.start, p.end) for p in speech.phonemes if kind(p.symbol) in symbols.split()]
    return [speech.audio[int((0.9 * a + 0.1 * b) * RATE) : int((0.1 * a + 0.9 * b) * RATE)] for a, b in spans]


def rms(pieces: list[np.ndarray]) -> float:
    return float(np.sqrt(np.mean(np.concatenate(pieces) ** 2)))


def test_brightness_lifts_the_spectrum_and_breath_fills_it():
    """Metamorphic, by the share of power above 4 kHz."""

    def treble(**settings: float) -> float:
        power = np.abs(np.fft.rfft(sustained("AA", 120.0, Voice(**{"breathiness": 0.0, **settings})))) ** 2
        return power[len(power) // 2 :].sum() / power.sum()

    assert treble(brightness=-1.0) < 0.8 * treble() < 0.64 * treble(brightness=1.0)
    assert treble() < 0.8 * treble(breathiness=0.5) < 0.64 * treble(breathiness=1.0)


@pytest.mark.parametrize("voice", [AVERAGE, Voice(210, 8, 1.15, 0.4, 1.1, 0.5), Voice(90, 4, 0.92, 0.0, 0.9, -1.0)])
def test_every_voice_is_equally_loud_and_gain_is_in_decibels(voice):
    """Oracle: RMS outside silences of 0.055, within 1.5 dB (closures count here and not there), and 6 dB less at -6."""
    for i, text in enumerate(SENTENCES[:4]):
        loud, soft = (speak(phonemes(text), voice, Prosody(gain_db=gain), i) for gain in (0.0, -6.0))
        sound = loud.audio[int(loud.phonemes[0].end * RATE) : int(loud.phonemes[-1].start * RATE)]
        assert 20 * np.log10(rms([sound]) / 0.055) == pytest.approx(0, abs=1.5)
        assert 20 * np.log10(rms([soft.audio]) / rms([loud.audio])) == pytest.approx(-6, abs=0.1)
        shouted = speak(phonemes(text), voice, Prosody(gain_db=20.0), i).audio
        assert 0.9 < np.abs(shouted).max() <= 1, "rounded off, not clipped by whoever plays it"


def test_accents_are_the_stressed_vowels_one_of_them_in_focus():
    speech = said(SENTENCES[0])
    middles = [(p.start + p.end) / 2 for p in speech.phonemes if p.symbol.endswith("1")]
    assert [at for at, _ in speech.accents] == middles
    strengths = sorted(strength for _, strength in speech.accents)
    assert strengths[0] > 0 and strengths[-2] < strengths[-1] == 1


def test_classes_of_phonemes_sound_as_they_should():
    """Oracle: phonetics. Hiss lies high, /s/ above /sh/, vowels low; vowels are louder than nasals, nasals than
    closures; silence is silent."""
    speeches = [said(text, seed=i) for i, text in enumerate(TRAIN_SENTENCES)]
    pieces = {
        name: [x for speech in speeches for x in heard(speech, symbols)]
        for name, symbols in {
            "vowel": "AA AE AO", "s": "S", "sh": "SH", "nasal": "M N", "silence": SILENCE, "iy": "IY", "uw": "UW",
        }.items()
    }  # fmt: skip
    closures = [
        speech.audio[int(part.start * RATE) + 240 : int(part.end * RATE) - 160]
        for speech in speeches
        for phoneme in speech.phonemes
        if kind(phoneme.symbol) in ("P", "T", "K")
        for part in parts(phoneme)[:1]
    ]
    high = {name: np.median([centroid(x) for x in pieces[name]]) for name in ("vowel", "s", "sh", "iy", "uw")}
    assert high["s"] > 5000 > high["sh"] > 2500 > 1000 > high["vowel"]
    assert high["iy"] > high["uw"]
    assert rms(pieces["vowel"]) > 2 * rms(pieces["nasal"]) > 4 * rms(closures)
    assert rms(pieces["silence"]) < 0.02 * rms(pieces["vowel"])


def test_phonemes_fill_the_time_without_gaps():
    """Every symbol once, in order, from 0 s to the end of the sound; silences at the ends last 0.15 to 0.3 s."""
    for i, text in enumerate(TEST_SENTENCES):
        speech = said(text, seed=i)
        assert [p.symbol for p in speech.phonemes] == phonemes(text)
        ends = np.array([(p.start, p.end) for p in speech.phonemes])
        assert np.array_equal(ends[1:, 0], ends[:-1, 1]) and ends[0, 0] == 0
        assert 0 <= len(speech.audio) / RATE - ends[-1, 1] < 0.005 + 1e-9
        silences = (ends[:, 1] - ends[:, 0])[[0, -1]]
        assert ((silences >= 0.15 - 1e-9) & (silences <= 0.3 + 1e-9)).all()
        assert all(np.diff([p.start for p in parts(q)] + [q.end]).min() > 0 for q in speech.phonemes)


def test_sentences_last_about_two_to_three_seconds():
    seconds = [len(said(text, seed=i).audio) / RATE for i, text in enumerate(TRAIN_SENTENCES + TEST_SENTENCES)]
    assert min(seconds) > 1.8 and max(seconds) < 3.2


def test_a_word_at_the_end_is_drawn_out():
    """Metamorphic: the same syllable lasts longer before the pause than in the middle."""
    first, last = (np.mean([_length(said("boat boat boat", seed=s), k) for s in range(5)]) for k in (0, 2))
    assert last > 1.2 * first


def _length(speech, which: int) -> float:
    return [p.end - p.start for p in speech.phonemes if p.symbol == "OW1"][which]


def test_parts_of_a_stop_and_of_a_diphthong():
    """Oracle: by hand."""
    assert parts(Phoneme("M", 1.0, 2.0)) == [Phoneme("M", 1.0, 2.0)]
    closure, release = parts(Phoneme("P", 1.0, 2.0))
    assert (closure.symbol, release.symbol) == ("P", "P'") and closure.end == release.start == pytest.approx(1.65)
    assert [p.symbol for p in parts(Phoneme("OY1", 0.0, 0.2))] == ["OY", "OY'"]


@pytest.mark.parametrize(("emotion", "level"), EXPRESSIONS)
def test_sound_is_within_bounds_and_without_clicks(emotion, level):
    """float32 below full scale for extreme voices too; no step between samples beyond what its loudness explains."""
    for i, voice in enumerate((Voice(90, 3, 0.92, 0.0, 0.85, -1.0), Voice(250, 10, 1.22, 0.6, 1.2, 1.0))):
        audio = said(SENTENCES[i], emotion, level, voice, i).audio
        assert audio.dtype == np.float32 and np.isfinite(audio).all() and np.abs(audio).max() < 1
        assert np.mean(np.abs(audio) > 0.7) < 0.002  # 0.7 is where the limiter starts.
        assert np.abs(audio[[0, -1]]).max() < 1e-3


def measured_f0(speech) -> np.ndarray:
    """Hz in windows of 40 ms inside vowels, where the autocorrelation is clear."""
    values = []
    for p in speech.phonemes:
        if p.symbol[-1] in "01" and p.end - p.start > 0.06:
            x = speech.audio[int(p.start * RATE) : int(p.end * RATE)]
            for start in range(0, len(x) - 640, 320):
                values.append(pitch(x[start : start + 640], 70, 420))
    return np.array(values)


def test_emotions_differ_in_measured_prosody():
    """Oracle: what acoustics finds of emotional speech (Scherer, 2003): pitch, its range, loudness and speed against
    neutral, all measured on the sound."""
    stats = {}
    for emotion in EMOTIONS:
        speeches = [said(text, emotion, 1 if emotion == "neutral" else 3, seed=i) for i, text in enumerate(SENTENCES)]
        f0 = [measured_f0(speech) for speech in speeches]
        stats[emotion] = {
            "mean": np.mean([np.median(x) for x in f0]),
            "range": np.mean([12 * np.log2(np.percentile(x, 90) / np.percentile(x, 10)) for x in f0]),
            "loud": np.mean([rms([speech.audio]) for speech in speeches]),
            "slow": np.mean([speech.phonemes[-1].start - speech.phonemes[0].end for speech in speeches]),
        }
    value = {key: {emotion: stats[emotion][key] for emotion in EMOTIONS} for key in ("mean", "range", "loud", "slow")}
    assert min(value["loud"][e] for e in ("angry", "happy")) > value["loud"]["neutral"] > value["loud"]["sad"]
    assert min(value["range"][e] for e in ("angry", "happy", "surprised")) > value["range"]["neutral"]
    assert value["range"]["neutral"] > value["range"]["sad"]
    assert min(value["mean"][e] for e in ("fear", "happy", "surprised")) > 1.1 * value["mean"]["neutral"]
    assert value["mean"]["sad"] < value["mean"]["neutral"]
    assert value["slow"]["fear"] < value["slow"]["neutral"] < value["slow"]["sad"]


def test_a_shift_moves_the_pitch_by_semitones():
    """Oracle: autocorrelation, 7 semitones within 0.3; no melody, no jitter."""
    low, high = (speak(phonemes(SENTENCES[0]), AVERAGE, Prosody(shift=s, span=0, jitter=0), 0) for s in (0, 7))
    assert np.median(measured_f0(low)) == pytest.approx(AVERAGE.f0_hz, rel=0.02)
    assert 12 * np.log2(np.median(measured_f0(high)) / np.median(measured_f0(low))) == pytest.approx(7, abs=0.3)


@pytest.mark.parametrize("emotion", EMOTIONS[1:])
def test_a_level_goes_further_than_the_one_below(emotion):
    """Every setting lies between neutral and full emotion, in the order of the levels."""
    settings = np.array([list(vars(p).values()) for p in (Prosody(), *(prosody(emotion, n) for n in (1, 2, 3)))])
    steps = np.diff(settings, axis=0)
    assert ((steps >= 0).all(axis=0) | (steps <= 0).all(axis=0)).all()
    assert np.abs(steps).sum(axis=1).min() > 0


def test_equal_arguments_give_equal_sound_and_seeds_differ():
    one, same, other = (said(SENTENCES[0], seed=seed) for seed in (3, 3, 4))
    assert np.array_equal(one.audio, same.audio) and one.phonemes == same.phonemes
    assert one.phonemes != other.phonemes


def test_voices_sound_apart():
    """Metamorphic: twice the pitch asked, twice the pitch measured; a slower voice takes longer."""
    low, high = (said(SENTENCES[1], voice=Voice(f0_hz=f0)) for f0 in (100.0, 200.0))
    assert np.median(measured_f0(high)) == pytest.approx(2 * np.median(measured_f0(low)), rel=0.1)
    slow = said(SENTENCES[1], voice=Voice(rate=0.85))
    assert slow.phonemes[-1].start > 1.1 * low.phonemes[-1].start


def test_synthesis_is_much_faster_than_speech():
    """Over 20 times real time on a busy machine; 150 to 200 measured on an idle core."""
    said(SENTENCES[0])
    best = 0.0
    for i in range(5):
        start = time.perf_counter()
        seconds = len(said(SENTENCES[0], seed=i).audio) / RATE
        best = max(best, seconds / (time.perf_counter() - start))
    assert best > 20
