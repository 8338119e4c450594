"""au_f1, au_precision, au_recall, au_accuracy, au_mae, au_pcc, ICC(3,1)."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import pearsonr
from sklearn import metrics as sk

from bench.media.au import VOCABULARIES
from bench.media.au_maps import ARKIT_TO_FEAFA
from bench.media.errors import Undefined
from metrics.au import AUF1, AUMAE, AUPCC, AUAccuracy, AUPrecision, AURecall
from metrics.functional import au
from tests.metrics.ddp import values_after_sync

SKLEARN = {"f1": sk.f1_score, "precision": sk.precision_score, "recall": sk.recall_score}
BOOLS = hnp.arrays(bool, st.tuples(st.integers(1, 12), st.just(5)))


def presences(seed: int, frames: int = 200, aus: int = 18, share: float = 0.3) -> tuple[np.ndarray, np.ndarray]:
    """Prediction and target that agree more often than chance; the last two AUs never occur in one or in both."""
    rng = np.random.default_rng(seed)
    target = rng.random((frames, aus)) < share
    prediction = np.where(rng.random((frames, aus)) < 0.8, target, ~target)
    target[:, -2:] = False
    prediction[:, -1] = False
    return prediction, target


def openface(prediction: np.ndarray, target: np.ndarray, role: str = "target", r=None) -> dict:
    """Features of two clips whose presences are given (T, 18)."""
    r = r or (np.zeros((len(target), 17)), np.zeros((len(target), 17)))
    sides = zip(("prediction", role), (prediction, target), r, strict=True)
    return {
        f"{side}:openface": {"c": c.astype(np.float32), "r": i.astype(np.float32), "success": np.isfinite(c).all(1)}
        for side, c, i in sides
    }


def by_key(key: str):
    return next(metric for metric in au.METRICS if metric.key == key)


# -- presence: scikit-learn -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("score", ["f1", "precision", "recall"])
@pytest.mark.parametrize("zero_division", [np.nan, 0.0, 1.0])
@pytest.mark.parametrize(("average", "theirs"), [("macro_au", "macro"), ("micro", "micro"), ("samples", "samples")])
def test_averages_against_sklearn(score, zero_division, average, theirs):
    """Oracle: scikit-learn's multilabel scores, for every averaging and every answer to 0 / 0."""
    for seed in range(5):
        prediction, target = presences(seed, share=(0.02, 0.3)[seed % 2])
        expected = SKLEARN[score](target, prediction, average=theirs, zero_division=zero_division)
        ours = au.presence_score(score, prediction, target, average, zero_division)
        assert ours.value == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("score", ["f1", "precision", "recall"])
@pytest.mark.parametrize("zero_division", [np.nan, 0.0, 1.0])
def test_per_au_against_sklearn(score, zero_division):
    """Oracle: scikit-learn with average=None; the AUs without a value are listed."""
    prediction, target = presences(0)
    expected = SKLEARN[score](target, prediction, average=None, zero_division=zero_division)
    ours = au.presence_score(score, prediction, target, "per_au", zero_division)
    np.testing.assert_allclose(ours.value, expected, atol=1e-12)
    undefined = {"f1": (17,), "precision": (17,), "recall": (16, 17)}[score]
    assert ours.excluded == (undefined if np.isnan(zero_division) else ())


def test_per_clip_against_sklearn():
    """Oracle: the mean over clips of scikit-learn's macro F1 of each."""
    prediction, target = presences(3)
    clips = np.repeat([5, 2, 9], [50, 120, 30])
    each = [
        sk.f1_score(target[clips == c], prediction[clips == c], average="macro", zero_division=np.nan)
        for c in (5, 2, 9)
    ]
    ours = au.f1(prediction, target, "per_clip", clips=clips)
    np.testing.assert_allclose(ours.parts, each, atol=1e-12)
    assert ours.value == pytest.approx(np.mean(each), abs=1e-12)


