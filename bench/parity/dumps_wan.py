"""stableavatar_*_io.safetensors: the video transformer with its vocal path, alone and as a guidance batch of three."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from bench.media.errors import UserError
from bench.parity.files import Dump, find_dumps
from bench.parity.networks import load_state
from bench.parity.report import Report

RUNS = {"b1": (("pos", False),), "b3": (("neg", True), ("neg", False), ("pos", False))}
"""Recorded series -> rows of its batch: which text, and whether the audio is null. `_textlenL` after it: L text tokens."""

FIXED = {"model_type": "i2v", "qk_norm": True}
"""Official settings that ours have no argument for."""

OURS = {
    "head": "proj_out",
    "img_emb": "condition_embedder.image_embedder",
    "text_embedding": "condition_embedder.text_embedder",
    "time_embedding": "condition_embedder.time_embedder",
    "time_projection": "condition_embedder.time_proj",
    "self_attn": "attn1",
    "cross_attn": "attn2",
}
"""Official names of modules -> ours, where they differ."""


def check(folder: Path, report: Report) -> None:
    dumps = find_dumps(folder, "stableavatar")
    if not dumps:
        report.unchecked.append("no stableavatar_*_io.safetensors: the network")
    for dump in dumps:
        _check_dump(dump, report)


def _check_dump(dump: Dump, report: Report) -> None:
    import torch

    network = build_transformer(dump)
    with torch.inference_mode():
        for run in sorted({name.partition("/")[0] for name in dump.outputs("out/")}):
            prefix, expected = f"{dump.io.name}:out/{run}/", dump.outputs(f"out/{run}/")
            if match := re.fullmatch(r"(b1|b3)(?:_textlen(\d+))?", run):
                tokens = int(match[2] or dump.config["text_len"])
                _check_run(dump, network, _conditions(dump, RUNS[match[1]], tokens), expected, report, prefix)
            else:
                report.unchecked.append(f"{prefix}: of unknown meaning")


def build_transformer(dump: Dump):
    """TalkingDiT with the dump's weights, in eval mode; sizes from the weights, heads from the config beside them."""
    from methods.talking_dit.checkpoints import from_official
    from methods.talking_dit.sizes import official_sizes
    from methods.talking_dit.transformer import TalkingDiT

    config = dump.config
    for name, value in FIXED.items():
        if config.get(name, value) != value:
            raise UserError(f"{dump.io}: its network has {name}={config[name]!r}; ours exists for {value!r} only")
    shapes = {name: tuple(value.shape) for name, value in dump.state.items()}
    try:
        sizes = official_sizes(shapes, config["num_heads"], dump.section("vocal_projector")["num_heads"])
    except KeyError as error:
        raise UserError(f"{dump.io}: the state dict beside it has no parameter {error}") from error
    if sizes["patch_size"][0] != 1:
        raise UserError(f"{dump.io}: its patches are {sizes['patch_size'][0]} latent frames long; ours take 1 only")
    return load_state(TalkingDiT(**sizes, eps=config["eps"]), from_official(dump.state), f"{dump.io}: the weights")


def _conditions(dump: Dump, rows: Iterable[tuple[str, bool]], text_tokens: int):
    """Conditions with a row for each of `rows`, as RUNS has them."""
    import torch
    from torch.nn.functional import pad

    from methods.talking_dit.alignment import video_frames
    from methods.talking_dit.conditions import Conditions

    latents, frames = dump.input("in/x").shape[2], dump.setting("video_sample_n_frames")
    if frames != video_frames(latents):
        raise UserError(
            f"{dump.io}: {frames} video frames over {latents} latent frames; ours take their true number only"
        )

    def row(text: str, silent: bool) -> Conditions:
        states = dump.input(f"in/text_{text}")
        return Conditions(
            text=pad(states, (0, 0, 0, text_tokens - len(states)))[None],
            image=dump.input("in/clip_fea"),
            known=dump.input("in/y"),
            vocal=dump.input("in/vocal"),
            silent=torch.tensor([silent]),
        )

    return Conditions.cat(row(*each) for each in rows)


def _check_run(dump: Dump, network, conditions, expected: dict, report: Report, prefix: str) -> None:
    """Every prediction that was recorded, and the outputs of modules while `pred` was computed."""
    from methods.stableavatar.guidance import three_pass_guidance

    latents, time = dump.input("in/x").expand(len(conditions), -1, -1, -1, -1), dump.input("in/t")
    modules = {"vocal_projector", *(name.removeprefix("hook/") for name in expected if name.startswith("hook/"))}
    with recorded(network, modules) as outputs:
        predicted = network(latents, time, conditions)
    ours = {"pred": predicted, "vocal_context": outputs["vocal_projector"][-1:]}
    if "pred_clip_level" in expected:
        ours["pred_clip_level"] = network(latents, time, conditions, clip_level_vocal=True)
    if "pred_vocal_zeroed" in expected:  # k_vocal and v_vocal of zeros are as no vocal attention.
        ours["pred_vocal_zeroed"] = network(latents, time, replace(conditions, vocal=None))
    for name in expected:
        if match := re.fullmatch(r"guided_audio([\d.]+)_text([\d.]+)", name):
            ours[name] = three_pass_guidance(*predicted.split(1), float(match[1]), float(match[2]))
        elif name.startswith("hook/") and (output := outputs.get(name.removeprefix("hook/"))) is not None:
            # The official modules put out sequences where ours keep an axis for frames.
            ours[name] = output.reshape(expected[name].shape) if output.numel() == expected[name].numel() else output
    report.compare_all(ours, expected, prefix)


@contextmanager
def recorded(network, names: Iterable[str]) -> Iterator[dict]:
    """While it runs, collect what modules put out, by their official names; one that ours lacks stays without."""
    outputs: dict = {}
    modules = dict(network.named_modules())
    handles = []
    for name in names:
        ours = ".".join(part if "vocal_projector" in name else OURS.get(part, part) for part in name.split("."))
        if ours in modules:
            handles.append(modules[ours].register_forward_hook(_keeper(outputs, name)))
    try:
        yield outputs
    finally:
        for handle in handles:
            handle.remove()


def _keeper(outputs: dict, name: str):
    def keep(module, args, output) -> None:
        outputs[name] = output

    return keep
