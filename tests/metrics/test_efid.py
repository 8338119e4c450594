"""E-FID and two expression extractors. Oracles: numpy least squares, torchvision's ResNet-50, a known face basis."""

import numpy as np
import pytest

from bench.media.clip import ArrayClip
from bench.media.errors import Undefined, UserError
from metrics.functional.efid import METRICS, efid
from metrics.functional.frechet import frechet_distance

torch = pytest.importorskip("torch")

from metrics.extractors import bfm_fit, deep3d  # noqa: E402

BY_VARIANT = {metric.variant: metric for metric in METRICS}


# -- metric ---------------------------------------------------------------------------------------------------------


def test_diagonal_closed_form():
    """Oracle: independent coefficients, sum of squared differences of means and of standard deviations."""
    rng = np.random.default_rng(0)
    a = rng.standard_normal((400_000, 3)) * [1.0, 2.0, 0.5]
    b = rng.standard_normal((400_000, 3)) * [1.5, 2.0, 0.5] + [0.0, 1.0, 0.0]
    assert efid(a, b) == pytest.approx(1.0 + 0.25, rel=0.02)


@pytest.mark.parametrize(("variant", "extractor", "feature", "d"), [
    ("@deep3d64", "deep3d", "exp", 64), ("@bfm79", "bfm_fit", "exp", 79), ("@mp52", "landmarks", "blendshapes", 52),
])  # fmt: skip
def test_frames_without_a_face_are_left_out(variant, extractor, feature, d):
    """Oracle: the distance of the rows kept by hand; the other role's rows are untouched."""
    rng = np.random.default_rng(1)
    a, b = rng.random((90, d), np.float32), rng.random((80, d), np.float32) + 0.1
    missing = a.copy()
    missing[[3, 40]] = np.nan
    needs = {f"prediction:{extractor}": {feature: missing}, f"target:{extractor}": {feature: b}}
    metric = BY_VARIANT[variant]
    assert set(metric.needs) == set(needs)
    assert metric.distance(*metric.case(needs)) == frechet_distance(np.delete(a, [3, 40], axis=0), b)
    needs[f"target:{extractor}"] = {feature: np.full((75, d), np.nan, np.float32)}
    with pytest.raises(Undefined, match="no face in 75 of 75 frames of the target"):
        metric.case(needs)


def test_openface_rows_follow_success():
    """Oracle: rows picked by hand where `success` is true."""
    rng = np.random.default_rng(2)
    r, success = rng.uniform(0, 5, (30, 17)).astype(np.float32), np.arange(30) % 4 != 0
    needs = {"prediction:openface": {"r": r, "success": success}, "target:openface": {"r": r, "success": ~success}}
    prediction, target = BY_VARIANT["@au17"].case(needs)
    np.testing.assert_array_equal(prediction, r[success])
    np.testing.assert_array_equal(target, r[~success])
    needs["prediction:openface"]["success"] = np.zeros(30, bool)
    with pytest.raises(Undefined, match="no face in 30 of 30 frames of the prediction"):
        BY_VARIANT["@au17"].case(needs)


def test_the_neutral_blendshape_hardly_counts(assets):
    """Oracle: E-FID of real clips with and without mediapipe's `_neutral` column, relative 1e-6."""
    pytest.importorskip("mediapipe")
    from metrics.extractors.landmarks import Landmarks

    extractor = Landmarks({"face_landmarker": assets / "models" / "face_landmarker_v2_with_blendshapes.task"})
    from bench.media.clip import Clip

    sets = []
    for name in ("bbaf2n.mpg", "lwbsza.mpg"):
        clip = Clip(assets / "clips" / "grid" / name)
        extractor.begin(clip, {})
        for frames in clip.chunks():
            extractor.update(frames)
        sets.append(extractor.finish())
    needs = {"prediction:landmarks": sets[0], "target:landmarks": sets[1]}
    metric = BY_VARIANT["@mp52"]
    a, b = metric.case(needs)
    assert a.shape == b.shape == (75, 52)
    value = metric.distance(a, b)
    assert value > 0.01
    assert value == pytest.approx(efid(a[:, 1:], b[:, 1:]), rel=1e-6)


