"""ACC_emo and the emotion extractors.

Oracles: scikit-learn for accuracy and recall; the attention formulas in plain numpy; a ResNet-18 forward written with
torch.nn.functional from the published parameter names; dlib's chip geometry as skimage computes it; the preprocessing
of hsemotion-onnx by hand. The published weights are not at hand, so the networks carry random ones.
"""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.media.clip import ArrayClip, Clip
from bench.media.errors import Undefined
from metrics.acc_emo import EmotionAccuracy, EmotionMacroRecall
from metrics.extractors.emotion import (
    CHIP_POINTS,
    CHIP_TEMPLATE,
    EmotionFAN,
    HSEmotion,
    emotion_fan_network,
    face_box,
    face_chip,
    frame_attention,
)
from metrics.extractors.landmarks import Landmarks
from metrics.functional.acc_emo import (
    ALIASES,
    CLASSES,
    EMOTION_FAN_CLASSES,
    EMOTIONS,
    HSEMOTION_CLASSES,
    METRICS,
    canonical_emotion,
    emotion_statistics,
    macro_recall,
    mean_probabilities,
    micro_accuracy,
)

BY_KEY = {metric.key: metric for metric in METRICS}
MEAD = ("angry", "contempt", "disgusted", "fear", "happy", "neutral", "sad", "surprised")
CREMA = {"ANG": "angry", "DIS": "disgusted", "FEA": "fear", "HAP": "happy", "NEU": "neutral", "SAD": "sad"}


def one_hot(emotion, classifier="emotion_fan"):
    return np.float32([name == emotion for name in CLASSES[classifier]])


def label(text):
    return {"emotion": np.frombuffer(text.encode(), np.uint8)}


# Labels.


def test_label_table():
    """Oracle: the folder names of MEAD, the codes of CREMA-D, AffectNet's class names."""
    assert set(EMOTIONS) == set(MEAD) == set(ALIASES.values())
    assert all(canonical_emotion(name) == name for name in MEAD)
    assert {code: canonical_emotion(code) for code in CREMA} == CREMA
    affectnet = ("Anger", "Contempt", "Disgust", "Fear", "Happiness", "Neutral", "Sadness", "Surprise")
    assert tuple(canonical_emotion(name) for name in affectnet) == HSEMOTION_CLASSES
    published = ("Happy", "Angry", "Disgust", "Fear", "Sad", "Neutral", "Surprised", "Contempt")
    assert tuple(canonical_emotion(name) for name in published) == EMOTION_FAN_CLASSES


def test_labels_without_a_class_are_named():
    """Oracle: the documented rule."""
    with pytest.raises(Undefined, match="'bored'"):
        emotion_statistics(one_hot("sad"), "bored", "emotion_fan")
    with pytest.raises(Undefined, match="'contempt' is not among the classes of emotion_fan_crema6"):
        emotion_statistics(one_hot("sad"), "contempt", "emotion_fan_crema6")
    with pytest.raises(Undefined, match="no emotion label"):
        emotion_statistics(one_hot("sad"), "", "hsemotion")
    with pytest.raises(Undefined):
        micro_accuracy(np.zeros(16))
    with pytest.raises(Undefined):
        macro_recall(np.zeros(16))


# Accuracy and recall.


