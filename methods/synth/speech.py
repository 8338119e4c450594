"""The small speech encoder: a wav2vec2 of 0.6 M parameters in place of wav2vec2-base-960h, and of MEMO's emotion classifier.

Trained like the published one with CTC, here on phonemes, and besides to name the phoneme of every frame, which it learns
faster and which keeps what it knows at its time, and the emotion of the recording. Afterwards a classifier of the emotion
is trained on what the convolutions hear and on the loudness, which normalising hides from them: it recognises more than one on
the hidden states. Half of the batches are seen at 50 vectors
a second, as CTC training is, half at the 25 that the hidden states are used at.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench.media.clip import SAMPLE_RATE
from methods.conditioning.emotion import emotion_class
from methods.conditioning.speech import conv_features, normalised, require_speech
from methods.synth.training import Recipe, load_weights, save_weights, seed_step, train
from methods.synth.utterances import Utterance, Utterances

if TYPE_CHECKING:
    import torch

    from methods.synth.speech_network import SpeechNetwork

WORLD_EMOTIONS = ("neutral", "angry", "contempt", "disgusted", "fear", "happy", "sad", "surprised")
"""Order of the emotion labels of the arrays."""
RATES = (25, 50)
"""Vectors per second in training."""
BATCH = 16
SECONDS = (1.6, 2.8)
"""Length of the excerpts of a batch."""
EMOTION_EXCERPTS, EMOTION_STEPS = 12_000, 4_000
"""What the emotion's classifier learns from, and for how long."""
ROOM = 4e-4
"""RMS of the noise that follows the end of an utterance, that of the world's rooms."""


def load_speech_network(path: Path) -> SpeechNetwork:
    """The trained network, float32, in eval mode."""
    from methods.synth.speech_network import SpeechNetwork

    return load_weights(SpeechNetwork(), path)


class SpeechEmotion:
    """The emotion of a recording in MEMO's classes."""

    def __init__(self, network: SpeechNetwork, device: str = "cpu"):
        self.network = network.eval().requires_grad_(False).to(device)
        self.device = device

    def __call__(self, audio: np.ndarray, num_frames: int, fps: float) -> np.ndarray:
        """int64 (num_frames,): one class, heard in the whole of float32 (S,) mono 16 kHz, for every frame.

        Raises:
            GenerationError: there is no sound in it.
        """
        import torch

        require_speech(audio)
        with torch.inference_mode():
            samples = torch.from_numpy(normalised(audio)).to(self.device)
            features = conv_features(self.network.wav2vec2, samples)[None]
            loud = torch.tensor([loudness(audio)], device=self.device)
            heard = self.network.emotion(self.network.emotion.statistics(features, loud))
        return np.full(num_frames, int(heard.argmax()), np.int64)


