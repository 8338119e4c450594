"""FID. Oracles: pytorch-fid and clean-fid end to end on the same frames and weights, evaluation_eat's steps by hand."""

import numpy as np
import pytest
from PIL import Image

from bench.media.clip import ArrayClip
from bench.media.errors import Undefined
from metrics.functional.fid import METRICS, fid

torch = pytest.importorskip("torch")
pytest.importorskip("torchvision")


def smooth_frames(seed: int, count: int, height: int, width: int) -> np.ndarray:
    """uint8 (count, H, W, 3): coarse random patterns with a little fine noise, different in every frame."""
    rng = np.random.default_rng(seed)
    frames = []
    for _ in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (6, 7, 3), np.uint8)).resize(
            (width, height), Image.Resampling.BICUBIC
        )
        frames.append(np.clip(np.asarray(coarse) + rng.normal(0, 12, (height, width, 3)), 0, 255).astype(np.uint8))
    return np.stack(frames)


def randomise(network: torch.nn.Module, seed: int) -> dict:
    """A state dict in which activations keep their scale through the layers, so that features differ between images."""
    generator = torch.Generator().manual_seed(seed)
    state = network.state_dict()
    for name, value in state.items():
        if value.ndim == 4:
            value.normal_(0, (2 / value[0].numel()) ** 0.5, generator=generator)
        elif name.endswith("running_var"):
            value.uniform_(0.5, 1.5, generator=generator)
        elif value.is_floating_point():
            value.uniform_(-0.1, 0.1, generator=generator)
            if name.endswith("bn.weight"):
                value.add_(1)
    return state


def extract(extractor, frames: np.ndarray, features=None, chunk: int = 5) -> np.ndarray:
    extractor.begin(ArrayClip(frames), features or {})
    for start in range(0, len(frames), chunk):
        extractor.update(frames[start : start + chunk])
    return extractor.finish()["pool"]


@pytest.fixture(scope="module")
def fid_weights(tmp_path_factory):
    """A random state dict of the FID network, saved as the real one is."""
    from metrics.extractors.inception import fid_inception

    path = tmp_path_factory.mktemp("weights") / "pt_inception.pth"
    torch.save(randomise(fid_inception(), 0), path)
    return path


@pytest.fixture(scope="module")
def inception(fid_weights):
    from metrics.extractors.inception import Inception

    return Inception({"inception_fid": fid_weights})


# -- fid@inception --------------------------------------------------------------------------------------------------


def test_fid_inception_against_pytorch_fid_on_png_files(inception, fid_weights, tmp_path, monkeypatch):
    """Oracle: pytorch_fid reading a PNG dump of the frames: activations, then its distance.

    Its scipy root takes a minute at 2048 dimensions, so both sets are rotated into the 12 dimensions they span first; a
    distance between Gaussians does not change under a joint rotation.
    """
    import pytorch_fid.fid_score
    import pytorch_fid.inception

    state = torch.load(fid_weights, weights_only=True)
    monkeypatch.setattr(pytorch_fid.inception, "load_state_dict_from_url", lambda *args, **kwargs: state)
    reference = pytorch_fid.inception.InceptionV3([3]).eval()
    sets = [smooth_frames(1, 6, 320, 360), smooth_frames(2, 7, 96, 80)]  # one is reduced to 299, one enlarged
    theirs, ours = [], [extract(inception, frames) for frames in sets]
    for index, frames in enumerate(sets):
        files = []
        for k, frame in enumerate(frames):
            files.append(tmp_path / f"{index}_{k:03d}.png")
            Image.fromarray(frame).save(files[-1])
        theirs.append(pytorch_fid.fid_score.get_activations(files, reference, 4, 2048, "cpu", num_workers=0))
        error = np.linalg.norm(ours[index] - theirs[index]) / np.linalg.norm(theirs[index])
        assert error < 1e-5
        spread = theirs[index].std(axis=0).mean() / np.abs(theirs[index]).mean()
        assert spread > 0.01, "the random network must tell images apart"

    origin = theirs[0].mean(axis=0)
    basis = np.linalg.qr(np.concatenate(theirs).astype(np.float64).T - origin[:, None])[0]
    small = [(rows - origin) @ basis for rows in theirs]
    statistics = [x for rows in small for x in (rows.mean(axis=0), np.cov(rows, rowvar=False))]
    expected = float(pytorch_fid.fid_score.calculate_frechet_distance(*statistics))
    assert fid(*ours) == pytest.approx(expected, rel=1e-4)


def test_inception_rows_do_not_depend_on_chunks(inception):
    """Oracle: the same frames in other chunks; one row per frame, and state reset by begin."""
    frames = smooth_frames(3, 3, 64, 64)
    whole = extract(inception, frames, chunk=3)
    assert whole.shape == (3, 2048) and whole.dtype == np.float32
    np.testing.assert_allclose(extract(inception, frames, chunk=2), whole, rtol=1e-4, atol=1e-5)


def test_more_noise_gives_a_larger_fid(inception):
    """Oracle: monotonic in the strength of noise added to the same frames; zero without noise."""
    frames = smooth_frames(4, 4, 72, 72)
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 1, frames.shape)
    clean = extract(inception, frames)
    values = [
        fid(extract(inception, np.clip(frames + strength * noise, 0, 255).astype(np.uint8)), clean)
        for strength in (0, 10, 40)
    ]
    assert values[0] == pytest.approx(0, abs=1e-6)
    assert values[0] < values[1] < values[2]


# -- fid@clean ------------------------------------------------------------------------------------------------------


