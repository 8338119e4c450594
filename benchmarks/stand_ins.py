"""What stands in for real weights and real detections in the speed benchmark: the same on both sides.

Weights are random, from a fixed seed, with normalisation that keeps activations at a natural scale (denormal or infinite
numbers would cost other times than real ones). A random S3FD sees no faces, so both sides run it in full, with its
decoding and thinning, and then take one fixed box in place of what it found: every clip has one track over all of its
frames, and is cropped and given to SyncNet in full. S3FD's logits get the spread of a real detector's, because thinning
takes longer the more boxes pass its thresholds.

    python benchmarks/stand_ins.py WORK MODEL CLIP ...

prepares WORK: targets (copies of the clips), predictions (the same after H.264 at crf 23 as MP4), predictions2 (these
after the same again, a second method), cache (weights).
"""

from __future__ import annotations

import hashlib
import shutil
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

BOX = (0.32, 0.24, 0.68, 0.76)
"""Left, top, right, bottom as shares of the frame: 130x150 px of 360x288, about the size of a GRID speaker's face."""
FACE_LOGITS, FACE_BIAS = 3.0, -6.0
"""Standard deviation of S3FD's logits, and what is added to those for a face: few of its boxes pass 0.9 then."""
FILES = {
    "inception_fid": "pt_inception.pth",
    "s3fd": "sfd_face.pth",
    "syncnet_v2": "syncnet_v2.model",
    "face_landmarker": "face_landmarker.task",
}
LOCK = "weights.toml"


def fixed_box(height: int, width: int) -> np.ndarray:
    """float64 (1, 5): left, top, right, bottom in pixels and a score, as S3FD returns the faces of a frame."""
    return np.array([[BOX[0] * width, BOX[1] * height, BOX[2] * width, BOX[3] * height, 0.99]])


def write_weights(cache: Path, face_landmarker: Path, frame: np.ndarray) -> None:
    """Write random state dicts, the real face landmarker, and a lock file that pins them.

    Args:
        cache: the files go to its folder `weights`, the lock beside it.
        face_landmarker: mediapipe's model.
        frame: uint8 (H, W, 3) RGB, on which S3FD's and SyncNet's activations are set to a natural scale.
    """
    import torch

    folder = cache / "weights"
    folder.mkdir(parents=True)
    torch.manual_seed(0)
    for name, state in (("inception_fid", _inception()), ("s3fd", _s3fd(frame)), ("syncnet_v2", _syncnet(frame))):
        torch.save(state, folder / FILES[name])
    shutil.copyfile(face_landmarker, folder / FILES["face_landmarker"])
    entries = []
    for name, file in FILES.items():
        digest = hashlib.sha256((folder / file).read_bytes()).hexdigest()
        entries.append(
            f'[[file]]\nname = "{name}"\nfile = "{file}"\nsha256 = "{digest}"\nlicence = "none"\nwhat = "stand-in"\n'
        )
    (cache / LOCK).write_text("\n".join(entries), "utf-8")


def _inception() -> dict:
    """FID Inception whose activations keep their scale through the layers."""
    from metrics.extractors.inception import fid_inception

    state = fid_inception().state_dict()
    for name, value in state.items():
        if value.ndim == 4:
            value.normal_(0, (2 / value[0].numel()) ** 0.5)
        elif name.endswith("running_var"):
            value.uniform_(0.5, 1.5)
        elif value.is_floating_point():
            value.uniform_(-0.1, 0.1)
            if name.endswith("bn.weight"):
                value.add_(1)
    return state


def _s3fd(frame: np.ndarray) -> dict:
    """S3FD with He initialisation and heads scaled to the spread of a real detector on `frame`."""
    import cv2
    import torch
    from syncnet_python.detectors.s3fd.nets import S3FDNet

    network = S3FDNet("cpu")
    for layer in network.vgg:
        if isinstance(layer, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(layer.weight)
            torch.nn.init.zeros_(layer.bias)

    def spread(to: float, face_bias: float):
        def hook(layer, _, out):
            gain = to / out.std()
            layer.weight *= gain
            layer.bias.copy_(gain * (layer.bias - out.mean((0, 2, 3))))
            layer.bias[-1] += face_bias
            return out * gain

        return hook

    handles = [head.register_forward_hook(spread(FACE_LOGITS, FACE_BIAS)) for head in network.conf]
    handles += [head.register_forward_hook(spread(0.5, 0.0)) for head in network.loc]
    small = cv2.resize(frame, (0, 0), fx=0.25, fy=0.25).astype(np.float32) - np.array([123, 117, 104], np.float32)
    with torch.no_grad():
        network(torch.from_numpy(small).permute(2, 0, 1)[None])
    for handle in handles:
        handle.remove()
    return network.state_dict()


def _syncnet(frame: np.ndarray) -> dict:
    """SyncNet whose batch normalisation fits ten shifted copies of `frame` and normally distributed MFCCs."""
    import cv2
    import torch
    from syncnet_python.SyncNetModel import S

    network = S()
    for layer in network.modules():
        if isinstance(layer, torch.nn.modules.batchnorm._BatchNorm):
            layer.momentum = None
    face = cv2.resize(frame, (224, 224))
    faces = np.stack([np.roll(face, 3 * i, axis=1) for i in range(10)])
    windows = torch.from_numpy(faces).float().flip(-1).permute(3, 0, 1, 2).unfold(1, 5, 1).permute(1, 0, 4, 2, 3)
    with torch.no_grad():
        network.forward_lip(windows)
        network.forward_aud(10 * torch.randn(64, 1, 13, 20))
        # Without their common part, features of different moments differ as much as they do from the zero vector.
        network.netfclip[3].bias -= network.eval().forward_lip(windows).mean(0)
    return network.state_dict()


def prepare(work: Path, face_landmarker: Path, paths: list[Path]) -> None:
    """Fill the empty folder `work`; both sides read it."""
    from bench.media.clip import Clip
    from bench.media.write import write_viewer_copy

    (work / "targets").mkdir(parents=True)
    for path in paths:
        shutil.copyfile(path, work / "targets" / path.name)
        source = path
        for folder in ("predictions", "predictions2"):
            clip, copy = Clip(source), work / folder / f"{path.stem}.mp4"
            write_viewer_copy(clip, copy, max_side=max(clip.height, clip.width))
            source = copy
    write_weights(work / "cache", face_landmarker, Clip(paths[0]).first_frame())


if __name__ == "__main__":
    prepare(Path(sys.argv[1]), Path(sys.argv[2]), [Path(path) for path in sys.argv[3:]])
