"""LPIPS against the lpips package, torchmetrics and the formula written out, on shared random backbones.

The ImageNet backbones are not at hand in tests; everything but their values is checked: preprocessing, which layers,
normalisation, the shipped linear heads, batching, and how the weight file is read.
"""

import hashlib
from pathlib import Path

import cv2
import lpips
import numpy as np
import pytest
import torch
import torchvision
from torchmetrics.functional.image.lpips import _LPIPS

from bench.media.clip import ArrayClip, Clip
from bench.media.errors import Undefined
from metrics.extractors.lpips import LpipsAlex, LpipsVgg
from metrics.functional.lpips import ALEX, METRICS, VGG
from metrics.lpips import LPIPS

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:torchvision")

EXTRACTORS = {"alex": LpipsAlex, "vgg": LpipsVgg}
ACTIVATIONS = {"alex": (1, 4, 7, 9, 11), "vgg": (3, 8, 15, 22, 29)}
"""Layers of torchvision's `features` that LPIPS reads: the activation after each of the five groups of convolutions."""
HEADS = {
    "alex": "df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0",
    "vgg": "a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868",
}


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """The images are small; on a busy machine two threads wait for each other most of the time."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def head_file(net: str) -> Path:
    return Path(lpips.__file__).parent / "weights" / "v0.1" / f"{net}.pth"


@pytest.fixture(scope="module")
def backbones(tmp_path_factory) -> dict[str, tuple[torch.nn.Module, Path]]:
    """Per network the `features` of a random torchvision model and a file with its state dict."""
    torch.manual_seed(0)
    models = {"alex": torchvision.models.alexnet, "vgg": torchvision.models.vgg16}
    made = {}
    for net, model in models.items():
        with torch.device("meta"):
            features = model(weights=None).features.eval()
        features.to_empty(device="cpu")
        for parameter in features.parameters():
            torch.nn.init.kaiming_normal_(parameter) if parameter.ndim > 1 else torch.nn.init.uniform_(
                parameter, -0.1, 0.1
            )
        path = tmp_path_factory.mktemp("backbones") / f"{net}.pth"
        torch.save({f"features.{name}": value for name, value in features.state_dict().items()}, path)
        made[net] = (features, path)
    return made


@pytest.fixture(scope="module")
def pair(grid_clips) -> tuple[np.ndarray, np.ndarray]:
    """(prediction, target): three 64x56 pieces of a real clip, blurred more and more."""
    target = np.ascontiguousarray(Clip(grid_clips[2]).frames[:30:10, 120:184, 150:206])
    return np.stack([cv2.GaussianBlur(x, (0, 0), 0.6 + t) for t, x in enumerate(target)]), target


@pytest.fixture(params=["alex", "vgg"])
def net(request) -> str:
    return request.param


def extract(net: str, path: Path, prediction: np.ndarray, target: np.ndarray, chunk: int = 2) -> np.ndarray:
    extractor = EXTRACTORS[net]({EXTRACTORS[net].weights[0]: path})
    extractor.begin(ArrayClip(prediction), ArrayClip(target), {}, {})
    for start in range(0, len(target), chunk):
        extractor.update(prediction[start : start + chunk], target[start : start + chunk])
    return extractor.finish()["d"]


def with_backbone(network: torch.nn.Module, features: torch.nn.Module) -> torch.nn.Module:
    """`network` with the convolutions of its slices, in order, replaced by those of `features`."""
    weights = list(features.state_dict().values())
    for parameter, value in zip(network.net.state_dict().values(), weights, strict=True):
        parameter.copy_(value)
    return network.eval()


def test_the_shipped_heads_are_version_0_1(net):
    """Oracle: sha256 of the heads published with lpips 0.1.4."""
    assert hashlib.sha256(head_file(net).read_bytes()).hexdigest() == HEADS[net]


def test_equals_the_lpips_package(net, backbones, pair):
    """Oracle: lpips.LPIPS fed one pair at a time by its own im2tensor."""
    features, path = backbones[net]
    oracle = with_backbone(lpips.LPIPS(net=net, pnet_rand=True, verbose=False), features)
    with torch.inference_mode():
        expected = [oracle(lpips.im2tensor(x), lpips.im2tensor(y)).item() for x, y in zip(*pair, strict=True)]
    assert max(expected) > 100 * 1e-5
    np.testing.assert_allclose(extract(net, path, *pair), expected, rtol=0, atol=1e-5)


def test_equals_torchmetrics(net, backbones, pair):
    """Oracle: torchmetrics' own network code and its own copy of the heads."""
    features, path = backbones[net]
    oracle = with_backbone(_LPIPS(pretrained=True, net=net, pnet_rand=True), features)
    images = [torch.from_numpy(clip).permute(0, 3, 1, 2).float() / 255 for clip in pair]
    with torch.inference_mode():
        expected = oracle(*images, normalize=True).flatten().numpy()
    np.testing.assert_allclose(extract(net, path, *pair), expected, rtol=0, atol=1e-5)