def test_default_first_and_class():
    """Oracle: the order the command line relies on; the class gives the functional value."""
    from metrics.efid import EFID

    assert [m.key for m in METRICS] == ["efid@deep3d64", "efid@bfm79", "efid@mp52", "efid@au17", "efid@synth"]
    rng = np.random.default_rng(3)
    a, b = rng.standard_normal((2, 100, 64)).astype(np.float32)
    module = EFID()
    module.update(torch.from_numpy(a), torch.from_numpy(b))
    assert module.compute().item() == efid(a, b)


def test_one_face_has_no_value():
    """Oracle: a covariance of one row does not exist."""
    with pytest.raises(Undefined, match="at least 2 rows"):
        efid(np.zeros((1, 64)), np.zeros((9, 64)))


# -- deep3d ---------------------------------------------------------------------------------------------------------


def test_weak_perspective_against_normal_equations():
    """Oracle: two affine fits by the normal equations, one per image coordinate, scale as mean row norm."""
    rng = np.random.default_rng(4)
    points = rng.uniform(50, 200, (5, 2))
    design = np.column_stack([deep3d.STANDARD_FACE, np.ones(5)])
    fits = [np.linalg.inv(design.T @ design) @ design.T @ points[:, axis] for axis in (0, 1)]
    translation, scale = deep3d.weak_perspective(points)
    np.testing.assert_allclose(translation, [fits[0][3], fits[1][3]], rtol=1e-8)
    assert scale == pytest.approx(np.mean([np.linalg.norm(fit[:3]) for fit in fits]), rel=1e-8)


@pytest.mark.parametrize(("scale", "angle", "centre"), [(60.0, 0.0, (150, 130)), (260.0, 0.2, (300, 250))])
def test_alignment_puts_the_standard_face_in_the_middle(scale, angle, centre):
    """Oracle: a face of known scale and place: its points land at 112 + 102 times the turned standard points (y up)."""
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    standard = deep3d.STANDARD_FACE[:, :2] @ turn.T
    points = np.array(centre) + scale * standard * [1, -1]
    frame = np.zeros((480, 640, 3), np.uint8)
    y, x = np.mgrid[:480, :640]
    for px, py in points:
        frame[np.hypot(x - px, y - py) < scale / 15] = 255
    crop = deep3d.align(frame, points)
    assert crop.shape == (224, 224, 3) and crop.dtype == np.uint8
    yy, xx = np.mgrid[:224, :224]
    for ex, ey in 112 + 102 * standard * [1, -1]:
        near = (np.hypot(xx - ex, yy - ey) < 14) & (crop[..., 0] > 127)
        found = xx[near].mean(), yy[near].mean()
        assert np.hypot(found[0] - ex, found[1] - ey) < 2


def test_five_points_are_taken_from_the_mesh():
    """Oracle: eye centres as mean of the corners, nose tip, mouth corners, by index; NaN frames stay NaN."""
    xy = np.random.default_rng(5).uniform(0, 99, (3, 478, 2)).astype(np.float32)
    xy[1] = np.nan
    points = deep3d.five_points(xy)
    expected = [(xy[2, 33] + xy[2, 133]) / 2, (xy[2, 362] + xy[2, 263]) / 2, xy[2, 1], xy[2, 61], xy[2, 291]]
    np.testing.assert_allclose(points[2], expected, rtol=1e-6)
    assert np.isnan(points[1]).all() and np.isfinite(points[[0, 2]]).all()


@pytest.fixture(scope="module")
def deep3d_weights(tmp_path_factory):
    """A random checkpoint in the form of epoch_20.pth, with another value in each head's bias."""
    torch.manual_seed(0)
    network = deep3d.recon_network()
    for index, head in enumerate(network.final_layers):
        torch.nn.init.normal_(head.weight, std=0.01)
        torch.nn.init.constant_(head.bias, 10.0 * index)
    path = tmp_path_factory.mktemp("weights") / "epoch_20.pth"
    torch.save({"net_recon": network.state_dict(), "opt_00": {"step": 1}}, path)
    return path


