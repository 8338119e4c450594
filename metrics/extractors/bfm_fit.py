"""BFM expression coefficients fitted to the landmarks of a whole video, for the `efid@bfm79` of Hallo2.

Follows the landmark stage of Fictionarry/ER-NeRF data_utils/face_tracking (from AD-NeRF): a perspective camera, one
identity for the video, one expression and pose per frame, Adam on the mean squared reprojection error of 68 landmarks.
The focal length is the best of nine on every 40th frame; the 16 side landmarks of the jaw slide along the face contour.

Known differences from the reference:
* its photometric stages (texture and light; 50 fine steps per frame against the image) are left out: they need the
  texture basis and a renderer, and move the coefficients only locally;
* the 68 points are those of `bench.media.landmarks.ibug68` instead of the FAN detector's (Hallo2: insightface's);
* the frame is scaled to a height of 512, for which the reference's focal lengths and learning rates are chosen.

The basis cannot be distributed (Basel Face Model licence). It is a safetensors file of the arrays that the reference
keeps in 3DMM_info.npy and keys_info.npy, under their own names. Those two are pickles; whoever trusts theirs converts
them with `{**numpy.load(a, allow_pickle=True).item(), **numpy.load(b, allow_pickle=True).item()}` and
`safetensors.numpy.save_file` (arrays contiguous), outside this suite, which never unpickles.

| array | shape | what |
|---|---|---|
| `mu_shape`, `mu_exp` | (3V,) | mean face and mean expression, micrometres, xyz interleaved |
| `b_shape`, `sig_shape` | (>=100, 3V), (>=100,) | identity basis and its standard deviations; the first 100 are used |
| `b_exp`, `sig_exp` | (>=79, 3V), (>=79,) | expression basis and its standard deviations; the first 79 are used |
| `keyinds` | (68,) integer | vertex of every landmark |
| `left_contour`, `right_contour` | (8, k) integer | candidate vertices of the landmarks 0-7 and 9-16 |
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.media.clip import Clip
from bench.media.errors import Undefined, UserError
from bench.media.landmarks import ibug68
from metrics.extractor import Extractor, Features

IDENTITY_SIZE, EXPRESSION_SIZE = 100, 79
REFERENCE_HEIGHT = 512
UNIT = 1e5
"""Micrometres in the decimetre the fit works in."""


@dataclass(frozen=True)
class Schedule:
    """Steps and learning rates of the fit; defaults are the reference's."""

    focals: tuple[float, ...] = tuple(range(600, 1500, 100))
    """Candidate focal lengths in pixels at a height of 512."""
    focal_stride: int = 40
    """Frames between those the focal length is chosen on."""
    focal_pose_steps: int = 2000
    focal_joint_steps: int = 2500
    focal_decay_at: int = 1500
    pose_steps: int = 1500
    pose_decay_at: int = 1000
    joint_steps: int = 2000
    joint_decay_at: int = 1000
    identity_weight: float = 0.5
    expression_weight: float = 0.4
    distance: float = 7.0
    """Decimetres between camera and face at the start."""


@dataclass(frozen=True)
class Basis:
    """The part of a face model that its landmarks need. Shapes are in decimetres."""

    mean: np.ndarray
    """float32 (P, 3): candidate points of the mean face; 68 landmarks first, then both contours."""
    identity: np.ndarray
    """float32 (I, P, 3), one standard deviation each."""
    expression: np.ndarray
    """float32 (E, P, 3), one standard deviation each."""
    contour: int
    """k, candidates per contour landmark; P = 68 + 2 * 8 * k."""


class BfmFit(Extractor):
    """`exp` float32 (T, 79), in standard deviations of the basis; NaN rows where no face was found."""

    name = "bfm_fit"
    weights = ("bfm09",)
    packages = ("torch",)
    after = ("landmarks",)
    schedule = Schedule()

    def __init__(self, files, device="cpu"):
        super().__init__(files, device)
        self._basis = load_basis(self.files["bfm09"])

    def begin(self, clip: Clip, features: Mapping[str, Features]) -> None:
        self._size = clip.height, clip.width
        self._landmarks = ibug68(features["landmarks"]["xy"])

    def update(self, frames: np.ndarray) -> None:
        """The landmarks hold all that is needed."""

    def finish(self) -> Features:
        """Raises Undefined if no frame has a face."""
        found = np.isfinite(self._landmarks).all(axis=(1, 2))
        if not found.any():
            raise Undefined(f"no face in {len(found)} of {len(found)} frames")
        exp = np.full((len(found), len(self._basis.expression)), np.nan, np.float32)
        exp[found] = fit_expression(self._landmarks[found], self._size, self._basis, self.schedule, self.device)
        return {"exp": exp}


