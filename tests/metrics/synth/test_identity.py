"""`synth_identity` and csim@synth.

Oracles: numpy's own formulas of the contrastive loss and the cosine; similarities whose equal error rate is counted by
hand; unseen identities of the synthetic world for the shipped weights.
"""

from pathlib import Path

import numpy as np
import pytest
import torch

from bench import registry
from bench.media.clip import ArrayClip
from bench.media.errors import UserError
from metrics import synth
from metrics.synth.identity import EMBEDDING, SynthIdentity, identity_network
from metrics.synth.people import People, supervised_contrastive
from metrics.synth.train_identity import (
    TEMPERATURE,
    equal_error_rate,
    identity_accuracy,
    identity_loss,
    train_identity,
)
from metrics.synth.training import Budget, Recipe, save_weights, seed_everything, train
from tests.metrics.synth.random_arrays import small_stills, write_arrays

WEIGHTS = Path(synth.__file__).parent / "weights" / "synth_identity.safetensors"


@pytest.fixture(scope="module")
def random_weights(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "synth_identity.safetensors"
    seed_everything(0)
    save_weights(path, identity_network(), {})
    return path


def features(extractor, frames: np.ndarray, chunk: int = 7):
    extractor.begin(ArrayClip(frames), {})
    for start in range(0, len(frames), chunk):
        extractor.update(frames[start : start + chunk])
    return extractor.finish()


@pytest.mark.parametrize("size", [(128, 128), (40, 72), (301, 200)])
def test_one_row_per_frame_at_any_size(random_weights, size):
    """Oracle: the number of frames."""
    frames = np.random.default_rng(0).integers(0, 256, (9, *size, 3), dtype=np.uint8)
    embedding = features(SynthIdentity({"synth_identity": random_weights}), frames)["embedding"]
    assert embedding.shape == (9, EMBEDDING)
    assert embedding.dtype == np.float32
    assert np.isfinite(embedding).all()


def test_a_row_depends_on_its_frame_alone(random_weights):
    """Oracle: the same frame by itself, and the same clip in other chunks."""
    frames = np.random.default_rng(0).integers(0, 256, (5, 96, 96, 3), dtype=np.uint8)
    extractor = SynthIdentity({"synth_identity": random_weights})
    whole = features(extractor, frames)["embedding"]
    np.testing.assert_allclose(features(extractor, frames, chunk=2)["embedding"], whole, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(features(extractor, frames[3:4])["embedding"][0], whole[3], rtol=1e-4, atol=1e-5)


def test_the_network_is_small_enough_to_ship(random_weights):
    """Oracle: the limit of 2 MB."""
    assert random_weights.stat().st_size < 2e6


def test_contrastive_loss_against_its_definition():
    """Oracle: equation 2 of Khosla et al. (2020) in plain loops."""
    rng = np.random.default_rng(0)
    vectors, people = rng.normal(size=(6, 5)), np.array([0, 0, 1, 1, 1, 0])
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    losses = []
    for i in range(6):
        others = [j for j in range(6) if j != i]
        total = sum(np.exp(unit[i] @ unit[j] / TEMPERATURE) for j in others)
        partners = [j for j in others if people[j] == people[i]]
        losses.append(-np.mean([np.log(np.exp(unit[i] @ unit[j] / TEMPERATURE) / total) for j in partners]))
    ours = supervised_contrastive(torch.from_numpy(vectors), torch.from_numpy(people), TEMPERATURE)
    assert ours.item() == pytest.approx(np.mean(losses), rel=1e-9)


def test_a_batch_holds_several_frames_of_each_person():
    """Oracle: counted. Person 2 has one frame only; row 0 is not to be drawn from."""
    identity = np.array([0, 1, 1, 2, 0, 3, 3, 0])
    rows = People(identity, np.arange(1, 8), each=2).draw(np.random.default_rng(0), 9)
    assert sorted(rows) == [1, 2, 4, 5, 6, 7]
    np.testing.assert_array_equal(identity[rows[::2]], identity[rows[1::2]])


def test_equal_error_rate_of_counted_pairs():
    """Oracle: by hand. At 0.5 one of four pairs of one person is refused and one of four pairs of two is accepted."""
    assert equal_error_rate(np.array([0.9, 0.8, 0.7, 0.2]), np.array([0.6, 0.3, 0.1, 0.0])) == 0.25
    assert equal_error_rate(np.array([0.9, 0.8]), np.array([0.1, 0.2])) == 0.0
    with pytest.raises(UserError, match="two people"):
        equal_error_rate(np.array([0.5]), np.array([]))


def test_training_lowers_the_loss(tmp_path):
    """Oracle: the loss of the same batch before."""
    faces = small_stills(tmp_path)
    seed_everything(0)
    network = identity_network()
    loss = identity_loss(network, faces, np.arange(len(faces.identity)))
    before = loss(np.random.default_rng(1)).item()
    train(network, loss, recipe=Recipe(), budget=Budget(steps=15), log=lambda line: None)
    network.train()  # as before: statistics of the batch
    assert loss(np.random.default_rng(1)).item() < 0.8 * before


def test_training_saves_what_it_measured(tmp_path):
    """Oracle: the figure measured again from the file, on all people."""
    data = write_arrays(tmp_path / "data", people=40)
    figures = train_identity(data, tmp_path / "a.safetensors", steps=2, log=lambda line: None)
    assert 0 <= figures["eer"] <= 1
    assert not (tmp_path / "a.checkpoint").exists()
    assert 0 <= identity_accuracy(tmp_path / "a.safetensors", data)["eer"] <= 1


def test_csim_is_the_mean_cosine():
    """Oracle: numpy's cosine."""
    rng = np.random.default_rng(0)
    ours, theirs = rng.normal(size=(2, 6, EMBEDDING)).astype(np.float32)
    needs = {
        "prediction:synth_identity": {"embedding": ours},
        "reference:synth_identity": {"embedding": theirs[:1]},
        "target:synth_identity": {"embedding": theirs},
    }

    def cosine(a, b):
        return (a * b).sum(-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)

    reference, target = registry.metric("csim@synth"), registry.metric("csim@synth_target")
    assert reference.case(needs) == pytest.approx(cosine(ours, theirs[:1]).mean(), abs=1e-6)
    assert target.case(needs) == pytest.approx(cosine(ours, theirs).mean(), abs=1e-6)
    assert registry.extractor("synth_identity") is SynthIdentity


def test_shipped_weights_verify_unseen_people(synth_test_arrays):
    """Oracle: the identities of the synthetic world; DESIGN asks for 5 %."""
    assert identity_accuracy(WEIGHTS, synth_test_arrays)["eer"] <= 0.05
