"""Features of a clip, and the encoders as a bundle.

Oracles: the parts called one by one on the whole clip; construction; safetensors' own reader.
"""

import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors import safe_open

from bench.media.clip import ArrayClip
from bench.media.errors import UserError
from methods.conditioning import features as module
from methods.conditioning.encoders import Encoders, FullEncoders, encoders_class, load_encoders
from methods.conditioning.face import FaceReading
from methods.generator import GenerationError


class StandInFace:
    """A face is a bright square whose left upper corner is known; two shades of grey are two more reasons to refuse."""

    def __call__(self, image):
        if image[0, 0, 0] > 100:
            raise GenerationError("no face in the reference picture")
        box = self.boxes(image[None])[0]
        return FaceReading(np.full(8, image[0, 0, 1], np.float32), *box)

    def boxes(self, frames):
        rows = []
        for frame in frames:
            x = frame[0, 0, 2] / 255
            rows.append(
                np.full((2, 4), np.nan) if frame[0, 0, 0] > 100 else [[x, 0.2, x + 0.4, 0.8], [x, 0.5, x + 0.1, 0.6]]
            )
        return np.array(rows, np.float32)


class SmallEncoders(Encoders):
    name = "small"
    version = 3
    weights = ()
    size, audio_blocks, audio_channels, face_channels = 32, 2, 3, 8

    def load_vae(self):
        from diffusers import AutoencoderKL

        from methods.conditioning.vae import SD_VAE

        torch.manual_seed(0)
        return AutoencoderKL(**{**SD_VAE, "block_out_channels": (8,) * 4, "norm_num_groups": 4, "layers_per_block": 1})

    def load_speech(self):
        return lambda audio, frames, fps: np.full((frames, 2, 3), audio[:4].sum(), np.float32)

    def load_face(self):
        return StandInFace()

    def load_emotion(self):
        return lambda audio, frames, fps: np.arange(frames) % 9


@pytest.fixture
def encoders():
    return SmallEncoders({})


@pytest.fixture
def clip():
    """70 frames, more than a chunk: the face moves from 0.0 to 0.2; frames 0, 1 and 30 have none."""
    frames = np.random.default_rng(0).integers(0, 256, (70, 32, 32, 3), np.uint8)
    frames[:, 0, 0] = 0
    frames[:, 0, 0, 1] = np.arange(70)
    frames[:, 0, 0, 2] = np.linspace(0, 51, 70)
    frames[[0, 1, 30], 0, 0, 0] = 255
    return ArrayClip(frames, np.full(70 * 640, 0.1, np.float32))


@pytest.fixture
def aus():
    return np.random.default_rng(1).random((70, 24)).astype(np.float32)


def test_features_equal_the_parts(clip, aus, encoders):
    """Oracle: every part on the whole clip at once; the union of boxes by hand."""
    made = module.clip_features(clip, aus, encoders)
    assert set(made) == set(module.NAMES)
    mean, std = encoders.encode(clip.frames)
    for name, expected in (("latent_mean", mean), ("latent_std", std)):
        assert made[name].shape == (70, 4, 4, 4) and made[name].dtype == np.float16
        np.testing.assert_allclose(made[name], expected, rtol=2e-3, atol=1e-4)
    assert made["speech"].shape == (70, 2, 3) and made["speech"].dtype == np.float16
    np.testing.assert_allclose(made["speech"], 0.4, atol=1e-3)
    assert (made["face"] == 2).all()  # Frame 2 is the first with a face.
    # Boxes are read off every fifth frame of a chunk: 5 is the first of these with a face, 64 + 5 the last.
    first, last = clip.frames[5, 0, 0, 2] / 255, clip.frames[69, 0, 0, 2] / 255
    np.testing.assert_allclose(made["face_box"], [first, 0.2, last + 0.4, 0.8], atol=1e-6)
    np.testing.assert_allclose(made["lip_box"], [first, 0.5, last + 0.1, 0.6], atol=1e-6)
    assert made["face_box"].dtype == np.float32
    np.testing.assert_array_equal(made["emotion"], np.arange(70) % 9)
    np.testing.assert_array_equal(made["aus"], aus)


def test_given_emotion_and_separated_vocals(clip, aus, encoders, monkeypatch):
    """Oracle: construction; with a label nothing listens, and speech is what the separator returns."""
    monkeypatch.setattr(SmallEncoders, "load_emotion", lambda self: pytest.fail("was loaded"))
    made = module.clip_features(clip, aus, encoders, emotion="sad", vocals=lambda audio: audio * 2)
    assert made["emotion"].dtype == np.int64 and (made["emotion"] == 6).all()
    np.testing.assert_allclose(made["speech"], 0.8, atol=1e-3)