def test_accuracy_and_jaccard_against_sklearn():
    """Oracle: accuracy_score of all entries; jaccard_score averaged over frames that have an active AU."""
    prediction, target = presences(4)
    for average in ("macro_au", "micro", "samples"):
        expected = sk.accuracy_score(target.ravel(), prediction.ravel())
        assert au.accuracy(prediction, target, average).value == pytest.approx(expected, abs=1e-12)
    some = (prediction | target).any(1)
    for zero, rows in ((0.0, slice(None)), (np.nan, some)):
        expected = sk.jaccard_score(target[rows], prediction[rows], average="samples", zero_division=0)
        assert au.jaccard(prediction, target, "samples", zero).value == pytest.approx(expected, abs=1e-12)


def test_by_hand():
    """Oracle: by hand. AU 0: TP 2 FP 1 FN 1 TN 0; AU 1 never occurs; AU 2: TP 0 FP 0 FN 1."""
    prediction = np.array([[1, 0, 0], [1, 0, 0], [1, 0, 0], [0, 0, 0]], bool)
    target = np.array([[1, 0, 1], [1, 0, 0], [0, 0, 0], [1, 0, 0]], bool)
    np.testing.assert_array_equal(au.counts(prediction, target), [[2, 1, 1, 0], [0, 0, 0, 4], [0, 0, 1, 3]])
    assert au.f1(prediction, target).value == pytest.approx((4 / 6 + 0) / 2)
    assert au.f1(prediction, target).excluded == (1,)
    assert au.f1(prediction, target, zero_division=0).value == pytest.approx((4 / 6) / 3)
    assert au.f1(prediction, target, zero_division=1).value == pytest.approx((4 / 6 + 1) / 3)
    assert au.f1(prediction, target, "micro").value == pytest.approx(4 / 7)
    assert au.jaccard(prediction, target, "samples").value == pytest.approx((1 / 2 + 1 + 0 + 0) / 4)


def test_the_averages_differ():
    """Oracle: the claim that the average must be named; on the same data they are points apart."""
    prediction, target = presences(0, share=0.1)
    values = [au.f1(prediction, target, a, z).value for a in ("macro_au", "micro", "samples") for z in (np.nan, 0.0)]
    assert max(values) - min(values) > 0.03


@settings(max_examples=60, deadline=None)
@given(BOOLS, st.randoms(use_true_random=False))
def test_presence_properties(target, random):
    """Property: perfect agreement is 1, order of frames does not matter, micro is macro for one AU, F1 is symmetric."""
    rng = np.random.default_rng(random.randint(0, 2**31))
    prediction = rng.random(target.shape) < 0.5
    if not target.any():
        with pytest.raises(Undefined):
            au.f1(target, target)
        return
    assert au.f1(target, target).value == au.jaccard(target, target, "samples").value == 1
    order = rng.permutation(len(target))
    for average in ("macro_au", "micro", "samples"):
        there = au.f1(prediction, target, average).value
        assert au.f1(prediction[order], target[order], average).value == pytest.approx(there, abs=1e-12)
        assert au.f1(target, prediction, average).value == pytest.approx(there, abs=1e-12)
        assert 0 <= there <= 1
    column = int(np.flatnonzero(target.any(0))[0])
    one = np.s_[:, column : column + 1]
    assert au.f1(prediction[one], target[one]).value == au.f1(prediction[one], target[one], "micro").value
    assert (
        au.precision(prediction, target, zero_division=0).value == au.recall(target, prediction, zero_division=0).value
    )


def test_thresholds():
    """Oracle: the tools' own conventions, by hand at the threshold."""
    np.testing.assert_array_equal(au.active(np.array([0.0, 1.0]), "openface18"), [False, True])
    np.testing.assert_array_equal(au.active(np.array([0.99, 1.0]), "openface17"), [False, True])
    np.testing.assert_array_equal(au.active(np.array([0.49, 0.5]), "libreface12"), [False, True])
    np.testing.assert_array_equal(au.active(np.array([0.0, 1e-6]), "feafa24"), [False, True])


# -- intensity ------------------------------------------------------------------------------------------------------


