"""The emotion of speech.

Oracles: the published key manifest; the labelling written out second by second; classes known by construction.
"""

import json
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from bench.media.clip import SAMPLE_RATE
from bench.media.errors import MissingPrerequisite, UserError
from methods.conditioning import emotion

SECOND = SAMPLE_RATE


def test_classifier_has_the_published_tensors(golden, tmp_path):
    """Oracle: names and shapes of MEMO's own class; and its formula written out."""
    manifest = json.loads((golden / "memo_audio_emotion_classifier_keys.json").read_text())
    network = emotion.classifier_network()
    state = network.state_dict()
    assert {name: list(value.shape) for name, value in state.items()} == {
        name: entry["shape"] for name, entry in manifest["keys"].items()
    }
    assert sum(value.numel() for value in state.values()) == manifest["n_params"]
    save_file(state, tmp_path / "classifier.safetensors")
    loaded = emotion.load_classifier(tmp_path / "classifier.safetensors")
    x = expected = torch.randn(2, 1024)
    for layer in range(1, 6):
        expected = expected @ state[f"layers.fc{layer}.weight"].T + state[f"layers.fc{layer}.bias"]
        expected = expected.clamp(min=0) if layer < 5 else expected
    torch.testing.assert_close(loaded(x), expected, rtol=1e-4, atol=1e-5)


def labelled_by_hand(audio, classify):
    """MEMO's labelling, sample by sample."""
    labels = np.full(len(audio), -1)
    labels[:SECOND] = classify(audio[: 2 * SECOND])
    for start in range(SECOND, len(audio) - SECOND, SECOND):
        labels[start : start + SECOND] = classify(audio[start - SECOND : start + 2 * SECOND])
    labels[-SECOND:] = classify(audio[-2 * SECOND :])
    return labels


@pytest.mark.parametrize("seconds", [0.4, 1.0, 2.0, 3.6, 6.0])
@pytest.mark.parametrize("fps", [25, 30])
def test_every_second_is_labelled_as_published(seconds, fps):
    """Oracle: the labelling by hand, with a classifier that depends on what it is given; no frame is left over."""
    audio = np.random.default_rng(0).normal(0, 0.1, round(seconds * SECOND)).astype(np.float32)

    def embed(samples):
        assert abs(float(samples.mean())) < 1e-3 and abs(float(samples.var()) - 1) < 1e-2
        return samples[:1] * 0 + len(samples) + samples[1000:1001]

    class Parity(torch.nn.Module):
        def forward(self, vector):
            return torch.nn.functional.one_hot((vector[0].abs() * 1e3).long() % 9, 9).float()

    def classify(part):
        samples = torch.from_numpy(part)
        return int(Parity()(embed(torch.nn.functional.layer_norm(samples, samples.shape))).argmax())

    frames = round(seconds * fps)
    classes = emotion.SpeechEmotion(embed, Parity())(audio, frames, fps)
    labels = labelled_by_hand(audio, classify)
    nearest = (
        torch.nn.functional.interpolate(torch.from_numpy(labels)[None, None].double(), frames)[0, 0].long().numpy()
    )
    assert classes.shape == (frames,) and classes.dtype == np.int64 and labels.min() >= 0
    np.testing.assert_array_equal(classes, nearest)
    longer = emotion.SpeechEmotion(embed, Parity())(audio, frames + 20, fps)
    assert (longer[frames + 1 :] == labels[-1]).all()


def test_most_frames_decide():
    """Oracle: torch.mode."""
    for seed in range(20):
        classes = np.random.default_rng(seed).integers(0, 9, 12)
        assert emotion.clip_emotion(classes) == int(torch.mode(torch.from_numpy(classes)).values)


def test_words_for_emotions():
    """Oracle: MEMO's list of classes, and the words of MEAD and CREMA-D."""
    assert [emotion.emotion_class(name) for name in emotion.EMOTIONS] == list(range(9))
    mead = ("angry", "contempt", "disgusted", "fear", "happy", "neutral", "sad", "surprised")
    assert [emotion.emotion_class(name) for name in mead] == [0, 5, 1, 2, 3, 4, 6, 7]
    crema = ("anger", "disgust", "fear", "happy", "neutral", "sad")
    assert [emotion.emotion_class(name.upper()) for name in crema] == [0, 1, 2, 3, 4, 6]
    with pytest.raises(UserError, match="unknown emotion 'bored'; known are angry"):
        emotion.emotion_class("bored")


def test_without_funasr_the_message_names_it(monkeypatch, tmp_path):
    """Oracle: the command in the message."""
    monkeypatch.setitem(sys.modules, "funasr", None)
    with pytest.raises(MissingPrerequisite, match="pip install"):
        emotion.load_emotion2vec(tmp_path / "model.pt", tmp_path / "config.yaml")
