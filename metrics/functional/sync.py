"""LSE-C, LSE-D and the audio-video offset: how well, how clearly and when the lips fit the speech, by SyncNet.

SyncNet (Chung and Zisserman, 2016) turns 5 frames, and the 0.2 s of speech that start with them, into vectors of 1024.
With v_i, a_i the vectors of window i and s in [-15, 15] a shift of the speech in frames at 25 fps,

    m(s) = mean over i of ||v_i - a_{i+s} + 1e-6||
    LSE-D = min_s m(s)    LSE-C = median_s m(s) - min_s m(s)    offset = -argmin_s m(s)

as in joonson/syncnet_python; Wav2Lip (Prajwal et al., 2020) named them. offset > 0: the audio leads; < 0: it is late.

Two properties of the reference are kept. It uses min(frames, whole 640-sample blocks) - 5 windows, one fewer than
there are. And it lets a_j be the zero vector where there is no window j, which touches 12.9 % of all comparisons of 60
windows and 3.2 % of 245, so LSE-C depends on the length of the clip; only `@valid_only` leaves those comparisons out.

Variants differ in the frames that SyncNet sees (metrics.extractors.syncnet): one clip scored 9.9 with the crop of the
reference and 8.3 without. The mean offset of a method says whether its files are late, its spread whether it is random.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from bench.media.errors import Undefined
from metrics.metric import Metric, Needs

FPS = 25
SAMPLES_PER_FRAME = 640
WINDOW = 5
MAX_SHIFT = 15
EPSILON = 1e-6
"""Added to every component of the difference by torch's pairwise_distance."""


def shift_distances(video: np.ndarray, audio: np.ndarray) -> np.ndarray:
    """Distance of every video window to the audio windows around it.

    Args:
        video, audio: float (n, 1024), window i of both starts at frame i.

    Returns:
        float64 (n, 31): column k is the shift k - 15; speech that does not exist counts as the zero vector.
    """
    v = np.asarray(video, np.float64)
    a = np.pad(np.asarray(audio, np.float64), ((MAX_SHIFT, MAX_SHIFT), (0, 0)))
    around = np.lib.stride_tricks.sliding_window_view(np.arange(len(a)), 2 * MAX_SHIFT + 1)
    banded = np.lib.stride_tricks.sliding_window_view(a, 2 * MAX_SHIFT + 1, axis=0).swapaxes(1, 2)
    # ||v - a + e||^2 = ||v + e||^2 - 2 (v + e).a + ||a||^2, one product of a view (n, 31, 1024) with (n, 1024, 1).
    v = v + EPSILON
    product = (banded @ v[:, :, None])[:, :, 0]
    squared = (v**2).sum(1)[:, None] - 2 * product + (a**2).sum(1)[around]
    return np.sqrt(np.maximum(squared, 0.0))


def shift_curve(video: np.ndarray, audio: np.ndarray) -> np.ndarray:
    """m(s) of the reference, float64 (31,) for s = -15 to 15; arguments as `shift_distances`, n >= 1."""
    return shift_distances(video, audio).mean(0)


def valid_shift_curve(video: np.ndarray, audio: np.ndarray) -> np.ndarray:
    """m(s) over the windows i for which i + s exists; as `shift_curve`.

    Raises:
        Undefined: 15 or fewer windows, so that a shift of 15 compares nothing.
    """
    distances = shift_distances(video, audio)
    count = len(distances)
    if count <= MAX_SHIFT:
        raise Undefined(f"{count} windows of {WINDOW} frames; without zero padding a shift of {MAX_SHIFT} needs more")
    partner = np.arange(count)[:, None] + np.arange(-MAX_SHIFT, MAX_SHIFT + 1)
    return distances.mean(0, where=(partner >= 0) & (partner < count))


def lse_c(curve: np.ndarray) -> float:
    """Confidence: median minus minimum of float64 (31,), not negative."""
    return float(np.median(curve) - curve.min())


def lse_d(curve: np.ndarray) -> float:
    """Distance at the best shift: minimum of float64 (31,)."""
    return float(curve.min())