def test_mae_against_numpy():
    """Oracle: numpy, entry by entry."""
    rng = np.random.default_rng(0)
    a, b = (np.where(rng.random((60, 24)) < 0.3, rng.random((60, 24)), 0) for _ in range(2))
    errors = np.abs(a - b)
    assert au.mae(a, b) == pytest.approx(errors.mean(), abs=1e-15)
    assert au.mae(a, b, "union") == pytest.approx(errors[(a > 0) | (b > 0)].mean(), abs=1e-15)
    assert au.mae(a, b, "gt_active") == pytest.approx(errors[b > 0].mean(), abs=1e-15)
    assert au.mae(a, b, "all") < au.mae(a, b, "union")


def test_mae_without_entries_is_undefined():
    """Oracle: the declared error."""
    with pytest.raises(Undefined, match="no active AU"):
        au.mae(np.ones((3, 2)), np.zeros((3, 2)), "gt_active")


@settings(max_examples=30, deadline=None)
@given(hnp.arrays(np.float64, (12, 3), elements=st.floats(0, 1)), st.floats(0, 0.5))
def test_mae_properties(values, shift):
    """Property: 0 on equal, the shift on shifted, symmetric."""
    assert au.mae(values, values) == 0
    assert au.mae(values + shift, values) == pytest.approx(shift, abs=1e-12)
    assert au.mae(values + shift, values) == au.mae(values, values + shift)


def test_pcc_against_scipy():
    """Oracle: scipy.stats.pearsonr per AU over the frames of the clip, then the mean."""
    rng = np.random.default_rng(1)
    target = np.clip(rng.random((75, 17)) * 5, 0, 5).astype(np.float32)
    prediction = (0.5 * target + rng.random((75, 17)) * 2).astype(np.float32)
    expected = [pearsonr(prediction[:, i].astype(float), target[:, i].astype(float))[0] for i in range(17)]
    np.testing.assert_allclose(au.correlations(prediction, target, 5.0), expected, atol=1e-12)
    assert au.pcc(prediction, target, 5.0) == pytest.approx(np.mean(expected), abs=1e-12)


def test_pcc_edge_cases():
    """Oracle: the definition. AU 0 moves and is followed, AU 1 moves and the prediction is frozen (0), AU 2 is still in
    the target (left out); nothing moving and too few frames have no value."""
    t = np.linspace(0, 6, 50)
    target = np.stack([np.sin(t), np.cos(t), np.full(50, 0.3)], axis=1).astype(np.float32)
    prediction = np.stack([np.sin(t) * 2 + 1, np.full(50, 0.7), np.sin(t)], axis=1).astype(np.float32)
    np.testing.assert_allclose(au.correlations(prediction, target, 1.0), [1, 0, np.nan], atol=1e-6)
    assert au.pcc(prediction, target, 1.0) == pytest.approx(0.5, abs=1e-6)
    with pytest.raises(Undefined, match="none of the target's 3 AUs moves"):
        au.pcc(target, np.full((50, 3), 0.3), 1.0)
    with pytest.raises(Undefined, match="9 usable frames"):
        au.pcc(target[:9], target[:9], 1.0)


def test_icc_against_anova_by_hand():
    """Oracle: the two-way ANOVA of Shrout and Fleiss, with loops, on random data and on two of their raters."""
    rng = np.random.default_rng(2)
    a, b = rng.random((30, 4)), rng.random((30, 4))
    b[:, 0] = a[:, 0] + 0.5
    ours = au.icc31(a, b)
    for column in range(4):
        assert ours[column] == pytest.approx(anova_icc31(np.stack([a[:, column], b[:, column]], axis=1)), abs=1e-12)
    # A constant offset between the raters is consistent: ICC(3,1) is 1.
    assert ours[0] == pytest.approx(1)
    table = np.array([[9, 2], [6, 1], [8, 4], [7, 1], [10, 5], [6, 2]], float)
    expected = anova_icc31(table)
    assert au.icc31(table[:, :1], table[:, 1:])[0] == pytest.approx(expected, abs=1e-12)
    assert np.isnan(au.icc31(np.ones((5, 1)), np.ones((5, 1)))[0])