def load_basis(path: str | Path) -> Basis:
    """Read the converted face model (table in the module docstring).

    Raises:
        UserError: the file is no safetensors file or lacks an array.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        arrays = load_file(path)
        mean = (arrays["mu_shape"] + arrays["mu_exp"]).reshape(-1, 3)
        keys, left, right = (arrays[name] for name in ("keyinds", "left_contour", "right_contour"))
        points = np.concatenate([keys.ravel(), left.ravel(), right.ravel()]).astype(np.int64)
        identity = _modes(arrays["b_shape"], arrays["sig_shape"], IDENTITY_SIZE, points)
        expression = _modes(arrays["b_exp"], arrays["sig_exp"], EXPRESSION_SIZE, points)
    except (SafetensorError, KeyError) as error:
        message = f"{path}: not a face basis ({error}); metrics/extractors/bfm_fit.py lists the arrays it must hold"
        raise UserError(message) from error
    mean = ((mean - mean.mean(axis=0))[points] / UNIT).astype(np.float32)
    return Basis(mean, identity, expression, contour=left.shape[1])


def _modes(vectors: np.ndarray, deviations: np.ndarray, count: int, points: np.ndarray) -> np.ndarray:
    """The first `count` modes, each one standard deviation long, at some vertices: float32 (count, P, 3) decimetres."""
    modes = vectors[:count].reshape(len(vectors[:count]), -1, 3)[:, points]
    return (modes * deviations.ravel()[:count, None, None] / UNIT).astype(np.float32)


def fit_expression(
    landmarks: np.ndarray, size: tuple[int, int], basis: Basis, schedule: Schedule, device: str = "cpu"
) -> np.ndarray:
    """Expression coefficients float32 (T, E) of the 68 landmarks float32 (T, 68, 2) px of frames of (height, width)."""
    import torch

    scale = REFERENCE_HEIGHT / size[0]
    # A caller may run all extractors in inference mode; this one needs gradients.
    with torch.inference_mode(False), torch.enable_grad():
        observed = torch.tensor(np.asarray(landmarks, np.float32) * scale, device=device)
        fit = _Fit(observed, (size[1] * scale / 2, REFERENCE_HEIGHT / 2), basis, schedule)
        return fit.run(fit.best_focal())


class _Fit:
    """One video's optimisation; all tensors float32 on the device of `observed`."""

    def __init__(self, observed, centre: tuple[float, float], basis: Basis, schedule: Schedule):
        import torch

        self.observed, self.basis, self.schedule = observed, basis, schedule
        as_tensor = {"dtype": torch.float32, "device": observed.device}
        self.centre = torch.tensor(centre, **as_tensor)
        self.mean = torch.tensor(basis.mean, **as_tensor).flatten()
        self.identity_modes = torch.tensor(basis.identity, **as_tensor).flatten(1)
        self.expression_modes = torch.tensor(basis.expression, **as_tensor).flatten(1)

    def best_focal(self) -> float:
        """The candidate with the smallest reprojection error on every `focal_stride`-th frame."""
        s = self.schedule
        observed = self.observed[:: s.focal_stride]
        errors = []
        for focal in s.focals:
            parameters, adam = self._start(len(observed), pose_rate=0.1)
            self._descend(observed, focal, parameters, adam, s.focal_pose_steps, joint=False)
            steps = s.focal_joint_steps
            errors.append(
                self._descend(observed, focal, parameters, adam, steps, joint=True, decay_at=s.focal_decay_at)
            )
        return s.focals[int(np.argmin(errors))]

    def run(self, focal: float) -> np.ndarray:
        """Pose first, then pose, identity and expression together, over all frames: expression float32 (T, E)."""
        s, observed = self.schedule, self.observed
        parameters, adam = self._start(len(observed), pose_rate=1.0)
        self._descend(observed, focal, parameters, adam, s.pose_steps, joint=False, decay_at=s.pose_decay_at, decay=0.1)
        self._descend(observed, focal, parameters, adam, s.joint_steps, joint=True, decay_at=s.joint_decay_at)
        return parameters["expression"].detach().cpu().numpy()

    def _start(self, frames: int, pose_rate: float):
        """Parameters of a mean face `distance` before the camera, and the Adam that moves them."""
        import torch

        zeros = self.observed.new_zeros
        parameters = {
            "identity": zeros(1, len(self.identity_modes)),
            "expression": zeros(frames, len(self.expression_modes)),
            "angles": zeros(frames, 3).requires_grad_(),
            "translation": zeros(frames, 3),
        }
        parameters["translation"][:, 2] = -self.schedule.distance
        parameters["translation"].requires_grad_()
        pose = {"params": [parameters["angles"], parameters["translation"]], "lr": pose_rate}
        shape = {"params": [parameters["identity"], parameters["expression"]], "lr": 0.1}
        return parameters, torch.optim.Adam([pose, shape])

    def _descend(
        self,
        observed,
        focal: float,
        parameters: dict,
        adam,
        steps: int,
        joint: bool,
        decay_at: int | None = None,
        decay: float = 0.2,
    ) -> float:
        """`steps` of Adam; rates are multiplied by `decay` after step `decay_at`. Returns the last squared error.

        Without `joint` only the pose moves: Adam skips parameters that have no gradient.
        """
        identity, expression = (parameters[name].requires_grad_(joint) for name in ("identity", "expression"))
        error = observed.new_zeros(())
        for step in range(steps):
            error = ((self._project(parameters, focal) - observed) ** 2).mean()
            loss = error
            if joint:
                loss = loss + self.schedule.identity_weight * (identity**2).mean()
                loss = loss + self.schedule.expression_weight * (expression**2).mean()
            adam.zero_grad()
            loss.backward()
            adam.step()
            if step == decay_at:
                for group in adam.param_groups:
                    group["lr"] *= decay
        return float(error.detach())

    def _project(self, parameters: dict, focal: float):
        """Landmarks (t, 68, 2) px of the current parameters."""
        shape = self.mean + parameters["identity"] @ self.identity_modes
        shape = (shape + parameters["expression"] @ self.expression_modes).unflatten(1, (-1, 3))
        points = shape @ rotation(parameters["angles"]).transpose(1, 2) + parameters["translation"][:, None]
        # The camera looks along -z with y up, so x changes sign with z and y does not.
        flip = points.new_tensor([-1.0, 1.0])
        image = focal * points[..., :2] * flip / points[..., 2:] + self.centre
        return self._slide_contour(image)

    def _slide_contour(self, image):
        """Take the outermost candidate for the side landmarks: smallest x on the left, largest x on the right."""
        import torch

        landmarks, candidates = image[:, :68], image[:, 68:].reshape(len(image), 2, 8, self.basis.contour, 2)
        x = candidates[..., 0]
        outermost = torch.stack([x[:, 0].argmin(dim=-1), x[:, 1].argmax(dim=-1)], dim=1)
        index = outermost[..., None, None].expand(-1, -1, -1, 1, 2)
        left, right = candidates.gather(3, index).squeeze(3).unbind(dim=1)
        return torch.cat([left, landmarks[:, 8:9], right, landmarks[:, 17:]], dim=1)


def rotation(angles):
    """Rotation matrices (t, 3, 3) = X Y Z of Euler angles (t, 3) in radians; Z turns backwards, as there."""
    import torch

    cos, sin = angles.cos().unbind(1), angles.sin().unbind(1)
    zero, one = torch.zeros_like(cos[0]), torch.ones_like(cos[0])

    def matrix(*entries):
        return torch.stack(entries, dim=1).reshape(-1, 3, 3)

    x = matrix(one, zero, zero, zero, cos[0], -sin[0], zero, sin[0], cos[0])
    y = matrix(cos[1], zero, sin[1], zero, one, zero, -sin[1], zero, cos[1])
    z = matrix(cos[2], sin[2], zero, -sin[2], cos[2], zero, zero, zero, one)
    return x @ y @ z