def av_offset(curve: np.ndarray) -> float:
    """Frames at 25 fps by which the audio leads: 15 minus the index of the minimum of float64 (31,)."""
    return float(MAX_SHIFT - np.argmin(curve))


def audio_windows(samples: int) -> int:
    """Windows the reference takes from this many 16 kHz samples if the video is long enough."""
    return max(0, samples // SAMPLES_PER_FRAME - WINDOW)


def paired_windows(video: np.ndarray, audio: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The windows the reference compares: min(frames, whole blocks of samples) - 5.

    Args:
        video: float (T - 4, 1024), every window of a video of T frames.
        audio: float (A, 1024), A = `audio_windows(samples)`.

    Raises:
        Undefined: none is left.
    """
    count = min(len(video) - 1, len(audio))
    if count < 1:
        frames, blocks = len(video) + WINDOW - 1, len(audio) + WINDOW
        raise Undefined(
            f"SyncNet needs {WINDOW + 1} frames with speech; the face is in at most {frames} frames in a row at "
            f"{FPS} fps and the speech lasts at most {blocks}"
        )
    return video[:count], audio[:count]


CURVES: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "zero padded": shift_curve,
    "valid": valid_shift_curve,
}
SCORES: dict[str, Callable[[np.ndarray], float]] = {"lse_c": lse_c, "lse_d": lse_d, "av_offset": av_offset}
BOUNDS = {"lse_c": (0.0, np.inf), "lse_d": (0.0, np.inf), "av_offset": (-float(MAX_SHIFT), float(MAX_SHIFT))}
HIGHER_IS_BETTER = {"lse_c": True, "lse_d": False, "av_offset": None}
VARIANTS: dict[str, tuple[str, str, str, str]] = {
    "@crop": (
        "syncnet_crop",
        "zero padded",
        "joonson/syncnet_python (Chung and Zisserman, 2016); LSE as Wav2Lip (Prajwal et al., 2020)",
        "S3FD face track and crop in memory, without lossy copies; shorter tracks and smaller faces are let in",
    ),
    "@nocrop": (
        "syncnet_nocrop",
        "zero padded",
        "Wav2Lip (Prajwal et al., 2020), calculate_scores_LRS",
        "the whole frame resized to 224x224",
    ),
    "@eat": (
        "syncnet_eat",
        "zero padded",
        "EAT (Gan et al., 2023), yuangan/evaluation_eat; AUHead",
        "68-point similarity crop with the mouth held at one place",
    ),
    "@valid_only": (
        "syncnet_crop",
        "valid",
        "this suite",
        "as @crop without comparisons to speech that does not exist, which make LSE-C depend on the clip's length",
    ),
    "@exact": (
        "syncnet_exact",
        "zero padded",
        "joonson/syncnet_python; track limit of LatentSync and syncnet-python",
        "as @crop through MPEG-4, JPEG, XVID and JPEG as the reference, with its scene cuts and limits",
    ),
    "@synth": (
        "synth_sync",
        "valid",
        "this suite",
        "vectors of length 1, without comparisons to speech that does not exist; synthetic experts: valid on synth_* only",
    ),
}
"""Variant -> extractor, treatment of speech that does not exist, paper, note."""


def _case(needs: Needs, extractor: str, curve: str, score: str) -> float:
    features = needs[f"prediction:{extractor}"]
    return SCORES[score](CURVES[curve](*paired_windows(features["video"], features["audio"])))


def _metric(name: str, variant: str) -> Metric:
    extractor, curve, paper, note = VARIANTS[variant]
    return Metric(
        name=name,
        variant=variant,
        kind="mean",
        needs=(f"prediction:{extractor}",),
        case=partial(_case, extractor=extractor, curve=curve, score=name),
        unit="frames" if name == "av_offset" else "",
        higher_is_better=HIGHER_IS_BETTER[name],
        paper=paper,
        note=note,
        bounds=BOUNDS[name],
    )


METRICS: tuple[Metric, ...] = tuple(_metric(name, variant) for name in SCORES for variant in VARIANTS)
