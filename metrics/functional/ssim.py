"""SSIM (Wang, Bovik, Sheikh, Simoncelli 2004) of 8-bit frames, in the three definitions papers use.

SSIM = (2 mx my + C1)(2 sxy + C2) / ((mx^2 + my^2 + C1)(sxx + syy + C2)), C1 = (0.01 * 255)^2, C2 = (0.03 * 255)^2,
averaged over the positions whose whole window lies inside the frame. The definitions differ in the window, in dividing
the covariance by N or N - 1, and in what is done with colour; on one pair of images they give:

| `ssim` | gaussian 11x11, sigma 1.5, covariance / N, mean over R, G, B (the paper's own parameters) | 0.73993 |
| `ssim_skimage7` | uniform 7x7, covariance / (N - 1), mean over R, G, B (scikit-image default; EAT, AUHead) | 0.75746 |
| `ssim_gray` | as `ssim`, on gray = round(0.299 R + 0.587 G + 0.114 B), OpenCV's RGB2GRAY | 0.80211 |

scikit-image's rgb2gray (0.2125, 0.7154, 0.0721, not rounded) would give 0.79132 there. torchmetrics' SSIM (0.74057)
differs from `ssim` by averaging over the border too, which it mirrors.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from bench.media.errors import Undefined
from metrics.functional.psnr import both_crops, check_frames, mean_of_sums
from metrics.metric import Metric, Needs

C1 = (0.01 * 255.0) ** 2
C2 = (0.03 * 255.0) ** 2
GAUSSIAN_WINDOW = 11
GAUSSIAN_SIGMA = 1.5
UNIFORM_WINDOW = 7
STRIP = 64
"""Rows of the map made at a time: its temporaries stay near the cache; 30 % faster than whole 512x512 frames."""
MAX_THREADS = 8
"""Frames are independent, and OpenCV and numpy let go of the interpreter lock while they work."""


def ssim(prediction: np.ndarray, target: np.ndarray) -> np.ndarray:
    """SSIM of every frame with Wang's gaussian window, mean over the colour channels.

    Args:
        prediction, target: uint8 (T, H, W, 3) RGB in [0, 255].

    Returns:
        float64 (T,) in [-1, 1].

    Raises:
        Undefined: the frames are smaller than the 11x11 window.
    """
    return _of_frames(gaussian_ssim, GAUSSIAN_WINDOW, prediction, target)


def ssim_skimage7(prediction: np.ndarray, target: np.ndarray) -> np.ndarray:
    """As `ssim`, with scikit-image's default 7x7 uniform window and sample covariance."""
    return _of_frames(uniform_ssim, UNIFORM_WINDOW, prediction, target)


def ssim_gray(prediction: np.ndarray, target: np.ndarray) -> np.ndarray:
    """As `ssim`, on the rounded BT.601 gray of the frames."""
    return _of_frames(gray_ssim, GAUSSIAN_WINDOW, prediction, target)


