"""The synthetic face experts `synth_face`, `synth_au`, `synth_expression` and the metrics that read them.

Oracles: names of AUs and points; closed forms and numpy; drawn dots; the same picture at another size; unseen people of the
synthetic world for the shipped weights.
"""

from pathlib import Path

import numpy as np
import pytest
import torch

from bench import registry
from bench.media.au import FEAFA_UNITS
from bench.media.clip import ArrayClip
from bench.media.errors import UserError
from bench.media.landmarks import IBUG68, ibug68
from metrics import synth
from metrics.functional import au, efid, lmd
from metrics.functional.au_following import au_following
from metrics.functional.reference_leak import reference_leak
from metrics.synth import face_training
from metrics.synth.alignment import back, crop_matrices, crops, eye_centres
from metrics.synth.arrays import stills
from metrics.synth.au import SynthAU
from metrics.synth.au_network import AUNetwork, brightness_and_gradient
from metrics.synth.au_regression import MARGIN, au_loss, best_floors, readings
from metrics.synth.augment import MIRROR_AUS, damage, mirror, mirror_order
from metrics.synth.expression import SynthExpression
from metrics.synth.face import SynthFace
from metrics.synth.face_accuracy import au_figures, landmark_error
from metrics.synth.face_network import FaceNetwork
from metrics.synth.face_samples import FaceSamples
from metrics.synth.train_au import train_au
from metrics.synth.train_expression import ridge, train_expression
from metrics.synth.train_face import face_loss, train_face
from metrics.synth.training import Budget, Recipe, read_metadata, save_weights, seed_everything, train
from tests.metrics.synth.random_arrays import write_arrays

WEIGHTS = Path(synth.__file__).parent / "weights"
NAMES = [unit.name for unit in FEAFA_UNITS]


@pytest.fixture(scope="module")
def arrays(tmp_path_factory) -> Path:
    return write_arrays(tmp_path_factory.mktemp("arrays"), people=20, each=6, length=4)


@pytest.fixture(scope="module")
def random_experts(tmp_path_factory) -> dict:
    """Both experts with random weights, whose locators find the eyes of any frame where they usually are."""
    folder = tmp_path_factory.mktemp("weights")
    made = {}
    for expert in (SynthFace, SynthAU):
        seed_everything(0)
        network = expert.make_network()
        network.locator.eyes.weight.data *= 0.01
        network.locator.eyes.bias.data = 4 * (torch.tensor([0.37, 0.4, 0.63, 0.4]) - 0.5)
        path = folder / f"{expert.name}.safetensors"
        save_weights(path, network, {})
        made[expert.name] = expert({expert.name: path})
    return made


def features(extractor, frames: np.ndarray, chunk: int = 7):
    extractor.begin(ArrayClip(frames), {})
    for start in range(0, len(frames), chunk):
        extractor.update(frames[start : start + chunk])
    return extractor.finish()


# -- networks and extractors ----------------------------------------------------------------------------------------


def test_shapes_and_sizes():
    """Oracle: the documented shapes; a few MB to ship."""
    frames = torch.zeros(3, FaceNetwork.SIZE, FaceNetwork.SIZE, 3, dtype=torch.uint8)
    output = FaceNetwork().eval()(frames)
    assert [tuple(part.shape) for part in output] == [(3, 478, 2), (3, 24), (3, FaceNetwork.HIDDEN)]
    frames = torch.zeros(3, AUNetwork.SIZE, AUNetwork.SIZE, 3, dtype=torch.uint8)
    assert AUNetwork().eval()(frames).shape == (3, 24)
    assert AUNetwork().locate(torch.zeros(3, 64, 64, 3, dtype=torch.uint8)).shape == (3, 2, 2)
    assert sum(value.numel() for value in FaceNetwork().parameters()) < 1.5e6
    assert sum(value.numel() for value in AUNetwork().parameters()) < 1.2e6


@pytest.mark.parametrize("size", [(128, 128), (60, 60), (200, 144)])
def test_one_row_per_frame_at_any_size(random_experts, size):
    """Oracle: the number of frames; the range of AUs."""
    frames = np.random.default_rng(0).integers(0, 256, (9, *size, 3), dtype=np.uint8)
    face, unit = (features(random_experts[name], frames) for name in ("synth_face", "synth_au"))
    assert face["xy68"].shape == (9, 68, 2) and face["xy68"].dtype == np.float32
    for values in (face["aus"], unit["aus"]):
        assert values.shape == (9, 24) and values.dtype == np.float32
        assert values.min() >= 0 and values.max() <= 1


