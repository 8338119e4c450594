"""The four controls on synth_std with shipped weights alone: every column filled, and in the order it must be in.

Oracle: what each control is. Its intervals must lie apart wherever one control is worse by construction.
"""

import math

import pytest

from bench.plan import make_plan
from bench.run import run
from bench.weights import Weights
from protocols.synth.protocols import SYNTH_METRICS
from tests.bench.conftest import Quiet

CONTROLS = ("ground_truth", "reencoded", "still_image", "shuffled_audio")
pytestmark = pytest.mark.slow  # Four runs of 24 cases, rendered, generated and scored: what the issue of a protocol is.


@pytest.fixture(scope="module")
def summaries(tmp_path_factory):
    """Summary of every control on the protocol's default subset."""
    folder = tmp_path_factory.mktemp("controls")
    weights = Weights(folder / "cache")
    found = {}
    for method in CONTROLS:
        plan = make_plan(method=method, protocol="synth_std", data=None, weights=weights)
        found[method] = run(plan, folder / method, weights=weights, progress=Quiet(), devices=["cpu"]).summary
    return found


@pytest.mark.parametrize("method", CONTROLS)
def test_every_column_is_filled(summaries, method):
    summary = summaries[method]
    assert summary["n"] == 24 and summary["n_failed"] == 0 and summary["synthetic"]
    assert list(summary["metrics"]) == list(SYNTH_METRICS)
    for key, cell in summary["metrics"].items():
        assert cell["missing"] is None and cell["n"] == 24 and cell["n_failed"] == 0, key
        assert math.isfinite(cell["value"]) and all(map(math.isfinite, cell["ci95"])), key


LADDERS = {
    "psnr": ("still_image", "reencoded", "ground_truth"),
    "ssim": ("still_image", "reencoded", "ground_truth"),
    "lpips@synth": ("ground_truth", "reencoded", "still_image"),
    "fid@synth": ("ground_truth", "reencoded", "still_image"),
    "kid@synth": ("ground_truth", "reencoded"),
    "fvd@synth": ("ground_truth", "reencoded", "still_image"),
    "efid@synth": ("ground_truth", "reencoded", "still_image"),
    "lse_c@synth": ("still_image", "shuffled_audio", "reencoded", "ground_truth"),
    "lse_d@synth": ("ground_truth", "reencoded", "shuffled_audio", "still_image"),
    "m_lmd@synth": ("ground_truth", "reencoded", "still_image"),
    "f_lmd@synth": ("ground_truth", "reencoded", "still_image"),
    "acc_emo@synth": ("still_image", "ground_truth"),
    "au_f1@synth": ("still_image", "reencoded", "ground_truth"),
    "au_recall@synth": ("still_image", "reencoded", "ground_truth"),
    "au_accuracy@synth": ("still_image", "reencoded", "ground_truth"),
    "au_mae@synth": ("ground_truth", "reencoded", "still_image"),
    "au_pcc@synth": ("still_image", "reencoded", "ground_truth"),
    "au_f1@synth_b": ("still_image", "reencoded", "ground_truth"),
    "au_mae@synth_b": ("ground_truth", "reencoded", "still_image"),
    "au_following@synth": ("still_image", "reencoded", "ground_truth"),
    "reference_leak@synth": ("ground_truth", "reencoded", "still_image"),
    "csim@synth": ("reencoded", "ground_truth", "still_image"),
}
"""Metric -> controls whose intervals must follow each other without touching, lowest first."""


@pytest.mark.parametrize("key", LADDERS)
def test_intervals_lie_apart(summaries, key):
    cells = [summaries[method]["metrics"][key] for method in LADDERS[key]]
    for lower, upper in zip(cells, cells[1:], strict=False):
        assert lower["ci95"][1] < upper["ci95"][0]


SOUND = {"lse_c@synth", "lse_d@synth", "av_offset@synth"}


def test_other_speech_changes_only_what_listens(summaries):
    """Oracle: the frames of shuffled_audio are those of ground_truth."""
    true, shuffled = summaries["ground_truth"]["metrics"], summaries["shuffled_audio"]["metrics"]
    for key in SYNTH_METRICS:
        figures = [(cell["value"], *cell["ci95"]) for cell in (true[key], shuffled[key])]
        same = all(math.isclose(one, other, abs_tol=1e-6) for one, other in zip(*figures, strict=True))
        assert same is (key not in SOUND), key


def test_true_speech_is_in_time(summaries):
    for method in ("ground_truth", "reencoded"):
        assert summaries[method]["metrics"]["av_offset@synth"]["value"] == 0.0