def test_confusion_counted_by_hand():
    """Oracle: arithmetic. angry 2 of 3, sad 0 of 1: 50 % of clips, mean recall 33.3 %."""
    pairs = [("angry", "angry"), ("angry", "angry"), ("angry", "fear"), ("sad", "happy")]
    total = sum(emotion_statistics(one_hot(predicted), true, "emotion_fan") for true, predicted in pairs)
    assert total.dtype == np.float64 and total.tolist() == [2, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 1, 0]
    assert micro_accuracy(total) == 50
    assert macro_recall(total) == pytest.approx(100 / 3)


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 2**32 - 1),
    classifier=st.sampled_from(list(CLASSES)),
    labels=st.lists(st.sampled_from(list(CREMA.values())), min_size=1, max_size=30),
)
def test_equals_scikit_learn(seed, classifier, labels):
    """Oracle: accuracy_score and recall_score over the occurring classes; the order of the clips does not matter."""
    from sklearn.metrics import accuracy_score, recall_score

    probabilities = np.random.default_rng(seed).dirichlet(np.ones(8), len(labels)).astype(np.float32)
    ruled_out = ("contempt", "surprised") if classifier == "emotion_fan_crema6" else ()
    keep = np.array([name not in ruled_out for name in CLASSES[classifier]])
    predicted = [CLASSES[classifier][i] for i in np.where(keep, probabilities, -np.inf).argmax(1)]
    rows = [emotion_statistics(p, true, classifier) for p, true in zip(probabilities, labels, strict=True)]
    total = np.sum(rows, axis=0)
    assert micro_accuracy(total) == pytest.approx(100 * accuracy_score(labels, predicted))
    recall = recall_score(labels, predicted, labels=sorted(set(labels)), average="macro", zero_division=0)
    assert macro_recall(total) == pytest.approx(100 * recall)
    assert micro_accuracy(np.sum(rows[::-1], axis=0)) == micro_accuracy(total)


def test_classes_equal_the_pooled_score():
    """Oracle: the sum of the statistics, finished once."""
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.ones(8), 40).astype(np.float32)
    labels = [MEAD[i] for i in rng.integers(0, 8, 40)]
    for classifier in ("emotion_fan", "hsemotion"):
        micro, macro = EmotionAccuracy(classifier), EmotionMacroRecall(classifier)
        for p, true in zip(probabilities, labels, strict=True):
            micro.update(torch.from_numpy(p), true)
            macro.update(torch.from_numpy(p), true)
        total = sum(emotion_statistics(p, t, classifier) for p, t in zip(probabilities, labels, strict=True))
        assert float(micro.compute()) == micro_accuracy(total)
        assert float(macro.compute()) == pytest.approx(macro_recall(total))
    assert (micro.higher_is_better, micro.is_differentiable, micro.full_state_update) == (True, False, False)


def test_descriptions_and_cases():
    """Oracle: the class that was made the most probable."""
    assert [metric.key for metric in METRICS] == [
        "acc_emo@emotion_fan",
        "acc_emo@emotion_fan_crema6",
        "acc_emo@hsemotion",
        "acc_emo@synth",
        "acc_emo@answer",
    ]
    features = {"probabilities": one_hot("contempt") * 0.6 + one_hot("sad") * 0.4, "alpha": np.ones(5, np.float32)}
    frames = np.stack([one_hot("happy", "hsemotion"), np.full(8, np.nan, np.float32)] * 2)
    needs = {"prediction:emotion_fan": features, "prediction:hsemotion": {"probabilities": frames}}
    needs["prediction:synth_emotion"] = {"probabilities": one_hot("sad", "synth")}
    scores = {}
    for metric in METRICS[:-1]:
        assert metric.kind == "pooled" and metric.unit == "%" and metric.bounds == (0, 100)
        assert metric.needs[1] == "case:label" and metric.needs[0].startswith("prediction:")
        for truth in ("SAD", "happy"):
            statistics = metric.case({**needs, "case:label": label(truth)})
            scores[metric.variant, truth] = metric.finish(statistics)
            assert metric.per_case(statistics) == metric.finish(statistics)
    assert scores == {
        ("@emotion_fan", "SAD"): 0,
        ("@emotion_fan", "happy"): 0,
        ("@emotion_fan_crema6", "SAD"): 100,
        ("@emotion_fan_crema6", "happy"): 0,
        ("@hsemotion", "SAD"): 0,
        ("@hsemotion", "happy"): 100,
        ("@synth", "SAD"): 100,
        ("@synth", "happy"): 0,
    }