def test_points_are_pixels_of_the_frame(random_experts):
    """Oracle: the same picture with every pixel repeated twice down and three times across: the points move along, AUs
    stay."""
    frames = np.random.default_rng(0).integers(0, 256, (3, 128, 128, 3), dtype=np.uint8)
    small = features(random_experts["synth_face"], frames)
    large = features(random_experts["synth_face"], frames.repeat(2, 1).repeat(3, 2))
    np.testing.assert_allclose(large["xy68"], small["xy68"] * (3, 2), atol=1e-3)
    np.testing.assert_allclose(large["aus"], small["aus"], atol=1e-5)


def test_a_row_depends_on_its_frame_alone(random_experts):
    """Oracle: the same clip in other chunks, on one thread and on two."""
    frames = np.random.default_rng(1).integers(0, 256, (20, 128, 128, 3), dtype=np.uint8)
    for expert in random_experts.values():
        whole = features(expert, frames, chunk=20)
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        parts = features(expert, frames, chunk=3)
        torch.set_num_threads(threads)
        for name, values in whole.items():
            np.testing.assert_allclose(parts[name], values, rtol=1e-4, atol=1e-5)


def test_a_mirrored_face_reads_as_its_mirror_image(random_experts):
    """Oracle: AUs of the same crops, sides exchanged."""
    rng = np.random.default_rng(0)
    for expert in random_experts.values():
        side = expert.network.SIZE
        crops = torch.from_numpy(rng.integers(0, 256, (4, side, side, 3), dtype=np.uint8))
        with torch.inference_mode():
            np.testing.assert_allclose(expert.aus(crops.flip(2)), expert.aus(crops)[:, MIRROR_AUS], atol=1e-6)
            assert not np.allclose(expert.raw_aus(crops)[:, ::2], expert.raw_aus(crops)[:, 1::2])


def test_brightness_ignores_light_and_gradient_is_numpys():
    """Oracle: a darker copy; numpy's central differences inside the frame."""
    frames = np.random.default_rng(0).integers(0, 100, (2, 12, 12, 3), dtype=np.uint8).repeat(2, 1)
    plain = brightness_and_gradient(torch.from_numpy(frames)).numpy()
    brighter = brightness_and_gradient(torch.from_numpy(2 * frames)).numpy()
    np.testing.assert_allclose(plain, brighter, rtol=0.05, atol=0.01)
    rows, columns = np.gradient(plain[0, 0])
    np.testing.assert_allclose(plain[0, 1, :, 1:-1], 4 * columns[:, 1:-1], atol=1e-5)
    np.testing.assert_allclose(plain[0, 2, 1:-1], 4 * rows[1:-1], atol=1e-5)


# -- alignment ------------------------------------------------------------------------------------------------------


def random_points(count: int = 5) -> np.ndarray:
    """float64 (n, 68, 2): points about the middle of a frame, the eyes apart and level within 20 degrees."""
    rng = np.random.default_rng(0)
    points = rng.uniform(30, 98, (count, 68, 2))
    points[:, 36:42] = (45, 50) + rng.uniform(-4, 4, (count, 1, 2))
    points[:, 42:48] = (80, 50) + rng.uniform(-4, 4, (count, 1, 2))
    return points


def test_crops_are_upright_and_their_points_come_back():
    """Oracle: the declared places of the eyes; the points that went in; a dot drawn at a point is at it in the crop."""
    xy = random_points()
    matrices = crop_matrices(eye_centres(xy), 80)
    eyes = eye_centres(xy + 0) @ matrices[0, :, :2].T + matrices[0, :, 2]
    np.testing.assert_allclose(eyes[0], 80 * np.array([[0.5 - 0.5 / 2.75, 0.36], [0.5 + 0.5 / 2.75, 0.36]]), atol=1e-9)
    inside = xy @ np.swapaxes(matrices[:, :, :2], 1, 2) + matrices[:, None, :, 2]
    np.testing.assert_allclose(back(matrices, inside), xy, atol=1e-9)
    frame = np.zeros((1, 128, 128, 3), np.uint8)
    frame[0, 60:63, 70:73] = 255  # centred on the middle of pixel (71, 61), which is the point (71.5, 61.5)
    crop = crops(frame, matrices[:1], 80)[0, :, :, 0].astype(float)
    rows, columns = np.mgrid[:80, :80] + 0.5
    found = np.array([(crop * columns).sum(), (crop * rows).sum()]) / crop.sum()
    np.testing.assert_allclose(found, matrices[0, :, :2] @ (71.5, 61.5) + matrices[0, :, 2], atol=0.05)


