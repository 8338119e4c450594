"""The AUs of a request, from where the settings say."""

from __future__ import annotations

import numpy as np

from bench.media import au
from methods.conditioning.aus import checked_aus, file_aus
from methods.generator import Request
from methods.iuface.authoring import VOCABULARY, expression_aus
from methods.iuface.config import IUFaceConfig

ADVICE = "give an AU track (au_source=file), or set au_source=none"


def request_aus(config: IUFaceConfig, request: Request) -> np.ndarray | None:
    """float32 (T, 35) in `openface35`, one row a frame; None with au_source=none.

    Raises:
        MediaError: the file cannot be read.
        GenerationError: the AUs cannot be used.
    """
    if config.au_source == "none":
        return None
    aus = checked_aus(_source_aus(config, request), request.num_frames, VOCABULARY, ADVICE)
    if config.expression is None:
        return aus
    return np.maximum(aus, expression_aus(config.expression, request.num_frames, request.fps))


def _source_aus(config: IUFaceConfig, request: Request) -> np.ndarray | None:
    if config.au_source == "driving":
        return request.aus
    if config.aus is None:
        return np.zeros((request.num_frames, len(au.vocabulary(VOCABULARY))), np.float32)
    return file_aus(config.aus, request.num_frames, request.fps, VOCABULARY, config.aus_length)
