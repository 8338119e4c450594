"""`bench prepare synth`: people of the synthetic world as a data set on disk, with a manifest like that of a real one."""

from __future__ import annotations

import time
from pathlib import Path

from bench.media.clip import Clip, hash_file
from bench.media.errors import UserError
from bench.progress import Progress, counted, duration
from protocols.manifest import Manifest, ManifestClip, write_manifest
from protocols.synth.emotions import EXPRESSIONS
from protocols.synth.world import FPS, SIZE, VERSION, ClipSpec, Split, identities, sentences

LARGEST = 1024
"""Pixels of a side; the world has no detail to show beyond it."""


def clip_specs(split: Split, people: int | None, clips_per_person: int) -> list[ClipSpec]:
    """Clip m of person j: expression m of the 22, over and over, each time with another sentence."""
    family = "outdoor" if split == "general" else "studio"
    return [
        ClipSpec(
            who,
            *EXPRESSIONS[m % len(EXPRESSIONS)],
            (7 * j + 3 * m + m // len(EXPRESSIONS)) % len(sentences(who)),
            family,
        )
        for j, who in enumerate(identities(split, people))
        for m in range(clips_per_person)
    ]


def prepare_synth(
    out: Path,
    *,
    progress: Progress,
    split: Split = "test",
    people: int | None = None,
    clips_per_person: int = len(EXPRESSIONS),
    size: tuple[int, int] = SIZE,
    workers: int | None = None,
) -> Manifest:
    """Render people of the synthetic world; what is there already is kept.

    Args:
        out: folder for the clips and `manifest.json`.
        progress: where to report to.
        split: `train`, `test` or `general` (unseen people before unseen backgrounds); they share nobody.
        people: how many; None takes 48 of `train`, 12 of either other.
        clips_per_person: the 22 expressions in turn, then again with other sentences.
        size: (height, width).
        workers: processes; None takes one per core.

    Raises:
        UserError: numbers that make no sense, or a folder that holds another data set.
    """
    from protocols.synth.files import clip_path, make_ready

    if min(size) < 32 or max(size) > LARGEST:
        raise UserError(f"--size {size[1]}x{size[0]}: sides of 32 to {LARGEST} pixels can be rendered")
    if (people is not None and people < 1) or clips_per_person < 1:
        raise UserError("--identities and --clips-per-identity must be at least 1")
    specs = list(dict.fromkeys(clip_specs(split, people, clips_per_person)))
    _refuse_another(out, next((path for spec in specs if (path := clip_path(out, spec)).exists()), None), size)
    began = time.monotonic()
    with counted(progress, "render") as step:
        made = make_ready(out, specs, size, step, workers)
    clips = tuple(_entry(out, clip_path(out, spec), spec) for spec in sorted(specs, key=lambda spec: spec.id))
    manifest = Manifest(
        dataset="synth", version=VERSION, fps=FPS, size=size, crop="rendered as it is", storage="lossless",
        complete=True, clips=clips,
    )  # fmt: skip
    write_manifest(out, manifest)
    frames = sum(clip.frames for clip in clips)
    progress.say(f"{len(clips)} clips, {frames} frames, {made} made now in {duration(time.monotonic() - began)}: {out}")
    return manifest


def _refuse_another(out: Path, present: Path | None, size: tuple[int, int]) -> None:
    """Clips of another size or world version would be mixed with these."""
    from protocols.manifest import MANIFEST, read_manifest

    if (out / MANIFEST).exists() and (known := read_manifest(out, "synth").version) != VERSION:
        raise UserError(f"{out} holds synth-v{known}, this is v{VERSION}; choose another --out")
    if present is not None and (shape := (Clip(present).height, Clip(present).width)) != size:
        raise UserError(
            f"{out} holds clips of {shape[1]}x{shape[0]}, asked for is {size[1]}x{size[0]}; choose another --out"
        )


def _entry(out: Path, path: Path, spec: ClipSpec) -> ManifestClip:
    return ManifestClip(
        id=spec.id, file=path.relative_to(out).as_posix(), sha256=hash_file(path), frames=Clip(path).num_frames,
        identity=spec.identity, emotion=spec.emotion, level=spec.level, sentence=f"{spec.sentence + 1:03d}",
        source=f"synth-v{VERSION}", aus=path.with_suffix(".csv").relative_to(out).as_posix(),
    )  # fmt: skip
