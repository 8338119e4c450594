"""Features: decoded once, cached by content, and honest about what is missing. Oracle: counted calls of small extractors."""

import numpy as np
import pytest

from bench import registry
from bench.features import FeatureExtraction, Unavailable, unavailable
from bench.media.clip import ArrayClip, Clip
from bench.media.errors import MissingPrerequisite, Undefined
from metrics.extractor import Extractor, PairExtractor
from tests.videos import numbered_frames


class Means(Extractor):
    """Mean of every frame."""

    name = "means"
    began = 0

    def begin(self, clip, features):
        type(self).began += 1
        self._rows = []

    def update(self, frames):
        self._rows.append(frames.mean((1, 2, 3)))

    def finish(self):
        return {"mean": np.concatenate(self._rows)}


class Steps(Means):
    """Differences of consecutive means: builds on Means, and checks that it is given them."""

    name = "steps"
    after = ("means",)

    def begin(self, clip, features):
        super().begin(clip, features)
        self._means = features["means"]["mean"]

    def finish(self):
        assert np.array_equal(super().finish()["mean"], self._means)
        return {"step": np.diff(self._means)}


class Gaps(PairExtractor):
    """Absolute differences of two clips."""

    name = "gaps"
    after = ("means",)

    def begin(self, clip, target, features, target_features):
        assert {*features, *target_features} == {"means"}
        self._gaps = []

    def update(self, frames, target):
        self._gaps.append(np.abs(frames.astype(float) - target).mean((1, 2, 3)))

    def finish(self):
        return {"gap": np.concatenate(self._gaps)}


class Nothing(Means):
    name = "nothing"

    def finish(self):
        raise Undefined("no face in 12 of 12 frames")


class Broken(Means):
    name = "broken"

    def update(self, frames):
        raise ZeroDivisionError("a bug")


class Lacking(Means):
    name = "lacking"

    def begin(self, clip, features):
        raise MissingPrerequisite("needs a program: install it")


class Sidecar(Means):
    name = "sidecar"
    text = "one"

    @classmethod
    def beside(cls, clip):
        return cls.text


class Elsewhere(Means):
    name = "elsewhere"
    packages = ("a_package_nobody_has",)


EXTRACTORS = {cls.name: cls for cls in (Means, Steps, Gaps, Nothing, Broken, Lacking, Sidecar, Elsewhere)}


@pytest.fixture(autouse=True)
def known_extractors(monkeypatch):
    for name, cls in EXTRACTORS.items():
        monkeypatch.setitem(registry.EXTRACTORS, name, f"{__name__}:{cls.__name__}")
        monkeypatch.setattr(cls, "began", 0, raising=False)


@pytest.fixture
def extraction(weights, tmp_path):
    return FeatureExtraction(weights, "cpu", log=tmp_path / "errors.log")


def test_one_decode_feeds_all(extraction, grid_clips, monkeypatch):
    """Oracle: decodes counted inside Clip: one per clip for single, dependent and pair extractors together."""
    decodes = []
    real = Clip._iter_frames
    monkeypatch.setattr(Clip, "_iter_frames", lambda self: decodes.append(self.path) or real(self))
    clips = {"prediction": Clip(grid_clips[0]), "target": Clip(grid_clips[1])}
    found = extraction.features({"prediction": ["steps", "means"], "target": ["means"], "pair": ["gaps"]}, clips)
    assert sorted(decodes) == sorted(grid_clips[:2])
    first, second = (Clip(path).frames.astype(float) for path in grid_clips[:2])
    assert np.allclose(found["prediction:steps"]["step"], np.diff(first.mean((1, 2, 3))))
    assert np.allclose(found["pair:gaps"]["gap"], np.abs(first - second).mean((1, 2, 3)))


def test_long_clips_are_not_kept(extraction, grid_clips, monkeypatch):
    """Oracle: with no room to keep frames the features are the same, from one more decode."""
    clips = {"prediction": Clip(grid_clips[0]), "target": Clip(grid_clips[1])}
    wanted = {"prediction": ["steps"], "pair": ["gaps"]}
    monkeypatch.setattr("bench.features.BUFFER_BYTES", 0)
    found = extraction.features(wanted, clips)
    first, second = (Clip(path).frames.astype(float) for path in grid_clips[:2])
    assert np.allclose(found["pair:gaps"]["gap"], np.abs(first - second).mean((1, 2, 3)))
    assert np.allclose(found["prediction:steps"]["step"], np.diff(first.mean((1, 2, 3))))


def test_the_cache_is_keyed_by_content(extraction, weights, monkeypatch):
    """Oracle: how often the extractor began: equal frames once, other frames or another version again."""
    clip, same, other = (ArrayClip(numbered_frames(n)) for n in (8, 8, 9))
    for view in (clip, same):
        extraction.features({"target": ["means"]}, {"target": view})
    fresh = FeatureExtraction(weights, "cpu")
    assert np.array_equal(
        fresh.features({"target": ["means"]}, {"target": same})["target:means"]["mean"],
        numbered_frames(8).mean((1, 2, 3)),
    )
    assert Means.began == 1
    fresh.features({"target": ["means"]}, {"target": other})
    assert Means.began == 2
    monkeypatch.setattr(Means, "version", 2)
    FeatureExtraction(weights, "cpu").features({"target": ["means"]}, {"target": clip})
    assert Means.began == 3


def test_what_lies_beside_the_clip_is_part_of_the_key(extraction, monkeypatch):
    """Oracle: how often the extractor began when its sidecar changes."""
    clip = ArrayClip(numbered_frames(8))
    for text, began in (("one", 1), ("one", 1), ("two", 2), ("one", 2)):
        monkeypatch.setattr(Sidecar, "text", text)
        extraction.features({"target": ["sidecar"]}, {"target": clip})
        assert Sidecar.began == began


def test_a_clip_without_a_value_is_remembered_with_its_reason(extraction):
    """Oracle: the reason, and that the extractor ran once."""
    clip = ArrayClip(numbered_frames(8))
    for _ in range(2):
        found = extraction.features({"target": ["nothing"]}, {"target": clip})["target:nothing"]
        assert isinstance(found, Undefined)
        assert str(found) == "no face in 12 of 12 frames"
    assert Nothing.began == 1


def test_a_crash_is_recorded_with_its_traceback_and_spares_the_others(extraction, tmp_path):
    """Oracle: the reason, the log, and the other extractor's value; nothing is cached for the broken one."""
    clip = ArrayClip(numbered_frames(8))
    for run in (1, 2):
        found = extraction.features({"target": ["broken", "means"]}, {"target": clip})
        assert str(found["target:broken"]) == "extractor broken crashed: ZeroDivisionError: a bug"
        assert np.array_equal(found["target:means"]["mean"], numbered_frames(8).mean((1, 2, 3)))
        assert Broken.began == run
    assert "a bug" in (tmp_path / "errors.log").read_text()


def test_what_is_missing_is_said(extraction, weights):
    """Oracle: the messages for an absent package, weight and program."""
    clip = ArrayClip(numbered_frames(8))
    found = extraction.features({"target": ["elsewhere", "lacking", "inception"]}, {"target": clip})
    assert all(isinstance(result, Unavailable) for result in found.values())
    assert "needs the Python package a_package_nobody_has: pip install" in str(found["target:elsewhere"])
    assert str(found["target:lacking"]) == "needs a program: install it"
    assert "python -m bench fetch inception_fid" in str(found["target:inception"])
    assert unavailable("means", weights) is None
