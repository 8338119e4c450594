"""wav2vec_*: hidden states of the speech network at the frame rate, and their windows."""

from __future__ import annotations

from pathlib import Path

from bench.parity.files import Dump, find_dumps
from bench.parity.report import Report


def check(folder: Path, report: Report) -> None:
    dumps = find_dumps(folder, "wav2vec")
    if not dumps:
        report.unchecked.append("no wav2vec_*_io.safetensors: speech features and windows")
    for dump in dumps:
        report.compare_all(_speech(dump), dump.outputs("out/"), f"{dump.io.name}:out/")


def _speech(dump: Dump) -> dict:
    import torch
    from transformers import Wav2Vec2Config, Wav2Vec2Model

    from methods.conditioning.speech import hidden_states, windows

    network = Wav2Vec2Model(Wav2Vec2Config(**dump.config)).eval()
    network.load_state_dict(dump.state)
    num_frames = dump.setting("seq_len")
    with torch.inference_mode():
        audio = dump.input("in/wav")[0]
        states = hidden_states(network, audio, num_frames)
    # The official window reaches as far on either side; its width is the recording's.
    recorded = dump.tensors.get("out/window")
    margin = (recorded.shape[1] - 1) // 2 if recorded is not None else 2
    return {
        "hidden_states": states,
        "last_hidden_state_plain": states[None, :, -1],
        "window": windows(states, margin),
    }
