"""Training of `synth_expression`: least squares from the hidden layer of expert A to the amounts of the 24 AUs."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
from safetensors.numpy import save

from bench.media.clip import ArrayClip
from bench.media.errors import UserError
from metrics.functional.au import correlations
from metrics.synth.arrays import world_version
from metrics.synth.expression import SynthExpression
from metrics.synth.face import SynthFace
from metrics.synth.face_samples import Face, FaceSamples

FACES = 12_000
HELD_OUT = 3_000
CHUNK = 200
RIDGE = 1e-3
"""Of the mean square of a hidden unit, added to the diagonal."""


def train_expression(
    data: Path,
    out: Path,
    *,
    minutes: float | None = None,
    seed: int = 0,
    faces: int = FACES,
    log: Callable[[str], None] = print,
) -> dict[str, float]:
    """Fit the read-out on the people expert A learned from and write its weights.

    Args:
        data: folder of training arrays.
        out: file of the weights; those of expert A, `synth_face.safetensors`, lie beside it.
        minutes: longest time for the training faces to pass through expert A.
        faces: training faces at most.

    Returns:
        figures on held-out people: pcc_lowest, the least correlation of a coefficient with its AU, and pcc_mean.

    Raises:
        UserError: the weights of expert A are not there.
    """
    face = out.with_name("synth_face.safetensors")
    if not face.is_file():
        raise UserError(
            f"{face}: not there, and the expression code reads expert A; train face first, into that folder"
        )
    expert = SynthFace({"synth_face": face})
    samples = FaceSamples(data, parity=0)
    hidden, aus = _described(expert, samples.plain(faces, seed), minutes)
    log(f"{len(hidden)} faces")
    weight, bias = ridge(hidden, aus)
    # safetensors writes the memory as it lies.
    tensors = {"weight": np.ascontiguousarray(weight, np.float32), "bias": bias.astype(np.float32)}
    hidden, aus = _described(expert, samples.held_out(min(faces, HELD_OUT), seed), None)
    pcc = correlations(hidden @ tensors["weight"].T + tensors["bias"], aus, 1.0)
    figures = {"pcc_lowest": float(np.nanmin(pcc)), "pcc_mean": float(np.nanmean(pcc))}
    about = {
        "expert": SynthExpression.name,
        "seed": seed,
        "world": world_version(data),
        "held_out": json.dumps(figures),
    }
    part = out.with_name(out.name + ".part")
    part.write_bytes(save(tensors, {name: str(value) for name, value in about.items()}))
    os.replace(part, out)
    return figures


def ridge(inputs: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weight float64 (k, d) and bias (k,) of the least-squares line from inputs (n, d) to targets (n, k)."""
    x, y = np.asarray(inputs, np.float64), np.asarray(targets, np.float64)
    centred = x - x.mean(0)
    gram = centred.T @ centred
    gram += RIDGE * np.trace(gram) / len(gram) * np.eye(len(gram))
    weight = np.linalg.solve(gram, centred.T @ (y - y.mean(0))).T
    return weight, y.mean(0) - weight @ x.mean(0)


def _described(expert: SynthFace, faces: Iterator[Face], minutes: float | None) -> tuple[np.ndarray, np.ndarray]:
    """Hidden layer (n, HIDDEN) and AUs (n, 24) of faces, as many as the time allows."""
    started = time.monotonic()
    aus = []
    for number, chunk in enumerate(iter(lambda: list(islice(faces, CHUNK)), [])):
        frames = np.stack([face[0] for face in chunk])
        if number == 0:
            expert.begin(ArrayClip(frames), {})
        expert.update(frames)
        aus += [face[2] for face in chunk]
        if minutes is not None and time.monotonic() - started > 60 * minutes:
            break
    return expert.finish()["hidden"], np.stack(aus)
