"""FID: Fréchet distance between Inception features of generated and target frames (Heusel et al., arXiv 1706.08500).

All variants use ddof=1. They differ in the network and in how a frame reaches it, which moves the number more than most
methods differ; see `metrics.extractors.inception`. FID is biased up by about the total variance over the number of
independent samples, and the frames of a clip are not independent: compare only at equal numbers of clips and frames.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from metrics.functional.frechet import frechet_distance, frechet_leave_out, paired_rows
from metrics.metric import Metric


def fid(prediction: np.ndarray, target: np.ndarray) -> float:
    """FID of Inception features, float32 (n, 2048) and (m, 2048).

    Raises:
        Undefined: fewer than 2 frames in one of the sets.
    """
    return frechet_distance(prediction, target, ddof=1)


def _fid(variant: str, extractor: str, paper: str, note: str) -> Metric:
    return Metric(
        name="fid",
        variant=variant,
        kind="set",
        needs=(f"prediction:{extractor}", f"target:{extractor}"),
        case=partial(paired_rows, extractor=extractor, feature="pool"),
        distance=fid,
        leave_out=frechet_leave_out,
        unit="",
        higher_is_better=False,
        paper=paper,
        note=note,
        bounds=(0.0, np.inf),
    )


METRICS: tuple[Metric, ...] = (
    _fid(
        "@inception",
        "inception",
        "Heusel et al., arXiv 1706.08500; mseitzer/pytorch-fid",
        "pytorch-fid's network and resize (bilinear 299, no antialias), full frames, every frame",
    ),
    _fid(
        "@clean",
        "inception_clean",
        "Parmar et al., arXiv 2104.11222; clean-fid mode clean",
        "PIL bicubic resize in float without quantisation, NVlabs TorchScript Inception, every frame",
    ),
    _fid(
        "@eat",
        "inception_eat",
        "yuangan/evaluation_eat (used by EAT and AUHead)",
        "ImageNet Inception of torchvision on BGR 128x128 aligned crops, 5 frames per clip: not the FID network",
    ),
    _fid(
        "@synth",
        "synth_image",
        "this suite",
        "64 features of metrics.synth.image, every frame; synthetic experts: valid on synth_* only",
    ),
)
