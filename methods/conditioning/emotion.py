"""The emotion of speech as MEMO hears it: emotion2vec_plus_large, then MEMO's classifier (memo/utils/audio_utils.py).

Every second is classified from the three seconds around it (the first and the last from two), brought to mean 0 and
variance 1: the mean of emotion2vec's vectors goes through five linear layers. A clip has the emotion of most of its frames.

emotion2vec is built by funasr, its authors' library, from the published config; funasr is not installed with this suite.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench.media.clip import SAMPLE_RATE
from bench.media.errors import MissingPrerequisite, UserError

if TYPE_CHECKING:
    import torch

EMOTIONS = ("angry", "disgusted", "fearful", "happy", "neutral", "other", "sad", "surprised", "unknown")
"""Classes of emotion2vec and of MEMO, in order; the class after the last is MEMO's null emotion."""
ALIASES = {"anger": "angry", "contempt": "other", "disgust": "disgusted", "fear": "fearful", "joy": "happy",
           "happiness": "happy", "sadness": "sad", "surprise": "surprised"}  # fmt: skip
"""Other words for them. Contempt, an emotion of MEAD, is not among emotion2vec's."""
EMBEDDING_SIZE = 1024


def emotion_class(name: str) -> int:
    """Class of an emotion's name, in the words of `EMOTIONS` or `ALIASES`.

    Raises:
        UserError: an unknown word.
    """
    word = name.strip().lower()
    word = ALIASES.get(word, word)
    if word not in EMOTIONS:
        raise UserError(f"unknown emotion {name!r}; known are {', '.join((*EMOTIONS, *ALIASES))}")
    return EMOTIONS.index(word)


def clip_emotion(classes: np.ndarray) -> int:
    """The class of most frames of int64 (T,), the lowest of several."""
    return int(np.bincount(classes).argmax())


class SpeechEmotion:
    """Classes of speech per frame.

    Args:
        embed: torch float (S,) mono 16 kHz, normalised, to the mean vector (1024,).
        classifier: of `classifier_network`.
        device: torch device.
    """

    def __init__(self, embed: Callable[[torch.Tensor], torch.Tensor], classifier: torch.nn.Module, device: str = "cpu"):
        self._embed = embed
        self._classifier = classifier.eval().requires_grad_(False).to(device)
        self._device = device

    def __call__(self, audio: np.ndarray, num_frames: int, fps: float) -> np.ndarray:
        """int64 (num_frames,) classes of float32 (S,) mono 16 kHz; frames after its end have the class of its end."""
        labels = np.zeros(len(audio), np.int64)
        for heard, labelled in segments(len(audio)):
            labels[labelled] = self._classify(audio[heard])
        at = (np.arange(num_frames) * (SAMPLE_RATE / fps)).astype(np.int64)
        return labels[at.clip(max=len(audio) - 1)]

    def _classify(self, audio: np.ndarray) -> int:
        import torch
        import torch.nn.functional as F

        with torch.inference_mode():
            samples = torch.from_numpy(audio).float().to(self._device)
            vector = self._embed(F.layer_norm(samples, samples.shape))
            return int(self._classifier(vector).argmax())


def segments(num_samples: int) -> list[tuple[slice, slice]]:
    """(what is heard, what it labels) for every second of a recording of num_samples at 16 kHz; later ones overrule."""
    second = SAMPLE_RATE
    parts = [(slice(0, 2 * second), slice(0, second))]
    for start in range(second, num_samples - second, second):
        parts.append((slice(start - second, start + 2 * second), slice(start, start + second)))
    end = max(0, num_samples - second)
    parts.append((slice(max(0, num_samples - 2 * second), num_samples), slice(end, num_samples)))
    return parts


def classifier_network() -> torch.nn.Module:
    """MEMO's classifier in its initial state, float (..., 1024) to logits (..., 9)."""
    from collections import OrderedDict

    from torch import nn

    sizes = (EMBEDDING_SIZE, 2048, 2048, 2048, 2048, len(EMOTIONS))
    layers = OrderedDict()
    for number, (inputs, outputs) in enumerate(zip(sizes, sizes[1:], strict=False), 1):
        layers[f"fc{number}"] = nn.Linear(inputs, outputs)
        if outputs != len(EMOTIONS):
            layers[f"relu{number}"] = nn.ReLU()

    class Classifier(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.Sequential(layers)

        def forward(self, x):
            return self.layers(x)

    return Classifier()


def load_classifier(path: Path) -> torch.nn.Module:
    """MEMO's classifier from its published safetensors file (misc/audio_emotion_classifier)."""
    from safetensors.torch import load_file

    network = classifier_network()
    network.load_state_dict(load_file(path))
    return network


def load_emotion2vec(weights: Path, config: Path, device: str = "cpu") -> Callable[[torch.Tensor], torch.Tensor]:
    """emotion2vec_plus_large as `SpeechEmotion` wants it.

    Args:
        weights: the published model.pt.
        config: the published config.yaml.

    Raises:
        MissingPrerequisite: funasr is not installed.
        UserError: the weights lack a tensor that the config asks for.
    """
    import torch

    try:
        from funasr.models.emotion2vec.model import Emotion2vec
        from omegaconf import OmegaConf
    except ImportError as error:
        raise MissingPrerequisite(
            f"hearing the emotion of speech needs funasr ({error}): pip install funasr, "
            "or name the emotion: --set emotion=happy"
        ) from error
    network = Emotion2vec(model_conf=OmegaConf.to_container(OmegaConf.load(config))["model_conf"], vocab_size=-1)
    state = torch.load(weights, map_location="cpu", weights_only=True)
    for wrapper in ("state_dict", "model_state_dict", "model"):
        state = state.get(wrapper, state)
    state = {name.removeprefix("module."): value for name, value in state.items()}
    missing, _ = network.load_state_dict(state, strict=False)
    # The decoder serves pretraining alone; the file's own classifier (proj) is not used.
    if missing := [name for name in missing if ".decoder." not in name]:
        raise UserError(
            f"{weights} lacks {len(missing)} tensors of emotion2vec, among them {missing[0]}; fetch it again"
        )
    network.eval().requires_grad_(False).to(device)
    return lambda audio: network.extract_features(audio[None])["x"][0].mean(0)
