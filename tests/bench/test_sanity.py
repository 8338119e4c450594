"""The controls in the order every metric must give them, through the whole runner, on real clips.

Landmarks and Action Units are real (mediapipe's own model). The other networks have random weights (seeded): a distance
between features of the same frames is 0 whatever the network, and grows with the damage; where a metric needs a network
that knows something (sync, emotion), it is fitted here to the clips themselves, so that the right answer is known.
"""

import dataclasses

import numpy as np
import pytest

from bench import registry
from bench.features import FeatureExtraction
from bench.media.clip import Clip
from bench.media.write import write_video
from bench.plan import make_plan
from bench.run import run
from bench.weights import LOCK, Weights
from metrics.extractors.arcface import ArcFaceW600kR50
from tests.bench.conftest import Quiet

FRAMES = 28
"""Long enough for a 16-frame window of I3D and 15 frames of shift."""
FIRST = 20
"""The sentences begin with a silence in which nothing moves; the cut starts after it."""
CONTROLS = {
    "ground_truth": {}, "reencoded": {"crf": "30"}, "still_image": {}, "shuffled_audio": {}, "shifted_audio": {"frames": "4"},
    "much reencoded": {"crf": "48"},
}  # fmt: skip

FALLING = [
    "psnr", "psnr@global", "psnr@face", "ssim", "ssim@skimage7", "ssim@gray", "csim@target", "au_f1@target.feafa24",
    "au_recall@target.feafa24", "au_accuracy@target.feafa24", "au_pcc@target.feafa24", "au_following",
]  # fmt: skip
"""Higher is better: ground_truth > reencoded > still_image."""
RISING = [
    "lpips", "efid", "efid@mp52", "m_lmd", "f_lmd", "m_lmd@px256",
    "f_lmd@procrustes", "au_mae@target.feafa24", "reference_leak",
]  # fmt: skip
"""Lower is better: ground_truth < reencoded < still_image."""
DISTRIBUTIONS = ["fid", "kid", "fvd", "fvd@first_clip"]
"""Distances of feature distributions: an untrained network has no opinion on blur against stillness, but every damage is
away from the target, and more of the same damage is farther."""
SYNC = ["lse_c@nocrop", "lse_d@nocrop", "av_offset@nocrop"]
OTHERS = ["csim", "acc_emo"]


class ArcFaceOnLandmarks(ArcFaceW600kR50):
    """ArcFace's alignment and cosine with a random projection for the network and mediapipe's points for the detector."""

    name = "arcface_w600k_r50"
    weights = ()
    packages = ()
    after = ("landmarks",)

    def __init__(self, files, device="cpu"):
        self._projection = np.random.default_rng(0).standard_normal((512, 28 * 28 * 3)).astype(np.float32)

    def begin(self, clip, features):
        super().begin(clip, features)
        self._points = iter(features["landmarks"]["xy"][:, [468, 473, 4, 61, 291]])

    def _embed(self, frame):
        import cv2

        from bench.media.arcface import align

        chip = cv2.resize(align(frame, next(self._points)), (28, 28), interpolation=cv2.INTER_AREA)
        return self._projection @ ((chip.astype(np.float32).ravel() - 127.5) / 127.5)


@pytest.fixture(scope="module")
def data(tmp_path_factory, grid_clips):
    """Two real speakers in the middle of a sentence."""
    folder = tmp_path_factory.mktemp("data")
    for path in grid_clips[:2]:
        clip = Clip(path)
        speech = clip.audio[FIRST * 640 : (FIRST + FRAMES) * 640]
        write_video(folder / f"{path.stem}.mkv", [clip.frames[FIRST : FIRST + FRAMES]], 25.0, speech)
    return folder