def mesh_points(frames: int, height: int, width: int) -> np.ndarray:
    """float32 (T, 478, 2) px: the points deep3d reads, where a frontal face has them; the others at 0."""
    xy = np.zeros((frames, 478, 2), np.float32)
    scale, centre = height / 5, np.array([width / 2, height / 2])
    left, right, nose, mouth_left, mouth_right = centre + scale * deep3d.STANDARD_FACE[:, :2] * [1, -1]
    for index, point in {
        33: left,
        133: left,
        362: right,
        263: right,
        1: nose,
        61: mouth_left,
        291: mouth_right,
    }.items():
        xy[:, index] = point
    return xy


def test_expression_is_the_second_head(deep3d_weights):
    """Oracle: torchvision's ResNet-50 with fc replaced by the second head, on the same crops."""
    from torchvision.models import resnet50

    rng = np.random.default_rng(6)
    frames = np.kron(rng.integers(0, 256, (4, 12, 16, 3)), np.ones((1, 10, 10, 1))).astype(np.uint8)
    xy = mesh_points(4, 120, 160)
    xy[2] = np.nan
    extractor = deep3d.Deep3D({"deep3d": deep3d_weights})
    extractor.begin(ArrayClip(frames), {"landmarks": {"xy": xy}})
    extractor.update(frames[:3])
    extractor.update(frames[3:])
    exp = extractor.finish()["exp"]
    assert exp.shape == (4, 64) and exp.dtype == np.float32
    assert np.isnan(exp[2]).all() and np.isfinite(exp[[0, 1, 3]]).all()

    state = torch.load(deep3d_weights, weights_only=True)["net_recon"]
    reference = resnet50(weights=None).eval()
    reference.load_state_dict({k[9:]: v for k, v in state.items() if k.startswith("backbone.")}, strict=False)
    reference.fc = torch.nn.Linear(2048, 64)
    reference.fc.load_state_dict(
        {"weight": state["final_layers.1.weight"].flatten(1), "bias": state["final_layers.1.bias"]}
    )
    points = deep3d.five_points(xy)
    crops = np.stack([deep3d.align(frames[i], points[i]) for i in (0, 1, 3)])
    with torch.inference_mode():
        expected = reference(torch.from_numpy(crops).permute(0, 3, 1, 2) / 255).numpy()
    np.testing.assert_allclose(exp[[0, 1, 3]], expected, rtol=1e-4, atol=1e-4)
    assert np.ptp(exp[[0, 1, 3]], axis=0).max() > 1e-4, "the random network must tell frames apart"


def test_parameters_of_the_checkpoint():
    """Oracle: names and shapes of networks.py of sicxu/Deep3DFaceRecon_pytorch; 257 outputs, no fc in the backbone."""
    state = deep3d.recon_network().state_dict()
    heads = [tuple(state[f"final_layers.{i}.weight"].shape) for i in range(7)]
    assert heads == [(n, 2048, 1, 1) for n in (80, 64, 80, 3, 27, 2, 1)]
    assert sum(deep3d.HEADS) == 257
    assert not any(name.startswith("backbone.fc") for name in state)
    assert tuple(state["backbone.layer4.2.conv3.weight"].shape) == (2048, 512, 1, 1)


def test_deep3d_without_any_face(deep3d_weights):
    """Oracle: Undefined with the number of frames."""
    extractor = deep3d.Deep3D({"deep3d": deep3d_weights})
    frames = np.zeros((6, 32, 32, 3), np.uint8)
    extractor.begin(ArrayClip(frames), {"landmarks": {"xy": np.full((6, 478, 2), np.nan, np.float32)}})
    extractor.update(frames)
    with pytest.raises(Undefined, match="no face in 6 of 6 frames"):
        extractor.finish()


# -- bfm_fit --------------------------------------------------------------------------------------------------------