# -- augmentation ---------------------------------------------------------------------------------------------------


def test_mirroring_exchanges_the_sides():
    """Oracle: the names of AUs; twice is nothing; a dot moves with its point."""
    for position, name in enumerate(NAMES):
        swapped = name.replace("left", "?").replace("right", "left").replace("?", "right")
        assert NAMES[MIRROR_AUS[position]] == swapped
    rng = np.random.default_rng(0)
    frame, xy = rng.integers(0, 256, (40, 50, 3), dtype=np.uint8), rng.uniform(0, 40, (6, 2))
    aus, order = rng.random(24), np.array([1, 0, 2, 5, 4, 3])
    once = mirror(frame, xy, aus, order)
    for before, after in zip((frame, xy, aus), mirror(*once, order), strict=True):
        np.testing.assert_allclose(after, before, atol=1e-9)
    np.testing.assert_allclose(once[1][0], (50 - xy[1, 0], xy[1, 1]))
    np.testing.assert_array_equal(once[0][7, 3], frame[7, 46])


def test_mirrored_points_have_mirrored_numbers(synth_test_arrays):
    """Oracle: iBUG's numbering: chin, bridge of the nose and middle of the lips stay, outer corners change places."""
    points = np.array(stills(synth_test_arrays).landmarks)
    matrices = crop_matrices(eye_centres(ibug68(points)), 1)
    upright = points @ np.swapaxes(matrices[:, :, :2], 1, 2) + matrices[:, None, :, 2]
    order = mirror_order(upright.mean(0))
    np.testing.assert_array_equal(order[order], np.arange(478))
    expected = {0: 16, 17: 26, 21: 22, 31: 35, 36: 45, 37: 44, 39: 42, 40: 47, 48: 54, 50: 52, 59: 55, 60: 64, 67: 65}
    expected |= {point: point for point in (8, 27, 30, 33, 51, 57, 62, 66)}
    pairs = [set(pair) for pair in IBUG68]
    for one, other in expected.items():
        assert {int(order[point]) for point in pairs[one]} == pairs[other], (one, other)


def test_damage_keeps_shape_and_is_seeded():
    """Oracle: the frame's own shape and type; the same seed."""
    frame = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    results = [damage(frame, np.random.default_rng(seed)) for seed in range(40)]
    assert all(result.shape == frame.shape and result.dtype == np.uint8 for result in results)
    np.testing.assert_array_equal(results[3], damage(frame, np.random.default_rng(3)))
    assert sum(not np.array_equal(result, frame) for result in results) > 30


def test_samples_share_nobody(arrays):
    """Oracle: the colour of a frame tells its person: A's, B's and the held-out people are three sets."""
    identity = np.array(stills(arrays).identity)
    people = []
    for rows in (FaceSamples(arrays, 0)._rows[0], FaceSamples(arrays, 1)._rows[0], FaceSamples(arrays, 0)._held[0]):
        people.append(set(identity[rows].tolist()))
    assert people == [set(range(0, 19, 2)), set(range(1, 19, 2)), {19}]


# -- AUs ------------------------------------------------------------------------------------------------------------


def test_censored_regression():
    """Oracle: squared distances by hand: an inactive AU may be anything up to -MARGIN, a full one anything from 1."""
    raw = torch.tensor([[-1.0, 0.0, 0.5, 1.5, 0.5]])
    target = torch.tensor([[0.0, 0.0, 0.0, 1.0, 0.8]])
    expected = (0 + MARGIN**2 + (0.5 + MARGIN) ** 2 + 0 + 0.3**2) / 5
    assert float(au_loss(raw, target)) == pytest.approx(expected, rel=1e-5)
    read = readings(torch.tensor([[-0.2, 0.03, 0.06, 1.7]]), torch.tensor([0.0, 0.05, 0.05, 0.05]))
    np.testing.assert_allclose(read.numpy(), [[0, 0, 0.06, 1]])


def test_floors_separate_active_from_inactive():
    """Oracle: inactive AUs read at most 0.03, active ones at least 0.07: any floor between is perfect, the least is taken."""
    target = np.tile([[0.0], [0.5]], (10, 24))
    raw = np.where(target > 0, 0.07, 0.03)
    floors = best_floors(raw, target)
    assert floors.dtype == np.float32
    np.testing.assert_allclose(floors, 0.035)


