"""Driving AUs: the Action Units of a case for a method that asks for them, from its file or from its driving video."""

from __future__ import annotations

import numpy as np

from bench.features import FeatureExtraction
from bench.media import au
from bench.media.au_maps import ARKIT_TO_FEAFA
from bench.media.clip import Clip
from bench.media.errors import BenchError
from methods.generator import GenerationError
from protocols.protocol import Case

SOURCES = {"feafa24": "landmarks", "openface35": "openface"}
"""Vocabulary -> the extractor that reads it off a video."""


def driving_aus(case: Case, vocabulary: str, driving: Clip, extraction: FeatureExtraction) -> np.ndarray:
    """float32 (T, A) in `vocabulary` at the rate of the driving view.

    Args:
        case: its `aus` file is used if it has one.
        vocabulary: the generator's `au_vocabulary`.
        driving: the view of the driving video, T frames.
        extraction: reads AUs off the video where there is no file.

    Raises:
        GenerationError: no source for this vocabulary, or a frame without a face; the message says which.
    """
    if case.aus is not None:
        return au.read(case.aus, vocabulary).resample(driving.fps, driving.num_frames).values
    if vocabulary not in SOURCES:
        raise GenerationError(f"no way to read {vocabulary} off a video; give the case a file of AUs")
    name = SOURCES[vocabulary]
    features = extraction.features({"driving": [name]}, {"driving": driving})[f"driving:{name}"]
    if isinstance(features, BenchError):
        raise GenerationError(f"driving AUs: {features}")
    if vocabulary == "feafa24":
        values = ARKIT_TO_FEAFA(features["blendshapes"])
    else:
        values = np.concatenate([features["r"], features["c"]], axis=1)
    if lost := int(np.isnan(values).any(axis=1).sum()):
        raise GenerationError(f"driving AUs: no face in {lost} of {len(values)} frames of the driving video")
    return values.astype(np.float32)
