"""Training of the video transformers. Oracles: numbers by hand, counting, lists of names (specs/methods.md 8.4), the plans."""

from typing import get_args

import pytest
import torch
from accelerate.state import AcceleratorState
from pydantic import ValidationError

from bench.weights import Weights
from methods.iuface.config import IUFaceConfig
from methods.iuface.train import IUFaceLearner
from methods.stableavatar.train import StableAvatarLearner
from methods.training.loop import train
from methods.training.video_recipes import PRESETS, IUFaceRecipe, StableAvatarRecipe
from protocols.plan_spec import plans, read_plan
from tests.methods.training.material import video_batch
from tests.methods.video_fakes import AUS, tiny_transformer

PLAIN = {"precision": "no", "gradient_checkpointing": False}


@pytest.fixture(autouse=True)
def fresh():
    torch.manual_seed(0)
    AcceleratorState._reset_state(True)
    yield
    AcceleratorState._reset_state(True)


def iuface(transformer=None, **settings) -> IUFaceLearner:
    recipe = IUFaceRecipe(**PLAIN | settings)
    aus = {"none": None}.get(recipe.au_attention, AUS | {"identity_encoder": recipe.identity_encoder})
    if aus and recipe.identity_encoder == "none":
        aus |= {"identity_dim": None}
    return IUFaceLearner(transformer or tiny_transformer(aus), recipe)


def stableavatar(transformer=None, **settings) -> StableAvatarLearner:
    return StableAvatarLearner(transformer or tiny_transformer(None), StableAvatarRecipe(**PLAIN | settings))


class Silent(torch.nn.Module):
    """Predicts no velocity and keeps what it was asked."""

    def __init__(self):
        super().__init__()
        self.asked = []

    def trained_parameters(self):
        return iter(())

    def forward(self, latents, timestep, conditions, *, clip_level_vocal):
        self.asked.append((latents, timestep, conditions, clip_level_vocal))
        return torch.zeros_like(latents)


# -- the loss -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings, by_hand",
    [
        ({"lips_only": 1.0, "face_only": 0.0}, lambda lips, face: 4 * lips),
        ({"lips_only": 0.0, "face_only": 1.0}, lambda lips, face: 4 * face),
        ({"lips_only": 0.0, "face_only": 0.0, "face_weight": 0.0, "lip_weight": 0.0}, lambda lips, face: 4.0),
        ({"lips_only": 0.0, "face_only": 0.0}, lambda lips, face: 4 * (1 + lips + face)),  # StableAvatar's own
    ],
)
def test_the_loss_is_the_masked_mean_of_squared_velocities(settings, by_hand, monkeypatch):
    """Latents of 1 and noise of 3: the velocity is 2, its square 4; a region's share of all elements is its weight."""
    monkeypatch.setattr(torch, "randn_like", lambda values: torch.full_like(values, 3.0))
    network = Silent()
    batch = video_batch(4) | {"latent_mean": torch.ones(4, 4, 3, 4, 4), "latent_std": torch.zeros(4, 4, 3, 4, 4)}
    loss = stableavatar(network, **settings)(batch)
    assert loss.item() == pytest.approx(by_hand(batch["lips"].mean().item(), batch["face"].mean().item()), rel=1e-5)
    noisy, times, conditions, _ = network.asked[0]
    levels = (times / 1000)[:, None, None, None, None]
    torch.testing.assert_close(noisy, (1 + 2 * levels).expand_as(noisy))
    assert torch.equal(conditions.vocal, batch["vocal"]) and torch.equal(conditions.known, batch["known"])


def test_noise_levels_are_all_alike_on_the_shifted_schedule():
    """Oracle: s = 5 u / (1 + 4 u) of u = 1/1000 .. 1; a tenth of the draws in each tenth of the steps."""
    times, levels = stableavatar(Silent()).times(20_000, torch.device("cpu"))
    torch.testing.assert_close(times, 1000 * levels.flatten())
    steps = levels.flatten() / (5 - 4 * levels.flatten()) * 1000
    assert (steps - steps.round()).abs().max() < 0.01 and steps.min() >= 0.99 and steps.max() <= 1000.5
    shares = torch.histc(steps, 10, 0.5, 1000.5) / len(steps)
    assert (shares - 0.1).abs().max() < 0.01


