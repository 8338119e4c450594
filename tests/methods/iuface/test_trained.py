"""The network that ships: the null AU and the null audio of Eq. 4, and that AUs move the face. Oracles: its weights in a
network without an AU path; other AUs, other speech; the expert of the metrics, which learned from the renderer's AUs."""

import numpy as np
import pytest
import torch

from bench import registry
from bench.media.au import FEAFA_UNITS
from bench.media.clip import ArrayClip
from bench.weights import Weights
from methods.generator import Request
from methods.iuface.generator import IUFace
from methods.talking_dit.checkpoints import load_trained
from methods.talking_dit.conditions import Conditions
from methods.talking_dit.transformer import TalkingDiT
from protocols.synth.world import ClipSpec, make_clip
from tests.methods.fakes import video

LATENTS, FRAMES, TOKENS = 2, 5, 9
YES = torch.tensor([True])


@pytest.fixture(scope="module")
def trained() -> TalkingDiT:
    return load_trained(Weights().require(["synth_iuface"])["synth_iuface"])


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


def test_aus_move_what_they_name():
    """Each AU alone, laid over one picture and one sentence: its unit is stronger than under the other two."""
    clip, weights = make_clip(ClipSpec("T03", "neutral", 1, 6), num_frames=25), Weights()
    config = IUFace.Config(**IUFace.synth, au_source="file", expression="AU04")
    method = IUFace(config, files=weights.require(list(IUFace.required_weights(config))))
    expert = registry.extractor("synth_au")({"synth_au": weights.path("synth_au")})
    asked = Request("any", clip.frames[0], clip.audio, num_frames=25, fps=25.0, height=128, width=128, seed=0)
    units = {"AU04": "brow_lower", "AU26": "jaw_drop", "AU45": "eye_close"}
    strength = {}
    for aus in units:
        method.config = config.model_copy(update={"expression": aus})
        frames = video(method.generate(asked))
        expert.begin(ArrayClip(frames), {})
        expert.update(frames)
        read = expert.finish()["aus"][8:18].mean(axis=0)  # The expression is at its strongest.
        strength[aus] = {
            name: np.mean([read[k] for k, unit in enumerate(FEAFA_UNITS) if unit.name.startswith(name)])
            for name in units.values()
        }
    for aus, name in units.items():
        assert strength[aus][name] > max(strength[other][name] for other in units if other != aus) + 0.1
