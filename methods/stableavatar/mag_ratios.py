"""MagCache's ratios of a transformer (Ma et al., 2025): how the residual of all its blocks grows from step to step.

They belong to one set of weights and one schedule. `measure_ratios` takes them from the fully conditioned evaluations of a video,
as diffusers' own calibration does; write them to a JSON file for `--set cache=mag --set mag_ratios=FILE`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from bench.media.errors import UserError
from methods.generator import Request
from methods.stableavatar.guidance import COND

if TYPE_CHECKING:
    from methods.stableavatar.pipeline import StableAvatarPipeline


def measure_ratios(pipeline: StableAvatarPipeline, request: Request) -> list[float]:
    """One ratio a step, the first of them 1: the mean over tokens of the residual's norm relative to the step before.

    Args:
        pipeline: with profile exact and batched evaluations.
        request: of at most one window.
    """
    blocks, entered, residuals = pipeline.transformer.blocks, [], []

    def enter(block: torch.nn.Module, args: tuple) -> None:
        entered.append(args[0][COND])

    def leave(block: torch.nn.Module, args: tuple, output: Tensor) -> None:
        residuals.append((output[COND] - entered.pop()).float().norm(dim=-1))

    hooks = [blocks[0].register_forward_pre_hook(enter), blocks[-1].register_forward_hook(leave)]
    for _ in pipeline(request):
        pass
    for hook in hooks:
        hook.remove()
    growth = [(after / before).mean().item() for before, after in zip(residuals, residuals[1:], strict=False)]
    return [1.0, *growth]


def read_ratios(path: Path) -> list[float]:
    """Ratios of a JSON file.

    Raises:
        UserError: it holds no list of positive numbers.
    """
    try:
        ratios = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"mag_ratios={path}: cannot be read ({error})") from error
    if not isinstance(ratios, list) or not ratios or not all(isinstance(x, int | float) and x > 0 for x in ratios):
        raise UserError(f"mag_ratios={path}: must hold a JSON list of positive numbers, one a step")
    return [float(ratio) for ratio in ratios]
