"""bench.aggregate against hand-made records, the published per-clip results of EAT and explicit loops."""

import csv
import json
import random
import subprocess
import sys

import numpy as np
import pytest

from bench.aggregate import SetEvaluation, aggregate, compare, scored_cases
from bench.media.errors import Undefined
from bench.statistics import jackknife_interval, mean_interval
from metrics.functional import efid, fid, fvd, kid
from metrics.functional.frechet import frechet_distance
from metrics.metric import Metric


def describe(name="psnr", variant="@frame", kind="mean", **changes):
    """A metric whose per-case function is not used."""
    about = {"needs": (), "case": float, "unit": "dB", "higher_is_better": True, "paper": ""}
    return Metric(name=name, variant=variant, kind=kind, **(about | changes))


def record(case, identity, **metrics):
    return {"case": case, "identity": identity, "status": "ok", "reason": None, "metrics": metrics}


def failed(case, identity, reason):
    return {"case": case, "identity": identity, "status": "failed", "reason": reason, "metrics": {}}


def values(numbers, people=4, key="psnr"):
    return [record(f"c{i:03}", f"id{i % people:02}", **{key: {"value": v}}) for i, v in enumerate(numbers)]


PSNR = {"psnr": describe()}


# -- one run ----------------------------------------------------------------------------------------------------------


