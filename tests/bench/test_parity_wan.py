"""`bench parity wan_vocal`. Oracles: the reference dumps; and a folder made here from our own network at sizes of its own, in
which one number is then changed."""

import json
import shutil

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch.nn.functional import pad

from bench.media.errors import UserError
from bench.parity import check_backbone
from bench.parity.report import TOLERANCE
from methods.talking_dit.conditions import Conditions
from methods.talking_dit.transformer import TalkingDiT
from tests.bench.test_parity import bench, changed, randomized, written  # noqa: F401 (bench is a fixture)

SIZES = {
    "num_attention_heads": 3, "attention_head_dim": 16, "in_channels": 9, "out_channels": 3, "text_dim": 6,
    "freq_dim": 12, "ffn_dim": 40, "num_layers": 3, "image_dim": 10, "vocal": {"vocal_dim": 7, "heads": 2, "layers": 1},
}  # fmt: skip
CONFIG = {"model_type": "i2v", "text_len": 8, "num_heads": 3, "eps": 1e-6, "vocal_projector": {"num_heads": 2}}
OFFICIAL = {
    "condition_embedder.time_embedder.linear_1": "time_embedding.0",
    "condition_embedder.time_embedder.linear_2": "time_embedding.2",
    "condition_embedder.text_embedder.linear_1": "text_embedding.0",
    "condition_embedder.text_embedder.linear_2": "text_embedding.2",
    "condition_embedder.time_proj": "time_projection.1",
    "condition_embedder.image_embedder.norm1": "img_emb.proj.0",
    "condition_embedder.image_embedder.ff.net.0.proj": "img_emb.proj.1",
    "condition_embedder.image_embedder.ff.net.2": "img_emb.proj.3",
    "condition_embedder.image_embedder.norm2": "img_emb.proj.4",
    "proj_out": "head.head", "attn1": "self_attn", "attn2": "cross_attn", "to_out.0": "o", "to_q": "q", "to_k": "k",
    "to_v": "v", "add_k_proj": "k_img", "add_v_proj": "v_img", "norm_added_k": "norm_k_img", "norm2": "norm3",
    "ffn.net.0.proj": "ffn.0", "ffn.net.2": "ffn.2",
}  # fmt: skip
"""Our names -> official ones, written out by hand: the other way round than the converter under test."""
IO = "stableavatar_other_io.safetensors"


