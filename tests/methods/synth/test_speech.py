"""The small speech encoder. Oracles: the published rule (conditioning.speech), brute force, the world's own phonemes."""

from functools import cache

import numpy as np
import pytest
import torch

from methods.conditioning.speech import hidden_states, normalised
from methods.generator import GenerationError
from methods.synth.speech import edit_distance, excerpt, frame_phonemes, measure_speech
from methods.synth.speech_network import SpeechNetwork
from methods.synth.utterances import Utterance, Utterances
from protocols.synth.utterances import Utterances as Which
from protocols.synth.utterances import write_utterances


def test_training_sees_the_hidden_states_that_are_used():
    torch.manual_seed(0)
    network = SpeechNetwork().eval()
    audio = np.random.default_rng(0).standard_normal((2, 16000)).astype(np.float32)
    with torch.inference_mode():
        batch = network(torch.from_numpy(np.stack([normalised(one) for one in audio])), 25)
        single = hidden_states(network.wav2vec2, torch.from_numpy(normalised(audio[1])), 25)
    torch.testing.assert_close(batch[1].transpose(0, 1), single, atol=1e-4, rtol=1e-4)


def test_edit_distance_is_the_least_number_of_edits():
    @cache
    def brute(a, b):
        if not a or not b:
            return len(a) + len(b)
        return min(brute(a[1:], b) + 1, brute(a, b[1:]) + 1, brute(a[1:], b[1:]) + (a[0] != b[0]))

    rng = np.random.default_rng(0)
    for _ in range(200):
        a, b = (rng.integers(3, size=rng.integers(7)) for _ in range(2))
        assert edit_distance(a, b) == brute(tuple(a), tuple(b))


def utterance() -> Utterance:
    """A second: 0.2 s of silence, phonemes 7 and 9 of 0.3 s, silence; samples count milliseconds."""
    audio = (np.arange(16000) // 16 / 1000).astype(np.float32)
    times = np.array([(0, 0.2), (0.2, 0.5), (0.5, 0.8), (0.8, 1)], np.float32)
    return Utterance(audio, np.zeros((25, 24), np.float32), np.array([0, 7, 9, 0], np.int16), times, 3, 1, 1)


def test_frames_are_named_by_what_sounds_there():
    # 49 vectors, 20 ms apart, the first centred at 12.5 ms.
    named = frame_phonemes(utterance(), 49)
    seconds = 0.0125 + 0.02 * np.arange(49)
    expected = np.select([seconds < 0.2, seconds < 0.5, seconds < 0.8], [0, 7, 9], 0)
    np.testing.assert_array_equal(named, expected)


def test_excerpts_keep_sound_and_phonemes_together():
    class Start:
        """Draws what the test wants."""

        def integers(self, high):
            assert high == 16000 - 9600 + 1
            return 4000

        def uniform(self, low, high):
            return 1.0

        def standard_normal(self, size):
            return np.zeros(size)

    part = excerpt(utterance(), 0.6, Start())  # 0.25 to 0.85 s: most of 7, all of 9, a little silence.
    assert part.audio[0] == np.float32(0.25) and len(part.audio) == 9600
    assert part.phonemes.tolist() == [7, 9]
    np.testing.assert_allclose(part.times, [(0, 0.25), (0.25, 0.6)], atol=1e-6)
    long = excerpt(utterance(), 2.0, np.random.default_rng(0))
    assert len(long.audio) == 32000 and long.times[-1, 1] == 2 and np.abs(long.audio[16000:]).max() < 0.01


def test_silence_has_no_emotion(encoders):
    with pytest.raises(GenerationError, match="no speech"):
        encoders.emotion(np.zeros(16000, np.float32), 25, 25.0)


@pytest.fixture(scope="session")
def unseen(tmp_path_factory):
    folder = tmp_path_factory.mktemp("utterances")
    write_utterances(folder, Which(count=24, people=12, split="test"), workers=1)
    return folder


def test_shipped_encoder_understands_unseen_people(encoders, unseen):
    figures = measure_speech(encoders.files["synth_speech"], unseen)
    assert figures["phoneme_error_rate"] < 0.1
    assert figures["frame_accuracy"] > 0.85
    assert figures["emotion_accuracy"] > 0.4  # Chance is 0.125; many are barely expressive.


def test_features_and_emotion_per_frame(encoders, unseen):
    one = Utterances(unseen)[0]
    features = encoders.speech(one.audio, len(one.aus), 25.0)
    assert (
        features.shape == (len(one.aus), encoders.audio_blocks, encoders.audio_channels) and np.isfinite(features).all()
    )
    classes = encoders.emotion(one.audio, len(one.aus), 25.0)
    assert classes.shape == (len(one.aus),) and classes.dtype == np.int64 and len(set(classes)) == 1