def anova_icc31(table: np.ndarray) -> float:
    """ICC(3,1) from mean squares of rows, columns and residual; float (n, k)."""
    n, k = table.shape
    total = sum((x - table.mean()) ** 2 for x in table.ravel())
    rows = k * sum((row.mean() - table.mean()) ** 2 for row in table)
    columns = n * sum((column.mean() - table.mean()) ** 2 for column in table.T)
    between, residual = rows / (n - 1), (total - rows - columns) / ((n - 1) * (k - 1))
    return (between - residual) / (between + (k - 1) * residual)


# -- the metrics ----------------------------------------------------------------------------------------------------


def test_every_key_is_there_and_the_default_is_first():
    """Oracle: the list of keys this family owes."""
    names = ("au_f1", "au_precision", "au_recall", "au_accuracy", "au_mae", "au_pcc")
    variants = [
        f"@{role}{vocabulary}" for vocabulary in ("", ".libreface12", ".feafa24") for role in ("target", "driving")
    ]
    variants += ["@synth", "@driving.synth", "@synth_b", "@driving.synth_b", "@answer"]
    assert sorted(metric.key for metric in au.METRICS) == sorted(
        name + variant for name in names for variant in variants
    )
    for name in names:
        assert next(metric.variant for metric in au.METRICS if metric.name == name) == "@target"
        assert by_key(f"{name}@driving").needs == ("prediction:openface", "driving:openface")
    assert all(metric.higher_is_better == (metric.name != "au_mae") for metric in au.METRICS)


@pytest.mark.parametrize("name", ["f1", "precision", "recall"])
def test_pooled_over_clips_is_sklearn_on_all_frames(name):
    """Oracle: scikit-learn on the frames of three clips put together; the mean over clips is another number."""
    clips = [presences(seed, 40) for seed in range(3)]
    metric = by_key(f"au_{name}@target")
    statistics = [metric.case(openface(*clip)) for clip in clips]
    together = [np.concatenate(sides) for sides in zip(*clips, strict=True)]
    expected = SKLEARN[name](together[1], together[0], average="macro", zero_division=np.nan)
    assert metric.finish(sum(statistics)) == pytest.approx(expected, abs=1e-12)
    one = SKLEARN[name](clips[0][1], clips[0][0], average="macro", zero_division=np.nan)
    assert metric.per_case(statistics[0]) == pytest.approx(one, abs=1e-12)
    assert abs(metric.finish(sum(statistics)) - np.mean([metric.per_case(s) for s in statistics])) > 1e-4


def test_accuracy_is_elementwise_for_openface_and_jaccard_for_feafa():
    """Oracle: scikit-learn, either definition, on the frames of two clips together."""
    clips = [presences(seed, 40) for seed in range(2)]
    together = [np.concatenate(sides) for sides in zip(*clips, strict=True)]
    metric = by_key("au_accuracy@target")
    value = metric.finish(sum(metric.case(openface(*clip)) for clip in clips))
    assert value == pytest.approx(sk.accuracy_score(together[1].ravel(), together[0].ravel()), abs=1e-12)

    shapes = [blendshapes(seed) for seed in range(4)]
    metric = by_key("au_accuracy@target.feafa24")
    pairs = [(shapes[0], shapes[1]), (shapes[2], shapes[3])]
    value = metric.finish(sum(metric.case(landmarks(*pair)) for pair in pairs))
    a, b = (ARKIT_TO_FEAFA(np.concatenate(side)) > 0 for side in zip(*pairs, strict=True))
    assert value == pytest.approx(sk.jaccard_score(b, a, average="samples", zero_division=0), abs=1e-12)


def blendshapes(seed: int) -> np.ndarray:
    """float32 (30, 52): most small, some large."""
    return np.random.default_rng(seed).random((30, 52)).astype(np.float32) ** 6


