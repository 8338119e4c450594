"""B_*_keys.json: names and shapes of every parameter of a full-size network, strictly.

Sizes come from the shapes in the file; our network is then built on torch's meta device, and names and shapes must be
the file's and no others. Heads and groups leave no trace in shapes: one of each is built.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from bench.media.errors import UserError
from bench.parity.files import parse_json
from bench.parity.report import Report

Shapes = dict[str, tuple[int, ...]]


def check(folder: Path, report: Report) -> None:
    found = {path.name: path for path in sorted(folder.glob(f"{report.backbone}_*_keys.json"))}
    for name, part in PARTS[report.backbone].items():
        path = found.pop(f"{report.backbone}_{name}_keys.json", None)
        if path is None:
            report.unchecked.append(f"no {report.backbone}_{name}_keys.json: names and shapes of parameters")
        else:
            _check_file(path, part, report)
    report.unchecked += [f"{name}: of a network unknown here" for name in found]


def _check_file(path: Path, build: Callable, report: Report) -> None:
    import torch

    expected, _ = read_manifest(path)
    try:
        with torch.device("meta"):
            network = build(expected)
    except KeyError as error:
        report.mismatch(path.name, f"has no parameter {error}")
        return
    compare_shapes(path.name, shapes_of(network.state_dict()), expected, report)


def read_manifest(path: Path) -> tuple[Shapes, dict]:
    """Names and shapes of a file, and the whole of what it says.

    Raises:
        UserError: it has no table of parameters.
    """
    document = parse_json(path.read_text("utf-8"), str(path))
    if "keys" not in document:
        raise UserError(f"{path}: has no 'keys', the table of parameters")
    return {name: tuple(entry["shape"]) for name, entry in document["keys"].items()}, document


def shapes_of(state: Mapping) -> Shapes:
    """Names and shapes of a state dict."""
    return {name: tuple(value.shape) for name, value in state.items()}


def compare_shapes(name: str, ours: Shapes, expected: Shapes, report: Report) -> None:
    """Record whether two networks have the same parameters, under the name of a file."""
    problems = [
        *(f"ours lacks {name}" for name in expected if name not in ours),
        *(f"ours has {name} besides" for name in ours if name not in expected),
        *(
            f"{name} is {ours[name]}, not {expected[name]}"
            for name in expected
            if ours.get(name, expected[name]) != expected[name]
        ),
    ]
    if problems:
        report.mismatch(name, f"{len(problems)} differences: {'; '.join(problems[:3])}")
    else:
        report.errors[name] = 0.0


def _denoiser(base: str) -> Callable:
    def build(shapes: Shapes):
        from methods.talking_unet.unet import TalkingUNet

        module = "down_blocks.0.{}.0.{}transformer_blocks.0.{}"
        audio_key = {"hallo": "attn2_0.to_k.weight", "memo": "audio_attn1.to_k.weight"}[base]
        pe = module.format("motion_modules", "temporal_transformer.", "attention_blocks.0.pos_encoder.pe")
        table = module.format("audio_modules", "", "norm1.class_embedder.embedding_table.weight")
        return TalkingUNet(
            base=base,
            **_unet_sizes(shapes),
            out_channels=shapes["conv_out.weight"][0],
            audio_attention_dim=shapes[module.format("audio_modules", "", audio_key)][1],
            motion_heads=1,
            motion_max_frames=shapes[pe][1],
            **({"num_emotions": shapes[table][0] - 1} if base == "memo" else {}),
        )

    return build


def _reference(base: str) -> Callable:
    def build(shapes: Shapes):
        from methods.talking_unet.reference import ReferenceNet

        return ReferenceNet(**_unet_sizes(shapes), cut_last_site=base == "memo")

    return build


def _unet_sizes(shapes: Shapes) -> dict:
    levels = 1 + max(int(name.split(".")[1]) for name in shapes if name.startswith("down_blocks."))
    layers = 1 + max(int(name.split(".")[3]) for name in shapes if name.startswith("down_blocks.0.resnets."))
    return {
        "in_channels": shapes["conv_in.weight"][1],
        "block_out_channels": tuple(shapes[f"down_blocks.{i}.resnets.0.conv1.weight"][0] for i in range(levels)),
        "layers_per_block": layers,
        "cross_attention_dim": shapes["down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight"][1],
        "attention_head_dim": 1,
        "norm_num_groups": 1,
    }


def _image_projection(shapes: Shapes):
    from methods.talking_unet.projections import ImageProjection

    wide, face_channels = shapes["proj.weight"]
    dim = shapes["norm.weight"][0]
    return ImageProjection(face_channels=face_channels, tokens=wide // dim, dim=dim)


def _audio_projection(shapes: Shapes):
    from methods.talking_unet.projections import AudioProjection

    hidden, inputs = shapes["proj1.weight"]
    dim = shapes["norm.weight"][0]
    # The input is window * blocks * channels; only the product shows.
    return AudioProjection(
        window=1, blocks=1, channels=inputs, hidden=hidden, tokens=shapes["proj3.weight"][0] // dim, dim=dim
    )


def _face_locator(shapes: Shapes):
    from methods.talking_unet.projections import FaceLocator

    widening = sorted(
        int(name.split(".")[1]) for name in shapes if name.startswith("blocks.") and name.endswith("weight")
    )
    widths = [shapes["conv_in.weight"][0], *(shapes[f"blocks.{i}.weight"][0] for i in widening[1::2])]
    return FaceLocator(shapes["conv_out.weight"][0], tuple(widths))


def _emotion_classifier(shapes: Shapes):
    from methods.conditioning.emotion import classifier_network

    return classifier_network()


PARTS: dict[str, dict[str, Callable]] = {
    "hallo": {
        "reference_unet": _reference("hallo"),
        "denoising_unet": _denoiser("hallo"),
        "imageproj": _image_projection,
        "audioproj": _audio_projection,
        "face_locator": _face_locator,
    },
    "memo": {
        "reference_net": _reference("memo"),
        "diffusion_net": _denoiser("memo"),
        "image_proj": _image_projection,
        "audio_proj": _audio_projection,
        "audio_emotion_classifier": _emotion_classifier,
    },
}
"""Backbone -> part named in the file -> what builds it from the file's shapes."""