def gaussian_ssim(x: np.ndarray, y: np.ndarray) -> float:
    """SSIM of two images, uint8 (H, W) or (H, W, C), gaussian window, in float64."""
    return _mean_over_strips(_gaussian_map, GAUSSIAN_WINDOW // 2, x, y)


def uniform_ssim(x: np.ndarray, y: np.ndarray) -> float:
    """SSIM of two images, uint8 (H, W) or (H, W, C), 7x7 uniform window, sample covariance."""
    return _mean_over_strips(_uniform_map, UNIFORM_WINDOW // 2, x, y)


def gray_ssim(x: np.ndarray, y: np.ndarray) -> float:
    """SSIM of two images, uint8 (H, W, 3) RGB, gaussian window, on their gray."""
    import cv2

    return gaussian_ssim(cv2.cvtColor(x, cv2.COLOR_RGB2GRAY), cv2.cvtColor(y, cv2.COLOR_RGB2GRAY))


def _gaussian_map(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """float64 (H - 10, W - 10[, C]). The variances occur only as a sum, so four filters do instead of five."""
    import cv2

    kernel = cv2.getGaussianKernel(GAUSSIAN_WINDOW, GAUSSIAN_SIGMA, cv2.CV_64F)
    rim = GAUSSIAN_WINDOW // 2

    def blur(image: np.ndarray) -> np.ndarray:
        return cv2.sepFilter2D(image, cv2.CV_64F, kernel, kernel)[rim:-rim, rim:-rim]

    x, y = x.astype(np.float64), y.astype(np.float64)
    mean_x, mean_y = blur(x), blur(y)
    means = mean_x * mean_x + mean_y * mean_y
    cross = 2.0 * mean_x * mean_y
    return _ratio(means, cross, blur(x * x + y * y) - means, 2.0 * blur(x * y) - cross)


def _uniform_map(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """float64 (H - 6, W - 6[, C]). Window sums are exact in int32: 49 * 2 * 255^2 is below 2^23."""
    import cv2

    count = UNIFORM_WINDOW**2
    rim = UNIFORM_WINDOW // 2

    def window_mean(image: np.ndarray) -> np.ndarray:
        sums = cv2.boxFilter(image, cv2.CV_32S, (UNIFORM_WINDOW, UNIFORM_WINDOW), normalize=False)
        return sums[rim:-rim, rim:-rim] / count

    x, y = x.astype(np.int32), y.astype(np.int32)
    mean_x, mean_y = window_mean(x), window_mean(y)
    means = mean_x * mean_x + mean_y * mean_y
    cross = 2.0 * mean_x * mean_y
    sample = count / (count - 1)
    variances = sample * (window_mean(x * x + y * y) - means)
    return _ratio(means, cross, variances, sample * (2.0 * window_mean(x * y) - cross))


def _ratio(means: np.ndarray, cross_means: np.ndarray, variances: np.ndarray, covariances: np.ndarray) -> np.ndarray:
    """The SSIM map, from mx^2 + my^2, 2 mx my, sxx + syy and 2 sxy."""
    return (cross_means + C1) * (covariances + C2) / ((means + C1) * (variances + C2))


def _mean_over_strips(
    ssim_map: Callable[[np.ndarray, np.ndarray], np.ndarray], rim: int, x: np.ndarray, y: np.ndarray
) -> float:
    total, count = 0.0, 0
    for top in range(0, len(x) - 2 * rim, STRIP):
        rows = slice(top, top + STRIP + 2 * rim)
        values = ssim_map(x[rows], y[rows])
        total += values.sum()
        count += values.size
    return float(total / count)


def _of_frames(
    image_ssim: Callable[[np.ndarray, np.ndarray], float], window: int, prediction: np.ndarray, target: np.ndarray
) -> np.ndarray:
    check_frames(prediction, target)
    _check_size(*prediction.shape[1:3], window)
    with ThreadPoolExecutor(min(MAX_THREADS, os.cpu_count() or 1)) as pool:
        return np.array(list(pool.map(image_ssim, prediction, target)))


def _check_size(height: int, width: int, window: int) -> None:
    if min(height, width) < window:
        raise Undefined(f"frames of {height}x{width} pixels are smaller than the {window}x{window} window of this SSIM")


def _case(feature: str, window: int) -> Callable[[Needs], float]:
    def case(needs: Needs) -> float:
        frames = needs["pair:frames"]
        _check_size(*frames["size"], window)
        return float(frames[feature].mean())

    return case


def _eat128(needs: Needs) -> np.ndarray:
    values = ssim_skimage7(*both_crops(needs))
    return np.array([values.sum(), len(values)])


WANG = Metric(
    name="ssim",
    variant="@wang",
    kind="mean",
    needs=("pair:frames",),
    case=_case("ssim_wang", GAUSSIAN_WINDOW),
    unit="",
    higher_is_better=True,
    paper="Wang et al. 2004",
    note="gaussian 11/1.5, population covariance, RGB channel mean, valid area",
    bounds=(-1.0, 1.0),
)
SKIMAGE7 = Metric(
    name="ssim",
    variant="@skimage7",
    kind="mean",
    needs=("pair:frames",),
    case=_case("ssim_skimage7", UNIFORM_WINDOW),
    unit="",
    higher_is_better=True,
    paper="scikit-image structural_similarity, its defaults",
    note="uniform 7x7, sample covariance, RGB channel mean, full frame",
    bounds=(-1.0, 1.0),
)
EAT128 = Metric(
    name="ssim",
    variant="@eat128",
    kind="pooled",
    needs=("prediction:eat_crop", "target:eat_crop"),
    case=_eat128,
    finish=mean_of_sums,
    per_case=mean_of_sums,
    unit="",
    higher_is_better=True,
    paper="yuangan/evaluation_eat (EAT, AUHead)",
    note="@skimage7 on 128x128 aligned crops, mean over the frames of all clips; frames without both faces left out",
    bounds=(-1.0, 1.0),
)
GRAY = Metric(
    name="ssim",
    variant="@gray",
    kind="mean",
    needs=("pair:frames",),
    case=_case("ssim_gray", GAUSSIAN_WINDOW),
    unit="",
    higher_is_better=True,
    paper="Wang et al. 2004",
    note="@wang on OpenCV's 8-bit gray (BT.601 weights)",
    bounds=(-1.0, 1.0),
)

METRICS: tuple[Metric, ...] = (WANG, SKIMAGE7, EAT128, GRAY)
