"""hallo_*_io.safetensors: the reference net's bank, the denoiser with and without guidance, the networks before them."""

from __future__ import annotations

from pathlib import Path

from bench.parity.files import Dump, find_dumps
from bench.parity.networks import RUNS, build_projections, build_unets, compare_hooks, load_part, recorded
from bench.parity.report import Report

BLOCK = ".transformer_blocks.0"
"""The official bank belongs to the block inside an attention site."""


def check(folder: Path, report: Report) -> None:
    dumps = find_dumps(folder, "hallo")
    if not dumps:
        report.unchecked.append("no hallo_*_io.safetensors: the network")
    for dump in dumps:
        _check_dump(dump, report)


def _check_dump(dump: Dump, report: Report) -> None:
    import torch

    prefix = f"{dump.io.name}:out/"
    with torch.inference_mode():
        parts = _parts(dump)
        report.compare_all(
            parts, {name: value for name, value in dump.outputs("out/").items() if "/" not in name}, prefix
        )
        denoiser, reference_net = build_unets("hallo", dump, "denoising_unet.", "reference_unet.")
        for run, rows in RUNS.items():
            if expected := dump.outputs(f"out/{run}/"):
                conditions = _conditions(dump, parts, reference_net, rows)
                _check_call(dump, denoiser, conditions, expected, report, f"{prefix}{run}/")
            else:
                report.unchecked.append(f"{prefix}{run}/: not recorded")


def _check_call(dump: Dump, denoiser, conditions, expected: dict, report: Report, prefix: str) -> None:
    """One call of the denoiser, with all its recorded insides."""
    hooks = {name.removeprefix("hook/"): value for name, value in expected.items() if name.startswith("hook/")}
    latents = dump.input("in/latents").transpose(1, 2).repeat(len(conditions), 1, 1, 1, 1)
    with recorded(denoiser, hooks) as outputs:
        noise = denoiser(latents, dump.input("in/timestep"), conditions)
    ours = {f"bank/{site}{BLOCK}": rows.flatten(0, 1) for site, rows in conditions.reference.sites.items()}
    ours["noise_pred"] = noise.transpose(1, 2)
    report.compare_all(ours, {name: value for name, value in expected.items() if not name.startswith("hook/")}, prefix)
    compare_hooks(outputs, hooks, report, f"{prefix}hook/")


def _parts(dump: Dump) -> dict:
    """What the projections and the face locator make of the inputs, by the names of the recording."""
    import torch

    from methods.talking_unet.projections import FaceLocator

    faces, speech = build_projections(dump, "imageproj", "audioproj")
    locator = load_part(
        FaceLocator(dump.section("face_locator")["conditioning_embedding_channels"]), dump, "face_locator."
    )
    embedding, region = dump.input("in/face_emb"), dump.input("in/face_region").transpose(1, 2)
    located = locator(region.flatten(0, 1)).unflatten(0, region.shape[:2])
    return {
        "imageproj": faces(embedding),
        "imageproj_zero": faces(torch.zeros_like(embedding)),
        "audioproj": speech(dump.input("in/audio_window")),
        "face_locator": located.transpose(1, 2),
    }


def _conditions(dump: Dump, parts: dict, reference_net, rows: tuple[bool, ...]):
    """Conditions with a row for each of `rows`: True = with everything, False = null."""
    import torch

    from methods.talking_unet.conditions import Conditions

    def stacked(name: str):
        return torch.cat([parts[name] if row else torch.zeros_like(parts[name]) for row in rows])

    def mask(part: str, level: int):
        return dump.input(f"in/{part}_mask_{level}").expand(len(rows), -1, -1)

    face = torch.cat([parts["imageproj" if row else "imageproj_zero"] for row in rows])
    levels = range(len(dump.section("base")["block_out_channels"]))
    return Conditions(
        face=face,
        reference=reference_net(dump.input("in/ref_latents").expand(len(rows), -1, -1, -1, -1), face),
        use_reference=torch.tensor(rows),
        audio=stacked("audioproj"),
        masks=tuple(tuple(mask(part, level) for part in ("full", "face", "lip")) for level in levels),
        motion_scale=tuple(dump.setting("motion_scale")),
        face_mask=stacked("face_locator").transpose(1, 2),
    )
