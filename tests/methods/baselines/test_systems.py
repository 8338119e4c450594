"""The data files of the official systems, and the page made from them."""

import re
import string

import pytest

from bench import registry
from bench.media.errors import UserError
from methods.baselines.describe import readme, recipe
from methods.baselines.generator import method_of, request_values
from methods.baselines.system import FOLDER, SYSTEMS, read_system
from protocols.layouts import crema, mead
from protocols.plan_spec import read_plan
from tests.methods.baselines.stand_in import a_request

NAMED = {
    "Wav2Lip", "Audio2Head", "SadTalker", "V-Express", "AniPortrait", "EDTalk", "EchoMimic", "Hallo", "Hallo2", "Hallo3",
    "MEMO", "Sonic", "StableAvatar", "DICE-Talk",
}  # fmt: skip
"""Systems of AUHead Table 3 and IUFace Tables 1 to 4."""
FIELDS = {"seed", "fps", "frames", "seconds", "height", "width", "emotion", "prompt"}


def texts(value) -> list[str]:
    """Every text of a template."""
    if isinstance(value, dict):
        return [text for part in value.values() for text in texts(part)]
    if isinstance(value, list | tuple):
        return [text for part in value for text in texts(part)]
    return [value] if isinstance(value, str) else []


def test_every_system_of_both_papers_is_a_method():
    """Oracle: the papers' tables, by hand; the registry; and the rows of the plans."""
    assert {read_system(name).title for name in SYSTEMS} == NAMED
    assert {path.stem for path in FOLDER.glob("*.toml")} == set(SYSTEMS) <= set(registry.METHODS)
    rows = [row.method for name in ("auhead_table3", "iuface_table1", "iuface_table4") for row in read_plan(name).rows]
    assert set(rows) <= set(registry.METHODS)


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_registered_method_is_its_own_system(name):
    """Oracle: the data file of that name."""
    method = registry.method(name)
    assert (method.name, method.system) == (name, read_system(name))
    assert method.Config().commit == read_system(name).commit and method.Config().arguments == ()


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_data_file_is_whole(name):
    """Oracle: what git, sha256 and a request look like."""
    system = read_system(name)
    call = system.call
    assert re.fullmatch(r"[0-9a-f]{40}", system.commit) and system.repository.startswith("https://github.com/")
    assert bool(call.script) != bool(call.module)
    used = {
        field
        for text in texts([call.arguments, call.files])
        for _, field, _, _ in string.Formatter().parse(text)
        if field
    }
    assert used <= FIELDS
    assert ("emotion" in used) == bool(system.emotions) and ("prompt" in used) == bool(system.prompt)
    assert ("seed" in used) == (system.seed == "request") and ("fps" in used) == (system.fps == "request")
    assert texts([call.arguments, call.files, list(call.files.get("au_bench/config.yaml", {}).get("test_cases", {}))])
    everything = str(call.arguments) + str(call.files)
    assert "au_bench/reference.png" in everything and "au_bench/speech.wav" in everything
    assert method_of(name, system).needs == {"audio"}


@pytest.mark.parametrize("name", SYSTEMS)
def test_checkpoints_say_where_they_come_from(name):
    """Oracle: one source each; published digests and sizes are of files that are asked for."""
    for group in read_system(name).checkpoints:
        assert sum(source is not None for source in (group.hub, group.url, group.page)) == 1
        assert group.licence
        assert set(group.sha256) <= set(group.files) and set(group.size) <= set(group.files)
        assert all(re.fullmatch(r"[0-9a-f]{10}|[0-9a-f]{64}", digest) for digest in group.sha256.values())
        assert group.revision is None or re.fullmatch(r"[0-9a-f]{40}", group.revision)


def test_digests_agree_with_the_weights_lock(weights):
    """Oracle: bench/weights.toml, for the files both name."""
    locked = {
        "sd_vae_ft_mse": "sd-vae-ft-mse/diffusion_pytorch_model.safetensors", "kim_vocal_2": "Kim_Vocal_2.onnx",
        "wav2vec2_base_960h": "wav2vec2-base-960h/model.safetensors", "emotion2vec_plus_large": "emotion2vec_plus_large/model.pt",
    }  # fmt: skip
    found = set()
    for name in SYSTEMS:
        for path, group, file in read_system(name).files():
            for lock, ending in locked.items():
                if path.endswith(ending) and file in group.sha256:
                    assert group.sha256[file] == weights.files[lock].sha256, (name, path)
                    assert group.size.get(file, weights.files[lock].size) == weights.files[lock].size
                    found.add(lock)
    assert found == set(locked)


def test_dice_talk_has_a_word_for_every_label():
    """Oracle: the emotion files of its repository at that commit, and the labels of the data sets."""
    files = {"angry", "contempt", "disgusted", "fear", "happy", "neutral", "sad", "surprised"}
    system = read_system("dice_talk")
    assert set(system.emotions.values()) == files
    for label in (*mead.EMOTIONS, *crema.EMOTIONS, None):
        assert request_values(a_request(emotion=label), system)["emotion"] in files
    assert request_values(a_request(emotion="HAP"), system)["emotion"] == "happy"


def test_the_readme_is_made_from_the_data():
    """Oracle: `python -m methods.baselines.describe`."""
    assert (FOLDER / "README.md").read_text("utf-8") == readme()
    for name in SYSTEMS:
        assert f"(`{name}`)" in readme() and read_system(name).commit in readme()


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_recipe_holds_the_commands(name, weights):
    """Oracle: the data file."""
    system, text = read_system(name), recipe(name, read_system(name))
    assert f"git clone {system.repository} " in text and f"checkout {system.commit}" in text
    assert f"python{system.environment.python} -m venv " in text
    assert all(step[0] in text for step in system.environment.install)
    assert all(file in text for _, _, file in system.files())


def test_an_unknown_system_names_the_known():
    """Oracle: the list."""
    with pytest.raises(UserError, match="unknown system 'sora'; there are wav2lip, "):
        read_system("sora")
