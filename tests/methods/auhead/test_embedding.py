"""Context-aware AU embedding. Oracle: Eq. 4 written as a loop over frames with one matrix product per window."""

import numpy as np
import pytest
import torch

from methods.auhead.au_map import au_maps
from methods.auhead.embedding import GAINS, AUEmbedding, window


@pytest.fixture
def embedding():
    torch.manual_seed(0)
    return AUEmbedding("seq", dim=6, tokens_per_frame=3, channels=5)


def track(num_frames, seed=0):
    return np.random.default_rng(seed).random((num_frames, 24), np.float32)


def naive(embedding, aus, start, num_frames):
    """Eq. 4 frame by frame: the 2n + 1 vectors around it, the video's first and last repeated beyond its ends."""
    n, kernel = embedding.context, embedding.temporal.weight
    features = [embedding.frame(GAINS[embedding.representation] * torch.from_numpy(row)) for row in aus]
    tokens = []
    for t in range(start, start + num_frames):
        around = [features[min(max(t + shift, 0), len(aus) - 1)] for shift in range(-n, n + 1)]
        mixed = sum(kernel[:, :, k] @ vector for k, vector in enumerate(around)) + embedding.temporal.bias
        vector = embedding.to_tokens(torch.nn.functional.silu(mixed))
        tokens += [embedding.norm(part) for part in vector.split(embedding.dim)]
    return torch.stack(tokens)[None]


@pytest.mark.parametrize(("start", "num_frames"), [(0, 8), (8, 8), (16, 8), (0, 20), (5, 1)])
def test_is_eq_4_in_the_first_the_middle_and_the_last_clip(embedding, start, num_frames):
    aus = track(20)
    found = embedding(torch.from_numpy(window(aus, start, num_frames, embedding.context))[None])
    torch.testing.assert_close(found, naive(embedding, aus, start, num_frames))


def test_a_clip_sees_its_true_neighbours(embedding):
    """Tokens do not depend on where a video is cut into clips."""
    aus = track(24)
    whole = embedding(torch.from_numpy(window(aus, 0, 24, 2))[None])
    clips = [embedding(torch.from_numpy(window(aus, start, 8, 2))[None]) for start in (0, 8, 16)]
    torch.testing.assert_close(torch.cat(clips, 1), whole)


def test_a_token_depends_on_five_frames_and_no_others(embedding):
    aus = torch.from_numpy(track(15))[None].requires_grad_()
    tokens = embedding(aus).unflatten(1, (11, 3))
    tokens[0, 4].square().sum().backward()
    seen = aus.grad[0].abs().sum(1).nonzero().flatten().tolist()
    assert seen == [4, 5, 6, 7, 8]


@pytest.mark.parametrize(("start", "rows"), [(0, [0, 0, 0, 1, 2, 3]), (2, [0, 1, 2, 3, 4, 4]), (4, [2, 3, 4, 4, 4, 4])])
def test_window_holds_the_ends(start, rows):
    assert window(np.arange(5), start, 2, 2).tolist() == rows


@pytest.mark.parametrize("representation", ["lmk", "rom"])
def test_images_become_tokens_that_tell_aus_apart(representation):
    torch.manual_seed(0)
    embedding = AUEmbedding(representation, map_size=64, dim=6, tokens_per_frame=3, channels=32)
    maps = torch.from_numpy(au_maps(np.eye(25, 24, -1).astype(np.float32), representation, 64))
    tokens = embedding(maps[:, None].expand(-1, 5, -1, -1)).flatten(1)
    assert tokens.shape == (25, 18)
    assert torch.cdist(tokens, tokens).add(torch.eye(25)).min() > 0.01


@pytest.mark.parametrize("representation", ["seq", "lmk", "rom"])
def test_untrained_tokens_already_tell_faces_apart(representation):
    """Oracle: variances; of a token's own, 1 after the norm, a quarter is between faces; with torch's weights 0.006."""
    torch.manual_seed(0)
    embedding = AUEmbedding(representation, map_size=64, dim=64, channels=64)
    rng = np.random.default_rng(0)
    aus = (rng.random((64, 24)) * (rng.random((64, 24)) < 0.33)).astype(np.float32)
    maps = torch.from_numpy(au_maps(aus, representation, 64))
    with torch.inference_mode():
        tokens = embedding(maps[:, None].expand(-1, 5, *maps.shape[1:])).flatten(1)
    assert 0.25 < tokens.var(0).mean() <= 1.05


def test_the_face_at_rest_is_not_the_null_au(embedding):
    assert embedding(torch.zeros(1, 5, 24)).abs().max() > 0.1
    assert embedding.null(2, 7).shape == embedding(torch.zeros(2, 11, 24)).shape
    assert not embedding.null(2, 7).any()


@pytest.mark.parametrize("representation", ["seq", "lmk"])
def test_every_parameter_learns(representation):
    embedding = AUEmbedding(representation, map_size=16, dim=6, channels=8)
    maps = torch.from_numpy(au_maps(track(7), representation, 16))[None]
    (embedding(maps) * torch.randn(1, 12, 6)).sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in embedding.parameters())
