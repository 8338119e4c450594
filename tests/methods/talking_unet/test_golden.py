"""Oracle: the official code of Hallo and MEMO, run unedited with tiny random weights (what it put out lies in `golden`)."""

import pytest
import torch

from methods.talking_unet.conditions import Conditions, ReferenceFeatures
from tests.methods.talking_unet.golden import Golden, Outputs, frames_first, load_hallo, load_memo, relative_error

TOLERANCE = 1e-5
EMOTION, NULL_EMOTION = 3, 9
MOTION_SCALE = (1.0, 0.7, 1.3)
LAYER_OUTPUTS = [
    *(f"down_blocks.{i}.{kind}_modules.0" for i in range(3) for kind in ("audio", "motion")),
    *("down_blocks.0.resnets.0", "mid_block.resnets.0", "mid_block.resnets.1", "mid_block.audio_modules.0"),
    *("down_blocks.3.motion_modules.0", "up_blocks.0.upsamplers.0", "up_blocks.1.audio_modules.0"),
    *("up_blocks.3.audio_modules.1", "up_blocks.3.motion_modules.1"),
]


@pytest.fixture(autouse=True)
def inference():
    with torch.no_grad():
        yield


def memo_pair(model: Golden, clip: int, guided: bool) -> tuple[Conditions, torch.Tensor]:
    """(conditions, latents) of one clip; guided: rows [null, condition]."""
    inputs, rows = model.tensors, 2 if guided else 1
    embedding = inputs["in/face_emb"]
    embeddings = torch.cat([torch.zeros_like(embedding), embedding])[-rows:]
    audio = model.audio_projection(inputs[f"in/audio_window_{clip}"])
    face = model.image_projection(embeddings)
    conditions = Conditions(
        face=face,
        reference=model.reference(inputs[f"in/ref_latents_{clip}"].expand(rows, -1, -1, -1, -1), face),
        use_reference=torch.tensor([False, True])[-rows:],
        audio=torch.cat([torch.zeros_like(audio), audio])[-rows:],
        emotion=torch.tensor([NULL_EMOTION, EMOTION])[-rows:],
    )
    return conditions, frames_first(inputs[f"in/latents_{clip}"]).expand(rows, -1, -1, -1, -1)


def hallo_pair(model: Golden, guided: bool) -> tuple[Conditions, torch.Tensor]:
    inputs, rows = model.tensors, 2 if guided else 1
    embedding = inputs["in/face_emb"]
    face = model.image_projection(torch.cat([torch.zeros_like(embedding), embedding])[-rows:])
    audio = model.audio_projection(inputs["in/audio_window"])
    located = model.face_locator(frames_first(inputs["in/face_region"])[0])[None]
    masks = tuple(
        tuple(inputs[f"in/{part}_mask_{level}"].expand(rows, -1, -1) for part in ("full", "face", "lip"))
        for level in range(4)
    )
    conditions = Conditions(
        face=face,
        reference=model.reference(inputs["in/ref_latents"].expand(rows, -1, -1, -1, -1), face),
        use_reference=torch.tensor([False, True])[-rows:],
        audio=torch.cat([torch.zeros_like(audio), audio])[-rows:],
        masks=masks,
        motion_scale=MOTION_SCALE,
        face_mask=torch.cat([torch.zeros_like(located), located])[-rows:],
    )
    return conditions, frames_first(inputs["in/latents"]).expand(rows, -1, -1, -1, -1)


def check_reference(features: ReferenceFeatures, expected: dict[str, torch.Tensor]) -> None:
    for site, tokens in expected.items():
        assert relative_error(features.sites[site].flatten(0, 1), tokens) < TOLERANCE, site


def check_layers(outputs: Outputs, dumped: dict[str, torch.Tensor], frames: int, expected: set[str]) -> None:
    """What modules put out, images and audio, against the dump's hooks of the same name."""
    checked = set()
    for name, seen in outputs.seen.items():
        image, audio = seen if isinstance(seen, tuple) else (seen, None)
        key = f"{name}/0" if f"{name}/0" in dumped else name
        if key in dumped:
            theirs = frames_first(dumped[key])[:, -frames:].flatten(0, 1)  # Hallo's modules see past frames in front
            assert relative_error(image, theirs) < TOLERANCE, name
            checked.add(name)
        if f"{name}/1" in dumped:
            assert relative_error(audio, dumped[f"{name}/1"]) < TOLERANCE, name
    assert checked >= expected