def test_clips_with_too_few_faces_have_no_value():
    """Oracle: the documented rule."""
    probabilities = np.full((5, 8), np.nan, np.float32)
    probabilities[:2] = 1 / 8
    with pytest.raises(Undefined, match="3 of 5 frames of the prediction"):
        mean_probabilities(probabilities)
    needs = {
        "prediction:emotion_fan": {"probabilities": one_hot("sad"), "alpha": np.float32([0.5, np.nan, np.nan])},
        "case:label": label("sad"),
    }
    with pytest.raises(Undefined, match="2 of 3 frames of the prediction"):
        BY_KEY["acc_emo@emotion_fan"].case(needs)


def test_mean_of_frames_by_hand():
    """Oracle: numpy.nanmean."""
    probabilities = np.random.default_rng(0).dirichlet(np.ones(8), 6).astype(np.float32)
    probabilities[2] = np.nan
    np.testing.assert_allclose(mean_probabilities(probabilities), np.nanmean(probabilities.astype(float), 0))


# emotion-FAN.

PUBLISHED_SHAPES = {
    "conv1.weight": (64, 3, 7, 7),
    "bn1.running_mean": (64,),
    "layer1.0.conv1.weight": (64, 64, 3, 3),
    "layer1.1.bn2.weight": (64,),
    "layer2.0.downsample.0.weight": (128, 64, 1, 1),
    "layer2.0.downsample.1.running_var": (128,),
    "layer4.0.conv1.weight": (512, 256, 3, 3),
    "layer4.1.conv2.weight": (512, 512, 3, 3),
    "alpha.0.weight": (1, 512),
    "alpha.0.bias": (1,),
    "beta.0.weight": (1, 1024),
    "beta.0.bias": (1,),
    "pred_fc1.weight": (8, 512),
    "pred_fc1.bias": (8,),
    "pred_fc2.weight": (8, 1024),
    "pred_fc2.bias": (8,),
}
"""Names and shapes read off yuangan/evaluation_eat code/emotionfan_basiccode/networks.py, class ResNet_AT."""


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    network = emotion_fan_network().eval()
    with torch.no_grad():  # statistics away from 0 and 1, so that a wrong batch norm shows
        for name, value in network.state_dict().items():
            if name.endswith(("running_mean", "bias")):
                value.normal_(0, 0.1)
            elif name.endswith("running_var"):
                value.uniform_(0.5, 1.5)
    return network


def test_parameters_are_the_published_ones(network):
    """Oracle: names and shapes of the published class."""
    state = network.state_dict()
    blocks = {f"layer{i}.{j}" for i in range(1, 5) for j in (0, 1)}
    tops = {name.split(".")[0] if not name.startswith("layer") else name[:8] for name in state}
    assert tops == {"conv1", "bn1", "alpha", "beta", "pred_fc1", "pred_fc2", *blocks}
    assert {name: tuple(state[name].shape) for name in PUBLISHED_SHAPES} == PUBLISHED_SHAPES
    assert len([name for name in state if name.endswith("conv1.weight") or name.endswith("conv2.weight")]) == 17


def by_hand(state, images):
    """f_t of ResNet_AT, (n, 3, H, W) -> (n, 512), from the parameters alone."""
    from torch.nn import functional as F

    def norm(x, name):
        keys = ("running_mean", "running_var", "weight", "bias")
        return F.batch_norm(x, *(state[f"{name}.{key}"] for key in keys))

    x = F.relu(norm(F.conv2d(images, state["conv1.weight"], stride=2, padding=3), "bn1"))
    x = F.max_pool2d(x, 3, 2, 1)
    for stage in range(1, 5):
        for block in (0, 1):
            name, stride = f"layer{stage}.{block}", 2 if stage > 1 and block == 0 else 1
            y = F.relu(norm(F.conv2d(x, state[f"{name}.conv1.weight"], stride=stride, padding=1), f"{name}.bn1"))
            y = norm(F.conv2d(y, state[f"{name}.conv2.weight"], padding=1), f"{name}.bn2")
            if f"{name}.downsample.0.weight" in state:
                x = norm(F.conv2d(x, state[f"{name}.downsample.0.weight"], stride=stride), f"{name}.downsample.1")
            x = F.relu(x + y)
    return x.mean((2, 3))


