"""Face and lip regions.

Oracles: the reference dump of Hallo's own functions; boxes counted by hand; PIL.
"""

import ast

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file

from methods.conditioning import masks


@pytest.fixture
def dump(golden):
    return load_file(golden / "hallo_masks.safetensors")


def as_box(region):
    """x0, y0, x1, y1 in [0, 1] of a 512-pixel picture from the dump's x0, x1, y0, y1."""
    x0, x1, y0, y1 = region
    return np.array([x0, y0, x1, y1]) / 512


def test_regions_equal_the_reference_dump(golden, dump):
    """Oracle: the official masks, byte for byte, from the boxes and from the drawn boxes."""
    boxes = as_box((150, 360, 120, 400)), as_box((210, 300, 300, 350))
    drawn = [masks._drawn(box, ratio, 512) for box, ratio in zip(boxes, (1.2, 2.0), strict=True)]
    np.testing.assert_array_equal(drawn[0], dump["in/face"])
    np.testing.assert_array_equal(drawn[1], dump["in/lip"])
    for ours, name in zip(masks.split_regions(*drawn), ("background", "face", "lip"), strict=True):
        np.testing.assert_array_equal(ours, dump[f"out/sep_{name}"])
    (level,) = masks.region_masks(*boxes, levels=(64,))
    for ours, name in zip(level, ("background", "face", "lip"), strict=True):
        assert ours.shape == (4096,) and ours.dtype == np.float32
        np.testing.assert_allclose(ours, dump[f"out/sep_{name}"].ravel() / 255, atol=1e-6)


def test_expansion_equals_the_reference_dump(golden):
    """Oracle: expand_region's own answers; those larger than the picture are cut to it, which the original does not."""
    with safe_open(golden / "hallo_masks.safetensors", "numpy") as file:
        metadata = file.metadata()
    for name, region, ratio in (("face", (150, 360, 120, 400), 1.2), ("lip", (210, 300, 300, 350), 2.0)):
        x0, x1, y0, y1 = ast.literal_eval(metadata[f"{name}_region"])
        assert masks.expand_box(as_box(region), ratio, 512, 512) == (x0, y0, x1, y1)
    ratios = {(5, 100, 400, 505): 1.5, (0, 511, 0, 511): 1.2, (480, 511, 10, 60): 2.0}
    for text, (x0, x1, y0, y1) in ast.literal_eval(metadata["edge"]).items():
        region = ast.literal_eval(text)
        assert masks.expand_box(as_box(region), ratios[region], 512, 512) == (max(0, x0), max(0, y0), x1, y1)


def test_levels_are_pil_shrinks():
    """Oracle: torchvision's Resize and ToTensor, which the original applies to the 64 x 64 masks."""
    import torch
    from PIL import Image
    from torchvision import transforms

    boxes = np.array([0.25, 0.2, 0.75, 0.9]), np.array([0.4, 0.6, 0.6, 0.7])
    regions = masks.split_regions(masks._drawn(boxes[0], 1.2, 512), masks._drawn(boxes[1], 2.0, 512))
    levels = masks.region_masks(*boxes, levels=(64, 32, 16, 8, 4, 2))
    for side, level in zip((64, 32, 16, 8, 4, 2), levels, strict=True):
        shrink = transforms.Compose([transforms.Resize((side, side)), transforms.ToTensor()])
        for ours, region in zip(level, regions, strict=True):
            assert torch.equal(torch.from_numpy(ours), shrink(Image.fromarray(region)).flatten())


def test_face_mask_by_hand():
    """Oracle: pixels counted; 1 inside the enlarged box, 0 outside, three equal channels."""
    mask = masks.face_mask(np.array([0.25, 0.25, 0.75, 0.75]), size=128)
    assert mask.shape == (3, 128, 128) and mask.dtype == np.float32 and set(np.unique(mask)) == {0.0, 1.0}
    inside = np.argwhere(mask[0])
    assert inside.min(0).tolist() == [26, 26] and inside.max(0).tolist() == [101, 101]  # 64 * 1.2 // 2 = 38
    assert mask.sum() == 3 * 76 * 76
    np.testing.assert_array_equal(mask[0], mask[2])
    assert masks.face_mask(np.array([0.25, 0.25, 0.75, 0.75]), size=128, ratio=1.0).sum() == 3 * 64 * 64


def test_regions_share_the_picture():
    """Oracle: the definitions; the three add up to one, and to more only where the lips' blur exceeds the face's."""
    ((full, face, lip),) = masks.region_masks(np.array([0.1, 0.1, 0.9, 0.9]), np.array([0.4, 0.6, 0.6, 0.7]), (64,))
    np.testing.assert_allclose(full + face + lip, np.maximum(1.0, full + lip), atol=1.01 / 255)
    middle = 42 * 64 + 32  # On the lips.
    assert lip[middle] > 0.9 and face[middle] < 0.1 and full[middle] < 0.1
    assert full[0] > 0.9  # The corner.


def test_a_box_as_large_as_the_picture():
    """Oracle: construction; nothing is outside the face."""
    mask = masks.face_mask(np.array([0.0, 0.0, 1.0, 1.0]), size=64)
    assert mask.min() == 1
