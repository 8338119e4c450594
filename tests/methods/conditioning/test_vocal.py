"""Speech tokens of a window. Oracle: transformers' own processor and network."""

import numpy as np
import torch
from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2Model

from methods.conditioning.vocal import vocal_states


def test_tokens_are_those_of_transformers():
    torch.manual_seed(0)
    config = Wav2Vec2Config(
        hidden_size=24, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, conv_dim=(16,) * 7,
        num_conv_pos_embeddings=8, num_conv_pos_embedding_groups=2, mask_time_prob=0.0, mask_feature_prob=0.0,
    )  # fmt: skip
    network = Wav2Vec2Model(config).eval()
    audio = (0.1 * np.random.default_rng(0).standard_normal(51840) + 0.05).astype(np.float32)
    states = vocal_states(network, audio)
    assert states.shape == (161, 24) and states.dtype == torch.float32  # 81 frames at 25 fps.
    inputs = Wav2Vec2FeatureExtractor(do_normalize=True)(audio, sampling_rate=16000, return_tensors="pt")
    with torch.inference_mode():
        expected = network(inputs.input_values).last_hidden_state[0]
    torch.testing.assert_close(states, expected, rtol=1e-4, atol=1e-4)
    assert vocal_states(network, np.zeros(16000, np.float32)).isfinite().all()
