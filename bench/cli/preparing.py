"""`prepare`: a data set in its official layout, or the synthetic world, as clips with a manifest."""

from __future__ import annotations

import os
from pathlib import Path

import typer

from bench.cli.output import print_json
from bench.media.errors import UserError
from bench.progress import make_progress
from protocols.synth.emotions import EXPRESSIONS
from protocols.synth.world import Split


def prepare_real(
    dataset: str,
    root: Path | None,
    out: Path,
    size: int | None,
    storage: str,
    workers: int | None,
    limit: int | None,
    as_json: bool,
) -> None:
    """Prepare and print the report; the exit code is 1 where files that should be clips are none."""
    from bench.prepare import LAYOUTS, SIZE, prepare
    from bench.prepare_report import as_markdown

    if root is None:
        raise UserError(f"prepare {dataset} needs --root DIR, a folder with {LAYOUTS[dataset].EXPECTED}")
    outcome = prepare(
        dataset, root, out, progress=make_progress(), size=size or SIZE, storage=storage,
        workers=workers or os.cpu_count() or 1, limit=limit,
    )  # fmt: skip
    if as_json:
        print_json(outcome.report.model_dump(mode="json"))
    else:
        print(f"{as_markdown(outcome.report)}\nWritten to {out}: clips/, manifest.json, report.md, report.json")
    if outcome.exit_code:
        raise typer.Exit(outcome.exit_code)


def prepare_synthetic(
    out: Path,
    split: Split | None,
    people: int | None,
    clips_per_person: int | None,
    size: int | None,
    workers: int | None,
    as_json: bool,
) -> None:
    """Render people of the synthetic world to disk."""
    from bench.synth_world import SIZE, prepare_synth

    manifest = prepare_synth(
        out, progress=make_progress(), split=split or "test", people=people,
        clips_per_person=clips_per_person or len(EXPRESSIONS),
        size=(size, size) if size else SIZE, workers=workers,
    )  # fmt: skip
    if as_json:
        print_json(manifest.model_dump(mode="json"))


VIDEO_METHODS = ("stableavatar", "iuface")
"""Methods with the video transformer; their features are `bench.prepare_video_features`."""


def prepare_training_features(
    dataset: str, out: Path, method: str, separate_vocals: bool, prompts: Path | None, device: str, as_json: bool
) -> None:
    """Compute what a method is trained on, of every clip of a prepared folder; the exit code is 1 where one has none."""
    from bench.device import resolve_device
    from bench.weights import Weights
    from protocols.manifest import read_manifest
    from protocols.published import clip_case

    manifest = read_manifest(out, dataset)
    cases = [clip_case(out, clip, clip) for clip in manifest.clips]
    model = "synth" if dataset == "synth" else "full"
    common = {
        "weights": Weights(), "progress": make_progress(), "device": resolve_device(device), "fps": manifest.fps,
    }  # fmt: skip
    if method in VIDEO_METHODS:
        from bench.prepare_video_features import VideoFeatureSource, prepare_video_features
        from protocols.protocol import NEUTRAL

        neutral = [case for case in cases if case.emotion in NEUTRAL]
        made = prepare_video_features(
            cases, neutral, out, VideoFeatureSource.of(model, separate_vocals=separate_vocals),
            "neutral" if method == "iuface" else "first", prompts=prompts, **common,
        )  # fmt: skip
        folder, count, failed = out / "features", len(made.clips), made.failed
    else:
        from bench.prepare_features import FeatureSource, prepare_features

        source = FeatureSource("memo" if method.endswith("memo") else "hallo", model, separate_vocals)
        prepared = prepare_features(cases, out, source, **common)
        folder, count, failed = prepared.folder, len(prepared.files), prepared.failed
    if as_json:
        print_json({"folder": str(folder), "files": count, "failed": failed})
    else:
        print(f"Features of {count} clips, {len(failed)} failed: {folder}")
    if failed:
        raise typer.Exit(1)
