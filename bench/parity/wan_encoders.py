"""wan_vae_* and wan_clip_*: the autoencoder of videos and the visual tower that Wan's transformer looks through."""

from __future__ import annotations

from pathlib import Path

from bench.media.errors import UserError
from bench.parity.files import Dump, find_dumps, read_tensors
from bench.parity.report import Report, relative_error


def check(folder: Path, report: Report) -> None:
    vaes, clips = find_dumps(folder, "wan_vae"), sorted(folder.glob("wan_clip_*.safetensors"))
    if not vaes:
        report.unchecked.append("no wan_vae_*_io.safetensors: the autoencoder")
    for dump in vaes:
        _check_vae(dump, report)
    if not clips:
        report.unchecked.append("no wan_clip_*.safetensors: the visual tower")
    for path in clips:
        _check_clip(path, report)


def _check_vae(dump: Dump, report: Report) -> None:
    """Means of the latents of in/x, and pixels of the recorded latents."""
    import torch

    from methods.conditioning.wan_vae import decoded_pieces, vae_from_state

    try:
        vae = vae_from_state(dump.state)
    except (KeyError, RuntimeError) as error:
        raise UserError(f"{dump.io}: the weights beside it are not of Wan's autoencoder: {error}") from error
    expected = dump.outputs("out/")
    with torch.inference_mode():
        ours = {"z": vae.encode(dump.input("in/x")).latent_dist.mean}
        if "y" in expected:
            ours["y"] = torch.cat(list(decoded_pieces(vae, expected.get("z", ours["z"]))), dim=2)
    report.compare_all(ours, expected, f"{dump.io.name}:out/")


def _check_clip(path: Path, report: Report) -> None:
    """Penultimate states. The number of heads leaves no trace in the weights: it is what fits the recording best."""
    import torch

    from methods.conditioning.clip_image import clip_from_state, penultimate

    tensors, _ = read_tensors(path)
    state = {name.removeprefix("sd."): value for name, value in tensors.items() if name.startswith("sd.")}
    if missing := {"in/x", "out/penultimate"} - set(tensors):
        raise UserError(f"{path}: has no tensor {', '.join(sorted(missing))}")
    expected = tensors["out/penultimate"].double().numpy()
    width = expected.shape[-1]
    fits = {}
    with torch.inference_mode():
        for heads in (heads for heads in range(1, width + 1) if width % heads == 0):
            try:
                clip = clip_from_state(state, heads)
            except (KeyError, RuntimeError) as error:
                raise UserError(f"{path}: sd.* are not the weights of Wan's visual tower: {error}") from error
            states = penultimate(clip, tensors["in/x"])
            fits[relative_error(states.double().numpy(), expected)] = states
    report.compare(f"{path.name}:out/penultimate", fits[min(fits)], expected)
