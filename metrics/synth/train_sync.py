"""Training of `synth_sync`, and how often it finds a known shift of the speech of unseen people."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from metrics.extractors.syncnet import MFCC_STEP, MFCC_WINDOW, audio_features
from metrics.functional.mfcc import COEFFICIENTS, int16_samples, mfcc
from metrics.functional.sync import (
    MAX_SHIFT,
    SAMPLES_PER_FRAME,
    av_offset,
    lse_c,
    lse_d,
    paired_windows,
    valid_shift_curve,
)
from metrics.synth.arrays import Clips, clips, split
from metrics.synth.crops import MOUTH, varied
from metrics.synth.fit import fit
from metrics.synth.sync import SIZE, lip_features, mouths, sync_network

if TYPE_CHECKING:
    import torch
    from torch import nn

CLIPS = 8
"""Performances in a batch, each with all of its windows."""
TEMPERATURE = 0.07
SHIFT_SHARPNESS = 20.0
"""What a mean cosine is multiplied with to be the logit of a shift."""
KNOWN_SHIFTS = range(-8, 9)
FRAMES = 48
"""Length, in frames, of the clips that are measured: that of the synthetic protocols."""


def train_sync(
    data: Path,
    out: Path,
    *,
    minutes: float | None = None,
    steps: int | None = None,
    seed: int = 0,
    log: Callable[[str], None] = print,
) -> dict[str, float]:
    """Train on the clips of `data`, save the weights to `out`.

    Returns:
        As `sync_accuracy`, on the identities left for validation.
    """
    from metrics.synth.training import Budget, Recipe, seed_everything

    performances = clips(data)
    rows, held = split(performances.identity)
    seed_everything(seed)
    network = sync_network()
    _standardise(network, performances, rows)
    return fit(
        network,
        network,
        sync_loss(network, performances, rows),
        lambda: _figures(network, performances, held),
        data=data,
        out=out,
        recipe=Recipe(seed=seed),
        budget=Budget(minutes=minutes, steps=steps),
        log=log,
    )


def sync_accuracy(weights: Path, data: Path) -> dict[str, float]:
    """How the network does on the clips of `data`, cut to FRAMES.

    Returns:
        `within_1`: share of clips and shifts in KNOWN_SHIFTS (speech moved, silence in the gap) whose offset is right
        within a frame; `exact`: right to the frame; `lse_c`, `lse_d`: means without a shift.
    """
    from metrics.synth.training import load_weights

    performances = clips(data)
    return _figures(load_weights(sync_network(), weights), performances, np.arange(len(performances.identity)))


def shifted(audio: np.ndarray, frames: int) -> np.ndarray:
    """Speech float (S,) delayed by frames (made early, if negative): silence fills the gap, the length stays."""
    samples = frames * SAMPLES_PER_FRAME
    moved = np.zeros_like(audio)
    moved[max(samples, 0) : len(audio) + min(samples, 0)] = audio[max(-samples, 0) : len(audio) - max(samples, 0)]
    return moved


def sync_loss(network, performances: Clips, rows: np.ndarray) -> Callable[[np.random.Generator], torch.Tensor]:
    """The loss of a batch of CLIPS performances, drawn from these rows."""
    import torch

    from metrics.synth.convnet import pixels
    from metrics.synth.sync_network import lip_windows

    network.to(memory_format=torch.channels_last)
    spoken = {row: torch.from_numpy(mfcc_windows(performances.audio[row])) for row in rows}
    # Speech that is g times louder has the same cepstrum but for the logarithm of the energy, 2 ln g more.
    loudness = (torch.arange(COEFFICIENTS) == 0)[:, None]

    def loss(rng: np.random.Generator) -> torch.Tensor:
        seen, heard = [], []
        for row in rng.choice(rows, min(CLIPS, len(rows)), replace=False):
            heard.append(spoken[row] + 2 * np.log(rng.uniform(0.5, 1.5)) * loudness)
            mouth = pixels(varied(performances.frames[row], MOUTH, SIZE, rng))
            seen.append(lip_windows(mouth)[: len(heard[-1])])
        with torch.autocast("cpu", torch.bfloat16):
            lips, speech = network.forward_lips(torch.cat(seen)), network.forward_aud(torch.cat(heard))
        clips_of_lips, clips_of_speech = lips.split([*map(len, seen)]), speech.split([*map(len, heard)])
        shifts = map(_shift_loss, clips_of_lips, clips_of_speech)
        return _contrastive(lips, speech) + sum(shifts) / len(seen)

    return loss


def mfcc_windows(audio: np.ndarray) -> np.ndarray:
    """float32 (A, 1, 13, 20) of speech float (S,) in [-1, 1]: 20 rows of MFCC from every frame on, A = S / 640 - 5."""
    rows = mfcc(int16_samples(audio)).T.astype(np.float32)
    return np.ascontiguousarray(
        np.lib.stride_tricks.sliding_window_view(rows, MFCC_WINDOW, axis=1)[:, ::MFCC_STEP].swapaxes(0, 1)[:, None]
    )


def _contrastive(lips: torch.Tensor, speech: torch.Tensor) -> torch.Tensor:
    """InfoNCE both ways between unit vectors (n, D): the partner among all moments of all clips of the batch."""
    import torch

    logits = lips @ speech.T / TEMPERATURE
    own = torch.arange(len(logits))
    return (torch.nn.functional.cross_entropy(logits, own) + torch.nn.functional.cross_entropy(logits.T, own)) / 2


def _shift_loss(lips: torch.Tensor, speech: torch.Tensor) -> torch.Tensor:
    """Cross entropy of shift 0 among all shifts of the speech of one clip, by mean cosine: what the offset is read from."""
    import torch

    cosine = lips @ speech.T
    largest = min(MAX_SHIFT, len(cosine) - 1)
    means = torch.stack([cosine.diagonal(shift).mean() for shift in range(-largest, largest + 1)])
    return torch.nn.functional.cross_entropy(SHIFT_SHARPNESS * means, torch.tensor(largest))


def _standardise(network: nn.Module, performances: Clips, rows: np.ndarray, most: int = 500) -> None:
    """Set the network's moments of MFCC from up to `most` performances spread over the rows."""
    import torch

    chosen = rows[:: max(1, len(rows) // most)]
    cepstra = np.concatenate([mfcc(int16_samples(performances.audio[row])) for row in chosen])
    network.mean.copy_(torch.from_numpy(cepstra.mean(0)))
    network.scale.copy_(torch.from_numpy(cepstra.std(0) + 1e-3))


def _figures(network: nn.Module, performances: Clips, rows: np.ndarray) -> dict[str, float]:
    errors, confidence, distance = [], [], []
    for row in rows:
        lips = lip_features(network, mouths(performances.frames[row][:FRAMES]))
        audio = performances.audio[row][: FRAMES * SAMPLES_PER_FRAME]
        for shift in KNOWN_SHIFTS:
            speech = audio_features(network, int16_samples(shifted(audio, shift)))
            curve = valid_shift_curve(*paired_windows(lips, speech))
            errors.append(abs(av_offset(curve) + shift))
            if not shift:
                confidence.append(lse_c(curve))
                distance.append(lse_d(curve))
    errors = np.array(errors)
    return {
        "within_1": float((errors <= 1).mean()),
        "exact": float((errors == 0).mean()),
        "lse_c": float(np.mean(confidence)),
        "lse_d": float(np.mean(distance)),
    }