def test_pil_bicubic_against_clean_fid():
    """Oracle: cleanfid.resize.make_resizer("PIL", quantize_after=False, "bicubic"), reducing and enlarging."""
    resize = pytest.importorskip("cleanfid.resize", reason="needs clean-fid from the test extra")
    from metrics.extractors.resize import pil_bicubic

    for height, width, size in ((320, 400, 299), (50, 60, 299), (300, 280, 224)):
        frames = smooth_frames(5, 2, height, width)
        expected = np.stack([resize.make_resizer("PIL", False, "bicubic", (size, size))(frame) for frame in frames])
        ours = pil_bicubic(frames, size)
        assert ours.dtype == np.float32
        np.testing.assert_array_equal(ours, expected)


def test_inception_clean_against_clean_fid(tmp_path):
    """Oracle: clean-fid's resize and its wrapper of the TorchScript archive, on a small archive of the same form."""
    resize = pytest.importorskip("cleanfid.resize", reason="needs clean-fid from the test extra")
    from cleanfid.inception_torchscript import InceptionV3W

    from metrics.extractors.inception import InceptionClean

    class Archive(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = torch.nn.Sequential(
                torch.nn.Conv2d(3, 16, 9, stride=5), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(4), torch.nn.Flatten(),
                torch.nn.Linear(256, 2048),
            )  # fmt: skip

        def forward(self, x):
            return self.layers(x)

    torch.manual_seed(0)
    path = tmp_path / "inception-2015-12-05.pt"
    torch.jit.script(Archive()).save(str(path))
    frames = smooth_frames(6, 6, 200, 330)
    ours = extract(InceptionClean({"inception_clean": path}), frames, chunk=4)
    to_299 = resize.make_resizer("PIL", False, "bicubic", (299, 299))
    batch = torch.stack([torch.from_numpy(to_299(frame)).permute(2, 0, 1) for frame in frames])
    with torch.no_grad():
        expected = InceptionV3W(str(tmp_path), download=False)(batch).numpy()
    assert ours.shape == (6, 2048)
    np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-6)


# -- fid@eat --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def eat(tmp_path_factory):
    """The extractor on a random ImageNet Inception of torchvision, and that network."""
    from torchvision.models import inception_v3

    from metrics.extractors.inception import InceptionEAT

    network = inception_v3(weights=None, init_weights=False, transform_input=True).eval()
    network.load_state_dict(randomise(network, 1))
    path = tmp_path_factory.mktemp("weights") / "inception_v3_google.pth"
    torch.save(network.state_dict(), path)
    return InceptionEAT({"inception_torchvision": path}), network


def test_inception_eat_against_the_reference_steps(eat):
    """Oracle: evaluation_eat's steps on the whole torchvision model, hooked at Mixed_7c; channels flipped."""
    import cv2

    extractor, network = eat
    crops = smooth_frames(7, 12, 128, 128)
    found = np.ones(12, bool)
    found[[0, 5]] = False
    ours = extract(extractor, np.zeros((12, 8, 8, 3), np.uint8), {"eat_crop": {"crop": crops, "found": found}})

    kept = crops[found][[0, 2, 4, 6, 8]]  # linspace(0, 10, 5, endpoint=False)
    images = [cv2.resize(crop[:, :, ::-1].astype(np.float32) / 255, (299, 299)) for crop in kept]
    captured = []
    hook = network.Mixed_7c.register_forward_hook(lambda module, inputs, output: captured.append(output))
    with torch.no_grad():
        network(torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2) * 2 - 1)
    hook.remove()
    expected = captured[0].mean(dim=(2, 3)).numpy()
    assert ours.shape == (5, 2048)
    assert np.linalg.norm(ours - expected) / np.linalg.norm(expected) < 1e-5


def test_inception_eat_with_few_faces_and_with_none(eat):
    """Oracle: min(5, frames with a face) rows; no face is Undefined with the count."""
    extractor, _ = eat
    crops = smooth_frames(8, 6, 128, 128)
    found = np.array([False, True, False, True, False, False])
    assert extract(extractor, crops, {"eat_crop": {"crop": crops, "found": found}}).shape == (2, 2048)
    with pytest.raises(Undefined, match="no face in 6 of 6 frames"):
        extractor.begin(ArrayClip(crops), {"eat_crop": {"crop": crops, "found": np.zeros(6, bool)}})


# -- descriptions ---------------------------------------------------------------------------------------------------


def test_descriptions_and_class():
    """Oracle: rows of the named extractor reach the function; the class gives the functional value for each variant."""
    from metrics.fid import FID

    assert [m.key for m in METRICS] == ["fid@inception", "fid@clean", "fid@eat", "fid@synth"]
    rng = np.random.default_rng(0)
    a, b = rng.random((2, 9, 2048), np.float32)
    for metric, extractor in zip(
        METRICS, ("inception", "inception_clean", "inception_eat", "synth_image"), strict=True
    ):
        needs = {f"prediction:{extractor}": {"pool": a}, f"target:{extractor}": {"pool": b}}
        assert metric.needs == tuple(needs) and metric.higher_is_better is False
        assert metric.distance(*metric.case(needs)) == fid(a, b) > 0
    module = FID(network=lambda images: images.flatten(1))
    module.update(torch.from_numpy(a).reshape(9, 2, 1024), torch.from_numpy(b).reshape(9, 2, 1024))
    assert module.compute().item() == fid(a, b)


def test_one_frame_has_no_fid():
    """Oracle: a covariance of one row does not exist."""
    with pytest.raises(Undefined, match="at least 2 rows"):
        fid(np.zeros((1, 2048), np.float32), np.zeros((4, 2048), np.float32))
