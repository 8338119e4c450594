"""LPIPS: distance of deep features of two frames (Zhang, Isola, Efros, Shechtman, Wang 2018), version 0.1.

d = sum over layers of the mean over positions of sum_c w_c (f_c(x) - f_c(y))^2, with f unit-normalised over channels.
The distance depends on the resolution, since nothing is resized: frames go in at their own size, in [-1, 1]. AlexNet is
the authors' choice for reporting; VGG-16 values are 1.5 to 2 times larger and must never be compared with them.
The networks run in metrics.extractors.lpips; this module only averages.
"""

from __future__ import annotations

from collections.abc import Callable

from metrics.metric import Metric, Needs


def _case(extractor: str) -> Callable[[Needs], float]:
    def case(needs: Needs) -> float:
        return float(needs[f"pair:{extractor}"]["d"].mean())

    return case


ALEX = Metric(
    name="lpips",
    variant="@alex",
    kind="mean",
    needs=("pair:lpips_alex",),
    case=_case("lpips_alex"),
    unit="",
    higher_is_better=False,
    paper="Zhang et al. 2018, richzhang/PerceptualSimilarity v0.1",
    note="AlexNet, native resolution, mean over frames",
    bounds=(0.0, float("inf")),
)
VGG = Metric(
    name="lpips",
    variant="@vgg",
    kind="mean",
    needs=("pair:lpips_vgg",),
    case=_case("lpips_vgg"),
    unit="",
    higher_is_better=False,
    paper="Zhang et al. 2018, richzhang/PerceptualSimilarity v0.1",
    note="VGG-16, native resolution, mean over frames",
    bounds=(0.0, float("inf")),
)

SYNTH = Metric(
    name="lpips",
    variant="@synth",
    kind="mean",
    needs=("pair:synth_lpips",),
    case=_case("synth_lpips"),
    unit="",
    higher_is_better=False,
    paper="this suite, after Zhang et al. 2018",
    note="maps of metrics.synth.image, no weights per channel; synthetic experts: valid on synth_* only",
    bounds=(0.0, 4.0),
)

METRICS: tuple[Metric, ...] = (ALEX, VGG, SYNTH)