def test_figures_against_numpy():
    """Oracle: numpy on known arrays."""
    rng = np.random.default_rng(0)
    target = np.maximum(rng.random((200, 24)) - 0.6, 0)
    target[:, 3] = 0
    prediction = np.clip(target + rng.normal(0, 0.05, target.shape), 0, 1)
    figures = au_figures(prediction, target)
    either = (prediction > 0) | (target > 0)
    assert figures["au_mae"] == pytest.approx(np.abs(prediction - target).mean())
    assert figures["au_mae_of_zero"] == pytest.approx(target.mean())
    assert figures["union_mae"] == pytest.approx(np.abs(prediction - target)[either].mean())
    assert figures["union_mae_of_zero"] == pytest.approx(target[target > 0].mean())
    assert set(figures["pcc"]) == set(NAMES) - {NAMES[3]}
    assert figures["pcc"][NAMES[5]] == pytest.approx(np.corrcoef(prediction[:, 5], target[:, 5])[0, 1])
    assert figures["pcc_lowest"] == min(figures["pcc"].values())
    xy = random_points()
    eyes = np.linalg.norm(xy[:, 36] - xy[:, 45], axis=1)
    assert landmark_error(xy + (3, 4), xy) == pytest.approx(100 * (5 / eyes).mean())


# -- training -------------------------------------------------------------------------------------------------------


def test_the_loss_of_expert_a_falls(arrays):
    """Oracle: the first and the last logged mean."""
    samples, lines = FaceSamples(arrays, 0), []
    seed_everything(0)
    network = FaceNetwork()
    recipe, budget = Recipe(learning_rate=2e-3, warmup=0.1), Budget(steps=16)
    train(
        network,
        lambda rng: face_loss(network, samples.draw(rng, 8, network.SIZE)),
        recipe=recipe,
        budget=budget,
        log=lines.append,
        every=4,
    )
    assert float(lines[-1].split()[-1]) < 0.8 * float(lines[0].split()[-1])


def test_trainings_write_what_the_extractors_read(arrays, tmp_path, monkeypatch):
    """Oracle: extractors made from the files; figures in the metadata; no checkpoint is left."""
    monkeypatch.setattr(face_training, "BATCH", 4)
    monkeypatch.setattr(face_training, "FLOOR_FACES", 8)
    files = {name: tmp_path / f"{name}.safetensors" for name in ("synth_face", "synth_au", "synth_expression")}
    with pytest.raises(UserError, match="train face first"):
        train_expression(arrays, files["synth_expression"])
    figures = train_face(arrays, files["synth_face"], steps=2, log=lambda line: None)
    train_au(arrays, files["synth_au"], steps=2, log=lambda line: None)
    train_expression(arrays, files["synth_expression"], faces=40, log=lambda line: None)
    assert "landmark_error" in figures["stills"] and "union_mae" in figures["clips"]
    assert read_metadata(files["synth_face"])["steps"] == "2"
    train_au(arrays, files["synth_au"], steps=1, start=files["synth_au"], log=lambda line: None)
    about = read_metadata(files["synth_au"])
    assert about["steps"] == "3" and "union_mae" in about["held_out"]
    frames = np.array(stills(arrays).frames[:5])
    found = features(SynthFace(files), frames)
    assert features(SynthAU(files), frames)["aus"].shape == (5, 24)
    assert SynthFace.name in SynthExpression.after
    expression = SynthExpression(files)
    expression.begin(ArrayClip(frames), {"synth_face": found})
    expression.update(frames)
    code = expression.finish()["code"]
    assert code.shape == (5, 24) and code.dtype == np.float32
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(path.name for path in files.values())


def test_ridge_finds_a_line():
    """Oracle: the line that made the data; the mean of the targets where inputs say nothing."""
    rng = np.random.default_rng(0)
    x, weight = rng.normal(size=(4000, 6)) + 2, rng.normal(size=(3, 6))
    found, bias = ridge(x, x @ weight.T + (1, 2, 3))
    np.testing.assert_allclose(found, weight, atol=0.01)
    np.testing.assert_allclose(bias, (1, 2, 3), atol=0.02)


# -- metrics --------------------------------------------------------------------------------------------------------


def clip_features(seed: int, frames: int = 30) -> dict:
    """Features of the three experts for a clip that moves."""
    rng = np.random.default_rng(seed)
    aus = np.clip(np.cumsum(rng.normal(0, 0.15, (frames, 24)), 0) % 1 - 0.3, 0, 1).astype(np.float32)
    xy = (random_points(1) + rng.normal(0, 1, (frames, 68, 2))).astype(np.float32)
    code = rng.normal(size=(frames, 24)).astype(np.float32)
    return {"synth_face": {"xy68": xy, "aus": aus}, "synth_au": {"aus": aus**2}, "synth_expression": {"code": code}}


