"""The null AU and the null audio of Eq. 4 in a trained network: the one that ships, else a tiny one trained here. Oracles: its
weights in a network without an AU path; other AUs, other speech."""

import pytest
import torch

from bench.weights import Weights
from methods.iuface.train import IUFaceLearner
from methods.talking_dit.checkpoints import load_trained
from methods.talking_dit.conditions import Conditions
from methods.talking_dit.transformer import TalkingDiT
from methods.training.loop import train
from methods.training.video_recipes import IUFaceRecipe
from tests.methods.training.material import video_batch
from tests.methods.video_fakes import AUS, SIZES

LATENTS, FRAMES, TOKENS = 2, 5, 9
YES = torch.tensor([True])


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> TalkingDiT:
    if path := Weights().path("synth_iuface"):
        return load_trained(path)
    torch.manual_seed(0)
    recipe = IUFaceRecipe(
        steps=60, learning_rate=0.02, warmup=0.0, clip_norm=1.0, learns="all", precision="no", log_every=60
    )
    learner = IUFaceLearner(TalkingDiT(**SIZES, aus=AUS), recipe)
    batch = video_batch()
    train(learner, lambda rng, count: batch, recipe, tmp_path_factory.mktemp("training"), seed=0, log=lambda line: None)
    return learner.transformer.eval()


def told(network: TalkingDiT, seed: int = 0, **changes) -> Conditions:
    sizes, generator = network.config, torch.Generator().manual_seed(seed)

    def noise(*shape: int) -> torch.Tensor:
        return torch.randn((1, *shape), generator=generator)

    inputs = {
        "text": noise(16, sizes.text_dim),
        "image": noise(16, sizes.image_dim),
        "known": noise(sizes.in_channels - sizes.out_channels, LATENTS, 4, 4),
        "identity": noise(sizes.aus["identity_dim"]),
        "aus": noise(FRAMES, sizes.aus["au_dim"]).abs(),
        "vocal": noise(TOKENS, sizes.vocal["vocal_dim"]),
    }
    return Conditions(**inputs | changes)


def velocity(network: TalkingDiT, conditions: Conditions) -> torch.Tensor:
    channels = network.config.out_channels
    latents = torch.randn((1, channels, LATENTS, 4, 4), generator=torch.Generator().manual_seed(9))
    with torch.no_grad():
        return network(latents, 500.0, conditions)


def test_the_null_au_is_a_network_without_aus(trained):
    without = TalkingDiT(**{**trained.sizes, "aus": None}).eval()
    unread = without.load_state_dict(trained.state_dict(), strict=False).unexpected_keys
    assert unread and all("au" in name for name in unread)
    null = velocity(trained, told(trained, null_aus=YES))
    assert torch.equal(null, velocity(without, told(trained, aus=None, identity=None)))
    assert torch.equal(null, velocity(trained, told(trained, aus=None, identity=None)))
    assert (velocity(trained, told(trained)) - null).norm() > 1e-3 * null.norm()  # AUs say something.


def test_the_null_audio_is_one_whatever_is_said(trained):
    other = told(trained, seed=1).vocal
    null = velocity(trained, told(trained, silent=YES))
    assert torch.equal(null, velocity(trained, told(trained, vocal=other, silent=YES)))
    said, otherwise = velocity(trained, told(trained)), velocity(trained, told(trained, vocal=other))
    assert (said - otherwise).norm() > 1e-4 * said.norm()  # Speech says something.
    assert (said - null).norm() > 1e-4 * said.norm()
