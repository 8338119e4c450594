"""This suite's side of the speed benchmark: `bench score` of finished videos, by make_plan and run, from an empty cache,
and then of a second method's videos against the same targets.

    python benchmarks/our_side.py WORK RESULT

WORK is the folder that score.py prepares; RESULT becomes a JSON file: seconds, decodes, scores.
"""

from __future__ import annotations

import time

STARTED = time.perf_counter()

import json  # noqa: E402 (the imports are timed)
import shutil  # noqa: E402
import sys  # noqa: E402
from collections import Counter  # noqa: E402
from pathlib import Path  # noqa: E402

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.features import FeatureExtraction  # noqa: E402
from bench.media import clip as clips  # noqa: E402
from bench.plan import make_plan  # noqa: E402
from bench.run import run  # noqa: E402
from bench.weights import Weights  # noqa: E402
from benchmarks.stand_ins import LOCK, fixed_box  # noqa: E402
from metrics.extractors import s3fd  # noqa: E402

METRICS = (
    "psnr", "ssim", "fid", "lse_c", "lse_d", "av_offset", "m_lmd", "f_lmd", "au_mae@target.feafa24", "efid@mp52",
)  # fmt: skip


class Silent:
    """Progress that says nothing."""

    def say(self, message: str) -> None: ...
    def start(self, total: int, what: str) -> None: ...
    def step(self, note: str = "") -> None: ...
    def stop(self) -> None: ...


class Loading:
    """Seconds spent on importing and constructing extractors, which happens at their first use."""

    def __init__(self) -> None:
        self.seconds = 0.0
        original = FeatureExtraction._extractor

        def timed(extraction, name):
            started = time.perf_counter()
            try:
                return original(extraction, name)
            finally:
                self.seconds += time.perf_counter() - started

        FeatureExtraction._extractor = timed


class Decodes:
    """Frames taken from video decoders, by file; the one decoded to learn a file's geometry included."""

    def __init__(self) -> None:
        self.frames: Counter[str] = Counter()
        self.clips = 0
        decode, first, features = clips._decode_video, clips._first_frame, FeatureExtraction.features

        def counted_decode(path, index):
            for item in decode(path, index):
                self.frames[str(path)] += 1
                yield item

        def counted_first(container, path):
            self.frames[str(path)] += 1
            return first(container, path)

        def counted_features(extraction, wanted, sources):
            before = extraction.decoded_clips
            try:
                return features(extraction, wanted, sources)
            finally:
                self.clips += extraction.decoded_clips - before

        clips._decode_video, clips._first_frame = counted_decode, counted_first
        FeatureExtraction.features = counted_features


def substitute_detections() -> None:
    """Run S3FD in full, then take the fixed box."""
    detect = s3fd.detect

    def substituted(network, frames):
        detect(network, frames)
        return [fixed_box(*frames.shape[1:3])] * len(frames)

    s3fd.detect = substituted


def score(work: Path, predictions: str) -> dict:
    """Score one folder of finished videos; its `metrics` block."""
    weights = Weights(work / "cache", work / "cache" / LOCK)
    plan = make_plan(
        method=predictions, protocol="folder", data=work / "targets", weights=weights, metrics=list(METRICS),
        videos=work / predictions,
    )  # fmt: skip
    outcome = run(plan, work / "runs" / predictions, weights=weights, progress=Silent(), devices=["cpu"])
    if wanting := [key for key, entry in outcome.summary["metrics"].items() if entry["value"] is None]:
        raise RuntimeError(f"no value for {wanting}: {outcome.summary}")
    return outcome.summary["metrics"]


def main(work: Path, result: Path) -> None:
    for leftover in (work / "cache" / "features", work / "runs"):
        shutil.rmtree(leftover, ignore_errors=True)
    (work / "cache" / "hashes.sqlite").unlink(missing_ok=True)
    loading, decodes = Loading(), Decodes()
    substitute_detections()
    imported = time.perf_counter()
    metrics = score(work, "predictions")
    scored = time.perf_counter()
    report = {
        "load_seconds": imported - STARTED + loading.seconds,
        "score_seconds": scored - imported - loading.seconds,
        "cpu_seconds": time.process_time(),
        "source_frames": sum(decodes.frames.values()),
        "intermediate_frames": 0,
        "source_passes": decodes.clips,
        "scores": {key: metrics[key]["value"] for key in METRICS},
    }
    report["wall_seconds"] = report["load_seconds"] + report["score_seconds"]
    score(work, "predictions2")
    report["second_seconds"] = time.perf_counter() - scored
    result.write_text(json.dumps(report), "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
