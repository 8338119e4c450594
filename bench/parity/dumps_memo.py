"""memo_*_io.safetensors: the denoiser over several clips and steps with one memory, with and without guidance."""

from __future__ import annotations

import re
from pathlib import Path

from bench.parity.files import Dump, find_dumps
from bench.parity.networks import RUNS, build_projections, build_unets, compare_hooks, recorded
from bench.parity.report import Report

MEMORY_SITE = "down_blocks.0.attentions.0"
"""Whose first attention's memory is recorded."""


def check(folder: Path, report: Report) -> None:
    dumps = find_dumps(folder, "memo")
    if not dumps:
        report.unchecked.append("no memo_*_io.safetensors: the network")
    for dump in dumps:
        _check_dump(dump, report)


def _check_dump(dump: Dump, report: Report) -> None:
    import torch

    prefix = f"{dump.io.name}:out/"
    with torch.inference_mode():
        unets = build_unets("memo", dump, "diffusion_net.", "reference_net.")
        projections = build_projections(dump, "image_proj", "audio_proj")
        for run, rows in RUNS.items():
            if expected := dump.outputs(f"out/{run}/"):
                _check_calls(dump, unets, projections, rows, expected, report, f"{prefix}{run}/")
            else:
                report.unchecked.append(f"{prefix}{run}/: not recorded")


def _check_calls(
    dump: Dump, unets: tuple, projections: tuple, rows: tuple[bool, ...], expected: dict, report: Report, prefix: str
) -> None:
    """All calls in order, with the recorded insides of the first.

    The official memory is emptied and filled at every step of the first clip, and at the first step of later ones takes
    in their past frames: after any step it holds what ours holds once it has taken in that clip.
    """
    denoiser, reference_net = unets
    hooks = {name.removeprefix("hook/"): value for name, value in expected.items() if name.startswith("hook/")}
    clips = sorted(int(match[1]) for name in dump.tensors if (match := re.fullmatch(r"in/latents_(\d+)", name)))
    ours: dict = {}
    memory = None
    for clip in clips:
        conditions = _conditions(dump, projections, reference_net, rows, clip)
        if clip == clips[0]:
            ours |= _named_features(conditions.reference, expected)
        memory = denoiser.remember(conditions.reference, memory)
        latents = dump.input(f"in/latents_{clip}").transpose(1, 2).repeat(len(rows), 1, 1, 1, 1)
        for step, time in enumerate(dump.setting("steps")):
            first = clip == clips[0] and step == 0
            with recorded(denoiser, {name.partition("/")[0] for name in hooks} if first else ()) as outputs:
                noise = denoiser(latents, time, conditions, memory)
            if first:
                compare_hooks(outputs, hooks, report, f"{prefix}hook/")
            ours |= _named_results(f"clip{clip}_step{step}", noise, memory)
    report.compare_all(ours, {name: value for name, value in expected.items() if not name.startswith("hook/")}, prefix)


def _named_features(reference, expected: dict) -> dict:
    """Features by recorded names: down_blocks.0.attentions.1 is ref/down.0.1, the middle block's only site ref/mid.

    The official features of a block without attention are images (B*R, C, h, w), ours tokens like all others.
    """
    features = {}
    for site, rows in reference.sites.items():
        name = re.sub(r"_blocks|\.attentions|\.resnets", "", site).replace("mid_block.0", "mid")
        rows = rows.flatten(0, 1)
        recorded_as = expected.get(f"ref/{name}", rows)
        features[f"ref/{name}"] = rows.transpose(1, 2).reshape(recorded_as.shape) if recorded_as.ndim == 4 else rows
    return features


def _named_results(call: str, noise, memory) -> dict:
    kv, z = memory.sites[MEMORY_SITE][0]
    return {
        f"noise_pred/{call}": noise.transpose(1, 2),
        f"memory_KV/{call}": kv.flatten(0, 2),  # (B, s*s, heads, d, d) -> rows of (d, d)
        f"memory_Z/{call}": z.flatten(0, 2),
    }


def _conditions(dump: Dump, projections: tuple, reference_net, rows: tuple[bool, ...], clip: int):
    """Conditions of a clip with a row for each of `rows`: True = with everything, False = null."""
    import torch

    from methods.talking_unet.conditions import Conditions

    faces, speech = projections
    embedding, audio = dump.input("in/face_emb"), speech(dump.input(f"in/audio_window_{clip}"))
    face = faces(torch.cat([embedding if row else torch.zeros_like(embedding) for row in rows]))
    return Conditions(
        face=face,
        reference=reference_net(dump.input(f"in/ref_latents_{clip}").expand(len(rows), -1, -1, -1, -1), face),
        use_reference=torch.tensor(rows),
        audio=torch.cat([audio if row else torch.zeros_like(audio) for row in rows]),
        emotion=torch.tensor([dump.setting("emotion" if row else "null_emotion") for row in rows]),
    )