def attention_in_numpy(state, f):
    """The evaluation formulas of ResNet_AT (`second_level`), (n, 512) -> logits (8,), alpha (n,), as loops."""

    def sigmoid_layer(name, row):
        return 1 / (1 + np.exp(-(float(state[f"{name}.0.weight"][0] @ row) + float(state[f"{name}.0.bias"][0]))))

    alphas = [sigmoid_layer("alpha", row) for row in f]
    mean = sum(a * row for a, row in zip(alphas, f, strict=True)) / sum(alphas)
    both = [np.concatenate([row, mean]) for row in f]
    betas = [sigmoid_layer("beta", row) for row in both]
    weight = sum(a * b for a, b in zip(alphas, betas, strict=True))
    pooled = sum(a * row for a, row in zip(alphas, both, strict=True)) / weight
    return state["pred_fc2.weight"] @ pooled + state["pred_fc2.bias"], np.array(alphas)


def test_backbone_equals_functional_forward(network):
    """Oracle: `by_hand` on the same state dict."""
    images = torch.rand(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(network(images), by_hand(network.state_dict(), images), rtol=1e-4, atol=1e-4)


@settings(deadline=None, max_examples=10)
@given(frames=st.integers(1, 9), seed=st.integers(0, 2**31))
def test_attention_equals_numpy(network, frames, seed):
    """Oracle: `attention_in_numpy` in float64. With one frame, or equal frames, alpha cancels and 1 / beta is left."""
    f = np.random.default_rng(seed).normal(size=(frames, 512)) ** 2
    state = {name: value.numpy().astype(np.float64) for name, value in network.state_dict().items()}
    with torch.inference_mode():
        logits, alpha = frame_attention(network, torch.from_numpy(f).float())
    expected, alphas = attention_in_numpy(state, f)
    np.testing.assert_allclose(logits.numpy(), expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(alpha.numpy(), alphas, rtol=1e-4)


# From frames to probabilities.


@pytest.fixture(scope="module")
def clip(assets, grid_clips):
    """Ten frames of a real clip, and its landmarks."""
    extractor = Landmarks({"face_landmarker": assets / "models" / "face_landmarker_v2_with_blendshapes.task"})
    clip = ArrayClip(Clip(grid_clips[3]).frames[:10])
    extractor.begin(clip, {})
    extractor.update(clip.frames)
    return clip, extractor.finish()


@pytest.fixture(scope="module")
def checkpoint(network, tmp_path_factory):
    """A file as the published training code writes it: DataParallel names, and a leftover 1000-class layer."""
    state = {f"module.{name}": value for name, value in network.state_dict().items()}
    state |= {"module.fc.weight": torch.zeros(1000, 512), "module.fc.bias": torch.zeros(1000)}
    path = tmp_path_factory.mktemp("fan") / "self_relation-attention_61_84.3655"
    torch.save({"epoch": 61, "state_dict": state, "accuracy": torch.tensor(84.3655), "name": "x"}, path)
    return path


def extract(extractor, clip, landmarks, max_frames=64):
    extractor.begin(clip, {"landmarks": landmarks})
    for frames in clip.chunks(max_frames):
        extractor.update(frames)
    return extractor.finish()


def test_chip_has_the_geometry_of_dlib(clip):
    """Oracle: skimage's similarity from the landmarks to the template of dlib's get_face_chip (size 224, padding
    0.25), and its warp; the least-squares fits of the two directions differ by the residual."""
    from skimage.transform import SimilarityTransform, warp

    frame, xy = clip[0].frames[0], clip[1]["xy"][0].astype(np.float64)
    template = (CHIP_TEMPLATE + 0.25) / 1.5 * 224
    to_frame = SimilarityTransform.from_estimate(template, xy[list(CHIP_POINTS)])
    expected = warp(frame, to_frame, output_shape=(224, 224), order=1, preserve_range=True)
    chip = face_chip(frame, xy)
    assert chip.shape == (224, 224, 3) and chip.dtype == np.uint8
    assert np.abs(chip - expected).mean() < 0.5
    # The eye corners land on the template, as far as a similarity can bring them.
    landed = to_frame.inverse(xy[list(CHIP_POINTS)])
    assert np.abs(landed - template).max() < 8
    outer, inner, other_outer, other_inner, nose = landed
    assert other_outer[0] < other_inner[0] < nose[0] < inner[0] < outer[0] and nose[1] > inner[1] + 30


def test_chip_does_not_depend_on_the_size_of_the_frame(clip):
    """Oracle: the chip of the original frame; a seven times larger frame is halved twice first."""
    import cv2

    frame, xy = clip[0].frames[0], clip[1]["xy"][0]
    large = cv2.resize(frame, None, fx=7, fy=7, interpolation=cv2.INTER_CUBIC)
    # Measured 0.46 of 255, from the two ways to interpolate; 1.46 with half a pixel lost in the halving.
    assert np.abs(face_chip(large, 7 * xy + 3).astype(int) - face_chip(frame, xy)).mean() < 0.8


def test_chip_of_a_large_face_does_not_alias():
    """Oracle: variance of an average. White noise at four pixels per pixel of the chip: means of 16 have a quarter of
    its deviation, single samples would keep most of it."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (1000, 1000, 3), dtype=np.uint8)
    xy = np.zeros((478, 2))
    xy[list(CHIP_POINTS)] = (CHIP_TEMPLATE + 0.25) / 1.5 * 224 * 4.4
    assert face_chip(noise, xy).std() < noise.std() / 3.9


def test_emotion_fan_end_to_end(network, checkpoint, clip):
    """Oracle: chips, functional ResNet-18 and numpy attention put together by hand; a frame without a face is
    skipped."""
    video, landmarks = clip
    landmarks = {**landmarks, "xy": landmarks["xy"].copy()}
    landmarks["xy"][4] = np.nan
    extractor = EmotionFAN({"emotion_fan_mead8": checkpoint})
    features = extract(extractor, video, landmarks, max_frames=3)
    shown = [t for t in range(10) if t != 4]
    chips = np.stack([face_chip(video.frames[t], landmarks["xy"][t]) for t in shown])
    images = torch.from_numpy(chips.transpose(0, 3, 1, 2).astype(np.float32) / 255)
    with torch.inference_mode():
        f = by_hand(network.state_dict(), images).numpy().astype(np.float64)
    state = {name: value.numpy().astype(np.float64) for name, value in network.state_dict().items()}
    logits, alphas = attention_in_numpy(state, f)
    expected = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
    np.testing.assert_allclose(features["probabilities"], expected, rtol=1e-3, atol=1e-5)
    assert features["probabilities"].shape == (8,) and features["probabilities"].dtype == np.float32
    assert expected.max() < 0.999  # not saturated, or the comparison would say little
    assert np.isnan(features["alpha"]).tolist() == [t == 4 for t in range(10)]
    np.testing.assert_allclose(features["alpha"][shown], alphas, rtol=1e-4)
    again = extract(extractor, video, landmarks)
    np.testing.assert_allclose(again["probabilities"], features["probabilities"], rtol=1e-5, atol=1e-7)


def test_emotion_fan_without_any_face(checkpoint, clip):
    """Oracle: the documented rule."""
    video, landmarks = clip
    nothing = {"xy": np.full_like(landmarks["xy"], np.nan)}
    with pytest.raises(Undefined, match="no face in 10 of 10 frames"):
        extract(EmotionFAN({"emotion_fan_mead8": checkpoint}), video, nothing)


@pytest.fixture(scope="module")
def hsemotion_model(tmp_path_factory):
    """A random classifier with the interface of enet_b0_8_best_vgaf.onnx: `input` 1x3x224x224 -> logits 1x8."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    weights = {
        "kernel": rng.normal(size=(4, 3, 16, 16)).astype(np.float32) / 16,
        "linear": rng.normal(size=(4 * 14 * 14, 8)).astype(np.float32) / 20,
    }
    nodes = [
        helper.make_node("Conv", ["input", "kernel"], ["c"], strides=[16, 16]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("Flatten", ["r"], ["f"]),
        helper.make_node("MatMul", ["f", "linear"], ["output"]),
    ]
    graph = helper.make_graph(
        nodes,
        "emotion",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, 224, 224])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 8])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    path = tmp_path_factory.mktemp("hsemotion") / "model.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
    return path


