"""MFCC against python_speech_features, a published pin, and what speech must not change."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from metrics.functional.mfcc import int16_samples, mel_filters, mfcc, num_frames

PIN = [21.1191, 8.1626, -24.4787, -33.6063, -10.4005, 21.2504, 29.2733]
PIN += [5.6212, -21.4390, -24.1275, -1.6498, 18.2944, 16.4197]


def noise(samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-20_000, 20_000, samples).astype(np.int16)


def test_sine_pin():
    """Oracle: row 10 of a 1 kHz sine of amplitude 10000, taken from python_speech_features once."""
    sine = (10_000 * np.sin(2 * np.pi * 1000 * np.arange(16_000) / 16_000)).astype(np.int16)
    rows = mfcc(sine)
    assert rows.shape == (99, 13)
    np.testing.assert_allclose(rows[10], PIN, atol=5e-5)


@settings(deadline=None, max_examples=30)
@given(arrays(np.int16, st.integers(1, 2000)))
def test_equals_python_speech_features(signal):
    """Oracle: python_speech_features.mfcc on the same int16 samples of any length, silence included."""
    import python_speech_features

    np.testing.assert_allclose(mfcc(signal), python_speech_features.mfcc(signal, 16_000), rtol=1e-9, atol=1e-9)


def test_equals_python_speech_features_on_speech(grid_clips):
    """Oracle: python_speech_features.mfcc, on seven clips of real speech; its filter sums run in another order, which
    shows in a coefficient near 0 (1e-11 of values up to 40)."""
    import python_speech_features

    from bench.media.clip import Clip

    for path in grid_clips:
        speech = int16_samples(Clip(path).audio)
        np.testing.assert_allclose(mfcc(speech), python_speech_features.mfcc(speech, 16_000), rtol=1e-12, atol=1e-11)


def test_mel_filters_equal_python_speech_features():
    """Oracle: python_speech_features.get_filterbanks."""
    from python_speech_features import get_filterbanks

    np.testing.assert_array_equal(mel_filters(), get_filterbanks(26, 512, 16_000))


@pytest.mark.parametrize(("samples", "rows"), [(1, 1), (400, 1), (401, 2), (560, 2), (561, 3), (16_000, 99)])
def test_number_of_rows(samples, rows):
    """Analytic: a row per 160 samples after the first 400, the rest filled up."""
    assert num_frames(samples) == rows == len(mfcc(noise(samples)))


def test_energy_of_silence_and_of_a_constant():
    """Analytic: ln eps for silence; Parseval: energy of a frame is the one-sided sum of |FFT|^2 / 512."""
    assert mfcc(np.zeros(4000, np.int16))[:, 0] == pytest.approx(np.log(np.finfo(float).eps))
    signal = noise(400)
    flattened = np.append(signal[0], signal[1:] - 0.97 * signal[:-1])
    spectrum = np.fft.fft(flattened, 512)
    both_sides = np.sum(np.abs(spectrum) ** 2) + np.abs(spectrum[0]) ** 2 + np.abs(spectrum[256]) ** 2
    assert mfcc(signal)[0, 0] == pytest.approx(np.log(both_sides / 2 / 512))


@settings(deadline=None, max_examples=10)
@given(st.integers(1, 8))
def test_scale_moves_the_first_coefficient_only(power):
    """Metamorphic: 2^p times quieter speech lowers coefficient 0 by 2 p ln 2 and leaves the others; with p = 15, speech in
    [-1, 1] instead of int16, that is 20.794."""
    loud = noise(4000) // 256 * 256
    quiet = (loud // 2**power).astype(np.int16)
    difference = mfcc(loud) - mfcc(quiet)
    np.testing.assert_allclose(difference[:, 0], 2 * power * np.log(2), atol=1e-9)
    np.testing.assert_allclose(difference[:, 1:], 0, atol=1e-9)


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 12))
def test_one_video_frame_of_delay_is_four_rows(frames):
    """Metamorphic: k * 640 samples of silence before the speech move its rows by exactly 4 k."""
    speech = noise(8000)
    delayed = np.concatenate([np.zeros(640 * frames, np.int16), speech])
    np.testing.assert_array_equal(mfcc(delayed)[4 * frames :], mfcc(speech))


@settings(deadline=None, max_examples=20)
@given(arrays(np.int16, 50))
def test_int16_round_trip(samples):
    """Analytic: what a Clip divides by 32768 comes back exactly; what is louder than full scale is clipped."""
    np.testing.assert_array_equal(int16_samples(samples.astype(np.float32) / 32768), samples)
    np.testing.assert_array_equal(int16_samples(np.array([2.0, -2.0, 1.0])), [32767, -32768, 32767])