def test_block_of_the_published_eat_results(assets):
    """Oracle: means printed by evaluation_eat, rounded to 10 digits; the interval is that of mean_interval."""
    with open(assets / "metrics" / "eat_filter100_per_clip.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    keys = ("m_lmd", "f_lmd", "psnr")
    records = [
        record(line["clip"], line["clip"][:4], **{key: {"value": float(line[key])} for key in keys}) for line in lines
    ]
    metrics = {key: describe(key, "@eat128", unit="px", higher_is_better=key == "psnr") for key in keys}
    block = aggregate(records, metrics)
    assert [block[key]["value"] for key in keys] == [2.223348264, 2.425297369, 21.85924734]
    assert block["m_lmd"]["interval"] == "cluster-robust t, 3 degrees of freedom"
    expected = mean_interval([float(line["m_lmd"]) for line in lines], [line["clip"][:4] for line in lines])
    assert block["m_lmd"]["ci95"] == pytest.approx([expected.low, expected.high], rel=1e-9)
    expected = {"n": 100, "n_failed": 0, "unit": "px", "higher_is_better": False, "variant": "@eat128", "missing": None}
    assert block["m_lmd"].items() >= (expected | {"clusters": 4}).items()


def test_bytes_do_not_depend_on_the_order_of_cases():
    """Property: shuffled records (shards, a killed run) give the same JSON text; all kinds of metric."""
    rng = np.random.default_rng(0)
    metrics = PSNR | {
        "pool": describe("pool", "@x", "pooled", finish=lambda s: s[0] / s[1]),
        "fid": describe("fid", "@x", "set", distance=frechet_distance, higher_is_better=False),
    }
    features = {f"c{i:03}": rng.normal(size=(2, 3, 4)).astype(np.float32) for i in range(40)}
    records = [
        record(case, f"id{i % 13}", psnr={"value": rng.normal()}, pool={"statistics": rng.uniform(1, 2, 2).tolist()},
               fid={"rows": [3, 3]})
        for i, case in enumerate(features)
    ]  # fmt: skip

    def rows(case, metric):
        return features[case][0], features[case][1]

    texts = set()
    for seed in range(4):
        random.Random(seed).shuffle(records)
        texts.add(json.dumps(aggregate(records, metrics, rows, seed=7)))
    assert len(texts) == 1
    assert json.dumps(aggregate(records, metrics, rows, seed=8)) not in texts


def test_numbers_have_ten_significant_digits_and_no_negative_zero():
    """Analytic: 1/3 and a tiny negative mean."""
    third = aggregate(values([1 / 3] * 4), PSNR)["psnr"]
    assert third["value"] == 0.3333333333 and third["ci95"] == [0.3333333333, 0.3333333333]
    zero = aggregate(values([-0.0] * 4), PSNR)["psnr"]
    assert json.dumps([zero["value"], zero["ci95"]]) == "[0.0, [0.0, 0.0]]"


def test_failures_are_counted_not_dropped():
    """Analytic: a failed case, a case whose metric failed, four good ones."""
    records = [*values([1.0, 2.0, 3.0, 4.0]), failed("x", "id00", "generator error")]
    records.append(record("y", "id01", psnr={"failed": "no face in 75 of 75 frames of the prediction"}))
    block = aggregate(records, PSNR)["psnr"]
    assert (block["value"], block["n"], block["n_failed"], block["missing"]) == (2.5, 4, 2, None)
    assert scored_cases(records, PSNR) == {"psnr": frozenset({"c000", "c001", "c002", "c003"})}


def test_a_metric_nobody_could_compute_says_what_to_fetch():
    """Analytic: null value, the text once, failures of the generator still counted."""
    text = "weights inception_fid: python -m bench fetch inception_fid"
    records = [record(f"c{i}", f"id{i}", fid={"missing": text}) for i in range(3)] + [failed("x", "id9", "crash")]
    block = aggregate(records, {"fid": describe("fid", "@inception", "set", distance=frechet_distance)})["fid"]
    assert (block["value"], block["ci95"], block["n"], block["n_failed"], block["missing"]) == (None, None, 0, 1, text)
    assert block["interval"] == "none: no value" and block["detectable"] is None


def test_a_metric_some_cases_lack_is_a_value_with_a_warning():
    """Analytic: added later with --metrics, or a weight fetched half way."""
    records = [*values([1.0, 2.0, 3.0]), record("x", "id00"), record("y", "id01", psnr={"missing": "fetch it"})]
    block = aggregate(records, PSNR)["psnr"]
    assert (block["value"], block["n"], block["n_failed"]) == (2.0, 3, 0)
    assert block["missing"] == (
        "2 of 5 cases lack it: fetch it; not computed yet: score the run again with --metrics psnr"
    )


def test_when_every_case_failed_the_commonest_reason_is_given():
    """Analytic: no value, and not a word of fetching anything."""
    records = [failed("a", "p", "no face"), failed("b", "p", "no face"), failed("c", "p", "too short")]
    block = aggregate(records, PSNR)["psnr"]
    assert (block["value"], block["n"], block["n_failed"]) == (None, 0, 3)
    assert block["missing"] == "all 3 cases failed, 2 of them with: no face"
    assert aggregate([], PSNR)["psnr"]["missing"] == "the run has no cases"


def test_two_records_of_one_case_are_refused():
    """Analytic: they would count twice."""
    with pytest.raises(ValueError, match="more than one record, for example c000"):
        aggregate([*values([1.0]), *values([1.0])], PSNR)


@pytest.mark.parametrize("entry", [{"value": float("nan")}, {"statistics": [1.0, float("inf")]}])
def test_a_value_that_is_no_number_names_its_case(entry):
    """Analytic: NaN is never averaged and never dropped."""
    with pytest.raises(ValueError, match="case bad: psnr is not finite"):
        aggregate([*values([1.0]), record("bad", "id01", psnr=entry)], PSNR)


def test_pooling_over_frames_differs_from_the_mean_over_clips():
    """Oracle: numpy over all frames; long bad clips weigh more, as in evaluation_eat (21.79 against 21.86 dB)."""
    rng = np.random.default_rng(1)
    clips = [rng.normal(20 - count / 50, 1, count) for count in rng.integers(20, 200, 30)]
    records = [
        record(f"c{i:02}", f"id{i % 5}", psnr={"value": clip.mean()}, pooled={"statistics": [clip.sum(), len(clip)]})
        for i, clip in enumerate(clips)
    ]
    pooled = describe("psnr", "@pooled", "pooled", finish=lambda total: total[0] / total[1])
    block = aggregate(records, PSNR | {"pooled": pooled})
    assert block["psnr"]["value"] == pytest.approx(np.mean([clip.mean() for clip in clips]), rel=1e-9)
    assert block["pooled"]["value"] == pytest.approx(np.concatenate(clips).mean(), rel=1e-9)
    assert block["pooled"]["value"] < block["psnr"]["value"] - 0.1
    assert block["pooled"]["interval"] == "cluster jackknife t"


def test_a_pooled_metric_without_a_value_gives_its_reason():
    """Analytic: Undefined over the whole set is not an error of the run."""

    def finish(total):
        raise Undefined("no positive frame in the protocol")

    records = [record(f"c{i}", f"id{i}", au={"statistics": [0.0]}) for i in range(4)]
    block = aggregate(records, {"au": describe("au", "@x", "pooled", finish=finish)})["au"]
    assert (block["value"], block["n"], block["missing"]) == (None, 4, "no positive frame in the protocol")


# -- set metrics ------------------------------------------------------------------------------------------------------

SET_METRICS = [*fid.METRICS, *fvd.METRICS, *efid.METRICS, *kid.METRICS]


def feature_rows(cases, dimensions=6, seed=2):
    """Unequal numbers of rows per case: rows(case, metric), as the feature cache gives them."""
    rng = np.random.default_rng(seed)
    made = {
        case: (rng.normal(0.3, 1.2, (2 + i % 3, dimensions)).astype(np.float32),
               rng.normal(size=(3 + i % 2, dimensions)).astype(np.float32))
        for i, case in enumerate(cases)
    }  # fmt: skip
    return lambda case, metric: made[case]


@pytest.mark.parametrize("metric", SET_METRICS, ids=lambda metric: metric.key)
@pytest.mark.parametrize("people", [3, 12])
def test_set_metric_matches_a_loop_over_deleted_groups(metric, people):
    """Oracle: the metric's own distance on concatenated rows, called once per deleted group."""
    cases = [f"c{i:03}" for i in range(48)]
    names = [f"id{i % people:02}" for i in range(48)]
    rows = feature_rows(cases)
    records = [record(case, name, m={"rows": [1, 1]}) for case, name in zip(cases, names, strict=True)]
    block = aggregate(records, {"m": metric}, rows)["m"]

    def joined(kept):
        return [np.concatenate([rows(case, metric)[side] for case in kept]) for side in (0, 1)]

    assert block["value"] == pytest.approx(metric.distance(*joined(cases)), rel=1e-6)
    assert block["rows"] == [len(side) for side in joined(cases)]
    groups = [[c for i, c in enumerate(cases) if (i % people if people == 12 else i % 20) != j]
              for j in range(12 if people == 12 else 20)]  # fmt: skip
    left = [metric.distance(*joined(kept)) for kept in groups]
    sizes = [block["rows"][0] - len(joined(kept)[0]) for kept in groups]
    expected = jackknife_interval(left, block["value"], sizes, metric.bounds)
    assert block["ci95"] == pytest.approx([expected.low, expected.high], rel=1e-5)
    assert block["ci95"][0] <= block["value"] <= block["ci95"][1]
    deleted = "12 identities" if people == 12 else "20 groups of clips of the same 3 identities"
    assert block["interval"] == f"jackknife t, {deleted}" and block["clusters"] == len(groups)


def test_a_set_metric_of_one_case_has_no_interval():
    """Analytic: nothing can be left out."""
    evaluation = SetEvaluation(fvd.METRICS[0], ["a"], ["p"], feature_rows(["a"]))
    assert evaluation.interval().method == "none: one group only"


def test_set_metrics_without_features_say_so():
    """Analytic: a table made on a machine without the cache."""
    block = aggregate([record("c", "p", fid={"rows": [1, 1]})], {"fid": fid.METRICS[0]})["fid"]
    assert block["value"] is None and block["missing"].endswith("score the run again")


# -- two runs ---------------------------------------------------------------------------------------------------------


def test_difference_of_means_is_paired_and_antisymmetric():
    """Oracle: mean_interval of the per-case differences; swapping the runs flips every sign."""
    rng = np.random.default_rng(3)
    hard = rng.normal(size=30)
    first, second = values(hard + 0.2 + 0.1 * rng.normal(size=30)), values(hard)
    second[7] = failed("c007", "id03", "no face")
    found = compare(first, second, "psnr", PSNR["psnr"])
    kept = [i for i in range(30) if i != 7]
    deltas = [first[i]["metrics"]["psnr"]["value"] - second[i]["metrics"]["psnr"]["value"] for i in kept]
    expected = mean_interval(deltas, [f"id{i % 4:02}" for i in kept])
    assert [found["value"], *found["ci95"]] == pytest.approx([expected.value, expected.low, expected.high], rel=1e-9)
    assert (found["n"], found["only_first"], found["only_second"]) == (29, 1, 0)
    flipped = compare(second, first, "psnr", PSNR["psnr"])
    assert [flipped["value"], *flipped["ci95"]] == pytest.approx(
        [-found["value"], -found["ci95"][1], -found["ci95"][0]]
    )
    assert flipped["detectable"] == found["detectable"]


def test_difference_of_frechet_distances_is_a_jackknife_of_the_difference():
    """Oracle: explicit loop. Pairing matters: two runs that share their faults have a narrow difference."""
    cases = [f"c{i:03}" for i in range(60)]
    records = [record(case, f"id{i % 3}", fid={"rows": [1, 1]}) for i, case in enumerate(cases)]
    rows = feature_rows(cases)

    def shifted(case, metric):
        prediction, target = rows(case, metric)
        return prediction + np.float32(0.1), target

    metric = fid.METRICS[0]
    found = compare(records, records, "fid", metric, (shifted, rows))
    alone = aggregate(records, {"fid": metric}, rows)["fid"]

    def distance(source, skipped):
        kept = [case for i, case in enumerate(cases) if i % 20 != skipped]
        return frechet_distance(*(np.concatenate([source(case, metric)[side] for case in kept]) for side in (0, 1)))

    deltas = [distance(shifted, j) - distance(rows, j) for j in range(20)]
    sizes = [sum(len(rows(case, metric)[0]) for case in cases[j::20]) for j in range(20)]
    expected = jackknife_interval(deltas, distance(shifted, None) - distance(rows, None), sizes)
    assert [found["value"], *found["ci95"]] == pytest.approx([expected.value, expected.low, expected.high], rel=1e-6)
    assert found["ci95"][1] - found["ci95"][0] < 0.5 * (alone["ci95"][1] - alone["ci95"][0])
    same = compare(records, records, "fid", metric, (rows, rows))
    assert (same["value"], same["ci95"]) == (0.0, [0.0, 0.0])


def test_runs_without_a_common_case_have_no_difference():
    """Analytic: the block says why."""
    found = compare(values([1.0]), [failed("c000", "id00", "crash")], "psnr", PSNR["psnr"])
    assert (found["value"], found["ci95"], found["n"]) == (None, None, 0)
    assert found["missing"] == "no case in common: 1 against 0 cases"


def test_aggregating_and_printing_import_no_heavy_package():
    """Oracle: sys.modules of a fresh interpreter; tables must open in a moment."""
    code = (
        "import sys, bench.aggregate, bench.table_formats;"
        "print([m for m in ('torch', 'torchmetrics', 'scipy', 'pandas', 'av', 'cv2', 'rich') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
