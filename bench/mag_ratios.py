"""MagCache's ratios of a method with its weights and settings, measured on one video; see `methods.stableavatar.mag_ratios`."""

from __future__ import annotations

from pathlib import Path

from bench import registry
from bench.media.clip import Clip, read_audio
from bench.media.errors import UserError
from bench.plan import configure
from bench.weights import Weights
from methods.generator import Request

METHODS = ("stableavatar", "iuface")
FPS = 25.0


def mag_ratios(
    method: str,
    reference: Path,
    audio: Path,
    settings: dict[str, str],
    *,
    synthetic: bool,
    weights: Weights,
    device: str,
) -> list[float]:
    """One ratio a step.

    Args:
        method: of METHODS.
        reference: image, or video whose first frame is the picture.
        audio: speech; as much of it as a window lasts is heard.
        settings: of the method, key -> text.
        synthetic: take the settings of the synthetic world where none are given.
        weights: gives the networks.
        device: torch device.

    Raises:
        UserError: no such method, settings or files that cannot be used.
        GenerationError: this video cannot be made.
    """
    from methods.stableavatar.mag_ratios import measure_ratios

    if method not in METHODS:
        raise UserError(f"{method} has no MagCache; these have: {', '.join(METHODS)}")
    kind = registry.method(method)
    config = configure(method, kind, settings, registry.protocol("synth_std" if synthetic else "mead_std")())
    if (config.profile, config.evaluations) != ("exact", "batched"):
        raise UserError("ratios are those of every evaluation: leave profile and evaluations out")
    required = kind.required_weights(config)
    if message := weights.missing(required):
        raise UserError(f"method {method} {message}")
    generator = kind(config, device, weights.require(required))
    picture = Clip(reference).first_frame()
    asked = Request(
        case="ratios", reference=picture, audio=read_audio(audio), num_frames=config.window_frames, fps=FPS,
        height=picture.shape[0], width=picture.shape[1], seed=0,
    )  # fmt: skip
    return measure_ratios(generator.pipeline.transformer, generator.generate(asked))