def needs_of(**roles) -> dict:
    return {f"{role}:{name}": values for role, clip in roles.items() for name, values in clip.items()}


@pytest.mark.parametrize("variant", ["@synth", "@driving.synth", "@synth_b", "@driving.synth_b"])
def test_au_variants_are_the_feafa_formulas(variant):
    """Oracle: the pure functions on expert A's or B's AUs."""
    a, b = clip_features(0), clip_features(1)
    role = "driving" if "driving" in variant else "target"
    needs, extractor = needs_of(prediction=a, **{role: b}), "synth_au" if variant.endswith("_b") else "synth_face"
    ours, theirs = a[extractor]["aus"], b[extractor]["aus"]
    expected = {
        "au_f1": au.f1(ours > 0, theirs > 0).value,
        "au_precision": au.precision(ours > 0, theirs > 0).value,
        "au_recall": au.recall(ours > 0, theirs > 0).value,
        "au_accuracy": au.jaccard(ours > 0, theirs > 0, average="samples").value,
        "au_mae": au.mae(ours, theirs, "union"),
        "au_pcc": au.pcc(ours, theirs, 1.0),
    }
    for name, value in expected.items():
        metric = registry.metric(name + variant)
        result = metric.case(needs)
        assert (metric.finish(result) if metric.finish else result) == pytest.approx(value, abs=1e-12), name
        assert metric.note.startswith("synthetic experts: valid on synth_* only")
        sibling = registry.metric(f"{name}@{role}.feafa24")
        assert (metric.unit, metric.bounds, metric.kind) == (sibling.unit, sibling.bounds, sibling.kind)


def test_other_variants_are_their_siblings_formulas():
    """Oracle: the pure functions on expert A's points, AUs and expression code."""
    a, b = clip_features(0), clip_features(1)
    needs = needs_of(prediction=a, target=b, driving=b, reference=clip_features(2, frames=1))
    points = [clip["synth_face"]["xy68"] for clip in (a, b)]
    units = [clip["synth_face"]["aus"] for clip in (a, b)]
    reference = needs["reference:synth_face"]["aus"][0]
    assert registry.metric("f_lmd@synth").case(needs) == lmd.lmd_iod(*points)
    assert registry.metric("m_lmd@synth").case(needs) == lmd.lmd_iod(*points, lmd.MOUTH68)
    assert registry.metric("au_following@synth").case(needs) == au_following(*units)
    assert registry.metric("reference_leak@synth").case(needs) == reference_leak(*units, reference)
    rows = registry.metric("efid@synth").case(needs)
    expected = efid.efid(a["synth_expression"]["code"], b["synth_expression"]["code"])
    assert registry.metric("efid@synth").distance(*rows) == pytest.approx(expected)
    for name, sibling in (("f_lmd", "@iod"), ("m_lmd", "@iod"), ("au_following", "@feafa24"), ("efid", "@mp52")):
        metric, like = registry.metric(f"{name}@synth"), registry.metric(name + sibling)
        assert metric.note.startswith("synthetic experts: valid on synth_* only")
        assert (metric.unit, metric.bounds, metric.higher_is_better) == (like.unit, like.bounds, like.higher_is_better)


# -- the shipped weights --------------------------------------------------------------------------------------------


def test_shipped_expression_code_is_the_expression_not_the_person(synth_test_arrays):
    """Oracle: the true AUs; the share of the code's variance that lies between people, against that of random groups."""
    arrays = stills(synth_test_arrays)
    face = features(SynthFace({"synth_face": WEIGHTS / "synth_face.safetensors"}), np.array(arrays.frames), 128)
    expert = SynthExpression({"synth_expression": WEIGHTS / "synth_expression.safetensors"})
    expert.begin(ArrayClip(np.array(arrays.frames[:1])), {"synth_face": face})
    code, aus = expert.finish()["code"], np.array(arrays.aus)
    assert min(np.corrcoef(code[:, i], aus[:, i])[0, 1] for i in range(24)) >= 0.9
    by_person = code.reshape(-1, 9, 24).mean(1).var(0).sum() / code.var(0).sum()
    mixed = np.random.default_rng(0).permutation(code).reshape(-1, 9, 24).mean(1).var(0).sum() / code.var(0).sum()
    assert by_person < 1.15 * mixed
