"""The first stage as its settings say. Networks are imported when they are built."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from methods.auhead.stage1.config import Stage1Config, stage1_weights

if TYPE_CHECKING:
    from methods.auhead.stage1.predictor import Stage1


def load_stage1(config: Stage1Config, files: Mapping[str, Path], device: str = "cpu") -> Stage1:
    """The first stage as the settings say.

    Args:
        config: settings.
        files: lock name -> file, of `stage1_weights`.
        device: torch device.

    Raises:
        UserError: weights, packages or the other environment are not there, or are of something else.
    """
    names = stage1_weights(config)
    if config.model == "full" and config.language_model == "qwen-audio-chat":
        from methods.auhead.stage1.qwen_audio import load_qwen_audio

        return load_qwen_audio(config, device)
    from methods.auhead.stage1.weights import load_trained

    path = config.adapter if config.model == "full" else files[names[0]]
    return load_trained(config, path, device)
