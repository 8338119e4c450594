"""MagCache's ratios of a transformer (Ma et al., 2025): how the residual of all its blocks grows from step to step.

They belong to one set of weights and one schedule. `measure_ratios` takes them from the fully conditioned evaluations of a video,
as diffusers' own calibration does; `python -m bench mag-ratios` writes them to a file, which `--set mag_ratios=FILE` takes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bench.media.errors import UserError
from methods.stableavatar.guidance import COND
from methods.talking_dit.transformer import TalkingDiT


def measure_ratios(transformer: TalkingDiT, video: Iterable[np.ndarray]) -> list[float]:
    """One ratio a step, the first of them 1: the mean over tokens of the residual's norm relative to the step before.

    Args:
        transformer: that the video is made with.
        video: of at most one window, in pieces that are made as they are asked for, with profile exact and batched
            evaluations.
    """
    blocks, entered, residuals = transformer.blocks, [], []

    def enter(block: torch.nn.Module, args: tuple) -> None:
        entered.append(args[0][COND])

    def leave(block: torch.nn.Module, args: tuple, output: Tensor) -> None:
        residuals.append((output[COND] - entered.pop()).float().norm(dim=-1))

    hooks = [blocks[0].register_forward_pre_hook(enter), blocks[-1].register_forward_hook(leave)]
    for _ in video:
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
