"""What training the video transformer needs of a clip, computed once, in two files.

`clip_windows`: stretches of N = 4T - 3 frames, each encoded on its own, since the autoencoder is causal and a window's first
latent frame holds one frame. `clip_references`: pictures that can stand for the person, K frames of the clip, each as the
transformer sees it (`known`, image states) and with its identity embedding. A reference is drawn from another clip's file in
neutral-reference training (IUFace, Eq. 3), else from the clip's own.

Letters: W windows of N frames, T latent frames of c x h x w, S speech tokens, K references, I image tokens, F frames of the clip.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from bench.media.clip import SAMPLE_RATE, Clip, samples_for
from bench.media.errors import UserError
from methods.conditioning.aus import require_every_frame
from methods.conditioning.features import save_arrays
from methods.conditioning.regions import per_latent, region_masks
from methods.conditioning.speech import require_speech
from methods.conditioning.video_encoders import VideoEncoders
from methods.generator import GenerationError

WHOLE = ("starts", "aus", "frames")
"""Arrays that are read as a whole; the others have a row per window or reference, of which one is read."""


def clip_windows(
    clip: Clip,
    aus: np.ndarray,
    landmarks: np.ndarray,
    encoders: VideoEncoders,
    *,
    num_frames: int,
    windows: int,
    vocals: Callable[[np.ndarray], np.ndarray] | None = None,
) -> dict[str, np.ndarray]:
    """Windows of a clip, spread evenly over it.

    Args:
        clip: view of encoders.size x encoders.size pixels.
        aus: float32 (F, 35) in openface35; NaN where they could not be read.
        landmarks: float (F, 478, 2) in pixels of the view; NaN where there is no face.
        encoders: of the model that will be trained.
        num_frames: N.
        windows: W at the most; a clip of N frames has one.
        vocals: separates speech from other sound, float32 (S,) to float32 (S,); None takes the sound as it is.

    Returns:
        starts: int64 (W,), first frame of each.
        latent_mean, latent_std: float16 (W, c, T, h, w), normalised.
        vocal: float16 (W, S, vocal_dim).
        lips, face: uint8 (W, T, h, w), 1 in the region.
        aus: float32 (F, 35).

    Raises:
        UserError: the view has another size, or aus or landmarks another length.
        GenerationError: fewer than N frames, no speech, no face, or frames without AUs.
    """
    side, count = encoders.size, clip.num_frames
    _require_size(clip, encoders)
    if len(aus) != count or len(landmarks) != count:
        raise UserError(
            f"{clip.path}: {len(aus)} rows of Action Units and {len(landmarks)} of landmarks, {count} frames"
        )
    if count < num_frames:
        raise GenerationError(f"{clip.path}: {count} frames, a window has {num_frames}")
    require_every_frame(aus, clip.path)
    if np.isnan(landmarks).all():
        raise GenerationError(f"{clip.path}: no face in any of its frames")
    audio = clip.audio if vocals is None else vocals(clip.audio)
    require_speech(audio)
    starts = spread(count - num_frames, windows)
    frames, regions = clip.frames, region_masks(landmarks, side, side)
    mean, std = encoders.posterior(np.stack([frames[start : start + num_frames] for start in starts]))
    vocal = [encoders.vocal(_heard(audio, start, num_frames, clip.fps)) for start in starts]
    inside = {
        name: np.stack([per_latent(masks[start : start + num_frames]) for start in starts]).astype(np.uint8)
        for name, masks in regions.items()
    }
    return {
        "starts": starts,
        "latent_mean": mean.numpy().astype(np.float16),
        "latent_std": std.numpy().astype(np.float16),
        "vocal": np.stack(vocal).astype(np.float16),
        "aus": aus.astype(np.float32),
        **inside,
    }


def clip_references(
    clip: Clip, encoders: VideoEncoders, *, num_frames: int, references: int, arcface: bool
) -> dict[str, np.ndarray]:
    """References out of a clip: its first frame and others, spread evenly over it. Frames without one face are left out.

    Args:
        clip: view of encoders.size x encoders.size pixels.
        encoders: of the model that will be trained.
        num_frames: N of the windows they will be shown with.
        references: K at the most.
        arcface: whether to embed the faces, for `identity_encoder=arcface`; CLIP's identity needs the image states only.

    Returns:
        frames: int64 (K,), which they are.
        known: float16 (K, c, T, h, w), latents of the reference followed by grey, normalised; the mask is left to
            `wan_vae.with_mask`.
        image: float16 (K, I, image_dim).
        arcface: float32 (K, E), where asked for.

    Raises:
        UserError: the view has another size.
        GenerationError: no frame shows one face.
    """
    _require_size(clip, encoders)
    wanted = spread(clip.num_frames - 1, references)
    usable, embeddings, reason = [], [], ""
    for number, frame in zip(wanted, _frames_at(clip, wanted), strict=True):
        try:
            encoders.require_one_face(frame)
            embeddings.append(encoders.arcface(frame) if arcface else None)
            usable.append((number, frame))
        except GenerationError as error:
            reason = str(error)
    if not usable:
        raise GenerationError(f"{clip.path}: none of the frames {', '.join(map(str, wanted))} can be used: {reason}")
    numbers, pictures = (np.stack(column) for column in zip(*usable, strict=True))
    found = {
        "frames": numbers,
        "known": encoders.known(pictures, num_frames).numpy().astype(np.float16),
        "image": encoders.images(pictures).numpy().astype(np.float16),
    }
    return found | ({"arcface": np.stack(embeddings)} if arcface else {})


def spread(last: int, count: int) -> np.ndarray:
    """int64: at most `count` different numbers from 0 to `last`, evenly apart, 0 among them."""
    return np.unique(np.linspace(0, last, count).round().astype(np.int64))


def _frames_at(clip: Clip, numbers: np.ndarray) -> list[np.ndarray]:
    """Frames by number, in one pass and without holding the others."""
    found, passed = [], 0
    for chunk in clip.chunks():
        found += [chunk[number - passed] for number in numbers if passed <= number < passed + len(chunk)]
        passed += len(chunk)
    return found


def _heard(audio: np.ndarray, start: int, num_frames: int, fps: float) -> np.ndarray:
    """The samples of a window; silence after the end of the recording."""
    first, length = round(start * SAMPLE_RATE / fps), samples_for(num_frames, fps)
    samples = audio[first : first + length]
    return np.pad(samples, (0, length - len(samples)))


def _require_size(clip: Clip, encoders: VideoEncoders) -> None:
    side = encoders.size
    if (clip.height, clip.width) != (side, side):
        raise UserError(f"{clip.path}: frames are {clip.height}x{clip.width}, the encoders take {side}x{side}")


# -- files ------------------------------------------------------------------------------------------------------------


def encoder_tag(encoders: VideoEncoders | type[VideoEncoders]) -> str:
    """What a file says of the encoders it was made with."""
    return f"video-{encoders.name}-{encoders.version}"


def save_video_features(
    path: Path, arrays: Mapping[str, np.ndarray], encoders: VideoEncoders, clip_sha256: str
) -> None:
    """Write what `clip_windows` or `clip_references` returns; the file appears whole or not at all."""
    save_arrays(path, arrays, {"encoders": encoder_tag(encoders), "clip_sha256": clip_sha256})


def count_rows(path: Path) -> int:
    """Windows or references in a file."""
    from safetensors import safe_open

    with safe_open(path, "numpy") as file:
        return file.get_slice("starts" if "starts" in file.keys() else "frames").get_shape()[0]  # noqa: SIM118


def load_row(path: Path, encoders: type[VideoEncoders], row: int) -> dict[str, np.ndarray]:
    """One window or reference of a file; only its row is read of what has one. `starts`, `aus` and `frames` are whole.

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
        names = file.keys()
        return {name: file.get_tensor(name) if name in WHOLE else file.get_slice(name)[row] for name in names}
