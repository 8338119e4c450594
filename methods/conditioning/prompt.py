"""The prompt as the video transformer reads it: states of the umT5-XXL encoder, one row a token.

Up to 512 tokens, the last `</s>`. Padding neither attends nor is attended to, so it is not computed: the states end with the
prompt, and zeros fill them up to 512. IUFace's prompts describe static appearance only (suppl. B); the default is one that
fits any portrait. States may come from a file (`save_embedding`), and then the encoder, 11 GB, is not needed at all.

The network is transformers' UMT5EncoderModel; the published file has Wan's own names.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.media.errors import UserError

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from torch import Tensor
    from transformers import UMT5EncoderModel

DEFAULT_PROMPT = (
    "A close-up portrait of one person, head and shoulders, facing the camera. Natural skin and hair in sharp detail, "
    "soft even light, a still background, a fixed camera."
)
NEGATIVE_PROMPT = (
    "色调艳丽，过曝，静态，细节模糊不清，字幕，风格，作品，画作，画面，静止，整体发灰，最差质量，低质量，JPEG压缩残留，丑陋的，残缺的，"
    "多余的手指，画得不好的手部，画得不好的脸部，畸形的，毁容的，形态畸形的肢体，手指融合，静止不动的画面，杂乱的背景，三条腿，"
    "背景人很多，倒着走"
)
"""Wan2.1's default (wan/configs/shared_config.py), which StableAvatar uses as well."""
TOKENS = 512
EMBEDDING = "prompt_embeds"
"""Name of the tensor in a file of states."""


class TextEncoder:
    """umT5 with its tokenizer."""

    def __init__(self, network: UMT5EncoderModel, tokenizer: Tokenizer):
        self.network = network.eval().requires_grad_(False)
        self._tokenizer = tokenizer
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(TOKENS)

    def __call__(self, prompt: str) -> Tensor:
        """float32 (n, D) on the CPU: states of the n tokens of a prompt, at most TOKENS."""
        import torch

        ids = torch.tensor([self._tokenizer.encode(" ".join(prompt.split())).ids], device=self.network.device)
        with torch.inference_mode():
            return self.network(ids).last_hidden_state[0].float().cpu()


def padded(states: Tensor, tokens: int = TOKENS) -> Tensor:
    """(tokens, D) of states (n, D): zeros after the last; a longer one is cut."""
    import torch.nn.functional as F

    return F.pad(states[:tokens], (0, 0, 0, max(0, tokens - len(states))))


# -- states in files --------------------------------------------------------------------------------------------------


def save_embedding(path: Path, states: Tensor, prompt: str) -> None:
    """Write the states float (n, D) of a prompt, as bfloat16, with the prompt beside them; the file appears whole or not at
    all."""
    from methods.tensor_files import write_state

    write_state(path, {EMBEDDING: states}, {"prompt": prompt})


def read_embedding(path: Path, text_dim: int) -> Tensor:
    """float32 (n, text_dim): states of a prompt from a safetensors file.

    Raises:
        UserError: not such a file, or states of another encoder.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path}: no safetensors file with the states of a prompt ({error})") from error
    if EMBEDDING not in tensors:
        raise UserError(f"{path}: holds {', '.join(tensors) or 'nothing'}, not {EMBEDDING}, the states of a prompt")
    states = tensors[EMBEDDING]
    if states.ndim == 3 and len(states) == 1:
        states = states[0]
    if states.ndim != 2 or states.shape[1] != text_dim:
        raise UserError(f"{path}: {EMBEDDING} is {tuple(states.shape)}, this model takes (tokens, {text_dim})")
    return states.float()


# -- published file ---------------------------------------------------------------------------------------------------


def load_text_encoder(weights: Path, tokenizer: Path) -> TextEncoder:
    """From models_t5_umt5-xxl-enc-bf16.pth, in its bfloat16, and the tokenizer.json of google/umt5-xxl."""
    import torch
    from tokenizers import Tokenizer

    state = torch.load(weights, map_location="cpu", weights_only=True, mmap=True)
    return TextEncoder(umt5_from_state(state), Tokenizer.from_file(str(tokenizer)))


def umt5_from_state(state: Mapping[str, Tensor]) -> UMT5EncoderModel:
    """The network of an official state dict, of its sizes and dtype; it shares the dict's memory."""
    import torch
    from transformers import UMT5Config, UMT5EncoderModel

    config = UMT5Config(**umt5_sizes({name: tuple(value.shape) for name, value in state.items()}))
    with torch.device("meta"):
        network = UMT5EncoderModel(config)
    network.load_state_dict(to_transformers_umt5(state), assign=True)
    network.tie_weights()  # Else the two names of the token embedding would be two copies of 2 GB on a GPU.
    return network.eval()


def umt5_sizes(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    """Arguments of UMT5Config, from the shapes of an official state dict.

    Raises:
        KeyError: a parameter that every such file has is not there.
    """
    vocab_size, width = shapes["token_embedding.weight"]
    buckets, heads = shapes["blocks.0.pos_embedding.embedding.weight"]
    return {
        "vocab_size": vocab_size,
        "d_model": width,
        "d_kv": shapes["blocks.0.attn.q.weight"][0] // heads,
        "d_ff": shapes["blocks.0.ffn.fc1.weight"][0],
        "num_layers": len({name.split(".")[1] for name in shapes if name.startswith("blocks.")}),
        "num_heads": heads,
        "relative_attention_num_buckets": buckets,
        "feed_forward_proj": "gated-gelu",
    }


_NAMES = {
    "norm1": "layer.0.layer_norm",
    "attn": "layer.0.SelfAttention",
    "pos_embedding.embedding": "layer.0.SelfAttention.relative_attention_bias",
    "norm2": "layer.1.layer_norm",
    "ffn.gate.0": "layer.1.DenseReluDense.wi_0",
    "ffn.fc1": "layer.1.DenseReluDense.wi_1",
    "ffn.fc2": "layer.1.DenseReluDense.wo",
}


def to_transformers_umt5(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Official tensors under transformers' names; the token embedding has two there."""
    renamed = {"encoder.final_layer_norm.weight": state["norm.weight"]}
    for name in ("shared.weight", "encoder.embed_tokens.weight"):
        renamed[name] = state["token_embedding.weight"]
    for name, value in state.items():
        if not name.startswith("blocks."):
            continue
        _, block, rest = name.split(".", 2)
        ours = next(ours for ours in _NAMES if rest.startswith(f"{ours}."))
        renamed[f"encoder.block.{block}.{_NAMES[ours]}.{rest.removeprefix(f'{ours}.')}"] = value
    return renamed
