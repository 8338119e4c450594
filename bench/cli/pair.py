"""`metric`: one pair of videos, one metric."""

from __future__ import annotations

from pathlib import Path

import typer

from bench.cli.output import print_json
from bench.media.clip import Clip
from bench.media.errors import BenchError, MediaError, Undefined, UserError
from metrics.metric import Metric


def measure_pair(
    name: str, pred: Path, target: Path, reference: Path | None, emotion: str | None, resize: bool, fps: float,
    device: str, as_json: bool,
) -> None:  # fmt: skip
    """Compute one metric on one pair and print it; exits with 1 where it has no value, 2 where something is missing."""
    from bench import registry
    from bench.features import FeatureExtraction, Unavailable
    from bench.weights import Weights

    metric = registry.metric(name)
    try:
        clips = _clips(pred, target, reference, resize, fps)
    except MediaError as error:
        raise UserError(str(error)) from error
    result = {
        "value": None, "ci95": None, "n": 0, "n_failed": 0, "unit": metric.unit,
        "higher_is_better": metric.higher_is_better, "variant": metric.variant, "missing": None,
    }  # fmt: skip
    code = 0
    try:
        result |= {"value": _value(metric, FeatureExtraction(Weights(), device), clips, emotion), "n": 1}
    except Undefined as reason:
        result |= {"n_failed": 1, "failed": str(reason)}
        code = 1
    except Unavailable as reason:
        result["missing"] = str(reason)
        code = 2
    if as_json:
        print_json(result)
    elif result["value"] is None:
        typer.echo(f"{metric.key}: no value: {result['missing'] or result['failed']}", err=True)
    else:
        typer.echo(f"{metric.key} {result['value']:.6g} {metric.unit}".rstrip())
    if code:
        raise typer.Exit(code)


def _clips(pred: Path, target: Path, reference: Path | None, resize: bool, fps: float) -> dict[str, Clip]:
    wanted = Clip(target, fps=fps)
    size = (wanted.height, wanted.width)
    made = Clip(pred, fps=fps)
    if (made.height, made.width) != size and not resize:
        raise UserError(
            f"{pred} is {made.width}x{made.height} and {target} is {size[1]}x{size[0]}; add --resize to compare at the "
            "target's size"
        )
    count = min(made.num_frames, wanted.num_frames)
    if abs(made.num_frames - wanted.num_frames) > 5:
        raise UserError(
            f"{pred} has {made.num_frames} frames at {fps:g} fps and {target} has {wanted.num_frames}; cut one"
        )
    return {
        "prediction": Clip(pred, fps=fps, size=size, num_frames=count),
        "target": Clip(target, fps=fps, size=size, num_frames=count),
        "driving": Clip(target, fps=fps, size=size, num_frames=count),
        "reference": Clip(reference or target, fps=fps, size=size, num_frames=1),
    }


def _value(metric: Metric, extraction, clips: dict[str, Clip], emotion: str | None) -> float:
    from bench.features import metric_label
    from metrics.metric import needed_extractors

    wanted = needed_extractors([metric])
    needs = {"case:label": metric_label(emotion)} if wanted.pop("case", None) else {}
    needs |= extraction.features(wanted, clips)
    for need in metric.needs:
        if isinstance(needs[need], BenchError):
            raise needs[need]
    result = metric.case(needs)
    if metric.kind == "pooled":
        return float(metric.finish(result))
    return float(metric.distance(*result)) if metric.kind == "set" else float(result)
