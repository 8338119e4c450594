"""Driving AUs: the Action Units of a case for a method that asks for them, from its file or from its driving video."""

from __future__ import annotations

import numpy as np

from bench.features import FeatureExtraction
from bench.media import au_maps
from bench.media.au_maps import ARKIT_TO_FEAFA
from bench.media.clip import Clip
from bench.media.errors import BenchError, MediaError
from methods.generator import GenerationError
from protocols.protocol import Case

SOURCES = {"feafa24": "landmarks", "openface35": "openface"}
"""Vocabulary -> the extractor that reads it off a video."""
ESTIMATORS = {"landmarks": "feafa24", "openface": "openface35", "synth_face": "feafa24"}
"""Extractor that reads AUs off a video -> its vocabulary. `synth_face` knows rendered faces only."""


def driving_aus(case: Case, vocabulary: str, driving: Clip, extraction: FeatureExtraction) -> np.ndarray:
    """float32 (T, A) in `vocabulary` at the rate of the driving view, for a method that asks for AUs.

    Args:
        case: its `aus` file is used if it has one.
        vocabulary: the generator's `au_vocabulary`.
        driving: the view of the driving video, T frames.
        extraction: reads AUs off the video where there is no file.

    Raises:
        GenerationError: no source for this vocabulary, or a frame without a face; the message says which.
    """
    if case.aus is None and vocabulary not in SOURCES:
        raise GenerationError(f"no way to read {vocabulary} off a video; give the case a file of AUs")
    try:
        values = read_aus(case, vocabulary, driving, extraction)
    except MediaError:
        raise
    except BenchError as error:
        raise GenerationError(f"driving AUs: {error}") from error
    if case.aus is None and (lost := int(np.isnan(values).any(axis=1).sum())):
        raise GenerationError(f"driving AUs: no face in {lost} of {len(values)} frames of the driving video")
    return values


def read_aus(case: Case, vocabulary: str, clip: Clip, extraction: FeatureExtraction) -> np.ndarray:
    """float32 (T, A) of a view of the case's driving video: from the case's file, else read off the frames, NaN where
    there is no face.

    Raises:
        BenchError: the extractor cannot run here, or says why it has no features.
    """
    if case.aus is not None:
        return au_maps.read(case.aus, vocabulary).resample(clip.fps, clip.num_frames).values
    return estimated_aus(SOURCES[vocabulary], clip, extraction)


def estimated_aus(estimator: str, clip: Clip, extraction: FeatureExtraction) -> np.ndarray:
    """float32 (T, A) of a view, in the estimator's vocabulary (ESTIMATORS); NaN where there is no face.

    Raises:
        BenchError: the extractor cannot run here, or says why it has no features.
    """
    features = extraction.features({"driving": [estimator]}, {"driving": clip})[f"driving:{estimator}"]
    if isinstance(features, BenchError):
        raise features
    if estimator == "landmarks":
        return ARKIT_TO_FEAFA(features["blendshapes"]).astype(np.float32)
    if estimator == "openface":
        return np.concatenate([features["r"], features["c"]], axis=1).astype(np.float32)
    return features["aus"]
