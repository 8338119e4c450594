"""What learns, on what, from which losses. Oracles: lists of names from the papers, formulas written out, counting."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState

from methods.auhead.train import AUHeadLearner
from methods.hallo.train import HalloLearner
from methods.memo.train import MemoLearner, robust_mean
from methods.training.loop import train
from methods.training.recipes import AUHeadHalloRecipe, AUHeadMemoRecipe, HalloRecipe, MemoRecipe
from methods.training.windows import Windows
from tests.methods.fakes import SIZE, UNET, FakeEncoders, randomised
from tests.methods.training.material import feature_files, new_adapter, new_hallo, new_memo

FEW = {"frames": 4, "past_frames": 2, "batch": 2, "gradient_checkpointing": False, "precision": "no"}
CERTAIN = {"uncond": 0.0, "uncond_image": 0.0, "uncond_audio": 0.0, "start_ratio": 0.0}
"""Nothing is dropped."""


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return feature_files(tmp_path_factory.mktemp("features"))


@pytest.fixture(autouse=True)
def fresh_accelerate():
    torch.manual_seed(0)
    AcceleratorState._reset_state(True)
    yield
    AcceleratorState._reset_state(True)


def memo(**settings) -> MemoLearner:
    return MemoLearner(randomised(new_memo()), MemoRecipe(**FEW | {"robust_loss": None} | settings))


def hallo(**settings) -> HalloLearner:
    return HalloLearner(randomised(new_hallo()), HalloRecipe(**FEW | settings), SIZE)


def auhead_memo(**settings) -> AUHeadLearner:
    recipe = AUHeadMemoRecipe(**FEW | {"robust_loss": None} | settings)
    base = MemoLearner(randomised(new_memo()), recipe)
    return AUHeadLearner(base, new_adapter(base.denoiser), recipe)


def auhead_hallo(**settings) -> AUHeadLearner:
    recipe = AUHeadHalloRecipe(**FEW | settings)
    base = HalloLearner(randomised(new_hallo()), recipe, SIZE)
    return AUHeadLearner(base, new_adapter(base.denoiser), recipe)


def batch_for(learner, files, count=2, seed=0):
    context = learner.adapter.config.context if isinstance(learner, AUHeadLearner) else 0
    windows = Windows(files, FakeEncoders, learner.recipe, context)
    return learner.prepare(windows.draw(np.random.default_rng(seed), count))


def with_gradient(learner, files) -> set[str]:
    """Names of the parameters that a backward pass reaches."""
    learner.train()(batch_for(learner, files)).backward()
    return {name for name, parameter in learner.named_parameters() if parameter.grad is not None}


def names(learner, keep) -> set[str]:
    return {name for name, _ in learner.named_parameters() if keep(name)}


LAST = len(UNET["block_out_channels"]) - 1
"""Number of the last block of either half."""


def unread_by_reference(name: str) -> bool:
    """Behind the last norm1 of the reference net (specs/methods.md 2.1: what MEMO's published net lacks)."""
    last = f"up_blocks.{LAST}.attentions.{UNET['layers_per_block']}"
    read = any(part in name for part in (f"{last}.norm.", f"{last}.proj_in.", ".norm1."))
    return ".reference_" in name and last in name and not read


# -- which parameters learn -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("checkpointing", [False, True])
def test_memos_fine_tuning_trains_motion_and_audio_modules(files, checkpointing):
    learner = memo(gradient_checkpointing=checkpointing, **CERTAIN)
    parts = ("motion_modules", "audio_modules")
    assert with_gradient(learner, files) == names(learner, lambda name: any(part in name for part in parts))


def test_memo_from_scratch_trains_everything_that_is_read(files):
    learner = memo(from_scratch=True, drop_emotion=0.0, **CERTAIN)
    everything = names(learner, lambda name: not unread_by_reference(name))
    assert with_gradient(learner, files) == everything


def test_hallos_second_stage_trains_motion_audio_and_audio_projection(files):
    learner = hallo(**CERTAIN)
    parts = ("audio_modules", "motion_modules", "audioproj")
    plain = (f"down_blocks.{LAST}.motion_modules", "up_blocks.0.motion_modules")  # Hallo skips these (1.4, item 2).
    expected = names(learner, lambda n: any(p in n for p in parts) and not any(p in n for p in plain))
    assert with_gradient(learner, files) == expected


def test_hallos_first_stage_trains_the_rest(files):
    learner = hallo(stage=1, batch=2, frames=1, **CERTAIN)
    parts = ("audio_modules", "motion_modules", "audioproj")
    expected = names(learner, lambda n: not any(p in n for p in parts) and not unread_by_reference(n))
    assert with_gradient(learner, files) == expected


def test_hallos_first_stage_does_without_audio_and_motion(files):
    learner = hallo(stage=1, frames=1, **CERTAIN)
    batch = batch_for(learner, files)
    modules = [module for name, module in learner.named_modules() if name.endswith(("audio_modules", "motion_modules"))]
    losses = []
    for _ in range(2):
        torch.manual_seed(1)
        losses.append(learner(batch).item())
        for module in modules:
            randomised(module, 5)
    assert losses[0] == losses[1]
    torch.manual_seed(1)
    second = hallo(frames=1, **CERTAIN)
    assert second(batch).item() != losses[0]


@pytest.mark.parametrize("make", [auhead_memo, auhead_hallo])
def test_auhead_trains_adapter_and_embedding_only(files, make, tmp_path):
    learner = make(steps=2, drop_aus=0.0, **CERTAIN)
    assert with_gradient(learner, files) == names(learner, lambda name: name.startswith("adapter."))
    learner.zero_grad(set_to_none=True)
    before = {name: value.clone() for name, value in learner.named_parameters()}
    windows = Windows(files, FakeEncoders, learner.recipe, 2)
    draw = lambda rng, count: learner.prepare(windows.draw(rng, count))  # noqa: E731
    train(learner, draw, learner.recipe, tmp_path, seed=0, log=lambda line: None)
    changed = {name for name, value in learner.named_parameters() if not torch.equal(value, before[name])}
    assert changed == names(learner, lambda name: name.startswith("adapter."))


# -- losses and times -----------------------------------------------------------------------------------------------


def test_memos_loss_leaves_out_bad_windows():
    losses = torch.tensor([0.3, 0.1, 0.2, 0.9])
    assert robust_mean(losses, None).item() == pytest.approx(0.375)
    assert robust_mean(losses, 0.25).item() == pytest.approx(0.15)
    assert robust_mean(losses, 0.05).item() == 0


@pytest.mark.parametrize("loss", ["latents", "velocity"])
def test_memos_loss_is_an_error_weighted_by_place(files, monkeypatch, loss):
    learner = memo(loss=loss, robust_loss=None, face_weight=1.0, lip_weight=4.0, **CERTAIN)
    batch = batch_for(learner, files)
    side = batch["latent_mean"].shape[-1]
    batch["face_box"] = torch.tensor([[0.0, 0.0, 0.5, 1.0]] * 2)  # the left half
    batch["lip_box"] = torch.tensor(
        [[0.25, 0.75, 0.5, 1.0]] * 2
    )  # an eighth of the width times a quarter of the height
    monkeypatch.setattr(learner.denoiser, "forward", lambda noisy, times, conditions: torch.zeros_like(noisy))
    conditions = learner.conditions(batch, torch.zeros(2, dtype=torch.bool))
    torch.manual_seed(7)
    found = learner.denoising_loss(batch, conditions).item()
    torch.manual_seed(7)
    latents = batch["latent_mean"] + batch["latent_std"] * torch.randn_like(batch["latent_mean"])
    noise = torch.randn_like(latents)
    sigmas = learner.times(len(latents), torch.device("cpu"))[1]
    # A predicted velocity of 0 says that the latents are what is seen: (1 - s) x + s n.
    error = {"velocity": noise - latents, "latents": (1 - sigmas) * latents + sigmas * noise - latents}[loss]
    weights = np.ones((side, side))
    weights[:, : side // 2] += 1
    weights[3 * side // 4 :, side // 4 : side // 2] += 4
    assert found == pytest.approx(float((error.double().numpy() ** 2 * weights).mean()), rel=1e-5)


def test_memos_times_have_a_normal_logit():
    times, sigmas = memo().times(20_000, torch.device("cpu"))
    assert torch.allclose(times / 1000, sigmas.flatten(), atol=1e-6)
    logits = torch.logit(sigmas.flatten().double(), eps=1e-4)
    assert abs(float(logits.mean())) < 0.03 and abs(float(logits.std()) - 1) < 0.03
    below = torch.tensor([float((logits < z).double().mean()) for z in (-1.0, 0.5, 2.0)])
    assert torch.allclose(below, torch.tensor([0.1587, 0.6915, 0.9772]), atol=0.012)


def test_hallos_loss_is_velocity_times_the_mean_weight(files, monkeypatch):
    learner = hallo(noise_offset=0.05, **CERTAIN)
    batch = batch_for(learner, files)
    seen = {}

    def keep(noisy, times, conditions):
        seen.update(noisy=noisy, times=times)
        return torch.zeros_like(noisy)

    monkeypatch.setattr(learner.denoiser, "forward", keep)
    conditions = learner.conditions(batch, torch.zeros(2, dtype=torch.bool))
    torch.manual_seed(7)
    loss = learner.denoising_loss(batch, conditions).item()
    # The same draws in the same order, and formulas from the papers, on betas computed here.
    torch.manual_seed(7)
    latents = batch["latent_mean"] + batch["latent_std"] * torch.randn_like(batch["latent_mean"])
    noise = torch.randn_like(latents) + 0.05 * torch.randn(*latents.shape[:3], 1, 1)
    times = torch.randint(1000, (2,))
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    root = torch.cumprod(1 - betas, 0) ** 0.5
    root = (root - root[-1]) * root[0] / (root[0] - root[-1])  # zero terminal SNR (Lin et al., Algorithm 1)
    signal = root[times].view(-1, 1, 1, 1, 1)
    spread = (1 - signal**2) ** 0.5
    assert torch.equal(times, seen["times"])
    assert torch.allclose(seen["noisy"].double(), signal * latents + spread * noise, atol=1e-4)
    snr = (signal / spread).flatten() ** 2
    weight = (snr.clamp(max=5) / (snr + 1)).mean()
    assert loss == pytest.approx(float(((signal * noise - spread * latents) ** 2).mean() * weight), rel=1e-3)
    assert hallo(snr_gamma=None).weight(times).item() == 1


# -- dropped conditions ---------------------------------------------------------------------------------------------


def dropped(learner, files, recipe=None) -> dict[str, np.ndarray]:
    """What is missing from the conditions of many windows: name -> bool (N,)."""
    base = learner.base if isinstance(learner, AUHeadLearner) else learner
    batch = batch_for(learner, files, count=600)
    shown = {}
    net = base.modules_.reference_net if hasattr(base.modules_, "reference_net") else base.modules_.reference_unet
    net.forward = lambda latents, face: shown.update(past=latents[:, 1:], face=face)  # its features are not needed
    got = {}
    base.denoising_loss = lambda batch, conditions: got.update(conditions=conditions)
    learner(batch)
    conditions = got["conditions"]
    null_face = (base.modules_.image_proj if hasattr(base.modules_, "image_proj") else base.modules_.imageproj)(
        torch.zeros(1, 8)
    )
    found = {
        "face": (conditions.face == null_face).all((1, 2)),
        "reference": ~conditions.use_reference,
        "audio": (conditions.audio == 0).all((1, 2, 3)),
        "past": (shown["past"] == 0).flatten(1).all(1),
    }
    if conditions.emotion is not None:
        found["emotion"] = conditions.emotion == 9
    if conditions.face_mask is not None:
        found["place"] = (conditions.face_mask == 0).flatten(1).all(1)
    if conditions.aus is not None:
        found["aus"] = (conditions.aus == 0).all((1, 2))
    assert torch.equal(shown["face"], conditions.face)
    return {name: rows.numpy() for name, rows in found.items()}


@pytest.mark.parametrize("make", [auhead_memo, auhead_hallo])
def test_auhead_drops_h_as_a_whole_and_aus_independently(files, make):
    """Each of the four terms of Eq. 6 is trained: 81, 9, 9 and 1 % (within four standard deviations of 600 draws)."""
    found = dropped(make(), files)
    h = found["reference"]
    for name in {"face", "audio", "emotion", "place"} & set(found):
        assert np.array_equal(found[name], h), name
    aus = found["aus"]
    for rows, share in ((~h & ~aus, 0.81), (h & ~aus, 0.09), (~h & aus, 0.09), (h & aus, 0.01)):
        assert rows.any() and abs(rows.mean() - share) < 4 * (share * (1 - share) / 600) ** 0.5
    assert abs(found["past"].mean() - 0.05) < 0.036


def test_a_base_drops_reference_audio_and_past_independently(files):
    found = dropped(memo(null_audio="after projection", uncond_image=0.3, uncond_audio=0.4, start_ratio=0.2), files)
    image, audio, past = found["reference"], found["audio"], found["past"]
    assert not found["face"].any() and not found["emotion"].any()
    assert abs(image.mean() - 0.3) < 0.075 and abs(audio.mean() - 0.4) < 0.08 and abs(past.mean() - 0.2) < 0.066
    assert abs((image & audio).mean() - 0.12) < 0.053


def test_memo_zeroes_speech_before_the_projection_as_published(files):
    learner = memo(uncond_audio=1.0, uncond=0.0)
    batch = batch_for(learner, files)
    conditions = learner.conditions(batch, torch.zeros(2, dtype=torch.bool))
    expected = learner.modules_.audio_proj(torch.zeros_like(batch["speech"]))
    assert torch.equal(conditions.audio, expected) and expected.abs().max() > 0


def test_memos_emotion_dropout_is_off_while_the_adapter_learns(files):
    learner = auhead_memo(**CERTAIN)
    learner.train()
    assert not any(module.training for module in learner.base.modules()) and learner.adapter.training
    norms = [m for m in memo(drop_emotion=0.25).modules() if type(m).__name__ == "EmotionNorm"]
    assert norms and all(norm.dropout == 0.25 for norm in norms)


def test_windows_of_a_batch_do_not_see_each_others_reference(files):
    """The published row order mixes them; oracle: each window alone."""
    learner = memo(from_scratch=True, drop_emotion=0.0, **CERTAIN).eval()
    batch = batch_for(learner, files, count=2)
    null = torch.zeros(2, dtype=torch.bool)
    torch.manual_seed(3)
    conditions = learner.conditions(batch, null)
    noisy, times = torch.randn(2, 4, 4, 8, 8), torch.tensor([300.0, 700.0])
    together = learner.denoiser(noisy, times, conditions)
    for i in range(2):
        alone = replace(conditions[i : i + 1])
        assert torch.allclose(learner.denoiser(noisy[i : i + 1], times[i : i + 1], alone)[0], together[i], atol=1e-4)


# -- learning -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", ["memo", "hallo"])
def test_a_tiny_base_learns_two_clips_by_heart(files, tmp_path, which):
    """From random weights, on the same windows of both clips with the same noise: the loss falls below 30 %."""
    settings = FEW | CERTAIN | {"from_scratch": True, "steps": 40, "learning_rate": 4e-3, "log_every": 1}
    if which == "memo":
        learner = MemoLearner(new_memo(), MemoRecipe(**settings, robust_loss=None, drop_emotion=0.0))
    else:
        learner = HalloLearner(new_hallo(), HalloRecipe(**settings, snr_gamma=None), SIZE)
    windows, losses = Windows(files, FakeEncoders, learner.recipe), []

    def draw(rng, count):
        torch.manual_seed(2)
        return learner.prepare(windows.draw(np.random.default_rng(2), count))

    train(learner, draw, learner.recipe, tmp_path, seed=0, log=lambda line: losses.append(float(line.split()[6][:-1])))
    assert len(losses) == 40 and losses[-1] < 0.3 * losses[0], losses
