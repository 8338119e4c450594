"""The small video autoencoder. Oracles: diffusers' AutoencoderKLWan on whole videos, arithmetic, construction."""

import numpy as np
import pytest
import torch

from methods.conditioning.wan_vae import decode, encode
from methods.synth import wan_vae
from methods.synth.faces import FacePictures, Faces
from methods.synth.training import Recipe
from methods.tensor_files import read_metadata, read_state


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    monkeypatch.setitem(wan_vae.CONFIG, "base_dim", 4)
    monkeypatch.setattr(wan_vae, "LONG", (((1, 17),),))
    torch.manual_seed(0)


@pytest.fixture(scope="module")
def videos(rendered) -> Faces:
    """Two people, 9 frames each."""
    return Faces(*(np.stack([getattr(clip, name)[:9] for clip in rendered[1:]]) for name in ("frames", "landmarks")))


@pytest.fixture(scope="module")
def arrays(rendered, tmp_path_factory):
    """A folder as `protocols.synth.arrays` fills it: three clips of 24 frames, and their first frames as stills."""
    folder = tmp_path_factory.mktemp("arrays")
    for kind, pick in (("clips", slice(None)), ("stills", 0)):
        (folder / kind).mkdir()
        for name in ("frames", "landmarks"):
            np.save(folder / kind / f"{name}.npy", np.stack([getattr(clip, name)[pick] for clip in rendered]))
    np.save(folder / "stills" / "identity.npy", np.array([1, 1, 2]))
    return folder


