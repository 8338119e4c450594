"""Speech features: hidden states of wav2vec2 at the frame rate, as Hallo and MEMO use them (hallo/models/wav2vec.py).

The waveform is brought to mean 0 and variance 1 and padded with zeros, or cut, to the length of the frames. The
convolutions' output (50 vectors a second) is stretched linearly to one vector per frame, the first and last of both at
the same place, *before* it is projected and enters the transformer. Features are the outputs of its 12 blocks.

Nothing bounds the length: the convolutions run over slices of SLICE_SECONDS, with the mean and variance that their one
normalisation takes over the whole recording computed beforehand, so that slices change nothing but rounding; attention
is over the whole recording. Difference: the original pads only to whole clips and appends `(missing frames) * (16000 //
fps)` zeros, which is another length where fps does not divide 16000.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench.media.clip import SAMPLE_RATE, samples_for
from methods.generator import GenerationError

if TYPE_CHECKING:
    import torch
    from transformers import Wav2Vec2Model

SLICE_SECONDS = 20
"""Of the convolutions; they hold about 13 MB a second at 512 channels."""
WINDOW_MARGIN = 2
"""Frames on either side that a frame's audio tokens are made of."""
BLOCK_SECONDS = 0.02
"""Over which loudness is taken."""
SILENCE = 1e-3
"""Root mean square of a block, -60 dB of full scale: room noise of a close microphone, far below quiet speech."""
SPEECH_SECONDS = 0.1
"""Sound louder than that which speech must hold in all; a click is shorter."""


class SpeechEncoder:
    """wav2vec2 on one device."""

    def __init__(self, network: Wav2Vec2Model, device: str = "cpu"):
        self.network = network.eval().requires_grad_(False).to(device)
        self.device = device

    def __call__(self, audio: np.ndarray, num_frames: int, fps: float) -> np.ndarray:
        """Hidden states per frame.

        Args:
            audio: float32 (S,) mono 16 kHz; sample 0 is heard with frame 0. Cut or padded with zeros to the frames.
            num_frames: T.
            fps: rate of the frames.

        Returns:
            float32 (T, blocks, channels).

        Raises:
            GenerationError: there is no sound in it.
        """
        import torch

        require_speech(audio)
        samples = samples_for(num_frames, fps)
        audio = audio[:samples]
        padded = np.pad(normalised(audio), (0, samples - len(audio)))
        with torch.inference_mode():
            states = hidden_states(self.network, torch.from_numpy(padded).to(self.device), num_frames)
        return states.cpu().numpy()


