"""Speech as StableAvatar hears it: last hidden states of wav2vec2-base-960h, 50 a second, of one window of video.

Unlike for Hallo and MEMO (`speech.py`), the window's own samples are brought to mean 0 and variance 1, as Wav2Vec2Processor
does it, and nothing is stretched to the frame rate: the transformer's own projector assigns tokens to latent frames.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from methods.conditioning.speech import normalised

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import Wav2Vec2Model


def vocal_states(network: Wav2Vec2Model, audio: np.ndarray) -> Tensor:
    """Hidden states of a window.

    Args:
        network: wav2vec2 in eval mode.
        audio: float32 (S,) mono 16 kHz, at least 400 samples; 81 frames at 25 fps are 51,840 and give 161 tokens.

    Returns:
        float32 (tokens, channels) on the CPU.
    """
    import torch

    with torch.inference_mode():
        samples = torch.from_numpy(normalised(audio))[None].to(network.device)
        return network(samples).last_hidden_state[0].float().cpu()
