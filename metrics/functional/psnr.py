"""PSNR = 10 log10(255^2 / MSE) in dB, of 8-bit RGB frames.

MSE is over all pixels and the three channels, in float64 from exact integer sums. What one means by the PSNR of many
frames differs: the mean of per-frame values (the field's habit, our default), one MSE over everything seen before the
logarithm (torchmetrics), or the mean over the frames of all clips together (yuangan/evaluation_eat, and so AUHead).
Two frames with MSE 20 and 200 give 30.12 dB by the first and 27.72 dB by the second.

Values are capped at 100 dB, which is also what identical frames score (JunyaoHu/common_metrics_on_video_quality caps at
MSE < 1e-10 on [0, 1], the same rule); scikit-image and torchmetrics give infinity there.
"""

from __future__ import annotations

import numpy as np

from bench.media.errors import Undefined
from metrics.metric import Metric, Needs

PEAK = 255.0
CAP = 100.0


def psnr(prediction: np.ndarray, target: np.ndarray) -> np.ndarray:
    """PSNR of every frame.

    Args:
        prediction, target: uint8 (T, H, W, 3) RGB in [0, 255].

    Returns:
        float64 (T,) dB in [0, 100].
    """
    return decibels(squared_errors(prediction, target) / prediction[0].size)


def squared_errors(prediction: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Sum of squared differences of every frame, float64 (T,), exact; arguments as `psnr`."""
    import cv2

    check_frames(prediction, target)
    # OpenCV squares a square root; rounding brings the whole number back.
    return np.rint([cv2.norm(x, y, cv2.NORM_L2SQR) for x, y in zip(prediction, target, strict=True)])


def squared_errors_in_boxes(
    prediction: np.ndarray, target: np.ndarray, boxes: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Squared errors inside one rectangle per frame.

    Args:
        prediction, target: uint8 (T, H, W, 3) RGB.
        boxes: int64 (T, 4): left, top, right, bottom in pixels, right and bottom exclusive; all zero for "none".

    Returns:
        float64 (T,) sums of squared differences, exact, and int64 (T,) how many differences are in each; 0 without box.
    """
    sums = np.zeros(len(boxes))
    for t, (left, top, right, bottom) in enumerate(boxes):
        inside = np.s_[t : t + 1, top:bottom, left:right]
        if right > left:
            sums[t] = squared_errors(prediction[inside], target[inside])[0]
    return sums, (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]) * 3


def face_psnr(sums: np.ndarray, samples: np.ndarray) -> float:
    """Mean over the frames that have a box of their dB; arguments as `squared_errors_in_boxes` returns them.

    Raises:
        Undefined: no frame has a box.
    """
    found = samples > 0
    if not found.any():
        raise Undefined(f"no face in {len(found)} of {len(found)} frames of the target")
    return float(decibels(sums[found] / samples[found]).mean())


def decibels(mse: np.ndarray) -> np.ndarray:
    """10 log10(255^2 / MSE), at most 100 dB; float64 of the shape of `mse`."""
    return 10.0 * np.log10(PEAK**2 / np.maximum(mse, PEAK**2 * 10.0 ** (-CAP / 10)))


def check_frames(prediction: np.ndarray, target: np.ndarray) -> None:
    """Refuse what would silently give another number: floats (scored against a peak of 255) and unequal shapes."""
    for frames in (prediction, target):
        if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3 or not len(frames):
            raise ValueError(f"frames must be uint8 (T, H, W, 3) with T >= 1, got {frames.dtype} {frames.shape}")
    if prediction.shape != target.shape:
        raise ValueError(f"prediction {prediction.shape} and target {target.shape} differ in shape")


def both_crops(needs: Needs) -> tuple[np.ndarray, np.ndarray]:
    """EAT crops of the frames in which both clips show a face, uint8 (t, 128, 128, 3) RGB each.

    Raises:
        Undefined: there is no such frame.
    """
    prediction, target = needs["prediction:eat_crop"], needs["target:eat_crop"]
    found = prediction["found"] & target["found"]
    if not found.any():
        counts = f"prediction {prediction['found'].sum()}, target {target['found'].sum()}"
        raise Undefined(f"no frame of {len(found)} shows a face in both clips ({counts})")
    return prediction["crop"][found], target["crop"][found]


def mean_of_sums(statistics: np.ndarray) -> float:
    """float64 (2,) = (sum of values, how many) -> mean."""
    return float(statistics[0] / statistics[1])


def _frame(needs: Needs) -> float:
    errors = needs["pair:frames"]
    return float(decibels(errors["sse"] / errors["samples"]).mean())


def _global(needs: Needs) -> np.ndarray:
    errors = needs["pair:frames"]
    return np.array([errors["sse"].sum(), errors["samples"].sum()], np.float64)


def _global_finish(statistics: np.ndarray) -> float:
    return float(decibels(statistics[0] / statistics[1]))


def _eat128(needs: Needs) -> np.ndarray:
    values = psnr(*both_crops(needs))
    return np.array([values.sum(), len(values)])


def _face(needs: Needs) -> float:
    errors = needs["pair:face_box"]
    return face_psnr(errors["sse"], errors["samples"])


FRAME = Metric(
    name="psnr",
    variant="@frame",
    kind="mean",
    needs=("pair:frames",),
    case=_frame,
    unit="dB",
    higher_is_better=True,
    paper="the field's habit; JunyaoHu/common_metrics_on_video_quality",
    note="mean over frames of per-frame dB, RGB, cap 100 dB",
    bounds=(0.0, CAP),
)
GLOBAL = Metric(
    name="psnr",
    variant="@global",
    kind="pooled",
    needs=("pair:frames",),
    case=_global,
    finish=_global_finish,
    per_case=_global_finish,
    unit="dB",
    higher_is_better=True,
    paper="torchmetrics PeakSignalNoiseRatio",
    note="PSNR of the mean squared error over all frames of all clips; never above @frame for one clip",
    bounds=(0.0, CAP),
)
EAT128 = Metric(
    name="psnr",
    variant="@eat128",
    kind="pooled",
    needs=("prediction:eat_crop", "target:eat_crop"),
    case=_eat128,
    finish=mean_of_sums,
    per_case=mean_of_sums,
    unit="dB",
    higher_is_better=True,
    paper="yuangan/evaluation_eat (EAT, AUHead)",
    note="128x128 aligned crops, mean over the frames of all clips; frames without a face in both clips are left out",
    bounds=(0.0, CAP),
)
FACE = Metric(
    name="psnr",
    variant="@face",
    kind="mean",
    needs=("pair:face_box",),
    case=_face,
    unit="dB",
    higher_is_better=True,
    paper="this suite",
    note="inside the bounding box of the target's landmarks, frame by frame; frames without a target face are left out",
    bounds=(0.0, CAP),
)

METRICS: tuple[Metric, ...] = (FRAME, GLOBAL, EAT128, FACE)