@pytest.fixture(scope="module")
def lock(tmp_path_factory, data):
    """The real lock with random networks in the cache in place of the published ones, pinned by their first use."""
    import torch
    from torchvision.models import alexnet

    from metrics.extractors.deep3d import recon_network
    from metrics.extractors.emotion import emotion_fan_network
    from metrics.extractors.i3d_network import InceptionI3d
    from metrics.extractors.inception import fid_inception
    from tests.metrics.test_fid import randomise

    root = tmp_path_factory.mktemp("sanity")
    cache = root / "cache"
    (cache / "weights").mkdir(parents=True)
    networks = {
        "alexnet": alexnet(weights=None), "inception_fid": fid_inception(), "i3d_400": InceptionI3d(),
        "deep3d": recon_network(), "emotion_fan_mead8": emotion_fan_network(),
    }  # fmt: skip
    states = {}
    for seed, (name, network) in enumerate(networks.items()):
        state = randomise(network, seed)
        states[name] = {"deep3d": {"net_recon": state}, "emotion_fan_mead8": {"state_dict": state}}.get(name, state)
    states["syncnet_v2"] = fitted_syncnet(sorted(data.iterdir()))
    lines, table = [], {file.name: file for file in Weights(cache).files.values()}
    for name, file in table.items():
        entry = {"name": name, "file": file.file, "licence": "random", "what": "random"}
        if name in states:
            torch.save(states[name], cache / "weights" / file.file)
            entry["sha256"] = Weights(cache).hashes.sha256(cache / "weights" / file.file)
        else:
            entry |= {key: value for key, value in (("sha256", file.sha256), ("size", file.size)) if value}
        lines.append("[[file]]\n" + "\n".join(f"{key} = {value!r}" for key, value in (entry | {"how": "none"}).items()))
    (root / "lock.toml").write_text("\n".join(lines))
    assert LOCK.exists()
    return Weights(cache, root / "lock.toml")


def fitted_syncnet(paths) -> dict:
    """State dict of a random SyncNet whose last speech layer is solved to predict the lips of these clips, so that lips
    and speech of the same moment are near each other and all others are not."""
    import cv2
    import torch
    from syncnet_python.SyncNetModel import S

    from metrics.extractors.syncnet import audio_features
    from metrics.functional.mfcc import int16_samples

    torch.manual_seed(0)
    network = S()
    for layer in network.modules():
        if isinstance(layer, torch.nn.modules.batchnorm._BatchNorm):
            layer.momentum = None
    clips = [Clip(path) for path in paths]
    windows = []
    for clip in clips:
        faces = torch.from_numpy(np.stack([cv2.resize(frame, (224, 224)) for frame in clip.frames])).float()
        windows.append(faces.flip(-1).permute(3, 0, 1, 2).unfold(1, 5, 1).permute(1, 0, 4, 2, 3))
    with torch.no_grad():
        network.forward_lip(torch.cat([part[::3] for part in windows]))
        network.forward_aud(10 * torch.randn(64, 1, 13, 20))
        network.eval()
        lips = [torch.cat([network.forward_lip(part[i : i + 12]) for i in range(0, len(part), 12)]) for part in windows]
        common = torch.cat(lips).mean(0)
        network.netfclip[3].bias -= common
        hidden: list = []
        handle = network.netfcaud[3].register_forward_pre_hook(lambda _, inputs: hidden.append(inputs[0].double()))
        speech, wanted = [], []
        for clip, part in zip(clips, lips, strict=True):
            hidden.clear()
            audio_features(network, int16_samples(clip.audio))
            heard = torch.cat(hidden)
            count = min(len(heard), len(part))
            speech.append(heard[:count])
            wanted.append((part - common)[:count].double())
        handle.remove()
        design = torch.cat([torch.cat(speech), torch.ones(sum(map(len, speech)), 1, dtype=torch.float64)], 1)
        gram = design @ design.T
        ridge = 1e-6 * gram.trace() / len(gram) * torch.eye(len(gram), dtype=torch.float64)
        solution = design.T @ torch.linalg.solve(gram + ridge, torch.cat(wanted))
        network.netfcaud[3].weight.copy_(solution[:-1].T)
        network.netfcaud[3].bias.copy_(solution[-1])
    return network.state_dict()


@pytest.fixture(scope="module")
def scores(lock, data, tmp_path_factory):
    """Control -> the metrics block of its summary."""
    patch = pytest.MonkeyPatch()
    patch.setitem(registry.EXTRACTORS, "arcface_w600k_r50", "tests.bench.test_sanity:ArcFaceOnLandmarks")
    emotions = pseudo_labels(lock, sorted(data.iterdir()))
    found = {}
    for control, settings in CONTROLS.items():
        names = [*FALLING, *RISING, *DISTRIBUTIONS, *SYNC, *OTHERS] if control != "much reencoded" else DISTRIBUTIONS
        plan = make_plan(
            method=control.split()[-1], protocol="folder", data=data, weights=lock, metrics=names, settings=settings
        )
        cases = tuple(case.model_copy(update={"emotion": emotions[case.id]}) for case in plan.cases)
        plan = dataclasses.replace(plan, cases=cases, all_cases=cases)
        folder = tmp_path_factory.mktemp(control)
        outcome = run(plan, folder, weights=lock, progress=Quiet(), devices=["cpu"])
        assert outcome.exit_code == 0, outcome.summary["failures"]
        found[control] = outcome.summary["metrics"]
    patch.undo()
    return found


