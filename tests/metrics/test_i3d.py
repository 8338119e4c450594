"""I3D features. Oracles: cd-fvd's network with shared weights, convolution loops in numpy, OpenCV's bilinear resize."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from bench.media.clip import ArrayClip
from bench.media.errors import Undefined

torch = pytest.importorskip("torch")

from metrics.extractors.i3d import I3D, I3DFull, squash  # noqa: E402
from metrics.extractors.i3d_network import InceptionI3d, Pool, Unit, pad_same  # noqa: E402


def cdfvd_network():
    """The module cdfvd/third_party/i3d/pytorch_i3d.py, loaded without the package's other dependencies."""
    package = importlib.util.find_spec("cdfvd")
    if package is None:
        pytest.skip("needs cd-fvd from the test extra")
    path = Path(package.submodule_search_locations[0]) / "third_party" / "i3d" / "pytorch_i3d.py"
    spec = importlib.util.spec_from_file_location("cdfvd_pytorch_i3d", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.InceptionI3d(400, in_channels=3).eval()


@pytest.fixture(scope="module")
def state():
    """A random state dict in which activations keep their scale."""
    generator = torch.Generator().manual_seed(0)
    values = InceptionI3d().state_dict()
    for name, value in values.items():
        if value.ndim == 5:
            value.normal_(0, (2 / value[0].numel()) ** 0.5, generator=generator)
        elif name.endswith("running_var"):
            value.uniform_(0.05, 1.5, generator=generator)
        elif value.is_floating_point():
            value.uniform_(-0.1, 0.1, generator=generator)
            if name.endswith("bn.weight"):
                value.add_(0.7)
    return values


@pytest.fixture(scope="module")
def weights(state, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "i3d_pretrained_400.pt"
    torch.save(state, path)
    return {"i3d_400": path}


def video(seed: int, frames: int, height: int = 48, width: int = 60) -> np.ndarray:
    """uint8 (T, H, W, 3): coarse random blocks that move."""
    rng = np.random.default_rng(seed)
    base = np.kron(rng.integers(0, 256, (height // 6, width // 6, 3)), np.ones((6, 6, 1)))
    return np.stack([np.roll(base, 2 * t, axis=1) for t in range(frames)]).astype(np.uint8)


def extract(extractor, frames: np.ndarray, chunk: int = 7):
    extractor.begin(ArrayClip(frames), {})
    for start in range(0, len(frames), chunk):
        extractor.update(frames[start : start + chunk])
    return extractor.finish()


def relative(a, b) -> float:
    return float(np.linalg.norm(np.asarray(a) - np.asarray(b)) / np.linalg.norm(np.asarray(b)))


# -- network --------------------------------------------------------------------------------------------------------


def test_size_of_the_published_architecture():
    """Oracle: Carreira and Zisserman, table 1: 25 M parameters for two streams, of which RGB and flow differ little."""
    count = sum(parameter.numel() for parameter in InceptionI3d().parameters())
    assert count == 12_697_264
    assert round(2 * count / 1e6) == 25


@pytest.mark.parametrize("frames", [10, 17])
def test_logits_against_cd_fvd(state, frames):
    """Oracle: cd-fvd's I3D (of VideoGPT and TATS) with the same state dict, loaded strictly both ways."""
    reference, ours = cdfvd_network(), InceptionI3d().eval()
    reference.load_state_dict(state)
    ours.load_state_dict(reference.state_dict())
    clip = torch.rand(1, 3, frames, 224, 224, generator=torch.Generator().manual_seed(1)) * 2 - 1
    with torch.inference_mode():
        logits, expected = ours(clip), reference(clip)
    assert logits.shape == (1, 400) and expected.std() > 1e-3
    assert relative(logits, expected) < 1e-5


def convolve_same(x: np.ndarray, kernel: np.ndarray, stride: tuple[int, int, int]) -> np.ndarray:
    """TensorFlow's SAME convolution by loops over outputs: x (c, t, h, w), kernel (o, c, kt, kh, kw)."""
    size, window = x.shape[1:], kernel.shape[2:]
    out = [-(-n // s) for n, s in zip(size, stride, strict=True)]
    before = [max((o - 1) * s + k - n, 0) // 2 for o, s, k, n in zip(out, stride, window, size, strict=True)]
    result = np.zeros((len(kernel), *out))
    for index in np.ndindex(*out):
        for offset in np.ndindex(*window):
            at = [i * s + o - b for i, s, o, b in zip(index, stride, offset, before, strict=True)]
            if all(0 <= a < n for a, n in zip(at, size, strict=True)):
                result[(slice(None), *index)] += kernel[(slice(None), slice(None), *offset)] @ x[(slice(None), *at)]
    return result


@pytest.mark.parametrize(
    ("size", "kernel", "stride"), [((5, 6, 7), 3, 2), ((4, 5, 8), 3, 1), ((9, 8, 11), 7, 2), ((3, 3, 3), 1, 1)]
)
def test_unit_pads_like_tensorflow(size, kernel, stride):
    """Oracle: SAME convolution, batch norm and ReLU written as loops in numpy; odd and even sizes."""
    torch.manual_seed(0)
    unit = Unit(2, 3, kernel, stride, eps=1e-5).eval()
    unit.bn.running_mean.uniform_(-0.5, 0.5)
    unit.bn.running_var.uniform_(0.5, 2)
    x = torch.randn(1, 2, *size)
    with torch.inference_mode():
        ours = unit(x)[0].numpy()
    plain = convolve_same(x[0].numpy(), unit.conv3d.weight.detach().numpy(), (stride,) * 3)
    mean, var = unit.bn.running_mean.numpy(), unit.bn.running_var.numpy()
    expected = np.maximum((plain - mean[:, None, None, None]) / np.sqrt(var + 1e-5)[:, None, None, None], 0)
    np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("size", "kernel", "stride"),
    [
        ((5, 6, 7), (3, 3, 3), (2, 2, 2)),
        ((3, 7, 7), (2, 2, 2), (2, 2, 2)),
        ((4, 5, 6), (1, 3, 3), (1, 2, 2)),
        ((3, 4, 5), (3, 3, 3), (1, 1, 1)),
    ],
)
def test_pool_pads_like_tensorflow(size, kernel, stride):
    """Oracle: maximum over the part of each SAME window that lies inside the input, by loops."""
    x = torch.rand(1, 2, *size, generator=torch.Generator().manual_seed(2))
    ours = Pool(kernel, stride)(x)[0].numpy()
    out = [-(-n // s) for n, s in zip(size, stride, strict=True)]
    assert ours.shape[1:] == tuple(out)
    before = [max((o - 1) * s + k - n, 0) // 2 for o, s, k, n in zip(out, stride, kernel, size, strict=True)]
    for index in np.ndindex(*out):
        window = [
            slice(max(i * s - b, 0), min(i * s - b + k, n))
            for i, s, b, k, n in zip(index, stride, before, kernel, size, strict=True)
        ]
        np.testing.assert_array_equal(
            ours[(slice(None), *index)], x[0].numpy()[(slice(None), *window)].max(axis=(1, 2, 3))
        )


def test_odd_padding_goes_to_the_end():
    """Oracle: TensorFlow's rule; kernel 7, stride 2, even size: 5 zeros, 2 before and 3 after."""
    padded = pad_same(torch.ones(1, 1, 4, 4, 4), (7, 7, 7), (2, 2, 2))
    assert padded.shape[2:] == (9, 9, 9)
    assert padded[0, 0, :, 4, 4].tolist() == [0, 0, 1, 1, 1, 1, 0, 0, 0]


def test_logits_are_averaged_over_time(state):
    """Oracle: the layers run one by one, then pooled over pairs of steps and classified by hand."""
    network = InceptionI3d().eval()
    network.load_state_dict(state)
    x = torch.rand(1, 3, 17, 224, 224, generator=torch.Generator().manual_seed(3)) * 2 - 1
    with torch.inference_mode():
        logits = network(x)
        for name, layer in network.named_children():
            if name not in ("avg_pool", "logits"):
                x = layer(x)
        assert x.shape == (1, 1024, 3, 7, 7)
        steps = x.mean(dim=(3, 4))[0].T
        pairs = (steps[:-1] + steps[1:]) / 2
        weight, bias = network.logits.conv3d.weight.flatten(1), network.logits.conv3d.bias
        expected = (pairs @ weight.T + bias).mean(dim=0)
    assert relative(logits[0], expected) < 1e-5


# -- extractors -----------------------------------------------------------------------------------------------------


def test_squash_against_opencv():
    """Oracle: cv2.resize INTER_LINEAR on float frames, which neither antialiases nor keeps the aspect; then [-1, 1]."""
    import cv2

    frames = video(4, 3, 300, 402)
    expected = np.stack([cv2.resize(frame.astype(np.float32), (224, 224)) for frame in frames]) / 127.5 - 1
    np.testing.assert_allclose(squash(frames).permute(0, 2, 3, 1).numpy(), expected, atol=1e-4)


def test_windows_are_consecutive_whatever_the_chunks(weights):
    """Oracle: the network on each 16-frame slice, read in chunks of 7; what is left is not used."""
    extractor = I3D(weights)
    frames = video(5, 35)
    ours = extract(extractor, frames, chunk=7)["logits16"]
    assert ours.shape == (2, 400) and ours.dtype == np.float32
    network = extractor._network
    with torch.inference_mode():
        expected = [network(squash(frames[s : s + 16]).transpose(0, 1)[None])[0].numpy() for s in (0, 16)]
    assert relative(ours, expected) < 1e-5
    assert relative(ours[0], ours[1]) > 1e-4, "the random network must tell windows apart"


def test_full_video_against_cd_fvd_with_disco_settings(weights, state):
    """Oracle: cd-fvd's network with the two settings DisCo changed (eps 1e-3, pooling over one step), PIL frames."""
    from PIL import Image

    reference = cdfvd_network()
    reference.load_state_dict(state)
    for layer in reference.modules():
        if isinstance(layer, torch.nn.BatchNorm3d):
            layer.eps = 1e-3
    reference.avg_pool = torch.nn.AvgPool3d([1, 7, 7], stride=(1, 1, 1))
    frames = video(6, 12)
    planes = [
        [Image.fromarray(f[..., c].astype(np.float32)).resize((224, 224), Image.BICUBIC) for c in range(3)]
        for f in frames
    ]
    clip = torch.from_numpy(np.array([[np.asarray(p) for p in f] for f in planes]).clip(0, 255)).transpose(0, 1)[None]
    with torch.inference_mode():
        expected = reference(clip / 127.5 - 1)
    ours = extract(I3DFull(weights), frames)["full"]
    assert ours.shape == (1, 400)
    assert relative(ours, expected) < 1e-5


def test_short_clips_have_no_features(weights):
    """Oracle: one window needs 16 frames, a whole video 10; the reason says how many there are."""
    with pytest.raises(Undefined, match="15 frames; a window of I3D needs 16"):
        extract(I3D(weights), video(7, 15))
    with pytest.raises(Undefined, match="9 frames; a video needs 10"):
        extract(I3DFull(weights), video(8, 9))