@pytest.mark.parametrize("guided", [False, True])
def test_memo_equals_the_official_code_over_two_clips(golden, guided):
    model = load_memo(golden)
    tag = "cfg" if guided else "nocfg"
    memory = None
    for clip in range(2):
        conditions, latents = memo_pair(model, clip, guided)
        memory = model.unet.remember(conditions.reference, memory)
        for step, timestep in enumerate((1000.0, 500.0)):
            prediction = model.unet(latents, timestep, conditions, memory)
            expected = model.tensors[f"out/{tag}/noise_pred/clip{clip}_step{step}"]
            assert relative_error(frames_first(prediction), expected) < TOLERANCE
            if not guided:
                kv, z = memory.sites["down_blocks.0.attentions.0"][0]
                dumped = f"clip{clip}_step{step}"
                assert relative_error(kv.flatten(0, 2), model.tensors[f"out/nocfg/memory_KV/{dumped}"]) < TOLERANCE
                assert relative_error(z.flatten(0, 2), model.tensors[f"out/nocfg/memory_Z/{dumped}"]) < TOLERANCE


@pytest.mark.parametrize("tag", ["nocfg", "cfg"])
def test_memo_layers_equal_the_official_code(golden, tag):
    model = load_memo(golden)
    outputs = Outputs(model.unet, LAYER_OUTPUTS)
    conditions, latents = memo_pair(model, clip=0, guided=tag == "cfg")
    model.unet(latents, 1000.0, conditions)  # without a memory: the first clip's
    names = {
        "down.0.0": "down_blocks.0.attentions.0",
        "mid": "mid_block.attentions.0",
        "up.3.1": "up_blocks.3.attentions.1",
    }
    check_reference(
        conditions.reference, {ours: model.tensors[f"out/{tag}/ref/{name}"] for name, ours in names.items()}
    )
    hooks = {key.split("hook/")[1]: x for key, x in model.tensors.items() if key.startswith(f"out/{tag}/hook/")}
    hooks["mid_block.resnets.1"] = hooks["mid_block/0"]
    hooks["mid_block.audio_modules.0/1"] = hooks["mid_block/1"]
    check_layers(
        outputs,
        hooks,
        frames=latents.shape[1],
        expected={
            "down_blocks.0.audio_modules.0",
            "down_blocks.2.audio_modules.0",
            "down_blocks.3.motion_modules.0",
            "mid_block.resnets.1",
            "up_blocks.3.motion_modules.1",
        },
    )


@pytest.mark.parametrize("tag", ["nocfg", "cfg"])
def test_hallo_equals_the_official_code(golden, tag):
    model = load_hallo(golden)
    outputs = Outputs(model.unet, LAYER_OUTPUTS)
    conditions, latents = hallo_pair(model, guided=tag == "cfg")
    prediction = model.unet(latents, model.tensors["in/timestep"], conditions)
    assert relative_error(frames_first(prediction), model.tensors[f"out/{tag}/noise_pred"]) < TOLERANCE
    bank = f"out/{tag}/bank/"
    dumped = {key for key in model.tensors if key.startswith(bank)}
    assert len(dumped) == 3
    check_reference(
        conditions.reference,
        {key.removeprefix(bank).removesuffix(".transformer_blocks.0"): model.tensors[key] for key in dumped},
    )
    hooks = {key.split("hook/")[1]: x for key, x in model.tensors.items() if key.startswith(f"out/{tag}/hook/")}
    hooks["mid_block.resnets.1"] = hooks["mid_block"]
    hooks["up_blocks.0.upsamplers.0"] = hooks["up_blocks.0"]
    check_layers(
        outputs,
        hooks,
        frames=latents.shape[1],
        expected={
            "down_blocks.0.resnets.0",
            "down_blocks.0.audio_modules.0",
            "down_blocks.1.motion_modules.0",
            "mid_block.resnets.1",
            "up_blocks.0.upsamplers.0",
            "up_blocks.3.motion_modules.1",
        },
    )


def test_projections_equal_the_official_code(golden):
    model = load_hallo(golden)
    inputs = model.tensors
    audio = model.audio_projection(inputs["in/audio_window"])
    located = model.face_locator(frames_first(inputs["in/face_region"])[0])[None]
    assert relative_error(model.image_projection(inputs["in/face_emb"]), inputs["out/imageproj"]) < TOLERANCE
    assert relative_error(audio, inputs["out/audioproj"]) < TOLERANCE
    assert relative_error(frames_first(located), inputs["out/face_locator"]) < TOLERANCE
