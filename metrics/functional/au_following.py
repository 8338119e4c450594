"""au_following: how closely the generated Action Units move with those that drove the generator.

Per AU the Pearson correlation over time, within the clip, of the generated with the driving curve; the mean over the
AUs whose driving curve moves. 1: every movement is followed; 0: none is, in particular by a face that stays still;
below 0: moves against. Papers argue about it ("AUs are followed") and do not measure it; this definition is ours.

AUs are the 24 of FEAFA from mediapipe blendshapes (bench.media.au_maps), so the score needs no program outside the
suite; in `@synth` they are those of the synthetic expert A. Edge cases: an AU whose driving curve has a standard
deviation below 0.01 is left out; one that moves in the driving clip and is constant in the generated one counts 0;
without a moving AU, with fewer than 10 frames where both clips show a face, or with faces missing in more than half of
the frames, there is no value. Correlation does not see a constant offset or a weaker movement; `au_mae@driving` does.

The driving curve is that of the case's driving clip, whatever the method was given: one that writes its own AUs from the
speech (AUHead with au_source=stage1) is measured against the same curve, so that its rows can stand beside others.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from metrics.functional.au import paired_values, pcc
from metrics.metric import Metric, Needs

PAPER = "defined here"


def au_following(generated: np.ndarray, driving: np.ndarray) -> float:
    """Mean over moving AUs of the correlation over time.

    Args:
        generated, driving: float (T, A) in [0, 1], the frames of one clip.

    Raises:
        Undefined: too few frames, or no driving AU moves.
    """
    return pcc(generated, driving, 1.0)


def _case(needs: Needs, extractor: str) -> float:
    return au_following(*paired_values(needs, "driving", extractor, "feafa24"))


def _metric(variant: str, extractor: str, note: str) -> Metric:
    return Metric(
        name="au_following",
        variant=variant,
        kind="mean",
        needs=(f"prediction:{extractor}", f"driving:{extractor}"),
        case=partial(_case, extractor=extractor),
        unit="",
        higher_is_better=True,
        paper=PAPER,
        note=note
        + "correlation over time of generated and driving AUs, mean over the AUs that move in the driving clip",
        bounds=(-1.0, 1.0),
    )


METRICS: tuple[Metric, ...] = (
    _metric("@feafa24", "landmarks", ""),
    _metric("@synth", "synth_face", "synthetic experts: valid on synth_* only; "),
)