def official_name(name: str) -> str:
    if name.startswith("vocal_projector."):
        return name
    if name == "scale_shift_table":
        return "head.modulation"
    name = name.replace("scale_shift_table", "modulation")
    for ours, theirs in OFFICIAL.items():
        name = name.replace(ours, theirs)
    return name


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A dump of 9 frames, 3 latent frames of 6x4, 3 heads of 16, texts of 5 and 8 tokens."""
    torch.manual_seed(3)
    network = randomized(TalkingDiT(**SIZES))
    tensors = {
        "in/x": torch.randn(1, 3, 3, 6, 4), "in/y": torch.randn(1, 6, 3, 6, 4), "in/t": torch.tensor([123.5]),
        "in/text_pos": torch.randn(5, 6), "in/text_neg": torch.randn(2, 6), "in/clip_fea": torch.randn(1, 4, 10),
        "in/vocal": torch.randn(1, 18, 7),
    }  # fmt: skip

    def told(text: str, silent: bool, tokens: int = 8) -> Conditions:
        states = tensors[f"in/text_{text}"]
        return Conditions(
            pad(states, (0, 0, 0, tokens - len(states)))[None],
            tensors["in/clip_fea"],
            tensors["in/y"],
            tensors["in/vocal"],
            torch.tensor([silent]),
        )

    with torch.inference_mode():

        def predict(conditions: Conditions, **options) -> torch.Tensor:
            return network(tensors["in/x"].expand(len(conditions), -1, -1, -1, -1), 123.5, conditions, **options)

        rows = predict(Conditions.cat([told("neg", True), told("neg", False), told("pos", False)]))
        null, audio, both = rows.split(1)
        tensors |= {
            "out/b3/pred": rows,
            "out/b3/guided_audio4_text2.5": null + 4 * (audio - null) + 2.5 * (both - audio),
            "out/b1/pred_clip_level": predict(told("pos", False), clip_level_vocal=True),
            "out/b1_textlen20/pred": predict(told("pos", False, 20)),
        }
    state = {official_name(name): value for name, value in network.state_dict().items()}
    made = tmp_path_factory.mktemp("wan")
    return written(made, "stableavatar_other", state, CONFIG, tensors, {"video_sample_n_frames": "9"})


def test_reference_dumps(bench, golden):  # noqa: F811
    """Oracle: shared/golden, written by the official code. All that belongs to the backbone is checked, once."""
    code, out, _ = bench("parity", "wan_vocal", "--golden", golden, "--json")
    document = json.loads(out)
    names = [tensor["name"] for tensor in document["tensors"]]
    assert code == 0
    assert document["backbone"] == "wan_vocal"
    assert document["max_rel_error"] == max(tensor["rel_error"] for tensor in document["tensors"]) < 1e-5
    assert len(names) == len(set(names)) and document["worst"] in names
    assert document["unchecked"] == ["schedulers_diffusers_0.27.2.json: has none of sa_infer, sa_train"]
    for file in ("stableavatar_tiny_io", "wan_vae_tiny_io", "wan_clip_tiny"):
        with safe_open(golden / f"{file}.safetensors", "pt") as tensors:
            recorded = {f"{file}.safetensors:{key}" for key in tensors.keys() if key.startswith("out/")}  # noqa: SIM118
        assert recorded <= set(names)
    manifests = {path.name for pattern in ("wan*", "stableavatar*") for path in golden.glob(f"{pattern}_keys.json")}
    assert len(manifests) == 6 and manifests <= set(names)
    split = json.loads((golden / "stableavatar_audio_split.json").read_text())
    assert sum("audio_split" in name for name in names) == sum(len(values) for values in split.values())


@pytest.mark.parametrize(
    "tensor",
    [
        "out/b3/pred",
        "out/b3/guided_audio4_text2.5",
        "out/b1/pred_clip_level",
        "out/b1_textlen20/pred",
    ],
)
def test_sizes_come_from_the_folder(folder, tmp_path, tensor):
    """Oracle: our own network at sizes of no published one; then one tensor a thousandth off."""
    report = check_backbone("wan_vocal", folder)
    assert set(report.errors) == {
        f"{IO}:out/{name}"
        for name in ("b3/pred", "b3/guided_audio4_text2.5", "b1/pred_clip_level", "b1_textlen20/pred")
    }
    assert report.max_error < 1e-5
    report = check_backbone("wan_vocal", changed(folder, tmp_path / "wrong", IO, lambda t: t[tensor].mul_(1.001)))
    assert report.worst == f"{IO}:{tensor}" and report.max_error == pytest.approx(1e-3, rel=0.01)


def test_what_the_folder_lacks(bench, folder, tmp_path):  # noqa: F811
    """Exit code 2 and the name of what is missing."""
    (tmp_path / "empty").mkdir()
    state = "stableavatar_other_state_dict.safetensors"
    foreign = changed(folder, tmp_path / "foreign", state, lambda t: t.pop("patch_embedding.weight"))
    other = changed(folder, tmp_path / "other", state, lambda t: t.pop("blocks.1.cross_attn.k_img.bias"))
    blind = changed(folder, tmp_path / "blind", IO, lambda t: t.pop("in/clip_fea"))
    for place, words in (
        (tmp_path / "empty", "nothing to check for wan_vocal"),
        (foreign, "patch_embedding.weight"),
        (other, "add_k_proj.bias"),
        (blind, "in/clip_fea"),
    ):
        code, _, err = bench("parity", "wan_vocal", "--golden", place)
        assert code == 2 and words in err


def test_audio_of_another_length_is_refused(folder, tmp_path):
    """The official code stretches speech over a short last window; ours takes true lengths only."""
    path = shutil.copytree(folder, tmp_path / "copy") / IO
    save_file(load_file(path), path, {"video_sample_n_frames": "81"})
    with pytest.raises(UserError, match="81 video frames over 3 latent frames"):
        check_backbone("wan_vocal", tmp_path / "copy")


@pytest.mark.parametrize(
    ("file", "tensor"),
    [
        ("wan_vae_tiny_io.safetensors", "out/z"),
        ("wan_vae_tiny_io.safetensors", "out/y"),
        ("wan_clip_tiny.safetensors", "out/penultimate"),
        ("stableavatar_tiny_tables.safetensors", "freqs_imag"),
        ("stableavatar_tiny_tables.safetensors", "full_sin_t"),
    ],
)
def test_encoders_and_tables_are_checked(golden, tmp_path, file, tensor):
    """Oracle: the recorded values; then one number off."""
    for path in golden.glob(f"{file.partition('_tiny')[0]}_tiny*"):
        shutil.copy(path, tmp_path)
    if "tables" in file:
        for path in tmp_path.glob("stableavatar_tiny_[is]*"):
            path.unlink()

    def spoil(tensors: dict) -> None:
        tensors[tensor].view(-1)[3] += 0.1

    assert check_backbone("wan_vocal", tmp_path).max_error < 1e-5
    report = check_backbone("wan_vocal", changed(tmp_path, tmp_path / "wrong", file, spoil))
    assert report.errors[f"{file}:{tensor}"] > TOLERANCE and not report.passed


def test_the_audio_split_is_checked(golden, tmp_path):
    path = tmp_path / "stableavatar_audio_split.json"
    document = json.loads((golden / path.name).read_text())
    document["161_81"]["gather"][5][2] += 1
    path.write_text(json.dumps(document))
    report = check_backbone("wan_vocal", tmp_path)
    assert report.worst == f"{path.name}:161_81/gather" and not report.passed


@pytest.mark.parametrize(
    ("file", "key", "words"),
    [
        ("stableavatar_transformer3d", "blocks.7.cross_attn.v_vocal.bias", "blocks.7.attn2.v_vocal"),
        ("stableavatar_vocal_projector", "vocal_projector.blocks.1.norm3.weight", "blocks.1.norm3"),
        ("wan21_fun_1_3b_inp_transformer", "blocks.3.norm3.bias", "blocks.3.norm2"),
        ("wan21_fun_1_3b_inp_diffusers", "blocks.3.norm2.bias", "blocks.3.norm2"),
        ("wan21_vae_native", "decoder.middle.0.residual.3.gamma", "decoder.mid_block"),
        ("wan21_clip_visual_native", "visual.transformer.3.attn.proj.bias", "encoder.layers.3.self_attn"),
    ],
)
def test_manifests_are_strict(golden, tmp_path, file, key, words):
    """One renamed parameter."""
    path = tmp_path / f"{file}_keys.json"
    document = json.loads((golden / path.name).read_text())
    document["keys"][f"{key}9"] = document["keys"].pop(key)
    path.write_text(json.dumps(document))
    report = check_backbone("wan_vocal", tmp_path)
    assert not report.passed and report.worst == path.name
    assert words in report.remarks[path.name]
