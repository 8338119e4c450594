"""The AUs of a request, from where the settings say."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from bench.media.au import FEAFA_UNITS
from bench.media.clip import SAMPLE_RATE, read_audio
from methods.auhead.authoring import expression_aus
from methods.auhead.config import AUHeadConfig
from methods.auhead.stage1.load import load_stage1
from methods.conditioning.aus import checked_aus, file_aus, stretched
from methods.generator import Request

VOCABULARY = "feafa24"
ADVICE = "give an AU track, or set au_source=stage1 or au_source=none"


class AUSource:
    """What drives the face.

    Args:
        config: its `au_source` and what goes with it.
        files: name in the weights lock -> file; stage 1's are needed where it is the source.
        device: torch device, of stage 1.

    Raises:
        UserError: stage 1 is the source and cannot be loaded.
    """

    def __init__(self, config: AUHeadConfig, files: Mapping[str, Path], device: str = "cpu"):
        self.config = config
        self.stage1 = load_stage1(config.stage1, files, device) if config.au_source == "stage1" else None

    def __call__(self, request: Request) -> np.ndarray | None:
        """float32 (T, 24) FEAFA AUs in [0, 1], one row a frame; None where there is no source.

        Raises:
            GenerationError: the AUs cannot be used, or stage 1 hears no speech.
        """
        if self.config.au_source == "none":
            return None
        aus = checked_aus(self._source_aus(request), request.num_frames, VOCABULARY, ADVICE)
        if self.config.expression is None:
            return aus
        return np.maximum(aus, expression_aus(self.config.expression, request.num_frames, request.fps))

    @property
    def num_parameters(self) -> int:
        """Of stage 1, where it is the source."""
        return 0 if self.stage1 is None else self.stage1.num_parameters

    def _source_aus(self, request: Request) -> np.ndarray | None:
        config = self.config
        if config.au_source == "stage1":
            return self._predicted(request)
        if config.au_source == "driving":
            return request.aus
        if config.aus is None:
            return np.zeros((request.num_frames, len(FEAFA_UNITS)), np.float32)
        return file_aus(config.aus, request.num_frames, request.fps, VOCABULARY, config.aus_length)

    def _predicted(self, request: Request) -> np.ndarray:
        """Stage 1 on the request's speech, or on another reading of it, whose AUs are stretched (appendix B)."""
        if self.config.emotional_audio is None:
            return self.stage1.predict_aus(request.audio, request.num_frames, request.fps, request.emotion).aus
        audio = read_audio(self.config.emotional_audio)
        num_frames = math.ceil(len(audio) / SAMPLE_RATE * request.fps)
        predicted = self.stage1.predict_aus(audio, num_frames, request.fps, request.emotion).aus
        return stretched(predicted, request.num_frames, VOCABULARY)
