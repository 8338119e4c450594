"""What a method is given: AUs in its vocabulary, and a refusal before any work where a protocol lacks what it needs.

Oracles: the extractor and the map called by hand; a file of AUs written here.
"""

import numpy as np
import pytest

from bench import registry
from bench.driving import driving_aus
from bench.features import FeatureExtraction
from bench.media import au
from bench.media.au_maps import ARKIT_TO_FEAFA
from bench.media.clip import Clip
from bench.media.errors import UserError
from methods.generator import GenerationError, Generator
from protocols.protocol import Case
from tests.bench.conftest import moving_clip


class Recorder(Generator):
    """Repeats the reference image and keeps the AUs it was given."""

    title = "for this test"
    needs = frozenset({"aus"})
    au_vocabulary = "feafa24"
    given: dict = {}

    def generate(self, request):
        self.given[request.case] = request.aus
        return np.stack([request.reference] * request.num_frames)


class Feeling(Recorder):
    needs = frozenset({"emotion"})


def test_a_method_gets_the_driving_aus(bench_run, tmp_path, grid_clips, monkeypatch):
    """Oracle: landmarks of the clip, mapped by hand; a clip without a face fails with the reason."""
    monkeypatch.setitem(registry.METHODS, "recorder", f"{__name__}:Recorder")
    monkeypatch.setattr(Recorder, "given", {})
    data = tmp_path / "faces"
    moving_clip(data / "nobody.mp4", seed=3, size=(96, 96))
    (data / "speaker.mpg").symlink_to(grid_clips[0])
    outcome = bench_run("recorder", data, metrics=["psnr"])
    failed = [{"case": "nobody", "reason": "driving AUs: no face in 12 of 12 frames of the driving video"}]
    assert outcome.summary["failures"] == failed
    from bench.weights import Weights

    clip = Clip(grid_clips[0])
    features = FeatureExtraction(Weights(), "cpu").features({"target": ["landmarks"]}, {"target": clip})
    expected = ARKIT_TO_FEAFA(features["target:landmarks"]["blendshapes"])
    assert Recorder.given["speaker"].shape == (75, 24)
    assert np.array_equal(Recorder.given["speaker"], expected.astype(np.float32))


def test_aus_from_a_file_are_resampled(weights, tmp_path):
    """Oracle: a ramp written at 5 Hz, read at 25 fps by linear interpolation."""
    clip = Clip(moving_clip(tmp_path / "a.mp4", seed=0, frames=12))
    values = np.zeros((4, 24), np.float32)
    values[:, 3] = np.linspace(0, 0.9, 4)
    au.write(au.AUTrack(values, 5.0, "feafa24"), tmp_path / "aus.csv")
    case = Case(id="a", identity="a", reference=clip.path, driving=clip.path, aus=tmp_path / "aus.csv")
    read = driving_aus(case, "feafa24", clip, FeatureExtraction(weights, "cpu"))
    assert read.shape == (12, 24)
    assert np.allclose(read[:, 3], np.interp(np.arange(12) / 25, np.arange(4) / 5, values[:, 3]), atol=1e-6)
    with pytest.raises(GenerationError, match="no way to read libreface12 off a video"):
        driving_aus(case.model_copy(update={"aus": None}), "libreface12", clip, FeatureExtraction(weights, "cpu"))


def test_needs_are_checked_before_any_work(bench_run, clips, monkeypatch, tmp_path):
    """Oracle: the message, and no run folder."""
    monkeypatch.setitem(registry.METHODS, "feeling", f"{__name__}:Feeling")
    with pytest.raises(UserError, match="method feeling needs emotion, which protocol folder does not have"):
        bench_run("feeling", clips)
    assert not (tmp_path / "run").exists()