@pytest.fixture
def one_thread():
    """Thousands of steps on tiny arrays: a second thread only adds waiting (measured on a busy machine: tenfold)."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


QUICK = bfm_fit.Schedule(
    focals=(900, 1100), focal_stride=4, focal_pose_steps=80, focal_joint_steps=80, focal_decay_at=60,
    pose_steps=250, pose_decay_at=150, joint_steps=500, joint_decay_at=350,
)  # fmt: skip


def face_model(seed: int, path, expressions: int = 4, candidates: int = 3) -> dict[str, np.ndarray]:
    """A small random face in micrometres, saved as `bfm_fit` expects: points on half an ellipsoid, random modes."""
    from safetensors.numpy import save_file

    rng = np.random.default_rng(seed)
    vertices = 68 + 16 * candidates
    xy = rng.uniform(-0.7, 0.7, (vertices, 2))
    mean = np.column_stack([xy, np.sqrt(1.2 - (xy**2).sum(axis=1))]) * 1e5
    # The contour: eight heights per side; of the candidates of one height the outermost is a different one when turned.
    for side, sign in ((0, -1), (1, 1)):
        for row in range(8):
            for k in range(candidates):
                angle = np.pi / 2 - 0.25 * k
                index = 68 + side * 8 * candidates + row * candidates + k
                height = 0.6 - 0.15 * row
                mean[index] = np.array([sign * 0.8 * np.sin(angle), height, 0.8 * np.cos(angle)]) * 1e5
    model = {
        "mu_shape": mean.ravel(), "mu_exp": np.zeros(3 * vertices),
        "b_shape": rng.standard_normal((3, 3 * vertices)), "sig_shape": np.full(3, 2e3),
        "b_exp": rng.standard_normal((expressions, 3 * vertices)), "sig_exp": np.full(expressions, 4e3),
        "keyinds": np.arange(68), "left_contour": 68 + np.arange(8 * candidates).reshape(8, candidates),
        "right_contour": 68 + 8 * candidates + np.arange(8 * candidates).reshape(8, candidates),
    }  # fmt: skip
    save_file({name: np.ascontiguousarray(values) for name, values in model.items()}, path)
    return model


def render(model: dict, expression: np.ndarray, pose: np.ndarray, focal: float, size: tuple[int, int]) -> np.ndarray:
    """Landmarks (T, 68, 2) px by numpy and scipy alone: pinhole camera along -z, contour points by scan."""
    from scipy.spatial.transform import Rotation

    height, width = size
    scale = height / 512
    base = model["mu_shape"].reshape(-1, 3)
    base = base - base.mean(axis=0)
    modes = model["b_exp"].reshape(len(model["b_exp"]), -1, 3) * model["sig_exp"][:, None, None]
    images = []
    for coefficients, (a, b, c, x, y, z) in zip(expression, pose, strict=True):
        turn = Rotation.from_euler("XYZ", [a, b, -c]).as_matrix()
        points = (base + np.tensordot(coefficients, modes, 1)) / 1e5 @ turn.T + [x, y, z]
        px = -focal * points[:, 0] / points[:, 2] + width / scale / 2
        py = focal * points[:, 1] / points[:, 2] + 256
        image = np.column_stack([px, py]) * scale
        marks = image[model["keyinds"]]
        marks[:8] = [image[row[np.argmin(image[row, 0])]] for row in model["left_contour"]]
        marks[9:17] = [image[row[np.argmax(image[row, 0])]] for row in model["right_contour"]]
        images.append(marks)
    return np.array(images)


@pytest.fixture(scope="module")
def basis(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "bfm09.safetensors"
    return path, face_model(0, path)


def test_known_expression_is_recovered(basis, one_thread):
    """Oracle: landmarks rendered by numpy from known coefficients, poses and focal length, at two frame sizes."""
    path, model = basis
    rng = np.random.default_rng(1)
    expression = rng.standard_normal((12, 4))
    pose = np.column_stack(
        [rng.uniform(-0.15, 0.15, (12, 3)), rng.uniform(-0.2, 0.2, (12, 2)), rng.uniform(-7.5, -6.5, 12)]
    )
    loaded = bfm_fit.load_basis(path)
    for size in ((512, 512), (256, 320)):
        landmarks = render(model, expression, pose, 1100.0, size)
        with torch.inference_mode():  # as a caller may have it
            fitted = bfm_fit.fit_expression(landmarks, size, loaded, QUICK)
        assert fitted.shape == (12, 4) and fitted.dtype == np.float32
        correlation = [np.corrcoef(fitted[:, k], expression[:, k])[0, 1] for k in range(4)]
        assert min(correlation) > 0.98
        assert np.linalg.norm(fitted - expression) / np.linalg.norm(expression) < 0.2


def test_projection_against_numpy(basis):
    """Oracle: the renderer above: rotation, camera and sliding contour, exactly and without any fitting."""
    path, model = basis
    rng = np.random.default_rng(2)
    expression, pose = rng.standard_normal((5, 4)), rng.uniform(-0.4, 0.4, (5, 6))
    pose[:, 5] -= 7
    expected = render(model, expression, pose, 1000.0, (512, 640))
    observed = torch.tensor(expected, dtype=torch.float32)
    fit = bfm_fit._Fit(observed, (320, 256), bfm_fit.load_basis(path), QUICK)
    values = {"identity": np.zeros((1, 3)), "expression": expression, "angles": pose[:, :3], "translation": pose[:, 3:]}
    ours = fit._project({name: torch.tensor(value, dtype=torch.float32) for name, value in values.items()}, 1000.0)
    np.testing.assert_allclose(ours.numpy(), expected, atol=2e-3)


def test_frames_without_a_face_stay_nan(basis, monkeypatch):
    """Oracle: rows of the fit go to the frames that have landmarks; none at all is Undefined with the count."""
    path, _ = basis
    extractor = bfm_fit.BfmFit({"bfm09": path})
    seen = {}

    def fake(landmarks, size, basis, schedule, device):
        seen.update(shape=landmarks.shape, size=size)
        return np.arange(len(landmarks) * 4, dtype=np.float32).reshape(-1, 4)

    monkeypatch.setattr(bfm_fit, "fit_expression", fake)
    xy = np.random.default_rng(3).uniform(0, 99, (5, 478, 2)).astype(np.float32)
    xy[[0, 3]] = np.nan
    clip = ArrayClip(np.zeros((5, 120, 160, 3), np.uint8))
    extractor.begin(clip, {"landmarks": {"xy": xy}})
    exp = extractor.finish()["exp"]
    assert seen == {"shape": (3, 68, 2), "size": (120, 160)}
    assert np.isnan(exp[[0, 3]]).all() and exp[[1, 2, 4], 0].tolist() == [0, 4, 8]
    extractor.begin(clip, {"landmarks": {"xy": np.full_like(xy, np.nan)}})
    with pytest.raises(Undefined, match="no face in 5 of 5 frames"):
        extractor.finish()


def test_a_wrong_basis_file_is_explained(tmp_path):
    """Oracle: a pickle is refused, and a missing array is named."""
    from safetensors.numpy import save_file

    pickled = tmp_path / "3DMM_info.npy"
    np.save(pickled, {"mu_shape": np.zeros(3)}, allow_pickle=True)
    with pytest.raises(UserError, match="not a face basis"):
        bfm_fit.load_basis(pickled)
    partial = tmp_path / "partial.safetensors"
    save_file({"mu_shape": np.zeros(3)}, partial)
    with pytest.raises(UserError, match="mu_exp"):
        bfm_fit.load_basis(partial)


def test_only_the_first_79_modes_are_used(tmp_path):
    """Oracle: a basis with 90 expression modes gives 79 coefficients."""
    path = tmp_path / "wide.safetensors"
    face_model(4, path, expressions=90)
    assert bfm_fit.load_basis(path).expression.shape == (79, 68 + 48, 3)