def test_regions_are_counted_in_their_shares():
    """Suppl. B: 40 % all, 10 % the face, 50 % the lips."""
    ones = torch.ones(5000, 1, 1, 1)
    weights = iuface(Silent()).region_weights({"lips": 5 * ones, "face": 7 * ones}).flatten()
    shares = [(weights == value).float().mean().item() for value in (1, 7, 5)]
    assert shares == pytest.approx([0.4, 0.1, 0.5], abs=0.02) and sum(shares) == pytest.approx(1)


# -- what is dropped ------------------------------------------------------------------------------------------------------


def test_the_three_settings_of_eq_4_are_trained():
    """Null AUs and null audio; AUs and null audio; AUs and audio. Nothing else."""
    batch = {name: value.expand(4000, *value.shape[1:]) for name, value in video_batch(1).items()}
    told = iuface(Silent(), uncond=0.2, uncond_audio=0.1).conditions(batch)
    silent, null = told.silent, told.null_aus
    assert not (null & ~silent).any()
    shares = [rows.float().mean().item() for rows in (null, silent & ~null, ~silent)]
    assert shares == pytest.approx([0.2, 0.1, 0.7], abs=0.02)
    assert torch.equal(told.text, batch["text"])


def test_stableavatar_drops_speech_and_looks_at_all_of_it_at_times():
    """train_1B_square.py: 10 % without speech, 30 % of the steps at clip level; and no AUs."""
    network = Silent()
    learner = stableavatar(network, drop_text=0.3)
    batch = {name: value.expand(3000, *value.shape[1:]) for name, value in video_batch(1).items()}
    told = learner.conditions(batch)
    assert told.silent.float().mean().item() == pytest.approx(0.1, abs=0.02) and told.aus is None
    wordless = (told.text == 0).flatten(1).all(1)
    assert wordless.float().mean().item() == pytest.approx(0.3, abs=0.03)
    assert torch.equal(told.text[~wordless], batch["text"][~wordless])
    for _ in range(400):
        learner(video_batch(1))
    assert sum(asked[3] for asked in network.asked) / 400 == pytest.approx(0.3, abs=0.06)


# -- what learns --------------------------------------------------------------------------------------------------------

FROZEN = ("patch_embedding", "condition_embedder", "proj_out", "scale_shift_table")
"""Embeddings, image embedding and head; blocks have a scale_shift_table of their own."""


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("preset", [None, *PRESETS])
def test_blocks_vocal_projector_and_au_path_learn(preset, checkpointing):
    learner = iuface(preset=preset, gradient_checkpointing=checkpointing)
    batch = video_batch(identity=learner.recipe.identity_encoder != "none")
    learner.train()(batch).backward()
    with_gradient = {n for n, p in learner.transformer.named_parameters() if p.grad is not None}
    names = {name for name, _ in learner.transformer.named_parameters()}
    assert with_gradient == {name for name in names if not name.startswith(FROZEN)}
    parts = {"phi1", "phi2", "k_au"}
    expected = {"wo_ida": set(), "wo_ia": {"phi1", "k_au"}}.get(preset, parts)
    assert {part for part in parts if any(part in name for name in with_gradient)} == expected
    assert any("vocal_projector" in name for name in with_gradient)


def test_a_small_model_learns_whole():
    learner = stableavatar(learns="all")
    learner.train()(video_batch()).backward()
    assert all(parameter.grad is not None for parameter in learner.parameters())