def test_what_cannot_be_used_is_refused(clip, aus, encoders):
    """Oracle: construction."""
    with pytest.raises(UserError, match="69 rows of Action Units for 70 frames"):
        module.clip_features(clip, aus[:69], encoders)
    with pytest.raises(UserError, match="frames are 16x32, the encoders take 32x32"):
        module.clip_features(ArrayClip(clip.frames[:, :16], clip.audio), aus, encoders)
    with pytest.raises(GenerationError, match="no Action Units in 1 of 70 frames"):
        module.clip_features(clip, np.where(np.arange(70)[:, None] == 9, np.float32(np.nan), aus), encoders)
    faceless = clip.frames.copy()
    faceless[:, 0, 0, 0] = 255
    with pytest.raises(GenerationError, match="none of its 70 frames can be used: no face"):
        module.clip_features(ArrayClip(faceless, clip.audio), aus, encoders)


def test_file_there_and_back(tmp_path, clip, aus, encoders):
    """Oracle: the arrays themselves, and safetensors' own reader for the metadata; a part is the slice of the whole."""
    made = module.clip_features(clip, aus, encoders)
    path = tmp_path / "features" / "a.safetensors"
    module.save_features(path, made, encoders, clip.sha256)
    assert [file.name for file in path.parent.iterdir()] == ["a.safetensors"]
    with safe_open(path, "numpy") as file:
        assert file.metadata() == {"encoders": "small-3", "clip_sha256": clip.sha256} == module.read_metadata(path)
    read, part = module.load_features(path, encoders), module.load_features(path, SmallEncoders, slice(5, 9))
    for name in module.NAMES:
        np.testing.assert_array_equal(read[name], made[name])
        assert read[name].dtype == made[name].dtype
        whole = name in ("face", "face_box", "lip_box")
        np.testing.assert_array_equal(part[name], made[name] if whole else made[name][5:9])
    with pytest.raises(UserError, match="made with encoders small-3, this model needs full-1"):
        module.load_features(path, FullEncoders)


def test_a_failed_write_leaves_nothing(tmp_path, monkeypatch, encoders):
    """Oracle: the folder; the rename fails as on a full disk."""
    arrays = {name: np.zeros(3, np.float32) for name in module.NAMES}
    path = tmp_path / "a.safetensors"
    path.write_bytes(b"before")

    def no_room(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr("os.replace", no_room)
    with pytest.raises(OSError, match="No space"):
        module.save_features(path, arrays, encoders, "0" * 64)
    assert [file.read_bytes() for file in tmp_path.iterdir()] == [b"before"]


def test_parts_are_loaded_when_used(encoders, monkeypatch):
    """Oracle: the loaders that were called."""
    loaded = []
    for name in ("vae", "speech", "face", "emotion"):
        load = getattr(SmallEncoders, f"load_{name}")
        monkeypatch.setattr(SmallEncoders, f"load_{name}", lambda self, n=name, f=load: loaded.append(n) or f(self))
    encoders.speech(np.ones(4, np.float32), 2, 25.0)
    encoders.speech(np.ones(4, np.float32), 2, 25.0)
    assert loaded == ["speech"]
    encoders.decode(torch.zeros(1, 4, 4, 4))
    encoders.encode(np.zeros((1, 32, 32, 3), np.uint8))
    assert loaded == ["speech", "vae"]


def test_autoencoder_in_half_precision(capfd):
    """Oracle: the float32 autoencoder; and the silence of diffusers, whose own cast warns."""
    frames = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
    exact, half = SmallEncoders({}), SmallEncoders({}, "cpu", "bfloat16")
    mean, _ = half.encode(frames)
    assert mean.dtype == torch.float32
    np.testing.assert_allclose(mean, exact.encode(frames)[0], atol=0.03)
    assert np.abs(half.decode(mean).astype(int) - exact.decode(mean)).max() <= 12
    assert capfd.readouterr().err == ""


def test_full_size():
    """Oracle: sizes of the published models (specs of Hallo and MEMO); loading is left to first use."""
    full = load_encoders("full", {}, "cpu", "bfloat16")
    assert isinstance(full, FullEncoders) and encoders_class("full") is FullEncoders
    assert (full.size, full.vae_scale, full.latent_channels) == (512, 8, 4)
    assert (full.audio_blocks, full.audio_channels, full.face_channels) == (12, 768, 512)


def test_importing_costs_nothing_heavy():
    """Oracle: the modules of a fresh process; generators import these at the top."""
    code = (
        "import sys, methods.conditioning.features, methods.conditioning.masks, methods.conditioning.speech, "
        "methods.conditioning.vae, methods.conditioning.vocals, methods.conditioning.emotion\n"
        "heavy = {'torch', 'diffusers', 'transformers', 'insightface', 'mediapipe', 'onnxruntime', 'cv2', 'scipy'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