def require_speech(audio: np.ndarray) -> None:
    """Refuse silence.

    Args:
        audio: float32 (S,) mono 16 kHz in [-1, 1].

    Raises:
        GenerationError: less than SPEECH_SECONDS of it, or half of a shorter one, are louder than SILENCE.
    """
    block = round(BLOCK_SECONDS * SAMPLE_RATE)
    blocks = audio[: len(audio) // block * block].reshape(-1, block)
    loud = int((np.sqrt(np.mean(blocks.astype(np.float64) ** 2, axis=1)) > SILENCE).sum())
    if loud < max(1, min(round(SPEECH_SECONDS / BLOCK_SECONDS), len(blocks) // 2)):
        raise GenerationError(
            f"the audio holds no speech: {loud * BLOCK_SECONDS:.2f} of its {len(audio) / SAMPLE_RATE:.2f} s are louder than "
            f"{20 * np.log10(SILENCE):.0f} dB of full scale; check that the file has sound, and its channel and volume"
        )


def normalised(audio: np.ndarray) -> np.ndarray:
    """float32 (S,) with mean 0 and variance 1, as Wav2Vec2FeatureExtractor makes it."""
    audio = audio.astype(np.float32)
    return (audio - audio.mean()) / np.sqrt(audio.var() + 1e-7)


def hidden_states(network: Wav2Vec2Model, audio: torch.Tensor, num_frames: int) -> torch.Tensor:
    """Outputs of every transformer block at the frame rate.

    Args:
        network: wav2vec2 whose blocks normalise after the sum (base models).
        audio: float (S,), normalised.
        num_frames: T, over which the whole of `audio` is spread.

    Returns:
        float (T, blocks, channels).
    """
    import torch
    import torch.nn.functional as F

    features = F.interpolate(conv_features(network, audio)[None], num_frames, mode="linear", align_corners=True)
    hidden, _ = network.feature_projection(features.transpose(1, 2))
    encoder = network.encoder
    hidden = encoder.layer_norm(hidden + encoder.pos_conv_embed(hidden))
    states = []
    for block in encoder.layers:
        hidden = block(hidden)
        states.append(hidden[0])
    return torch.stack(states, dim=1)


def conv_features(network: Wav2Vec2Model, audio: torch.Tensor, slice_seconds: float = SLICE_SECONDS) -> torch.Tensor:
    """network.feature_extractor of float (S,) with bounded memory: float (channels, vectors).

    Its first layer normalises every channel over time (GroupNorm with a group per channel), the others not at all.
    """
    import torch
    import torch.nn.functional as F

    first, *others = network.feature_extractor.conv_layers
    stride, reach = 1, 1
    for layer in network.feature_extractor.conv_layers:
        reach += (layer.conv.kernel_size[0] - 1) * stride
        stride *= layer.conv.stride[0]
    vectors = (len(audio) - reach) // stride + 1
    step = max(1, round(slice_seconds * SAMPLE_RATE / stride))
    mean, variance = _channel_statistics(first.conv, audio, step * stride)
    norm = first.layer_norm
    pieces = []
    for start in range(0, vectors, step):
        stop = min(start + step, vectors)
        hidden = first.conv(audio[None, None, start * stride : (stop - 1) * stride + reach])
        hidden = F.batch_norm(hidden, mean, variance, norm.weight, norm.bias, eps=norm.eps)
        hidden = first.activation(hidden)
        for layer in others:
            hidden = layer(hidden)
        pieces.append(hidden[0])
    return torch.cat(pieces, dim=1)


def _channel_statistics(conv: torch.nn.Conv1d, audio: torch.Tensor, step: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and variance over time, each (channels,), of a convolution's output, `step` samples at a time."""
    kernel, stride = conv.kernel_size[0], conv.stride[0]
    count = (len(audio) - kernel) // stride + 1
    total = squares = 0.0
    for start in range(0, count, step // stride):
        stop = min(start + step // stride, count)
        out = conv(audio[None, None, start * stride : (stop - 1) * stride + kernel])[0].double()
        total, squares = total + out.sum(1), squares + (out**2).sum(1)
    mean = total / count
    return mean.to(audio.dtype), (squares / count - mean**2).clamp(min=0).to(audio.dtype)


def windows(features, margin: int = WINDOW_MARGIN):
    """The features of every frame and of `margin` frames on either side; at the ends the outermost frame is repeated.

    Args:
        features: array or tensor (T, blocks, channels).

    Returns:
        Same kind, (T, 2 * margin + 1, blocks, channels).
    """
    frames = np.arange(len(features))
    around = frames[:, None] + np.arange(-margin, margin + 1)
    return features[around.clip(0, len(features) - 1)]


def load_wav2vec2(path: Path) -> Wav2Vec2Model:
    """wav2vec2-base-960h from the published safetensors file, float32."""
    from safetensors.torch import load_file
    from transformers import Wav2Vec2Config, Wav2Vec2Model

    # The defaults of the config are the base model; without masks it has no vector for masked steps.
    network = Wav2Vec2Model(Wav2Vec2Config(mask_time_prob=0.0, mask_feature_prob=0.0))
    network.load_state_dict(encoder_names(load_file(path)))
    return network


def encoder_names(published: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Tensors of a published Wav2Vec2ForCTC under the names of Wav2Vec2Model.

    The head is dropped, as is the vector that hides time steps in pretraining; the weight-normalised convolution has
    the names of torch before 2.1.
    """
    state = {}
    for name, value in published.items():
        name = name.removeprefix("wav2vec2.")
        name = name.replace("conv.weight_g", "conv.parametrizations.weight.original0")
        name = name.replace("conv.weight_v", "conv.parametrizations.weight.original1")
        if not name.startswith(("lm_head.", "masked_spec_embed")):
            state[name] = value
    return state
