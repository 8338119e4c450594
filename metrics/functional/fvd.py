"""FVD: Fréchet distance between I3D features of videos (Unterthiner et al., arXiv 1812.01717).

The features are the 400 Kinetics logits, averaged over time, as in the original. What is a sample differs between
implementations: every 16-frame window, the first window of each video, or the whole video. With fewer samples than 400
the covariance has not full rank and the distance is mostly finite-sample bias (mean 19 instead of 1 on Gaussians with
D=100 and N=182): compare only at equal N and equal clip policy.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np

from metrics.functional.frechet import frechet_distance, frechet_leave_out, paired_rows
from metrics.metric import Metric


def fvd(prediction: np.ndarray, target: np.ndarray, ddof: int = 1) -> float:
    """FVD of I3D logits, float32 (n, 400) and (m, 400), one row per sample.

    Raises:
        Undefined: fewer than 2 samples in one of the sets.
    """
    return frechet_distance(prediction, target, ddof)


def first_window(needs: Mapping[str, Mapping[str, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """The first 16-frame window of each clip: float32 (1, 400), float32 (1, 400)."""
    prediction, target = paired_rows(needs, extractor="i3d", feature="logits16")
    return prediction[:1], target[:1]


_COMMON = {"name": "fvd", "kind": "set", "unit": "", "higher_is_better": False, "bounds": (0.0, np.inf)}
_I3D = ("prediction:i3d", "target:i3d")

METRICS: tuple[Metric, ...] = (
    Metric(
        variant="@i3d16",
        needs=_I3D,
        case=partial(paired_rows, extractor="i3d", feature="logits16"),
        distance=fvd,
        leave_out=frechet_leave_out,
        paper="Unterthiner et al., arXiv 1812.01717",
        note="all non-overlapping 16-frame windows, frames squashed to 224x224 bilinear, ddof 1",
        **_COMMON,
    ),
    Metric(
        variant="@stylegan_v",
        needs=_I3D,
        case=first_window,
        distance=partial(fvd, ddof=0),
        leave_out=partial(frechet_leave_out, ddof=0),
        paper="Skorokhodov et al., arXiv 2112.14683 (universome/stylegan-v fvd2048_16f)",
        note="first 16 frames of each clip (the reference starts real videos at a random frame and keeps 2048), ddof 0",
        **_COMMON,
    ),
    Metric(
        variant="@first_clip",
        needs=_I3D,
        case=first_window,
        distance=fvd,
        leave_out=frechet_leave_out,
        paper="Unterthiner et al., arXiv 1812.01717",
        note="first 16 frames of each clip, one sample per video, ddof 1",
        **_COMMON,
    ),
    Metric(
        variant="@full_video",
        needs=("prediction:i3d_full", "target:i3d_full"),
        case=partial(paired_rows, extractor="i3d_full", feature="full"),
        distance=fvd,
        leave_out=frechet_leave_out,
        paper="Wangt-CN/DisCo FVD-3DInception (named by the authors of Hallo2 and StableAvatar)",
        note="the whole video is one sample, frames squashed to 224x224 by PIL bicubic, ddof 1",
        **_COMMON,
    ),
    Metric(
        variant="@synth",
        needs=("prediction:synth_video", "target:synth_video"),
        case=partial(paired_rows, extractor="synth_video", feature="window16"),
        distance=fvd,
        leave_out=frechet_leave_out,
        paper="this suite",
        note="64 features of metrics.synth.video, windows of @i3d16, ddof 1; synthetic experts: valid on synth_* only",
        **_COMMON,
    ),
)