def test_two_windows_are_overfitted(tmp_path):
    """The velocity at full noise, from conditions alone: its error falls below a fifth of the target's variance."""
    transformer = tiny_transformer()
    batch = video_batch() | {"latent_std": torch.zeros(2, 4, 3, 4, 4)}
    settings = {"steps": 200, "learning_rate": 0.02, "warmup": 0.0, "clip_norm": 1.0, "learns": "all", "log_every": 200}
    learner = iuface(
        transformer, **settings, weight_decay=0.0, lips_only=0.0, face_only=0.0, uncond=0.0, uncond_audio=0.0
    )
    train(learner, lambda rng, count: batch, learner.recipe, tmp_path, seed=0, log=lambda line: None)
    noise = torch.randn(2, 4, 3, 4, 4)
    with torch.no_grad():
        told = learner.conditions(batch)
        made = noise - learner.transformer(noise, 1000.0, told)
        other = noise - learner.transformer(noise, 1000.0, told[[1, 0]])
    latents = batch["latent_mean"]
    assert ((made - latents) ** 2).mean() < 0.2 * latents.var()
    assert ((other - latents) ** 2).mean() > latents.var()


def test_a_training_in_two_sessions_ends_with_the_same_bits(tmp_path):
    """Oracle: the same training without an interruption; everything that is drawn is drawn again."""
    ends = []
    for folder, sessions in (("whole", [4]), ("halves", [2, 4])):
        for steps in sessions:
            AcceleratorState._reset_state(True)
            learner = iuface(steps=steps, learning_rate=0.01, warmup=0.0, average=0.9, uncond=0.3)
            draw = lambda rng, count: video_batch(count, seed=int(rng.integers(100)))  # noqa: E731
            train(learner, draw, learner.recipe, tmp_path / folder, seed=1, log=lambda line: None)
        ends.append(learner.state_dict())
    assert all(torch.equal(value, ends[1][name]) for name, value in ends[0].items())


# -- presets --------------------------------------------------------------------------------------------------------------


def test_every_preset_is_a_row_of_a_plan_a_setting_of_the_method_and_a_file():
    rows = [row for name in plans() if name.startswith("iuface") for row in read_plan(name).rows]
    assert {row.settings["preset"] for row in rows if "preset" in row.settings} == set(PRESETS)
    (of_method,) = (kind for kind in get_args(IUFaceConfig.model_fields["preset"].annotation) if kind is not type(None))
    assert set(get_args(of_method)) == set(PRESETS)
    assert {f"synth_iuface_{preset}" for preset in PRESETS} | {"synth_iuface"} <= set(Weights().files)


def test_presets_change_what_the_tables_say():
    """Oracle: suppl. E and the captions of Tables 2, 5 and 7."""
    whole = IUFaceRecipe().model_dump()
    changed = {
        preset: {name for name, value in IUFaceRecipe(preset=preset).model_dump().items() if value != whole[name]}
        for preset in PRESETS
    }
    assert changed == {
        "wo_ida": {"preset", "au_attention", "identity_encoder"},
        "wo_ia": {"preset", "identity_encoder"},
        "wo_dbe": {"preset", "reference"},
        "level3": {"preset", "levels"},
        "arcface": {"preset", "identity_encoder"},
    }
    assert (whole["reference"], whole["identity_encoder"], whole["levels"]) == ("neutral", "clip", None)
    with pytest.raises(ValidationError, match="preset=wo_dbe has reference=random"):
        IUFaceRecipe(preset="wo_dbe", reference="first")


def test_published_settings_are_the_defaults():
    """Suppl. B; train_1B_square.sh."""
    recipe = IUFaceRecipe()
    assert (recipe.steps, recipe.learning_rate, recipe.precision, recipe.batch) == (40_000, 2e-5, "bf16", 1)
    assert (recipe.weight_decay, recipe.epsilon, recipe.clip_norm) == (3e-2, 1e-10, 0.05)
    assert (recipe.schedule, recipe.warmup * recipe.steps, recipe.gradient_checkpointing) == ("constant", 100, True)
    with pytest.raises(ValidationError, match="together they are more than 1"):
        IUFaceRecipe(uncond=0.6, uncond_audio=0.6)