def landmarks(prediction: np.ndarray, target: np.ndarray, role: str = "target") -> dict:
    return {"prediction:landmarks": {"blendshapes": prediction}, f"{role}:landmarks": {"blendshapes": target}}


def test_feafa_metrics_go_through_the_map():
    """Oracle: scikit-learn and numpy on the mapped values."""
    a, b = blendshapes(0), blendshapes(1)
    x, y = ARKIT_TO_FEAFA(a), ARKIT_TO_FEAFA(b)
    needs = landmarks(a, b, "driving")
    f1 = by_key("au_f1@driving.feafa24")
    expected = sk.f1_score(y > 0, x > 0, average="macro", zero_division=np.nan)
    assert f1.finish(f1.case(needs)) == pytest.approx(expected, abs=1e-12)
    mae = by_key("au_mae@driving.feafa24")
    union = (x > 0) | (y > 0)
    assert mae.finish(mae.case(needs)) == pytest.approx(np.abs(x.astype(float) - y)[union].mean(), abs=1e-12)
    expected = [pearsonr(x[:, i], y[:, i])[0] for i in np.flatnonzero(y.std(0) >= 0.01)]
    assert by_key("au_pcc@driving.feafa24").case(needs) == pytest.approx(np.mean(expected), abs=1e-5)


def test_libreface_metrics_take_detection_and_intensity():
    """Oracle: scikit-learn and numpy on LibreFace's two sets."""
    rng = np.random.default_rng(0)
    detection = [(rng.random((20, 12)) < 0.4).astype(np.float32) for _ in range(2)]
    intensity = [(rng.random((20, 12)) * 5).astype(np.float32) for _ in range(2)]
    needs = {
        f"{role}:libreface": {"detection": detection[i], "intensity": intensity[i]}
        for i, role in enumerate(("prediction", "target"))
    }
    f1, mae = by_key("au_f1@target.libreface12"), by_key("au_mae@target.libreface12")
    expected = sk.f1_score(detection[1], detection[0], average="macro")
    assert f1.finish(f1.case(needs)) == pytest.approx(expected, abs=1e-12)
    expected = np.abs(intensity[0].astype(float) - intensity[1]).mean()
    assert mae.finish(mae.case(needs)) == pytest.approx(expected, abs=1e-12)


def test_frames_without_a_face_are_left_out_until_they_are_the_majority():
    """Oracle: scikit-learn on the frames that remain; above half, Undefined with the counts."""
    prediction, target = (side.astype(np.float32) for side in presences(0, 20))
    prediction[:6] = np.nan
    target[4:10] = np.nan
    metric = by_key("au_f1@target")
    expected = sk.f1_score(target[10:], prediction[10:], average="macro", zero_division=np.nan)
    assert metric.finish(metric.case(openface(prediction, target))) == pytest.approx(expected, abs=1e-12)
    target[10] = np.nan
    with pytest.raises(Undefined, match="6 of 20 frames of the prediction and 7 of 20 frames of the target"):
        metric.case(openface(prediction, target))


def test_nothing_active_anywhere_is_undefined_not_zero():
    """Oracle: the declared error, through the pooled path."""
    metric = by_key("au_f1@target")
    nothing = np.zeros((10, 18))
    with pytest.raises(Undefined, match="no active AU on either side"):
        metric.finish(metric.case(openface(nothing, nothing)))


# -- torchmetrics ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "score"), [(AUF1, "f1"), (AUPrecision, "precision"), (AURecall, "recall")])
@pytest.mark.parametrize("average", ["macro_au", "micro", "samples", "per_au", "per_clip"])
def test_classes_against_the_functions(kind, score, average):
    """Oracle: the pure function on all frames at once; two updates, then the same split the other way by merging."""
    prediction, target = (torch.from_numpy(side.astype(np.float32)) for side in presences(7, 90))
    clips = np.repeat([0, 1], [50, 40])
    metric = kind(average=average)
    metric.update(prediction[:50], target[:50])
    metric.update(prediction[50:], target[50:])
    expected = au.presence_score(score, prediction.numpy() > 0, target.numpy() > 0, average, clips=clips).value
    np.testing.assert_allclose(metric.compute().numpy(), expected, atol=1e-12)
    assert metric.higher_is_better and metric.paper


