"""What training needs of a clip, computed once: latents, speech, identity, face regions, emotion, Action Units.

One safetensors file per clip. Its metadata name the encoders, whose change makes the file useless, and the clip.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from bench.media.clip import Clip
from bench.media.errors import UserError
from methods.conditioning.aus import require_every_frame
from methods.conditioning.emotion import emotion_class
from methods.conditioning.encoders import Encoders
from methods.generator import GenerationError

BOX_STEP = 5
"""Of the frames of a clip, every so manieth says where face and lips are: a fifth of a second apart they hardly move."""
NAMES = ("latent_mean", "latent_std", "speech", "face", "face_box", "lip_box", "emotion", "aus")


def clip_features(
    clip: Clip,
    aus: np.ndarray,
    encoders: Encoders,
    *,
    emotion: str | None = None,
    vocals: Callable[[np.ndarray], np.ndarray] | None = None,
) -> dict[str, np.ndarray]:
    """Features of a clip. Frames are read in chunks; only the features of the whole clip are held.

    Args:
        clip: view of encoders.size x encoders.size pixels.
        aus: float32 (T, 24), a row per frame of the view.
        encoders: of the model that will be trained.
        emotion: of the whole clip, for data with labels; None hears it in the speech.
        vocals: separates speech from other sound, float32 (S,) to float32 (S,); None takes the sound as it is.

    Returns:
        latent_mean, latent_std: float16 (T, latent_channels, h, w), scaled.
        speech: float16 (T, blocks, channels).
        face: float32 (face_channels,), of the first frame whose face can be read.
        face_box, lip_box: float32 (4,) in [0, 1], unions over every BOX_STEP-th frame.
        emotion: int64 (T,) class per frame.
        aus: float32 (T, 24).

    Raises:
        UserError: the view has another size, or aus another length.
        GenerationError: no frame with one face, no speech, or a frame without AUs.
    """
    side, count = encoders.size, clip.num_frames
    if (clip.height, clip.width) != (side, side):
        raise UserError(f"{clip.path}: frames are {clip.height}x{clip.width}, the encoders take {side}x{side}")
    if len(aus) != count:
        raise UserError(f"{clip.path}: {len(aus)} rows of Action Units for {count} frames")
    require_every_frame(aus, clip.path)
    audio = clip.audio if vocals is None else vocals(clip.audio)
    speech = encoders.speech(audio, count, clip.fps).astype(np.float16)
    heard = emotion is None
    classes = encoders.emotion(audio, count, clip.fps) if heard else np.full(count, emotion_class(emotion), np.int64)
    return {**_picture_features(clip, encoders), "speech": speech, "emotion": classes, "aus": aus.astype(np.float32)}


def _picture_features(clip: Clip, encoders: Encoders) -> dict[str, np.ndarray]:
    means, stds, boxes = [], [], []
    face, reason = None, ""
    for frames in clip.chunks():
        mean, std = (latents.numpy().astype(np.float16) for latents in encoders.encode(frames))
        means.append(mean)
        stds.append(std)
        boxes.append(encoders.face_boxes(frames[::BOX_STEP]))
        for frame in frames if face is None else ():
            try:
                face = encoders.read_face(frame).embedding
                break
            except GenerationError as error:
                reason = str(error)
    if face is None:
        raise GenerationError(f"{clip.path}: none of its {clip.num_frames} frames can be used: {reason}")
    face_box, lip_box = union(np.concatenate(boxes))
    return {
        "latent_mean": np.concatenate(means),
        "latent_std": np.concatenate(stds),
        "face": face,
        "face_box": face_box,
        "lip_box": lip_box,
    }


def union(boxes: np.ndarray) -> np.ndarray:
    """The smallest boxes that hold those of all frames: float32 (2, 4) of (T, 2, 4), x0, y0, x1, y1, NaN left out."""
    return np.concatenate([np.nanmin(boxes[..., :2], axis=0), np.nanmax(boxes[..., 2:], axis=0)], axis=-1)


def encoder_tag(encoders: Encoders | type[Encoders]) -> str:
    """What a feature file says of the encoders it was made with."""
    return f"{encoders.name}-{encoders.version}"


def save_features(path: Path, features: Mapping[str, np.ndarray], encoders: Encoders, clip_sha256: str) -> None:
    """Write features of a clip; the file appears whole or not at all."""
    arrays = {name: features[name] for name in NAMES}
    save_arrays(path, arrays, {"encoders": encoder_tag(encoders), "clip_sha256": clip_sha256})


def save_arrays(path: Path, arrays: Mapping[str, np.ndarray], metadata: dict[str, str]) -> None:
    """Write a safetensors file that appears whole or not at all."""
    from safetensors.numpy import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        save_file({name: np.ascontiguousarray(values) for name, values in arrays.items()}, part, metadata)
        with open(part, "rb") as file:
            os.fsync(file.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def read_metadata(path: Path) -> dict[str, str]:
    """`encoders` and `clip_sha256` of a feature file."""
    from safetensors import safe_open

    with safe_open(path, "numpy") as file:
        return file.metadata()


def load_features(
    path: Path, encoders: Encoders | type[Encoders], frames: slice = slice(None)
) -> dict[str, np.ndarray]:
    """Features of a clip, as `clip_features` returns them.

    Args:
        path: the file.
        encoders: those of the model that is trained.
        frames: which frames; only these are read.

    Raises:
        UserError: the file was made with other encoders.
    """
    from safetensors import safe_open

    with safe_open(path, "numpy") as file:
        if (made := file.metadata()["encoders"]) != encoder_tag(encoders):
            raise UserError(
                f"{path}: made with encoders {made}, this model needs {encoder_tag(encoders)}; "
                "make the features again with python -m bench prepare"
            )
        whole = ("face", "face_box", "lip_box")
        return {name: file.get_tensor(name) if name in whole else file.get_slice(name)[frames] for name in NAMES}
