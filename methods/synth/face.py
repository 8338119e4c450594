"""The small face reader: whose face, and where face and lips are, in place of antelopev2 and mediapipe.

Trained on rendered stills: embeddings of one person point the same way (supervised contrastive loss, Khosla et al., 2020);
boxes hold the silhouette and the outer lips, as in `methods.conditioning.face`; pictures without a face and with two are
made from the stills.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from methods.conditioning.face import ADVICE, FaceReading, landmark_boxes
from methods.conditioning.vae import to_pixels
from methods.generator import GenerationError
from methods.synth.faces import FacePictures, Faces
from methods.synth.training import Recipe, load_weights, save_weights, seed_step, train

if TYPE_CHECKING:
    import torch

    from methods.synth.face_network import FaceNetwork

PEOPLE, EACH = 20, 3
"""People in a batch and stills of each."""
OTHERS = 16
"""Pictures in a batch without a face, and with two."""
TEMPERATURE = 0.1
SHIFT = 10
"""Largest shift of a training picture in px."""
BOX_WEIGHT = 20.0


class SynthFaceReader:
    """Reads rendered faces."""

    def __init__(self, path: Path, device: str = "cpu"):
        from methods.synth.face_network import FaceNetwork

        self._network = load_weights(FaceNetwork(), path).requires_grad_(False).to(device)
        self._device = device

    def __call__(self, image: np.ndarray) -> FaceReading:
        """Read uint8 (H, W, 3) RGB of any size.

        Raises:
            GenerationError: no face, or more than one.
        """
        from methods.synth.face_network import COUNTS

        embeddings, boxes, counts = self._look(image[None])
        if (count := COUNTS[int(counts[0].argmax())]) != "one":
            found = "no face" if count == "none" else "more than one face"
            raise GenerationError(f"{found} in the reference picture, as the small face reader sees it; {ADVICE}")
        return FaceReading(embeddings[0], *boxes[0])

    def boxes(self, frames: np.ndarray) -> np.ndarray:
        """float32 (T, 2, 4): face box and lip box of every frame uint8 (T, H, W, 3); NaN without a face."""
        _, boxes, counts = self._look(np.asarray(frames))
        return np.where((counts.argmax(1) == 1)[:, None, None], boxes, np.float32(np.nan))

    def cells(self, frames: np.ndarray) -> torch.Tensor:
        """float32 (T, 16, 128) on the CPU: the last feature map of every frame uint8 (T, H, W, 3), 4 x 4 cells row by row."""
        import torch

        with torch.inference_mode():
            return self._network.cells(network_input(frames).to(self._device)).cpu()

    def _look(self, frames: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        import torch

        with torch.inference_mode():
            looked = [
                self._network(network_input(part).to(self._device)) for part in np.array_split(frames, _parts(frames))
            ]
        embeddings, boxes, counts = (torch.cat(column).cpu().numpy() for column in zip(*looked, strict=True))
        return embeddings, boxes.clip(0, 1), counts


def _parts(frames: np.ndarray, batch: int = 64) -> int:
    return -(-len(frames) // batch)


def network_input(frames: np.ndarray) -> torch.Tensor:
    """float32 (n, 3, 128, 128) in [-1, 1] of uint8 (n, H, W, 3)."""
    import torch.nn.functional as F

    from methods.synth.face_network import SIZE

    pixels = to_pixels(frames)
    if pixels.shape[2:] == (SIZE, SIZE):
        return pixels
    return F.interpolate(pixels, (SIZE, SIZE), mode="bilinear", antialias=True, align_corners=False)


def train_face_reader(data: Path, out: Path, recipe: Recipe, *, log: Callable[[str], None] = print) -> None:
    """Train on the stills under `data` and write the weights to `out`; a checkpoint lies beside it meanwhile."""
    from methods.synth.face_network import FaceNetwork

    seed_step(recipe.seed, 0)
    network, pictures = FaceNetwork(), FacePictures(data)

    def loss(rng: np.random.Generator) -> torch.Tensor:
        faces, who = pictures.draw_people(rng, PEOPLE, EACH)
        return face_loss(network, shifted(faces, rng), who, rng)

    steps = train(network, loss, recipe, checkpoint=out.with_suffix(".ckpt"), log=log)
    save_weights(out, network, {"encoder": "synth_face_reader", "steps": steps, "seed": recipe.seed})


def face_loss(network: FaceNetwork, faces: Faces, who: np.ndarray, rng: np.random.Generator) -> torch.Tensor:
    """Scalar loss of faces of the people `who` (n,), and of OTHERS made from them: identity, boxes, number of faces."""
    import torch
    import torch.nn.functional as F

    size = faces.frames.shape[1]
    boxes = np.stack([landmark_boxes(points / size) for points in faces.landmarks])
    without = [without_face(frame, rng) for frame in faces.frames[rng.permutation(len(who))[:OTHERS]]]
    pairs = rng.choice(len(who), (OTHERS, 2))
    several = [two_faces(*faces.frames[pair]) for pair in pairs]
    with torch.autocast("cpu", torch.bfloat16):
        embeddings, found, counts = network(to_pixels(np.concatenate([faces.frames, without, several])))
    count = len(who)
    counted = torch.tensor([1] * count + [0] * OTHERS + [2] * OTHERS)
    return (
        supervised_contrastive(embeddings[:count].float(), torch.from_numpy(who))
        + BOX_WEIGHT * F.smooth_l1_loss(found[:count].float(), torch.from_numpy(boxes), beta=0.02)
        + F.cross_entropy(counts.float(), counted)
    )


def supervised_contrastive(embeddings: torch.Tensor, who: torch.Tensor) -> torch.Tensor:
    """Mean over all pairs of one person of the cross entropy of finding the one among all others by the other."""
    import torch
    import torch.nn.functional as F

    unit = F.normalize(embeddings, dim=1)
    itself = torch.eye(len(who), dtype=torch.bool)
    similarity = (unit @ unit.T / TEMPERATURE).masked_fill(itself, -1e4)
    same = (who[:, None] == who) & ~itself
    return -similarity.log_softmax(1)[same].mean()


def shifted(faces: Faces, rng: np.random.Generator) -> Faces:
    """Pictures moved by up to SHIFT px, their edges drawn out."""
    size = faces.frames.shape[1]
    padded = np.pad(faces.frames, [(0, 0), (SHIFT, SHIFT), (SHIFT, SHIFT), (0, 0)], mode="edge")
    corners = rng.integers(2 * SHIFT + 1, size=(len(padded), 2))
    frames = [frame[y : y + size, x : x + size] for frame, (x, y) in zip(padded, corners, strict=True)]
    return Faces(np.stack(frames), faces.landmarks + (SHIFT - corners[:, None]).astype(np.float32))


def without_face(frame: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A picture of the same size without a face: what is behind the person, a shuffled mosaic of the frame, or noise."""
    size = frame.shape[0]
    draw = rng.random()
    if draw < 0.4:
        corner = frame[: size // 4, : size // 4] if rng.random() < 0.5 else frame[: size // 4, -(size // 4) :]
        return corner.repeat(4, axis=0).repeat(4, axis=1)
    if draw < 0.8:
        cell = size // int(rng.choice([4, 8, 16]))
        cells = frame.reshape(size // cell, cell, size // cell, cell, 3).swapaxes(1, 2).reshape(-1, cell, cell, 3)
        mosaic = rng.permutation(cells).reshape(size // cell, size // cell, cell, cell, 3)
        return mosaic.swapaxes(1, 2).reshape(frame.shape)
    noise = rng.normal(rng.uniform(0, 255, 3), rng.uniform(0, 60), frame.shape)
    return noise.clip(0, 255).astype(np.uint8)


def two_faces(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """A picture of the same size with the middle halves of two frames side by side."""
    quarter = left.shape[1] // 4
    return np.concatenate([left[:, quarter:-quarter], right[:, quarter:-quarter]], axis=1)


def measure_face_reader(path: Path, data: Path) -> dict[str, float]:
    """How well faces of other people are read.

    Args:
        path: the weights.
        data: folder of arrays of people it has not learned from.

    Returns:
        box_error: mean distance of box sides from the truth in px of 128.
        same_person, other_person: mean cosine of embeddings of two stills of one person, and of two people.
        recognised: share of stills whose nearest other still shows the same person.
        refused: share of pictures without one face that are refused; accepted: share of stills that are not.
    """
    reader, pictures = SynthFaceReader(path), FacePictures(data)
    rng = np.random.default_rng(0)
    frames, landmarks, who = pictures.all_stills()
    embeddings, boxes, counts = reader._look(frames)
    truth = np.stack([landmark_boxes(points / frames.shape[1]) for points in landmarks])
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    cosine = unit @ unit.T - 9 * np.eye(len(unit))
    same = (who[:, None] == who) & ~np.eye(len(who), dtype=bool)
    others = [without_face(frame, rng) for frame in frames]
    others += [two_faces(*pair) for pair in zip(frames, frames[::-1], strict=True)]
    return {
        "box_error": float(np.abs(boxes - truth).mean() * frames.shape[1]),
        "same_person": float(cosine[same].mean()),
        "other_person": float(cosine[who[:, None] != who].mean()),
        "recognised": float((who[cosine.argmax(1)] == who).mean()),
        "refused": float((reader._look(np.stack(others))[2].argmax(1) != 1).mean()),
        "accepted": float((counts.argmax(1) == 1).mean()),
    }