def test_hsemotion_equals_the_published_preprocessing(hsemotion_model, clip):
    """Oracle: the steps of hsemotion-onnx (box around the mesh, cv2.resize, /255, ImageNet mean and std, softmax),
    channel by channel on a plain onnxruntime session."""
    import cv2
    import onnxruntime

    video, landmarks = clip
    landmarks = {**landmarks, "xy": landmarks["xy"].copy()}
    landmarks["xy"][7] = np.nan
    features = extract(HSEmotion({"hsemotion_b0_8": hsemotion_model}), video, landmarks, max_frames=4)
    assert features["probabilities"].shape == (10, 8) and features["probabilities"].dtype == np.float32
    session = onnxruntime.InferenceSession(str(hsemotion_model), providers=["CPUExecutionProvider"])
    for t, row in enumerate(features["probabilities"]):
        if t == 7:
            assert np.isnan(row).all()
            continue
        (x1, y1), (x2, y2) = landmarks["xy"][t].min(0).astype(int), landmarks["xy"][t].max(0).astype(int)
        image = cv2.resize(video.frames[t][y1:y2, x1:x2], (224, 224)) / 255
        for channel, (mean, std) in enumerate(((0.485, 0.229), (0.456, 0.224), (0.406, 0.225))):
            image[..., channel] = (image[..., channel] - mean) / std
        logits = session.run(None, {"input": image.transpose(2, 0, 1).astype("float32")[None]})[0][0].astype(float)
        expected = np.exp(logits - logits.max())
        np.testing.assert_allclose(row, expected / expected.sum(), rtol=1e-5, atol=1e-7)
        assert expected.max() / expected.sum() < 0.999


