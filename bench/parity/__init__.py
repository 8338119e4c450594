"""Our backbones against reference dumps: tensors, key names and tables that the official code produced.

A folder in the format of the dumps is enough; what it holds decides what is checked and at which sizes. For backbones
B in {hallo, memo} these files count, each optional:

    B_*_state_dict.safetensors, B_*_io.safetensors    a network's weights with its config, its inputs and outputs
    B_*_keys.json                                     names and shapes of the full-size parameters
    schedulers_diffusers_*.json                       noise schedules
    wav2vec_*_state_dict.safetensors, wav2vec_*_io.safetensors, hallo_masks*.safetensors    what goes into the network

For wan_vocal, the video transformer of StableAvatar and IUFace:

    stableavatar_*_state_dict.safetensors, stableavatar_*_io.safetensors    the transformer with its vocal path
    wan_vae_*_state_dict.safetensors, wan_vae_*_io.safetensors, wan_clip_*.safetensors    what it sees through
    stableavatar_*_tables.safetensors, stableavatar_audio_split*.json    positions, times, speech tokens of latent frames
    wan*_keys.json, stableavatar_*_keys.json, schedulers_diffusers_*.json
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from bench.media.errors import UserError
from bench.parity.report import Report

BACKBONES = {
    "hallo": ("dumps_hallo:check", "manifests:check", "schedules:check", "speech:check", "masks:check"),
    "memo": ("dumps_memo:check", "manifests:check", "schedules:check", "speech:check"),
    "wan_vocal": (
        "dumps_wan:check",
        "wan_encoders:check",
        "wan_tables:check",
        "wan_manifests:check",
        "schedules:check",
    ),
}
"""Backbone -> its checks: functions (folder, report) in modules of this package."""


def check_backbone(backbone: str, folder: Path) -> Report:
    """Run every check of a backbone on what the folder holds.

    Raises:
        UserError: no such folder, nothing in it to check, or a file that lacks what its check needs.
    """
    if backbone not in BACKBONES:
        raise UserError(f"no backbone {backbone!r}; there are: {', '.join(BACKBONES)}")
    if not folder.is_dir():
        raise UserError(f"--golden {folder}: no such folder")
    report = Report(backbone)
    for target in BACKBONES[backbone]:
        module, function = target.split(":")
        getattr(import_module(f"bench.parity.{module}"), function)(folder, report)
    if not report.errors:
        raise UserError(f"--golden {folder}: nothing to check for {backbone}: {'; '.join(report.unchecked)}")
    return report
