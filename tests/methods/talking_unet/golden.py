"""The reference dumps as our inputs: sizes read from their metadata, tensors in our layout."""

import json
from dataclasses import dataclass
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from methods.talking_unet.projections import AudioProjection, FaceLocator, ImageProjection
from methods.talking_unet.reference import ReferenceNet
from methods.talking_unet.unet import TalkingUNet


@dataclass
class Golden:
    """A tiny model with the reference's random weights, its inputs and what the reference computed."""

    unet: TalkingUNet
    reference: ReferenceNet
    image_projection: ImageProjection
    audio_projection: AudioProjection
    face_locator: FaceLocator | None
    tensors: dict[str, Tensor]


def load_memo(folder: Path) -> Golden:
    config, state = _load(folder / "memo_tiny_state_dict.safetensors")
    sizes = _sizes(config["base"])
    unet = TalkingUNet(base="memo", audio_attention_dim=config["extra"]["audio_attention_dim"], **sizes)
    reference = ReferenceNet(plain_blocks=True, cut_last_site=True, **sizes)
    image_projection, audio_projection = _projections(config["image_proj"], config["audio_proj"])
    _load_strictly(state, diffusion_net=unet, reference_net=reference)
    _load_strictly(state, image_proj=image_projection, audio_proj=audio_projection)
    tensors = load_file(folder / "memo_tiny_io.safetensors")
    return Golden(unet.eval(), reference.eval(), image_projection, audio_projection, None, tensors)


def load_hallo(folder: Path) -> Golden:
    config, state = _load(folder / "hallo_tiny_state_dict.safetensors")
    sizes = _sizes(config["base"])
    unet = TalkingUNet(base="hallo", audio_attention_dim=config["extra"]["audio_attention_dim"], **sizes)
    reference = ReferenceNet(**sizes)
    image_projection, audio_projection = _projections(config["imageproj"], config["audioproj"])
    face_locator = FaceLocator(config["face_locator"]["conditioning_embedding_channels"])
    _load_strictly(state, denoising_unet=unet, reference_unet=reference)
    _load_strictly(state, imageproj=image_projection, audioproj=audio_projection, face_locator=face_locator)
    tensors = load_file(folder / "hallo_tiny_io.safetensors")
    return Golden(unet.eval(), reference.eval(), image_projection, audio_projection, face_locator, tensors)


def frames_first(x: Tensor) -> Tensor:
    """The dumps' (B, C, F, h, w) -> (B, F, C, h, w)."""
    return x.transpose(1, 2)


def relative_error(ours: Tensor, theirs: Tensor) -> float:
    """Norm of the difference over the norm of the reference."""
    assert ours.shape == theirs.shape, f"{tuple(ours.shape)} against {tuple(theirs.shape)}"
    return ((ours - theirs).norm() / theirs.norm()).item()


class Outputs:
    """What submodules returned in the last call, as the reference's forward hooks saw it."""

    def __init__(self, network: nn.Module, names: list[str]):
        self.seen: dict[str, Tensor | tuple] = {}
        for name in names:
            network.get_submodule(name).register_forward_hook(self._keep(name))

    def _keep(self, name: str):
        def hook(module, inputs, output):
            self.seen[name] = output

        return hook


def _load(path: Path) -> tuple[dict, dict[str, Tensor]]:
    with safe_open(path, "pt") as file:
        config = json.loads(file.metadata()["config"])
    return config, load_file(path)


def _load_strictly(state: dict[str, Tensor], **networks: nn.Module) -> None:
    for prefix, network in networks.items():
        part = {key.removeprefix(f"{prefix}."): x for key, x in state.items() if key.startswith(f"{prefix}.")}
        network.load_state_dict(part, strict=True)


def _sizes(base: dict) -> dict:
    names = ("sample_size", "block_out_channels", "layers_per_block", "cross_attention_dim", "attention_head_dim")
    return {name: base[name] for name in (*names, "norm_num_groups")}


def _projections(image: dict, audio: dict) -> tuple[ImageProjection, AudioProjection]:
    return (
        ImageProjection(image["clip_embeddings_dim"], image["clip_extra_context_tokens"], image["cross_attention_dim"]),
        AudioProjection(
            window=audio["seq_len"],
            blocks=audio["blocks"],
            channels=audio["channels"],
            hidden=audio["intermediate_dim"],
            tokens=audio["context_tokens"],
            dim=audio["output_dim"],
        ),
    )
