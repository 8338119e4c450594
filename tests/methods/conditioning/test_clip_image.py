"""CLIP's visual tower. Oracles: the official dump, the published file's manifest, torchvision's transform."""

import json

import numpy as np
import torch
from safetensors.torch import load_file
from transformers import CLIPVisionConfig, CLIPVisionModel

from methods.conditioning import clip_image
from methods.conditioning.video_encoders import FullVideoEncoders

DUMP_HEADS = 4
"""Of the dump; with 1, 2 or 8 the states differ by a third."""


def test_official_dump(golden):
    """Oracle: StableAvatar's copy of the official tower on the same weights."""
    dump = load_file(golden / "wan_clip_tiny.safetensors")
    state = {name.removeprefix("sd."): value for name, value in dump.items() if name.startswith("sd.")}
    states = clip_image.penultimate(clip_image.clip_from_state(state, DUMP_HEADS), dump["in/x"])
    expected = dump["out/penultimate"]
    assert torch.linalg.norm(states - expected) < 1e-5 * torch.linalg.norm(expected)


def test_official_file(golden):
    """Oracle: the manifest of the published file, and the network of its documented sizes, on the meta device."""
    listed = json.loads((golden / "wan21_clip_visual_native_keys.json").read_text())["keys"]
    shapes = {name.removeprefix("visual."): tuple(entry["shape"]) for name, entry in listed.items()}
    sizes = clip_image.clip_sizes(shapes)
    assert sizes == {
        "hidden_size": 1280, "intermediate_size": 5120, "num_hidden_layers": 32, "patch_size": 14, "image_size": 224,
        "hidden_act": "gelu",
    }  # fmt: skip
    with torch.device("meta"):
        clip = CLIPVisionModel(CLIPVisionConfig(num_attention_heads=clip_image.HEADS, **sizes))
        state = clip_image.to_transformers_clip({name: torch.empty(shape) for name, shape in shapes.items()})
    clip.load_state_dict(state, strict=True, assign=True)
    assert len(state) == 519


def tiny_clip() -> CLIPVisionModel:
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 3, "image_size": 28, "patch_size": 14}
    return CLIPVisionModel(CLIPVisionConfig(num_attention_heads=2, hidden_act="gelu", **sizes)).eval()


def pictures() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (2, 28, 28, 3), np.uint8)


def test_pictures_enter_as_published():
    """Oracle: torch's bicubic on [-1, 1], then torchvision's Normalize of [0, 1], as in the official `visual`."""
    from torchvision.transforms import Normalize

    images = np.random.default_rng(0).integers(0, 256, (2, 50, 30, 3), np.uint8)
    video = torch.from_numpy(images).permute(0, 3, 1, 2) / 255 * 2 - 1
    resized = torch.nn.functional.interpolate(video, (28, 28), mode="bicubic", align_corners=False)
    expected = Normalize(clip_image.MEAN, clip_image.STD)(resized * 0.5 + 0.5)
    torch.testing.assert_close(clip_image.clip_pixels(images, 28), expected, rtol=1e-5, atol=1e-5)


def test_states_of_pictures():
    """Oracle: the network run by hand, block by block, without the last; identity is the mean over tokens."""
    clip, images = tiny_clip(), pictures()
    states = clip_image.image_states(clip, images)
    with torch.inference_mode():
        hidden = clip.pre_layrnorm(clip.embeddings(clip_image.clip_pixels(images, 28)))
        for block in clip.encoder.layers[:-1]:
            hidden = block(hidden, attention_mask=None)
    assert states.shape == (2, 5, 16) and states.dtype == torch.float32
    torch.testing.assert_close(states, hidden[0] if isinstance(hidden, tuple) else hidden, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(clip_image.mean_pooled(states), states.sum(1) / 5)


def test_states_in_low_precision():
    """Oracle: the same in float32; indices of positions stay whole numbers."""
    clip, images = tiny_clip(), pictures()
    states = clip_image.image_states(clip, images)
    placed = FullVideoEncoders({}, "cpu", "bfloat16")._placed(clip, "bfloat16")
    assert {value.dtype for value in placed.parameters()} == {torch.bfloat16}
    torch.testing.assert_close(clip_image.image_states(placed, images), states, rtol=0.05, atol=0.05)


def test_only_the_visual_tower_is_read(tmp_path):
    """Oracle: construction; a file with both towers."""
    torch.manual_seed(0)
    width, state = 32, {}
    shapes = {
        "cls_embedding": (1, 1, width), "pos_embedding": (1, 5, width), "head": (width, 8),
        "patch_embedding.weight": (width, 3, 14, 14),
        **{f"{norm}.{leaf}": (width,) for norm in ("pre_norm", "post_norm") for leaf in ("weight", "bias")},
    }  # fmt: skip
    for layer in ("transformer.0", "transformer.1"):
        shapes |= {f"{layer}.{norm}.{leaf}": (width,) for norm in ("norm1", "norm2") for leaf in ("weight", "bias")}
        for name, outputs, inputs in (
            ("attn.to_qkv", 96, 32),
            ("attn.proj", 32, 32),
            ("mlp.0", 64, 32),
            ("mlp.2", 32, 64),
        ):
            shapes |= {f"{layer}.{name}.weight": (outputs, inputs), f"{layer}.{name}.bias": (outputs,)}
    for name, shape in shapes.items():
        state[f"visual.{name}"] = torch.randn(shape)
    torch.save(
        {**state, "textual.head.0.weight": torch.randn(3, 3), "log_scale": torch.tensor(1.0)}, tmp_path / "clip.pth"
    )
    clip = clip_image.load_clip(tmp_path / "clip.pth")
    assert clip.config.num_attention_heads == 16 and clip.config.num_hidden_layers == 2 and not clip.training
    torch.testing.assert_close(clip.embeddings.class_embedding, state["visual.cls_embedding"][0, 0])
