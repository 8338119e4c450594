"""Speech features.

Oracles: the reference dump of Hallo's own wav2vec.py; transformers' own model and feature extractor; numpy.
"""

import json

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2ForCTC, Wav2Vec2Model

from bench.media.clip import SAMPLE_RATE
from methods.conditioning import speech
from methods.generator import GenerationError

TINY = {
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "conv_dim": (8,) * 7,
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
    "mask_time_prob": 0.0,
    "mask_feature_prob": 0.0,
}


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return Wav2Vec2Model(Wav2Vec2Config(**TINY)).eval()


@pytest.fixture(scope="module")
def voice():
    """Two seconds of noise, as loud as speech."""
    return np.random.default_rng(0).normal(0, 0.1, 2 * SAMPLE_RATE).astype(np.float32)


def relative(a, b):
    return float(np.linalg.norm(np.asarray(a) - np.asarray(b)) / np.linalg.norm(np.asarray(b)))


def test_equals_the_reference_dump(golden):
    """Oracle: hidden states and windows of the official code with the same weights and waveform."""
    with safe_open(golden / "wav2vec_tiny_state_dict.safetensors", "pt") as file:
        config = json.loads(file.metadata()["config"])
        network = Wav2Vec2Model(Wav2Vec2Config(**config)).eval()
        network.load_state_dict({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
    dump = load_file(golden / "wav2vec_tiny_io.safetensors")
    with torch.inference_mode():
        states = speech.hidden_states(network, dump["in/wav"][0], len(dump["out/hidden_states"]))
    assert relative(states, dump["out/hidden_states"]) < 1e-5
    assert relative(states[:, -1], dump["out/last_hidden_state_plain"][0]) < 1e-5
    assert relative(speech.windows(states), dump["out/window"]) < 1e-5
    assert relative(speech.windows(states.numpy()), dump["out/window"]) < 1e-5


def test_without_resampling_equals_transformers(network, voice):
    """Oracle: Wav2Vec2Model's own last hidden state, at as many frames as the convolutions give vectors."""
    audio = torch.from_numpy(voice)
    with torch.inference_mode():
        plain = network(audio[None]).last_hidden_state[0]
        ours = speech.hidden_states(network, audio, len(plain))
    assert relative(ours[:, -1], plain) < 1e-5


@pytest.mark.parametrize("seconds", [0.1, 0.31, 1.0, 20.0])
def test_slices_change_nothing(network, voice, seconds):
    """Oracle: transformers' feature extractor over the whole recording."""
    audio = torch.from_numpy(voice[:30011] + 0.05)
    with torch.inference_mode():
        whole = network.feature_extractor(audio[None])[0]
        ours = speech.conv_features(network, audio, seconds)
    assert ours.shape == whole.shape and relative(ours, whole) < 1e-5


def test_normalisation_equals_the_feature_extractor(voice):
    """Oracle: transformers' Wav2Vec2FeatureExtractor."""
    theirs = Wav2Vec2FeatureExtractor(do_normalize=True)(voice + 0.3, sampling_rate=SAMPLE_RATE).input_values[0]
    np.testing.assert_allclose(speech.normalised(voice + 0.3), theirs, atol=1e-5)


@pytest.mark.parametrize("fps", [25, 30, 24000 / 1001])
def test_length_is_that_of_the_frames(network, voice, fps):
    """Oracle: the recording padded, or cut, by hand. The zeros come after the normalisation, the cut before it."""
    encoder = speech.SpeechEncoder(network)
    for frames in (20, 70):
        samples = round(frames / fps * SAMPLE_RATE)
        cut = voice[:samples]
        padded = np.concatenate([speech.normalised(cut), np.zeros(max(0, samples - len(voice)), np.float32)])
        with torch.inference_mode():
            expected = speech.hidden_states(network, torch.from_numpy(padded), frames)
        ours = encoder(voice, frames, fps)
        assert ours.shape == (frames, 3, 16) and ours.dtype == np.float32
        np.testing.assert_allclose(ours, expected, atol=1e-5)


def test_windows_by_hand():
    """Oracle: a loop over frames and neighbours."""
    features = np.arange(7 * 2).reshape(7, 2, 1)
    for frames in (1, 3, 7):
        around = speech.windows(features[:frames], 2)
        assert around.shape == (frames, 5, 2, 1)
        for t in range(frames):
            for j in range(5):
                neighbour = min(max(t + j - 2, 0), frames - 1)
                np.testing.assert_array_equal(around[t, j], features[neighbour])


def test_silence_is_refused(network, voice):
    """Oracle: construction; silence, hiss at -66 dB, a click and an empty recording hold no speech, quiet sound does."""
    click = np.zeros(SAMPLE_RATE, np.float32)
    click[8000:8160] = 0.9
    hiss = voice / voice.std() * 5e-4
    for audio in (np.zeros(SAMPLE_RATE, np.float32), hiss, click, np.zeros(0, np.float32)):
        with pytest.raises(GenerationError, match="holds no speech"):
            speech.SpeechEncoder(network)(audio, 25, 25)
    # A word in a minute of silence, at -46 dB.
    word = np.zeros(60 * SAMPLE_RATE, np.float32)
    word[:4000] = voice[:4000] / voice.std() * 5e-3
    speech.require_speech(word)
    speech.require_speech(voice[:640])  # A single frame.
    assert speech.SpeechEncoder(network)(np.pad(voice, (8000, 0)), 2, 25).shape == (2, 3, 16)  # Speech begins later.


def test_published_names(tmp_path):
    """Oracle: the same random Wav2Vec2ForCTC, saved under the names of the published file."""
    torch.manual_seed(1)
    published = Wav2Vec2ForCTC(Wav2Vec2Config(**{**TINY, "mask_time_prob": 0.05})).eval()
    names = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}
    state = {}
    for name, value in published.state_dict().items():
        for present, old in names.items():
            name = name.replace(present, old)
        state[name] = value.clone()
    assert {"wav2vec2.masked_spec_embed", "lm_head.weight", "wav2vec2.encoder.pos_conv_embed.conv.weight_g"} <= set(
        state
    )
    save_file(state, tmp_path / "model.safetensors")
    network = Wav2Vec2Model(Wav2Vec2Config(**TINY)).eval()
    network.load_state_dict(speech.encoder_names(load_file(tmp_path / "model.safetensors")))
    audio = torch.randn(1, 8000)
    with torch.inference_mode():
        theirs = published.wav2vec2(audio).last_hidden_state
        assert torch.equal(network(audio).last_hidden_state, theirs)
