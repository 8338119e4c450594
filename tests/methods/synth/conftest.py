"""Rendered pictures and speech of people nobody has learned from, and the shipped encoders."""

import numpy as np
import pytest

from bench.weights import Weights
from methods.synth.encoders import SynthEncoders
from protocols.synth.world import ClipSpec, make_clip


@pytest.fixture(scope="session")
def encoders() -> SynthEncoders:
    lock = Weights()
    return SynthEncoders({name: lock.path(name) for name in SynthEncoders.weights})


@pytest.fixture(scope="session")
def rendered():
    """Three clips of two test people, 24 frames each."""
    specs = [ClipSpec("T01", "happy", 3, 0), ClipSpec("T01", "neutral", 1, 4), ClipSpec("T02", "angry", 2, 9)]
    return [make_clip(spec, num_frames=24) for spec in specs]


@pytest.fixture(scope="session")
def frames(rendered) -> np.ndarray:
    """uint8 (9, 128, 128, 3): three frames of each clip."""
    return np.concatenate([clip.frames[::8] for clip in rendered])