def test_equals_the_formula(net, backbones, pair):
    """Oracle: the sum over layers written out in float64 numpy on torchvision's activations."""
    features, path = backbones[net]
    heads = torch.load(head_file(net), map_location="cpu", weights_only=True)
    activations = []
    for clip in pair:
        rgb = torch.from_numpy(clip).permute(0, 3, 1, 2).float() / 127.5 - 1
        shift, scale = torch.tensor([[-0.030, -0.088, -0.188], [0.458, 0.448, 0.450]])[..., None, None]
        x = (rgb - shift) / scale
        layers = []
        with torch.inference_mode():
            for index, layer in enumerate(features[: ACTIVATIONS[net][-1] + 1]):
                x = layer(x)
                if index in ACTIVATIONS[net]:
                    layers.append(x.double().numpy().copy())
        activations.append(layers)
    expected = np.zeros(len(pair[0]))
    for k, (f, g) in enumerate(zip(*activations, strict=True)):
        f, g = (layer / np.linalg.norm(layer, axis=1, keepdims=True) for layer in (f, g))
        weights = heads[f"lin{k}.model.1.weight"].double().numpy()
        expected += ((f - g) ** 2 * weights).sum(axis=1).mean(axis=(1, 2))
    np.testing.assert_allclose(extract(net, path, *pair), expected, rtol=0, atol=1e-5)


def test_zero_on_itself_symmetric_and_growing_with_blur(net, backbones, pair):
    _, path = backbones[net]
    prediction, target = pair
    np.testing.assert_array_equal(extract(net, path, target, target), np.zeros(len(target)))
    forth, back = extract(net, path, prediction, target), extract(net, path, target, prediction)
    np.testing.assert_allclose(forth, back, rtol=0, atol=1e-6)
    assert (forth > 0).all() and forth[-1] > forth[0]


def test_neither_chunks_nor_batches_matter(net, backbones, pair, monkeypatch):
    _, path = backbones[net]
    whole = extract(net, path, *pair, chunk=3)
    monkeypatch.setattr("metrics.extractors.lpips.PIXELS_PER_BATCH", 64 * 56)
    np.testing.assert_allclose(extract(net, path, *pair, chunk=2), whole, rtol=0, atol=1e-6)


def test_the_smallest_side_is_the_smallest_that_works(net, backbones):
    """Oracle: the network itself, which fails one pixel below and gives a number at the stated side."""
    features, path = backbones[net]
    smallest = EXTRACTORS[net].smallest
    frames = np.random.default_rng(0).integers(0, 256, (2, 1, smallest, smallest, 3), np.uint8)
    assert np.isfinite(extract(net, path, *frames)).all()
    with pytest.raises(RuntimeError, match="too small"):
        features[: ACTIVATIONS[net][-1] + 1](torch.zeros(1, 3, smallest - 1, smallest - 1))
    with pytest.raises(Undefined, match=f"{smallest - 1}x{smallest} pixels are too small"):
        extract(net, path, *frames[:, :, 1:])


def test_descriptions_average_the_frames():
    assert [metric.key for metric in METRICS] == ["lpips@alex", "lpips@vgg", "lpips@synth"]
    assert ALEX.case({"pair:lpips_alex": {"d": np.array([0.1, 0.4])}}) == 0.25
    assert VGG.case({"pair:lpips_vgg": {"d": np.array([0.2, 0.4])}}) == pytest.approx(0.3)


def test_class_averages_over_clips(backbones, pair):
    """Oracle: the extractor, averaged by hand over two clips of different length."""
    _, path = backbones["alex"]
    d = extract("alex", path, *pair)
    metric = LPIPS("alex", path)
    for part in (slice(0, 2), slice(2, 3)):
        metric.update(*(torch.from_numpy(clip[part]).permute(0, 3, 1, 2) for clip in pair))
    assert metric.compute().item() == pytest.approx((d[:2].mean() + d[2:].mean()) / 2, abs=1e-6)
    assert metric.higher_is_better is False
