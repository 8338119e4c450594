"""`bench prepare --features iuface | stableavatar`. Oracles: the rendered world's own files, the encoders on the frames."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file

from bench.cli.app import main
from bench.media import au
from bench.media.clip import Clip
from bench.media.errors import UserError
from bench.prepare_video_features import VideoFeatureSource, prepare_video_features
from bench.weights import Weights
from methods.conditioning.features import read_metadata, save_arrays
from methods.conditioning.prompt import DEFAULT_PROMPT
from methods.conditioning.regions import per_latent, region_masks
from methods.conditioning.video_encoders import load_video_encoders
from methods.conditioning.video_features import clip_references
from methods.generator import GenerationError
from methods.training.video_windows import VideoWindows
from protocols.synth import protocols as synth
from tests.bench.conftest import Quiet

SOURCE = VideoFeatureSource.of("synth", frames=5, windows=2, references=1)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A cache in which two people are rendered once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def small_world(world, tiny_wan_vae, monkeypatch):
    monkeypatch.setenv("AU_BENCH_CACHE", str(world))
    monkeypatch.setattr(synth, "TRAINING_PEOPLE", 2)


@pytest.fixture
def people(world):
    """Clips of two people, and a neutral clip of each."""
    protocol = synth.SynthDisentangle()
    cases, neutral = protocol.training_cases(world / "synth"), protocol.neutral_cases(world / "synth")
    protocol.make_ready(cases)
    protocol.make_ready(neutral)
    return cases, neutral


def prepared(people, world, reference="neutral", source=SOURCE, **settings):
    return prepare_video_features(
        *people, world / "synth", source, reference, weights=Weights(), progress=Quiet(), **settings
    )


def test_windows_of_a_clip(people, world):
    """Oracle: frames, table of AUs and landmarks that lie beside the clip, read here by themselves."""
    made = prepared(people, world)
    assert made.failed == {} and len(made.clips) == 2
    case, clip = people[0][1], Clip(people[0][1].driving)
    assert made.clips[1].windows.match(f"features/windows-synth-1-*/{case.id}.safetensors")
    found = load_file(made.clips[1].windows)
    assert found["starts"].tolist() == [0, clip.num_frames - 5]
    last = slice(clip.num_frames - 5, clip.num_frames)
    encoders = load_video_encoders("synth", Weights().require(SOURCE.weights_of("windows")))
    np.testing.assert_allclose(found["latent_mean"][1], encoders.encode(clip.frames[last]), rtol=2e-3, atol=2e-3)
    np.testing.assert_array_equal(found["aus"], au.read(case.aus, "openface35").values)
    landmarks = np.load(case.driving.with_suffix(".npz"))["landmarks"]
    for name, masks in region_masks(landmarks[last], 128, 128).items():
        np.testing.assert_array_equal(found[name][1], per_latent(masks))
    assert found["vocal"].shape == (2, 9, 96) and found["lips"].any() and found["face"].sum() > 3 * found["lips"].sum()


def test_references_are_neutral_frames_of_the_person(people, world):
    """Oracle: the encoders on frames of the neutral clip; the clip's own in the other setting."""
    encoders = load_video_encoders("synth", Weights().require(SOURCE.weights_of("references")))
    for reference, shown in (("neutral", people[1]), ("first", people[0])):
        for clip, case in zip(prepared(people, world, reference).clips, shown, strict=True):
            (path,) = clip.references
            assert path.match(f"features/references-synth-1-*/{case.id}.safetensors")
            frame, found = Clip(case.driving).first_frame(), load_file(path)
            np.testing.assert_allclose(found["known"][0], encoders.masked(frame, 5)[4:], rtol=2e-3, atol=2e-3)
            np.testing.assert_allclose(found["image"][0], encoders.image(frame), rtol=2e-3, atol=2e-3)
            np.testing.assert_allclose(found["arcface"][0], encoders.identity(frame, "arcface"), rtol=1e-3, atol=1e-3)


def test_what_is_there_is_kept(people, world):
    """Oracle: the files' times; another setting writes elsewhere."""
    files = lambda: {path: path.stat().st_mtime_ns for path in (world / "synth" / "features").rglob("*.safetensors")}  # noqa: E731
    prepared(people, world)
    before = files()
    assert len(prepared(people, world).clips) == 2 and files() == before
    other = prepared(people, world, source=VideoFeatureSource.of("synth", frames=5, windows=1, references=1))
    assert set(before) < set(files()) and not {clip.windows for clip in other.clips} & set(before)


def test_what_was_made_of_another_clip_is_made_again(people, world):
    """Oracle: the files' own words; one says that it was made of another clip, the others stay."""
    clip, other = prepared(people, world).clips
    mine = [clip.windows, *clip.references]
    before = {path: load_file(path) for path in mine}
    for path in mine:
        save_arrays(path, before[path], read_metadata(path) | {"clip_sha256": "0" * 64})
    stamp = other.windows.stat().st_mtime_ns
    prepared(people, world)
    for path, case in zip(mine, (people[0][0], people[1][0]), strict=True):
        assert read_metadata(path)["clip_sha256"] == Clip(case.driving).sha256
        assert all(np.array_equal(values, before[path][name]) for name, values in load_file(path).items())
    assert other.windows.stat().st_mtime_ns == stamp