def test_box_stays_inside_the_frame():
    """Oracle: numpy slicing by hand; points may lie outside the frame."""
    frame = np.arange(20 * 30 * 3, dtype=np.uint8).reshape(20, 30, 3)
    np.testing.assert_array_equal(face_box(frame, np.array([[-3.2, 4.9], [12.7, 26.0]])), frame[4:20, 0:12])
    assert face_box(frame, np.array([[40.0, 5.0], [50.0, 9.0]])).size == 0
    assert face_box(frame, np.array([[-9.0, 5.0], [-1.0, 9.0]])).size == 0


def test_an_answer_in_words_is_compared_as_a_label():
    """Oracle: by hand; "surprise" and MEAD's "surprised" are one, a word that is no emotion is wrong."""
    metric = METRICS[-1]
    sides = [("surprise", "surprised"), ("Anger", "ANG"), ("fear", "happy"), ("banana", "happy")]
    statistics = []
    for answer, truth in sides:
        spoken = {"emotion": np.frombuffer(answer.encode(), np.uint8)}
        statistics.append(metric.case({"case:answer": spoken, "case:label": label(truth)}))
    assert [metric.per_case(one) for one in statistics] == [100, 100, 0, 0]
    assert metric.finish(sum(statistics)) == 50
    with pytest.raises(Undefined, match="did not say"):
        metric.case({"case:answer": {"emotion": np.empty(0, np.uint8)}, "case:label": label("sad")})