def loudness(audio: np.ndarray) -> float:
    """How loud float32 (S,) is where it is loud: 0 at the world's neutral level, 1 ten times (20 dB) above it.

    The RMS of the louder half of its 20 ms blocks, so that pauses do not count.
    """
    block = SAMPLE_RATE // 50
    powers = np.sort((audio[: len(audio) // block * block].reshape(-1, block) ** 2).mean(1))
    return float(np.log10(np.sqrt(powers[len(powers) // 2 :].mean()) / 0.06 + 1e-6))


def train_speech(data: Path, out: Path, recipe: Recipe, *, log: Callable[[str], None] = print) -> None:
    """Train on the utterances under `data` and write the weights to `out`; a checkpoint lies beside it meanwhile."""
    from methods.synth.speech_network import SpeechNetwork

    seed_step(recipe.seed, 0)
    network, utterances = SpeechNetwork(), Utterances(data)

    def loss(rng: np.random.Generator) -> torch.Tensor:
        seconds, rate = rng.uniform(*SECONDS), int(rng.choice(RATES))
        chosen = [utterances[n] for n in rng.integers(len(utterances), size=BATCH)]
        return speech_loss(network, [excerpt(one, seconds, rng) for one in chosen], rate)

    steps = train(network, loss, recipe, checkpoint=out.with_suffix(".ckpt"), log=log)
    train_emotion(network, utterances, recipe.seed, log=log)
    save_weights(out, network, {"encoder": "synth_speech", "steps": steps, "seed": recipe.seed})


def train_emotion(
    network: SpeechNetwork, utterances: Utterances, seed: int, *, log: Callable[[str], None] = print
) -> None:
    """Train `network.emotion` on what the finished convolutions make of excerpts; nothing else changes."""
    import torch
    import torch.nn.functional as F

    head = network.emotion
    heard, felt = [], []
    for step in range(EMOTION_EXCERPTS // BATCH):
        rng = seed_step(seed + 1, step + 1)
        seconds = rng.uniform(*SECONDS)
        batch = [excerpt(utterances[n], seconds, rng) for n in rng.integers(len(utterances), size=BATCH)]
        audio = torch.from_numpy(np.stack([normalised(one.audio) for one in batch]))
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            features = network.wav2vec2.feature_extractor(audio)
        heard.append(head.statistics(features.float(), torch.tensor([loudness(one.audio) for one in batch])))
        felt += [emotion_class(WORLD_EMOTIONS[one.emotion]) for one in batch]
    statistics, truth = torch.cat(heard), torch.tensor(felt)

    def loss(rng: np.random.Generator) -> torch.Tensor:
        chosen = torch.from_numpy(rng.integers(len(truth), size=128))
        return F.cross_entropy(head(statistics[chosen]), truth[chosen])

    train(head, loss, Recipe(steps=EMOTION_STEPS, weight_decay=0.1, seed=seed + 2), log=log, every=1000)


def excerpt(whole: Utterance, seconds: float, rng: np.random.Generator) -> Utterance:
    """A stretch of an utterance at random, followed by room noise where it ends before; `aus` are left out.

    Phonemes of which more than half is heard are kept; the first and the last fill the excerpt.
    """
    length = round(seconds * SAMPLE_RATE)
    start = int(rng.integers(max(1, len(whole.audio) - length + 1)))
    audio = whole.audio[start : start + length] * np.float32(rng.uniform(0.9, 1.1))
    noise = ROOM * rng.standard_normal(length - len(audio))
    times = whole.times - start / SAMPLE_RATE
    kept = (times.mean(1) > 0) & (times.mean(1) < seconds)
    times = times[kept].clip(0, seconds)
    times[0, 0], times[-1, 1] = 0, seconds
    audio = np.concatenate([audio, noise]).astype(np.float32)
    return whole._replace(audio=audio, aus=whole.aus[:0], phonemes=whole.phonemes[kept], times=times)


def frame_phonemes(utterance: Utterance, num_frames: int) -> np.ndarray:
    """int64 (num_frames,): what is heard at the centre of every vector, where `hidden_states` puts it.

    The convolutions' first vector lies 200 samples into the recording, their last as far from its end or up to a stride more.
    """
    last = (len(utterance.audio) - 400) // 320 * 320
    seconds = (200 + np.linspace(0, last, num_frames)) / SAMPLE_RATE
    return utterance.phonemes[np.searchsorted(utterance.times[1:, 0], seconds, side="right")].astype(np.int64)


def speech_loss(network: SpeechNetwork, batch: list[Utterance], rate: int) -> torch.Tensor:
    """Scalar loss of excerpts of equal length at `rate` vectors a second: CTC, phoneme per vector, emotion."""
    import torch
    import torch.nn.functional as F

    num_frames = round(len(batch[0].audio) / SAMPLE_RATE * rate)
    audio = torch.from_numpy(np.stack([normalised(one.audio) for one in batch]))
    with torch.autocast("cpu", torch.bfloat16):
        states = network(audio, num_frames)
    states = states.float()
    spoken = [one.phonemes[one.phonemes > 0] for one in batch]
    lengths = torch.tensor([len(one) for one in spoken])
    ctc = F.ctc_loss(
        network.ctc(states[:, -1]).log_softmax(-1).transpose(0, 1),
        torch.from_numpy(np.concatenate(spoken).astype(np.int64)),
        torch.full((len(batch),), num_frames),
        lengths,
        zero_infinity=True,
    )
    truth = torch.from_numpy(np.stack([frame_phonemes(one, num_frames) for one in batch]))
    framewise = F.cross_entropy(network.phoneme(states[:, -1]).flatten(0, 1), truth.flatten())
    felt = torch.tensor([emotion_class(WORLD_EMOTIONS[one.emotion]) for one in batch])
    heard = network.emotion_of_states(states, torch.tensor([loudness(one.audio) for one in batch]))
    return ctc + framewise + F.cross_entropy(heard, felt)


def measure_speech(path: Path, data: Path, count: int = 200) -> dict[str, float]:
    """What the encoder understands of utterances of other people.

    Args:
        path: the weights.
        data: folder of utterances it has not learned from.
        count: how many at most.

    Returns:
        phoneme_error_rate: edits from what CTC reads (greedy, 50 vectors a second) to what was said, per phoneme said.
        frame_accuracy: share of vectors, 25 a second, whose phoneme is right.
        emotion_accuracy: share of recordings whose emotion is heard.
    """
    import torch

    network, utterances = load_speech_network(path), Utterances(data)
    emotion = SpeechEmotion(network)
    edits = said = 0
    frames, emotions = [], []
    for n in range(min(count, len(utterances))):
        one = utterances[n]
        audio, seconds = torch.from_numpy(normalised(one.audio))[None], len(one.audio) / SAMPLE_RATE
        with torch.inference_mode():
            read = network.ctc(network(audio, round(50 * seconds))[0, -1]).argmax(-1)
            named = network.phoneme(network(audio, len(one.aus))[0, -1]).argmax(-1)
        read = torch.unique_consecutive(read)
        spoken = one.phonemes[one.phonemes > 0]
        edits, said = edits + edit_distance(read[read > 0].numpy(), spoken), said + len(spoken)
        frames.append((named.numpy() == frame_phonemes(one, len(one.aus))).mean())
        felt = emotion_class(WORLD_EMOTIONS[one.emotion])
        emotions.append(emotion(one.audio, len(one.aus), 25.0)[0] == felt)
    return {
        "phoneme_error_rate": edits / said,
        "frame_accuracy": float(np.mean(frames)),
        "emotion_accuracy": float(np.mean(emotions)),
    }


def edit_distance(one: np.ndarray, other: np.ndarray) -> int:
    """Levenshtein distance of two sequences of integers."""
    row = np.arange(len(other) + 1)
    for i, symbol in enumerate(one, 1):
        changed = np.concatenate([[i], np.minimum(row[1:] + 1, row[:-1] + (other != symbol))])
        # An insertion costs 1 more than the best before it in the row.
        row = np.minimum.accumulate(changed - np.arange(len(changed))) + np.arange(len(changed))
    return int(row[-1])