def test_a_batch_to_train_on(people, world):
    """Oracle: the shapes that the video transformer takes (methods/talking_dit/conditions.py)."""
    windows = VideoWindows(
        prepared(people, world).clips, SOURCE.encoders, reference="neutral", identity_encoder="arcface"
    )
    batch = windows.draw(np.random.default_rng(0), 3)
    channels, encoders = SOURCE.encoders.latent_channels, SOURCE.encoders
    assert {name: tuple(values.shape) for name, values in batch.items()} == {
        "latent_mean": (3, channels, 2, 16, 16), "latent_std": (3, channels, 2, 16, 16),
        "known": (3, 4 + channels, 2, 16, 16), "image": (3, encoders.image_tokens, encoders.image_dim),
        "identity": (3, encoders.identity_dims["arcface"]), "text": (3, encoders.text_tokens, encoders.text_dim),
        "vocal": (3, 9, encoders.vocal_dim), "aus": (3, 5, 35), "lips": (3, 2, 16, 16), "face": (3, 2, 16, 16),
    }  # fmt: skip


def test_prompts_by_clip_or_identity(people, world, tmp_path):
    """Oracle: the metadata of the states' files."""
    from safetensors import safe_open

    def words(path):
        with safe_open(path, "np") as file:
            return file.metadata()["prompt"]

    chosen = tmp_path / "prompts.json"
    chosen.write_text(json.dumps({people[0][0].identity: "A woman with red hair."}))
    assert [words(clip.text) for clip in prepared(people, world, prompts=chosen).clips] == [
        "A woman with red hair.",
        DEFAULT_PROMPT,
    ]
    chosen.write_text('["A woman"]')
    with pytest.raises(UserError, match="prompts are a JSON object"):
        prepared(people, world, prompts=chosen)
    with pytest.raises(UserError, match="prompts cannot be read"):
        prepared(people, world, prompts=tmp_path / "absent.json")


def test_what_cannot_be_trained_on_is_said(people, world):
    """Oracle: construction; one person has no neutral clip, then nobody; clips shorter than a window."""
    cases, neutral = people
    made = prepared((cases, neutral[:1]), world)
    assert len(made.clips) == 1
    assert made.failed == {cases[1].id: f"no other neutral clip of {cases[1].identity} to take a reference from"}
    with pytest.raises(UserError, match="none of the 2 clips can be trained on"):
        prepared((cases, []), world)
    with pytest.raises(UserError, match="none of the 2 clips can be trained on"):
        prepared(people, world, source=VideoFeatureSource.of("synth", frames=121, windows=1, references=1))


def test_a_neutral_clip_that_shows_nobody_is_named(people, world, monkeypatch):
    """Oracle: construction; the first person's neutral clip cannot be used, so their clip has no reference."""
    cases, neutral = people

    def refusing(clip, *arguments, **settings):
        if clip.path == neutral[0].driving:
            raise GenerationError("no face")
        return clip_references(clip, *arguments, **settings)

    monkeypatch.setattr("bench.prepare_video_features.clip_references", refusing)
    progress, source = Quiet(), VideoFeatureSource.of("synth", frames=5, windows=2, references=2)
    made = prepare_video_features(
        cases, neutral, world / "synth", source, "neutral", weights=Weights(), progress=progress
    )
    assert len(made.clips) == 1 and set(made.failed) == {cases[0].id}
    assert f"no features for {neutral[0].id}: no face" in progress.said


def test_missing_weights_are_named(people, world):
    with pytest.raises(UserError, match="texts to train on: needs models_t5_umt5-xxl-enc-bf16.pth"):
        prepare_video_features(
            *people, world / "synth", VideoFeatureSource.of("full"), "first", weights=Weights(), progress=Quiet()
        )


def test_the_command(world, tmp_path, monkeypatch, capsys):
    """Oracle: the folder it names. There is a neutral clip and another: only that has a neutral reference."""
    monkeypatch.setattr(VideoFeatureSource, "of", classmethod(lambda cls, model, **more: SOURCE))
    command = [
        "bench",
        "prepare",
        "synth",
        "--out",
        str(tmp_path / "data"),
        "--identities",
        "1",
        "--clips-per-identity",
        "2",
    ]
    monkeypatch.setattr("sys.argv", [*command, "--features", "iuface", "--json"])
    assert main() == 1
    printed = json.loads(capsys.readouterr().out)
    assert printed["files"] == 1 and all("/neutral/" in id for id in printed["failed"])
    found = list((tmp_path / "data" / "features").rglob("*.safetensors"))
    assert len([path for path in found if "windows" in str(path)]) == 2
    assert len([path for path in found if "references" in str(path)]) == 1  # The neutral clips only.
    monkeypatch.setattr("sys.argv", [*command, "--features", "memo", "--prompts", "a.json"])
    assert main() == 2
