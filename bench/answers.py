"""Answers: the emotion and AU track of a method that makes `aus`, as a file of the run folder and as features.

The file is an AU track of `bench.media.au` (JSON), with the emotion, the model's text and what of it could not be read
beside the values, so it serves as `--aus FILE` of another run.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from bench.driving import read_aus
from bench.features import FeatureExtraction, metric_label
from bench.media import au
from bench.media.clip import Clip
from bench.store import write_atomically
from methods.generator import AUAnswer, GenerationError, Request
from metrics.extractor import Features
from protocols.protocol import Case


def write_answer(path: Path, answer: AUAnswer, request: Request) -> None:
    """Store an answer.

    Raises:
        GenerationError: the answer has another shape than was asked for, or values outside [0, 1].
    """
    asked = (request.num_frames, len(au.vocabulary("feafa24")))
    if answer.aus.shape != asked:
        raise GenerationError(f"the method answered {answer.aus.shape}, AUs {asked} were asked for")
    if not (np.isfinite(answer.aus).all() and answer.aus.min() >= 0 and answer.aus.max() <= 1):
        raise GenerationError(f"the method answered AUs in [{answer.aus.min():g}, {answer.aus.max():g}], not in [0, 1]")
    track = au.AUTrack(answer.aus.astype(np.float32), request.fps, "feafa24")
    extra = {"emotion": answer.emotion, "text": answer.text, "problems": answer.problems}
    write_atomically(path, au.as_json(track, extra))


def answer_features(path: Path) -> Features:
    """A stored answer: "aus" float32 (T, 24), "emotion" uint8 utf-8 bytes, empty where the method did not say."""
    return {"aus": au.read(path, "feafa24").values} | metric_label(json.loads(path.read_text("utf-8"))["emotion"])


def true_features(case: Case, clip: Clip, extraction: FeatureExtraction) -> Features:
    """The case's own AUs at the rate of the view, "aus" float32 (T, 24), NaN where no face was found."""
    return {"aus": read_aus(case, "feafa24", clip, extraction)}
