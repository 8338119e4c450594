"""Features of clips for the video transformer, and its encoders as a bundle.

Oracles: the parts called one by one; construction; safetensors' own reader.
"""

import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKLWan
from safetensors import safe_open
from transformers import Wav2Vec2Config, Wav2Vec2Model

from bench.media.clip import ArrayClip
from bench.media.errors import UserError
from methods.conditioning import prompt, video_features
from methods.conditioning.regions import per_latent, region_masks
from methods.conditioning.video_encoders import FullVideoEncoders, VideoEncoders, video_encoders_class
from methods.conditioning.vocal import vocal_states
from methods.generator import GenerationError


class SmallVideoEncoders(VideoEncoders):
    """A picture whose first pixel is bright has no face; what stands for a face is that pixel's green and blue."""

    name = "small"
    version = 3
    weights = text_weights = face_weights = arcface_weights = ()
    _parts = ("_vae", "_speech")
    size, latent_channels, text_tokens, text_dim, image_tokens, image_dim, vocal_dim = 32, 4, 6, 5, 2, 3, 24
    identity_dims = {"clip": 3, "arcface": 2}

    def load_vae(self):
        torch.manual_seed(0)
        return AutoencoderKLWan(base_dim=8, num_res_blocks=1, z_dim=4, latents_mean=[0.0] * 4, latents_std=[2.0] * 4)

    def load_speech(self):
        torch.manual_seed(0)
        sizes = {"hidden_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 24}
        return Wav2Vec2Model(
            Wav2Vec2Config(**sizes, conv_dim=(8,) * 7, num_conv_pos_embeddings=8, num_conv_pos_embedding_groups=2)
        )

    def images(self, references):
        corners = torch.from_numpy(references[:, [0, 1], 0].astype(np.float32))
        return corners / 255

    def require_one_face(self, image):
        if image[0, 0, 0] > 100:
            raise GenerationError("no face in the reference picture")

    def locate_face(self, image):
        raise NotImplementedError

    def arcface(self, image):
        return image[0, 0, 1:].astype(np.float32)

    def encode_text(self, words):
        return torch.full((min(len(words), 6), 5), float(len(words)))


@pytest.fixture(scope="module")
def encoders():
    return SmallVideoEncoders({})


@pytest.fixture(scope="module")
def clip():
    """70 frames, more than a chunk; green counts them; frames 0 and 69 have no face."""
    frames = np.random.default_rng(0).integers(0, 256, (70, 32, 32, 3), np.uint8)
    frames[:, 0, 0, 0] = 0
    frames[[0, 69], 0, 0, 0] = 255
    frames[:, 0, 0, 1] = np.arange(70)
    return ArrayClip(frames, (0.1 * np.random.default_rng(1).standard_normal(70 * 640)).astype(np.float32))


@pytest.fixture(scope="module")
def aus():
    return np.random.default_rng(2).random((70, 35)).astype(np.float32)


@pytest.fixture(scope="module")
def landmarks():
    """Of a face that moves right by half a pixel a frame; frame 3 has none."""
    points = np.random.default_rng(3).uniform(2, 14, (478, 2)) + np.zeros((70, 1, 1))
    points[..., 0] += 0.2 * np.arange(70)[:, None]
    points[3] = np.nan
    return points


def test_windows_equal_the_parts(clip, aus, landmarks, encoders):
    """Oracle: every part on the frames and samples of a window."""
    made = video_features.clip_windows(clip, aus, landmarks, encoders, num_frames=9, windows=3)
    assert made["starts"].tolist() == [0, 30, 61]  # 30.5 rounds to even.
    masks = region_masks(landmarks, 32, 32)
    for row, start in enumerate(made["starts"]):
        shown = slice(start, start + 9)
        mean, std = encoders.posterior(clip.frames[None, shown])
        np.testing.assert_allclose(made["latent_mean"][row], mean[0], rtol=2e-3, atol=2e-3)
        np.testing.assert_allclose(made["latent_std"][row], std[0], rtol=2e-3, atol=2e-3)
        heard = vocal_states(encoders._speech, clip.audio[640 * start : 640 * (start + 9)])
        np.testing.assert_allclose(made["vocal"][row], heard, rtol=2e-3, atol=2e-3)
        for name in ("lips", "face"):
            np.testing.assert_array_equal(made[name][row], per_latent(masks[name][shown]))
    assert made["latent_mean"].shape == (3, 4, 3, 4, 4) and made["latent_mean"].dtype == np.float16
    assert made["lips"].dtype == np.uint8 and made["lips"].shape == (3, 3, 4, 4)
    np.testing.assert_array_equal(made["aus"], aus)


def test_the_last_window_may_reach_beyond_the_sound(clip, aus, landmarks, encoders):
    """Oracle: construction; silence after 61.5 frames of sound, and speech that is given in its place."""
    short = ArrayClip(clip.frames, clip.audio[: 640 * 66])
    heard = []
    made = video_features.clip_windows(
        short,
        aus,
        landmarks,
        encoders,
        num_frames=9,
        windows=2,
        vocals=lambda audio: heard.append(len(audio)) or audio * 2,
    )
    padded = np.concatenate([2 * short.audio[640 * 61 :], np.zeros(640 * 4, np.float32)])
    np.testing.assert_allclose(made["vocal"][1], vocal_states(encoders._speech, padded), rtol=2e-3, atol=2e-3)
    assert heard == [640 * 66]


def test_references_equal_the_parts(clip, encoders):
    """Oracle: the encoders on the frames; the first and the last have no face."""
    made = video_features.clip_references(clip, encoders, num_frames=9, references=4, arcface=True)
    assert made["frames"].tolist() == [23, 46]
    for row, number in enumerate(made["frames"]):
        frame = clip.frames[number]
        np.testing.assert_allclose(made["known"][row], encoders.masked(frame, 9)[4:], rtol=2e-3, atol=2e-3)
        np.testing.assert_allclose(made["image"][row], encoders.image(frame), atol=1e-3)
        np.testing.assert_array_equal(made["arcface"][row], [number, frame[0, 0, 2]])
    assert "arcface" not in video_features.clip_references(clip, encoders, num_frames=9, references=4, arcface=False)


def test_what_cannot_be_used_is_refused(clip, aus, landmarks, encoders):
    """Oracle: construction."""
    windows = lambda *given, **more: video_features.clip_windows(  # noqa: E731
        *given, encoders, **{"num_frames": 9, "windows": 2} | more
    )
    with pytest.raises(UserError, match="69 rows of Action Units and 70 of landmarks, 70 frames"):
        windows(clip, aus[:69], landmarks)
    with pytest.raises(UserError, match="frames are 16x32, the encoders take 32x32"):
        windows(ArrayClip(clip.frames[:, :16], clip.audio), aus, landmarks)
    with pytest.raises(GenerationError, match="70 frames, a window has 73"):
        windows(clip, aus, landmarks, num_frames=73)
    with pytest.raises(GenerationError, match="no Action Units in 1 of 70 frames"):
        windows(clip, np.where(np.arange(70)[:, None] == 9, np.float32(np.nan), aus), landmarks)
    with pytest.raises(GenerationError, match="no face in any of its frames"):
        windows(clip, aus, np.full_like(landmarks, np.nan))
    with pytest.raises(GenerationError, match="the audio holds no speech"):
        windows(ArrayClip(clip.frames, np.zeros(70 * 640, np.float32)), aus, landmarks)
    with pytest.raises(GenerationError, match="none of the frames 0, 69 can be used: no face"):
        video_features.clip_references(clip, encoders, num_frames=9, references=2, arcface=False)


def test_file_there_and_back(tmp_path, clip, aus, landmarks, encoders):
    """Oracle: the arrays themselves, and safetensors' own reader for the metadata."""
    made = video_features.clip_windows(clip, aus, landmarks, encoders, num_frames=9, windows=3)
    path = tmp_path / "windows" / "a.safetensors"
    video_features.save_video_features(path, made, encoders, clip.sha256)
    with safe_open(path, "numpy") as file:
        assert file.metadata() == {"encoders": "video-small-3", "clip_sha256": clip.sha256}
    assert video_features.count_rows(path) == 3
    read = video_features.load_row(path, SmallVideoEncoders, 1)
    assert set(read) == set(made)
    for name, values in read.items():
        np.testing.assert_array_equal(values, made[name] if name in ("starts", "aus") else made[name][1])
    with pytest.raises(UserError, match="made with encoders video-small-3, this model needs video-full-1"):
        video_features.load_row(path, FullVideoEncoders, 1)


# -- encoders ---------------------------------------------------------------------------------------------------------


def test_words_are_encoded_once(monkeypatch):
    """Oracle: what was asked of the text encoder; states by construction."""
    encoders, asked = SmallVideoEncoders({}), []
    encode = SmallVideoEncoders.encode_text
    monkeypatch.setattr(
        SmallVideoEncoders, "encode_text", lambda self, words: asked.append(words) or encode(self, words)
    )
    text = encoders.text("abc")
    assert text.shape == (6, 5) and (text[:3] == 3).all() and (text[3:] == 0).all()
    assert torch.equal(encoders.text("abc"), text) and encoders.text().shape == encoders.negative_text().shape == (6, 5)
    assert asked == ["abc", prompt.DEFAULT_PROMPT, prompt.NEGATIVE_PROMPT]


def test_given_states_need_no_text_encoder(tmp_path, monkeypatch):
    monkeypatch.setattr(SmallVideoEncoders, "encode_text", lambda self, words: pytest.fail("was asked"))
    prompt.save_embedding(tmp_path / "a.safetensors", torch.ones(2, 5), "a portrait")
    states = SmallVideoEncoders({}).read_embedding(tmp_path / "a.safetensors")
    assert states.shape == (6, 5) and (states[:2] == 1).all() and (states[2:] == 0).all()


def test_identity(clip, encoders):
    """Oracle: the mean over tokens; the embedding; nothing."""
    frame = clip.frames[5]
    torch.testing.assert_close(encoders.identity(frame, "clip"), encoders.image(frame).mean(0))
    assert encoders.identity(frame, "arcface").tolist() == [5, frame[0, 0, 2]]
    assert encoders.identity(frame, "none") is None


def test_offloaded_networks_come_and_go(clip, encoders):
    """Oracle: the same without; where the network is after the frames have been read. `meta` stands for a GPU's absence."""
    offloaded, moves = SmallVideoEncoders({}, offload=True), []
    vae = offloaded._vae
    move = vae.to
    vae.to = lambda device: moves.append(device) or move(device)
    latents = offloaded.encode(clip.frames[:5])
    torch.testing.assert_close(latents, encoders.encode(clip.frames[:5]), rtol=1e-4, atol=1e-5)
    pieces = offloaded.decode(latents)
    next(pieces)
    assert moves == ["cpu"] * 3
    assert [len(piece) for piece in pieces] == [4] and moves == ["cpu"] * 4


def test_parts_are_loaded_when_used_or_at_once(clip, monkeypatch):
    """Oracle: the loaders that were called."""
    loaded = []
    for name in ("vae", "speech"):
        load = getattr(SmallVideoEncoders, f"load_{name}")
        monkeypatch.setattr(
            SmallVideoEncoders, f"load_{name}", lambda self, n=name, f=load: loaded.append(n) or f(self)
        )
    encoders = SmallVideoEncoders({})
    encoders.vocal(clip.audio[:16000])
    assert loaded == ["speech"]
    encoders.load()
    assert loaded == ["speech", "vae"]


def test_full_size():
    """Oracle: sizes of the published models (specs/methods.md, 3.1 to 3.3); which files what needs."""
    full = FullVideoEncoders
    assert video_encoders_class("full") is full and video_encoders_class("synth").name == "synth"
    assert (full.size, full.vae_scale, full.latent_channels) == (512, 8, 16)
    assert (full.text_tokens, full.text_dim, full.image_tokens, full.image_dim) == (512, 4096, 257, 1280)
    assert full.vocal_dim == 768 and full.identity_dims == {"clip": 1280, "arcface": 512}
    least = ("wan21_vae", "wan21_clip", "wav2vec2_base_960h", "face_landmarker")
    assert full.weights_for("none", text=False) == full.weights_for("clip", text=False) == least
    assert full.weights_for("clip") == (*least, "umt5_xxl", "umt5_xxl_tokenizer")
    assert full.weights_for("arcface", text=False) == (*least, "scrfd_10g_bnkps", "glintr100")


class Faces:
    """Finds the same faces in every picture, the largest first."""

    def __init__(self, *boxes: tuple[int, int, int, int]):
        self.boxes = boxes

    def find(self, image):
        return [SimpleNamespace(xy=np.array([[x0, y0], [x1, y1]], np.float32)) for x0, y0, x1, y1 in self.boxes]


def test_the_reference_shows_one_face():
    """Oracle: boxes by hand in a picture of 100 x 200; a small face may be cut out, and is then large enough."""
    encoders, picture = FullVideoEncoders({}), np.zeros((100, 200, 3), np.uint8)
    encoders._landmarker = Faces((50, 10, 90, 60), (150, 10, 160, 20))  # The second one is a bystander.
    encoders.require_one_face(picture)
    np.testing.assert_allclose(encoders.locate_face(picture), [0.25, 0.1, 0.45, 0.6], atol=1e-6)
    for boxes, says in (((), "no face"), (((50, 10, 90, 60), (110, 10, 150, 60)), "2 faces")):
        encoders._landmarker = Faces(*boxes)
        for look in (encoders.require_one_face, encoders.locate_face):
            with pytest.raises(GenerationError, match=says):
                look(picture)
    encoders._landmarker = Faces((50, 10, 58, 20))
    np.testing.assert_allclose(encoders.locate_face(picture), [0.25, 0.1, 0.29, 0.2], atol=1e-6)
    with pytest.raises(GenerationError, match="too small"):
        encoders.require_one_face(picture)


def test_importing_costs_nothing_heavy():
    """Oracle: the modules of a fresh process; generators import these at the top."""
    code = (
        "import sys, methods.conditioning.video_features, methods.conditioning.video_encoders, methods.synth.wan_vae\n"
        "heavy = {'torch', 'diffusers', 'transformers', 'insightface', 'mediapipe', 'onnxruntime', 'cv2', 'scipy'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