def pseudo_labels(lock, paths) -> dict[str, str]:
    """What the (random) classifier says of the targets: by construction ground_truth is always right."""
    from metrics.functional.acc_emo import EMOTION_FAN_CLASSES

    labels = {}
    for path in paths:
        clip = Clip(path, size=(288, 360), num_frames=FRAMES)  # as the runner views it
        features = FeatureExtraction(lock, "cpu").features({"target": ["emotion_fan"]}, {"target": clip})
        labels[path.stem] = EMOTION_FAN_CLASSES[int(np.argmax(features["target:emotion_fan"]["probabilities"]))]
    return labels


def value(scores, control: str, key: str) -> float:
    cell = scores[control][key]
    assert cell["value"] is not None, f"{key} of {control}: {cell['missing']}"
    return cell["value"]


pytestmark = pytest.mark.slow  # One module of about a minute: six networks on two real clips, five controls.


@pytest.mark.parametrize("key", FALLING)
def test_higher_is_better(scores, key):
    """Oracle: the known damage. The target, the target after h264 at crf 30, a picture that does not move."""
    truth, coded, still = (value(scores, control, key) for control in ("ground_truth", "reencoded", "still_image"))
    assert truth > coded > still
    for same_frames in ("shuffled_audio", "shifted_audio"):
        assert value(scores, same_frames, key) == truth


@pytest.mark.parametrize("key", RISING)
def test_lower_is_better(scores, key):
    """Oracle: the known damage; equal frames are at distance 0."""
    truth, coded, still = (value(scores, control, key) for control in ("ground_truth", "reencoded", "still_image"))
    assert truth < coded < still
    assert truth == pytest.approx(0, abs=1e-6)
    for same_frames in ("shuffled_audio", "shifted_audio"):
        assert value(scores, same_frames, key) == truth


@pytest.mark.parametrize("key", DISTRIBUTIONS)
def test_distributions_move_away(scores, key):
    """Oracle: the known damage; h264 at crf 48 destroys more than at 30; equal sets are at 0 (KID, unbiased, below it)."""
    truth, coded, worse = (value(scores, control, key) for control in ("ground_truth", "reencoded", "much reencoded"))
    assert truth < coded < worse
    assert truth < value(scores, "still_image", key)
    assert truth <= 1e-6
    assert value(scores, "shuffled_audio", key) == truth


def test_sync_knows_whose_speech_it_is(scores):
    """Oracle: the soundtrack each control was given. Own speech beats another's, a shift of 4 frames is found exactly."""
    assert value(scores, "ground_truth", "av_offset@nocrop") == 0
    assert value(scores, "shifted_audio", "av_offset@nocrop") == -4
    for other in ("shuffled_audio", "still_image"):
        assert value(scores, "ground_truth", "lse_c@nocrop") > value(scores, other, "lse_c@nocrop")
        assert value(scores, "ground_truth", "lse_d@nocrop") < value(scores, other, "lse_d@nocrop")


def test_identity_is_whole_where_the_picture_is_the_reference(scores):
    """Oracle: the reference image repeated has similarity 1 with itself; a moving face has less."""
    assert value(scores, "still_image", "csim") == pytest.approx(1, abs=1e-6)
    assert value(scores, "ground_truth", "csim") < 1


def test_emotion_of_the_target_is_the_label(scores):
    """Oracle: labels read off the targets by the same classifier: ground_truth is right in every case."""
    assert value(scores, "ground_truth", "acc_emo") == 100
    assert value(scores, "still_image", "acc_emo") <= 100


def test_all_seven_speakers_with_real_landmarks(tmp_path, grid_clips, monkeypatch):
    """Oracle: the known damage, on every frame of the seven real clips: LMD and AU-MAE rank the controls, M-LMD of the
    target against itself is exactly 0, and no frame is without a face."""
    monkeypatch.setenv("AU_BENCH_CACHE", str(tmp_path / "cache"))
    names = ["m_lmd", "f_lmd", "au_mae@target.feafa24"]
    found = {}
    for control in ("ground_truth", "reencoded", "still_image"):
        weights = Weights()
        plan = make_plan(method=control, protocol="folder", data=grid_clips[0].parent, weights=weights, metrics=names)
        summary = run(plan, tmp_path / control, weights=weights, progress=Quiet(), devices=["cpu"]).summary
        assert all((cell["n"], cell["n_failed"]) == (7, 0) for cell in summary["metrics"].values())
        found[control] = {name: summary["metrics"][name]["value"] for name in names}
    for name in names:
        assert 0 == found["ground_truth"][name] < found["reencoded"][name] < found["still_image"][name]