def test_accuracy_mae_and_pcc_classes():
    """Oracle: the pure functions; a frame without a face counts nowhere."""
    prediction, target = (side.astype(np.float32) for side in presences(8, 60))
    accuracy, jaccard = AUAccuracy(), AUAccuracy(average="samples", definition="jaccard")
    rng = np.random.default_rng(0)
    r = [(rng.random((60, 17)) * 5).astype(np.float32) for _ in range(2)]
    r[0][5] = np.nan
    keep = np.arange(60) != 5
    mae, pcc = AUMAE(), AUPCC()
    for rows in (slice(0, 30), slice(30, 60)):
        accuracy.update(torch.from_numpy(prediction[rows]), torch.from_numpy(target[rows]))
        jaccard.update(torch.from_numpy(prediction[rows]), torch.from_numpy(target[rows]))
        mae.update(torch.from_numpy(r[0][rows]), torch.from_numpy(r[1][rows]))
        pcc.update(torch.from_numpy(r[0][rows]), torch.from_numpy(r[1][rows]))
    assert accuracy.compute().item() == pytest.approx((prediction == target).mean(), abs=1e-12)
    assert jaccard.compute().item() == pytest.approx(au.jaccard(prediction > 0, target > 0, "samples").value, abs=1e-12)
    assert mae.compute().item() == pytest.approx(au.mae(r[0][keep], r[1][keep]), abs=1e-12)
    halves = [au.pcc(r[0][keep][:29], r[1][keep][:29], 5.0), au.pcc(r[0][30:], r[1][30:], 5.0)]
    assert pcc.compute().item() == pytest.approx(np.mean(halves), abs=1e-12)
    assert not mae.higher_is_better and pcc.higher_is_better


def test_two_processes_give_one_number(tmp_path):
    """Oracle: one process that sees every clip; gloo, two processes with different clips."""
    clips = [tuple(torch.from_numpy(side.astype(np.float32)) for side in presences(seed, 30)) for seed in range(3)]
    alone = AUF1()
    for clip in clips:
        alone.update(*clip)
    for value in values_after_sync(AUF1, [clips[:1], clips[1:]], tmp_path):
        assert value.item() == alone.compute().item()


def test_feafa_names_are_the_columns():
    """Oracle: the vocabulary; the class reads A from it."""
    assert AUMAE("feafa24", "union").entries == "union"
    assert AUF1("feafa24").table.shape == (len(VOCABULARIES["feafa24"]), 4)


def answered(answer: np.ndarray, truth: np.ndarray) -> dict:
    return {"case:answer": {"aus": answer}, "case:aus": {"aus": truth}}


def test_answers_are_scored_by_vector_on_what_is_written():
    """Oracle: scikit-learn's example-based averages; two decimals decide what is active."""
    rng = np.random.default_rng(3)
    truth, answer = (np.where(rng.random((14, 24)) < 0.3, rng.random((14, 24)), 0).astype(np.float32) for _ in "ab")
    truth[:, 0], answer[:, 0] = 0.004, 0  # Rounds to .00: nobody writes it.
    truth[0] = np.nan  # No face.
    written = np.round(truth[1:], 2)
    real, made = written > 0, answer[1:] > 0
    for name, oracle in (SKLEARN | {"accuracy": sk.jaccard_score}).items():
        metric = by_key(f"au_{name}@answer")
        value = metric.finish(metric.case(answered(answer, truth)))
        assert value == pytest.approx(oracle(real, made, average="samples", zero_division=0), abs=1e-12), name
    mae, either = by_key("au_mae@answer"), real | made
    expected = np.abs(written - answer[1:])[either].mean()
    assert mae.finish(mae.case(answered(answer, truth))) == pytest.approx(expected, abs=1e-6)
    assert by_key("au_pcc@answer").case(answered(truth, truth)) == pytest.approx(1, abs=1e-3)
