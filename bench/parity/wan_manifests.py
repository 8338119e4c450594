"""*_keys.json of Wan2.1 and StableAvatar: every official parameter has its place in ours, and ours has no other.

What network a file is of shows in its names. Ours are built on torch's meta device at the sizes that the shapes say, and the
official names go through the converters that load the published files.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bench.parity.manifests import Shapes, compare_shapes, read_manifest, shapes_of
from bench.parity.report import Report


def check(folder: Path, report: Report) -> None:
    paths = sorted({*folder.glob("wan*_keys.json"), *folder.glob("stableavatar_*_keys.json")})
    if not paths:
        report.unchecked.append("no wan*_keys.json, stableavatar_*_keys.json: names and shapes of parameters")
    for path in paths:
        shapes, document = read_manifest(path)
        kind = next((kind for mark, kind in KINDS.items() if mark in shapes), None)
        if kind is None:
            report.unchecked.append(f"{path.name}: of a network unknown here")
            continue
        try:
            ours, converted = kind(shapes, document)
        except KeyError as error:
            report.mismatch(path.name, f"has no parameter {error}")
            continue
        compare_shapes(path.name, ours, converted, report)


def _meta_tensors(shapes: Shapes) -> dict:
    import torch

    return {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}


def _built(make: Callable) -> Shapes:
    """Names and shapes of a network's parameters."""
    import torch

    with torch.device("meta"):
        return shapes_of(make().state_dict())


def _transformer(shapes: Shapes, document: dict) -> tuple[Shapes, Shapes]:
    from methods.talking_dit.checkpoints import from_official
    from methods.talking_dit.sizes import official_sizes
    from methods.talking_dit.transformer import TalkingDiT

    ours = _built(lambda: TalkingDiT(**official_sizes(shapes)))
    return ours, shapes_of(from_official(_meta_tensors(shapes)))


def _diffusers_transformer(shapes: Shapes, document: dict) -> tuple[Shapes, Shapes]:
    from inspect import signature

    from methods.talking_dit.transformer import TalkingDiT

    sizes = {name: document["config"][name] for name in signature(TalkingDiT).parameters if name in document["config"]}
    return _built(lambda: TalkingDiT(**sizes)), shapes


def _vocal_projector(shapes: Shapes, document: dict) -> tuple[Shapes, Shapes]:
    from methods.talking_dit.vocal import VocalProjector

    inner = {name.removeprefix("vocal_projector."): shape for name, shape in shapes.items()}
    dim, vocal_dim = inner["proj_model.proj.weight"]
    layers = len({name.split(".")[1] for name in inner if name.startswith("blocks.")})
    return _built(lambda: VocalProjector(vocal_dim, dim, heads=1, layers=layers)), inner


def _vae(shapes: Shapes, document: dict) -> tuple[Shapes, Shapes]:
    from diffusers import AutoencoderKLWan

    from methods.conditioning.wan_vae import to_diffusers_vae, vae_sizes

    return _built(lambda: AutoencoderKLWan(**vae_sizes(shapes))), shapes_of(to_diffusers_vae(_meta_tensors(shapes)))


def _clip(shapes: Shapes, document: dict) -> tuple[Shapes, Shapes]:
    from transformers import CLIPVisionConfig, CLIPVisionModel

    from methods.conditioning.clip_image import clip_sizes, to_transformers_clip

    inner = {name.removeprefix("visual."): shape for name, shape in shapes.items()}
    config = CLIPVisionConfig(num_attention_heads=1, **clip_sizes(inner))
    return _built(lambda: CLIPVisionModel(config)), shapes_of(to_transformers_clip(_meta_tensors(inner)))


KINDS: dict[str, Callable[[Shapes, dict], tuple[Shapes, Shapes]]] = {
    "text_embedding.0.weight": _transformer,
    "condition_embedder.time_proj.weight": _diffusers_transformer,
    "vocal_projector.proj_model.proj.weight": _vocal_projector,
    "encoder.conv1.weight": _vae,
    "visual.cls_embedding": _clip,
}
"""A parameter by which a network is known, the first that a file has -> what makes (ours, the file's converted)."""
