"""Our networks at the sizes of a dump, and what their modules put out while they run."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from bench.media.errors import UserError
from bench.parity.files import Dump, Settings
from bench.parity.report import Report

RUNS = {"nocfg": (True,), "cfg": (False, True)}
"""Recorded series -> rows of its batch: True = with all conditions, False = the null row of classifier-free guidance."""

FIXED = {
    "flip_sin_to_cos": True,
    "freq_shift": 0,
    "downsample_padding": 1,
    "mid_block_scale_factor": 1,
    "act_fn": "silu",
    "norm_eps": 1e-5,
    "use_inflated_groupnorm": True,
    "attention_block_types": ["Temporal_Self", "Temporal_Self"],
}
"""Official settings that ours have no argument for, since published networks agree in them, and that names and shapes of
parameters do not show."""


SIZES = (
    "sample_size", "in_channels", "block_out_channels", "layers_per_block", "attention_head_dim", "cross_attention_dim",
    "norm_num_groups",
)  # fmt: skip
"""Official settings that are arguments of both our networks, under the same names."""


def build_unets(base: str, dump: Dump, denoiser_prefix: str, reference_prefix: str) -> tuple:
    """(TalkingUNet, ReferenceNet) with the dump's weights, in eval mode."""
    from methods.talking_unet.reference import ReferenceNet
    from methods.talking_unet.unet import TalkingUNet

    base_config, extra = dump.section("base"), dump.section("extra")
    motion = Settings(extra["motion_module_kwargs"], f"{dump.io}: the config beside it lacks motion_module_kwargs.")
    for name, value in {**base_config, **extra, **motion}.items():
        if name in FIXED and value != FIXED[name]:
            raise UserError(f"{dump.io}: its network has {name}={value!r}; ours exists for {FIXED[name]!r} only")
    sizes = {name: base_config[name] for name in SIZES}
    memo = base == "memo"
    denoiser = TalkingUNet(
        base=base,
        **sizes,
        audio_attention_dim=extra["audio_attention_dim"],
        motion_heads=motion["num_attention_heads"],
        motion_max_frames=motion["temporal_position_encoding_max_len"],
        **({"num_emotions": num_emotions(dump)} if memo else {}),
    )
    reference = ReferenceNet(**sizes, plain_blocks=memo, cut_last_site=memo)
    return load_part(denoiser, dump, denoiser_prefix), load_part(reference, dump, reference_prefix)


def num_emotions(dump: Dump) -> int:
    """Classes of MEMO's emotion norms; their tables have one row more, the null class."""
    for name, value in dump.state.items():
        if name.endswith("class_embedder.embedding_table.weight"):
            return len(value) - 1
    raise UserError(f"{dump.io}: the state dict beside it has no emotion norms; it is not of MEMO")


def build_projections(dump: Dump, image_name: str, audio_name: str) -> tuple:
    """(ImageProjection, AudioProjection) with the dump's weights, in eval mode; named as in config and state dict."""
    from methods.talking_unet.projections import AudioProjection, ImageProjection

    image, audio = dump.section(image_name), dump.section(audio_name)
    faces = ImageProjection(
        face_channels=image["clip_embeddings_dim"],
        tokens=image["clip_extra_context_tokens"],
        dim=image["cross_attention_dim"],
    )
    speech = AudioProjection(
        window=audio["seq_len"],
        blocks=audio["blocks"],
        channels=audio["channels"],
        hidden=audio["intermediate_dim"],
        tokens=audio["context_tokens"],
        dim=audio["output_dim"],
    )
    return load_part(faces, dump, f"{image_name}."), load_part(speech, dump, f"{audio_name}.")


def load_part(network, dump: Dump, prefix: str):
    """The network with the parameters below a prefix, in eval mode.

    Raises:
        UserError: names or shapes differ.
    """
    return load_state(network, dump.part(prefix), f"{dump.io}: the weights {prefix}*")


def load_state(network, state: dict, what: str):
    """The network with these parameters, in eval mode; `what` they are called in an error, otherwise as `load_part`."""
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise UserError(f"{what} do not fit the config beside them: {error}") from error
    return network.eval()


@contextmanager
def recorded(unet, names: Iterable[str]) -> Iterator[dict]:
    """While it runs, collect the outputs of official modules: name -> tuple of tensors.

    Ours has the official modules, but spatial attention and blocks are no calls of their own: what an attention puts out
    is what its audio module takes in, and a block's output is that of its last module to run. Names that ours does not
    have, or does not call, stay without an output.
    """
    outputs: dict = {}
    modules = dict(unet.named_modules())
    handles = []
    for name in names:
        if re.search(r"\.attentions\.\d+$", name):
            audio_module = modules.get(name.replace(".attentions.", ".audio_modules."))
            handles += [audio_module.register_forward_pre_hook(_input_keeper(outputs, name))] if audio_module else []
        elif re.fullmatch(r"mid_block|(down|up)_blocks\.\d+", name):
            parts = [part for parts in modules[name].children() for part in parts] if name in modules else []
            handles += [part.register_forward_hook(_block_keeper(outputs, name)) for part in parts]
        elif name in modules:
            handles.append(modules[name].register_forward_hook(_output_keeper(outputs, name)))
    try:
        yield outputs
    finally:
        for handle in handles:
            handle.remove()


def _input_keeper(outputs: dict, name: str):
    def keep(module, args) -> None:
        outputs[name] = args[:1]

    return keep


def _output_keeper(outputs: dict, name: str):
    def keep(module, args, output) -> None:
        outputs[name] = output if isinstance(output, tuple) else (output,)

    return keep


def _block_keeper(outputs: dict, name: str):
    """The image of the module that ran last, with the audio of the audio module that ran last."""

    def keep(module, args, output) -> None:
        image, *audio = output if isinstance(output, tuple) else (output,)
        outputs[name] = (image, *(audio or outputs.get(name, (image,))[1:]))

    return keep


def compare_hooks(outputs: dict, reference: dict, report: Report, prefix: str) -> None:
    """Compare recorded outputs with the reference's images (B, C, F, h, w) and tokens (B*F, M, C).

    Args:
        outputs: of `recorded`; images are (B*F, C, h, w).
        reference: name of a module, with "/0", "/1" where it has several outputs -> tensor. Hallo's motion modules put
            out past frames before the clip's own; ours drop them inside, so only the clip's are compared.
    """
    for name, expected in reference.items():
        module, _, index = name.partition("/")
        if module not in outputs:
            report.unchecked.append(f"{prefix}{name}: ours calls no such module")
            continue
        ours = outputs[module][int(index or 0)]
        if expected.ndim == 5 and ours.ndim == 4:
            ours = ours.unflatten(0, (len(expected), -1)).transpose(1, 2)
            expected = expected[:, :, -ours.shape[2] :]
        report.compare(prefix + name, ours, expected)
