"""MFCC: the mel-frequency cepstrum SyncNet hears, 100 rows of 13 numbers per second of 16 kHz speech.

Equal to python_speech_features.mfcc (James Lyons) with its defaults, vectorised: pre-emphasis 0.97; frames of 25 ms
every 10 ms without a window, the last one filled up with zeros; power spectrum |FFT_512|^2 / 512; 26 triangular mel
filters from 0 to 8 kHz with corners on whole FFT bins; logarithm; orthonormal DCT-II; sine lifter with L = 22; the 0th
coefficient replaced by the logarithm of the frame's energy.

The samples must have the scale of int16. On speech in [-1, 1] the energies are 32768^2 times smaller, so that the 0th
coefficient is 2 ln 32768 = 20.794 lower and nothing else changes: a score with no sign that it is wrong.
"""

from __future__ import annotations

from functools import cache

import numpy as np

SAMPLE_RATE = 16_000
FRAME = 400
STEP = 160
FFT = 512
FILTERS = 26
COEFFICIENTS = 13
PREEMPHASIS = 0.97
LIFTER = 22


def int16_samples(audio: np.ndarray) -> np.ndarray:
    """Speech, float (S,) in [-1, 1] -> int16 (S,); exact where it was decoded from int16."""
    return np.clip(np.rint(np.asarray(audio, np.float64) * 32768), -32768, 32767).astype(np.int16)


def num_frames(samples: int) -> int:
    """Rows of `mfcc` for this many samples: every sample is in a frame, and there is at least one."""
    return 1 + max(0, -(-(samples - FRAME) // STEP))


def mfcc(signal: np.ndarray) -> np.ndarray:
    """Cepstrum of speech.

    Args:
        signal: int16 (S,) mono 16 kHz, S >= 1.

    Returns:
        float64 (F, 13), F = 1 + ceil((S - 400) / 160), at least 1.
    """
    from scipy.fft import dct

    samples = np.asarray(signal, np.float64)
    flattened = np.append(samples[:1], samples[1:] - PREEMPHASIS * samples[:-1])
    count = num_frames(len(samples))
    padded = np.pad(flattened, (0, (count - 1) * STEP + FRAME - len(samples)))
    frames = np.lib.stride_tricks.sliding_window_view(padded, FRAME)[::STEP]
    power = np.abs(np.fft.rfft(frames, FFT)) ** 2 / FFT
    # Not by a matrix product: in BLAS the last bits of a row depend on how many rows there are.
    energies = np.einsum("fb,mb->fm", power, mel_filters())
    cepstrum = dct(np.log(_no_zero(energies)), norm="ortho")[:, :COEFFICIENTS]
    cepstrum *= 1 + LIFTER / 2 * np.sin(np.pi * np.arange(COEFFICIENTS) / LIFTER)
    cepstrum[:, 0] = np.log(_no_zero(power.sum(1)))
    return cepstrum


@cache
def mel_filters() -> np.ndarray:
    """float64 (26, 257): weight of every FFT bin per filter; corners equidistant in mel = 2595 log10(1 + f / 700)."""
    top = 2595 * np.log10(1 + SAMPLE_RATE / 2 / 700)
    hertz = 700 * (10 ** (np.linspace(0, top, FILTERS + 2) / 2595) - 1)
    corners = np.floor((FFT + 1) * hertz / SAMPLE_RATE)
    left, centre, right = (corners[i : i + FILTERS, None] for i in range(3))
    bins = np.arange(FFT // 2 + 1)
    rising, falling = (bins - left) / (centre - left), (right - bins) / (right - centre)
    # A bin on the centre belongs to the falling side, where it weighs 1; one on the right corner belongs to neither.
    return np.where((bins >= left) & (bins < centre), rising, np.where((bins >= centre) & (bins < right), falling, 0.0))


def _no_zero(energy: np.ndarray) -> np.ndarray:
    """Digital silence gets the smallest energy the reference knows, so that its logarithm exists."""
    return np.where(energy == 0, np.finfo(np.float64).eps, energy)