def test_trains_what_is_used(videos):
    """Oracle: diffusers' encode and decode, which go through a video four frames at a time."""
    vae = wan_vae.make_wan_vae().eval()
    pixels = wan_vae.video_pixels(videos.frames)
    with torch.inference_mode():
        mean, logvar = wan_vae.moments(vae, pixels)
        posterior = vae.encode(pixels).latent_dist
        assert mean.shape == (2, wan_vae.LATENT_CHANNELS, 3, 16, 16)
        torch.testing.assert_close(mean, posterior.mean, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(logvar, posterior.logvar, rtol=1e-4, atol=1e-4)
        made = wan_vae.pixels_of(vae, mean)
        torch.testing.assert_close(made.clamp(-1, 1), vae.decode(mean).sample, rtol=1e-4, atol=1e-4)
        still = wan_vae.moments(vae, pixels[:, :, :1])[0]
    torch.testing.assert_close(still, mean[:, :, :1], rtol=1e-4, atol=1e-5)  # A still is a video's first latent frame.


def test_loss_counts_what_changes(videos):
    """Oracle: arithmetic; weights have mean 1, so an even error costs its size, and flicker twice itself more."""
    truth = wan_vae.video_pixels(videos.frames)
    loss = lambda made: wan_vae.reconstruction_loss([made], [videos]).item()  # noqa: E731
    assert loss(truth) == 0
    assert loss(truth + 0.1) == pytest.approx(0.1, rel=1e-4)
    flicker = 0.1 * (-1.0) ** torch.arange(9).view(1, 1, 9, 1, 1)
    assert loss(truth + flicker) == pytest.approx(0.1 + wan_vae.MOTION_WEIGHT * 0.2, rel=1e-4)


def test_stills_and_videos_count_by_their_frames(videos):
    """Oracle: arithmetic; of 2 + 18 frames, 2 are wrong by 0.5."""
    stills = Faces(videos.frames[:, :1], videos.landmarks[:, :1])
    batch = [stills, videos]
    truth = [wan_vae.video_pixels(some.frames) for some in batch]
    loss = wan_vae.reconstruction_loss([truth[0] + 0.5, truth[1]], batch)
    assert loss.item() == pytest.approx(0.5 * 2 / 20, rel=1e-4)


def test_begins_frame_by_frame(videos):
    """Oracle: stills; a video that does not move is one still at every latent frame, and what was before leaves no trace."""
    vae = wan_vae.make_wan_vae().eval()
    still = wan_vae.video_pixels(videos.frames[:, :1])
    with torch.inference_mode():
        mean, logvar = wan_vae.moments(vae, still.expand(-1, -1, 9, -1, -1))
        torch.testing.assert_close(mean, mean[:, :, :1].expand_as(mean), rtol=1e-4, atol=1e-5)
        assert mean.std() > 0.3 and abs(logvar.mean() - wan_vae.FIRST_LOGVAR) < 0.5
        made = wan_vae.pixels_of(vae, mean)
        torch.testing.assert_close(made, made[:, :, :1].expand_as(made), rtol=1e-4, atol=1e-5)
        moving = wan_vae.video_pixels(videos.frames)
        other = torch.cat([-moving[:, :, :1], moving[:, :, 1:]], dim=2)
        after = [wan_vae.moments(vae, pixels)[0][:, :, 1:] for pixels in (moving, other)]
    torch.testing.assert_close(*after, rtol=1e-4, atol=1e-5)


def test_every_parameter_learns(videos):
    """Residual blocks begin as the identity, so what is inside them learns from the second step on."""
    vae = wan_vae.make_wan_vae()
    batch = [Faces(videos.frames[:, :1], videos.landmarks[:, :1]), videos]
    optimizer = torch.optim.SGD(vae.parameters(), lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        wan_vae.vae_loss(vae, batch).backward()
        optimizer.step()
    silent = [name for name, value in vae.named_parameters() if value.grad is None or not value.grad.any()]
    assert silent == []


@pytest.mark.parametrize(("stored", "share", "levels"), [("float32", 1e-3, 0.02), ("int8", 0.04, 2.0)])
def test_statistics_of_latents(tmp_path, videos, stored, share, levels):
    """Oracle: mean 0 and deviation 1 over the videos they were taken from; the pictures stay what they were, also after the
    weights have been written and read. In 8 bits each of some 15 layers errs by 0.8 %, of latents and of 128 levels."""
    vae = wan_vae.make_wan_vae().eval()
    before = np.concatenate(list(decode(vae, encode(vae, videos.frames[:1])[0][0]))).astype(int)
    for _ in range(2):  # What the config said before does not matter.
        wan_vae.normalise_latents(vae, videos.frames)
    means, _ = encode(vae, videos.frames)
    torch.testing.assert_close(means.mean((0, 2, 3, 4)), torch.zeros(wan_vae.LATENT_CHANNELS), rtol=0, atol=1e-4)
    torch.testing.assert_close(means.std((0, 2, 3, 4)), torch.ones(wan_vae.LATENT_CHANNELS), rtol=1e-4, atol=1e-4)
    path = tmp_path / "vae.safetensors"
    wan_vae.save_wan_vae(path, vae, {"steps": 3}, stored)
    read = wan_vae.load_wan_vae(path)
    assert not read.training
    assert read.config["latents_mean"] == pytest.approx(vae.config["latents_mean"], abs=1e-5)
    again = encode(read, videos.frames)[0]
    assert ((again - means) ** 2).mean() < share**2 * means.var()
    after = np.concatenate(list(decode(read, again[0]))).astype(int)
    assert np.abs(after - before).mean() <= levels


def test_trained_and_measured(tmp_path, arrays, monkeypatch):
    """Oracle: construction; two steps are no training, so figures only have to exist."""
    for name, value in (("NORMALISED_ON", 2), ("NORMALISED_FRAMES", 9), ("MEASURED_FRAMES", 9)):
        monkeypatch.setattr(wan_vae, name, value)
    path, said = tmp_path / "weights" / "vae.safetensors", []
    path.parent.mkdir()
    wan_vae.train_wan_vae(arrays, path, Recipe(steps=2), log=said.append)
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    figures = wan_vae.measure_wan_vae(path, arrays)
    assert set(figures) == {"psnr", "psnr_features", "latent_std", "posterior_std"}
    assert all(np.isfinite(value) for value in figures.values())


def test_batches_are_what_they_may_be(arrays):
    """Oracle: construction; a still is a video of one frame."""
    faces, rng = FacePictures(arrays), np.random.default_rng(0)
    found = {tuple(some.frames.shape[:2] for some in wan_vae.draw(faces, wan_vae.SHORT, rng)) for _ in range(40)}
    assert found == set(wan_vae.SHORT)
    for some in wan_vae.draw(faces, wan_vae.SHORT, rng):
        assert some.landmarks.shape == (*some.frames.shape[:2], 478, 2)


@pytest.mark.parametrize("interrupted", ["train_decoder", "second train_both"])
def test_an_interrupted_training_goes_on_with_the_part_it_was_in(tmp_path, arrays, monkeypatch, interrupted):
    """Oracle: the same training without an interruption; parts that are done are done once."""
    for name, value in (("NORMALISED_ON", 2), ("NORMALISED_FRAMES", 9)):
        monkeypatch.setattr(wan_vae, name, value)
    whole, halves, quiet = tmp_path / "whole.safetensors", tmp_path / "halves.safetensors", lambda line: None
    wan_vae.train_wan_vae(arrays, whole, Recipe(steps=3), log=quiet)
    train_both, name = wan_vae.train_both, interrupted.split()[-1]
    with monkeypatch.context() as patch:
        patch.setattr(wan_vae, name, lambda start, *more: 1 / 0 if start else train_both(start, *more))
        with pytest.raises(ZeroDivisionError):
            wan_vae.train_wan_vae(arrays, halves, Recipe(steps=3), log=quiet)
    finished = {"train_decoder": "long", "train_both": "short"}[name]
    assert halves.with_suffix(f".{finished}.safetensors").is_file()
    done: list[object] = []
    monkeypatch.setattr(wan_vae, "train_both", lambda start, *more: done.append(start) or train_both(start, *more))
    wan_vae.train_wan_vae(arrays, halves, Recipe(steps=3), log=quiet)
    assert done == ([] if finished == "long" else [halves.with_suffix(".short.safetensors")])
    one, other = read_state(whole), read_state(halves)
    assert all(torch.equal(value, other[name]) for name, value in one.items())
    noted = read_metadata(whole)
    assert noted == read_metadata(halves)
    assert {noted[f"{part}_steps"] for part in ("short", "long", "decoder")} <= {"1", "2"}
    assert [file.name for file in sorted(tmp_path.iterdir())] == [halves.name, whole.name]


def test_videos_are_stretches_of_clips(arrays, rendered):
    """Oracle: the clips; frames and landmarks of every drawn video are found in one, in order, or in its mirror image."""
    drawn = FacePictures(arrays).draw_videos(np.random.default_rng(0), 12, 9)
    assert drawn.frames.shape == (12, 9, 128, 128, 3) and drawn.landmarks.shape == (12, 9, 478, 2)
    starts, mirrored = set(), 0
    for frames, points in zip(*drawn, strict=True):
        for flip in (False, True):
            shown = frames[:, :, ::-1] if flip else frames
            for clip in rendered:
                for start in range(16):
                    if np.array_equal(clip.frames[start : start + 9], shown):
                        starts.add(start)
                        mirrored += flip
                        x = clip.landmarks[start : start + 9, :, 0]
                        np.testing.assert_allclose(points[..., 0], 128 - x if flip else x, atol=1e-4)
                        break
    assert len(starts) > 3 and 0 < mirrored < 12
